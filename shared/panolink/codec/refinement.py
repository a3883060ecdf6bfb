"""Medium and slow encoding: features corrected by what the decoder makes of them and quantised again, many times.

Rate control takes the squared error of features for that of pixels. But the decoder restores some of what quantisation
loses, and corrects one token by its neighbours. What counts is D, the error of the decoded picture. Near the features
F̂ that are sent, with the gradient g and the curvature h of D (`panolink.codec.networks.decoding_error`),

    D(F̂ + δ) ≈ D(F̂) + Σ g·δ + ½ Σ h·δ² = ½ Σ h·(F̂ + δ − (F̂ − g/h))² + constant

So F̂ − g/h takes the place of the encoder's features, and rate control finds what loses least in as many bits: the
tokens that are kept, λ and symbols. That is repeated from there (a proximal gradient method), with the same codes:

    F ─▶ target ─ quantize ─▶ tokens ─ F̂ ─ decoder ─▶ D, g
            ▲                                          │
            └──────── DAMPING of the way to F̂ − g/h ◀──┘

Packets are of the usual kind, and decode as fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch

from panolink.codec.concealment import decoder_inputs
from panolink.codec.effort import Effort
from panolink.codec.networks.decoding_error import DecodingError
from panolink.codec.quantization.am_vq import Quantizer, Ranking
from panolink.codec.quantization.vector_quantizer import token_steps
from panolink.codec.rate_control.controller import LAMBDA_BY_BITS, RD_LAMBDA, OperatingPoint, RateController
from panolink.codec.shapes import Features
from panolink.codec.token_coding import pack_tokens
from panolink.codec.tokens import Tokens

ROUNDS = {Effort.MEDIUM: 4, Effort.SLOW: 24}
"""of decoding, correcting and quantising; four of them bring most of the gain"""

DAMPING = {Effort.MEDIUM: (0.5, 0.15), Effort.SLOW: (0.4, 0.03)}
"""share of the way to its target that a feature goes in the first and in the last round: its neighbours go theirs at
the same time"""

MOST_ROOM = 1.02
"""times the bits of mask and features what rate control is told to fill: it leaves some for what it cannot foresee"""

STRUCTURE = 0.4
"""share of the error that is dissimilarity: with it every measure gets better, without it VSSIM gets worse"""

TRIES = 3
"""to get below the limit in a round, decoding not repeated"""

MOST_POWER, MOST_LAMBDA = 12, 10 * RD_LAMBDA
"""where a share is kept: bits are taken to fall as λ^(−1/power), by little if most tokens' symbols do not pay"""

Progress: TypeAlias = Callable[[int, int], None]
"""called with how many rounds are done, and of how many"""


@torch.no_grad()
def refined(
    tokens: Tokens,
    features: Features,
    error: DecodingError,
    quantizer: Quantizer,
    ranking: Ranking,
    *,
    effort: Effort = Effort.SLOW,
    tau: float | None = None,
    progress: Progress | None = None,
) -> Tokens:
    """Tokens that lose less in no more bits; the same ones where none were found.

    Parameters
    ----------
    tokens : Tokens
        Of rate control.
    features : (1, dim, rows, cols)
        F, of the encoder.
    error : DecodingError
        Of the picture that they are of, with `panolink.sphere.latitude.token_weights`.
    quantizer : Quantizer
        Of their model.
    ranking : Ranking
    effort : Effort
        How often they are corrected: medium or slow.
    tau : float, optional
        Share of the tokens that is kept, where that is given and no rate.
    progress : callable, optional
        Called with how many rounds are done, and of how many.
    """
    if not tokens.kept.any():
        return tokens
    rounds = ROUNDS[effort]
    again = _Requantization(tokens, quantizer, ranking, tau)
    decoded, guidance = decoder_inputs(tokens, quantizer.codebook)
    least, gradient = error(decoded, guidance)
    steps = torch.exp2(token_steps(tokens)[0].float() / 4).to(decoded.device)
    curvature = error.curvature(decoded, guidance, gradient, steps)
    if not curvature.any():
        return tokens  # no feature moves a pixel
    best, target, lost = tokens, features, least
    for done, share in enumerate(np.linspace(*DAMPING[effort], rounds), start=1):
        target = torch.lerp(target, decoded - gradient / curvature, float(share))
        found, bits = again(target)
        decoded, guidance = decoder_inputs(found, quantizer.codebook)
        if done < rounds:
            lost, gradient = error(decoded, guidance)
        elif bits <= again.limit:
            lost = error.alone(decoded, guidance)
        if lost < least and bits <= again.limit:
            best, least = found, lost
        if progress:
            progress(done, rounds)
    return best


class _Requantization:
    """Quantises other features of a panorama, in as many bits as its ``tokens`` take and with their codes."""

    def __init__(self, tokens: Tokens, quantizer: Quantizer, ranking: Ranking, tau: float | None) -> None:
        self._tokens, self._quantizer, self._ranking, self._tau = tokens, quantizer, ranking, tau
        bits = self._bits_of(tokens)
        self.limit = sum(bits.values())
        """bits of the packet"""
        self._room: float = bits["mask"] + bits["features"]
        self._most_room = MOST_ROOM * self._room
        self._lmbda, self._power = RD_LAMBDA, MOST_POWER / 2

    def __call__(self, features: Features) -> tuple[Tokens, int]:
        """Tokens, and the bits of their packet: at most the limit where `TRIES` are enough to get there."""
        like = self._tokens
        controller = self._quantizer.controller(
            features,
            size=(like.height, like.width),
            reduction=like.reduction,
            robust=like.slices > 1,
            focus=like.focus,
            indices=like.indices,
        )
        tried: list[tuple[float, int]] = []
        for _ in range(TRIES):
            tokens = self._tokens_of(controller)
            bits = sum(self._bits_of(tokens).values())
            if self._tau is None:
                self._room = min(max(self._room + self.limit - bits, 1.0), self._most_room)
            else:
                tried.append((self._lmbda, bits))
                self._move_lmbda(tried)
            if bits <= self.limit:
                break
        return tokens, bits

    def _move_lmbda(self, tried: list[tuple[float, int]]) -> None:
        """Move λ towards the limit, by how bits fell with it in the last two tries; each is λ and its bits."""
        bits = tried[-1][1]
        if len(tried) > 1:
            (less, more_bits), (more, _) = tried[-2:]
            power = math.log(more / less) / math.log(more_bits / bits) if bits < more_bits else MOST_POWER
            self._power = min(max(power, LAMBDA_BY_BITS), MOST_POWER)
        self._lmbda = min(self._lmbda * (bits / self.limit) ** self._power, MOST_LAMBDA)

    def _tokens_of(self, controller: RateController) -> Tokens:
        """Tokens in about the room that is left, or of the λ of now where a share is kept."""
        step = self._tokens.step
        if self._tau is not None:
            layer = self._quantizer.enhancement(controller, OperatingPoint(step, self._lmbda), self._ranking)
            return layer.worst(self._tau)
        point = controller.point_for(self._room, step=step)
        layer = self._quantizer.filled(controller, point, self._room, self._ranking, only_step=True)
        return layer.within(self._room)[0]

    def _bits_of(self, tokens: Tokens) -> dict[str, int]:
        return pack_tokens(self._quantizer.coder, tokens, fingerprint="00" * 8).bits
