"""Work on strangers' bytes in a process of its own, which can be killed: with a limit of time and of memory.

`WorkerProcess` is the service's end of the pipe, `serve` the other one. A request is two messages, options as JSON and
bytes; the answer is JSON, followed by the pixels of a picture if it has a `shape`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panolink import errors
from panolink.errors import ImageError, LimitError, PanolinkError
from panolink.rpc.flow_control.heap import return_free_memory, share_one_heap

Answer = tuple[dict[str, Any], NDArray[np.uint8] | None]
"""What goes back as JSON, and a picture uint8 (H, W, 3)."""


class WorkerDiedError(Exception):
    """A process ended instead of answering; `late` where it was killed for taking too long."""

    def __init__(self, status: int | None, *, late: bool) -> None:
        super().__init__(status)
        self.status, self.late = status, late


class WorkerProcess:
    """One process, started when it is first asked and again after it has died.

    Parameters
    ----------
    module : str
        What `python -m` runs; its `main` calls `serve`.
    memory_bytes : int
        Address space that it may take beyond what it has when it starts.
    """

    def __init__(self, module: str, memory_bytes: int) -> None:
        self._module, self._memory_bytes = module, memory_bytes
        self._lock = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None where it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def _started(self) -> tuple[subprocess.Popen[bytes], Connection]:
        with self._lock:  # `kill` may come from another thread
            if self._closed:
                raise WorkerDiedError(None, late=False)
            if self.pid is None:
                self._process, self._connection = self._start()
            assert self._process
            return self._process, self._connection

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        # -P: a file of that name in the working directory is none of ours. Libraries write to standard error as they
        # like; what went wrong comes back as an answer.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._module, str(theirs.fileno()), str(self._memory_bytes)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        return process, ours

    def ask(
        self, options: Mapping[str, Any], data: bytes, *, name: str, seconds: float
    ) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """An answer, and the picture that came with it, uint8 (H, W, 3); empty where there was none.

        Parameters
        ----------
        options, data
            The request.
        name : str
            Of the picture, for messages.
        seconds : float
            After which the process is killed.

        Raises
        ------
        ImageError
            The process ended instead of answering.
        LimitError
            It took too long, or too much memory.
        PanolinkError
            What it answered.
        """
        try:
            answer, pixels = self._ask(options, data, seconds)
        except WorkerDiedError as died:
            if died.late:
                raise LimitError(f"{name}: decoding takes more than the {seconds:g} s allowed") from None
            raise ImageError(f"{name}: cannot be decoded (its decoder ended with status {died.status})") from None
        if "error" in answer:
            kind = getattr(errors, answer["error"], ImageError)
            raise kind(answer["message"]) if issubclass(kind, PanolinkError) else ImageError(answer["message"])
        return answer, pixels.reshape(answer.get("shape", [0]))

    def _ask(self, options: Mapping[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        process, connection = self._started()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            connection.send_bytes(json.dumps(options).encode())
            connection.send_bytes(data)
            answer = json.loads(connection.recv_bytes())
            pixels = np.empty(int(np.prod(answer.get("shape", [0]))), np.uint8)
            if pixels.size:
                connection.recv_bytes_into(pixels.data)
            return answer, pixels
        except (EOFError, OSError):
            process.kill()
            raise WorkerDiedError(process.wait(), late=late.is_set()) from None
        finally:
            timer.cancel()

    def kill(self) -> None:
        """End the process for good; a request under way fails."""
        with self._lock:
            self._closed = True
            if self._process:
                self._process.kill()
                self._process.wait()


def serve(answer: Callable[[dict[str, Any], bytes], Answer]) -> None:
    """Answer requests, one after the other, until the pipe closes: `main` of a module that a `WorkerProcess` runs.

    Parameters
    ----------
    answer : Callable[[dict[str, Any], bytes], Answer]
        Makes the answer of a request; a `PanolinkError` that it raises is the answer, too.
    """
    connection, memory_bytes = Connection(int(sys.argv[1])), int(sys.argv[2])
    share_one_heap()  # heaps of a thread each would take much of the address space, empty as they are
    _limit_memory(memory_bytes)
    while True:
        try:
            options, data = json.loads(connection.recv_bytes()), connection.recv_bytes()
        except EOFError:
            return
        picture = None
        try:
            found, picture = answer(options, data)
            if picture is not None:
                found = {**found, "shape": picture.shape}
        except MemoryError:
            found = _failure(_too_large(options, memory_bytes))
        except PanolinkError as error:
            short_of_memory = isinstance(error.__cause__, MemoryError)
            found = _failure(_too_large(options, memory_bytes) if short_of_memory else error)
        connection.send_bytes(json.dumps(found).encode())
        if picture is not None:
            connection.send_bytes(np.ascontiguousarray(picture).reshape(-1).data)
            del data, picture  # it may wait for long
            return_free_memory()


def _too_large(options: Mapping[str, Any], memory_bytes: int) -> LimitError:
    return LimitError(f"{options['name']}: decoding takes more than the {memory_bytes >> 20} MiB allowed")


def _failure(error: PanolinkError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


def _limit_memory(memory_bytes: int) -> None:
    """Let this process have so much more address space than it has now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # no such accounting here: the time limit remains
        return
    limit = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
