"""Entropy coding of index, mask and feature slices with integer tables (range coder of ``constriction``).

Symbols are coded grouped by class or context, or with a matrix of pmfs, one call a group: two hundred times faster than
one Python call per symbol.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from panolink.codec.entropy.feature_context import MAX_LOG_ODDS, SIGN_BITS, first_half, sign_frequencies
from panolink.codec.entropy.index_context import bands_of, schedule
from panolink.codec.entropy.scale_adaptation import ScaleAdaptation, adapted_classes, group_slices
from panolink.codec.entropy.tables import MAX_MAGNITUDE, TOTAL, Tables
from panolink.codec.shapes import IndexGrid, LogOdds, MaskGrid, ScaleClasses, Symbols
from panolink.errors import BitstreamError

stream: Any = constriction.stream  # type: ignore[attr-defined]  # a compiled module without stubs
RangeEncoder, RangeDecoder = stream.queue.RangeEncoder, stream.queue.RangeDecoder

ESCAPE = MAX_MAGNITUDE + 1
CATEGORICAL = stream.model.Categorical(perfect=False)
"""a pmf of its own for each symbol"""

CHUNK = 4096
"""tokens whose pmfs are held at a time: 16 MiB for 1024 codes"""

RAW = stream.model.Uniform(1 << 16)
"""sixteen raw bits, for magnitudes beyond the tables"""

Batch = tuple[Symbols, ScaleClasses, LogOdds]
"""symbols, their scale classes before adaptation, and log odds of their signs, (n, dim) each"""


def _model(frequencies: np.ndarray) -> Any:
    return stream.model.Categorical((frequencies / np.float32(TOTAL)).astype(np.float32), perfect=False)


_SIGNS = [
    stream.model.Categorical((row / np.float32(256)).astype(np.float32), perfect=False) for row in sign_frequencies()
]
"""by |log odds|: 0 for the less likely sign, 1 for the more likely one"""


def _finish(encoder: Any) -> bytes:
    """Compressed words as bytes; zeros at the end are left out, the decoder reads zeros there."""
    return encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def _start(payload: bytes) -> Any:
    padded = payload + bytes(-len(payload) % 4)
    return RangeDecoder(np.frombuffer(padded, dtype="<u4").astype(np.uint32))


class SliceCoder:
    """Codes slices with one model's tables. Every ``encode_…`` has its ``decode_…`` beside it.

    Parameters
    ----------
    tables : Tables
        Of the model. ``lengths`` are their `Tables.code_lengths`, (CLASSES, MAX_MAGNITUDE + 2) bits.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables, self.lengths = tables, tables.code_lengths()
        self._encoded = functools.lru_cache(maxsize=4)(
            self._encode_indices
        )  # rate control asks for the same ones again

    @functools.cached_property
    def _symbol_models(self) -> list[Any]:
        return [_model(row) for row in self.tables.symbol_frequencies]

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
        for start in range(slices):
            encoder, indices = RangeEncoder(), grid[start::slices].ravel()
            for cells, pmfs in self._index_pmfs(indices, (rows, cols), start, slices):
                encoder.encode(indices[cells].astype(np.int32), CATEGORICAL, pmfs)
            payloads.append(_finish(encoder))
        return tuple(payloads)

    def decode_indices(self, payload: bytes, shape: tuple[int, int], start: int = 0, slices: int = 1) -> IndexGrid:
        """Decode slice ``start`` of ``slices``: those rows of a grid of ``shape`` (rows, cols), see `encode_indices`.

        Raises
        ------
        BitstreamError
            Where the payload does not decode.
        """
        decoder = _start(payload)
        rows = len(range(start, shape[0], slices))
        indices = np.zeros(rows * shape[1], dtype=np.int64)
        for cells, pmfs in self._index_pmfs(indices, shape, start, slices):
            indices[cells] = _decode(decoder, CATEGORICAL, pmfs)
        return indices.reshape(rows, shape[1])

    def _index_pmfs(self, indices: NDArray[np.int64], shape: tuple[int, int], start: int, slices: int):
        """Yield (cells (n,), pmfs (n, K)) pass by pass; a pass reads ``indices`` (flat) of earlier passes only."""
        network = self.tables.index_context
        bands = bands_of(shape[0])[start::slices]
        for step in schedule(len(bands), shape[1], whole=slices == 1):
            known = np.append(indices, network.codes)[step.neighbours]
            for part in range(0, len(step.cells), CHUNK):
                cells = step.cells[part : part + CHUNK]
                yield cells, network.pmf(step.number, known[part : part + CHUNK], bands[cells // shape[1]])

    # ── mask: which tokens are kept ───────────────────────────────────────────────────────────────────────────────

    def encode_mask(self, kept: MaskGrid) -> bytes:
        """Encode which tokens are kept: probabilities in 1/256 of six contexts, then both halves of a checkerboard."""
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

    def decode_mask(self, payload: bytes, rows: int, cols: int) -> MaskGrid:
        """Inverse of `encode_mask`, for a grid of ``rows`` × ``cols``.

        Raises
        ------
        BitstreamError
            Where the payload is too short or does not decode.
        """
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

    # ── features: quantised differences of the kept tokens ────────────────────────────────────────────────────────

    def encode_features(self, batches: Sequence[Batch]) -> bytes:
        """Encode batches of kept tokens into one slice.

        Parameters
        ----------
        batches : sequence of (symbols, classes, log_odds), each (n, dim)
            A batch may be conditioned on the ones before it. Symbols of class 0 must be 0.
        """
        encoder = RangeEncoder()
        for symbols, classes, log_odds in batches:
            magnitudes, escaped = np.abs(symbols), np.abs(symbols) > MAX_MAGNITUDE
            coded = np.where(escaped, ESCAPE, magnitudes).astype(np.int32)
            adapted = adapted_classes(self.tables, classes, symbols)
            for dims in group_slices(classes.shape[1]):
                values = coded[:, dims].ravel()
                for scale, members in _groups(adapted[:, dims].ravel()):
                    if scale:
                        encoder.encode(values[members], self._symbol_models[scale])
            large = magnitudes[escaped]
            if len(large):
                encoder.encode(np.minimum(large, (1 << 16) - 1).astype(np.int32), RAW)
            plus, log_odds = symbols[symbols != 0] > 0, log_odds[symbols != 0]
            agree = np.where(log_odds < 0, ~plus, plus)
            for size, members in _groups(np.abs(log_odds)):
                encoder.encode(agree[members].astype(np.int32), _SIGNS[size])
        return _finish(encoder)

    def feature_bits(self, symbols: Symbols, classes: ScaleClasses, log_odds: LogOdds) -> float:
        """Ideal code length of a batch in bits, as `panolink.codec.rate_control.rdoq.choose_symbols` counts it."""
        adapted = adapted_classes(self.tables, classes, symbols)
        bits = self.lengths[adapted, np.minimum(np.abs(symbols), ESCAPE)]
        signs = SIGN_BITS[log_odds * np.sign(symbols) + MAX_LOG_ODDS] - 1
        return float(bits.sum() + signs[symbols != 0].sum())

    def feature_reader(self, payload: bytes) -> FeatureReader:
        """A reader that decodes the batches of a feature slice in order."""
        return FeatureReader(self.tables, self._symbol_models, payload)


class FeatureReader:
    """Decoder of one feature slice, batch by batch: a batch's parameters may depend on the batches before it."""

    def __init__(self, tables: Tables, models: list[Any], payload: bytes) -> None:
        self._tables, self._models, self._decoder = tables, models, _start(payload)

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
        decoder = self._decoder
        symbols = np.zeros(classes.shape, dtype=np.int32)
        adaptation = ScaleAdaptation(self._tables, len(classes))
        for group, dims in enumerate(group_slices(classes.shape[1])):
            initial = classes[:, dims]
            values = np.zeros(initial.size, dtype=np.int32)
            for scale, members in _groups(adaptation.classes(group, initial).ravel()):
                if scale:
                    values[members] = _decode(decoder, self._models[scale], len(members))
            symbols[:, dims] = values.reshape(initial.shape)
            adaptation.update(initial, symbols[:, dims])
        escaped = symbols == ESCAPE
        if escaped.any():
            symbols[escaped] = _decode(decoder, RAW, int(escaped.sum()))
        there = symbols != 0
        log_odds = log_odds[there]
        agree = np.zeros(len(log_odds), dtype=bool)
        for size, members in _groups(np.abs(log_odds)):
            agree[members] = _decode(decoder, _SIGNS[size], len(members))
        symbols[there] *= np.where(agree != (log_odds < 0), 1, -1).astype(np.int32)
        return symbols


def _decode(decoder: Any, model: Any, count: int | np.ndarray) -> np.ndarray:
    """``count`` symbols of one model, or one symbol of each pmf (n, K) given in its place."""
    try:
        return decoder.decode(model, count)
    except (AssertionError, ValueError) as error:
        raise BitstreamError(f"entropy-coded data does not decode: {error}") from None


def _groups(values: NDArray[np.integer]) -> list[tuple[int, NDArray[np.int64]]]:
    """Positions of each distinct value, by ascending value: deterministic on both ends."""
    small = values.astype(np.uint8)  # few values: a radix sort
    order = np.argsort(small, kind="stable")
    counts = np.bincount(small)
    ends = np.cumsum(counts)
    return [(value, order[ends[value] - counts[value] : ends[value]]) for value in np.flatnonzero(counts).tolist()]


def _binary(probability: int) -> Any:
    """Model of a bit with P(1) = probability/256."""
    share = np.float32(max(int(probability), 1) / 256)
    return stream.model.Categorical(np.array([1 - share, share], dtype=np.float32), perfect=False)


def _mask_contexts(kept: MaskGrid):
    """Yield (cells, contexts): even cells of the checkerboard with context 0, odd ones with 1 + kept neighbours."""
    parity = ~first_half(*kept.shape).reshape(kept.shape)
    yield ~parity, np.zeros(int((~parity).sum()), dtype=np.int64)
    even = kept & ~parity
    neighbours = np.roll(even, 1, axis=1).astype(np.int64) + np.roll(even, -1, axis=1)
    neighbours[1:] += even[:-1]
    neighbours[:-1] += even[1:]
    yield parity, np.minimum(1 + neighbours[parity], 5)
