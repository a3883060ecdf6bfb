"""Deciding what to send: ranking tokens, choosing the step, and cutting at a budget of bits.

The cost of each token follows from the tables, so a budget is a sort and a cumulative sum; nothing is coded twice.
"""

from __future__ import annotations

import math
from enum import StrEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.bitstream import Packet
from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.tables import Tables
from panolink.codec.quantization.activation_map import activation_map, error_map
from panolink.codec.quantization.vector_quantizer import look_up, nearest_code
from panolink.codec.rate_control.controller import (
    BITS_BY_STEP,
    COARSEST_STEP,
    DEAREST,
    DEFAULT_STEP,
    FINEST_STEP,
    LENGTH_BITS,
    LMBDA_BY_BITS,
    MASK_HEADER_BITS,
    PILOT_TOKENS,
    RD_LAMBDA,
    WORD_BITS,
    Budget,
    _mask_bits,
)
from panolink.codec.rate_control.rd_cost import TokenCostModel, TokenCosts
from panolink.codec.resolution import WHOLE
from panolink.codec.slicing import FEATURE_SLICE_BITS, MOST_PARTS, feature_parts, slice_rows
from panolink.codec.tokens import Tokens
from panolink.errors import RateError
from panolink.sphere.latitude import latitude_weights


class Ranking(StrEnum):
    """How tokens are ranked: by quality per bit, by quantisation error, or by the paper's activation map."""

    RATE = "rate"
    ERROR = "error"
    PAPER = "paper"


