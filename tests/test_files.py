import os
import stat
from pathlib import Path

import pytest

from panolink.files import write_file, write_numbered


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
