import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from panolink.cli.streams import STREAM, check_target, read_source, source_name, write_target
from panolink.errors import PanolinkError


def anything(_: bytes) -> bool:
    return True


def test_a_dash_is_standard_input_and_output(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a packet")))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    assert read_source(STREAM, is_wanted=anything) == b"a packet" and source_name(STREAM) == "standard input"
    check_target(STREAM, overwrite=True)
    write_target(STREAM, b"a picture", overwrite=False)
    assert out.getvalue() == b"a picture"


def test_files_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.plk"
    path.write_bytes(b"a packet" * 1000)
    assert read_source(path, is_wanted=anything) == b"a packet" * 1000 and source_name(path) == str(path)


def test_what_is_not_wanted_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x18ftypmp42")
        file.truncate(1 << 30)
    assert len(read_source(path, is_wanted=lambda head: b"PLK" in head)) == 4096
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        assert len(read_source(STREAM, is_wanted=lambda head: b"PLK" in head)) == 4096


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PanolinkError, match=r"absent\.plk: no such file"):
        read_source(tmp_path / "absent.plk", is_wanted=anything)
    with pytest.raises(PanolinkError, match=f"{tmp_path}: Is a directory"):
        read_source(tmp_path, is_wanted=anything)


def test_a_file_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "a.plk"
    check_target(target, overwrite=False)
    write_target(target, b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        check_target(target, overwrite=False)
    with pytest.raises(FileExistsError):
        write_target(target, b"second", overwrite=False)
    assert target.read_bytes() == b"first"
    check_target(target, overwrite=True)
    write_target(target, b"second", overwrite=True)
    assert target.read_bytes() == b"second" and [path.name for path in tmp_path.iterdir()] == ["a.plk"]
