"""Feature symbols in the order, and in the bits, of earlier versions: one call of ``constriction`` a class there."""

import constriction
import numpy as np
import pytest

from panolink.codec.entropy.feature_context import sign_frequencies
from panolink.codec.entropy.range_coder import decoder, encode
from panolink.codec.entropy.scale_adaptation import ScaleAdaptation
from panolink.codec.entropy.symbol_order import ESCAPE, SymbolOrder
from panolink.codec.entropy.tables import CLASSES, TOTAL, Tables
from tests.codec.entropy.random_tables import DIM, random_tables

stream = constriction.stream  # type: ignore[attr-defined]  # a compiled module without stubs


@pytest.fixture(scope="module")
def tables() -> Tables:
    return random_tables()


def draw(tokens: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols, some of them beyond the tables, classes and log odds."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, CLASSES, (tokens, DIM)).astype(np.uint8)
    symbols = np.rint(random.laplace(scale=15, size=(tokens, DIM))).astype(np.int32)
    symbols[classes == 0] = 0
    return symbols, classes, random.integers(-15, 16, (tokens, DIM)).astype(np.int8)


def reference(tables: Tables, symbols: np.ndarray, classes: np.ndarray, log_odds: np.ndarray) -> bytes:
    def model(counts: np.ndarray, total: int):
        return stream.model.Categorical((counts / np.float32(total)).astype(np.float32), perfect=False)

    encoder, magnitudes = stream.queue.RangeEncoder(), np.abs(symbols)
    adaptation = ScaleAdaptation(tables, len(classes))
    for group, dims in enumerate(tables.groups):
        adapted = adaptation.classes(group, classes[:, dims]).ravel()
        values = np.minimum(magnitudes[:, dims], ESCAPE).ravel().astype(np.int32)
        for scale in range(1, CLASSES):
            if (adapted == scale).any():
                encoder.encode(values[adapted == scale], model(tables.symbol_frequencies[scale], TOTAL))
        adaptation.update(classes[:, dims], symbols[:, dims])
    large = np.minimum(magnitudes[magnitudes >= ESCAPE], 65535).astype(np.int32)
    if len(large):
        encoder.encode(large, stream.model.Uniform(1 << 16))
    plus, odds = symbols[symbols != 0] > 0, log_odds[symbols != 0]
    agree = np.where(odds < 0, ~plus, plus).astype(np.int32)
    for size in range(16):
        if (abs(odds) == size).any():
            encoder.encode(agree[abs(odds) == size], model(sign_frequencies()[size], 256))
    return encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


@pytest.mark.parametrize("tokens", [1, 9, 120])
def test_slices_are_what_they_always_were(tables: Tables, tokens: int):
    symbols, classes, log_odds = draw(tokens)
    order = SymbolOrder(tables)
    payload = encode(*order.intervals(symbols, classes, log_odds))
    assert payload == reference(tables, symbols, classes, log_odds)
    found = order.decode(*decoder(payload), classes, log_odds)
    assert found is not None and np.array_equal(found, symbols)


def test_a_corrupt_slice_is_decoded_to_something_or_refused(tables: Tables):
    symbols, classes, log_odds = draw(60)
    order = SymbolOrder(tables)
    payload = encode(*order.intervals(symbols, classes, log_odds))
    for place in range(0, len(payload), 7):
        damaged = payload[:place] + bytes([payload[place] ^ 0x55]) + payload[place + 1 :]
        found = order.decode(*decoder(damaged), classes, log_odds)
        assert found is None or found.shape == symbols.shape
    assert order.decode(*decoder(b"\xff" * 9), classes, log_odds) is None
