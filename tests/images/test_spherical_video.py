"""One MP4 of panoramas: what players and FFmpeg find in it."""

from pathlib import Path

import av
import numpy as np
import pytest

from panolink.images.mp4_boxes import spherical_xml
from panolink.images.spherical_video import SphericalVideo
from panolink.images.video import video_frames
from panolink.sphere.metadata import Projection, SphereMetadata


def picture(level: int, height: int = 64) -> np.ndarray:
    image = np.full((height, 2 * height, 3), level, np.uint8)
    image[: height // 2, :, 0] = 255
    return image


def test_pictures_times_and_metadata(tmp_path: Path):
    path = tmp_path / "out.mp4"
    video = SphericalVideo(path)
    times = (0.0, 0.5, 0.5, 2.25)
    for number, seconds in enumerate(times):
        video.add(picture(50 * number), seconds=seconds, sphere=SphereMetadata(225, 17, -12))
    video.close()
    with av.open(str(path)) as container:
        found = [frame.time for frame in container.decode(video=0)]
    assert found == pytest.approx([0, 0.5, 0.501, 2.25])  # never two at one time
    frames = list(video_frames(path))
    assert frames[0].sphere == SphereMetadata(225, 17, -12)
    for number, frame in enumerate(frames):
        assert np.abs(frame.array.astype(int) - picture(50 * number)).mean() < 4  # colours are those that went in
    assert "<GSpherical:Spherical>true" in spherical_xml(path)
    assert all(name in path.read_bytes() for name in (b"st3d", b"sv3d", b"equi", b"prhd"))


def test_a_rate_and_sizes_that_change(tmp_path: Path):
    video = SphericalVideo(tmp_path / "out.mp4", fps=12.5)
    for height in (65, 32, 128):
        video.add(picture(100, height), seconds=0)
    video.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (130, 64, 12.5)
        assert [frame.time for frame in container.decode(stream)] == pytest.approx([0, 0.08, 0.16])
    assert len(list(video_frames(tmp_path / "out.mp4", projection=Projection.AUTO, allow_any_aspect=True))) == 3


def test_without_a_panorama_nothing_is_written(tmp_path: Path):
    SphericalVideo(tmp_path / "out.mp4").close()
    assert not (tmp_path / "out.mp4").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    video = SphericalVideo(tmp_path / "none" / "temporary.mp4", name=tmp_path / "out.mp4")
    with pytest.raises(OSError) as caught:
        video.add(picture(0), seconds=0)
        video.close()
    assert caught.value.filename == str(tmp_path / "out.mp4")
