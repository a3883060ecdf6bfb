"""Source coding of a panorama for the air: at a rate, or whatever fits a budget of symbols."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from panolink.codec.bitstream import metadata_bits
from panolink.codec.quantization.am_vq import Enhancement, Ranking
from panolink.codec.rate_control.controller import (
    DEFAULT_STEP,
    RD_LAMBDA,
    OperatingPoint,
    RateController,
    choose_resolution,
)
from panolink.codec.resolution import WHOLE, candidates
from panolink.errors import RateError
from panolink.link.rate_allocation import Plan, SymbolBudget, fill, protected, symbol_room
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

_CORRECTIONS = 3
"""times that a packet is made, where the first turns out too long for its budget"""


Stage: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""called with the name of a stage, for the time that it takes"""


def untimed(_: str) -> AbstractContextManager[None]:
    """Stages that nobody measures."""
    return nullcontext()


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
    _enhancements: dict[Fraction, Enhancement] = field(default_factory=dict, init=False, repr=False)

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
        reductions = candidates(math.inf, self.size)
        room = symbol_room(budget, protection, size=self.size, pilot_spacing=self.pilot_spacing, sphere=self.sphere)
        with ExitStack() as quantizing:

            def at(reduction: Fraction) -> RateController:
                quantizing.close()  # the encoder's time is its own
                controller = self._controller(reduction)
                quantizing.enter_context(self.stage("quantize"))
                return controller

            found = choose_resolution(at, reductions, room, FINE_ENOUGH)
            if found:
                controller, point, bits = found
                coarsest = None if controller.base.reduction == reductions[-1] else FINE_ENOUGH
                ranking = Ranking(self.codec.model.profile.ranking)
                enhancement = self.codec.quantizer.filled(controller, point, bits, ranking, coarsest=coarsest)
        if found:
            return self._filled(budget, protection, enhancement)
        return self._base_layer(budget, protection, reductions[-1])

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
        return self._base_layer(budget, found, coarsest), found

    def _filled(self, budget: SymbolBudget, protection: Protection, enhancement: Enhancement) -> Coded:
        """The base layer, and as much of an enhancement layer as a budget has room for.

        How much that is, is found on drafts of the packet, whose lengths are those that tables let expect; only what is
        sent is entropy-coded. Where that turns out too long, it is done once more with so much less.
        """
        pixels, allowed = self.size[0] * self.size[1], budget
        drafts: dict[float, Tokens] = {}

        def draft(bpp: float) -> list[tuple[str, bytes]]:
            tokens, bits = enhancement.worst(0.0), np.empty(0, np.float32)
            if bpp:
                tokens, bits = enhancement.within(bpp * pixels - base_bits)
            drafts[bpp] = tokens
            return slices_of(self.codec.draft(tokens, bits).with_metadata(self.sphere))

        base_bits = 8 * sum(len(payload) for _, payload in draft(0.0))
        for _ in range(_CORRECTIONS):
            with self.stage("quantize"):
                plan = fill(draft, allowed, protection, pixels=pixels, pilot_spacing=self.pilot_spacing)
            packet = self._pack(drafts[plan.bpp])
            plan = plan.with_payloads(slices_of(packet), protected(draft(0.0), allowed, protection, self.pilot_spacing))
            if plan.symbols <= budget.symbols:
                return Coded(drafts[plan.bpp], packet, plan)
            allowed = SymbolBudget(max(1, allowed.symbols - 2 * (plan.symbols - budget.symbols)))
        raise RateError(f"budget of {budget.symbols} symbols: the packet is longer than its costs tell")

    def _base_layer(self, budget: SymbolBudget, protection: Protection, reduction: Fraction) -> Coded:
        """The base layer alone, or those slices of it that fit."""
        tokens = self.quantized(reduction, tau=0.0)
        packet = self._pack(tokens)
        pixels, slices = self.size[0] * self.size[1], slices_of(packet)

        def pack(bpp: float) -> list[tuple[str, bytes]]:
            if bpp:
                raise RateError("the base layer alone is sent")
            return slices

        return Coded(tokens, packet, fill(pack, budget, protection, pixels=pixels, pilot_spacing=self.pilot_spacing))

    def quantized(self, reduction: Fraction, *, tau: float) -> Tokens:
        """The tokens of the panorama with its sides reduced, in slices that decode alone: the share ``tau`` kept.

        The features are quantised once, whatever is asked for.
        """
        if reduction not in self._enhancements:
            controller, point = self._controller(reduction), OperatingPoint(DEFAULT_STEP, RD_LAMBDA)
            ranking = Ranking(self.codec.model.profile.ranking)
            with self.stage("quantize"):
                self._enhancements[reduction] = self.codec.quantizer.enhancement(controller, point, ranking)
        with self.stage("quantize"):
            return self._enhancements[reduction].worst(tau)

    def _controller(self, reduction: Fraction) -> RateController:
        """Rate control of the panorama with its sides reduced."""
        if reduction not in self.known:
            from panolink.codec.resolution import reduce

            with self.stage("encode"):
                (self.known[reduction],) = self.codec.extract([reduce(self.picture, reduction)])
        with self.stage("quantize"):
            return self.codec.quantizer.controller(
                self.known[reduction], size=self.size, reduction=reduction, robust=True
            )

    def _pack(self, tokens: Tokens) -> Packet:
        with self.stage("entropy_code"):
            return self.codec.pack(tokens).with_metadata(self.sphere)


def slices_of(packet: Packet) -> list[tuple[str, bytes]]:
    """Layers and payloads of a packet, as the radio takes them."""
    return [(str(piece.layer), piece.payload or b"") for piece in packet.slices]
