"""The paper's AM-VQ: the activation map ranks tokens, a threshold keeps the worst, features and codes are fused.

    features ─ nearest code (2) ─ ranking by activation map (5, 6) ─ threshold τ ─ fusion (7) ─▶ tokens

Costs of tokens follow from the entropy coder's tables, so a threshold for a budget of bits is a sort and a cumulative
sum. Step and λ are `panolink.codec.rate_control`'s to choose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import Packet
from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.tables import Tables
from panolink.codec.quantization.activation_map import activation_map, error_map
from panolink.codec.quantization.vector_quantizer import CodeSearch
from panolink.codec.rate_control.controller import (
    DEFAULT_STEP,
    MOST_LAMBDA_RATIO,
    RD_LAMBDA,
    Budget,
    OperatingPoint,
    RateController,
    Room,
    cut,
)
from panolink.codec.rate_control.rd_cost import TokenCosts
from panolink.codec.rate_control.rd_cost_device import DeviceTables
from panolink.codec.resolution import WHOLE
from panolink.codec.shapes import Codebook, Features, IndexGrid
from panolink.codec.slicing import index_slices
from panolink.codec.tokens import Predicted, Tokens, VectorQuantized
from panolink.errors import RateError
from panolink.sphere.focus import Focus
from panolink.sphere.latitude import token_weights

SECOND_HALF_RESERVE = 1.03
"""times a budget with which the first half is chosen, while the bits of the second one are an estimate"""


class Ranking(StrEnum):
    """How tokens are ranked: by quality per bit, by quantisation error, or by the paper's activation map."""

    RATE = "rate"
    ERROR = "error"
    PAPER = "paper"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise RateError(f"unknown ranking {value!r}; allowed: {', '.join(cls)}")


class Enhancement:
    """The enhancement layer of a panorama at an operating point, whose threshold is still open.

    Parameters
    ----------
    controller : RateController
        Of the panorama.
    coder : SliceCoder
    costs : TokenCosts
        Of all its tokens, at ``point``.
    point : OperatingPoint
    ranking : Ranking
    """

    def __init__(
        self,
        controller: RateController,
        coder: SliceCoder,
        costs: TokenCosts,
        point: OperatingPoint,
        ranking: Ranking = Ranking.RATE,
    ) -> None:
        self._controller, self._coder, self._costs = controller, coder, costs
        self.point, self._ranking = point, ranking
        base = controller.base
        rows, cols = base.indices.shape
        self._weight = token_weights(rows, cols, base.focus).ravel()
        self._map = None
        if ranking is not Ranking.RATE:
            measure = error_map if ranking is Ranking.ERROR else activation_map
            self._map = measure(base.features, base.codes)[0].flatten().cpu().numpy() * self._weight

    def within(self, room: float) -> tuple[Tokens, NDArray[np.float32]]:
        """The worst tokens that fit ``room`` bits with their mask, and the bits of each, float32 (number kept,)."""
        costs, first = self._costs, self._controller.model.first
        if first.all():
            kept = self._threshold(self._candidates(costs), costs, room)
        else:  # the context of the second half is what is kept of the first one
            kept = first & self._threshold(self._candidates(costs), costs, SECOND_HALF_RESERVE * room)
            costs = self._controller.model.with_neighbours(costs, *self.point, kept)
            second = self._candidates(costs)
            kept = self._threshold(np.concatenate([np.flatnonzero(kept), second[~first[second]]]), costs, room)
        return self._fused(kept, costs), costs.bits[kept]

    def worst(self, tau: float) -> Tokens:
        """The share ``tau`` of the tokens, the worst ones."""
        order = self._order(self._costs)
        return self._all_of(order[: round(tau * len(order))])

    def paying(self) -> Tokens:
        """All tokens that lower D + λ·R."""
        return self._all_of(np.flatnonzero(self._costs.pays(self.point.lmbda)))

    def _order(self, costs: TokenCosts) -> NDArray[np.int64]:
        """All tokens, the one to be kept first before others."""
        return np.argsort(-(costs.rd_slope if self._map is None else self._map), kind="stable")

    def _candidates(self, costs: TokenCosts) -> NDArray[np.int64]:
        """Those of them that pay for their bits where a budget has some left."""
        order = self._order(costs)
        if self._ranking is Ranking.RATE and self.point.lmbda > RD_LAMBDA / MOST_LAMBDA_RATIO:
            return order[costs.pays(self.point.lmbda / 4)[order]]
        return order  # there is room for everything

    def _all_of(self, places: NDArray[np.int64]) -> Tokens:
        """The tokens at ``places``, whatever they take."""
        kept = np.zeros(self._costs.bits.size, dtype=bool)
        kept[places] = True
        model = self._controller.model
        return self._fused(kept, model.with_neighbours(self._costs, *self.point, kept & model.first))

    def _fused(self, kept: NDArray[np.bool_], costs: TokenCosts) -> Tokens:
        """Fusion, formula (7): features of the kept tokens, codes of all others."""
        base = self._controller.base
        rows, cols = base.indices.shape
        symbols, context = costs.symbols[kept], self._controller.model.context_of(costs, kept)
        return Tokens(
            width=base.size[1],
            height=base.size[0],
            step=self.point.step,
            reduction=base.reduction,
            slices=base.slices,
            focus=base.focus,
            indices=base.indices,
            kept=kept.reshape(rows, cols),
            symbols=symbols,
            activation=self._activation().reshape(rows, cols),
            predicted=Predicted(symbols, context) if context else None,
        )

    def _threshold(self, order: NDArray[np.int64], costs: TokenCosts, room: float) -> NDArray[np.bool_]:
        """Which tokens are kept, bool (n,): of the ranked ones, those that fit."""
        base = self._controller.base
        kept = np.zeros(base.indices.size, dtype=bool)
        kept[order[: cut(self._coder, order, costs.bits, base.indices.shape, room, base.slices)]] = True
        return kept

    def _activation(self) -> NDArray[np.float32]:
        """The map that ranked the tokens, float32 (n,) in [0, 1]."""
        activation = self._map
        if activation is None:
            steps = self._controller.model.steps
            activation = np.maximum(self._costs.gain * np.exp2((steps - steps.min()) / 2) * self._weight, 0)
        return (activation / max(float(activation.max()), 1e-30)).astype(np.float32, copy=False)


