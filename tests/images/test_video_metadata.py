"""How videos are turned, and where their frames lie on the sphere."""

import io
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type

from panolink.errors import ImageError
from panolink.images.spherical_video import mark_as_sphere
from panolink.images.video import video_frames
from panolink.images.video_metadata import Place, place_of, turned
from panolink.sphere.metadata import Projection, SphereMetadata
from tests.images.pictures import write_video


@pytest.mark.parametrize(
    "matrix, shown",
    [
        ([[0, 1], [-1, 0]], lambda a: np.rot90(a, -1)),  # a quarter turn clockwise
        ([[0, -1], [1, 0]], lambda a: np.rot90(a)),
        ([[-1, 0], [0, -1]], lambda a: np.rot90(a, 2)),
        ([[-1, 0], [0, 1]], lambda a: a[:, ::-1]),  # a selfie, mirrored
        ([[1, 0], [0, -1]], lambda a: a[::-1]),
        ([[0, 1], [1, 0]], lambda a: a.transpose(1, 0, 2)),
    ],
)
def test_every_display_matrix(matrix: list, shown):
    frame = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    assert np.array_equal(turned(frame, np.array(matrix)), shown(frame))


def frame(**data: bytes) -> Any:
    """What `place_of` reads of a frame."""
    return SimpleNamespace(side_data={Type[name]: value for name, value in data.items()})


def mapping(projection: int, *, yaw: float = 0, bounds: tuple[float, ...] = (0, 0, 0, 0), padding: int = 0) -> bytes:
    return struct.pack("<4i5I", projection, round(65536 * yaw), 0, 0, *(round(2**32 * b) for b in bounds), padding)


def test_projections_that_metadata_say():
    assert place_of(frame(), 512, 256).projection is None
    assert place_of(frame(SPHERICAL=mapping(0)), 512, 256).projection is Projection.EQUIRECTANGULAR
    assert place_of(frame(SPHERICAL=mapping(1)), 384, 256).projection is Projection.CUBEMAP
    place = place_of(frame(SPHERICAL=mapping(0, yaw=-90)), 512, 256)
    assert place.sphere == SphereMetadata(heading=270, pitch=0, roll=0)


@pytest.mark.parametrize("bounds, corner", [((0.25, 0, 0.25, 0.5), (128, 0)), ((0, 0.25, 0.5, 0.25), (0, 64))])
def test_a_part_of_the_sphere(bounds: tuple[float, ...], corner: tuple[int, int]):
    left, top, right, bottom = bounds
    width, height = round(512 * (1 - left - right)), round(256 * (1 - top - bottom))
    crop = place_of(frame(SPHERICAL=mapping(2, bounds=bounds)), width, height).crop
    assert crop and (crop.left, crop.top) == corner and (crop.full_width, crop.full_height) == (512, 256)


@pytest.mark.parametrize(
    "data, says",
    [
        ({"STEREO3D": struct.pack("<i", 2)}, "top-bottom.*ffmpeg"),
        ({"STEREO3D": struct.pack("<i", 1)}, "side by side.*one eye"),
        ({"SPHERICAL": mapping(6)}, "equi-angular"),
        ({"SPHERICAL": mapping(5)}, "fisheye"),
        ({"SPHERICAL": mapping(1, padding=4)}, "padding"),
        ({"SPHERICAL": mapping(2, bounds=(0.5, 0, 0.5, 0))}, "nothing of the sphere"),
    ],
)
def test_what_is_refused_with_advice(data: dict[str, bytes], says: str):
    with pytest.raises(ImageError, match=says):
        place_of(frame(**data), 512, 256)


def test_what_the_user_says_goes_before_what_is_refused():
    for kind in (1, 5, 6):
        found = place_of(frame(SPHERICAL=mapping(kind, yaw=-90, padding=4)), 512, 256, converted=True)
        assert found == Place(None, SphereMetadata(heading=270, pitch=0, roll=0))


