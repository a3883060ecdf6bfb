"""Deciding what to send: ranking tokens, choosing the step, and cutting at a budget of bits.

The cost of each token follows from the tables, so a budget is a sort and a cumulative sum; nothing is coded twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.activation import activation_map, error_map
from panolink.codec.autoencoder import look_up, nearest_code
from panolink.codec.bitstream import Packet
from panolink.codec.entropy import SliceCoder
from panolink.codec.liveliness import choose_symbols, lively_classes
from panolink.codec.reduction import WHOLE
from panolink.codec.tables import LARGEST, Tables
from panolink.codec.tokens import Tokens, steps_of_rows
from panolink.errors import RateError
from panolink.sphere.latitude import latitude_weights

PAYS = 0.1
"""squared steps per bit below which a bit is better spent elsewhere: best of 0.05 to 0.2 on validation panoramas"""

PRICE_BY_BITS = 1.5
"""at one step, bits fall about as price^(−1/1.5)"""

DEFAULT_STEP = 8
"""quarter octaves, where neither a rate nor a step is asked for"""

DEAREST = 3.0
"""a price is at most so many times PAYS, and at least PAYS divided by it"""

FINEST_STEP, COARSEST_STEP = -8, 28
INDEX_SLICE_TOKENS, SMALLEST_SLICE_TOKENS = 320, 120
FEATURE_SLICE_BITS = 2600
PILOT_TOKENS = 768
WORD_BITS = 32
"""the range coder ends a slice on a whole word"""
LENGTH_BITS = 16
"""a slice's length in the header"""
MASK_HEADER_BITS = 16
"""what a header with a mask may have beyond one without: a second byte of the mask's length, and of a fine step"""


class Ranking(StrEnum):
    """How tokens are ranked: by quality per bit, by quantisation error, or by the paper's activation map."""

    RATE = "rate"
    ERROR = "error"
    PAPER = "paper"


@dataclass(frozen=True)
class Budget:
    """How much may be sent: ``bpp`` (all bits ÷ pixels) or ``tau`` (share of tokens kept), and the step, if fixed."""

    bpp: float | None = None
    tau: float | None = None
    step: int | None = None

    def __post_init__(self) -> None:
        if self.bpp is not None and self.tau is not None:
            raise RateError("give bpp or tau, not both")
        if self.bpp is not None and not (math.isfinite(self.bpp) and self.bpp > 0):
            raise RateError(f"bpp is {self.bpp}; it must be a positive number")
        if self.tau is not None and not 0 <= self.tau <= 1:
            raise RateError(f"tau is {self.tau}; the share of tokens kept must be from 0 to 1")
        if self.step is not None and not FINEST_STEP <= self.step <= COARSEST_STEP:
            raise RateError(f"step is {self.step}; it must be from {FINEST_STEP} to {COARSEST_STEP} quarter octaves")


