"""Archive of received panoramas: a watcher that writes to a folder of bounded size."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from panolink.errors import SettingError
from panolink.filenames import file_stem
from panolink.rpc.observability import logs
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.services.receiver.watchers import WatchedPanorama, Watchers

log = logging.getLogger(__name__)

_TIME = "%Y%m%dT%H%M%S.%fZ"


def _now() -> datetime:
    return datetime.now(UTC)


class Archive:
    """Writes published panoramas to a folder, deleting the oldest files beyond a size limit.

    Files are written atomically. A failed write (disk full) is counted and logged; the panorama still counts as
    received.

    Parameters
    ----------
    folder
        Destination of the files, named by time and source: `20261122T203347.123456Z_forest.png`. Names sort in the
        order of arrival: after a clock has been set back, they go on by microseconds until it has caught up.
    limit_bytes
        Maximum size of all files together, including those of earlier runs.
    watchers
        Where to subscribe; determines the policy for a full queue, and counts what is dropped.
    metrics
        Exports files written, deleted and failed, and the bytes in use.
    clock
        Tells the time, in UTC.

    Raises
    ------
    SettingError
        The folder cannot be created or written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int,
        watchers: Watchers,
        metrics: ServiceMetrics,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._limit = limit_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob(".*.part"):  # left by a killed process
                part.unlink()
            (folder / ".part").touch()
            (folder / ".part").unlink()
            self._files = deque((path, path.stat().st_size) for path in sorted(folder.glob("*Z_*.png")))
        except OSError as error:
            reason = f"this folder cannot be used ({error.strerror})"
            raise SettingError(f"PANOLINK_RECEIVER_SAVE_FOLDER={folder}: {reason}") from None
        self._last = max((_time_of(path) for path, _ in self._files), default=datetime.min.replace(tzinfo=UTC))
        self._bytes = sum(size for _, size in self._files)
        self._saved = metrics.counter("saved", "Files of received panoramas, by what became of them.", "outcome")
        for outcome in ("written", "failed", "deleted"):
            self._saved.labels(outcome)
        metrics.gauge("saved_bytes", "Bytes of all files of received panoramas.").set_function(lambda: self._bytes)
        self._task = asyncio.create_task(self._keep(watchers))

    async def close(self) -> None:
        """Write what is queued, and stop; to be called once nothing is received any more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _keep(self, watchers: Watchers) -> None:
        with watchers.join(viewer=False) as watcher:
            try:
                while True:
                    await self._save(await watcher.queue.get())
            except asyncio.CancelledError:
                while not watcher.queue.empty():
                    await self._save(watcher.queue.get_nowait())

    async def _save(self, shown: WatchedPanorama) -> None:
        writing = asyncio.create_task(asyncio.to_thread(self._write, shown))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise

    def _write(self, shown: WatchedPanorama) -> None:
        self._last = max(self._clock(), self._last + timedelta(microseconds=1))
        now = self._last.strftime(_TIME)
        path = self._folder / f"{now}_{file_stem(shown.header.source)}.png"
        part = self._folder / f".{now}.part"
        try:
            part.write_bytes(shown.picture)
            part.rename(path)
        except OSError as error:
            with logs.context(**logs.burst_ids(shown.header.burst_id)):
                log.error("%s cannot be written: %s", path, error.strerror)
            self._saved.labels("failed").inc()
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        self._files.append((path, len(shown.picture)))
        self._bytes += len(shown.picture)
        self._saved.labels("written").inc()
        self._trim()

    def _trim(self) -> None:
        while self._bytes > self._limit and len(self._files) > 1:
            path, size = self._files.popleft()
            self._bytes -= size
            try:
                path.unlink()
            except FileNotFoundError:  # deleted by someone else
                continue
            except OSError as error:
                log.error("%s cannot be deleted: %s", path, error.strerror)
                continue
            self._saved.labels("deleted").inc()


def _time_of(path: Path) -> datetime:
    """When a file was saved, by its name; long ago where the name is none of ours."""
    try:
        return datetime.strptime(path.name.partition("_")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
