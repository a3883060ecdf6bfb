"""What it costs and brings to change tokens of a reference: refine a feature, or send another index.

All in squared steps of the token, so that the latitude's and the focus's weights are in them, and in bits by the
entropy coder's tables: `panolink.codec.rate_control`, made for single pictures, works on these as on its own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from panolink.codec.concealment import decoder_inputs
from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.feature_context import EntropyParameters
from panolink.codec.entropy.index_context import TOTAL, bands_of
from panolink.codec.rate_control.rd_cost import TokenCosts
from panolink.codec.rate_control.rdoq import choose_symbols
from panolink.codec.streaming.state import NO_FEATURE, Kind, TokenState
from panolink.codec.streaming.update_coding import class_limits, context_of_fresh, merged_codes, new_index_frequencies
from panolink.codec.tokens import VectorQuantized, steps_of_tokens

KIND_BITS = 2.0
"""of the map of kinds, for a token that is not unchanged, beyond the map's entropy"""

NOT_KNOWN = 1e9
"""in place of the squared error of a token of which nothing is known: it has to be sent"""


@dataclass(frozen=True)
class ChangeCosts(TokenCosts):
    """`TokenCosts` of n tokens, for the cheapest way to change each.

    Attributes
    ----------
    kinds : uint8 (n,)
        `Kind` of that change.
    """

    kinds: NDArray[np.uint8]


