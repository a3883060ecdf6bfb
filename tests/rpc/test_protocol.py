"""The protocol is lint-clean, and its committed stubs are what the protos give."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_committed_stubs_are_fresh() -> None:
    pytest.importorskip("grpc_tools")
    run(sys.executable, "scripts/generate_stubs.py", "--check")


@pytest.mark.parametrize("check", [["lint"], ["format", "--diff", "--exit-code"]])
def test_buf_has_nothing_to_say(check: list[str]) -> None:
    buf = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
    if buf is None:
        pytest.skip("buf is not installed (the dev extra has it)")
    run(buf, *check)
