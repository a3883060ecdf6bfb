from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from panolink.errors import ImageError, LimitError
from panolink.images import Failure, Panorama, Reading, load_panorama, panoramas_in
from panolink.images.video import FrameSelection, timed_frames, video_frames
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
    frame = next(iter(video_frames(CASES / file))).array
    if file == "rot180.mp4":  # its scene is stored upright, and players turn it upside down
        scene = scene[::-1, ::-1]
    assert frame.shape == (256, 512, 3) and np.abs(frame - scene).mean() < 3


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
    dark, bright = (frame.array for frame in video_frames(path))
    assert 235 <= dark[16, 8].min() <= dark[16, 8].max() <= 252 and np.ptp(dark[16, 8]) <= 3
    assert dark[16, 56].max() < 120 and bright[16, 56].min() > dark[16, 8].max()


LEVELS = [0, 25, 50, 75, 100, 125, 150, 175, 200, 225]


def graded(i: int) -> np.ndarray:
    return np.full((32, 64, 3), LEVELS[i], np.uint8)


@pytest.mark.parametrize(
    "selection, taken",
    [
        (FrameSelection(), range(10)),
        (FrameSelection(every=4), [0, 4, 8]),
        (FrameSelection(fps=2.5), [0, 2, 4, 6, 8]),  # of 5 a second
        (FrameSelection(fps=50), range(10)),
        (FrameSelection(start=1.2), [6, 7, 8, 9]),
        (FrameSelection(start=0.4, duration=0.6), [2, 3, 4]),
        (FrameSelection(fps=1, start=0.4), [2, 7]),
        (FrameSelection(start=9), []),
    ],
)
@pytest.mark.parametrize("container", ["mp4", "ts", "mkv"])
def test_frames_that_are_asked_for(selection: FrameSelection, taken: list[int], container: str, tmp_path: Path):
    path = tmp_path / f"walk.{container}"
    write_video(path, frames=10, picture=graded, format={"ts": "mpegts", "mkv": "matroska"}.get(container))
    levels = [round(frame.array.mean() / 25) for frame in video_frames(path, selection=selection)]
    assert levels == list(taken)


def noise(i: int) -> np.ndarray:
    """Enough bytes for FFmpeg to know a transport stream by."""
    return np.random.default_rng(i).integers(0, 256, (32, 64, 3), np.uint8)


def test_times_with_gaps_keep_to_the_rate():
    timed = [(seconds, seconds) for seconds in (0, 0.1, 0.5, 3.0, 3.1, 3.4, 3.6, 4.0)]
    assert list(FrameSelection(fps=2).choose(iter(timed))) == [0, 0.5, 3.0, 3.6, 4.0]


def test_times_that_begin_anew_go_on():
    """As of a sender that restarts; times that are a little out of order stay as they are."""
    times = [number / 10 for number in (*range(100), *range(50))]
    frames = [SimpleNamespace(time=5 + seconds) for seconds in times]
    container = SimpleNamespace(decode=lambda _: iter(frames))
    stream = SimpleNamespace(start_time=None, average_rate=10)
    timed = list(timed_frames(container, stream))
    assert [seconds for seconds, _ in timed] == pytest.approx([number / 10 for number in range(150)])
    assert len(list(FrameSelection(fps=10).choose(iter(timed)))) == 150
    frames[:] = [SimpleNamespace(time=seconds) for seconds in (0, 0.2, 0.1, 0.3)]
    assert [seconds for seconds, _ in timed_frames(container, stream)] == pytest.approx([0, 0.2, 0.1, 0.3])


def test_two_streams_one_behind_the_other(tmp_path: Path):
    write_video(tmp_path / "one.ts", format="mpegts", picture=noise, frames=5)
    (tmp_path / "two.ts").write_bytes(2 * (tmp_path / "one.ts").read_bytes())
    found = [len(list(video_frames(tmp_path / "two.ts", selection=FrameSelection(fps)))) for fps in (None, 5)]
    assert found[0] == 10 and found[1] >= 9  # what the file says of its rate is that of one stream twice as long