class ChangeCostModel:
    """Costs of the changes of one panorama's tokens, at any step and λ: takes `TokenCostModel`'s place.

    Parameters
    ----------
    coder : SliceCoder
    base : VectorQuantized
        The panorama.
    reference : TokenState
        Of the same grid.
    codebook : (K, dim)
    noise : float
        Squared error that the sensor's noise alone makes in a token's feature, squared units.
    """

    def __init__(
        self, coder: SliceCoder, base: VectorQuantized, reference: TokenState, codebook: torch.Tensor, noise: float
    ) -> None:
        self._coder, self.tables, self.lengths = coder, coder.tables, coder.lengths
        self.indices, self.reference, self._whole = base.indices, reference, base.slices == 1
        rows, cols = base.indices.shape
        self.steps = steps_of_tokens(rows, cols, base.focus).ravel()
        self.first = np.ones(rows * cols, dtype=bool)
        self._bands = np.repeat(bands_of(rows), cols)
        self._noise = noise
        held, _ = decoder_inputs(reference.tokens(), codebook)
        self.from_reference = _flat(base.features - held)
        self.from_code = base.residual.cpu().numpy()
        self._error = np.square(self.from_reference).sum(axis=1)
        self._code_error = np.square(self.from_code).sum(axis=1)
        self._unknown = reference.unknown.ravel()
        other = (self.indices != reference.indices).ravel() & (self._code_error < self._error)
        self.may_be_new = other | self._unknown

    @property
    def error_over_codes(self) -> float:
        """Squared error of what the reference holds, over that of the nearest codes without features."""
        return float(self._error.sum() / max(self._code_error.sum(), 1e-9))

    @functools.cached_property
    def index_bits(self) -> NDArray[np.float32]:
        """Bits of each token's index where it is new, (n,); 0 where it cannot be."""
        bits, cells = np.zeros(self.indices.size, dtype=np.float32), np.flatnonzero(self.may_be_new)
        reference = self.reference
        own = reference.known_indices(self.tables.codes)
        for begin in range(0, len(cells), 4096):
            some = cells[begin : begin + 4096]
            frequencies = new_index_frequencies(self._coder, reference, own, some, whole=self._whole)
            bits[some] = -np.log2(frequencies[np.arange(len(some)), self.indices.ravel()[some]] / TOTAL)
        return bits

    def from_index_context(
        self, step: int, lmbda: float, part: NDArray[np.int64] | None = None, *, symbols: bool = True
    ) -> ChangeCosts:
        """Costs of the tokens ``part`` (n,), or all."""
        return self._costs(step, lmbda, np.arange(self.indices.size) if part is None else part)

    def at(self, step: int, lmbda: float) -> ChangeCosts:
        """Costs of all tokens: one full quantisation."""
        return self.from_index_context(step, lmbda)

    def with_first(self, costs: TokenCosts, step: int, lmbda: float) -> TokenCosts:
        """All anew: there are no halves."""
        return self.at(step, lmbda)

    def with_neighbours(self, costs: TokenCosts, step: int, lmbda: float, kept: NDArray[np.bool_]) -> TokenCosts:
        """Nothing: no token's difference is the context of another one's."""
        return costs

    def context_of(self, costs: TokenCosts, kept: NDArray[np.bool_]) -> None:
        """None: an update's symbols follow its kinds, see `update_coding`."""

    def _costs(self, step: int, lmbda: float, cells: NDArray[np.int64]) -> ChangeCosts:
        steps = self.steps[cells] + step
        scale = np.exp2(steps / -2.0).astype(np.float32)  # squared steps in a squared unit
        error = np.maximum(self._error[cells] - self._noise, 0) * scale
        count, dim = len(cells), self.from_code.shape[1]
        symbols = np.zeros((count, dim), dtype=np.int16)
        bits, gain = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.float32)
        kinds = np.full(count, Kind.UNCHANGED, dtype=np.uint8)
        # What cannot pay is not looked at: a change brings at most the error that there is.
        paying = np.flatnonzero((error > lmbda * (KIND_BITS + 4)) & ~self._unknown[cells])
        if len(paying):
            found = self._quantised(cells[paying], step, lmbda, new=False)
            symbols[paying], kinds[paying] = found[0], Kind.REFINED
            bits[paying] = found[1] + KIND_BITS
            gain[paying] = np.maximum(found[2] - self._noise * scale[paying], 0)
        new = np.flatnonzero(self.may_be_new[cells] & ((error > lmbda * (KIND_BITS + 2)) | self._unknown[cells]))
        if len(new):
            places = cells[new]
            found = self._quantised(places, step, lmbda, new=True)
            with_feature = found[2] > lmbda * found[1]
            by_code = (self._error[places] - self._code_error[places]) * scale[new] - self._noise * scale[new]
            by_code[self._unknown[places]] = NOT_KNOWN
            new_bits = KIND_BITS + self.index_bits[places] + np.where(with_feature, found[1], 0)
            new_gain = by_code + np.where(with_feature, found[2], 0)
            better = new_gain - lmbda * new_bits > gain[new] - lmbda * bits[new]
            chosen = new[better]
            symbols[chosen] = np.where(with_feature[better, None], found[0][better], 0)
            bits[chosen], gain[chosen] = new_bits[better], new_gain[better]
            kinds[chosen] = np.where(with_feature[better], Kind.NEW_FEATURE, Kind.NEW)
        return ChangeCosts(symbols, bits, gain, kinds)

    def _quantised(
        self, cells: NDArray[np.int64], step: int, lmbda: float, *, new: bool
    ) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.float32]]:
        """Symbols, bits and drop of squared error of tokens with a feature."""
        difference, codes = (self.from_code, self.indices) if new else (self.from_reference, self.reference.indices)
        before = self.reference.steps.ravel()[cells]
        fresh = np.ones(len(cells), dtype=bool) if new else before == NO_FEATURE
        found = (
            np.zeros((len(cells), difference.shape[1]), dtype=np.int16),
            np.zeros(len(cells), dtype=np.float32),
            np.zeros(len(cells), dtype=np.float32),
        )
        context = self._new_context if new else self._old_context
        choose_symbols(
            difference,
            np.ascontiguousarray(codes, dtype=np.int64).ravel(),
            self.steps + step,
            context.of(cells),
            self.tables,
            self.lengths,
            lmbda,
            cells=cells,
            places=np.arange(len(cells)),
            limits=class_limits(self.steps[cells] + step, before, fresh),
            out=found,
        )
        return found

    @functools.cached_property
    def _new_context(self) -> EntropyParameters:
        """Of tokens that may be new, as if all of those around them were."""
        return self._context_of(self.may_be_new, self.indices)

    @functools.cached_property
    def _old_context(self) -> EntropyParameters:
        return self._context_of(self.reference.steps.ravel() == NO_FEATURE, self.reference.indices)

    def _context_of(self, fresh: NDArray[np.bool_], indices: NDArray[np.int64]) -> EntropyParameters:
        cells = np.flatnonzero(fresh)
        codes = merged_codes(self.reference, indices, cells, self.tables.codes, whole=self._whole)
        return context_of_fresh(self.tables, fresh, codes, self._bands[cells])


def _flat(features: torch.Tensor) -> NDArray[np.float32]:
    """(1, dim, rows, cols) as float32 (rows · cols, dim)."""
    return features[0].permute(1, 2, 0).reshape(-1, features.shape[1]).float().cpu().numpy()
