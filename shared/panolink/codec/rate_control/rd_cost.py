"""What a panorama's tokens cost and bring: symbols, bits and drop of error at a step and a lmbda of a bit."""

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
    """Of n tokens."""

    symbols: NDArray[np.int32]
    """(n, dim)"""
    bits: NDArray[np.float32]
    """(n,)"""
    gain: NDArray[np.float32]
    """(n,): drop of squared error, in squared steps"""

    def pays(self, lmbda: float) -> NDArray[np.bool_]:
        """(n,): which tokens save more than ``lmbda`` squared steps a bit."""
        return self.gain > lmbda * self.bits


class TokenCostModel:
    """Prices the tokens of one panorama.

    indices : (rows, cols).
    difference : feature − codebook vector, float32 (rows · cols, dim).
    whole : the rows arrive together or not at all, so that they may tell of one another.
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

    def from_index_context(self, step: int, lmbda: float, part: slice = slice(None)) -> TokenCosts:
        """Tokens of ``part``, knowing the codes around them."""
        return self._priced(step, lmbda, part, self._index_context.of(part))

    def at(self, step: int, lmbda: float) -> TokenCosts:
        """All tokens; those of the second half know the differences of those of the first one that pay."""
        priced = self.from_index_context(step, lmbda)
        return self.with_neighbours(priced, step, lmbda, priced.pays(lmbda))

    def with_neighbours(self, priced: TokenCosts, step: int, lmbda: float, kept: NDArray[np.bool_]) -> TokenCosts:
        """``priced``, its second half priced anew, in place, which knows the differences of the first one's ``kept``
        (n,)."""
        if self.first.all():
            return priced
        early = np.flatnonzero(self.first & kept)
        second = np.flatnonzero(~self.first)
        known = decoded_differences(self.tables, self.indices.shape, early, priced.symbols[early], step)
        found = self.tables.feature_context(self.indices, second, whole=True, differences=known)
        later = self._priced(step, lmbda, second, found)
        for values, new in ((priced.symbols, later.symbols), (priced.bits, later.bits), (priced.gain, later.gain)):
            values[second] = new
        return priced

    def _priced(self, step: int, lmbda: float, part: slice | NDArray[np.int64], found: EntropyParameters) -> TokenCosts:
        steps = self.row_steps[part] + step
        value = self.difference[part] * torch.exp2(torch.from_numpy(steps) / -4).float()[:, None]
        plain = self.tables.classes(self.indices.ravel()[part], steps, found)
        return TokenCosts(*choose_symbols(value.numpy(), plain, found.log_odds, self.tables, self.lengths, lmbda))
