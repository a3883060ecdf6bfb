import numpy as np
import pytest

from benchmarks.lib.ffmpeg_codecs import FFMPEG_CODECS
from benchmarks.lib.video_codecs import coded_video, jpeg_frames


@pytest.fixture
def pictures(panorama: np.ndarray) -> list[np.ndarray]:
    return [np.roll(panorama, 2 * number, axis=1) for number in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x265", "svt-av1"])
def test_streams_are_one_packet_a_picture(pictures: list[np.ndarray], name: str):
    once = coded_video(pictures, name, 400_000, fps=10)
    often = coded_video(pictures, name, 400_000, fps=10, key_interval=3)
    assert len(once.packets) == len(once.pictures) == 6
    assert once.keys == [True] + [False] * 5 and often.keys == [True, False, False] * 2
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(pictures, once.pictures, strict=True)]
    assert max(errors) < 400, "pictures come out in the order and the colours in which they went in"
    with pytest.raises(ValueError, match="there are x265 and svt-av1"):
        coded_video(pictures, "h261", 1e5, fps=10)


@pytest.mark.slow
def test_colours_come_back_as_those_of_still_pictures(pictures: list[np.ndarray]):
    """By the filters that still pictures of the same pixels go through: other conversions cost 1 to 3 dB."""
    many = coded_video(pictures[:1], "x265", 4e7, fps=10)
    still = FFMPEG_CODECS["hevc"]
    stills = still.decode(still.encode(pictures[0], quality=still.qualities[-1]))
    assert psnr_of(pictures[0], many.pictures[0]) > psnr_of(pictures[0], stills) - 0.3


def psnr_of(sent: np.ndarray, received: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((sent.astype(float) - received) ** 2)))


def test_jpeg_frames_fit(pictures: list[np.ndarray]):
    many, few = jpeg_frames(pictures[:1], 60_000), jpeg_frames(pictures[:1], 6_000)
    assert 8 * len(few.packets[0]) <= 6_000 < 8 * len(many.packets[0]) <= 60_000
    assert few.pictures[0].shape == pictures[0].shape
    with pytest.raises(ValueError, match="no JPEG of 100 bits"):
        jpeg_frames(pictures[:1], 100)
