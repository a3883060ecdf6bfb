from pathlib import Path

import numpy as np
import pytest

from panolink.images import Failure, Panorama, load_panorama, panoramas_in
from panolink.images.video import turned, video_frames
from tests.images.pictures import CASES, write_video


def test_frames_of_a_video(tmp_path: Path):
    write_video(tmp_path / "walk.mp4")
    frames = list(panoramas_in([tmp_path / "walk.mp4"]))
    assert all(isinstance(frame, Panorama) and frame.array.shape == (32, 64, 3) for frame in frames)
    levels = [frame.array.mean() for frame in frames if isinstance(frame, Panorama)]
    assert levels == pytest.approx([0, 60, 120], abs=8)


def test_videos_that_cannot_be_used(tmp_path: Path):
    write_video(tmp_path / "square.mp4", width=64, height=64)
    (item,) = panoramas_in([tmp_path / "square.mp4"])
    assert isinstance(item, Failure) and "64×64 is not 2:1" in str(item.error)
    (item,) = panoramas_in([tmp_path / "absent.mp4"])
    assert isinstance(item, Failure) and "absent.mp4" in str(item.error)


@pytest.mark.parametrize("file", ["rot90.mp4", "rot180.mp4"])
def test_cases_are_turned_as_players_turn_them(file: str):
    scene = load_panorama(CASES / "theta.jpg").astype(int)
    frame = next(iter(video_frames(CASES / file)))
    if file == "rot180.mp4":  # its scene is stored upright, and players turn it upside down
        scene = scene[::-1, ::-1]
    assert frame.shape == (256, 512, 3) and np.abs(frame - scene).mean() < 3


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


@pytest.mark.parametrize("transfer, white", [(16, 0.5807), (18, 0.75)], ids=["HDR10", "HLG"])
def test_hdr_videos_are_tone_mapped(transfer: int, white: float, tmp_path: Path):
    """Diffuse white comes out bright and without a tint, and what is four times as bright is brighter still."""

    def picture(i: int) -> np.ndarray:
        signal = np.full((32, 64, 3), round(white * 65535), np.uint16)
        signal[:, 32:] = round((0.25, 0.9)[i] * 65535)
        return signal

    def prepare(stream) -> None:
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1

    path = tmp_path / "hdr.mkv"
    write_video(path, codec="ffv1", pixels="yuv420p10le", frames=2, picture=picture, prepare=prepare)
    dark, bright = video_frames(path)
    assert 235 <= dark[16, 8].min() <= dark[16, 8].max() <= 252 and np.ptp(dark[16, 8]) <= 3
    assert dark[16, 56].max() < 120 and bright[16, 56].min() > dark[16, 8].max()
