"""How networks run on a device: pictures go over beside the computation, and known shapes are recorded beforehand.

On a GPU a picture goes through pinned memory on a stream of its own, and a recorded shape is a CUDA graph: one launch
in place of hundreds, so that the host has time for its own part of the work. On a CPU the same calls copy and compute.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.errors import ModelError

log = logging.getLogger(__name__)

RUNS_BEFORE_CAPTURE = 3
"""of a function, so that its memory is allocated and its algorithms are chosen before a graph is captured"""

USUAL_SIZES = ((512, 1024), (1024, 2048), (2048, 4096))
"""heights and widths of most panoramas: a service records a GPU's work for them at its start"""

RECORDED_PIXELS = 1 << 23
"""of batches that are recorded, at most: with more to do a GPU is busy for longer than the launches take"""


def device_named(name: str | torch.device) -> torch.device:
    """A device to run on: `auto` (the GPU where there is one), `cpu`, `cuda`, `cuda:1` …

    Raises
    ------
    ModelError
        There is no such device here; names those that there are.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError):
        device = None
    if device is None or device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= gpus):
        here = ", ".join(["auto", "cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))])
        why = "" if gpus else " (no NVIDIA GPU that torch can use)"
        raise ModelError(f"no device {str(name)!r} here; there are {here}{why}")
    return device


@functools.cache
def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 convolutions run in a device's hardware; emulated ones are slower than float32.

    Parameters
    ----------
    device : str
        Its type: `cpu` or `cuda`.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def mixed_precision(device: str) -> torch.autocast:
    """A context in which convolutions and matrix products run in bfloat16, where `has_bfloat16` says so.

    Parameters
    ----------
    device : str
        Its type: `cpu` or `cuda`.
    """
    return torch.autocast(device, dtype=torch.bfloat16, enabled=has_bfloat16(device))


def batches_to_record(sizes: Sequence[tuple[int, int]], max_batch: int) -> list[tuple[tuple[int, int], int]]:
    """Sizes and batches that a service records at its start, those of the most pixels first: they share its memory.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Heights and widths, pixels.
    max_batch : int
        Panoramas at a time, at most.
    """
    batches = [1 << power for power in range(max_batch.bit_length())]
    pairs = [
        (size, batch) for size in sizes for batch in batches if batch == 1 or batch * math.prod(size) <= RECORDED_PIXELS
    ]
    return sorted(pairs, key=lambda pair: -pair[1] * math.prod(pair[0]))


class Transfers:
    """Copies of pictures to and from a device.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._there = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._back = torch.cuda.Stream(device) if device.type == "cuda" else None

    def to_device(self, arrays: Sequence[NDArray]) -> Tensor:
        """Stack arrays of one shape and type there.

        The host does not wait for the copy; what runs on the current stream afterwards does.
        """
        if self._there is None:
            return torch.from_numpy(np.stack(arrays)).to(self._device)
        host = torch.from_numpy(np.empty((len(arrays), *arrays[0].shape), arrays[0].dtype)).pin_memory()
        np.stack(arrays, out=host.numpy())
        with torch.cuda.stream(self._there):
            there = host.to(self._device, non_blocking=True)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._there)
        there.record_stream(current)
        return there

    def to_host(self, values: Tensor) -> NDArray:
        """Bring a tensor back; the host waits for this one, and not for what was asked of the device after it."""
        if self._back is None:
            return values.cpu().numpy()
        self._back.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._back):
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            values.record_stream(self._back)
            done = self._back.record_event()
        done.synchronize()
        return host.numpy()


class Recorded:
    """A function from tensors to a tensor that is recorded for some shapes, and called as it is for all others.

    Nothing is recorded but by `record`, which takes seconds: never in the middle of a stream. Safe to call from several
    threads that have the same current stream. Recordings are replayed one at a time, and share the memory of what they
    compute on the way: together they hold what the largest one needs.

    Parameters
    ----------
    function : callable
        It must not synchronise with the host, nor copy from there.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._recordings: dict[tuple[torch.Size, ...], _Recording] = {}
        self._lock = threading.Lock()
        self._memory: Any = None

    def record(self, *inputs: Tensor) -> None:
        """Record the function for inputs of these shapes, types and memory formats.

        Where the device refuses (an operation that cannot be captured, memory), a line in the log says so, and the
        function goes on being called as it is.
        """
        with self._lock:
            if _shapes(inputs) in self._recordings:
                return
            try:
                if self._memory is None and inputs[0].is_cuda:
                    self._memory = torch.cuda.graph_pool_handle()
                self._recordings[_shapes(inputs)] = _Recording(self._function, inputs, self._memory)
            except RuntimeError as error:
                shapes = ", ".join(str(tuple(shape)) for shape in _shapes(inputs))
                log.warning("networks are not recorded for %s, and run as they are: %s", shapes, error)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result, in memory of its own."""
        recording = self._recordings.get(_shapes(inputs))
        if recording is None:
            return self._function(*inputs)
        with self._lock:  # the recording's memory is in use from the first copy to the last
            return recording(inputs)


def _shapes(inputs: Sequence[Tensor]) -> tuple[torch.Size, ...]:
    return tuple(one.shape for one in inputs)


class _Recording:
    """A function with memory for inputs of one shape; on a GPU a graph of what it does there."""

    def __init__(self, function: Callable[..., Tensor], inputs: Sequence[Tensor], memory: Any) -> None:
        self._inputs = [one.clone() for one in inputs]
        self._run: Callable[[], Tensor] = lambda: function(*self._inputs)
        if inputs[0].is_cuda:
            with torch.cuda.device(inputs[0].device):  # streams and graphs are of the current one
                self._run = _captured(self._run, memory)

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        return self._run().clone()


def _captured(run: Callable[[], Tensor], memory: Any) -> Callable[[], Tensor]:
    """A CUDA graph of what ``run`` does, in a pool of ``memory``, as a function that replays it."""
    aside, current = torch.cuda.Stream(), torch.cuda.current_stream()
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        for _ in range(RUNS_BEFORE_CAPTURE):
            run()
    current.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=memory, stream=aside):  # its own default is of the first device that asked
        output = run()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay
