"""Dynamic batching of the items of all streams for one device, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from panolink.errors import LinkError
from panolink.rpc.flow_control.aio import until_done

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Batched(Generic[Result]):
    """Result of an item, seconds it was queued, and run time of its batch in seconds."""

    result: Result
    queue_seconds: float
    run_seconds: float


class Batcher(Generic[Item, Result]):
    """Collects items of all streams and processes them in batches.

    A batch that raises is run again item by item, so that only the failing item fails.

    Parameters
    ----------
    run
        Maps a list of items to the list of their results; called on `executor`, one call at a time.
    max_batch
        Maximum number of items in a batch.
    max_wait
        Seconds that the first item of a batch waits for others.
    max_queue
        Queue capacity in items; further callers block.
    observe
        Called with the size of each batch.
    busy
        Called with the run time of each batch in seconds.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        executor: Executor,
        max_batch: int,
        max_wait: float,
        max_queue: int,
        observe: Callable[[int], None] = lambda size: None,
        busy: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._run = run
        self._executor = executor
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._observe = observe
        self._busy = busy
        self._queue: asyncio.Queue[_QueuedItem] = asyncio.Queue(max_queue)
        self._batch: list[_QueuedItem] = []
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Number of queued items."""
        return self._queue.qsize()

    async def __call__(self, item: Item) -> Batched[Result]:
        """Process an item; raises what `run` raises for it.

        Cancelled, it leaves the queue at once, or ends with the batch that the item is in.
        """
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        queued = _QueuedItem(item, asyncio.get_running_loop().create_future(), time.monotonic())
        await self._queue.put(queued)
        try:
            return await asyncio.shield(queued.future)
        except asyncio.CancelledError:
            if queued.running:
                await until_done(queued.future)
            else:
                queued.future.cancel()
                queued.item = None
            raise

    async def close(self) -> None:
        """Stop; queued and running items fail with `LinkError`."""
        if self._worker:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        while not self._queue.empty():
            _fail(self._queue.get_nowait(), LinkError("the service is shutting down"))

    async def _work(self) -> None:
        try:
            while True:
                await self._collect()
                await self._run_collected()
        finally:
            for queued in self._batch:
                _fail(queued, LinkError("the service is shutting down"))

    async def _run_collected(self) -> None:
        """Run the batch; nothing of it is held afterwards, for results are large."""
        batch = [queued for queued in self._batch if not queued.future.done()]  # callers may have been cancelled
        if not batch:
            return
        self._observe(len(batch))
        try:
            await self._run_batch(batch)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            for queued in batch:
                try:
                    await self._run_batch([queued])
                except Exception as own:
                    _fail(queued, own)

    async def _collect(self) -> None:
        """Collect the next batch."""
        self._batch = []
        self._batch.append(await self._queue.get())
        until = time.monotonic() + self._max_wait
        while len(self._batch) < self._max_batch:
            if not self._queue.empty():
                self._batch.append(self._queue.get_nowait())
                continue
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    self._batch.append(await self._queue.get())
            except TimeoutError:
                break

    async def _run_batch(self, batch: list[_QueuedItem]) -> None:
        start = time.monotonic()
        loop = asyncio.get_running_loop()
        for queued in batch:
            queued.running = True
        try:
            results = await loop.run_in_executor(self._executor, self._run, [queued.item for queued in batch])
        finally:
            seconds = time.monotonic() - start
            self._busy(seconds)
        for queued, result in zip(batch, results, strict=True):
            if not queued.future.done():
                queued.future.set_result(Batched(result, start - queued.since, seconds))


@dataclass(slots=True)
class _QueuedItem:
    """A queued item and its arrival time."""

    item: Any
    future: asyncio.Future[Any]
    since: float
    running: bool = False


def _fail(queued: _QueuedItem, error: Exception) -> None:
    if not queued.future.done():
        queued.future.set_exception(error)