def slice_rows(rows: int, cols: int) -> int:
    """Number of index slices of a grid, at most one per row.

    They hold about INDEX_SLICE_TOKENS tokens each; small grids have smaller ones, so that one that is lost is no more
    than a sixth of the picture, as far as SMALLEST_SLICE_TOKENS allows.
    """
    tokens = rows * cols
    return max(1, min(rows, max(round(tokens / INDEX_SLICE_TOKENS), min(6, tokens // SMALLEST_SLICE_TOKENS))))


def feature_parts(bits: float, index_slices: int) -> int:
    """Feature slices per index slice, so that each holds about FEATURE_SLICE_BITS bits; none where nothing is kept."""
    return 0 if bits <= 0 else max(1, min(16, round(bits / (index_slices * FEATURE_SLICE_BITS))))


class Quantizer:
    """Turns features into tokens within a budget, with one model's codebook and tables."""

    def __init__(self, codebook: Tensor, tables: Tables) -> None:
        self.codebook, self.tables = codebook, tables
        self.coder = SliceCoder(tables)
        self.lengths = tables.code_lengths()

    def __call__(
        self,
        features: Tensor,
        *,
        size: tuple[int, int],
        budget: Budget,
        ranking: Ranking,
        reduction: Fraction = WHOLE,
    ) -> Tokens:
        """Features (1, dim, rows, cols) of a panorama of ``size`` (height, width), reduced by so much → tokens.

        RateError where the budget is below what the base layer costs.
        """
        found = nearest_code(features, self.codebook)
        codes = look_up(found, self.codebook)
        _, dim, rows, cols = features.shape
        difference = (features - codes)[0].permute(1, 2, 0).reshape(-1, dim).float().cpu()
        indices = found[0].cpu().numpy()
        pixels = size[0] * size[1]

        room = math.inf
        if budget.bpp is not None:
            base = self.base_bits(indices, size)
            room = budget.bpp * pixels - base
            if room < 0:
                least = math.ceil(10000 * base / pixels) / 10000
                raise RateError(f"bpp {budget.bpp:g} is below what the base layer costs here; the least is {least:g}")
        row_steps = np.repeat(steps_of_rows(rows), cols)
        step, price = DEFAULT_STEP if budget.step is None else budget.step, PAYS
        if budget.bpp is not None:
            step, price = self.choose_step(indices.ravel(), difference, row_steps, room, only=budget.step)
        symbols, bits, gain = self.price(indices.ravel(), difference, row_steps + step, price)

        weight = np.repeat(latitude_weights(rows).numpy(), cols)
        if ranking is Ranking.RATE:
            worth = gain / np.maximum(bits, 0.5)
            activation = np.maximum(gain * np.exp2((row_steps - row_steps.min()) / 2) * weight, 0)
        elif ranking is Ranking.ERROR:
            activation = worth = error_map(features, codes)[0].flatten().cpu().numpy() * weight
        else:
            activation = worth = activation_map(features, codes)[0].flatten().cpu().numpy() * weight
        order = np.argsort(-worth, kind="stable")
        if budget.tau is not None:
            count = round(budget.tau * len(order))
        elif budget.bpp is not None:
            if ranking is Ranking.RATE and price > PAYS / DEAREST:  # else there is room for everything
                order = order[: int((gain > price / 2 * bits).sum())]
            count = self.cut(order, bits, indices.shape, room)
        else:
            count = int((gain > price * bits).sum())
        kept = np.zeros(rows * cols, dtype=bool)
        kept[order[:count]] = True
        return Tokens(
            width=size[1],
            height=size[0],
            step=step,
            reduction=reduction,
            indices=indices,
            kept=kept.reshape(rows, cols),
            symbols=symbols[kept],
            activation=(activation / max(float(activation.max()), 1e-30)).reshape(rows, cols).astype(np.float32),
        )

    def price(
        self, indices: NDArray[np.int64], difference: Tensor, steps: NDArray[np.int64], price: float = PAYS
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
        """Symbols (n, dim), bits (n,) and drop of squared error in squared steps (n,) of tokens at their steps (n,).

        ``price``: squared steps that a bit has to save.
        """
        value = difference * torch.exp2(torch.from_numpy(steps) / -4).float()[:, None]
        plain = self.tables.classes(indices, steps)
        return choose_symbols(value.numpy(), plain, self.tables, self.lengths, price)

    def feature_bits(self, symbols: NDArray[np.int32], classes: NDArray[np.int64]) -> float:
        """Bits of symbols (n, dim) whose codes promise ``classes`` (n, dim)."""
        lively = lively_classes(self.tables, classes, symbols)
        return float(self.lengths[lively, np.minimum(np.abs(symbols), LARGEST + 1)].sum())

    def choose_step(
        self,
        indices: NDArray[np.int64],
        difference: Tensor,
        row_steps: NDArray[np.int64],
        room: float,
        *,
        only: int | None = None,
    ) -> tuple[int, float]:
        """The step, and the price of a bit near PAYS, at which all that pays fills ``room`` bits.

        Steps are a quarter octave apart, which is a sixth of the bits; the price fills what lies between. Cutting
        off the tokens that are worth least instead would cost up to half a decibel. ``only``: the step, where it is
        given.
        """
        stride = max(1, len(indices) // PILOT_TOKENS) | 1
        pilot, everything = slice(None, None, stride), slice(None)

        def spent(step: int, price: float, part: slice) -> float:
            _, bits, gain = self.price(indices[part], difference[part], row_steps[part] + step, price)
            keep = gain > price * bits
            return (part.step or 1) * max(1.0, float(bits[keep].sum() + _mask_bits(int(keep.sum()), len(keep))))

        room = max(1.0, room - (WORD_BITS + LENGTH_BITS) * (1 + room / FEATURE_SLICE_BITS))
        step = only
        if step is None:
            step, previous = COARSEST_STEP, 1.0
            while (bits := spent(step, PAYS, pilot)) < room and step > FINEST_STEP:
                step, previous = step - 2, bits
            if bits > room and step < COARSEST_STEP:
                step += round(2 * math.log(bits / room) / math.log(bits / previous))

        def cheaper(price: float, bits: float) -> float:
            return min(max(price * (bits / room) ** power, PAYS / DEAREST), PAYS * DEAREST)

        price, power = PAYS, PRICE_BY_BITS
        bits = spent(step, price, pilot)
        for part in (pilot, everything, everything):
            before, price = price, cheaper(price, bits)
            previous, bits = bits, spent(step, price, part)
            if part is pilot and bits not in (0, previous):  # two points of one part: a secant
                power = min(max(math.log(price / before) / math.log(previous / bits), 0.5), 3.0)
        return step, cheaper(price, bits)

    def cut(self, order: NDArray[np.int64], bits: NDArray[np.float32], shape: tuple[int, ...], room: float) -> int:
        """How many of the ranked tokens (``order``, best first) fit into ``room`` bits with their mask and slices.

        The mask's contexts save bits that its entropy does not know: a first cut measures how many, a second one
        spends them. What remains unused is the rounding of slices to whole words.
        """
        slices = slice_rows(shape[0], shape[1])
        total = np.cumsum(bits[order], dtype=np.float64)
        parts = np.clip(np.round(total / (slices * FEATURE_SLICE_BITS)), 1, 16)
        total += parts * slices * (WORD_BITS + LENGTH_BITS) + MASK_HEADER_BITS
        entropy = _mask_bits(np.arange(1, len(order) + 1), len(bits))

        def largest(mask: NDArray[np.float64]) -> int:
            fits = np.flatnonzero(total + mask <= room)
            return int(fits[-1]) + 1 if len(fits) else 0

        def measured(count: int) -> float:
            kept = np.zeros(len(bits), dtype=bool)
            kept[order[:count]] = True
            return 8.0 * len(self.coder.encode_mask(kept.reshape(shape)))

        count = largest(entropy + 8 * 8 + WORD_BITS)
        if count == 0:
            return 0
        saved = entropy[count - 1] - measured(count)
        count = max(count, largest(entropy - saved))
        while count and total[count - 1] + measured(count) > room:
            count -= max(1, count // 500)
        return max(count, 0)

    def base_bits(self, indices: NDArray[np.int64], size: tuple[int, int]) -> int:
        """Bits of everything but mask and features: header, trailer and index slices, to the bit."""
        slices = slice_rows(*indices.shape)
        payloads = [self.coder.encode_indices(indices[start::slices]) for start in range(slices)]
        packet = Packet.build(fingerprint="00" * 8, size=size, step=0, mask=b"", indices=payloads, features=[])
        return sum(packet.bits.values())


def _mask_bits(kept: NDArray[np.int64] | int, tokens: int) -> NDArray[np.float64]:
    """Entropy of a mask that keeps ``kept`` of ``tokens``; its contexts can only save from there."""
    share = np.clip(np.asarray(kept, dtype=np.float64) / tokens, 1e-9, 1 - 1e-9)
    return -tokens * (share * np.log2(share) + (1 - share) * np.log2(1 - share))


def pad_to_tokens(pixels: Tensor, factor: int) -> Tensor:
    """Pad (batch, 3, H, W) to multiples of ``factor``: columns go on around the sphere, the last row repeats."""
    height, width = pixels.shape[-2:]
    if extra := -width % factor:
        repeats = -(-extra // width)
        pixels = torch.cat([pixels, pixels.repeat(1, 1, 1, repeats)[..., :extra]], dim=-1)
    if extra := -height % factor:
        pixels = torch.cat([pixels, pixels[..., -1:, :].expand(-1, -1, extra, -1)], dim=-2)
    return pixels
