"""Uploads: pictures and videos that can be sent, and all others refused."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.services.viewer.uploads import Upload, clean_name, receive, reduced


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 90, 40)).save(file, "PNG")
    return file.getvalue()


async def received(
    content: bytes, name: str = "a.png", announced: int | None = None, max_bytes: int = 1 << 20
) -> Upload:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    return await receive(chunks(), name=name, announced=announced, max_bytes=max_bytes, max_pixels=1 << 20)


async def test_a_panorama_is_taken_and_its_folder_goes() -> None:
    upload = await received(png(64, 32))
    (picture,) = upload.pictures(32, 1 << 20)
    assert picture.shape == (16, 32, 3)
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


def test_pictures_are_reduced_and_never_enlarged() -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    assert reduced(picture, 128) is picture and reduced(picture, None) is picture
    assert reduced(picture, 16).shape == (8, 16, 3)
