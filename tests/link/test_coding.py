from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

from panolink.codec.bitstream import Packet
from panolink.codec.codec import Codec
from panolink.codec.quantization.am_vq import Ranking
from panolink.codec.rate_control.controller import DEFAULT_STEP, RD_LAMBDA, OperatingPoint
from panolink.codec.resolution import WHOLE
from panolink.errors import RateError
from panolink.link.coding import Coded, Coding, slices_of
from panolink.sphere.metadata import SphereMetadata


@pytest.fixture
def coding(tiny: Codec, panorama: np.ndarray) -> Coding:
    return Coding(tiny, panorama)


def test_a_panorama_is_encoded_and_quantised_once_for_each_resolution(coding: Coding, monkeypatch) -> None:
    few = coding.quantized(WHOLE, tau=0.1)
    monkeypatch.setattr(type(coding.codec), "extract", None)
    monkeypatch.setattr(type(coding.codec.quantizer), "enhancement", None)
    many = coding.quantized(WHOLE, tau=0.6)
    assert (few.kept.mean(), many.kept.mean()) == pytest.approx((0.1, 0.6), abs=0.01)
    assert few.step == many.step == DEFAULT_STEP and few.slices > 1
    assert many.kept[few.kept].all(), "the worst tokens are kept first"


def test_features_that_are_known_are_not_computed(tiny: Codec, panorama: np.ndarray, monkeypatch) -> None:
    (features,) = tiny.extract([panorama])
    monkeypatch.setattr(type(tiny), "extract", None)
    assert Coding(tiny, panorama, {WHOLE: features}).quantized(WHOLE, tau=0.0).indices.shape == (8, 16)


def test_a_reduced_panorama_keeps_its_size_and_has_fewer_tokens(coding: Coding) -> None:
    half = coding.quantized(Fraction(2), tau=0.2)
    assert (half.height, half.width) == coding.size == (128, 256)
    assert half.reduction == 2 and half.indices.shape == (4, 8)


@pytest.mark.parametrize("bpp", [0.1, 0.2])
def test_a_rate_is_kept_with_metadata_and_all(tiny: Codec, panorama: np.ndarray, bpp: float) -> None:
    sphere = SphereMetadata(heading=225.0, pitch=17.0, roll=-12.0)
    coded = Coding(tiny, panorama, sphere=sphere).at_rate(bpp)
    assert 0.85 * bpp < coded.packet.bpp <= bpp
    assert coded.plan.bpp == coded.packet.bpp and coded.plan.slices == slices_of(coded.packet)
    assert Packet.from_bytes(coded.packet.to_bytes()).header.sphere == sphere
    np.testing.assert_array_equal(tiny.unpack(coded.packet).symbols, coded.tokens.symbols)


def test_a_share_is_kept_and_a_rate_below_the_base_layer_is_refused(coding: Coding) -> None:
    assert coding.at_rate(None, tau=0.25).tokens.kept.mean() == pytest.approx(0.25, abs=0.01)
    with pytest.raises(RateError, match="below what the base layer costs here; the least is"):
        coding.at_rate(0.001)


def test_without_a_rate_it_is_what_the_codec_chooses(coding: Coding) -> None:
    coded: Coded = coding.at_rate(None)
    alone = coding.codec.encode(coding.picture, robust=True)
    assert coded.packet.to_bytes() == alone.to_bytes()


def test_stages_take_turns(tiny: Codec, panorama: np.ndarray) -> None:
    seen, open_stages = [], []

    @contextmanager
    def stage(name: str):
        assert not open_stages, f"{name} within {open_stages}"
        open_stages.append(name)
        seen.append(name)
        yield
        open_stages.pop()

    Coding(tiny, panorama, stage=stage).pack(Coding(tiny, panorama, stage=stage).quantized(WHOLE, tau=0.5))
    assert seen == ["encode", "quantize", "quantize", "quantize", "entropy_code"]


def test_a_draft_is_as_long_as_its_packet(coding: Coding) -> None:
    codec, controller = coding.codec, coding.controller(WHOLE)
    enhancement = codec.quantizer.enhancement(controller, OperatingPoint(DEFAULT_STEP, RD_LAMBDA), Ranking.RATE)
    for room in (4000, 20000):
        tokens, bits = enhancement.within(room)
        packet, draft = codec.pack(tokens), codec.draft(tokens, bits)
        assert [piece.layer for piece in draft.slices] == [piece.layer for piece in packet.slices]
        assert sum(draft.bits.values()) == pytest.approx(sum(packet.bits.values()), rel=0.02)
