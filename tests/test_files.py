import os
import stat
from pathlib import Path

import pytest

from panolink.files import NamesInOrder, write_file, write_numbered, written_beside


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("panolink.files.os.fchmod", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_file(tmp_path / "new" / "a.png", b"picture")
    assert caught.value.filename == str(tmp_path / "new" / "a.png")
    assert not list((tmp_path / "new").iterdir())


def test_what_exists_stays(tmp_path: Path):
    path, elsewhere = tmp_path / "a.png", tmp_path / "elsewhere"
    write_file(path, b"one")
    with pytest.raises(FileExistsError, match=r"--overwrite"):
        write_file(path, b"two")
    assert path.read_bytes() == b"one"
    write_file(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
    (tmp_path / "link.png").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "link.png", b"x")
    write_file(tmp_path / "link.png", b"x", overwrite=True)
    assert not elsewhere.exists() and not (tmp_path / "link.png").is_symlink()


def test_numbers_go_on(tmp_path: Path):
    names = [write_numbered(tmp_path / "a.png", bytes([i])).name for i in range(3)]
    assert names == ["a.png", "a_2.png", "a_3.png"]
    assert write_numbered(tmp_path / "a.png", b"again", overwrite=True).name == "a.png"


def test_permissions_are_those_of_any_new_file(tmp_path: Path):
    write_file(tmp_path / "ours", b"")
    (tmp_path / "theirs").write_bytes(b"")
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("ours", "theirs")]
    assert modes[0] == modes[1]


def test_devices_are_written_to():
    write_file(Path("/dev/null"), b"gone")
    with pytest.raises(OSError, match="No space left"):
        write_file(Path("/dev/full"), b"picture" * 10_000)


def test_names_go_by_the_order_in_which_they_are_asked_for(tmp_path: Path):
    (tmp_path / "b.png").write_bytes(b"the user's")
    names = NamesInOrder()
    asked = [names.reserve(tmp_path / name).name for name in ("a.png", "a.png", "b.png", "c.png", "a.png")]
    assert asked == ["a.png", "a_2.png", "b_2.png", "c.png", "a_3.png"]
    names.release(tmp_path / "a_2.png")  # which was not written
    assert names.reserve(tmp_path / "a.png").name == "a_2.png"
    replacing = NamesInOrder(overwrite=True)
    assert [replacing.reserve(tmp_path / "b.png").name for _ in range(2)] == ["b.png", "b_2.png"]


def test_a_file_that_is_written_beside(tmp_path: Path):
    target = tmp_path / "new" / "a.mp4"
    with written_beside(target) as beside:
        beside.temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole" and [path.name for path in target.parent.iterdir()] == ["a.mp4"]
    with pytest.raises(FileExistsError), written_beside(target):
        raise AssertionError("not reached")
    with written_beside(target, overwrite=True) as beside:
        beside.temporary.write_bytes(b"other")
    assert target.read_bytes() == b"other"


def test_half_a_file_is_deleted_and_a_name_that_was_taken_meanwhile_is_left(tmp_path: Path):
    with pytest.raises(RuntimeError), written_beside(tmp_path / "a.mp4") as beside:
        beside.temporary.write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with written_beside(tmp_path / "a.mp4") as beside:
        beside.temporary.write_bytes(b"ours")
        (tmp_path / "a.mp4").write_bytes(b"theirs")
    assert beside.path.name == "a_2.mp4" and beside.path.read_bytes() == b"ours"
    assert (tmp_path / "a.mp4").read_bytes() == b"theirs"


def test_half_a_file_that_is_to_be_kept_stays_under_its_own_name(tmp_path: Path):
    with pytest.raises(RuntimeError), written_beside(tmp_path / "a.mp4") as beside:
        beside.temporary.write_bytes(b"half")
        beside.keep = True
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [beside.temporary] and beside.temporary.read_bytes() == b"half"
    with written_beside(tmp_path / "b.mp4") as beside:
        beside.keep = True
    assert beside.path.exists() and not beside.temporary.exists()


def test_a_file_in_the_way_of_a_folder(tmp_path: Path):
    (tmp_path / "seen").write_text("in the way")
    for write in (write_file, write_numbered):
        with pytest.raises(NotADirectoryError) as caught:
            write(tmp_path / "seen" / "a.png", b"")
        assert caught.value.filename == str(tmp_path / "seen" / "a.png")
