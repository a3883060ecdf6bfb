"""Sends panoramas through the link: samples, uploads, or a stream of either that goes on until it is stopped."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import panolink
from panolink.client import Client, Delivery, LivePicture
from panolink.errors import LinkError, PanolinkError
from panolink.images import IMAGE_SUFFIXES, Picture
from panolink.services.viewer.hub import Hub
from panolink.services.viewer.reduced_pictures import picture_of
from panolink.services.viewer.sent import SentPanoramas
from panolink.services.viewer.settings import ViewerSettings
from panolink.services.viewer.uploads import Upload

IN_FLIGHT = 2
PICTURES_OF_A_SCENE = 6
"""With which a stream of samples stays with one."""

RECONNECT_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Show:
    """What is sent: pictures made by `frames(width)`, each with a name.

    Attributes
    ----------
    options
        Arguments of `Client.send`.
    width
        Width in pixels to which pictures are reduced; None: as they are.
    interval
        Least seconds from one picture to the next.
    repeat
        Whether it begins again at its end.
    stream
        Whether its pictures are predicted from one another, and fine where viewers look.
    close
        Called when it has ended, or makes way for another one.
    """

    name: str
    frames: Callable[[int | None], Iterator[tuple[str, Picture | PanolinkError]]]
    options: dict[str, Any] = field(default_factory=dict)
    width: int | None = None
    interval: float = 0.1
    repeat: bool = False
    stream: bool = False
    close: Callable[[], None] = lambda: None


class Sender:
    """Sends one show at a time; a new one takes the place of the one that runs.

    Publishes to the hub: `sending` (state), `delivery` and `problem` (events).
    """

    def __init__(self, settings: ViewerSettings, hub: Hub, sent: SentPanoramas) -> None:
        self._settings = settings
        self._hub = hub
        self._sent = sent
        self._numbers = itertools.count(1)
        self._mark = secrets.token_hex(2)  # tells the names of this process from those of other viewers on the link
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # of those who stop a show, and may put one in its place
        hub.state("sending", name=None, repeat=False)

    async def play(self, show: Show) -> None:
        """Send a show."""
        try:
            async with self._turn:
                await self._stop()
                self._task = asyncio.create_task(self._run(show))
                self._task.add_done_callback(lambda _: show.close())  # even of a task that never made a step
        except asyncio.CancelledError:
            show.close()
            raise

    async def stop(self) -> None:
        """Stop what is being sent; panoramas under way are given up."""
        async with self._turn:
            await self._stop()

    async def _stop(self) -> None:
        if self._task:
            if not self._task.cancelling():  # another cancellation would end its clean-up
                self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self, show: Show) -> None:
        self._hub.state("sending", name=show.name, repeat=show.repeat)
        client = Client(
            self._settings.transmitter,
            connect_timeout=5.0,
            in_flight=IN_FLIGHT,
            reconnect_timeout=RECONNECT_SECONDS,
            limits=self._settings.limits,
            credentials=self._settings.credentials,
        )
        try:
            async with client as link:
                how = {**show.options, **_streaming(show)}
                async for delivery in link.send(self._panoramas(show), picture=False, activation=True, **how):
                    self._publish(delivery)
        except PanolinkError as error:
            self._hub.event("problem", text=str(error), fix=_fix(error))
        except Exception:
            log.exception("sending %s failed", show.name)
            self._hub.event("problem", text=f"{show.name}: sending failed; the viewer's log says why", fix="")
        finally:
            self._hub.state("sending", name=None, repeat=False)

    async def _panoramas(self, show: Show) -> AsyncIterator[tuple[str, LivePicture]]:
        while True:
            frames, due, any_sent = show.frames(show.width), time.monotonic(), False
            while (found := await asyncio.to_thread(next, frames, None)) is not None:
                name, picture = found
                if isinstance(picture, PanolinkError):
                    self._hub.event("problem", text=str(picture), fix="")
                    continue
                any_sent = True
                source = f"{name} #{self._mark}-{next(self._numbers)}"
                self._sent.put(source, picture.array)
                yield source, LivePicture(picture, captured_at=time.time())
                due = max(due + show.interval, time.monotonic() - show.interval)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not (show.repeat and any_sent):
                return

    def _publish(self, delivery: Delivery) -> None:
        sent = self._sent.find(delivery.source)
        if sent and delivery.activation is not None:
            sent.activation = delivery.activation
        values = delivery.as_dict()
        values["activation"] = delivery.activation is not None
        self._hub.event("delivery", **values)


def samples_in(folder: Path | None) -> dict[str, Path]:
    """The samples by name, without its suffix where that is enough; those in the package where no folder is given."""
    folder = folder or Path(panolink.__file__).parent / "samples"
    paths = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    stems = Counter(path.stem for path in paths)
    return {path.stem if stems[path.stem] == 1 else path.name: path for path in paths}


def show_of_samples(
    samples: dict[str, Path], names: list[str], max_pixels: int, *, stream: bool, repeat: bool, **how: Any
) -> Show:
    """A show of samples, one after the other; with ``stream``, a loop of them is one, and stays with each for a while,
    so that it is seen to get sharper."""
    stream = _is_stream(how, stream and repeat)

    def frames(width: int | None) -> Iterator[tuple[str, Picture | PanolinkError]]:
        for name in names:
            try:
                picture = picture_of(samples[name], width, max_pixels)
            except PanolinkError as error:
                yield name, error
                continue
            for _ in range(PICTURES_OF_A_SCENE if stream else 1):
                yield name, picture

    return Show(", ".join(names), frames, stream=stream, repeat=repeat, **how)


def show_of_upload(upload: Upload, *, stream: bool, interval: float, **how: Any) -> Show:
    """A show of an uploaded picture or video; with ``stream``, a video is one. Videos play in their own time: one with
    fewer frames a second than are asked for takes as long as it lasts."""
    is_video = upload.is_video
    stream = _is_stream(how, stream and is_video)
    asked = interval
    if is_video and upload.fps:
        interval = max(asked, 1 / upload.fps)
        if "mean_bits" in how["options"]:  # of a picture, at the same bits a second
            how["options"] = {**how["options"], "mean_bits": how["options"]["mean_bits"] * interval / asked}
    kept: list[Picture] = []  # of a picture that is shown again and again

    def frames(width: int | None) -> Iterator[tuple[str, Picture]]:
        for picture in kept or upload.pictures(width, fps=1 / asked):
            if not is_video:
                kept[:] = [picture]
            yield upload.name, picture

    return Show(upload.name, frames, stream=stream, interval=interval, close=upload.close, **how)


def _is_stream(how: Mapping[str, Any], several: bool) -> bool:
    """Whether pictures are sent as a stream: where there are several, or the rate is one of streams."""
    return several or "mean_bits" in how["options"]


def _streaming(show: Show) -> dict[str, Any]:
    """Arguments of `Client.send` for a stream; its name is unique with its sender, which is each call."""
    if not show.stream:
        return {}
    return {"stream": "viewer", "follow_gaze": True, "frame_rate": 1 / show.interval}


def _fix(error: PanolinkError) -> str:
    return "panolink up" if isinstance(error, LinkError) else ""
