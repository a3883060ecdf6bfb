import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from panolink.images import Failure, Panorama, Reading, panoramas_in, save_image
from panolink.images.sources import _files
from tests.images.pictures import CASES, PICTURE, encoded, write_video


def test_a_bad_file_does_not_stop_the_rest(tmp_path: Path):
    save_image(PICTURE, tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"nonsense")
    write_video(tmp_path / "3.mp4")
    (tmp_path / "4.mp4").write_bytes(b"nonsense")
    save_image(PICTURE, tmp_path / "5.webp")
    (tmp_path / "notes.txt").write_text("not looked at")
    found = list(panoramas_in([tmp_path, tmp_path / "absent.jpg"]))
    names = [Path(item.name).name for item in found]
    assert names == ["1.png", "2.png", "3.mp4#0001", "3.mp4#0002", "3.mp4#0003", "4.mp4", "5.webp", "absent.jpg"]
    failed = [Path(item.name).name for item in found if isinstance(item, Failure)]
    assert failed == ["2.png", "4.mp4", "absent.jpg"]


def test_a_name_that_cannot_be_is_a_failure():
    for source in ("a\0b.jpg", "file:///a%00b.jpg"):
        (item,) = panoramas_in([source])
        assert isinstance(item, Failure) and "embedded null byte" in str(item.error)


def test_a_folder_of_many_files_is_listed_in_time_that_grows_with_their_number(monkeypatch: pytest.MonkeyPatch):
    comparisons = 0

    class Name(type(Path())):
        def __hash__(self) -> int:
            nonlocal comparisons
            comparisons += 1
            return hash(str(self))

    files = [Name(f"/many/{number}.jpg") for number in range(1000)]
    monkeypatch.setattr("panolink.images.sources._below", lambda *_: (files, [], []))
    monkeypatch.setattr("panolink.images.sources.os.path.isdir", lambda _: True)
    assert list(_files(Path("/many"), False, print)) == files and comparisons <= 2 * len(files)


def test_an_empty_folder_says_so(tmp_path: Path):
    (item,) = panoramas_in([tmp_path])
    assert isinstance(item, Failure) and "no images or videos" in str(item.error)


