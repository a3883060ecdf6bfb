"""Source coding of one panorama for a link: encoder, quantisation and packet, each done once and measured.

What is sent of it under a budget of symbols, `panolink.link.rate_allocation` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import StreamPlace, metadata_bits
from panolink.codec.quantization.am_vq import Enhancement, Ranking
from panolink.codec.rate_control.controller import DEFAULT_STEP, RD_LAMBDA, OperatingPoint, RateController
from panolink.codec.resolution import WHOLE, reduce
from panolink.link.symbol_budget import Plan
from panolink.link.unequal_protection import default_schemes
from panolink.sphere.focus import Focus
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

if TYPE_CHECKING:
    from panolink.codec.bitstream import Packet
    from panolink.codec.codec import Codec
    from panolink.codec.tokens import Tokens

Stage: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""called with the name of a stage, for the time that it takes"""


def untimed(_: str) -> AbstractContextManager[None]:
    """Stages that nobody measures."""
    return nullcontext()


@dataclass(frozen=True)
class Coded:
    """A panorama's tokens, their packet, and how its slices are sent.

    Parameters
    ----------
    tokens : Tokens
    packet : Packet
    plan : Plan
        Where features are amplitudes, its last slice is not the packet's, but holds their gain corrections.
    amplitudes : sequence of complex64 (n,)
        Of each index slice the symbols that are its features' amplitudes.
    values : sequence of int
        How many feature values each of these carries.
    """

    tokens: Tokens
    packet: Packet
    plan: Plan
    amplitudes: Sequence[np.ndarray] = ()
    values: Sequence[int] = ()


@dataclass(frozen=True)
class Coding:
    """Codes one panorama.

    Parameters
    ----------
    codec : Codec
        The model.
    picture : np.ndarray
        uint8 (H, W, 3).
    known : dict[Fraction, Any]
        Its features by the reduction of its sides; those that are missing are added.
    pilot_spacing : int
        Every so many symbols one is a pilot; 0: none.
    stage : Stage
        Measures the stages `encode`, `quantize` and `entropy_code`, which may come several times each.
    sphere : SphereMetadata
        Metadata that the packet's header carries.
    focus : tuple[Focus, ...]
        Where somebody looks, as `panolink.sphere.focus.quantized` gives it.
    place : StreamPlace | None
        In a stream, of a whole picture.
    fine_enough : int | None
        Quarter octaves: a budget of symbols that leaves a coarser step takes a smaller picture; None: as is
        best for a single one.
    """

    codec: Codec
    picture: np.ndarray
    known: dict[Fraction, Any] = field(default_factory=dict)
    pilot_spacing: int = 0
    stage: Stage = untimed
    sphere: SphereMetadata = NOTHING_KNOWN
    focus: tuple[Focus, ...] = ()
    place: StreamPlace | None = None
    fine_enough: int | None = None
    _enhancements: dict[Fraction, Enhancement] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.picture.shape[0], self.picture.shape[1]

    def at_rate(self, bpp: float | None, tau: float | None = None) -> Coded:
        """Code at a rate, with the default protection.

        Parameters
        ----------
        bpp : float or None
            Bits per pixel, all counted, above 0; None, and no ``tau``: as `Codec.tokens_at`.
        tau : float, optional
            Share of the features kept, 0 … 1.

        Raises
        ------
        RateError
            ``bpp`` is below what the base layer costs.
        """
        if tau is not None:
            tokens = self.quantized(WHOLE, tau=tau)
        else:
            beside = metadata_bits(self.sphere)
            with self.stage("quantize"):
                tokens = self.codec.tokens_at(
                    self.picture, bpp, features=self.known, robust=True, focus=self.focus, beside=beside
                )
        packet = self.pack(tokens)
        tokens = replace(tokens, predicted=None)  # of no use any more, and half of what the features take
        return Coded(tokens, packet, Plan.of(packet.bpp, slices_of(packet), default_schemes(), self.pilot_spacing))

    def quantized(self, reduction: Fraction, *, tau: float) -> Tokens:
        """Tokens at the default step, in slices that decode alone. Features are quantised once, whatever is asked for.

        Parameters
        ----------
        reduction : Fraction
            By how much the panorama's sides are reduced.
        tau : float
            Share of the features kept, 0 … 1.
        """
        if reduction not in self._enhancements:
            controller, point = self.controller(reduction), OperatingPoint(DEFAULT_STEP, RD_LAMBDA)
            ranking = Ranking(self.codec.model.profile.ranking)
            with self.stage("quantize"):
                self._enhancements[reduction] = self.codec.quantizer.enhancement(controller, point, ranking)
        with self.stage("quantize"):
            return self._enhancements[reduction].worst(tau)

    def controller(self, reduction: Fraction) -> RateController:
        """Rate control of the panorama at a resolution.

        Parameters
        ----------
        reduction : Fraction
            By how much its sides are reduced.
        """
        if reduction not in self.known:
            with self.stage("encode"):
                (self.known[reduction],) = self.codec.extract([reduce(self.picture, reduction)])
        with self.stage("quantize"):
            return self.codec.quantizer.controller(
                self.known[reduction], size=self.size, reduction=reduction, robust=True, focus=self.focus
            )

    def pack(self, tokens: Tokens) -> Packet:
        """Entropy-code tokens."""
        with self.stage("entropy_code"):
            return self.codec.pack(tokens, stream=self.place).with_metadata(self.sphere)

    def draft(self, tokens: Tokens, bits: NDArray[np.float32]) -> Packet:
        """A packet of about the lengths that `pack` would give; ``bits`` as of `Codec.draft`."""
        return self.codec.draft(tokens, bits, stream=self.place).with_metadata(self.sphere)


def slices_of(packet: Packet) -> list[tuple[str, bytes]]:
    """Layers and payloads of a packet, as the radio takes them.

    Parameters
    ----------
    packet : Packet
        Without lost slices.

    Returns
    -------
    list of (str, bytes)
    """
    return [(str(piece.layer), piece.payload or b"") for piece in packet.slices]
