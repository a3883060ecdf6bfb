import numpy as np
import pytest

from benchmarks.lib.image_codecs import ImageCodec, bits_per_pixel, encode_at
from benchmarks.lib.rate_points import BASELINES
from panolink.errors import RateError
from panolink.metrics.viewport import vpsnr
from panolink.metrics.ws_psnr import ws_psnr


@pytest.fixture(params=sorted(BASELINES))
def codec(request: pytest.FixtureRequest) -> ImageCodec:
    return BASELINES[request.param]


@pytest.mark.slow
def test_round_trip(codec: ImageCodec, panorama: np.ndarray):
    worst, best = (codec.encode(panorama, quality=codec.sweep[i]) for i in (0, -1))
    assert len(worst) < len(best)
    assert vpsnr(panorama, codec.decode(worst)) < vpsnr(panorama, codec.decode(best))
    assert codec.decode(best).shape == panorama.shape


@pytest.mark.slow
def test_a_target_is_met_as_well_as_qualities_allow(codec: ImageCodec, panorama: np.ndarray):
    data = encode_at(codec, panorama, bpp=0.8)
    assert 0.7 < bits_per_pixel(data, panorama) <= 0.8


@pytest.mark.slow
def test_avif_tuned_for_squared_error_has_less_of_it(panorama: np.ndarray):
    """In as many bits; by itself it is tuned for looks."""
    looks, squared = BASELINES["avif-s4"], BASELINES["avif-s4-psnr"]
    assert looks.version != squared.version
    scores = [ws_psnr(panorama, codec.decode(encode_at(codec, panorama, bpp=0.6))) for codec in (looks, squared)]
    assert scores[1] > scores[0]


@pytest.mark.slow
@pytest.mark.parametrize("bpp", [0.3, 0.6])
def test_jpeg_2000_uses_what_it_is_given(panorama: np.ndarray, bpp: float):
    codec = BASELINES["jpeg2000"]
    assert bits_per_pixel(encode_at(codec, panorama, bpp=bpp), panorama) > 0.95 * bpp


def test_a_target_below_the_lowest_quality(codec: ImageCodec, panorama: np.ndarray):
    with pytest.raises(RateError, match=r"cannot go below 0\.\d+ bpp"):
        encode_at(codec, panorama, bpp=0.001)
