"""Masks in the bits of ``constriction``, as earlier versions wrote them: an implementation in plain NumPy beside it."""

import constriction
import numpy as np
import pytest

from panolink.codec.entropy.feature_context import first_half
from panolink.codec.entropy.mask_coding import decode_mask, encode_mask
from panolink.errors import BitstreamError

stream = constriction.stream  # type: ignore[attr-defined]  # a compiled module without stubs


def reference(kept: np.ndarray) -> bytes:
    """Even cells of the checkerboard with context 0, then odd ones by how many of their neighbours are kept."""
    first = first_half(*kept.shape).reshape(kept.shape)
    even = kept & first
    neighbours = np.roll(even, 1, axis=1).astype(int) + np.roll(even, -1, axis=1)
    neighbours[1:] += even[:-1]
    neighbours[:-1] += even[1:]
    context = np.where(first, 0, np.minimum(1 + neighbours, 5))
    probabilities, encoder = np.zeros(6, np.uint8), stream.queue.RangeEncoder()
    for number in range(6):
        bits = kept[context == number]
        if len(bits):
            probabilities[number] = np.clip(round(256 * bits.mean()), 1, 255)
            share = np.float32(probabilities[number] / 256)
            model = stream.model.Categorical(np.array([1 - share, share], np.float32), perfect=False)
            encoder.encode(bits.astype(np.int32), model)
    return probabilities.tobytes() + encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (3, 5), (8, 2), (16, 32)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_masks_are_what_they_always_were(shape: tuple[int, int], share: float):
    kept = np.random.default_rng(5).random(shape) < share
    payload = encode_mask(kept)
    assert payload == reference(kept)
    assert np.array_equal(decode_mask(payload, *shape), kept)


def test_a_mask_that_is_corrupt_is_decoded_or_refused():
    kept = np.random.default_rng(6).random((16, 32)) < 0.4
    payload, refused = bytearray(encode_mask(kept)), 0
    for place in range(6, len(payload)):
        damaged = bytes(payload[:place]) + bytes([payload[place] ^ 0xFF]) + bytes(payload[place + 1 :])
        try:
            assert decode_mask(damaged, 16, 32).shape == kept.shape
        except BitstreamError:
            refused += 1
    with pytest.raises(BitstreamError, match="mask slice of 5 bytes"):
        decode_mask(bytes(5), 16, 32)
    with pytest.raises(BitstreamError, match="does not decode"):
        decode_mask(bytes([255, *[128] * 5]) + b"\xff" * 64, 64, 64)
