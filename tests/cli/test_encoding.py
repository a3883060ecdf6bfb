"""Text in any locale, and output that cannot be written."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cli.helpers import ENVIRONMENT, PANOLINK
from tests.images.pictures import PICTURE, encoded

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--help",), ("send", "--help"), ("watch", "--help"), ("info", "base")])
def test_any_locale_will_do(arguments: tuple[str, ...]):
    environment = {**ENVIRONMENT, **ASCII}
    done = subprocess.run([*PANOLINK, *arguments], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout and done.stdout.isascii() and not done.stderr


@pytest.mark.slow
def test_names_that_are_no_utf8_are_told():
    done = subprocess.run(
        [*PANOLINK, "info", b"caf\xe9.plk"], capture_output=True, env={**ENVIRONMENT, "LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 1
    assert done.stderr == b"panolink: caf\\udce9.plk: no such file\n"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--help",), ("info", "base", "--json"), ("info",)])
def test_a_full_disk_for_what_is_printed(arguments: tuple[str, ...]):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PANOLINK, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("panolink: ") and "No space left on device" in line


@pytest.mark.slow
def test_a_reader_that_has_enough():
    command = " ".join((*PANOLINK, "info", "base", "--json")) + " | true; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=ENVIRONMENT)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.slow
def test_damaged_files_are_told_in_one_line(tmp_path: Path):
    """Decoders have their own to say: warnings, and log lines."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(50)
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0" + bytes(40))
    (tmp_path / "b.png").write_bytes(encoded(PICTURE, exif=exif)[:-60])
    for name in ("a.tif", "b.png"):
        target = str(tmp_path / "a.plk")
        done = subprocess.run(
            [*PANOLINK, "encode", str(tmp_path / name), target], capture_output=True, text=True, env=ENVIRONMENT
        )
        assert done.returncode == 1 and not done.stdout
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"panolink: {tmp_path / name}: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command, says",
    [
        ("encode - a.plk <&-", "panolink: standard input: empty"),
        ("encode a.png - --tau 0 >&-", "Bad file descriptor"),
        ("info base --json >&-", "Bad file descriptor"),
    ],
)
def test_streams_that_are_closed(command: str, says: str, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encoded(np.zeros((32, 64, 3), np.uint8)))
    line = f"{' '.join(PANOLINK)} {command}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path)
    assert done.returncode == 1 and says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
