"""Public client of a running link.

async with Client("127.0.0.1:50051") as link:
    async for delivery in link.send(["one.jpg", "two.jpg"], bpp=0.1):
        print(delivery.source, delivery.delivered, delivery.segments.lost)
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc.aio

from panolink.errors import ImageError, LinkError, PanolinkError
from panolink.phy import Conditions
from panolink.rpc.flow_control.aio import iterate_in_thread, task_is_cancelled
from panolink.rpc.flow_control.limits import MAX_ID_LENGTH, MAX_LATER_ROUNDS, MAX_SOURCE_LENGTH, Limits, check_limit
from panolink.rpc.observability import tracing
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.transport.connection import link_error, open_channel, unary_response, wait_until_reachable
from panolink.rpc.transport.load_balancer import Replicas
from panolink.rpc.transport.retrying_client import RetryingClient
from panolink.rpc.transport.stream_handler import map_concurrent
from panolink.rpc.wire.bursts import picture_limit
from panolink.rpc.wire.conditions import conditions_from_wire, conditions_to_wire
from panolink.rpc.wire.decoders import set_realism, wanted_realism
from panolink.rpc.wire.deliveries import Delivery, ReceivedPanorama, ServiceInfo, deliveries
from panolink.rpc.wire.framing import chunks, frames
from panolink.rpc.wire.gazes import focus_to_wire, gaze_to_wire
from panolink.rpc.wire.picture_formats import picture_format_to_wire
from panolink.rpc.wire.status import failure_of
from panolink.sphere.focus import Focus, quantized
from panolink.v1 import (
    channel_pb2,
    channel_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
    receiver_pb2,
    receiver_pb2_grpc,
    transmitter_pb2,
    transmitter_pb2_grpc,
)

Panorama: TypeAlias = Any
"""A path, an image file's bytes, a picture in memory (`panolink.images.arrays.pixels_of`), a `panolink.images.Picture`,
which has a pose too, or a `LivePicture`; all but paths also with a name in front, as a tuple."""


@dataclass(frozen=True)
class LivePicture:
    """A picture of a live source.

    Attributes
    ----------
    picture : Panorama
        Any other `Panorama` without a name.
    captured_at : float
        When it was taken, seconds since 1970; 0: not known.
    skipped : int
        Pictures that the source has left out since the one before, because they came too late to be sent.
    """

    picture: Panorama
    captured_at: float = 0.0
    skipped: int = 0


class Client:
    """A connection to one running service; an async context manager.

    Parameters
    ----------
    target
        Address of the service, `host:port`: a transmitter to send, a receiver to watch, a channel for its conditions.
    connect_timeout
        Seconds to wait for the service when the context is entered.
    delivery_timeout
        Seconds from the last byte of a panorama to its delivery.
    in_flight
        Maximum number of panoramas in flight.
    reconnect_timeout
        Seconds for which panoramas are kept for a transmitter that is unreachable, or has no room for another stream;
        pending ones are resent when it is back, and received once.
    limits
        Limits of pictures, received and sent; None: the defaults.
    credentials
        Certificates and token; None: from the environment (`PANOLINK_TLS_…`).

    Attributes
    ----------
    image_bytes
        The largest image file that goes as it is; the service's own limit, once it has answered, if that is less.

    Raises
    ------
    LinkError
        No service answers.
    AccessError
        Authentication failed on either side.
    SettingError
        Unusable credentials.
    """

    def __init__(
        self,
        target: str,
        *,
        connect_timeout: float = 5.0,
        delivery_timeout: float = 300.0,
        in_flight: int = 4,
        reconnect_timeout: float = 30.0,
        limits: Limits | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.target = target
        self._credentials = credentials
        self._connect_timeout = connect_timeout
        self._delivery_timeout = delivery_timeout
        self._in_flight = in_flight
        self._reconnect_timeout = reconnect_timeout
        self._limits = limits or Limits()
        self._channel: grpc.aio.Channel | None = None
        self.image_bytes = self._limits.image_bytes

    async def __aenter__(self) -> Client:
        channel = open_channel(self.target, self._credentials)
        try:
            described = await wait_until_reachable(channel, self.target, self._connect_timeout)
        except BaseException:
            await channel.close(None)
            raise
        self._channel = channel
        self.image_bytes = min(self._limits.image_bytes, described.limits.image_bytes or self._limits.image_bytes)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel:
            await self._channel.close(None)
            self._channel = None

    async def send(
        self,
        panoramas: Iterable[Panorama] | AsyncIterable[Panorama],
        *,
        bpp: float | None = None,
        tau: float | None = None,
        symbols_per_pixel: float | None = None,
        deadline: float | None = None,
        adaptive: bool = False,
        harq: int | None = None,
        analogue: bool | None = None,
        model: str = "",
        picture: bool = True,
        picture_format: str | None = None,
        activation: bool = False,
        allow_any_aspect: bool = False,
        stream: str = "",
        mean_bits: float | None = None,
        focus: Sequence[Focus] = (),
        follow_gaze: bool = False,
        frame_rate: float = 0.0,
    ) -> AsyncGenerator[Delivery, None]:
        """Send panoramas.

        A panorama that cannot be read, sent or received yields a failed delivery; the others go on. At most one of
        `bpp`, `tau`, `symbols_per_pixel` and `mean_bits` may be given; without any, the rate follows from the
        deadline, or is the default of the model (of the transmitter if `adaptive`).

        Parameters
        ----------
        panoramas
            Panoramas, read lazily.
        bpp
            Bits per pixel, all layers included.
        tau
            Share of the tokens whose features are sent, 0 to 1.
        symbols_per_pixel
            Maximum number of channel uses per pixel, pilots included.
        deadline
            Air time in seconds that a panorama may take, retransmissions included.
        adaptive
            Whether modulation, code rates and share of the features adapt to the channel, within the budget.
        harq
            Maximum number of HARQ retransmission rounds, 0 to 3; None: the transmitter's setting.
        analogue
            Whether features are sent as uncoded amplitudes; None: the transmitter's setting.
        model
            Name of one of the transmitter's models; empty: its first.
        picture, activation
            Whether deliveries include the received picture and the activation map.
        picture_format
            How pictures travel back: `png`, `webp` (smaller, slower), `jpeg` (loses a little) or `rgb8` (as they are,
            for hosts side by side). None: as they went, pictures in memory as `rgb8` and files as `png`.
        allow_any_aspect
            Whether pictures that are not 2:1 are sent.
        stream
            Name of the stream whose pictures these are, in order; each is predicted from what the receiver holds. Each
            call is a stream of its own, even if another one has the same name. Empty: single pictures.
        mean_bits
            Bits that a picture of a stream takes in the mean; only with `stream`.
        focus
            Where somebody looks, at most four directions: the bits go there.
        follow_gaze
            Whether viewers' gazes are foci of a stream as well.
        frame_rate
            Pictures a second that the source of a stream wants to send, for dashboards and alerts; 0: as many as go.

        Yields
        ------
        Delivery
            One for each panorama, in order of completion.

        Raises
        ------
        ValueError
            Contradictory or invalid arguments.
        LinkError
            Not connected.
        """
        rates = {"bpp": bpp, "tau": tau, "symbols_per_pixel": symbols_per_pixel, "mean_bits": mean_bits}
        rate: dict[str, Any] = {name: value for name, value in rates.items() if value is not None}
        if len(rate) > 1:
            raise ValueError(f"{' and '.join(rate)} exclude each other")
        if not stream and (follow_gaze or mean_bits is not None):
            raise ValueError("gazes and a mean rate are for streams: give the stream a name")
        if len(stream) > MAX_ID_LENGTH:
            raise ValueError(f"the stream's name has {len(stream)} characters; {MAX_ID_LENGTH} are allowed")
        foci = [focus_to_wire(one) for one in quantized(focus)]
        if deadline is not None and not deadline > 0:
            raise ValueError(f"deadline is {deadline} s; it must be above 0")
        if harq is not None and not 0 <= harq <= MAX_LATER_ROUNDS:
            raise ValueError(f"harq is {harq} rounds; it must be from 0 to {MAX_LATER_ROUNDS}")
        if picture_format is not None:
            picture_format_to_wire(picture_format)
        self._connected()
        transmitters = Replicas(self.target, self._credentials, reconnect_timeout=self._reconnect_timeout)
        client: RetryingClient[_Outgoing, Delivery] = RetryingClient(
            transmitters,
            open_call=_transmit,
            messages=_messages,
            answers=lambda messages: deliveries(messages, self._limits),
            failed=lambda item, failure: Delivery.failed(item.header.panorama_id, item.header.source, failure),
            peer="transmitter",
            timeout=self._delivery_timeout,
        )

        sender = secrets.token_hex(8)

        async def outgoing() -> AsyncGenerator[tuple[str, str, Panorama], None]:
            number = 0
            async for panorama in _each(panoramas):
                number += 1
                yield str(number), *_named(panorama, f"#{number}")

        async def accept(item: tuple[str, str, Panorama]) -> Awaitable[Delivery]:
            panorama_id, source, panorama = item
            live = panorama if isinstance(panorama, LivePicture) else LivePicture(panorama)
            try:
                image = await asyncio.to_thread(
                    _file,
                    live.picture,
                    source,
                    max_bytes=self.image_bytes,
                    allow_any_aspect=allow_any_aspect,
                )
            except PanolinkError as error:
                return _done(Delivery.failed(panorama_id, source, failure_of(error, about=source)))
            header = transmitter_pb2.PanoramaHeader(
                panorama_id=panorama_id,
                sender=sender,
                source=source,
                image_bytes=len(image),
                model=model,
                return_picture=picture,
                picture_format=picture_format_to_wire(picture_format or ("rgb8" if image.startswith(b"P6") else "png")),
                return_activation=activation,
                allow_any_aspect=allow_any_aspect,
                traceparent=tracing.traceparent(),
                adaptive=adaptive,
                deadline_seconds=deadline or 0.0,
                harq=harq,
                analogue=analogue,
                stream_id=stream,
                focus=foci,
                follow_gaze=follow_gaze,
                captured_at=live.captured_at,
                skipped=live.skipped,
                frame_rate=frame_rate,
                sequence=int(panorama_id) if stream else 0,
                **rate,
            )
            route = f"{sender}{stream}" if stream else ""
            return await client.send(panorama_id, _Outgoing(header, image), route=route)

        try:
            async with aclosing(map_concurrent(outgoing(), accept, in_flight=self._in_flight)) as answers:
                async for delivery in answers:
                    yield delivery
        finally:
            await client.close()
            await transmitters.close()

    async def watch(
        self,
        *,
        count: int = 0,
        picture_format: str = "rgb8",
        gazes: AsyncIterable[Focus | Sequence[Focus]] | None = None,
        tokens: bool = False,
        decoder: str = "",
        realism: float | None = None,
        on_subscribed: Callable[[], None] | None = None,
    ) -> AsyncGenerator[ReceivedPanorama, None]:
        """Yield panoramas as a receiver receives them, `count` of them (0: unlimited).

        Parameters
        ----------
        count : int
            End after so many; 0: never.
        picture_format : str
            How pictures travel: see `send`. Raw ones cost neither end anything, but the network three bytes a pixel.
        gazes : async iterable of Focus or of sequences of Focus, optional
            Where the viewer looks, as it looks there: streams that follow gazes are fine there. A sequence: where
            several people look who see the pictures through it, one to four directions.
        tokens : bool
            Whether panoramas come with the kind of each token (`ReceivedPanorama.kinds`).
        decoder : str
            How pictures are made of tokens: `fidelity` or `perceptual`; as the receiver is set where it is empty, or
            where there is none of that kind for a picture's model (`ReceivedPanorama.decoder` says which made it).
        realism : float, optional
            In place of ``decoder``: 0 (fidelity) … 1 (perceptual), or a decoder in between. The receiver rounds it to a
            quarter (`ReceivedPanorama.realism` says what it was).
        on_subscribed : callable, optional
            Called once the receiver has said that what it receives from now on will come.

        Raises
        ------
        ValueError
            There is no such format, decoder or realism, or ``decoder`` names another realism.
        """
        first_request = receiver_pb2.WatchRequest(
            count=count, picture_format=picture_format_to_wire(picture_format), return_tokens=tokens
        )
        set_realism(first_request, wanted_realism(decoder, realism))
        stub: Any = receiver_pb2_grpc.ReceiverStub(self._connected())

        def admit(header: receiver_pb2.ReceivedPanoramaHeader) -> dict[str, int]:
            check_limit(header.picture_bytes, picture_limit(self._limits), "bytes in a picture")
            check_limit(header.token_bytes, picture_limit(self._limits), "bytes in the kinds of tokens")
            return {"picture": header.picture_bytes, "tokens": header.token_bytes}

        async def requests() -> AsyncGenerator[receiver_pb2.WatchRequest, None]:
            yield first_request
            if gazes is not None:
                async for gaze in gazes:
                    first, *further = map(gaze_to_wire, (gaze,) if isinstance(gaze, Focus) else gaze)
                    yield receiver_pb2.WatchRequest(gaze=first, further_gazes=further)

        call = stub.Watch(requests())
        try:
            if on_subscribed is not None:
                await call.initial_metadata()
                on_subscribed()
            async for frame in frames(call, admit):
                if frame.error:
                    raise frame.error
                yield ReceivedPanorama.from_wire(
                    frame.header, bytes(frame.parts["picture"]), bytes(frame.parts["tokens"])
                )
        except grpc.aio.AioRpcError as error:
            raise link_error(error, self.target) from None
        except asyncio.CancelledError:
            if task_is_cancelled():
                raise
            # An hour after certificates or the token have changed, what began before is ended.
            raise LinkError(f"{self.target}: the connection was replaced; watch again") from None
        finally:
            call.cancel()

    async def conditions(self) -> Conditions:
        """Conditions of a running channel as they were set, with their schedule."""
        stub: Any = channel_pb2_grpc.ChannelStub(self._connected())
        response = await unary_response(stub.GetConditions(channel_pb2.GetConditionsRequest()), self.target)
        return conditions_from_wire(response.conditions)

    async def conditions_in_force(self) -> tuple[Conditions, float]:
        """What a schedule makes of a running channel's conditions now, and the moment in seconds of its time.

        Without a schedule, or from a channel that does not tell, they are the conditions as they were set, at 0 s.
        """
        stub: Any = channel_pb2_grpc.ChannelStub(self._connected())
        response = await unary_response(stub.GetConditions(channel_pb2.GetConditionsRequest()), self.target)
        if not response.HasField("in_force"):
            return conditions_from_wire(response.conditions), 0.0
        return conditions_from_wire(response.in_force.conditions), response.in_force.seconds

    async def set_conditions(self, *, unseeded: bool = False, unscheduled: bool = False, **changes: Any) -> Conditions:
        """Change the conditions of a running channel.

        Parameters
        ----------
        changes
            Fields of `panolink.phy.Conditions` by name; a schedule may be a scenario or an SNR trace.
        unseeded
            Remove the seed.
        unscheduled
            End the schedule.

        Returns
        -------
        Conditions
            The new conditions.

        Raises
        ------
        SignalError, LinkError
            Invalid values; the service rejects them or cannot be reached.
        """
        wanted = conditions_to_wire(unseeded=unseeded, unscheduled=unscheduled, **changes)
        stub: Any = channel_pb2_grpc.ChannelStub(self._connected())
        request = channel_pb2.SetConditionsRequest(conditions=wanted)
        response = await unary_response(stub.SetConditions(request), self.target)
        return conditions_from_wire(response.conditions)

    async def info(self) -> ServiceInfo:
        """Describe the service."""
        stub: Any = node_pb2_grpc.NodeStub(self._connected())
        return ServiceInfo.from_wire(await unary_response(stub.Describe(node_pb2.DescribeRequest()), self.target))

    def _connected(self) -> grpc.aio.Channel:
        if self._channel is None:
            raise LinkError(f"{self.target}: not connected (use `async with Client(…) as link`)")
        return self._channel


@dataclass(frozen=True)
class _Outgoing:
    """A panorama to send: its header and its image file."""

    header: transmitter_pb2.PanoramaHeader
    image: bytes


def _transmit(connection: grpc.aio.Channel) -> Any:
    stub: Any = transmitter_pb2_grpc.TransmitterStub(connection)
    return stub.Transmit()


def _messages(item: _Outgoing) -> Iterator[transmitter_pb2.TransmitRequest]:
    yield transmitter_pb2.TransmitRequest(header=item.header)
    for chunk in chunks(item.image):
        yield transmitter_pb2.TransmitRequest(image=chunk)


async def _each(panoramas: Iterable[Panorama] | AsyncIterable[Panorama]) -> AsyncIterator[Panorama]:
    """Iterate asynchronously over any iterable; a synchronous one is advanced in a thread, as it may read files."""
    from panolink.images import Picture
    from panolink.images.arrays import TAKEN, is_array

    if isinstance(panoramas, (str, bytes, Path, Picture, LivePicture)) or is_array(panoramas):
        yield panoramas
        return
    if isinstance(panoramas, AsyncIterable):
        async for panorama in panoramas:
            yield panorama
        return
    if not isinstance(panoramas, Iterable):
        raise TypeError(f"panoramas: {type(panoramas).__name__} is none, nor several of them; taken are {TAKEN}")
    async with aclosing(iterate_in_thread(panoramas)) as items:
        async for panorama in items:
            yield panorama


def _named(panorama: Panorama, fallback: str) -> tuple[str, Panorama]:
    """Split a panorama from its name: its last 256 characters, without what is no UTF-8."""
    name: str = fallback
    if isinstance(panorama, tuple):
        name, panorama = panorama
    elif isinstance(panorama, (str, Path)):
        name = str(panorama)
    return name.encode("utf-8", "replace").decode()[-MAX_SOURCE_LENGTH:], panorama


def _file(panorama: Panorama, source: str, *, max_bytes: int, allow_any_aspect: bool) -> bytes:
    """Bytes of an image file as it goes to the transmitter (`panolink.images.sendable`); of a picture in memory, its
    pixels as they are where that is not too large."""
    from panolink.images import Picture
    from panolink.images.arrays import pixels_of
    from panolink.images.sendable import sendable, sendable_picture

    if not isinstance(panorama, (bytes, str, Path)):
        picture = panorama if isinstance(panorama, Picture) else Picture(pixels_of(panorama, name=source))
        return sendable_picture(picture, max_bytes=max_bytes, name=source, raw=True)
    try:
        data = panorama if isinstance(panorama, bytes) else Path(panorama).read_bytes()
    except (OSError, ValueError) as error:  # such as a name with a zero byte
        raise ImageError(f"{source}: {getattr(error, 'strerror', None) or error}") from None
    return sendable(data, max_bytes=max_bytes, name=source, allow_any_aspect=allow_any_aspect)


def _done(delivery: Delivery) -> asyncio.Future[Delivery]:
    future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
    future.set_result(delivery)
    return future


__all__ = ["Client", "Delivery", "LivePicture", "Panorama", "ReceivedPanorama", "ServiceInfo"]
