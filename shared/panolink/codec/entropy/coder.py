"""Entropy coding of index, mask and feature slices with integer tables.

Probabilities come from tables and integer networks; `panolink.codec.entropy.range_coder` makes bytes of them, one call
a slice and kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from panolink.codec.entropy import mask_coding
from panolink.codec.entropy.device_context import DeviceFeatureContext
from panolink.codec.entropy.device_index_context import DeviceIndexContext
from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS, EntropyParameters
from panolink.codec.entropy.index_context import bands_of, decode_rows, schedule
from panolink.codec.entropy.range_coder import decoder, encode
from panolink.codec.entropy.scale_adaptation import adapted_classes
from panolink.codec.entropy.symbol_order import ESCAPE, SymbolOrder
from panolink.codec.entropy.tables import Tables
from panolink.codec.shapes import IndexGrid, LogOdds, MaskGrid, ScaleClasses, Symbols
from panolink.cpu import parallel
from panolink.errors import BitstreamError

CHUNK = 4096
"""tokens whose probabilities are held at a time: 8 MiB for 1024 codes"""

COUNTED = 16384
"""tokens whose bits are counted at a time: 50 MiB of 192 dimensions"""

Batch = tuple[Symbols, ScaleClasses, LogOdds]
"""symbols, their scale classes before adaptation, and log odds of their signs, (n, dim) each"""


Reader = tuple[NDArray[np.uint64], NDArray[np.uint32]]
"""state and words of a range decoder"""

Members = slice | NDArray[np.int64]


class SliceCoder:
    """Codes slices with one model's tables. Every ``encode_…`` has its ``decode_…`` beside it.

    Parameters
    ----------
    tables : Tables
        Of the model. ``lengths`` are their `Tables.code_lengths`, (CLASSES, MAX_MAGNITUDE + 2) bits.
    device : torch.device, optional
        Where probabilities of indices, scales and signs are computed, in place of the host.
    """

    def __init__(self, tables: Tables, device: torch.device | None = None) -> None:
        self.tables, self.lengths = tables, tables.code_lengths()
        self._index_context = (
            tables.index_context if device is None else DeviceIndexContext(tables.index_context, device)
        )
        self.there = None if device is None else DeviceFeatureContext(tables.feature_context, device)
        """the feature context model on the device"""
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
        indices, network = np.frombuffer(content, dtype=np.int64), self._index_context
        parts: list[list[tuple[NDArray[np.uint32], NDArray[np.uint32]]]] = [[] for _ in range(slices)]
        for number, cells, neighbours, bands in self._passes(indices, (rows, cols), slices):
            start, width = network.intervals(number, neighbours, bands, indices[cells])
            for own, members in zip(parts, _members(cells // cols, slices), strict=True):
                own.append((start[members], width[members]))
        return tuple(encode(*map(np.concatenate, zip(*own, strict=True))) for own in parts)

    def decode_indices(self, payloads: Sequence[bytes | None], shape: tuple[int, int]) -> IndexGrid:
        """Decode the base layer: the inverse of `encode_indices`.

        Parameters
        ----------
        payloads : sequence of bytes or None
            Of all slices, None where one was lost.
        shape : (int, int)
            Rows and columns of the grid.

        Returns
        -------
        (rows, cols)
            0 in the rows of slices that were lost.

        Raises
        ------
        BitstreamError
            Where a payload does not decode.
        """
        rows, cols = shape
        readers = [None if payload is None else decoder(payload) for payload in payloads]
        indices, network = np.zeros(rows * cols, dtype=np.int64), self._index_context
        for number, cells, neighbours, bands in self._passes(indices, shape, len(payloads)):
            frequencies = network.frequencies(number, neighbours, bands)

            def read(one: tuple[Reader | None, Members], frequencies=frequencies, cells=cells) -> bool:
                reader, members = one
                if reader is None:
                    return True
                own = frequencies[members]
                found = np.zeros(len(own), dtype=np.int64)
                intact = decode_rows(*reader, own, found)
                indices[cells[members]] = found
                return intact

            if not all(parallel(read, zip(readers, _members(cells // cols, len(payloads)), strict=True))):
                raise BitstreamError("entropy-coded indices do not decode")
        return indices.reshape(shape)

    def _passes(self, indices: NDArray[np.int64], shape: tuple[int, int], slices: int):
        """Yield number, cells (n,), neighbours (n, …) and bands (n,) of each pass in parts; a pass reads ``indices``
        (flat) of earlier passes only. Several slices take each pass together: none sees rows but its own."""
        bands = bands_of(shape[0])
        for step in schedule(*shape, whole=slices == 1):
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

    def feature_context(
        self,
        indices: IndexGrid,
        cells: NDArray[np.int64],
        *,
        whole: bool = True,
        differences: NDArray[np.int8] | None = None,
    ) -> EntropyParameters:
        """Scales and signs of tokens: see `panolink.codec.entropy.feature_context.FeatureContextModel`."""
        model = self.tables.feature_context if self.there is None else self.there.of_arrays
        return model(indices, cells, whole=whole, differences=differences)

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
        total = 0.0
        for start in range(0, len(symbols), COUNTED):
            some = slice(start, start + COUNTED)
            part, adapted = symbols[some], adapted_classes(self.tables, classes[some], symbols[some])
            bits = self.lengths[adapted, np.minimum(np.abs(part), ESCAPE)]
            signs = SIGN_BITS[log_odds[some] * np.sign(part) + MAX_LOG_ODDS] - 1
            total += float(bits.sum() + signs[part != 0].sum())
        return total

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


def _members(rows: NDArray[np.integer], slices: int) -> list[Members]:
    """Which of n cells, given by their ``rows`` (n,), are each slice's."""
    if slices == 1:
        return [slice(None)]
    return [*places_by_slice(rows, slices)]


def places_by_slice(rows: NDArray[np.integer], slices: int) -> list[NDArray[np.int64]]:
    """Places, ascending, of each slice's tokens among n, given by their ``rows`` (n,): slice s has the rows s,
    s + ``slices``, …"""
    own = rows % slices
    order = np.argsort(own, kind="stable")
    return np.split(order, np.searchsorted(own[order], np.arange(1, slices)))
