"""Uploads: pictures and videos that can be sent, and all others refused."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panolink.errors import ImageError, LimitError
from panolink.images import Picture
from panolink.services.viewer.uploads import Upload, clean_name, receive, reduced
from panolink.sphere.metadata import Crop, SphereMetadata
from tests.images.pictures import write_video


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


def test_pictures_are_reduced_and_never_enlarged() -> None:
    crop = Crop(0, 8, 64, 16, 64, 32)
    picture = Picture(np.zeros((32, 64, 3), np.uint8), SphereMetadata(heading=10, crop=crop))
    assert reduced(picture, 128) is picture and reduced(picture, None) is picture
    small = reduced(picture, 16)
    assert small.array.shape == (8, 16, 3)
    assert small.sphere == SphereMetadata(heading=10, crop=Crop(0, 2, 16, 4, 16, 8))


@pytest.mark.parametrize("name", ["VID.insv", "a picture.jpg", "no ending"])
async def test_videos_are_known_by_their_content(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / "walk.mp4")
    upload = await received((tmp_path / "walk.mp4").read_bytes(), name)
    assert [picture.array.shape for picture in upload.pictures(None, 1 << 20)] == [(32, 64, 3)] * 3
    upload.close()
