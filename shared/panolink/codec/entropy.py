"""Entropy coding of index, mask and feature slices with static integer tables (range coder of ``constriction``).

Symbols are coded grouped by class or context, one call a group: static models are two hundred times faster than one
Python call per symbol.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from panolink.codec.liveliness import Liveliness, group_slices, lively_classes
from panolink.codec.tables import LARGEST, NO_CONTEXT, TOTAL, Tables
from panolink.errors import BitstreamError

stream: Any = constriction.stream  # type: ignore[attr-defined]  # a compiled module without stubs
RangeEncoder, RangeDecoder = stream.queue.RangeEncoder, stream.queue.RangeDecoder

ESCAPE = 2 * LARGEST + 1
RAW = stream.model.Uniform(1 << 16)
"""sixteen raw bits, for values beyond the tables"""


def _model(frequencies: np.ndarray) -> Any:
    return stream.model.Categorical((frequencies / np.float32(TOTAL)).astype(np.float32), perfect=False)


def _finish(encoder: Any) -> bytes:
    """Compressed words as bytes; zeros at the end are left out, the decoder reads zeros there."""
    return encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def _start(payload: bytes) -> Any:
    padded = payload + bytes(-len(payload) % 4)
    return RangeDecoder(np.frombuffer(padded, dtype="<u4").astype(np.uint32))


class SliceCoder:
    """Codes slices with one model's tables. Every ``encode_…`` has its ``decode_…`` beside it."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._index_models: dict[int, Any] = {}

    @cached_property
    def _symbol_models(self) -> list[Any]:
        return [_model(row) for row in self.tables.symbol_frequencies]

    def _index_model(self, context: int) -> Any:
        if context not in self._index_models:
            self._index_models[context] = _model(self.tables.index_frequencies[context])
        return self._index_models[context]

    # ── indices: the columns of a few rows, coarse to fine ────────────────────────────────────────────────────────

    def encode_indices(self, indices: NDArray[np.int64]) -> bytes:
        """Indices (rows, cols) of one slice → bytes."""
        encoder = RangeEncoder()
        for columns, contexts in self.index_contexts(indices):
            symbols = indices[:, columns].ravel().astype(np.int32)
            for context, members in _groups(contexts.ravel()):
                encoder.encode(symbols[members], self._index_model(context))
        return _finish(encoder)

    def decode_indices(self, payload: bytes, rows: int, cols: int) -> NDArray[np.int64]:
        """Bytes → indices (rows, cols)."""
        decoder = _start(payload)
        indices = np.zeros((rows, cols), dtype=np.int64)
        for columns, contexts in self.index_contexts(indices):
            symbols = np.zeros(contexts.size, dtype=np.int64)
            for context, members in _groups(contexts.ravel()):
                symbols[members] = _decode(decoder, self._index_model(context), len(members))
            indices[:, columns] = symbols.reshape(contexts.shape)
        return indices

    def index_contexts(self, indices: NDArray[np.int64]):
        """Yield (columns, contexts (rows, columns)) pass by pass; a pass sees the indices of earlier ones only.

        Every fourth column first, without context; then the columns halfway between; then the odd ones, each between
        two known neighbours. Columns wrap, as the panorama does. Widths that do not divide by four end with columns
        that are coded without context.
        """
        cols = indices.shape[1]
        known = [c for c in range(cols) if c % 4 == 0 or c >= cols - cols % 4]
        yield np.array(known), np.full((len(indices), len(known)), NO_CONTEXT)
        for start, reach in ((2, 2), (1, 1)):
            columns = np.arange(start, cols - cols % 4, 2 * reach)
            if len(columns):
                clusters = self.tables.clusters[indices]
                left, right = clusters[:, columns - reach], clusters[:, (columns + reach) % cols]
                yield columns, self.tables.pair_contexts[left, right].astype(np.int64)

    # ── mask: which tokens are kept ───────────────────────────────────────────────────────────────────────────────

    def encode_mask(self, kept: NDArray[np.bool_]) -> bytes:
        """Mask (rows, cols) → bytes: six probabilities of 1/256, then the mask, half a checkerboard at a time."""
        probabilities = np.zeros(6, dtype=np.uint8)
        encoder = RangeEncoder()
        passes = []
        for cells, contexts in _mask_contexts(kept):
            for context, members in _groups(contexts):
                bits = kept[cells][members]
                probabilities[context] = np.clip(round(256 * bits.mean()), 1, 255)
                passes.append((bits.astype(np.int32), context))
        for bits, context in passes:
            encoder.encode(bits, _binary(int(probabilities[context])))
        return probabilities.tobytes() + _finish(encoder)

    def decode_mask(self, payload: bytes, rows: int, cols: int) -> NDArray[np.bool_]:
        """Bytes → mask (rows, cols)."""
        if len(payload) < 6:
            raise BitstreamError(f"mask slice of {len(payload)} bytes; at least 6 are needed")
        decoder = _start(payload[6:])
        kept = np.zeros((rows, cols), dtype=bool)
        for cells, contexts in _mask_contexts(kept):
            found = np.zeros(len(contexts), dtype=bool)
            for context, members in _groups(contexts):
                found[members] = _decode(decoder, _binary(payload[context]), len(members))
            kept[cells] = found
        return kept

    # ── features: stepped differences of the kept tokens ──────────────────────────────────────────────────────────

    def encode_features(self, symbols: NDArray[np.int32], classes: NDArray[np.int64]) -> bytes:
        """Symbols and their codes' classes of scale, both (n, dim) → bytes. Symbols of class 0 must be 0."""
        encoder = RangeEncoder()
        raw: list[NDArray[np.int32]] = []
        lively = lively_classes(self.tables, classes, symbols)
        for dims in group_slices(classes.shape[1]):
            values = symbols[:, dims].ravel()
            escaped = np.abs(values) > LARGEST
            coded = np.where(escaped, ESCAPE, values + LARGEST).astype(np.int32)
            for scale, members in _groups(lively[:, dims].ravel()):
                if scale == 0:
                    continue
                encoder.encode(coded[members], self._symbol_models[scale])
                large = values[members][escaped[members]]
                if len(large):
                    raw.append((np.clip(large, -(1 << 15), (1 << 15) - 1) + (1 << 15)).astype(np.int32))
        if raw:
            encoder.encode(np.concatenate(raw), RAW)
        return _finish(encoder)

    def decode_features(self, payload: bytes, classes: NDArray[np.int64]) -> NDArray[np.int32]:
        """Bytes and the codes' classes of scale (n, dim) → symbols (n, dim)."""
        decoder = _start(payload)
        symbols = np.zeros(classes.shape, dtype=np.int32)
        cells = np.arange(classes.size).reshape(classes.shape)
        escaped: list[NDArray[np.int64]] = []
        liveliness = Liveliness(self.tables, len(classes))
        for group, dims in enumerate(group_slices(classes.shape[1])):
            plain = classes[:, dims]
            values = np.zeros(plain.size, dtype=np.int32)
            for scale, members in _groups(liveliness.classes(group, plain).ravel()):
                if scale == 0:
                    continue
                coded = _decode(decoder, self._symbol_models[scale], len(members))
                values[members] = coded - LARGEST
                escaped.append(cells[:, dims].ravel()[members[coded == ESCAPE]])
            symbols[:, dims] = values.reshape(plain.shape)
            liveliness.learn(plain, symbols[:, dims])
        where = np.concatenate(escaped) if escaped else np.zeros(0, dtype=np.int64)
        if len(where):
            symbols.flat[where] = _decode(decoder, RAW, len(where)) - (1 << 15)
        return symbols


