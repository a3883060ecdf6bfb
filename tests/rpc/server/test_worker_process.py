"""A process that works on strangers' bytes: its answers, and its end where it takes too much."""

import resource
import time
from pathlib import Path

import pytest

from panolink.errors import ImageError, LimitError
from panolink.rpc.server.worker_process import WorkerProcess

WORKER = """
import os, time
import numpy as np
from panolink.errors import LimitError
from panolink.rpc.server.worker_process import serve

def answer(options, data):
    match options["do"]:
        case "picture":
            return {"length": len(data)}, np.full((2, 4, 3), data[0], np.uint8)
        case "large":
            return {}, np.ones((2000, 4000, 3), np.uint8)
        case "nothing":
            return {"pid": os.getpid()}, None
        case "refuse":
            raise LimitError("a: too large")
        case "allocate":
            return {}, np.ones((1 << 14, 1 << 15, 3), np.uint8)
        case "die":
            os._exit(3)
    time.sleep(60)

if __name__ == "__main__":
    serve(answer)
"""


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_answers_refusals_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strange_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    process = WorkerProcess("strange_worker", 256 << 20)

    def ask(what: str, data: bytes = b"", seconds: float = 20.0):
        return process.ask({"name": "a", "do": what}, data, name="a", seconds=seconds)

    try:
        found, picture = ask("picture", b"\x07\x08")
        assert found["length"] == 2 and picture.shape == (2, 4, 3) and (picture == 7).all()
        found, picture = ask("nothing")
        first = found["pid"]
        assert first == process.pid and not picture.size
        at_rest = resident(first)
        assert ask("large")[1].nbytes == 24_000_000
        deadline = time.monotonic() + 20
        while resident(first) > at_rest + (8 << 20):
            assert time.monotonic() < deadline, "it keeps what it has answered"
            time.sleep(0.05)
        with pytest.raises(LimitError, match="a: too large"):
            ask("refuse")
        with pytest.raises(LimitError, match="a: decoding takes more than the 256 MiB allowed"):
            ask("allocate")
        assert ask("nothing")[0]["pid"] == first, "what it refuses does not end it"
        with pytest.raises(ImageError, match="its decoder ended with status 3"):
            ask("die")
        began = time.monotonic()
        with pytest.raises(LimitError, match=r"a: decoding takes more than the 0\.5 s allowed"):
            ask("sleep", seconds=0.5)
        assert time.monotonic() - began < 30
        assert ask("nothing")[0]["pid"] != first, "another one takes its place"
    finally:
        process.kill()
    with pytest.raises(ImageError):
        ask("nothing")
    assert process.pid is None
