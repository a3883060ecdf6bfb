"""Rate control: resolution, quantisation step, λ and threshold at which a panorama fills a budget of bits.

    panorama ─ pilot ─▶ resolution, step, λ ─ 1st quantisation ─▶ step, λ corrected ─ 2nd quantisation ─▶ threshold

A pilot is a few hundred tokens whose costs stand for all; it is asked at several steps. All tokens are quantised at
most twice (three times half of them, where half is the context of the other), and nothing is entropy-coded but the
mask, whose contexts save bits that its entropy does not know. What a budget leaves for features is its owner's to say
(`Room`): bits here, symbols of a radio in `panolink.link.rate_allocation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.rate_control.rd_cost import CostModel, TokenCostModel, TokenCosts
from panolink.codec.rate_control.rd_cost_device import DeviceTables, DeviceTokenCostModel
from panolink.codec.resolution import WHOLE
from panolink.codec.slicing import FEATURE_SLICE_BITS, MOST_PARTS, feature_parts, index_slices
from panolink.codec.tokens import VectorQuantized
from panolink.errors import RateError

RD_LAMBDA = 0.1
"""λ, squared steps per bit, below which a bit is better spent elsewhere: best of 0.05 to 0.2 on validation panoramas"""

MOST_LAMBDA_RATIO = 3.0
"""λ is at most so many times RD_LAMBDA, and at least RD_LAMBDA divided by it"""

LAMBDA_BY_BITS = 1.5
"""at one step, bits fall about as λ^(−1/1.5)"""

BITS_BY_STEP = 5 / 4
"""a step that is a quarter octave finer takes about so many times the bits"""

DEFAULT_STEP = 8
"""quarter octaves, where neither a rate nor a step is asked for"""

FINEST_STEP, COARSEST_STEP = -8, 28

PILOT_TOKENS = 768

FULL = 1.02
"""times a budget what is aimed at: to cut off the tokens of the least slope costs less than to leave bits unused. The
first quantisation is the last one where it comes to lie between"""

CLOSE_ENOUGH = 0.01
"""share of a budget that a pilot may be off by"""

BITS_BY_REDUCTION = {WHOLE: 1.0, Fraction(3, 2): 0.43, Fraction(2): 0.25, Fraction(3): 0.13, Fraction(4): 0.075}
"""share of its bits at one step that a panorama takes with its sides reduced, indices and features alike: fewer tokens,
which differ more. On the samples a tenth more; a step's error is made up for by λ, a reduction's is not"""

WORD_BITS = 32
"""the range coder ends a slice on a whole word"""

LENGTH_BITS = 16
"""a slice's length in the header"""

MASK_HEADER_BITS = 32
"""what a header with a mask may have beyond one without: a second and third byte of the mask's length, a third and
fourth of a file's feature slice's"""

Room: TypeAlias = Callable[[Sequence[int], float], float]
"""bits that a budget leaves for mask and features, beside index slices of so many bytes each and with a mask of about
so many bits; negative where it does not hold the base layer"""


class OperatingPoint(NamedTuple):
    """Where features are quantised: a step in quarter octaves, and λ in squared steps per bit."""

    step: int
    lmbda: float


@dataclass(frozen=True)
class Budget:
    """How much may be sent: ``bpp`` (all bits ÷ pixels) or ``tau`` (share of tokens kept), and the step, if fixed.

    Raises
    ------
    RateError
        Both of them, or a number out of its range.
    """

    bpp: float | None = None
    tau: float | None = None
    step: int | None = None
    beside: int = 0
    """bits of ``bpp`` that the packet takes for what is no token, such as metadata"""

    def __post_init__(self) -> None:
        if self.bpp is not None and self.tau is not None:
            raise RateError("give bpp or tau, not both")
        if self.bpp is not None and not (math.isfinite(self.bpp) and self.bpp > 0):
            raise RateError(f"bpp is {self.bpp}; it must be a positive number")
        if self.tau is not None and not 0 <= self.tau <= 1:
            raise RateError(f"tau is {self.tau}; the share of tokens kept must be from 0 to 1")
        if self.step is not None and not FINEST_STEP <= self.step <= COARSEST_STEP:
            raise RateError(f"step is {self.step}; it must be from {FINEST_STEP} to {COARSEST_STEP} quarter octaves")


