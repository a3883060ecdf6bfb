"""Entropy coding of index, mask and feature slices with integer tables.

Probabilities come from tables and integer networks; `panolink.codec.entropy.range_coder` makes bytes of them, one call
a slice and kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy import mask_coding
from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS
from panolink.codec.entropy.index_context import bands_of, decode_rows, schedule
from panolink.codec.entropy.range_coder import decoder, encode
from panolink.codec.entropy.scale_adaptation import adapted_classes
from panolink.codec.entropy.symbol_order import ESCAPE, SymbolOrder
from panolink.codec.entropy.tables import Tables
from panolink.codec.shapes import IndexGrid, LogOdds, MaskGrid, ScaleClasses, Symbols
from panolink.errors import BitstreamError

CHUNK = 4096
"""tokens whose probabilities are held at a time: 8 MiB for 1024 codes"""

Batch = tuple[Symbols, ScaleClasses, LogOdds]
"""symbols, their scale classes before adaptation, and log odds of their signs, (n, dim) each"""


class SliceCoder:
    """Codes slices with one model's tables. Every ``encode_…`` has its ``decode_…`` beside it.

    Parameters
    ----------
    tables : Tables
        Of the model. ``lengths`` are their `Tables.code_lengths`, (CLASSES, MAX_MAGNITUDE + 2) bits.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables, self.lengths = tables, tables.code_lengths()
        self._order = SymbolOrder(tables)
        self._encoded = functools.lru_cache(maxsize=4)(
            self._encode_indices
        )  # rate control asks for the same ones again

    # ── indices: rows of a grid, each token conditioned on the neighbours decoded so far ──────────────────────────────

    def encode_indices(self, indices: IndexGrid, slices: int = 1) -> tuple[bytes, ...]:
        """Encode the base layer.

        Parameters
        ----------
        indices : (rows, cols)
        slices : int
            Slice s holds the rows s, s + ``slices``, … A single slice is coded with the neighbours above and below as
            context, several with those of the same row only.

        Returns
        -------
        tuple of bytes
            One payload per slice.
        """
        content = np.ascontiguousarray(indices, dtype=np.int64).tobytes()
        rows, cols = indices.shape
        return self._encoded(content, rows, cols, slices)

    def _encode_indices(self, content: bytes, rows: int, cols: int, slices: int) -> tuple[bytes, ...]:
        grid, payloads = np.frombuffer(content, dtype=np.int64).reshape(rows, cols), []
        network = self.tables.index_context
        for first in range(slices):
            indices, parts = grid[first::slices].ravel(), []
            for number, cells, neighbours, bands in self._passes(indices, (rows, cols), first, slices):
                parts.append(network.intervals(number, neighbours, bands, indices[cells]))
            start, width = (np.concatenate(part) for part in zip(*parts, strict=True))
            payloads.append(encode(start, width))
        return tuple(payloads)

    def decode_indices(self, payload: bytes, shape: tuple[int, int], start: int = 0, slices: int = 1) -> IndexGrid:
        """Decode slice ``start`` of ``slices``: those rows of a grid of ``shape`` (rows, cols), see `encode_indices`.

        Raises
        ------
        BitstreamError
            Where the payload does not decode.
        """
        state, words = decoder(payload)
        network, rows = self.tables.index_context, len(range(start, shape[0], slices))
        indices = np.zeros(rows * shape[1], dtype=np.int64)
        for number, cells, neighbours, bands in self._passes(indices, shape, start, slices):
            found = np.empty(len(cells), dtype=np.int64)
            if not decode_rows(state, words, network.cumulative(number, neighbours, bands), found):
                raise BitstreamError("entropy-coded indices do not decode")
            indices[cells] = found
        return indices.reshape(rows, shape[1])

    def _passes(self, indices: NDArray[np.int64], shape: tuple[int, int], start: int, slices: int):
        """Yield number, cells (n,), neighbours (n, …) and bands (n,) of each pass in parts; a pass reads ``indices``
        (flat) of earlier passes only."""
        bands = bands_of(shape[0])[start::slices]
        for step in schedule(len(bands), shape[1], whole=slices == 1):
            known = np.append(indices, self.tables.codes)[step.neighbours]
            for part in range(0, len(step.cells), CHUNK):
                cells = step.cells[part : part + CHUNK]
                yield step.number, cells, known[part : part + CHUNK], bands[cells // shape[1]]

    # ── mask: which tokens are kept ───────────────────────────────────────────────────────────────────────────────

    def encode_mask(self, kept: MaskGrid) -> bytes:
        """Encode which tokens are kept: see `panolink.codec.entropy.mask_coding`."""
        return mask_coding.encode_mask(kept)

    def decode_mask(self, payload: bytes, rows: int, cols: int) -> MaskGrid:
        """Inverse of `encode_mask`, for a grid of ``rows`` × ``cols``.

        Raises
        ------
        BitstreamError
            Where the payload is too short or does not decode.
        """
        return mask_coding.decode_mask(payload, rows, cols)

    # ── features: quantised differences of the kept tokens ────────────────────────────────────────────────────────

    def encode_features(self, batches: Sequence[Batch]) -> bytes:
        """Encode batches of kept tokens into one slice.

        Parameters
        ----------
        batches : sequence of (symbols, classes, log_odds), each (n, dim)
            A batch may be conditioned on the ones before it. Symbols of class 0 must be 0.
        """
        parts = [self._order.intervals(*batch) for batch in batches]
        start, width = (np.concatenate(part) for part in zip(*parts, strict=True))
        return encode(start, width)

    def feature_bits(self, symbols: Symbols, classes: ScaleClasses, log_odds: LogOdds) -> float:
        """Ideal code length of a batch in bits, as `panolink.codec.rate_control.rdoq.choose_symbols` counts it."""
        adapted = adapted_classes(self.tables, classes, symbols)
        bits = self.lengths[adapted, np.minimum(np.abs(symbols), ESCAPE)]
        signs = SIGN_BITS[log_odds * np.sign(symbols) + MAX_LOG_ODDS] - 1
        return float(bits.sum() + signs[symbols != 0].sum())

    def feature_reader(self, payload: bytes) -> FeatureReader:
        """A reader that decodes the batches of a feature slice in order."""
        return FeatureReader(self._order, payload)


class FeatureReader:
    """Decoder of one feature slice, batch by batch: a batch's parameters may depend on the batches before it."""

    def __init__(self, order: SymbolOrder, payload: bytes) -> None:
        self._order, (self._state, self._words) = order, decoder(payload)

    def decode(self, classes: ScaleClasses, log_odds: LogOdds) -> Symbols:
        """Decode the next batch.

        Parameters
        ----------
        classes, log_odds : (n, dim)
            Scale classes before adaptation, and log odds of signs, as the encoder had them.

        Raises
        ------
        BitstreamError
            Where the payload does not decode.
        """
        symbols = self._order.decode(self._state, self._words, classes, log_odds)
        if symbols is None:
            raise BitstreamError("entropy-coded features do not decode")
        return symbols
