"""Decoding strangers' pictures where it can be stopped: in processes with a limit of time and memory each."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from multiprocessing import Pipe
from typing import Any

import numpy as np

from panolink import errors
from panolink.errors import ImageError, LimitError, PanolinkError
from panolink.images import Picture
from panolink.sphere.metadata import SphereMetadata


class PictureDecoder:
    """A pool of `decode_worker` processes, each started when it is first needed.

    Safe to use from several threads; calls wait for a free process.

    Parameters
    ----------
    processes : how many pictures are decoded at a time.
    seconds : how long a picture may take; the process is killed then, and another takes its place.
    memory_bytes : address space that decoding a picture may take.
    """

    def __init__(self, *, processes: int, seconds: float, memory_bytes: int) -> None:
        self._seconds, self._memory_bytes = seconds, memory_bytes
        self._workers = [_Worker(memory_bytes) for _ in range(processes)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def count_pixels(self, data: bytes, *, name: str, max_pixels: int) -> int:
        """Width × height from the header; raises as `decode` does."""
        return self._ask(data, name, {"header_only": True, "max_pixels": max_pixels})[0]["pixels"]

    def decode(self, data: bytes, *, name: str, allow_any_aspect: bool, max_pixels: int) -> np.ndarray:
        """The pixels of `read`, uint8 (H, W, 3)."""
        return self.read(data, name=name, allow_any_aspect=allow_any_aspect, max_pixels=max_pixels).array

    def read(self, data: bytes, *, name: str, allow_any_aspect: bool, max_pixels: int) -> Picture:
        """The picture and its sphere metadata, as `panolink.images.read_picture` gives them.

        Raises
        ------
        ImageError
            No picture, a damaged one, or one that ended the process that decoded it.
        LimitError
            More pixels, time, memory or JPEG scans than allowed.
        """
        options = {"header_only": False, "allow_any_aspect": allow_any_aspect, "max_pixels": max_pixels}
        answer, pixels = self._ask(data, name, options)
        array = pixels.reshape(answer["shape"])
        height, width = array.shape[:2]
        return Picture(array, SphereMetadata.from_bytes(bytes.fromhex(answer["sphere"]), width=width, height=height))

    def close(self) -> None:
        """Kill the processes; calls under way fail."""
        for worker in self._workers:
            worker.kill()

    def _ask(self, data: bytes, name: str, options: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        worker = self._idle.get()
        try:
            answer, pixels = worker.ask({"name": name, **options}, data, self._seconds)
        except _DiedError as died:
            if died.late:
                raise LimitError(f"{name}: decoding takes more than the {self._seconds:g} s allowed") from None
            raise ImageError(f"{name}: cannot be decoded (its decoder ended with status {died.status})") from None
        finally:
            self._idle.put(worker)
        if "error" in answer:
            kind = getattr(errors, answer["error"], ImageError)
            raise kind(answer["message"]) if issubclass(kind, PanolinkError) else ImageError(answer["message"])
        return answer, pixels


class _DiedError(Exception):
    """A worker ended instead of answering; `late` where it was killed for taking too long."""

    def __init__(self, status: int | None, *, late: bool) -> None:
        self.status, self.late = status, late


class _Worker:
    """One process, started when it is first asked and again after it has died."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None where it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def _started(self) -> tuple[subprocess.Popen[bytes], Any]:
        if self.pid is None and not self._closed:
            self._process, self._connection = self._start()
        assert self._process
        return self._process, self._connection

    def _start(self) -> tuple[subprocess.Popen[bytes], Any]:
        ours, theirs = Pipe()
        module = "panolink.services.transmitter.decode_worker"
        # -P: a file of that name in the working directory is none of ours. Libraries write to standard error as they
        # like; what went wrong comes back as an answer.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(self._memory_bytes)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        return process, ours

    def ask(self, options: dict[str, Any], data: bytes, seconds: float) -> tuple[dict[str, Any], np.ndarray]:
        """An answer, and the pixels after it, uint8 (n,); `_DiedError` where there is none."""
        if self._closed:
            raise _DiedError(None, late=False)
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
            raise _DiedError(process.wait(), late=late.is_set()) from None
        finally:
            timer.cancel()

    def kill(self) -> None:
        """End the process for good."""
        self._closed = True
        if self._process:
            self._process.kill()
            self._process.wait()