def marked(path: Path, change: bytes = b"", to: bytes = b"") -> Path:
    """An MP4 with both versions of metadata, one of them changed."""
    write_video(path)
    with path.open("r+b") as file:
        mark_as_sphere(file, SphereMetadata(30, 10, -5))
    data = path.read_bytes()
    assert not change or change in data
    path.write_bytes(data.replace(change, to) if change else data)
    return path


def test_versions_one_and_two_are_read(tmp_path: Path):
    both = marked(tmp_path / "both.mp4")
    assert next(video_frames(both)).sphere == SphereMetadata(30, 10, -5)
    second = marked(tmp_path / "second.mp4", b"uuid\xff\xcc\x82\x63", b"free\xff\xcc\x82\x63")
    assert next(video_frames(second)).sphere == SphereMetadata(30, 10, -5)
    first = marked(tmp_path / "first.mp4", b"sv3d", b"free")
    assert next(video_frames(first)).sphere == SphereMetadata(30, 10, -5)


def test_stereo_is_recognised_by_both_versions(tmp_path: Path):
    one_eye = b"st3d" + bytes(5)
    second = marked(tmp_path / "second.mp4", one_eye, b"st3d" + bytes(4) + b"\1")
    with pytest.raises(ImageError, match=r"second\.mp4: stereo video, top-bottom"):
        next(video_frames(second))
    first = marked(tmp_path / "first.mp4", b"sv3d", b"free")
    data = first.read_bytes().replace(b"st3d", b"free")
    software = b"<GSpherical:StitchingSoftware>Panolink</GSpherical:StitchingSoftware>"
    eyes = b"<GSpherical:StereoMode>top-bottom</GSpherical:StereoMode>".ljust(len(software))
    assert software in data
    first.write_bytes(data.replace(software, eyes))
    with pytest.raises(ImageError, match="stereo video, top-bottom"):
        next(video_frames(first))


def test_matroska_says_it_in_its_own_way(tmp_path: Path):
    """Copied by FFmpeg, which reads and writes both."""
    source = marked(tmp_path / "a.mp4")
    buffer = io.BytesIO()
    with av.open(str(source)) as read, av.open(buffer, "w", format="matroska") as written:
        stream: Any = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                written.mux(packet)
    (tmp_path / "a.mkv").write_bytes(buffer.getvalue())
    assert next(video_frames(tmp_path / "a.mkv")).sphere == SphereMetadata(30, 10, -5)


def test_a_crop_and_another_projection_in_version_one(tmp_path: Path):
    path = marked(tmp_path / "a.mp4", b"sv3d", b"free")
    data = path.read_bytes()
    path.write_bytes(data.replace(b">equirectangular<", b">cubemap        <"))
    with pytest.raises(ImageError, match=r"GSpherical.*cubemap"):
        next(video_frames(path))
    assert next(video_frames(path, projection=Projection.DFISHEYE)).sphere == SphereMetadata(30, 10, -5)
    tags = {"CroppedAreaImageWidthPixels": 64, "CroppedAreaImageHeightPixels": 32, "FullPanoWidthPixels": 128}
    tags |= {"FullPanoHeightPixels": 64, "CroppedAreaLeftPixels": 16, "CroppedAreaTopPixels": 8}
    xml = "".join(f"<GSpherical:{name}>{value}</GSpherical:{name}>" for name, value in tags.items()).encode()
    write_video(path)
    with path.open("r+b") as file:
        mark_as_sphere(file, SphereMetadata(), more=xml.decode())
    data = path.read_bytes().replace(b"sv3d", b"free")
    path.write_bytes(data)
    frame = next(video_frames(path))
    assert frame.array.shape == (64, 128, 3) and "placed on the sphere" in frame.notes[0]
    assert frame.sphere.crop and (frame.sphere.crop.left, frame.sphere.crop.top) == (16, 8)
