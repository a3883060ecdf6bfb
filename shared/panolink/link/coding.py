"""Source coding of a panorama for the air: at a rate, or whatever fits a budget of symbols."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from panolink.codec.bitstream import metadata_bits
from panolink.codec.resolution import WHOLE, candidates
from panolink.errors import RateError
from panolink.link.rate_allocation import Plan, SymbolBudget, fill
from panolink.link.unequal_protection import Choice, Fixed, Protection, assign_formats
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

if TYPE_CHECKING:
    from panolink.codec.bitstream import Packet
    from panolink.codec.codec import Codec
    from panolink.codec.tokens import Tokens


FINE_ENOUGH = 6
"""quarter octaves: where a budget leaves a coarser step than that, the next smaller picture looks better. Sooner than
for a file (`panolink.codec.resolution`): a base layer that is protected well is dear, and a smaller picture's smaller.
Best of 4 to 12 on 11 validation panoramas at 0.03 to 0.2 symbols per pixel, by 0.3 dB over the file's"""

SPARSE = 0.8
"""share of a budget below which nothing of a panorama is missing: a plain one takes no more"""


Stage: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""called with the name of a stage, for the time that it takes"""


def untimed(_: str) -> AbstractContextManager[None]:
    """Stages that nobody measures."""
    return nullcontext()


class _TooCoarseError(Exception):
    """A budget leaves a step that is too coarse for this resolution."""


@dataclass(frozen=True)
class Coded:
    """A panorama's tokens, their packet, and how its slices are sent.

    Where features are amplitudes, these are the symbols of each index slice's, and how many `values` they are; the
    plan's last slice then is not the packet's, but says how to read them.
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
    codec : the model.
    picture : uint8 (H, W, 3).
    known : its features by the reduction of its sides; those that are missing are added.
    pilot_spacing : every so many symbols one is a pilot; 0: none.
    stage : measures the stages `encode`, `quantize` and `entropy_code`, which may come several times each.
    sphere : metadata that the packet's header carries.
    """

    codec: Codec
    picture: np.ndarray
    known: dict[Fraction, Any] = field(default_factory=dict)
    pilot_spacing: int = 0
    stage: Stage = untimed
    sphere: SphereMetadata = NOTHING_KNOWN

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.picture.shape[0], self.picture.shape[1]

    def at_rate(self, bpp: float | None, tau: float | None = None) -> Coded:
        """Code at ``bpp`` bits per pixel (None: as `Codec.tokens_at`) or with the share ``tau`` of the features kept,
        with the default protection."""
        if tau is not None:
            tokens = self.quantized(WHOLE, tau=tau)
        else:
            if bpp is not None:
                bpp -= metadata_bits(self.sphere) / (self.size[0] * self.size[1])
            with self.stage("quantize"):
                tokens = self.codec.tokens_at(self.picture, bpp, features=self.known, robust=True)
        packet = self._pack(tokens)
        slices = slices_of(packet)
        formats = assign_formats([(layer, len(payload)) for layer, payload in slices if payload])
        return Coded(tokens, packet, Plan(packet.bpp, slices, formats, self.pilot_spacing))

    def within(self, budget: SymbolBudget, protection: Protection | None = None) -> Coded:
        """As much as a budget has room for, at the finest resolution that it leaves a step for that is `FINE_ENOUGH`.
        `protection`: None for the usual one.

        Raises:
            RateError: no room for a header and a slice of the base layer.
        """
        protection = protection or Fixed()
        *finer, coarsest = candidates(math.inf, self.size)
        for reduction in finer:
            try:
                coded = self._filled(budget, protection, reduction, coarsest_step=FINE_ENOUGH)
            except (RateError, _TooCoarseError):
                continue
            complete = coded.tokens.kept.any() or coded.plan.symbols < SPARSE * budget.symbols
            if complete and not coded.plan.unsent:
                return coded
        return self._filled(budget, protection, coarsest)

    def probe(self, budget: SymbolBudget, choice: Choice) -> tuple[Coded, Choice]:
        """What fits most robustly where `within` has no room at the SNR that is counted on.

        A panorama that is refused for what the channel was like teaches nothing of what it is like now. So it is sent
        less safely, at the coarsest resolution, with the first of `Choice.less_safe` that fits.

        Returns
        -------
        coded : what is sent.
        choice : what it is sent with.

        Raises
        ------
        RateError
            No room even with the fastest schemes.
        """
        *_, coarsest = candidates(math.inf, self.size)
        base = slices_of(self._pack(self.quantized(coarsest, tau=0.0)))
        pixels = self.size[0] * self.size[1]

        def pack(bpp: float) -> list[tuple[str, bytes]]:
            if bpp:
                raise RateError("the base layer alone is tried")
            return base

        def fits(tried: Choice) -> bool:
            try:
                fill(pack, budget, tried, pixels=pixels, pilot_spacing=self.pilot_spacing)
            except RateError:
                return False
            return True

        choices = choice.less_safe() or [choice]
        found = choices[min(bisect_left(choices, True, key=fits), len(choices) - 1)]
        return self._filled(budget, found, coarsest), found

    def _filled(
        self, budget: SymbolBudget, protection: Protection, reduction: Fraction, *, coarsest_step: float = math.inf
    ) -> Coded:
        made: dict[float, tuple[Tokens, Packet]] = {}

        def pack(bpp: float) -> list[tuple[str, bytes]]:
            tokens = self.quantized(reduction, bpp=bpp or None, tau=None if bpp else 0.0)
            if bpp and tokens.step > coarsest_step:
                raise _TooCoarseError
            made[bpp] = tokens, self._pack(tokens)
            return slices_of(made[bpp][1])

        pixels = self.size[0] * self.size[1]
        plan = fill(pack, budget, protection, pixels=pixels, pilot_spacing=self.pilot_spacing)
        return Coded(*made[plan.bpp], plan)

    def quantized(self, reduction: Fraction, *, bpp: float | None = None, tau: float | None = None) -> Tokens:
        """The tokens of the panorama with its sides reduced, in slices that decode alone."""
        if reduction not in self.known:
            from panolink.codec.resolution import reduce

            with self.stage("encode"):
                (self.known[reduction],) = self.codec.extract([reduce(self.picture, reduction)])
        with self.stage("quantize"):
            return self.codec.quantize(
                self.known[reduction], size=self.size, bpp=bpp, tau=tau, reduction=reduction, robust=True
            )

    def _pack(self, tokens: Tokens) -> Packet:
        with self.stage("entropy_code"):
            return self.codec.pack(tokens).with_metadata(self.sphere)


def slices_of(packet: Packet) -> list[tuple[str, bytes]]:
    """Layers and payloads of a packet, as the radio takes them."""
    return [(str(piece.layer), piece.payload or b"") for piece in packet.slices]
