"""The receiver service: receives bursts, and publishes panoramas to watchers."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from panolink import phy
from panolink.errors import ModelError, RateError
from panolink.rpc.flow_control.aio import unless
from panolink.rpc.flow_control.streams import OpenStream, Streams
from panolink.rpc.server.model_registry import ModelRegistry
from panolink.rpc.server.server import Server
from panolink.rpc.transport.carry import LinkEndpoint
from panolink.rpc.wire.decoders import realism_from_wire
from panolink.rpc.wire.framing import chunks
from panolink.rpc.wire.picture_formats import picture_format_from_wire
from panolink.rpc.wire.status import one_line
from panolink.services.receiver.archive import Archive
from panolink.services.receiver.burst_handler import BurstReceiver
from panolink.services.receiver.metrics import ReceiverMetrics
from panolink.services.receiver.pipeline import Pipeline
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.receiver.watchers import Watcher, Watchers, Wish
from panolink.v1 import link_pb2_grpc, receiver_pb2, receiver_pb2_grpc

log = logging.getLogger(__name__)


class ReceiverServicer(receiver_pb2_grpc.ReceiverServicer):
    """Servicer that streams received panoramas to watchers."""

    def __init__(
        self, watchers: Watchers, streams: Streams, *, refused_gaze: Callable[[], None] = lambda: None
    ) -> None:
        self._watchers, self._refused_gaze = watchers, refused_gaze
        self._streams = streams

    async def Watch(
        self, request_iterator: AsyncIterator[receiver_pb2.WatchRequest], context: Any
    ) -> AsyncIterator[receiver_pb2.ReceivedPanorama]:
        with self._streams.enter(context.peer()) as stream:
            if stream.refusal:
                raise stream.refusal
            async with aclosing(self._published(request_iterator, context, stream)) as messages:
                async for message in messages:
                    yield message

    async def _published(
        self, requests: AsyncIterator[receiver_pb2.WatchRequest], context: Any, stream: OpenStream
    ) -> AsyncGenerator[receiver_pb2.ReceivedPanorama, None]:
        request = await anext(requests, receiver_pb2.WatchRequest())
        try:
            wish = Wish(picture_format_from_wire(request.picture_format), realism_from_wire(request))
        except ModelError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, one_line(error))
        with self._watchers.join(wish, tokens=request.return_tokens) as watcher:
            await context.send_initial_metadata(())  # signals the client that it is subscribed
            looking = asyncio.create_task(self._look(watcher, request, requests))
            looking.add_done_callback(_ended)
            try:
                async for message in self._messages(watcher, request.count, stream):
                    yield message
            finally:
                looking.cancel()

    async def _look(
        self,
        watcher: Watcher,
        request: receiver_pb2.WatchRequest,
        requests: AsyncIterator[receiver_pb2.WatchRequest],
    ) -> None:
        """Note where a viewer looks, as long as it tells."""
        self._note(watcher, request)
        async for later in requests:
            self._note(watcher, later)

    def _note(self, watcher: Watcher, request: receiver_pb2.WatchRequest) -> None:
        if not request.HasField("gaze"):
            return
        try:
            self._watchers.gazes.look(watcher, request.gaze, *request.further_gazes)
        except RateError as error:
            self._refused_gaze()
            log.debug("a gaze is left out: %s", error)

    async def _messages(
        self, watcher: Watcher, count: int, stream: OpenStream
    ) -> AsyncGenerator[receiver_pb2.ReceivedPanorama, None]:
        for sent in itertools.count(1):
            with stream.waits_for_us():
                panorama = await unless(self._streams.draining, watcher.queue.get(), None)
            if panorama is None:
                return
            header = receiver_pb2.ReceivedPanoramaHeader()
            header.CopyFrom(panorama.header)
            header.dropped = watcher.dropped
            tokens = panorama.tokens if watcher.tokens else b""
            header.token_bytes = len(tokens)
            yield receiver_pb2.ReceivedPanorama(header=header)
            for chunk in chunks(panorama.picture):
                yield receiver_pb2.ReceivedPanorama(picture=chunk)
            for chunk in chunks(tokens):
                yield receiver_pb2.ReceivedPanorama(tokens=chunk)
            if sent == count:
                return


def _ended(task: asyncio.Task[None]) -> None:
    """Look at how a task ended: requests end with their call, in order or not."""
    if not task.cancelled():
        task.exception()


def build(settings: ReceiverSettings) -> Server:
    """Load the models and build the receiver service, ready to start."""
    metrics = ReceiverMetrics()
    models = ModelRegistry(
        settings.models,
        decoder=settings.decoder,
        realism=settings.realism,
        device=settings.device,
        metrics=metrics,
        band_pixels=settings.band_pixels,
        max_batch=settings.max_batch,
    )
    phy.warm_up(device=models.device)
    pipeline = Pipeline(models, settings, metrics)
    watchers = Watchers(
        settings.watch_policy,
        size=settings.watch_queue,
        limit_bytes=settings.watch_bytes,
        on_drop=metrics.dropped.labels("watch").inc,
    )
    metrics.queue_depth.labels("watch").set_function(lambda: watchers.waiting)
    metrics.viewers.set_function(lambda: watchers.viewers)
    metrics.queue_limit.labels("watch").set_function(lambda: len(watchers) * settings.watch_queue)
    receiver = BurstReceiver(models, pipeline, watchers, settings, metrics)

    server = Server("receiver", settings, metrics, describe=models.describe)
    server.on_close(pipeline.close)
    if settings.save_folder:
        limit = settings.save_limit_bytes
        archive = Archive(settings.save_folder, limit_bytes=limit, watchers=watchers, metrics=metrics)
        server.on_close(archive.close)
    link = LinkEndpoint(
        lambda: receiver,
        limits=settings.limits,
        streams=server.streams("link", drained=receiver.finish),
        in_flight=settings.max_in_flight,
    )
    watch = ReceiverServicer(watchers, server.streams("watch"), refused_gaze=metrics.refused_gazes.inc)
    server.add(link_pb2_grpc.add_LinkServicer_to_server, link, "panolink.v1.Link")
    server.add(receiver_pb2_grpc.add_ReceiverServicer_to_server, watch, "panolink.v1.Receiver")
    return server