def mask_bits(kept: NDArray[np.int64] | int, tokens: int) -> NDArray[np.float64]:
    """Entropy of a mask that keeps ``kept`` of ``tokens``; its contexts can only save from there."""
    share = np.clip(np.asarray(kept, dtype=np.float64) / tokens, 1e-9, 1 - 1e-9)
    return -tokens * (share * np.log2(share) + (1 - share) * np.log2(1 - share))


def usable_bits(room: float, slices: int) -> float:
    """What of ``room`` bits is left for symbols and mask, once slices are rounded up to words."""
    parts = feature_parts(room, slices) * slices
    return max(1.0, room - (WORD_BITS + LENGTH_BITS) * (1 + parts))


class RateController:
    """Finds step and λ for the tokens of one panorama at one resolution.

    Parameters
    ----------
    base : VectorQuantized
    coder : SliceCoder
        Whose tables tell what tokens cost.
    there : DeviceTables, optional
        The tables on the features' device, where they are to stay there.
    model : CostModel, optional
        Tells it in place of a `TokenCostModel` of the panorama alone.
    """

    def __init__(
        self,
        base: VectorQuantized,
        coder: SliceCoder,
        there: DeviceTables | None = None,
        *,
        model: CostModel | None = None,
    ) -> None:
        self.base = base
        self.model: CostModel = model or _cost_model(base, coder, there)
        self._stride = max(1, base.indices.size // PILOT_TOKENS) | 1
        self._pilots: dict[OperatingPoint, tuple[float, float]] = {}

    def pilot(self, point: OperatingPoint) -> tuple[float, float]:
        """Bits of all that pays at a point, mask included, and those of the mask, by the pilot."""
        if point not in self._pilots:
            tokens = np.arange(0, self.model.indices.size, self._stride)
            costs = self.model.from_index_context(*point, tokens, symbols=False)
            self._pilots[point] = _spent(costs, point.lmbda, self.model.indices.size)
        return self._pilots[point]

    def point_for(self, room: float, *, step: int | None = None) -> OperatingPoint:
        """Step and λ at which what pays fills ``room`` bits, by the pilot.

        Steps are a quarter octave apart, which is a fifth of the bits; λ fills what lies between. Cutting off the
        tokens of the least slope instead would cost up to half a decibel. ``step``: where it is given.
        """
        room = usable_bits(room, self.base.slices)
        if step is None:
            step = self._step_for(room)
        return self._filling(step, room)

    def quantize(
        self, room: float, point: OperatingPoint, *, only_step: bool = False, coarsest: int | None = None
    ) -> tuple[TokenCosts, OperatingPoint]:
        """Quantise all tokens to fill ``room`` bits: once at ``point``, and again at a better one where that is off.

        ``only_step``: the point's step is the only one allowed; ``coarsest`` allowed else. Where tokens are coded in
        halves, the second half's costs are those of the first quantisation, scaled: `with_neighbours` follows anyway,
        when it is known what is kept of the first.
        """
        room, coarsest = usable_bits(room, self.base.slices), COARSEST_STEP if coarsest is None else coarsest
        costs = self.model.at(*point)
        spent, _ = _spent(costs, point.lmbda, costs.bits.size)
        better = self._corrected(point, spent, room, only_step=only_step, coarsest=coarsest)
        if 1 <= spent / room < FULL or better == point:
            return costs, point
        if self.model.first.all():
            del costs  # their symbols, before there are others
            return self.model.at(*better), better
        begun, early = self.model.with_first(costs, *better), self.model.first
        bits_ratio = float(begun.bits[early].sum()) / max(float(costs.bits[early].sum()), 1.0)
        gain_ratio = float(begun.gain[early].sum()) / max(float(costs.gain[early].sum()), 1.0)
        begun.bits[~early] *= np.float32(bits_ratio)
        begun.gain[~early] *= np.float32(gain_ratio)
        return begun, better

    def _corrected(
        self, point: OperatingPoint, spent: float, room: float, *, only_step: bool, coarsest: int
    ) -> OperatingPoint:
        """A better point, where all tokens took ``spent`` bits at ``point``: by the pilot's bits at both."""
        ratio, step = spent / self.pilot(point)[0], point.step
        if not only_step:
            off = ratio * self.pilot(OperatingPoint(step, RD_LAMBDA))[0] / room
            step = min(max(step + round(math.log(off) / math.log(BITS_BY_STEP)), FINEST_STEP), coarsest)
        return self._filling(step, FULL * room / ratio)

    def _filling(self, step: int, room: float) -> OperatingPoint:
        """The point at a step at which the pilot takes ``room`` bits: a secant of log bits over log λ."""
        point, power = OperatingPoint(step, RD_LAMBDA), LAMBDA_BY_BITS
        bits, _ = self.pilot(point)
        for _ in range(3):
            before = point
            point = OperatingPoint(step, _scaled(point.lmbda, (bits / room) ** power))
            previous, (bits, _) = bits, self.pilot(point)
            if abs(math.log(bits / room)) < CLOSE_ENOUGH or bits == previous or point == before:
                break
            power = min(max(math.log(point.lmbda / before.lmbda) / math.log(previous / bits), 0.5), 6.0)
        return point

    def _step_for(self, room: float) -> int:
        """The step at which the pilot's bits at RD_LAMBDA are nearest to ``room``: a secant of their logarithm."""
        step, slope = DEFAULT_STEP, math.log(BITS_BY_STEP)
        finest, coarsest = FINEST_STEP, COARSEST_STEP
        for _ in range(6):
            bits, _ = self.pilot(OperatingPoint(step, RD_LAMBDA))
            finest, coarsest = (max(finest, step), coarsest) if bits > room else (finest, min(coarsest, step))
            following = min(max(step + round(math.log(bits / room) / slope), finest), coarsest)
            if following == step or coarsest - finest < 1:
                break
            before, _ = self.pilot(OperatingPoint(following, RD_LAMBDA))
            slope = min(max(math.log(bits / before) / (following - step), 0.1), 0.7)
            step = following
        return step


def _cost_model(base: VectorQuantized, coder: SliceCoder, there: DeviceTables | None) -> TokenCostModel:
    """Of a panorama alone, where its features are."""
    about = {"whole": base.slices == 1, "focus": base.focus}
    if there is None:
        features, codebook = base.by_token.cpu(), base.codebook.cpu()
        return TokenCostModel(coder.tables, coder.lengths, base.indices, features, codebook=codebook, **about)
    return DeviceTokenCostModel(coder.tables, coder.lengths, base.indices, base.residual, there=there, **about)


def _spent(costs: TokenCosts, lmbda: float, tokens: int) -> tuple[float, float]:
    """Bits of all that pays at λ with its mask, and of the mask; ``costs`` stand for so many ``tokens``."""
    keep, share = costs.pays(lmbda), tokens / max(len(costs.bits), 1)
    mask = share * float(mask_bits(int(keep.sum()), len(keep)))
    return max(1.0, share * float(costs.bits[keep].sum()) + mask), mask


def _scaled(lmbda: float, factor: float) -> float:
    """λ times a factor, as near to RD_LAMBDA as it has to be."""
    return min(max(lmbda * factor, RD_LAMBDA / MOST_LAMBDA_RATIO), RD_LAMBDA * MOST_LAMBDA_RATIO)


def starting_point(controller: RateController, room: Room) -> tuple[OperatingPoint, float] | None:
    """Where to begin with a panorama at one resolution, and the bits that are left for its features; None where the
    base layer does not fit."""
    lengths = controller.base.index_bytes
    if room(lengths, 0.0) < 0:
        return None
    point = controller.point_for(max(room(lengths, 0.0), 1.0))
    left = max(room(lengths, controller.pilot(point)[1]), 0.0)
    return controller.point_for(left), left


def choose_resolution(
    at: Callable[[Fraction], RateController], reductions: Sequence[Fraction], room: Room, fine_enough: Sequence[int]
) -> tuple[RateController, OperatingPoint, float, int | None] | None:
    """The finest resolution at which a budget leaves a step that is fine enough.

    The panorama is looked at with the first reduction; what it takes with others follows by `BITS_BY_REDUCTION`, so
    that all but one of them are ruled out unseen.

    Parameters
    ----------
    at : Callable[[Fraction], RateController]
        The panorama with its sides reduced; asked twice, and again only where a prediction was wrong.
    reductions : Sequence[Fraction]
        To choose from, the finest first.
    room : Room
        What the budget leaves for mask and features.
    fine_enough : Sequence[int]
        Quarter octaves, of each reduction. The coarsest resolution is taken where none is fine enough.

    Returns
    -------
    The panorama at the resolution chosen, the point to begin with, the bits for mask and features there, and the
    coarsest step that is fine enough, None at the coarsest resolution. None where the budget does not hold the base
    layer even there.
    """
    (finest, limit), *coarser = zip(reductions, fine_enough, strict=True)
    controller = first = at(finest)
    found = starting_point(controller, room)
    while coarser and not (found and found[0].step <= limit):
        if found and controller is not first and found[0].step == limit + 1:
            found = found[0]._replace(step=limit), found[1]  # off by a little: λ makes up for it
            break
        while len(coarser) > 1 and not _expected_to_fit(first, *coarser[0], room):
            coarser.pop(0)
        reduction, limit = coarser.pop(0)
        controller = at(reduction)
        found = starting_point(controller, room)
    if found is None:
        return None
    coarsest = None if controller.base.reduction == reductions[-1] else limit
    return controller, *found, coarsest


def _expected_to_fit(controller: RateController, reduction: Fraction, step: int, room: Room) -> bool:
    """Whether features are expected to fit with the sides reduced otherwise, at a step."""
    base, need = controller.base, controller.pilot(OperatingPoint(step, RD_LAMBDA))[0]
    rows, cols = (max(1, round(side * base.reduction / reduction)) for side in base.indices.shape)
    share = BITS_BY_REDUCTION[reduction] / BITS_BY_REDUCTION[base.reduction]
    slices = index_slices(rows, cols, robust=base.slices > 1)
    length = math.ceil(share * sum(base.index_bytes) / slices)
    return usable_bits(room([length] * slices, 0.6 * rows * cols), slices) >= share * need


def cut(
    coder: SliceCoder,
    order: NDArray[np.int64],
    bits: NDArray[np.float32],
    shape: tuple[int, ...],
    room: float,
    slices: int,
) -> int:
    """How many of the ranked tokens (``order``, best first) fit into ``room`` bits with their mask and slices.

    The mask's contexts save bits that its entropy does not know: a first cut measures how many, a second one spends
    them. What remains unused is the rounding of slices to whole words.
    """
    total = np.cumsum(bits[order], dtype=np.float64)
    parts = np.clip(np.round(total / (slices * FEATURE_SLICE_BITS)), 1, MOST_PARTS if slices > 1 else 1)
    total += parts * slices * (WORD_BITS + LENGTH_BITS) + MASK_HEADER_BITS
    entropy = mask_bits(np.arange(1, len(order) + 1), len(bits))

    def largest(mask: NDArray[np.float64]) -> int:
        fits = np.flatnonzero(total + mask <= room)
        return int(fits[-1]) + 1 if len(fits) else 0

    def measured(count: int) -> float:
        kept = np.zeros(len(bits), dtype=bool)
        kept[order[:count]] = True
        return 8.0 * len(coder.encode_mask(kept.reshape(shape)))

    count = largest(entropy + 8 * 8 + WORD_BITS)
    if count == 0:
        return 0
    saved = entropy[count - 1] - measured(count)
    count = max(count, largest(entropy - saved))
    while count and total[count - 1] + measured(count) > room:
        count -= max(1, count // 500)
    return max(count, 0)