def test_a_start_where_times_begin_anew(tmp_path: Path):
    """Places are sought by their times, of which there are two: the file is read from its beginning."""
    write_video(
        tmp_path / "one.ts",
        format="mpegts",
        frames=10,
        picture=lambda i: np.full((32, 64, 3), 10 + 20 * i, np.uint8),
    )
    (tmp_path / "two.ts").write_bytes(2 * (tmp_path / "one.ts").read_bytes())

    def levels(start: float = 0.0, duration: float | None = None) -> list[int]:
        frames = video_frames(tmp_path / "two.ts", selection=FrameSelection(start=start, duration=duration))
        return [round((frame.array.mean() - 10) / 20) for frame in frames]

    assert levels(start=3) == levels()[-len(levels(start=3)) :] and len(levels(start=3)) >= 3
    assert levels(start=1.5, duration=1)[:3] == [8, 9, 0]


def test_a_start_within_a_raw_stream(tmp_path: Path):
    """In which no place can be sought, and which says nothing of times: FFmpeg takes 25 frames a second."""
    levels = [10 * (number % 25) for number in range(35)]
    write_video(
        tmp_path / "walk.h264",
        codec="libx264",
        format="h264",
        frames=len(levels),
        picture=lambda i: np.full((32, 64, 3), levels[i], np.uint8),
    )
    frames = video_frames(tmp_path / "walk.h264", selection=FrameSelection(start=1.2))
    assert [round(frame.array.mean() / 10) for frame in frames] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "name, format, codec",
    [
        ("VID_1.insv", "mp4", "mpeg4"),
        ("GS01.360", "mov", "mpeg4"),
        ("clip.ts", "mpegts", "mpeg4"),
        ("00001.mts", "mpegts", "mpeg4"),
        ("walk.webm", "webm", "libvpx-vp9"),
        ("10:30:05.mp4", "mp4", "mpeg4"),
        ("http:x.mkv", "matroska", "mpeg4"),
        ("no ending at all", "avi", "mpeg4"),
        ("a picture.jpg", "mp4", "mpeg4"),
    ],
)
def test_videos_are_known_by_their_content(name: str, format: str, codec: str, tmp_path: Path):
    write_video(tmp_path / "any", format=format, codec=codec, picture=noise)
    (tmp_path / "any").rename(tmp_path / name)
    found = list(panoramas_in([tmp_path / name]))
    assert [item.name for item in found] == [f"{tmp_path / name}#{number:04d}" for number in (1, 2, 3)]


def test_what_a_file_says_it_is_opens_no_other(tmp_path: Path):
    """A playlist called video would make FFmpeg open whatever stands in it."""
    write_video(tmp_path / "real.mp4")
    (tmp_path / "evil.mp4").write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'real.mp4'}'\n")
    with pytest.raises(ImageError, match=r"evil\.mp4: not a readable video"):
        list(video_frames(tmp_path / "evil.mp4"))


def test_a_video_through_a_file_that_cannot_seek(tmp_path: Path):
    write_video(tmp_path / "walk.ts", format="mpegts", picture=noise)

    class Pipe:
        def __init__(self) -> None:
            self.file = (tmp_path / "walk.ts").open("rb")

        def read(self, size: int = -1) -> bytes:
            return self.file.read(size)

    assert len(list(video_frames(Pipe(), name="a pipe"))) == 3  # type: ignore[arg-type]


def test_nothing_in_what_was_asked_for_is_told(tmp_path: Path):
    write_video(tmp_path / "walk.mp4")
    (item,) = panoramas_in([tmp_path / "walk.mp4"], Reading(selection=FrameSelection(start=100)))
    assert isinstance(item, Failure) and "no frame in what was asked for" in str(item.error)