class Quantizer:
    """Turns features into tokens within a budget, with one model's codebook and tables."""

    def __init__(self, codebook: Tensor, tables: Tables) -> None:
        self.codebook, self.tables = codebook, tables
        self.coder = SliceCoder(tables)

    def __call__(
        self,
        features: Tensor,
        *,
        size: tuple[int, int],
        budget: Budget,
        ranking: Ranking,
        reduction: Fraction = WHOLE,
        robust: bool = False,
    ) -> Tokens:
        """Features (1, dim, rows, cols) of a panorama of ``size`` (height, width), reduced by so much → tokens.

        ``robust``: in many slices, any of which may be lost; it costs a tenth of the bits at 0.1 bpp.

        RateError where the budget is below what the base layer costs.
        """
        found = nearest_code(features, self.codebook)
        codes = look_up(found, self.codebook)
        _, dim, rows, cols = features.shape
        difference = (features - codes)[0].permute(1, 2, 0).reshape(-1, dim).float().cpu()
        indices = found[0].cpu().numpy()
        pixels = size[0] * size[1]
        slices = max(slice_rows(rows, cols), min(2, rows)) if robust else 1

        room = math.inf
        if budget.bpp is not None:
            base = self.base_bits(indices, size, slices)
            room = budget.bpp * pixels - base
            if room < 0:
                least = math.ceil(10000 * base / pixels) / 10000
                raise RateError(f"bpp {budget.bpp:g} is below what the base layer costs here; the least is {least:g}")
        pricing = TokenCostModel(self.tables, self.coder.lengths, indices, difference, whole=slices == 1)
        step, lmbda = DEFAULT_STEP if budget.step is None else budget.step, RD_LAMBDA
        if budget.bpp is not None:
            step, lmbda = self.choose_step(pricing, self.usable(room, slices), only=budget.step)
        priced = pricing.at(step, lmbda)

        weight = np.repeat(latitude_weights(rows).numpy(), cols)
        if ranking is Ranking.RATE:
            worth = priced.gain / np.maximum(priced.bits, 0.5)
            scale = np.exp2((pricing.row_steps - pricing.row_steps.min()) / 2) * weight
            activation = np.maximum(priced.gain * scale, 0)
        elif ranking is Ranking.ERROR:
            activation = worth = error_map(features, codes)[0].flatten().cpu().numpy() * weight
        else:
            activation = worth = activation_map(features, codes)[0].flatten().cpu().numpy() * weight
        order = np.argsort(-worth, kind="stable")
        if budget.tau is not None:
            order = order[: round(budget.tau * len(order))]
        elif budget.bpp is None:
            order = order[priced.pays(lmbda)[order]]
        elif ranking is Ranking.RATE and lmbda > RD_LAMBDA / DEAREST:  # else there is room for everything
            order = order[priced.pays(lmbda / 2)[order]]

        def keep(order: NDArray[np.int64]) -> NDArray[np.bool_]:
            if budget.bpp is not None:
                order = order[: self.cut(order, priced.bits, indices.shape, room, slices)]
            kept = np.zeros(indices.size, dtype=bool)
            kept[order] = True
            return kept

        kept = keep(order)
        if not pricing.first.all():  # the second half is to know what is left of the first one
            first = kept & pricing.first
            priced = pricing.with_neighbours(priced, step, lmbda, first)
            kept = keep(np.concatenate([np.flatnonzero(first), order[~pricing.first[order]]]))
        return Tokens(
            width=size[1],
            height=size[0],
            step=step,
            reduction=reduction,
            slices=slices,
            indices=indices,
            kept=kept.reshape(rows, cols),
            symbols=priced.symbols[kept],
            activation=(activation / max(float(activation.max()), 1e-30)).reshape(rows, cols).astype(np.float32),
        )

    def choose_step(self, pricing: TokenCostModel, room: float, *, only: int | None = None) -> tuple[int, float]:
        """The step, and the lmbda of a bit near RD_LAMBDA, at which all that pays fills ``room`` bits.

        Steps are a quarter octave apart, which is a sixth of the bits; the lmbda fills what lies between. Cutting
        off the tokens that are worth least instead would cost up to half a decibel. ``only``: the step, where it is
        given.
        """
        stride = max(1, pricing.indices.size // PILOT_TOKENS) | 1

        def total(priced: TokenCosts, lmbda: float) -> float:
            keep = priced.pays(lmbda)
            return max(1.0, float(priced.bits[keep].sum() + _mask_bits(int(keep.sum()), len(keep))))

        def spent(step: int, lmbda: float = RD_LAMBDA) -> float:
            return total(pricing.at(step, lmbda), lmbda)

        step = only
        if step is None:  # by a pilot, which knows codes only and so takes a few per cent more
            step, previous, pilot = COARSEST_STEP, 1.0, slice(None, None, stride)
            while (
                bits := stride * total(pricing.from_index_context(step, RD_LAMBDA, pilot), RD_LAMBDA)
            ) < room and step > FINEST_STEP:
                step, previous = step - 2, bits
            if bits > room and step < COARSEST_STEP:
                step += round(2 * math.log(bits / room) / math.log(bits / previous))
        bits = spent(step)
        if only is None and (off := round(math.log(bits / room) / math.log(BITS_BY_STEP))):
            step = min(max(step + off, FINEST_STEP), COARSEST_STEP)
            bits = spent(step)

        def cheaper(lmbda: float, bits: float) -> float:
            return min(max(lmbda * (bits / room) ** power, RD_LAMBDA / DEAREST), RD_LAMBDA * DEAREST)

        lmbda, power = RD_LAMBDA, LMBDA_BY_BITS
        for _ in range(2):
            before, lmbda = lmbda, cheaper(lmbda, bits)
            previous, bits = bits, spent(step, lmbda)
            if bits not in (0, previous):  # the next step is a secant's
                power = min(max(math.log(lmbda / before) / math.log(previous / bits), 0.5), 6.0)
        return step, cheaper(lmbda, bits)

    @staticmethod
    def usable(room: float, slices: int) -> float:
        """What of ``room`` bits is left for symbols and mask, once slices are rounded up to words."""
        parts = feature_parts(room, slices) * slices
        return max(1.0, room - (WORD_BITS + LENGTH_BITS) * (1 + parts))

    def cut(
        self, order: NDArray[np.int64], bits: NDArray[np.float32], shape: tuple[int, ...], room: float, slices: int
    ) -> int:
        """How many of the ranked tokens (``order``, best first) fit into ``room`` bits with their mask and slices.

        The mask's contexts save bits that its entropy does not know: a first cut measures how many, a second one
        spends them. What remains unused is the rounding of slices to whole words.
        """
        total = np.cumsum(bits[order], dtype=np.float64)
        parts = np.clip(np.round(total / (slices * FEATURE_SLICE_BITS)), 1, MOST_PARTS if slices > 1 else 1)
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

    def base_bits(self, indices: NDArray[np.int64], size: tuple[int, int], slices: int) -> int:
        """Bits of everything but mask and features: header, trailer and index slices, to the bit."""
        payloads = self.coder.encode_indices(indices, slices)
        fine = -1  # takes two bytes, as coarse steps do not
        packet = Packet.build(fingerprint="00" * 8, size=size, step=fine, mask=b"", indices=payloads, features=[])
        return sum(packet.bits.values())
