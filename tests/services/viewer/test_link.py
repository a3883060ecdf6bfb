"""What the viewer makes of received pictures for browsers, whatever a receiver says."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panolink.client import ReceivedPanorama
from panolink.images.wire_pictures import encode_picture
from panolink.picture_format import PictureFormat
from panolink.rpc.wire.deliveries import Segments
from panolink.services.viewer import link
from panolink.services.viewer.hub import Hub
from panolink.services.viewer.link import MAX_HEIGHT, LinkWatcher, running, to_jpeg
from panolink.services.viewer.metrics import ViewerMetrics
from panolink.services.viewer.sent import SentPanoramas
from panolink.services.viewer.settings import ViewerSettings


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 128), (64, 128)),
        ((512, 1000), (256, 500)),  # exactly the width that is allowed
        ((70_000, 16), (MAX_HEIGHT, 3)),  # a JPEG file has at most 65,500 rows
        ((16, 70_000), (1, 500)),
    ],
)
def test_pictures_of_any_shape_become_files(size: tuple[int, int], expected: tuple[int, int]) -> None:
    file = to_jpeg(np.zeros((*size, 3), np.uint8), 500, 90)
    with Image.open(io.BytesIO(file)) as image:
        assert (image.height, image.width) == expected


def arrival(number: int, **changes: object) -> ReceivedPanorama:
    picture = encode_picture(np.full((16, 32, 3), 90, np.uint8), PictureFormat.RGB8)
    values = {
        **{"number": number, "burst_id": "a-1", "source": "a", "width": 32, "height": 16, "fingerprint": ""},
        **{"snr_db": 1.0, "segments": Segments.from_wire([]), "concealed": 0, "dropped": 0, "rounds": 1},
        **{"file": picture},
    }
    return ReceivedPanorama(**(values | changes))  # type: ignore[arg-type]


class Receiver:
    """Shows two pictures, the second one once the first has failed."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()

    async def __aenter__(self) -> "Receiver":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def watch(self, **_: object) -> AsyncIterator[ReceivedPanorama]:
        yield arrival(1, file=encode_picture(np.zeros((32, 64, 3), np.uint8), PictureFormat.RGB8))
        await self.failed.wait()
        yield arrival(2)
        await asyncio.sleep(60)


async def test_a_picture_that_cannot_be_shown_costs_none_of_those_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a library would end the watch for good, while the process looks as if it served."""
    shown, receiver, whole = asyncio.Queue[int](), Receiver(), link.to_jpeg

    def fails(picture: np.ndarray, *how: int) -> bytes:
        if picture.shape[0] == 32:
            raise OSError("encoder error -2")
        return whole(picture, *how)

    monkeypatch.setattr(link, "to_jpeg", fails)
    monkeypatch.setattr(link.log, "exception", lambda *_: receiver.failed.set())
    monkeypatch.setattr(LinkWatcher, "client", lambda *_: receiver)
    hub = Hub(ViewerMetrics())
    monkeypatch.setattr(hub, "picture", lambda header, *_: shown.put_nowait(header["number"]))
    settings = ViewerSettings(listen="127.0.0.1:0", channel="off")
    async with link.running(LinkWatcher(settings, hub, ViewerMetrics(), SentPanoramas())):
        async with asyncio.timeout(20):
            assert await shown.get() == 2


class Watched:
    """A receiver that can be watched, and whose watches take a moment to end."""

    def __init__(self) -> None:
        self.wished: list[float | None] = []

    async def __aenter__(self) -> "Watched":
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.02)

    async def watch(self, *, realism: float | None, on_subscribed: Callable[[], None], **_: object) -> Any:
        self.wished.append(realism)
        on_subscribed()
        await asyncio.sleep(60)
        yield


async def test_a_choice_that_is_taken_back_at_once_interrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, metrics = Watched(), ViewerMetrics()
    monkeypatch.setattr(LinkWatcher, "client", lambda *_, **__: receiver)
    watcher = LinkWatcher(ViewerSettings(channel="off"), Hub(metrics), metrics, SentPanoramas())
    async with running(watcher):
        while not receiver.wished:
            await asyncio.sleep(0.01)
        first = asyncio.create_task(watcher.choose_realism(1.0))
        await asyncio.sleep(0.005)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(first, watcher.choose_realism(None))
        assert receiver.wished[-1] is None and asyncio.get_running_loop().time() - began < 0.9
