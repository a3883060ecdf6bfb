from dataclasses import dataclass, replace

import numpy as np
import pytest

from panolink.codec.bitstream import Layer, Packet
from panolink.codec.codec import Codec
from panolink.codec.tokens import steps_of_rows
from panolink.errors import BitstreamError
from panolink.link.analog_features import SideInformation, differences_of, pack_base, received


@dataclass
class ReceivedSegment:
    symbols: np.ndarray
    gains: np.ndarray
    noise_variance: float


@dataclass
class Sender:
    """A panorama's features as amplitudes, all tokens kept."""

    codec: Codec
    image: np.ndarray
    values: int = 1 << 20

    def __post_init__(self) -> None:
        (features,) = self.codec.extract([self.image])
        size = (self.image.shape[0], self.image.shape[1])
        base = self.codec.quantize(features, size=size, tau=0.0, robust=True)
        self.tokens = replace(base, kept=np.ones_like(base.kept))
        self.differences = differences_of(self.codec, features, base.indices)
        self.known = SideInformation.of(self.codec, base.indices, self.tokens.kept, base.slices)
        self.counts = self.known.counts(self.values)
        self.symbols, self.gain_corrections = self.known.modulate(self.differences, self.counts)
        self.packet = pack_base(self.codec, self.tokens)

    def segments(self, noise_variance: float = 0.0, seed: int = 0) -> list[ReceivedSegment]:
        rng = np.random.default_rng(seed)
        noise = [np.sqrt(noise_variance / 2) * rng.standard_normal((x.size, 2)) @ (1, 1j) for x in self.symbols]
        return [
            ReceivedSegment((x + n).astype(np.complex64), np.ones(x.size, np.complex64), noise_variance)
            for x, n in zip(self.symbols, noise, strict=True)
        ]

    def without(self, layer: Layer) -> Packet:
        """The packet as it arrives without the layer's first slice."""
        lost = next(i for i, piece in enumerate(self.packet.slices) if piece.layer == layer)
        return Packet.from_payloads([None if i == lost else p.payload for i, p in enumerate(self.packet.slices)])


@pytest.fixture
def sender(tiny: Codec, panorama: np.ndarray) -> Sender:
    return Sender(tiny, panorama.repeat(3, 0).repeat(3, 1))


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.square(one.astype(np.float64) - other).mean())


def test_without_noise_features_are_exact(sender: Sender) -> None:
    tokens = received(sender.codec, sender.packet, sender.segments(), sender.counts, sender.gain_corrections)
    assert sum(sender.counts) == sender.differences.size
    assert sum(x.size for x in sender.symbols) == sender.differences.size / 2
    assert tokens.differences is not None
    np.testing.assert_allclose(tokens.differences, sender.differences[tokens.kept], atol=1e-3)
    assert tokens.kept.all() and tokens.concealed is None
    power = np.mean([np.mean(np.abs(x) ** 2) for x in sender.symbols])
    assert power == pytest.approx(1, abs=0.025)  # an gain_correction is a byte


def test_the_picture_comes_nearer_with_the_snr(sender: Sender) -> None:
    errors = []
    for snr_db in (-5, 0, 5, 10, 15, 20):
        segments = sender.segments(10 ** (-snr_db / 10))
        tokens = received(sender.codec, sender.packet, segments, sender.counts, sender.gain_corrections)
        errors.append(error(sender.image, sender.codec.reconstruct([tokens])[0]))
    base = error(sender.image, sender.codec.decode(sender.packet))
    assert all(later < sooner for sooner, later in zip([base, *errors], errors, strict=False)), (base, errors)


def test_values_of_the_highest_priority_go_first(tiny: Codec, sender: Sender) -> None:
    """Half the values bring much more than half of what all bring; and the promise is kept."""
    half = Sender(tiny, sender.image, sender.differences.size // 2)
    assert sum(half.counts) <= sender.differences.size // 2
    none = sender.known.expected_error(sender.differences, [0] * len(sender.counts), 0.1)
    some = half.known.expected_error(half.differences, half.counts, 0.1)
    whole = sender.known.expected_error(sender.differences, sender.counts, 0.1)
    assert whole < some < none - 0.75 * (none - whole)
    tokens = received(tiny, half.packet, half.segments(0.1), half.counts, half.gain_corrections)
    assert tokens.differences is not None
    off = half.differences - tokens.differences.reshape(half.differences.shape)
    weight = np.exp2(-steps_of_rows(off.shape[0]) / 2)[:, None, None]
    assert float((weight * np.square(off)).sum()) == pytest.approx(some, rel=0.1)


def test_a_lost_index_slice_takes_its_own_values_along(sender: Sender) -> None:
    packet = sender.without(Layer.INDICES)
    tokens = received(sender.codec, packet, sender.segments(), sender.counts, sender.gain_corrections)
    slices = sender.known.slices
    assert slices > 1
    assert not tokens.kept[0::slices].any() and tokens.kept[1::slices].all()
    assert tokens.concealed is not None and tokens.concealed[0::slices].all()
    assert tokens.differences is not None
    np.testing.assert_allclose(tokens.differences, sender.differences[tokens.kept], atol=1e-3)


def test_what_is_erased_falls_back_to_the_codebook(sender: Sender) -> None:
    segments: list[ReceivedSegment | None] = list(sender.segments())
    segments[0] = None
    last = segments[-1]
    assert last and len(segments) > 2
    last.gains[:] = 0
    tokens = received(sender.codec, sender.packet, segments, sender.counts, sender.gain_corrections)
    slices = sender.known.slices
    assert not tokens.kept[0::slices].any() and not tokens.kept[slices - 1 :: slices].any()
    assert tokens.kept[1::slices].all()
    nothing = received(sender.codec, sender.packet, [None] * slices, sender.counts, sender.gain_corrections)
    assert not nothing.kept.any()
    masked = received(
        sender.codec, sender.without(Layer.MASK), sender.segments(), sender.counts, sender.gain_corrections
    )
    assert not masked.kept.any()


def test_without_the_gain_corrections_amplitudes_are_off_and_no_more(sender: Sender) -> None:
    tokens = received(sender.codec, sender.packet, sender.segments(0.01), sender.counts, None)
    base = error(sender.image, sender.codec.decode(sender.packet))
    assert error(sender.image, sender.codec.reconstruct([tokens])[0]) < base


def test_what_cannot_be_is_refused(sender: Sender) -> None:
    segments, counts = sender.segments(), sender.counts
    with pytest.raises(BitstreamError, match=rf"values of {len(counts) - 1} slices; the packet's header names"):
        received(sender.codec, sender.packet, segments[1:], counts[1:], sender.gain_corrections)
    with pytest.raises(BitstreamError, match="the packet's header names"):
        received(sender.codec, sender.packet, segments, counts, b"")
    with pytest.raises(BitstreamError, match=r"slice 0 has \d+ analogue values; its \d+ kept tokens have fewer"):
        received(sender.codec, sender.packet, segments, [counts[0] + 1, *counts[1:]], sender.gain_corrections)
