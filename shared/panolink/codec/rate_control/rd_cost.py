"""Per-token rate and distortion reduction, from the entropy coder's tables and without coding anything."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.entropy.feature_coding import decoded_differences
from panolink.codec.entropy.feature_context import EntropyParameters, first_half
from panolink.codec.entropy.tables import Tables
from panolink.codec.rate_control.rdoq import choose_symbols
from panolink.codec.tokens import steps_of_rows


@dataclass(frozen=True)
class TokenCosts:
    """What sending the features of n tokens costs and brings, at one quantisation step.

    Attributes
    ----------
    symbols : int32 (n, dim)
        The quantised differences.
    bits : float32 (n,)
        Rate R.
    gain : float32 (n,)
        Drop of squared error −ΔD, in squared steps.
    """

    symbols: NDArray[np.int32]
    bits: NDArray[np.float32]
    gain: NDArray[np.float32]

    def pays(self, lmbda: float) -> NDArray[np.bool_]:
        """Which tokens lower D + λ·R, bool (n,): those that save more than ``lmbda`` squared steps a bit."""
        return self.gain > lmbda * self.bits

    @property
    def rd_slope(self) -> NDArray[np.float32]:
        """Drop of squared error per bit, float32 (n,)."""
        return np.divide(self.gain, np.maximum(self.bits, 0.5), dtype=np.float32)

    def replaced(self, places: NDArray[np.int64], new: TokenCosts) -> TokenCosts:
        """A copy with the tokens at ``places`` (m,) taken from ``new``, which holds m."""
        symbols, bits, gain = self.symbols.copy(), self.bits.copy(), self.gain.copy()
        symbols[places], bits[places], gain[places] = new.symbols, new.bits, new.gain
        return TokenCosts(symbols, bits, gain)


class TokenCostModel:
    """Costs of one panorama's tokens, at any step and λ.

    Parameters
    ----------
    indices : int64 (rows, cols)
    difference : float32 (rows · cols, dim)
        Feature − codebook vector.
    whole : bool
        The rows arrive together or not at all, so that each may be the context of another. The tokens are coded in two
        halves of a checkerboard then, the second with the differences of the first as context.

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
    ) -> None:
        self.tables, self.lengths, self.whole = tables, lengths, whole
        self.indices, self.difference = indices, difference
        rows, cols = indices.shape
        self.row_steps = np.repeat(steps_of_rows(rows), cols)
        self.first = first_half(rows, cols) if whole else np.ones(rows * cols, dtype=bool)

    @functools.cached_property
    def _index_context(self) -> EntropyParameters:
        return self.tables.feature_context(self.indices, np.arange(self.indices.size), whole=self.whole)

    def from_index_context(self, step: int, lmbda: float, part: slice | NDArray[np.int64] = slice(None)) -> TokenCosts:
        """Costs of the tokens ``part`` where nothing but indices is their context."""
        return self._costs(step, lmbda, part, self._index_context.of(part))

    def at(self, step: int, lmbda: float) -> TokenCosts:
        """Costs of all tokens: one full quantisation. The second half's context are those of the first that pay."""
        if self.first.all():
            return self.from_index_context(step, lmbda)
        early = self.from_index_context(step, lmbda, np.flatnonzero(self.first))
        count, dim = self.difference.shape
        none = TokenCosts(np.zeros((count, dim), np.int32), np.zeros(count, np.float32), np.zeros(count, np.float32))
        costs = none.replaced(np.flatnonzero(self.first), early)
        return self.with_neighbours(costs, step, lmbda, costs.pays(lmbda))

    def with_neighbours(self, costs: TokenCosts, step: int, lmbda: float, kept: NDArray[np.bool_]) -> TokenCosts:
        """``costs`` with the second half quantised anew: its context are the differences of the first one's ``kept``
        (rows · cols,)."""
        if self.first.all():
            return costs
        early, second = np.flatnonzero(self.first & kept), np.flatnonzero(~self.first)
        decoded = decoded_differences(self.tables, self.indices.shape, early, costs.symbols[early], step)
        context = self.tables.feature_context(self.indices, second, whole=True, differences=decoded)
        return costs.replaced(second, self._costs(step, lmbda, second, context))

    def _costs(
        self, step: int, lmbda: float, part: slice | NDArray[np.int64], context: EntropyParameters
    ) -> TokenCosts:
        steps = self.row_steps[part] + step
        value = self.difference[part] * torch.exp2(torch.from_numpy(steps) / -4).float()[:, None]
        plain = self.tables.classes(self.indices.ravel()[part], steps, context)
        return TokenCosts(*choose_symbols(value.numpy(), plain, context.log_odds, self.tables, self.lengths, lmbda))
