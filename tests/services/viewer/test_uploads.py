"""Uploads: pictures and videos that can be sent, and all others refused."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.services.viewer import uploads
from panolink.services.viewer.settings import ViewerSettings
from panolink.services.viewer.uploads import TooSlowError, Upload, clean_name, receive
from tests.images.pictures import encoded, many_scans, write_video


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 90, 40)).save(file, "PNG")
    return file.getvalue()


async def received(
    content: bytes, name: str = "a.png", announced: int | None = None, max_bytes: int = 1 << 20, **limits: Any
) -> Upload:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    settings = ViewerSettings(max_upload_bytes=max_bytes, max_image_pixels=1 << 20, **limits)
    return await receive(chunks(), name=name, announced=announced, settings=settings)


async def test_a_panorama_is_taken_and_its_folder_goes() -> None:
    upload = await received(png(64, 32))
    (picture,) = upload.pictures(32)
    assert picture.array.shape == (16, 32, 3)
    folder = Path(upload.folder.name)
    upload.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "name", "error", "says"),
    [
        (b"", "a.png", ImageError, "empty"),
        (b"no image" * 100, "a.png", ImageError, "a.png"),
        (png(64, 32)[:-40], "cut.png", ImageError, "cut.png"),
        (png(96, 64), "a.png", ImageError, "2:1"),
        (b"no video" * 100, "a.mp4", ImageError, "a.mp4"),
        (png(2048, 1024), "big.png", LimitError, "pixels"),
    ],
)
async def test_others_are_refused_by_name(content: bytes, name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        await received(content, name)
    assert "panolink-viewer-" not in str(caught.value)


@pytest.mark.parametrize("announced", [100 << 20, None])
async def test_too_many_bytes_are_refused_announced_or_not(announced: int | None) -> None:
    with pytest.raises(LimitError, match="MiB"):
        await received(b"x" * 5000, announced=announced, max_bytes=4096)


def test_names_have_no_folders_and_an_end() -> None:
    assert clean_name("../../etc/pass\nwd") == "passwd"
    assert clean_name("C:\\pictures\\a.png") == "a.png"
    assert clean_name("/") == "upload"
    assert len(clean_name("x" * 1000)) < 256


@pytest.mark.parametrize("name", ["VID.insv", "a picture.jpg", "no ending"])
async def test_videos_are_known_by_their_content(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.mp4")
    upload = await received((tmp_path / "walk.mp4").read_bytes(), name)
    assert [picture.array.shape for picture in upload.pictures(None)] == [(32, 64, 3)] * 3
    upload.close()


async def test_a_picture_that_would_take_minutes_is_refused_at_once() -> None:
    flat = np.full((512, 1024, 3), 90, np.uint8)
    began = time.monotonic()
    with pytest.raises(LimitError, match=r"bomb\.jpg: JPEG of \d+ scans"):
        await received(many_scans(flat, 40_000), "bomb.jpg")
    assert time.monotonic() - began < 20


async def test_what_takes_too_long_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match=r"a\.png: decoding takes more than the 0\.001 s allowed"):
        await received(png(64, 32), decode_seconds=0.001)


async def test_an_upload_that_is_given_up_ends_its_process() -> None:
    upload = await received(png(64, 32))
    pictures = upload.pictures(None)
    assert next(pictures)
    (reader,) = upload._readers
    assert reader.pid
    upload.close()
    assert reader.pid is None
    with pytest.raises(ImageError):
        next(pictures)


async def test_bytes_that_do_not_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.5)

    async def nothing() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    with pytest.raises(TooSlowError, match=r"a\.png: nothing came for 0\.5 s"):
        await receive(nothing(), name="a.png", announced=None, settings=ViewerSettings())
    monkeypatch.setattr(uploads, "LEAST_BYTES_PER_SECOND", 1e12)
    with pytest.raises(TooSlowError, match=r"a\.png: comes more slowly than .* KiB a second"):
        await receive(trickle(), name="a.png", announced=None, settings=ViewerSettings())


@pytest.mark.parametrize("name", ["a." + "é" * 200, "a.p/../../ng", "a.\0png"])
async def test_a_name_does_not_choose_a_file(name: str) -> None:
    upload = await received(encoded(np.zeros((32, 64, 3), np.uint8)), name)
    assert upload.path.parent == Path(upload.folder.name)
    upload.close()


async def test_one_file_at_a_time_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take all the memory that decoding may take."""
    turn, inside, most = asyncio.Lock(), 0, 0

    def first(_: Upload) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.05)
        inside -= 1

    monkeypatch.setattr(uploads, "_first", first)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    async def one() -> None:
        upload = await receive(chunks(), name="a", announced=None, settings=ViewerSettings(), turn=turn)
        upload.close()

    await asyncio.gather(*(one() for _ in range(4)))
    assert most == 1


async def test_how_fast_a_video_is_is_known_with_its_first_picture(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4")
    upload = await received((tmp_path / "v.mp4").read_bytes(), "v.mp4")
    assert upload.fps == 5
    upload.close()


async def test_pictures_one_behind_the_other_are_a_video() -> None:
    """Motion JPEG, by its name: a JPEG file may have anything behind it."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(picture, "JPEG")
    for name, video in (("camera.mjpg", True), ("camera.jpg", False)):
        upload = await received((5 if video else 1) * picture.getvalue(), name)
        assert upload.is_video == video
        upload.close()
