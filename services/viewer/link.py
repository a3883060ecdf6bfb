"""The viewer's side of the link: watches the receiver, and keeps an eye on all three services."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
from PIL import Image

from panolink.client import Client, ReceivedPanorama
from panolink.codec.realism import decoder_of
from panolink.errors import LinkError, PanolinkError
from panolink.images import encode_png
from panolink.link.token_kinds import TokenKind
from panolink.phy import Conditions
from panolink.rpc.wire.capture_times import age_of
from panolink.services.viewer.control import conditions_as_dict
from panolink.services.viewer.hub import Hub
from panolink.services.viewer.metrics import ViewerMetrics
from panolink.services.viewer.sent import SentPanoramas
from panolink.services.viewer.settings import ViewerSettings

OFF = "off"
"""in place of the channel's address: there is none"""

MAX_HEIGHT = 16384
"""Pixels of a picture for browsers; a JPEG file has at most 65,500."""

POLL_SECONDS = 2.0
ANSWER_SECONDS = 2.0
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class LinkWatcher:
    """Publishes to the hub: received panoramas (`picture`, `quality`), `services`, and the channel's `conditions`."""

    def __init__(self, settings: ViewerSettings, hub: Hub, metrics: ViewerMetrics, sent: SentPanoramas) -> None:
        self._settings = settings
        self._hub = hub
        self._metrics = metrics
        self._sent = sent
        self._newest: ReceivedPanorama | None = None
        self._arrived = asyncio.Event()
        self._services: dict[str, dict[str, Any]] = {}
        self._watching = False
        self._not_watched = ""  # why, as the last attempt to watch has ended
        self._realism: float | None = None
        self._chosen = 0  # how often another one was
        self._watch_call: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self._tell_decoder()
        self._quality: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._show())
            for name in ("transmitter", "channel", "receiver"):
                if getattr(self._settings, name) != OFF:
                    tasks.create_task(self._ask(name))

    def client(self, name: str, *, connect_timeout: float = ANSWER_SECONDS) -> Client:
        """A client of one of the services."""
        return Client(
            getattr(self._settings, name),
            connect_timeout=connect_timeout,
            limits=self._settings.limits,
            credentials=self._settings.credentials,
        )

    async def set_conditions(self, changes: dict[str, Any]) -> None:
        """Change the channel's conditions and publish them; raises what `Client.set_conditions` raises, and `LinkError`
        where there is none."""
        self._check_channel()
        async with self.client("channel") as channel:
            self._publish_conditions(await channel.set_conditions(**changes))

    async def conditions(self) -> Conditions:
        """The channel's conditions; `LinkError` where there is none."""
        self._check_channel()
        async with self.client("channel") as channel:
            return await channel.conditions()

    def _check_channel(self) -> None:
        if self._settings.channel == OFF:
            raise LinkError("this link has no channel whose conditions could be changed")
        known = self._services.get("channel", {})
        if known.get("up") is False:  # to ask it all the same would keep the browser's next requests waiting
            raise LinkError(known["error"])

    async def choose_realism(self, realism: float | None) -> None:
        """Watch pictures that the decoder of another realism makes, None: the receiver's own; returns when the receiver
        knows, or does not answer."""
        if realism == self._realism:
            return
        self._realism = realism
        self._chosen += 1
        self._tell_decoder()
        self._subscribed.clear()
        if self._watch_call:
            self._watch_call.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._subscribed.wait(), ANSWER_SECONDS)

    def _tell_decoder(self) -> None:
        self._hub.state("decoder", decoder=decoder_of(self._realism), realism=self._realism)

    async def _watch(self) -> None:
        while True:
            chosen = self._chosen
            self._watch_call = asyncio.create_task(self._watch_with(self._realism))
            try:
                await asyncio.wait([self._watch_call])
            finally:
                self._watch_call.cancel()
            if chosen == self._chosen:
                self._set_watching(False)
                await asyncio.sleep(RETRY_SECONDS)

    async def _watch_with(self, realism: float | None) -> None:
        """Watch until the receiver goes away."""
        watching = {"tokens": True, "realism": realism, "on_subscribed": lambda: self._set_watching(True)}
        try:
            async with (
                self.client("receiver") as receiver,
                aclosing(receiver.watch(gazes=self._hub.gazes.followed(), **watching)) as arrivals,
            ):
                async for panorama in arrivals:
                    if self._arrived.is_set():
                        self._metrics.skipped.labels("link").inc()
                    self._newest = panorama
                    self._arrived.set()
        except PanolinkError as error:
            log.debug("not watching: %s", error)
            self._not_watched = str(error)

    async def _show(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            panorama = self._newest
            assert panorama
            try:
                picture, jpeg, tokens = await asyncio.to_thread(self._encoded, panorama)
            except PanolinkError as error:
                log.warning("%s", error)
                continue
            except Exception:
                log.exception("a received picture cannot be shown")
                continue
            original = self._sent.find(panorama.source)
            self._hub.picture(_header(panorama, sent=original is not None), jpeg, tokens)
            if original is not None and (self._quality is None or self._quality.done()):
                self._quality = asyncio.create_task(self._judge(panorama.source, original.picture, picture))

    async def _judge(self, source: str, original: np.ndarray, received: np.ndarray) -> None:
        if original.shape == received.shape:
            scores = await asyncio.to_thread(_scores, original, received)
            self._hub.event("quality", source=source, **scores)

    def _encoded(self, panorama: ReceivedPanorama) -> tuple[np.ndarray, bytes, bytes]:
        """The picture, its JPEG file, and a PNG file of its tokens' kinds, empty where they are not known."""
        picture, kinds = panorama.array, panorama.kinds
        jpeg = to_jpeg(picture, self._settings.max_width, self._settings.picture_quality)
        return picture, jpeg, b"" if kinds is None else encode_png(kinds)

    async def _ask(self, name: str) -> None:
        """Ask a service again and again what it is; without an answer, say how to start it."""
        address = getattr(self._settings, name)
        while True:
            answer: dict[str, Any] = {"address": address, "up": False}
            try:
                async with self.client(name) as client:
                    while True:
                        info = await asyncio.wait_for(client.info(), ANSWER_SECONDS)
                        models = [dict(model) for model in info.models]
                        found = {"version": info.version, "device": info.device, "models": models}
                        self._tell(name, {**answer, "up": True, **found})
                        if name == "channel":
                            await asyncio.wait_for(self._look_at_channel(client), ANSWER_SECONDS)
                        await asyncio.sleep(POLL_SECONDS)
            except TimeoutError:
                self._tell(name, {**answer, "error": f"{address}: no answer within {ANSWER_SECONDS:g} s"})
            except PanolinkError as error:
                self._tell(name, {**answer, "error": str(error)})
            except Exception:
                log.exception("what %s says makes no sense", address)
                self._tell(name, {**answer, "error": f"{address}: what it says makes no sense"})
            await asyncio.sleep(RETRY_SECONDS)

    def _tell(self, name: str, answer: dict[str, Any]) -> None:
        self._services[name] = answer
        self._publish_services()

    def _set_watching(self, watching: bool) -> None:
        self._watching = watching
        if watching:
            self._not_watched = ""
            self._subscribed.set()
        self._publish_services()

    def _publish_services(self) -> None:
        """A receiver is there once it is watched: what is sent before that would not be shown."""
        services = dict(self._services)
        receiver = services.get("receiver")
        if receiver and receiver["up"] and not self._watching:
            why = self._not_watched or f"{receiver['address']}: it answers, and is not watched yet"
            services["receiver"] = {**receiver, "up": False, "error": why}
        self._hub.state("services", services=services)

    async def _look_at_channel(self, channel: Client) -> None:
        conditions, seconds = await channel.conditions(), 0.0
        if conditions.schedule is not None:
            _, seconds = await channel.conditions_in_force()
        self._publish_conditions(conditions, seconds)

    def _publish_conditions(self, conditions: Conditions, seconds: float = 0.0) -> None:
        self._hub.state("conditions", conditions=conditions_as_dict(conditions, seconds))


def to_jpeg(picture: np.ndarray, max_width: int, quality: int) -> bytes:
    """Encode a picture uint8 (H, W, 3) for browsers, reduced to at most `max_width` pixels of width, and to no more
    height than files and textures have."""
    image = Image.fromarray(picture)
    width, height = image.size
    if width > max_width:
        width, height = max_width, max(1, height * max_width // width)
    if height > MAX_HEIGHT:
        width, height = max(1, width * MAX_HEIGHT // height), MAX_HEIGHT
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _header(panorama: ReceivedPanorama, *, sent: bool) -> dict[str, Any]:
    """What browsers get to know of a picture."""
    segments = panorama.segments
    return {
        "type": "picture",
        "number": panorama.number,
        "burst_id": panorama.burst_id,
        "source": panorama.source,
        "width": panorama.width,
        "height": panorama.height,
        "snr_db": panorama.snr_db,
        "concealed": panorama.concealed,
        "rounds": panorama.rounds,
        "segments": {
            "sent": dict(segments.sent_by_layer),
            "lost": dict(segments.lost_by_layer),
            "unsent": segments.unsent,
            "recovered": segments.recovered,
        },
        "kinds": _counted(panorama.kinds),
        "focus": [vars(focus) for focus in panorama.focus],
        "decoder": panorama.decoder,
        "realism": panorama.realism,
        "age_seconds": age_of(panorama.captured_at),
        "original": sent,
    }


def _counted(kinds: np.ndarray | None) -> dict[str, int] | None:
    """Tokens by kind, whose names are those of the protocol; None where they are not known."""
    if kinds is None:
        return None
    return {kind.name.lower(): int((kinds == kind).sum()) for kind in TokenKind}


def _scores(original: np.ndarray, received: np.ndarray) -> dict[str, float]:
    from panolink.metrics.viewport import viewport_scores

    scores = viewport_scores(original, received)
    return {"vpsnr_db": scores.vpsnr_db, "vssim": scores.vssim}


@asynccontextmanager
async def running(watcher: LinkWatcher) -> AsyncIterator[None]:
    """Run the watcher in the background."""
    task = asyncio.create_task(watcher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
