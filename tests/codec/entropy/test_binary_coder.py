import numpy as np
import pytest

from panolink.codec.entropy.binary_coder import (
    decode_bit,
    encode_bit,
    finished,
    new_decoder,
    new_encoder,
    new_probabilities,
)


def encoded(bits: np.ndarray, contexts: np.ndarray, start: np.ndarray) -> bytes:
    state, out, probabilities = new_encoder(), np.zeros(len(bits) + 8, np.uint8), new_probabilities(start)
    for bit, context in zip(bits.tolist(), contexts.tolist(), strict=True):
        encode_bit(state, out, probabilities[context], bit)
    return finished(state, out)


def decoded(data: bytes, contexts: np.ndarray, start: np.ndarray) -> list[int]:
    content = np.frombuffer(data, np.uint8)
    state, probabilities = new_decoder(content), new_probabilities(start)
    return [decode_bit(state, content, probabilities[context]) for context in contexts.tolist()]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("count", [0, 1, 7, 900])
def test_round_trip(count: int, share: float):
    random = np.random.default_rng(count)
    bits, contexts = (random.random(count) < share).astype(int), random.integers(0, 3, count)
    for start in (np.full(3, 0.5), np.full(3, 0.001), np.full(3, 0.999)):
        assert decoded(encoded(bits, contexts, start), contexts, start) == bits.tolist()


def test_carries_go_through():
    """A probability of next to nothing, hit now and then, drives the low end of the interval close to its top."""
    random = np.random.default_rng(3)
    for _ in range(30):
        bits, contexts = (random.random(300) < 0.97).astype(int), np.zeros(300, int)
        start = np.array([0.004])
        assert decoded(encoded(bits, contexts, start), contexts, start) == bits.tolist()


def test_zeros_alone_take_no_byte():
    assert encoded(np.zeros(500, int), np.zeros(500, int), np.array([0.2])) == b""


def test_length_is_near_the_entropy():
    random = np.random.default_rng(5)
    bits = (random.random(4000) < 0.1).astype(int)
    ones = bits.mean()
    entropy = -4000 * (ones * np.log2(ones) + (1 - ones) * np.log2(1 - ones))
    assert 8 * len(encoded(bits, np.zeros(4000, int), np.array([0.1]))) < 1.04 * entropy


def test_whatever_bytes_decode_to_something():
    random = np.random.default_rng(6)
    for length in (0, 1, 5, 40):
        contexts = np.zeros(200, int)
        assert set(decoded(random.bytes(length), contexts, np.array([0.5]))) <= {0, 1}
