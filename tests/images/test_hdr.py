import threading

import imagecodecs
import numpy as np
import OpenEXR
import pytest

from panolink.errors import ImageError, LimitError
from panolink.images import picture_size, read_picture
from panolink.images.hdr import _unheard, tone_map

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
    assert picture_size(radiance()) == (64, 32)


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


def pfm(light: np.ndarray, order: str) -> bytes:
    kind, scale = ("PF" if light.ndim == 3 else "Pf"), (-1.0 if order == "<" else 1.0)
    header = f"{kind}\n{light.shape[1]} {light.shape[0]}\n{scale}\n".encode()
    return header + light[::-1].astype(f"{order}f4").tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("top", [1, 255])
def test_float_maps_come_out_like_radiance(order: str, top: float):
    light = LIGHT * np.linspace(0.5, 1, 32, dtype=np.float32)[:, None, None]  # which tells up from down
    expected = read_picture(radiance(light)).array.astype(int)
    for samples in (light, light[..., 0]):
        picture = read_picture(pfm(samples * top, order), name="a.pfm")
        assert np.abs(picture.array - expected).max() <= 4 and "tone-mapped" in picture.notes[0]


def test_float_maps_that_are_damaged():
    for data in (pfm(LIGHT, "<")[:-100], b"PF\nno size\n"):
        with pytest.raises(ImageError, match=r"a\.pfm: "):
            read_picture(data, name="a.pfm")
    with pytest.raises(LimitError, match="99999×99999 pixels"):
        read_picture(b"Pf\n99999 99999\n-1.0\n", name="a.pfm")


def test_damage_prints_nothing_where_programs_read(tmp_path, capsys: pytest.CaptureFixture[str]):
    """OpenEXR says what it thinks of a file on standard output."""
    for cut in (exr(tmp_path)[:-500], exr(tmp_path, compression=OpenEXR.NO_COMPRESSION)[:-500]):
        with pytest.raises(ImageError, match=r"a\.exr: truncated or damaged"):
            read_picture(cut, name="a.exr")
    assert capsys.readouterr().out == ""


def test_other_threads_still_print(capsys: pytest.CaptureFixture[str]):
    with _unheard():
        print("swallowed")
        other = threading.Thread(target=print, args=("kept",))
        other.start()
        other.join()
    print("after")
    assert capsys.readouterr().out == "kept\nafter\n"