def folder_of_all_sorts(folder: Path) -> None:
    (folder / "trip" / "day 2").mkdir(parents=True)
    (folder / ".cache").mkdir()
    save_image(PICTURE, folder / "a.png")
    save_image(PICTURE, folder / "trip" / "b.jpg")
    save_image(PICTURE, folder / "trip" / "day 2" / "c.webp")
    save_image(PICTURE, folder / ".cache" / "thumbnail.png")
    (folder / "._a.png").write_bytes(b"\0\5\x16\7" + bytes(20))  # AppleDouble
    (folder / ".hidden.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "notes.txt").write_text("notes")
    (folder / "code.ts").write_text("export const x = 1;")
    (folder / "no ending").write_bytes((folder / "a.png").read_bytes())


def test_what_is_skipped_in_a_folder_is_counted_and_told(tmp_path: Path):
    folder_of_all_sorts(tmp_path)
    told: list[str] = []
    found = list(panoramas_in([tmp_path], on_skip=told.append))
    assert [Path(item.name).name for item in found] == ["a.png", "no ending"]
    files, folders = told
    assert files == f"{tmp_path}: 4 files skipped: ._a.png, .hidden.png, code.ts …"
    assert folders == f"{tmp_path}: 2 folders skipped (--recursive takes them): .cache, trip"


def test_folders_in_folders(tmp_path: Path):
    folder_of_all_sorts(tmp_path)
    (tmp_path / "trip" / "round").symlink_to(tmp_path)
    told: list[str] = []
    found = list(panoramas_in([tmp_path], Reading(recursive=True), on_skip=told.append))
    names = [str(Path(item.name).relative_to(tmp_path)) for item in found]
    assert names == ["a.png", "no ending", "trip/b.jpg", "trip/day 2/c.webp"]
    assert told == [
        f"{tmp_path}: 4 files skipped: ._a.png, .hidden.png, code.ts …",
        f"{tmp_path}: 2 folders skipped (hidden, or links): .cache, trip/round",
    ]


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe latin \xe9.png",  # no UTF-8
        b"\xf0\x9f\x8f\x94" * 60 + b".png",
        b"x" * 251 + b".png",
        b"a\nb.png",
        b"-.png",
        b"rtsp:--x.png",
    ],
)
def test_odd_names(name: bytes, tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(encoded(PICTURE))
    for source in (path, tmp_path):
        (item,) = panoramas_in([source])
        assert isinstance(item, Panorama) and item.name == str(path)


def test_names_that_no_file_can_have_are_failures(tmp_path: Path):
    long, good = tmp_path / ("x" * 300 + ".png"), tmp_path / "good.png"
    save_image(PICTURE, good)
    first, second = panoramas_in([long, good])
    assert isinstance(first, Failure) and "File name too long" in str(first.error)
    assert isinstance(second, Panorama)


@pytest.mark.parametrize("kind", ["picture", "video"])
def test_files_are_read_once_and_may_be_pipes(kind: str, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    if kind == "video":
        write_video(tmp_path / "walk.mkv", codec="ffv1", pixels="yuv444p")
    data = encoded(PICTURE) if kind == "picture" else (tmp_path / "walk.mkv").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    found = list(panoramas_in([pipe]))
    writer.join()
    assert [item.name for item in found] == (
        [str(pipe)] if kind == "picture" else [f"{pipe}#0001", f"{pipe}#0002", f"{pipe}#0003"]
    )


def test_a_picture_keeps_its_file(tmp_path: Path):
    save_image(PICTURE, tmp_path / "a.webp")
    (item,) = panoramas_in([tmp_path / "a.webp"])
    assert isinstance(item, Panorama) and item.data == (tmp_path / "a.webp").read_bytes()


def test_standard_input_from_a_file_may_seek(tmp_path: Path):
    """An MP4 whose index is at its end cannot be read from a pipe, but from `panolink send - < walk.mp4`."""
    write_video(tmp_path / "walk.mp4")
    with (tmp_path / "walk.mp4").open("rb") as file:
        assert [item.name for item in panoramas_in(["-"], stdin=file)][-1] == "standard input#0003"
    with Image.open(CASES / "theta.jpg"), (CASES / "theta.jpg").open("rb") as file:
        (item,) = panoramas_in(["-"], stdin=file)
    assert isinstance(item, Panorama) and item.sphere.heading == 225


@pytest.mark.parametrize("name", ["a.jpg", "a.mp4", "noise"])
def test_what_is_neither_is_not_read_to_its_end(name: str, tmp_path: Path):
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    (item,) = panoramas_in([tmp_path / name])
    assert isinstance(item, Failure) and name in str(item.error)


def test_pipes_and_unreadable_folders_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever opened the pipe would wait for ever."""
    folder_of_all_sorts(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("trip"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    told: list[str] = []
    first, *others = panoramas_in([tmp_path], Reading(recursive=True), on_skip=told.append)
    assert isinstance(first, Failure) and str(first.error) == f"{tmp_path / 'trip'}: Permission denied"
    assert [Path(item.name).name for item in others] == ["a.png", "no ending"]
    assert "5 files skipped" in told[0]


def test_files_by_their_address(tmp_path: Path):
    path = tmp_path / "a b#.png"
    save_image(PICTURE, path)
    for source in (path.as_uri(), f"file://localhost{path.as_uri().removeprefix('file://')}"):
        (item,) = panoramas_in([source])
        assert isinstance(item, Panorama) and item.name == str(path)
    (item,) = panoramas_in(["file:///nowhere/x.png"])
    assert isinstance(item, Failure) and str(item.error) == "/nowhere/x.png: no such file"


@pytest.mark.parametrize("source", ["ftp://me:secret@host/a.jpg", "file://host/a.jpg", "s3://bucket/a.png"])
def test_other_addresses_are_refused_with_those_that_are_taken(source: str):
    (item,) = panoramas_in([source])
    assert isinstance(item, Failure) and "rtsp://" in str(item.error) and "secret" not in str(item.error)


def test_a_video_without_a_frame(tmp_path: Path):
    write_video(tmp_path / "a.webm", codec="libvpx-vp9")
    data = (tmp_path / "a.webm").read_bytes()
    cluster = data.index(b"\x1f\x43\xb6\x75")
    (tmp_path / "a.webm").write_bytes(data[: cluster + 40])  # in the middle of the first frame
    (item,) = panoramas_in([tmp_path / "a.webm"])
    assert isinstance(item, Failure) and "no frame that can be decoded" in str(item.error)