def _decode(decoder: Any, model: Any, count: int) -> np.ndarray:
    try:
        return decoder.decode(model, count)
    except (AssertionError, ValueError) as error:
        raise BitstreamError(f"entropy-coded data does not decode: {error}") from None


def _groups(values: NDArray[np.integer]) -> list[tuple[int, NDArray[np.int64]]]:
    """Positions of each distinct value, by ascending value: deterministic on both ends."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    return [(int(values[part[0]]), part) for part in np.split(order, edges) if len(part)]


def _binary(probability: int) -> Any:
    """Law of one bit with P(1) = probability/256."""
    share = np.float32(max(int(probability), 1) / 256)
    return stream.model.Categorical(np.array([1 - share, share], dtype=np.float32), perfect=False)


def _mask_contexts(kept: NDArray[np.bool_]):
    """Yield (cells, contexts): even cells of the checkerboard with context 0, odd ones with 1 + kept neighbours."""
    parity = np.add.outer(np.arange(kept.shape[0]), np.arange(kept.shape[1])) % 2 == 1
    yield ~parity, np.zeros(int((~parity).sum()), dtype=np.int64)
    even = kept & ~parity
    neighbours = np.roll(even, 1, axis=1).astype(np.int64) + np.roll(even, -1, axis=1)
    neighbours[1:] += even[:-1]
    neighbours[:-1] += even[1:]
    yield parity, np.minimum(1 + neighbours[parity], 5)
