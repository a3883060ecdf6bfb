import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import panolink as package
from tests.cli.helpers import ENVIRONMENT, PANOLINK, one_line

Run = Callable[..., Result]
COMMANDS = ("up", "send", "watch", "channel", "health", "demo", "doctor", "certs", "encode", "decode", "info", "train")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(panolink: Run, command: str):
    result = panolink(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout and f"panolink {command}" in result.stdout
    assert "--json" in result.stdout


@pytest.mark.slow
def test_help_names_every_command_and_is_quick():
    code = "import sys; from panolink.cli.app import app; print({'torch', 'grpc', 'numpy', 'numba'} & set(sys.modules))"
    done = subprocess.run([PANOLINK[0], "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert done.stdout.strip() == "set()"
    done = subprocess.run([*PANOLINK, "--help"], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("shell, words", [("bash", "panolink se"), ("zsh", "panolink se"), ("fish", "panolink se")])
def test_completion(shell: str, words: str):
    """As the script of `panolink --show-completion` asks for it."""
    asked = {"_PANOLINK_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": "1"}
    asked |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    code = "from panolink.cli import main; main()"
    done = subprocess.run([PANOLINK[0], "-c", code], capture_output=True, text=True, env={**ENVIRONMENT, **asked})
    assert "send" in done.stdout and "watch" not in done.stdout


def test_version(panolink: Run):
    result = panolink("--version")
    assert (result.exit_code, result.stdout) == (0, f"panolink {package.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "a.png"),
        ("encode", "a.png", "a.plk", "--bpp", "0.1", "--tau", "0.1"),
        ("encode", "a.png", "a.plk", "--bpp", "0"),
        ("encode", "a.png", "a.plk", "--tau", "1.5"),
        ("send",),
        ("send", "a.png", "--to", "nowhere"),
        ("send", "a.png", "--to", "127.0.0.1:1", "--bpp", "0.1", "--tau", "0.1"),
        ("send", "a.png", "--to", "127.0.0.1:1", "--no-picture", "--out", "x"),
        ("watch", "127.0.0.1:70000", "--out", "x"),
        ("channel", "127.0.0.1:1", "--model", "rayleigh", "--seed", "1", "--unseeded"),
        ("channel", "127.0.0.1:1", "--model", "nakagami"),
        ("up", "--transmitter-port", "0"),
        ("demo", "--bpp", "0.1", "--tau", "0.1"),
        ("dance",),
    ],
)
def test_wrong_usage_is_exit_code_2(panolink: Run, arguments: tuple[str, ...]):
    result = panolink(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.slow
def test_debug_shows_where_an_error_comes_from(tmp_path: Path):
    for options, environment in ((["--debug"], {}), ([], {"PANOLINK_DEBUG": "1"})):
        command = [*PANOLINK, *options, "info", str(tmp_path / "absent.plk")]
        done = subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **environment})
        assert done.returncode == 1
        assert "Traceback" in done.stderr


def test_files_that_cannot_be_written_are_one_line(panolink: Run, small: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    line = one_line(panolink("encode", small, tmp_path / "file" / "a.plk"))
    assert "file/a.plk" in line and ("Not a directory" in line or "File exists" in line)
    assert panolink("encode", small, tmp_path / "new" / "a.plk").exit_code == 0  # folders are made


@pytest.mark.slow
def test_ctrl_c_ends_any_command_with_130(tmp_path: Path):
    """Here while it waits for a pipe to which nobody writes."""
    os.mkfifo(tmp_path / "pipe")
    command = [*PANOLINK, "encode", str(tmp_path / "pipe"), str(tmp_path / "a.plk")]
    encode = subprocess.Popen(command, text=True, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)  # waits until the pipe is being read
    encode.send_signal(signal.SIGINT)
    _, told = encode.communicate(timeout=20)
    os.close(writer)
    assert (encode.returncode, told) == (130, "panolink: interrupted\n")
    assert not (tmp_path / "a.plk").exists()
