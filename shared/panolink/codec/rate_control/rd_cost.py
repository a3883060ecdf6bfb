"""Per-token rate and distortion reduction, from the entropy coder's tables and without coding anything."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.entropy.feature_coding import decoded_differences
from panolink.codec.entropy.feature_context import DIFFERENCE_NEIGHBOURS, EntropyParameters, first_half
from panolink.codec.entropy.index_context import neighbours_of
from panolink.codec.entropy.tables import Tables
from panolink.codec.rate_control.rdoq import choose_symbols
from panolink.codec.tokens import steps_of_tokens
from panolink.sphere.focus import Focus


@dataclass(frozen=True)
class TokenCosts:
    """What sending the features of n tokens costs and brings, at one quantisation step.

    Attributes
    ----------
    symbols : int16 (n, dim)
        The quantised differences; none (0, dim) where costs alone were asked for.
    bits : float32 (n,)
        Rate R.
    gain : float32 (n,)
        Drop of squared error −ΔD, in squared steps.
    second : optional
        Where the second half was quantised with the first one known, what was predicted of its scales and signs, as the
        cost model holds it.
    """

    symbols: NDArray[np.int16]
    bits: NDArray[np.float32]
    gain: NDArray[np.float32]
    second: EntropyParameters | tuple[Tensor, Tensor] | None = field(default=None, kw_only=True)

    def pays(self, lmbda: float) -> NDArray[np.bool_]:
        """Which tokens lower D + λ·R, bool (n,): those that save more than ``lmbda`` squared steps a bit."""
        return self.gain > lmbda * self.bits

    @property
    def rd_slope(self) -> NDArray[np.float32]:
        """Drop of squared error per bit, float32 (n,)."""
        return np.divide(self.gain, np.maximum(self.bits, 0.5), dtype=np.float32)

    @classmethod
    def nothing(cls, count: int, dim: int, *, symbols: bool = True) -> TokenCosts:
        """Of ``count`` tokens, all zero; without symbols where they are not asked for."""
        shape = (count if symbols else 0, dim)
        return cls(np.zeros(shape, np.int16), np.zeros(count, np.float32), np.zeros(count, np.float32))

    def copy(self) -> TokenCosts:
        """Arrays of its own; ``second`` is left out, which other symbols may follow."""
        return TokenCosts(self.symbols.copy(), self.bits.copy(), self.gain.copy())


class CostModel(Protocol):
    """What rate control asks about n tokens, ``first`` and ``steps`` (n,), at a step and λ: see `TokenCostModel`."""

    indices: NDArray[np.int64]
    first: NDArray[np.bool_]
    steps: NDArray[np.int64]

    def from_index_context(
        self, step: int, lmbda: float, part: NDArray[np.int64] | None = None, *, symbols: bool = True
    ) -> TokenCosts:
        """Costs of some tokens."""
        ...

    def at(self, step: int, lmbda: float) -> TokenCosts:
        """Costs of all tokens."""
        ...

    def with_first(self, costs: TokenCosts, step: int, lmbda: float) -> TokenCosts:
        """Costs with the first half quantised anew."""
        ...

    def with_neighbours(self, costs: TokenCosts, step: int, lmbda: float, kept: NDArray[np.bool_]) -> TokenCosts:
        """Costs where it is known which tokens of the first half are kept."""
        ...

    def context_of(self, costs: TokenCosts, kept: NDArray[np.bool_]) -> EntropyParameters | None:
        """Scales and signs that were predicted of kept tokens; None where they are not known."""
        ...


class TokenCostModel:
    """Costs of one panorama's tokens, at any step and λ.

    Parameters
    ----------
    indices : int64 (rows, cols)
    difference : float32 (rows · cols, dim)
        Feature − codebook vector; with a ``codebook`` features themselves.
    codebook : (K, dim), optional
        Taken from features when they are quantised, so that their difference takes no memory.
    whole : bool
        The rows arrive together or not at all, so that each may be the context of another. The tokens are coded in two
        halves of a checkerboard then, the second with the differences of the first as context.
    focus : tuple of Focus
        Where steps are finest.

    Attributes
    ----------
    first : bool (rows · cols,)
        The half that is coded first; all tokens where the rows are coded alone.
    """

    def __init__(
        self,
        tables: Tables,
        lengths: NDArray[np.float32],
        indices: NDArray[np.int64],
        difference: Tensor,
        *,
        whole: bool,
        focus: tuple[Focus, ...] = (),
        codebook: Tensor | None = None,
    ) -> None:
        self._codebook = None if codebook is None else np.ascontiguousarray(codebook.float().numpy())
        self.tables, self.lengths, self.whole = tables, lengths, whole
        self.indices, self.difference = indices, difference
        rows, cols = indices.shape
        self._codes = np.ascontiguousarray(indices, dtype=np.int64).ravel()
        self.steps = steps_of_tokens(rows, cols, focus).ravel()
        self.first = first_half(rows, cols) if whole else np.ones(rows * cols, dtype=bool)
        self._latest: tuple[NDArray[np.int8], EntropyParameters] | None = None

    def from_index_context(
        self, step: int, lmbda: float, part: NDArray[np.int64] | None = None, *, symbols: bool = True
    ) -> TokenCosts:
        """Costs of the tokens ``part`` (n,), or all, where nothing but indices is their context; with or without the
        symbols themselves."""
        cells = np.arange(self.indices.size) if part is None else part
        costs = TokenCosts.nothing(len(cells), self.difference.shape[1], symbols=symbols)
        self._fill_first(costs, step, lmbda, cells, np.arange(len(cells)))
        return costs

    def at(self, step: int, lmbda: float) -> TokenCosts:
        """Costs of all tokens: one full quantisation. The second half's context are those of the first that pay."""
        none = TokenCosts.nothing(*self.difference.shape)
        costs = self.with_first(none, step, lmbda)
        return self.with_neighbours(costs, step, lmbda, costs.pays(lmbda))

    def with_first(self, costs: TokenCosts, step: int, lmbda: float) -> TokenCosts:
        """``costs`` with the first half quantised anew."""
        costs, early = costs.copy(), np.flatnonzero(self.first)
        costs.symbols[early] = 0
        self._fill_first(costs, step, lmbda, early, early)
        return costs

    def with_neighbours(self, costs: TokenCosts, step: int, lmbda: float, kept: NDArray[np.bool_]) -> TokenCosts:
        """``costs`` with the second half quantised anew: its context are the differences of the first one's ``kept``
        (rows · cols,)."""
        if self.first.all():
            return costs
        costs, second = costs.copy(), np.flatnonzero(~self.first)
        costs.symbols[second] = 0
        context = self._fill_second(costs, step, lmbda, np.flatnonzero(self.first & kept), second)
        return replace(costs, second=context)

    def context_of(self, costs: TokenCosts, kept: NDArray[np.bool_]) -> EntropyParameters | None:
        """Scales and signs that were predicted of the tokens ``kept`` (rows · cols,), with which the symbols of
        ``costs`` were chosen, in their order; None where that of the second half is not known."""
        cells = np.flatnonzero(kept)
        early = self.first[cells]
        if not early.all() and costs.second is None:
            return None
        place = np.cumsum(~self.first) - 1  # among the second half
        return self._gathered(costs.second, cells[early], early, place[cells[~early]])

    def _gathered(
        self, second: Any, first: NDArray[np.int64], early: NDArray[np.bool_], later: NDArray[np.int64]
    ) -> EntropyParameters:
        """What was predicted of n tokens: where ``early`` (n,) that of the tokens ``first``, elsewhere that of the
        second half's places ``later``."""
        known = self._index_context(first)
        if second is None or not len(later):
            return known
        shifts, log_odds = (np.empty((len(early), self.difference.shape[1]), dtype=np.int8) for _ in range(2))
        shifts[early], log_odds[early] = known.shifts, known.log_odds
        shifts[~early], log_odds[~early] = second.shifts[later], second.log_odds[later]
        return EntropyParameters(shifts, log_odds)

    @functools.cached_property
    def _values(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.difference.numpy(), dtype=np.float32)

    @functools.cached_property
    def _predicted(self) -> tuple[EntropyParameters, NDArray[np.bool_]]:
        """What indices let expect of all tokens, and of which of them that is known yet, (rows · cols,)."""
        shifts, log_odds = (np.empty(self.difference.shape, dtype=np.int8) for _ in range(2))
        return EntropyParameters(shifts, log_odds), np.zeros(self.indices.size, dtype=bool)

    def _index_context(self, cells: NDArray[np.int64]) -> EntropyParameters:
        """What indices let expect of the tokens ``cells`` (n,). The second half is hardly ever asked for: it has
        neighbours' differences as context."""
        context, known = self._predicted
        new = cells[~known[cells]]
        if len(new):
            found = self.tables.feature_context(self.indices, new, whole=self.whole)
            context.shifts[new], context.log_odds[new], known[new] = found.shifts, found.log_odds, True
        return context.of(cells)

    def _fill_first(
        self, costs: TokenCosts, step: int, lmbda: float, cells: NDArray[np.int64], places: NDArray[np.int64]
    ) -> None:
        """Quantise the tokens ``cells`` (n,), of which indices are the context; put their costs at ``places`` (n,)."""
        self._put(costs, step, lmbda, cells, self._index_context(cells), places)

    def _fill_second(
        self, costs: TokenCosts, step: int, lmbda: float, early: NDArray[np.int64], second: NDArray[np.int64]
    ) -> EntropyParameters | tuple[Tensor, Tensor]:
        """Quantise the tokens ``second`` in place, with the symbols of the tokens ``early`` as context too, which is
        returned."""
        decoded = decoded_differences(
            self.tables, self.indices.shape, early, costs.symbols[early], self.steps[early] + step
        )
        context = self._neighbour_context(second, decoded)
        self._put(costs, step, lmbda, second, context, second)
        return context

    def _neighbour_context(self, second: NDArray[np.int64], decoded: NDArray[np.int8]) -> EntropyParameters:
        """What is predicted of the second half with the first one's differences ``decoded`` (rows, cols, V). From one
        quantisation to the next a seventh to a third of the tokens see other ones; no others are predicted anew."""
        model = self.tables.feature_context
        if self._latest is None:
            context = model(self.indices, second, whole=True, differences=decoded)
        else:
            before, context = self._latest
            other = np.append((decoded != before).any(axis=2), False)
            stale = np.flatnonzero(other[neighbours_of(second, decoded.shape[:2], DIFFERENCE_NEIGHBOURS)].any(axis=1))
            found = model(self.indices, second[stale], whole=True, differences=decoded)
            context = EntropyParameters(context.shifts.copy(), context.log_odds.copy())
            context.shifts[stale], context.log_odds[stale] = found.shifts, found.log_odds
        self._latest = decoded, context
        return context

    def _put(
        self,
        costs: TokenCosts,
        step: int,
        lmbda: float,
        cells: NDArray[np.int64],
        context: EntropyParameters,
        places: NDArray[np.int64],
    ) -> None:
        choose_symbols(
            self._values,
            self._codes,
            self.steps + step,
            context,
            self.tables,
            self.lengths,
            lmbda,
            codebook=self._codebook,
            cells=cells,
            places=places,
            out=(costs.symbols, costs.bits, costs.gain),
        )
