import imagecodecs
import numpy as np
import OpenEXR
import pytest

from panolink.errors import ImageError, LimitError
from panolink.images import count_pixels, read_picture
from panolink.images.hdr import tone_map

LIGHT = np.geomspace(0.01, 100, 64, dtype=np.float32)[None, :, None] * np.ones((32, 1, 3), np.float32)


def radiance(light: np.ndarray = LIGHT) -> bytes:
    return imagecodecs.rgbe_encode(light, header=True)


def exr(tmp_path, light: np.ndarray = LIGHT, compression: int = OpenEXR.ZIP_COMPRESSION, **header: object) -> bytes:
    path = str(tmp_path / "a.exr")
    channels = {name: np.ascontiguousarray(light[..., i]) for i, name in enumerate("RGB")}
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage, **header}, channels).write(path)
    return (tmp_path / "a.exr").read_bytes()


def test_radiance_is_tone_mapped_and_says_so():
    picture = read_picture(radiance(), name="a.hdr")
    row = picture.array[16, :, 0].astype(int)
    assert (np.diff(row) >= 0).all() and row[0] < 30 and row[-1] >= 250
    assert "tone-mapped" in picture.notes[0]
    assert count_pixels(radiance()) == 64 * 32


@pytest.mark.parametrize("compression", [OpenEXR.NO_COMPRESSION, OpenEXR.PIZ_COMPRESSION, OpenEXR.DWAA_COMPRESSION])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_openexr_comes_out_like_radiance(tmp_path, compression: int, kind: type):
    picture = read_picture(exr(tmp_path, LIGHT.astype(kind), compression), name="a.exr")
    expected = read_picture(radiance()).array.astype(int)
    assert np.abs(picture.array - expected).max() <= 4
    assert "tone-mapped" in picture.notes[0]


def test_exposure_does_not_matter():
    assert np.abs(tone_map(LIGHT * 1000).astype(int) - tone_map(LIGHT)).max() <= 1
    assert not tone_map(np.zeros((16, 32, 3))).any()
    assert tone_map(np.full((16, 32, 3), [np.inf, np.nan, -1.0])).shape == (16, 32, 3)


def test_limits_and_kinds_that_are_refused(tmp_path):
    with pytest.raises(LimitError, match="64×32 pixels"):
        read_picture(radiance(), max_pixels=2000)
    with pytest.raises(LimitError, match="64×32 pixels"):
        read_picture(exr(tmp_path), max_pixels=2000)
    with pytest.raises(ImageError, match="turned or mirrored"):
        read_picture(radiance().replace(b"-Y 32 +X 64", b"+X 64 -Y 32"), name="a.hdr")
    with pytest.raises(ImageError, match=r"a.hdr: .*without a resolution"):
        read_picture(b"#?RADIANCE\nno more", name="a.hdr")
    with pytest.raises(ImageError, match=r"a.exr: truncated or damaged"):
        read_picture(exr(tmp_path)[:-500], name="a.exr")
