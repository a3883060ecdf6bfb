"""What a process writes to standard error, and what it writes when it crashes: real processes, real pipes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from panolink.rpc.observability import logs

ROOT = Path(__file__).parents[3]
BEGIN = """
import logging, threading
from panolink.rpc.observability import logs
logs.configure("channel", level="info", form={form!r})
log = logging.getLogger("panolink.test")
"""


def run(body: str, form: str = "auto", **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
    command = [sys.executable, "-c", BEGIN.format(form=form) + body]
    return subprocess.run(command, env=environment, text=True, timeout=60, **{"stderr": subprocess.PIPE, **options})


def lines(body: str, form: str = "auto") -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(body, form).stderr.splitlines()]


def test_lines_through_a_pipe_are_json() -> None:
    (line,) = lines("""
with logs.context(**logs.burst_ids("0a1b2c3d-7")), logs.context(panorama_id="seven"):
    log.info("delivered %r\\nand more", "Straße.webp", extra=logs.fields(bpp=0.1, snr_db=None))
log.debug("not asked for")
""")
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "service": "channel",
        "logger": "panolink.test",
        "message": "delivered 'Straße.webp'\nand more",
        "stream": "0a1b2c3d",
        "panorama": "0a1b2c3d-7",
        "panorama_id": "seven",
        "bpp": 0.1,
    }


def test_lines_on_a_terminal_are_for_people() -> None:
    ours, theirs = pty.openpty()
    body = 'with logs.context(stream="s", panorama="two words\\x1b[2J"):\n    log.info("delivered")'
    run(body, stderr=theirs)
    os.close(theirs)
    text = os.read(ours, 4096).decode()
    os.close(ours)
    assert 'INFO panolink.test: delivered stream=s panorama="two words\\u001b[2J"' in text


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("1 / 0", "main thread"),
        ("thread = threading.Thread(target=lambda: 1 / 0, name='worker')\nthread.start()\nthread.join()", "worker"),
    ],
)
def test_a_crash_is_one_line_that_can_be_read(body: str, where: str) -> None:
    (line,) = lines(body)
    assert line["level"] == "critical"
    assert line["message"] == f"{where} crashed"
    assert line["error"] == "ZeroDivisionError: division by zero"
    assert line["trace"].splitlines()[0] == "Traceback (most recent call last):"
    assert 'File "<string>"' in line["trace"]


def test_a_crash_in_text_ends_with_what_it_was() -> None:
    ended = run("1 / 0", form="text")
    assert ended.returncode == 1
    assert "main thread crashed" in ended.stderr.splitlines()[0]
    assert ended.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_an_error_that_is_caught_keeps_its_ids() -> None:
    (line,) = lines("""
with logs.context(stream="s", panorama="s-1"):
    try:
        [][1]
    except IndexError:
        log.exception("burst failed")
""")
    assert (line["panorama"], line["error"]) == ("s-1", "IndexError: list index out of range")


@pytest.mark.parametrize(("burst_id", "stream"), [("mine", ""), ("-1", ""), ("a-b", "a"), ("a-b-c", "a")])
def test_a_burst_may_be_called_anything(burst_id: str, stream: str) -> None:
    assert logs.burst_ids(burst_id) == {"stream": stream, "panorama": burst_id}