@pytest.mark.parametrize("format, codec", [("mp4", "mpeg4"), ("mpegts", "libx264"), ("matroska", "libvpx-vp9")])
def test_damage_is_a_failure_whatever_it_hits(format: str, codec: str, tmp_path: Path):
    write_video(tmp_path / "whole", format=format, codec=codec, picture=noise, frames=4)
    whole = np.frombuffer((tmp_path / "whole").read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    failed = 0
    for _ in range(25):
        data = whole.copy()
        data[random.integers(8, len(data), 20)] = random.integers(0, 256, 20)
        (tmp_path / "damaged").write_bytes(data[: random.integers(100, len(data))].tobytes())
        found = list(panoramas_in([tmp_path / "damaged"], Reading(allow_any_aspect=True, max_pixels=1 << 20)))
        failed += any(isinstance(item, Failure) for item in found)
        assert all("damaged" in item.name for item in found)
    assert failed > 0


GREEN = np.array((30, 180, 60), np.uint8)


@pytest.mark.parametrize("size", [(64, 32), (1280, 640)])
@pytest.mark.parametrize("matrix", [1, 2, 5], ids=["BT.709", "untold", "BT.601"])
def test_colours_that_nothing_is_said_of_are_those_that_players_take(
    size: tuple[int, int], matrix: int, tmp_path: Path
):
    """BT.709 where a video is high definition, BT.601 else."""
    path, space = tmp_path / "a.mkv", "ITU601" if matrix == 5 or (matrix == 2 and size[0] < 1280) else "ITU709"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
        stream.codec_context.colorspace = matrix
        frame = av.VideoFrame.from_ndarray(np.broadcast_to(GREEN, (size[1], size[0], 3)).copy(), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv444p", dst_colorspace=space)))
        container.mux(stream.encode())
    shown = next(video_frames(path)).array[8, 8].astype(int)
    assert np.abs(shown - GREEN).max() <= 3


@pytest.mark.parametrize("primaries, stored", [(12, (86, 176, 78)), (9, (112, 174, 80))], ids=["Display P3", "BT.2020"])
def test_wide_colours_are_converted(primaries: int, stored: tuple[int, int, int], tmp_path: Path):
    def prepare(stream) -> None:
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = primaries, 1, 0

    path = tmp_path / "a.mkv"
    flat = np.full((32, 64, 3), stored, np.uint8)
    write_video(path, codec="libx264rgb", pixels="rgb24", frames=1, picture=lambda i: flat, prepare=prepare)
    shown = next(video_frames(path)).array[8, 8].astype(int)
    assert np.abs(shown - GREEN).max() <= 8 < np.abs(np.array(stored) - GREEN).max()


def test_a_stream_that_changes_its_size_is_looked_at_again(tmp_path: Path):
    parts = []
    for size in ((64, 32), (128, 64), (64, 64)):
        path = tmp_path / f"{size}.ts"
        write_video(path, width=size[0], height=size[1], frames=2, codec="libx264", format="mpegts")
        parts.append(path.read_bytes())
    (tmp_path / "grows.ts").write_bytes(parts[0] + parts[1])
    shapes = [frame.array.shape for frame in video_frames(tmp_path / "grows.ts")]
    assert shapes == [(32, 64, 3)] * 2 + [(64, 128, 3)] * 2
    with pytest.raises(LimitError, match="128×64 pixels"):
        list(video_frames(tmp_path / "grows.ts", max_pixels=64 * 32))
    (tmp_path / "square.ts").write_bytes(parts[0] + parts[2])
    with pytest.raises(ImageError, match=r"square\.ts: 64×64 is not 2:1"):
        list(video_frames(tmp_path / "square.ts"))


def test_motion_jpeg_by_its_name(tmp_path: Path):
    write_video(tmp_path / "a.mjpeg", codec="mjpeg", pixels="yuvj420p", format="mjpeg")
    assert len(list(panoramas_in([tmp_path / "a.mjpeg"]))) == 3


def test_a_start_behind_all_frames(tmp_path: Path):
    write_video(tmp_path / "a.mp4")
    (item,) = panoramas_in([tmp_path / "a.mp4"], Reading(selection=FrameSelection(start=float("inf"))))
    assert isinstance(item, Failure) and "no frame in what was asked for" in str(item.error)
