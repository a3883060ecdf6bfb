"""Decoding strangers' pictures where it can be stopped: in processes with a limit of time and memory each."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np

from panolink.images import Picture
from panolink.rpc.server.worker_process import WorkerProcess
from panolink.sphere.metadata import SphereMetadata

_MODULE = "panolink.services.transmitter.decode_worker"


class PictureDecoder:
    """A pool of `decode_worker` processes, each started when it is first needed.

    Safe to use from several threads; calls wait for a free process.

    Parameters
    ----------
    processes : int
        How many pictures are decoded at a time.
    seconds : float
        How long a picture may take; the process is killed then, and another takes its place.
    memory_bytes : int
        Address space that decoding a picture may take.
    """

    def __init__(self, *, processes: int, seconds: float, memory_bytes: int) -> None:
        self._seconds = seconds
        self._workers = [WorkerProcess(_MODULE, memory_bytes) for _ in range(processes)]
        self._idle: queue.LifoQueue[WorkerProcess] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def size_of(self, data: bytes, *, name: str, max_pixels: int) -> tuple[int, int]:
        """Width and height from the header; raises as `decode` does."""
        width, height = self._ask(data, name, {"header_only": True, "max_pixels": max_pixels})[0]["size"]
        return width, height

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
        answer, array = self._ask(data, name, options)
        height, width = array.shape[:2]
        return Picture(array, SphereMetadata.from_bytes(bytes.fromhex(answer["sphere"]), width=width, height=height))

    def close(self) -> None:
        """Kill the processes; calls under way fail."""
        for worker in self._workers:
            worker.kill()

    def _ask(self, data: bytes, name: str, options: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        worker = self._idle.get()
        try:
            return worker.ask({"name": name, **options}, data, name=name, seconds=self._seconds)
        finally:
            self._idle.put(worker)
