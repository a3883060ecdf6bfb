"""Cubemaps and double fisheyes: there and back again, recognised, and refused with advice."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError
from panolink.images import Failure, Panorama, Reading, panoramas_in, read_picture
from panolink.images.projection import Projector, check_content
from panolink.images.video import video_frames
from panolink.sphere.metadata import LENS_DEGREES, Projection
from tests.images.pictures import encoded, write_video

H, W = 128, 256


def scene() -> np.ndarray:
    """Smooth on the sphere, and different in every direction."""
    latitude = (0.5 - (np.arange(H)[:, None] + 0.5) / H) * np.pi
    longitude = ((np.arange(W)[None, :] + 0.5) / W - 0.5) * 2 * np.pi
    x, y = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude)
    z = np.broadcast_to(np.sin(latitude), x.shape)
    return np.rint(127.5 + 100 * np.stack([x, y, z], -1)).astype(np.uint8)


def as_camera(layout: str, width: int, height: int) -> np.ndarray:
    """The scene as a camera of another kind would have taken it; black around the circles of lenses."""
    graph = av.filter.Graph()
    nodes = [graph.add_buffer(width=W, height=H, format=av.VideoFormat("rgb24"), time_base=Fraction(1, 25))]
    nodes += [graph.add("format", "gbrp"), graph.add("v360", f"input=e:output={layout}:w={width}:h={height}")]
    nodes += [graph.add("format", "rgb24"), graph.add("buffersink")]
    for one, following in pairwise(nodes):
        one.link_to(following)
    graph.configure()
    graph.push(av.VideoFrame.from_ndarray(scene(), format="rgb24"))
    picture = graph.pull().to_ndarray(format="rgb24")  # type: ignore[union-attr]
    if layout.startswith("dfisheye"):
        rows = (np.arange(height) + 0.5) / height - 0.5
        cols = ((np.arange(width) + 0.5) / height) % 1 - 0.5
        picture = picture * (np.hypot(rows[:, None], cols) < 0.505)[..., None]
    return picture


FISHEYE = f"dfisheye:h_fov={LENS_DEGREES}:v_fov={LENS_DEGREES}"


@pytest.mark.parametrize(
    "layout, size, projection",
    [
        ("c3x2", (192, 128), Projection.CUBEMAP),
        ("c6x1", (384, 64), Projection.CUBEMAP),
        ("c1x6", (64, 384), Projection.CUBEMAP),
        (FISHEYE, (256, 128), Projection.DFISHEYE),
    ],
)
def test_there_and_back(layout: str, size: tuple[int, int], projection: Projection):
    found = Projector(*size, projection).convert(as_camera(layout, *size))
    assert found.shape == (H, W, 3)
    assert np.abs(found.astype(int) - scene()).mean() < 2.5


@pytest.mark.parametrize("size, projection", [((256, 128), Projection.CUBEMAP), ((256, 144), Projection.DFISHEYE)])
def test_shapes_that_cannot_be(size: tuple[int, int], projection: Projection):
    with pytest.raises(ImageError, match=r"256×1.. is no"):
        Projector(*size, projection)


def test_pictures_and_videos_are_converted_and_that_is_told(tmp_path: Path):
    cube = as_camera("c3x2", 192, 128)
    (tmp_path / "cube.png").write_bytes(encoded(cube))
    write_video(tmp_path / "cube.mkv", width=192, height=128, codec="ffv1", pixels="yuv444p", picture=lambda i: cube)
    for name in ("cube.png", "cube.mkv"):
        found, *_ = panoramas_in([tmp_path / name], Reading(projection=Projection.CUBEMAP))
        assert isinstance(found, Panorama) and found.array.shape == (H, W, 3) and found.data is None
        assert found.notes == ("a cubemap was converted to equirectangular",)
        assert np.abs(found.array.astype(int) - scene()).mean() < 4
        (refused,) = panoramas_in([tmp_path / name])
        assert isinstance(refused, Failure) and "--projection cubemap converts it" in str(refused.error)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_two_fisheyes_are_recognised(format: str):
    picture = as_camera(FISHEYE, 256, 128)
    with pytest.raises(ImageError, match=r"camera: two fisheye pictures.*--projection dfisheye"):
        read_picture(encoded(picture, format), name="camera", projection=Projection.AUTO)
    assert read_picture(encoded(picture, format), projection=Projection.EQUIRECTANGULAR).notes == ()
    joined = read_picture(encoded(picture, format), projection=Projection.DFISHEYE)
    assert np.abs(joined.array.astype(int) - scene()).mean() < 6 and "190°" in joined.notes[0]


def test_two_fisheyes_in_a_video(tmp_path: Path):
    camera = as_camera(FISHEYE, 256, 128)
    write_video(tmp_path / "VID.insv", width=256, height=128, format="mp4", picture=lambda i: camera)
    with pytest.raises(ImageError, match=r"VID\.insv: two fisheye pictures"):
        next(video_frames(tmp_path / "VID.insv"))
    assert len(list(video_frames(tmp_path / "VID.insv", projection=Projection.DFISHEYE))) == 3


@pytest.mark.parametrize("dark", [False, True])
def test_panoramas_are_not_taken_for_fisheyes(dark: bool):
    samples = Path(__file__).parents[2] / "samples"
    for path in sorted(samples.glob("*.webp")):
        picture = np.asarray(Image.open(path).convert("RGB").resize((512, 256)))
        check_content(picture // 8 if dark else picture)
    check_content(np.zeros((64, 128, 3), np.uint8))
    night = np.zeros((64, 128, 3), np.uint8)
    night[24:40] = 250  # lights along the horizon
    check_content(night)


@pytest.mark.parametrize("size, advice", [((128, 128), "stereo"), ((512, 128), "stereo"), ((384, 64), "cubemap")])
def test_other_shapes_are_refused_with_advice(size: tuple[int, int], advice: str):
    with pytest.raises(ImageError, match=f"is not 2:1.*{advice}"):
        read_picture(encoded(Image.new("RGB", size)))


@pytest.mark.parametrize("degrees", [180, 200, 230])
def test_lenses_of_another_field_of_view(degrees: float):
    camera = as_camera(f"dfisheye:h_fov={degrees}:v_fov={degrees}", 256, 128)
    picture = read_picture(encoded(camera), projection=Projection.DFISHEYE, lens_degrees=degrees)
    assert np.abs(picture.array.astype(int) - scene()).mean() < 3 and f"{degrees}°" in picture.notes[0]
    wrong = read_picture(encoded(camera), projection=Projection.DFISHEYE)
    assert np.abs(wrong.array.astype(int) - scene()).mean() > np.abs(picture.array.astype(int) - scene()).mean() + 1


@pytest.mark.parametrize("degrees", [90, 360, float("nan")])
def test_lenses_that_cannot_be(degrees: float):
    with pytest.raises(ImageError, match="180 to 280"):
        Projector(256, 128, Projection.DFISHEYE, lens_degrees=degrees)


def test_lenses_of_frames(tmp_path: Path):
    camera = as_camera("dfisheye:h_fov=210:v_fov=210", 256, 128)
    write_video(tmp_path / "a.mp4", width=256, height=128, frames=1, picture=lambda i: camera)
    (found,) = panoramas_in([tmp_path / "a.mp4"], Reading(projection=Projection.DFISHEYE, lens_degrees=210))
    assert isinstance(found, Panorama) and np.abs(found.array.astype(int) - scene()).mean() < 6
    assert found.notes == ("two fisheye pictures were joined, as of lenses of 210°",)
