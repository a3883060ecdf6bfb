"""What `send`, `watch` and others share: a client of a running service, and panoramas from sources to results."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panolink.cli.options import print_note
from panolink.cli.report import Result, judge
from panolink.errors import LinkError, PanolinkError
from panolink.filenames import file_stem
from panolink.files import NamesInOrder, write_numbered

if TYPE_CHECKING:
    import numpy as np

    from panolink.client import Client, Delivery, LivePicture
    from panolink.images import Panorama, Reading

CONNECT_SECONDS = 5.0


@asynccontextmanager
async def connected(target: str, *, in_flight: int = 4) -> AsyncIterator[Client]:
    """A connected client of a running service, for the duration of the context.

    Parameters
    ----------
    target : str
        `host:port`.
    in_flight : int
        Panoramas on their way at a time, at most.

    Raises
    ------
    LinkError
        Nothing answers there; tells how to start a link.
    """
    from panolink.client import Client
    from panolink.rpc.transport.connection import proxy_hint

    client = Client(target, connect_timeout=CONNECT_SECONDS, in_flight=in_flight)
    try:
        await client.__aenter__()
    except LinkError:
        raise LinkError(
            f"nothing answers at {target} (waited {CONNECT_SECONDS:g} s{proxy_hint(target)}); "
            "start it with: panolink up"
        ) from None
    try:
        yield client
    finally:
        await client.__aexit__(None, None, None)


@dataclass
class Transfer:
    """Panoramas from sources to results, at most a handful of them in memory at a time.

    Attributes
    ----------
    options : Mapping[str, Any]
        Of `panolink.Client.send`.
    reading : Reading
        How sources are read.
    folder : Path | None
        Where received pictures are written; None: nowhere.
    overwrite : bool
        Whether files of their names are replaced.
    on_note : Callable[[str], None]
        Called with a line about a source that is no error.
    skipped : int
        Pictures of live sources that were left out, because they came too late.
    """

    options: Mapping[str, Any]
    reading: Reading
    folder: Path | None = None
    overwrite: bool = False
    on_note: Callable[[str], None] = print_note
    skipped: int = field(default=0, init=False)
    _under_way: dict[str, _Sent] = field(default_factory=dict, init=False)  # by the client's number
    _unread: deque[Result] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        self._names = NamesInOrder(overwrite=self.overwrite)

    @property
    def under_way(self) -> list[str]:
        """Names of the panoramas that have been sent and not answered."""
        return [sent.panorama.name for sent in self._under_way.values()]

    async def send(self, link: Client, sources: Sequence[str | Path]) -> AsyncIterator[_Answer]:
        """Each panorama's result, and the picture as it was sent; None for one that could not be read."""
        async with aclosing(link.send(self._outgoing(sources, link.image_bytes), **self.options)) as deliveries:
            async for delivery in deliveries:
                while self._unread:
                    yield self._unread.popleft(), None
                sent = self._under_way.pop(delivery.id)
                yield await self._result(sent, delivery), sent.panorama.array
        while self._unread:
            yield self._unread.popleft(), None

    def _outgoing(self, sources: Sequence[str | Path], max_bytes: int) -> Iterator[tuple[str, bytes | LivePicture]]:
        from panolink.client import LivePicture
        from panolink.images import Failure, panoramas_in
        from panolink.rpc.wire.status import code_of

        sent = 0
        for number, item in enumerate(panoramas_in(sources, self.reading, on_skip=self.on_note), start=1):
            try:
                if isinstance(item, Failure):
                    raise item.error
                image = _image_file(item, max_bytes)
            except PanolinkError as error:
                failed = Result(id=str(number), source=item.name, error=str(error), code=code_of(error).name)
                self._unread.append(failed)
                continue
            for note in item.notes:
                self.on_note(f"{item.name}: {note}")
            sent += 1
            target = self._names.reserve(self.folder / f"{file_stem(item.name)}_received.png") if self.folder else None
            self.skipped += item.skipped
            self._under_way[str(sent)] = _Sent(str(number), replace(item, data=None), target)
            yield item.name, LivePicture(image, item.captured_at, item.skipped) if item.captured_at else image

    async def _result(self, sent: _Sent, delivery: Delivery) -> Result:
        path, problem = None, {}
        if sent.target and delivery.picture is not None:
            try:
                path = await asyncio.to_thread(_write, sent.target, delivery, overwrite=self.overwrite)
            except OSError as error:  # one picture that cannot be written; the rest goes on
                problem = {"error": f"{error.filename}: {error.strerror}", "code": file_error_code(error)}
        if sent.target:
            self._names.release(sent.target)
        judged = await asyncio.to_thread(judge, sent.number, sent.panorama.name, delivery, sent.panorama.array)
        return replace(judged, path=path, **problem)


_Answer = tuple[Result, "np.ndarray | None"]


@dataclass(frozen=True)
class _Sent:
    """A panorama on its way: its number among all sources, and the file that it will have."""

    number: str
    panorama: Panorama
    target: Path | None


def _image_file(panorama: Panorama, max_bytes: int) -> bytes:
    """As it goes over the wire; what has been decoded here is not decoded again."""
    from panolink.images import Picture
    from panolink.images.sendable import sendable_file, sendable_picture

    if panorama.data and (file := sendable_file(panorama.data, max_bytes=max_bytes)) is not None:
        return file
    picture = Picture(panorama.array, panorama.sphere)
    return sendable_picture(picture, max_bytes=max_bytes, name=panorama.name, raw=panorama.data is None)


def _write(target: Path, delivery: Delivery, *, overwrite: bool) -> Path:
    from panolink.images import encode_png, is_sphere

    assert delivery.picture is not None
    height, width = delivery.picture.shape[:2]
    png = encode_png(delivery.picture, sphere=delivery.sphere if is_sphere(width, height) else None)
    return write_numbered(target, png, overwrite=overwrite)


def file_error_code(error: OSError) -> str:
    """The gRPC status that says the same as an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "RESOURCE_EXHAUSTED"
    return "PERMISSION_DENIED" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else "UNKNOWN"
