from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from panolink.codec.bitstream import Layer, Packet
from panolink.codec.codec import DEFAULT_BPP, Codec
from panolink.codec.model import Decoder, load_model
from panolink.codec.resolution import reduce
from panolink.errors import ImageError, ModelError, RateError


def squared_error(image: np.ndarray, reference: np.ndarray) -> float:
    return float(((image.astype(float) - reference) ** 2).mean())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 32), (17, 33), (100, 200), (128, 256), (45, 301), (256, 512)])
@pytest.mark.parametrize("tau", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("robust", [False, True], ids=["whole", "robust"])
def test_tokens_survive_the_bitstream(tiny: Codec, size: tuple[int, int], tau: float, robust: bool):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    (features,) = tiny.extract([image])
    tokens = tiny.quantize(features, size=size, tau=tau, robust=robust)
    assert (tokens.slices > 1) == (robust and size[0] > 16)
    again = tiny.unpack(Packet.from_bytes(tiny.pack(tokens).to_bytes()))
    assert np.array_equal(again.indices, tokens.indices)
    assert np.array_equal(again.kept, tokens.kept)
    assert np.array_equal(again.symbols, tokens.symbols)
    assert again.concealed is None
    assert tiny.reconstruct([again])[0].shape == image.shape


def test_kept_features_come_closer(tiny: Codec, panorama: np.ndarray):
    base_only, some, all_kept = (tiny.decode(tiny.encode(panorama, tau=tau)) for tau in (0, 0.3, 1))
    assert squared_error(all_kept, panorama) < squared_error(some, panorama) < squared_error(base_only, panorama)


def test_a_batch_is_the_same_as_one_by_one(tiny: Codec, panorama: np.ndarray):
    other = np.ascontiguousarray(panorama[:, ::-1])
    small = np.ascontiguousarray(panorama[::2, ::2])
    batch = tiny.extract([panorama, small, other])
    for features, image in zip(batch, (panorama, small, other), strict=True):
        torch.testing.assert_close(features, tiny.extract([image])[0], rtol=1e-2, atol=5e-2)
    packets = [tiny.encode(image, tau=0.5) for image in (panorama, small, other)]
    together = tiny.reconstruct([tiny.unpack(packet) for packet in packets])
    for image, packet in zip(together, packets, strict=True):
        assert np.abs(image.astype(int) - tiny.decode(packet)).max() <= 2


def lose(packet: Packet, layer: Layer, every: int = 2) -> Packet:
    """The packet without each ``every``-th slice of a layer."""
    payloads, seen = [], 0
    for piece in packet.slices:
        seen += piece.layer is layer
        payloads.append(None if piece.layer is layer and seen % every == 0 else piece.payload)
    return Packet.from_payloads(payloads)


def test_lost_features_fall_back_to_codes(tiny: Codec, panorama: np.ndarray):
    image = np.tile(panorama, (2, 2, 1))
    packet = tiny.encode(image, tau=1, robust=True)
    holed = lose(packet, Layer.FEATURES)
    tokens = tiny.unpack(holed)
    assert tokens.concealed is None
    assert 0.3 < tokens.kept.mean() < 0.7
    base, some, whole = (tiny.decode(p) for p in (tiny.encode(image, tau=0), holed, packet))
    assert squared_error(whole, image) < squared_error(some, image) < squared_error(base, image)


def test_lost_indices_are_concealed_and_marked(tiny: Codec, panorama: np.ndarray):
    image = np.tile(panorama, (4, 4, 1))
    packet = tiny.encode(image, tau=0.5, robust=True)
    assert packet.header.index_slices >= 4
    holed = lose(packet, Layer.INDICES, every=4)
    tokens = tiny.unpack(holed)
    assert tokens.concealed is not None and 0.1 < tokens.concealed.mean() < 0.4
    assert not (tokens.concealed & tokens.kept).any()
    picture = tiny.decode(holed)
    black = np.zeros_like(image)
    assert squared_error(picture, image) < 0.3 * squared_error(black, image)


def test_lost_mask_leaves_the_base_layer(tiny: Codec, panorama: np.ndarray):
    packet = tiny.encode(panorama, tau=0.5)
    assert not tiny.unpack(lose(packet, Layer.MASK, every=1)).kept.any()


@pytest.mark.parametrize("reduction", [Fraction(5), Fraction(7, 3), Fraction(1, 2), Fraction(0)], ids=str)
def test_sides_are_reduced_by_what_a_packet_can_say(tiny: Codec, panorama: np.ndarray, reduction: Fraction):
    with pytest.raises(RateError, match=f"sides reduced by {reduction}; allowed: 1, 3/2, 2, 3, 4"):
        tiny.encode(panorama, tau=0.5, reduction=reduction)


def test_what_is_no_token_counts_and_the_least_rate_holds_it(tiny: Codec, panorama: np.ndarray):
    beside, pixels = 400, panorama.shape[0] * panorama.shape[1]
    for bpp in (0.3, None):
        packet = tiny.pack(tiny.tokens_of(panorama, bpp=bpp, beside=beside))
        assert packet.bpp + beside / pixels <= (bpp or DEFAULT_BPP)
    with pytest.raises(RateError, match=r"bpp 0.02 is below what the base layer costs here; the least is") as caught:
        tiny.tokens_of(panorama, bpp=0.02, beside=beside)
    least = float(str(caught.value).split()[-1])
    assert tiny.pack(tiny.tokens_of(panorama, bpp=least, beside=beside)).bpp + beside / pixels <= least


@pytest.mark.parametrize("shape", [(8, 16), (8, 16, 4), (8, 16, 3)])
def test_images_of_the_wrong_shape(tiny: Codec, shape: tuple[int, ...]):
    with pytest.raises(ImageError, match="each side at least 16"):
        tiny.encode(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("value", [0, 255])
def test_constant_images(tiny: Codec, value: int):
    image = np.full((64, 128, 3), value, dtype=np.uint8)
    assert tiny.decode(tiny.encode(image)).shape == image.shape


@pytest.mark.parametrize("size", [(176, 352), (150, 301)], ids=["whole tokens", "padded"])
@pytest.mark.parametrize("reduction", [Fraction(1), Fraction(3, 2)], ids=str)
def test_bands_of_rows_make_no_difference(
    tiny_path: Path, tiny: Codec, panorama: np.ndarray, size: tuple[int, int], reduction: Fraction
) -> None:
    """Same features, packet and picture, with slices lost and concealed too."""
    image = np.ascontiguousarray(np.tile(panorama, (4, 4, 1))[: size[0], : size[1]])
    banded = Codec(load_model(tiny_path), device="cpu", band_pixels=32 * size[1])
    small = reduce(image, reduction)
    (at_once,), (by_rows,) = tiny.extract([small]), banded.extract([small])
    scale = float(at_once.abs().max())
    assert at_once.shape == by_rows.shape
    assert (at_once - by_rows).abs().max() <= (0 if tiny.bfloat16 else 1e-5 * scale)
    packet = tiny.encode(image, tau=0.4, reduction=reduction, robust=True)
    if tiny.bfloat16:
        assert banded.encode(image, tau=0.4, reduction=reduction, robust=True).to_bytes() == packet.to_bytes()
    for one in (packet, lose(packet, Layer.INDICES)):
        difference = banded.decode(one).astype(int) - tiny.decode(one)
        assert np.abs(difference).max() <= (0 if tiny.bfloat16 else 1)


def test_recorded_networks_make_the_same_pictures(tiny: Codec, panorama: np.ndarray):
    own = Codec(tiny.model, device="cpu")
    expected = tiny.encode(panorama, bpp=0.3)
    size = panorama.shape[0], panorama.shape[1]
    own.record(size)
    assert own.encode(panorama, bpp=0.3).to_bytes() == expected.to_bytes()
    assert np.array_equal(own.decode(expected), tiny.decode(expected))
    first, second = own.extract([panorama, panorama[::-1].copy()])
    assert not torch.equal(first, second), "a batch of another size runs as it is"
    own.record(size, batch=2)
    for one, other in zip(own.extract([panorama, panorama[::-1].copy()]), (first, second), strict=True):
        assert torch.equal(one, other)


def test_a_codec_without_a_decoder_codes_and_makes_no_pictures(weights: Callable[[int], Path], panorama: np.ndarray):
    whole, half = (Codec.load(weights(0), decoder=decoder, device="cpu") for decoder in (Decoder.FIDELITY, None))
    half.warm_up()
    half.record((panorama.shape[0], panorama.shape[1]))
    packet = half.encode(panorama, bpp=0.3)
    assert packet.to_bytes() == whole.encode(panorama, bpp=0.3).to_bytes() and half.fingerprint == whole.fingerprint
    assert np.array_equal(half.unpack(packet).symbols, whole.unpack(packet).symbols)
    assert whole.makes_pictures and not half.makes_pictures
    with pytest.raises(ModelError, match="without a decoder: it makes no pictures"):
        half.decode(packet)