class Quantizer:
    """Turns features into tokens, with one model's codebook and tables.

    Parameters
    ----------
    codebook : (K, dim)
    tables : Tables
    """

    def __init__(self, codebook: Codebook, tables: Tables) -> None:
        self.codebook, self.tables = codebook, tables
        device = None if codebook.device.type == "cpu" else codebook.device
        self.coder = SliceCoder(tables, device)
        self.nearest_code = CodeSearch(codebook)
        self._there = None
        if device is not None and self.coder.there:
            self._there = DeviceTables(tables, self.coder.lengths, self.coder.there, device)

    def controller(
        self,
        features: Features,
        *,
        size: tuple[int, int],
        reduction: Fraction = WHOLE,
        robust: bool = False,
        focus: tuple[Focus, ...] = (),
        indices: IndexGrid | None = None,
    ) -> RateController:
        """Vector-quantise features, formula (2), and get ready to choose a rate.

        Parameters
        ----------
        features : (1, dim, rows, cols)
        size : (int, int)
            Height and width of the panorama.
        reduction : Fraction
            By how much its sides were reduced.
        robust : bool
            In many slices, any of which may be lost; it costs a tenth of the bits at 0.1 bpp.
        focus : tuple of Focus
            Where somebody looks, as `panolink.sphere.focus.quantized` gives it.
        indices : (rows, cols), optional
            Of the codes, where they are known; None: of the nearest ones.
        """
        if indices is None:
            indices = self.nearest_code(features)[0].cpu().numpy()
        slices = index_slices(*indices.shape, robust=robust)
        lengths = tuple(map(len, self.coder.encode_indices(indices, slices)))
        base = VectorQuantized(size, reduction, features, self.codebook, indices, slices, lengths, focus)
        return RateController(base, self.coder, self._there)

    def quantize(self, controller: RateController, budget: Budget, ranking: Ranking) -> Tokens:
        """Tokens within a budget.

        Raises
        ------
        RateError
            The budget is below what the base layer costs; names the least possible one.
        """
        if budget.bpp is not None:
            room = self.bits_left(controller.base, budget.bpp, budget.beside)
            point = controller.point_for(room, step=budget.step)
            return self.filled(controller, point, room, ranking, only_step=budget.step is not None).within(room)[0]
        point = OperatingPoint(DEFAULT_STEP if budget.step is None else budget.step, RD_LAMBDA)
        enhancement = self.enhancement(controller, point, ranking)
        return enhancement.paying() if budget.tau is None else enhancement.worst(budget.tau)

    def enhancement(self, controller: RateController, point: OperatingPoint, ranking: Ranking) -> Enhancement:
        """The enhancement layer at a point that is given."""
        return Enhancement(controller, self.coder, controller.model.at(*point), point, ranking)

    def filled(
        self,
        controller: RateController,
        point: OperatingPoint,
        room: float,
        ranking: Ranking = Ranking.RATE,
        *,
        only_step: bool = False,
        coarsest: int | None = None,
    ) -> Enhancement:
        """The enhancement layer that fills ``room`` bits: see `RateController.quantize`."""
        costs, point = controller.quantize(room, point, only_step=only_step, coarsest=coarsest)
        return Enhancement(controller, self.coder, costs, point, ranking)

    def bits_left(self, base: VectorQuantized, bpp: float, beside: int = 0) -> float:
        """Bits that ``bpp`` leaves for mask and features; `RateError` where it does not hold the base layer, and the
        bits ``beside`` it."""
        room = bits_room(bpp, base.size, base.focus, beside)(base.index_bytes, 0.0)
        if room < 0:
            least = math.ceil(10000 * (bpp * base.pixels - room) / base.pixels) / 10000
            raise RateError(f"bpp {bpp:g} is below what the base layer costs here; the least is {least:g}")
        return room


def bits_room(bpp: float, size: tuple[int, int], focus: tuple[Focus, ...] = (), beside: int = 0) -> Room:
    """What ``bpp`` leaves for mask and features of a panorama of ``size`` (height, width), to the bit; ``beside``: bits
    that the packet takes for what is no token."""

    def room(index_bytes: Sequence[int], _mask_bits: float) -> float:
        fine = -1  # takes two bytes, as coarse steps do not
        indices = [bytes(count) for count in index_bytes]
        packet = Packet.build(
            fingerprint="00" * 8, size=size, step=fine, mask=b"", indices=indices, features=[], focus=focus
        )
        return bpp * size[0] * size[1] - sum(packet.bits.values()) - beside

    return room
