"""Every parser of bytes from outside, as a function of bytes.

A target may refuse its input by a `PanolinkError`; whatever else it raises is a bug. It must not take more than
`MAX_SECONDS` of processor time, however the input was made.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from panolink.codec import bitstream
from panolink.codec.bitstream import Packet
from panolink.codec.codec import Codec
from panolink.codec.model import load_model
from panolink.codec.streaming.decoder import StreamDecoder
from panolink.errors import PanolinkError
from panolink.images import encode_png, picture_size, read_picture
from panolink.images.mp4_boxes import spherical_xml
from panolink.images.video_metadata import place_of
from panolink.images.wire_pictures import decode_picture
from panolink.link.receiver import BurstDecoder, unpack
from panolink.phy import Conditions
from panolink.phy.channel.scenario_files import parse_scenario, parse_trace
from panolink.phy.fec.ldpc_decoder import decoder_for
from panolink.phy.snr_estimation import measure_channel
from panolink.rpc.flow_control.limits import Limits
from panolink.rpc.security.credentials import Credentials
from panolink.rpc.server.settings import ObservingSettings
from panolink.rpc.wire.bursts import admit_burst, burst_from_frame, receipts
from panolink.rpc.wire.conditions import conditions_from_wire, conditions_to_wire
from panolink.rpc.wire.deliveries import deliveries
from panolink.rpc.wire.framing import Frame, frames
from panolink.rpc.wire.gazes import GazeBook, GazeTrail
from panolink.rpc.wire.segments import segments_from_wire
from panolink.services.channel.settings import ChannelSettings
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.transmitter.channel_feedback import ChannelFeedback
from panolink.services.transmitter.metrics import TransmitterMetrics
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.services.viewer.control import changes_of, json_object, realism_of, send_options, width_of
from panolink.services.viewer.gaze import Gaze
from panolink.v1 import channel_pb2, link_pb2, receiver_pb2, transmitter_pb2

MAX_SECONDS = 2.0
PIXELS = 1 << 18
_BLACK = np.zeros((2, 4, 3), np.uint8)
LIMITS = Limits(image_bytes=1 << 20, image_pixels=PIXELS, symbols=1 << 14, segments=256, segment_bytes=1 << 12)


def packet(data: bytes) -> None:
    """A `.plk` file, to its tokens; and one whose checksums fit, whatever they are, as an attacker would make it."""
    with contextlib.suppress(PanolinkError):
        _unpacked(Packet.from_bytes(data))
    with _checksums_of(data):
        _unpacked(Packet.from_bytes(data))


def payloads(data: bytes) -> None:
    """A packet's slices as they come over the radio, some of them lost: each after its length; 255 is a lost one.

    The header's checksum fits, whatever it is.
    """
    slices = _slices(data)
    with _checksums_of(slices[0] or b"" if slices else b""):
        _unpacked(Packet.from_payloads(slices))


def update(data: bytes) -> None:
    """Slices, as of `payloads`, of a picture of a stream whose first picture is there."""
    slices, first = _slices(data), first_of_stream()
    with _checksums_of(slices[0] or b"" if slices else b""):
        parsed = Packet.from_payloads(slices)
        if parsed.width * parsed.height <= PIXELS:
            decoder = StreamDecoder(_codec())
            decoder.update(first)
            decoder.update(parsed).tokens()


def _unpacked(parsed: Packet) -> None:
    if parsed.width * parsed.height <= PIXELS:
        _codec().unpack(parsed)


@contextlib.contextmanager
def _checksums_of(data: bytes) -> Iterator[None]:
    """Take the checksums in a packet's bytes for those that they should be: no search finds the right ones."""

    def written(before: bytes) -> int:
        return int.from_bytes(data[len(before) : len(before) + 4], "little")

    real = bitstream.zlib
    bitstream.zlib = SimpleNamespace(crc32=written)  # type: ignore[assignment]
    try:
        yield
    finally:
        bitstream.zlib = real


def gaze(data: bytes) -> None:
    """Where a viewer looks, through the receiver and a receipt to a picture's foci."""
    message = receiver_pb2.WatchRequest.FromString(data).gaze
    book, trail = GazeBook(), GazeTrail()
    trail.learn([message])
    book.look("viewer", message)
    trail.learn(book.recent())
    trail.foci()


def burst(data: bytes) -> None:
    """A burst: length of its header (two bytes), header, CSI and samples; repeated where they are too short."""
    header, rest = link_pb2.BurstHeader(), data[2:]
    length = int.from_bytes(data[:2], "little")
    header.ParseFromString(rest[:length])
    sizes = admit_burst(header, LIMITS)
    content = rest[length:] or b"\0"
    wanted = sum(sizes.values())
    content = (content * (wanted // len(content) + 1))[:wanted]
    parts = {"csi": bytearray(content[: sizes["csi"]]), "samples": bytearray(content[sizes["csi"] :])}
    arrived = burst_from_frame(Frame(header, parts))
    decoder = BurstDecoder(segments_from_wire(header.segments), decoder_for("cpu"))
    state: dict[str, Any] = {
        "csi": arrived.csi,
        "coherence_symbols": header.channel_state.coherence_symbols,
        "noise_variance": header.channel_state.noise_variance,
        "pilot_spacing": header.pilot_spacing,
    }
    decoder.decode(arrived.symbols, **state)
    measure_channel(arrived.symbols, **state)
    if not decoder.header_lost and not decoder.picture_unsent:
        unpack(_codec(), decoder, max_pixels=PIXELS)


def receipt(data: bytes) -> None:
    """Receipts and what is learnt from them."""
    message = link_pb2.Receipt.FromString(data)
    for _, got in _all(receipts(_stream(message), LIMITS)):
        feedback = _feedback()
        feedback.learn(got.header, feedback.choice())
        choice = feedback.choice()
        assert np.isfinite([choice.snr_db, choice.margin_db, choice.fading, choice.base_layer_margin_db]).all()


def delivery(data: bytes) -> None:
    """Deliveries, as a client reads them."""
    message = transmitter_pb2.Delivery.FromString(data)
    for _, got in _all(deliveries(_stream(message), LIMITS)):
        got.as_dict()


def panorama_header(data: bytes) -> None:
    """What a sender asks a transmitter for."""
    header = transmitter_pb2.PanoramaHeader.FromString(data)
    _feedback().budget(header, pixels=PIXELS)


def stream(data: bytes) -> None:
    """Messages of a stream of bursts, each after its length (two bytes)."""
    messages = []
    while data and len(messages) < 64:
        length = int.from_bytes(data[:2], "little")
        messages.append(link_pb2.Burst.FromString(data[2 : 2 + length]))
        data = data[2 + length :]
    for frame in _all(frames(_stream(*messages), lambda header: admit_burst(header, LIMITS))):
        if not frame.error:
            burst_from_frame(frame)


def conditions(data: bytes) -> None:
    """Conditions that somebody sets a channel to."""
    conditions_from_wire(channel_pb2.Conditions.FromString(data))


def picture(data: bytes) -> None:
    """A picture file of any format, with its metadata."""
    picture_size(data, name="picture", max_pixels=PIXELS)
    read_picture(data, name="picture", allow_any_aspect=True, max_pixels=PIXELS)


def wire_picture(data: bytes) -> None:
    """A received picture, as a client reads it."""
    decode_picture(data)


def video(data: bytes) -> None:
    """What an MP4 file says of its place on the sphere: FFmpeg's side data of a frame (36 bytes), then the file."""
    with _file(data[36:], ".mp4") as path:
        xml = spherical_xml(path)
    mapping = {Type.SPHERICAL: data[:36]} if len(data) >= 36 else {}
    for side_data in ({}, mapping):
        with contextlib.suppress(PanolinkError):
            place = place_of(SimpleNamespace(side_data=side_data), 64, 32, xml=xml)
            assert place.crop is None or place.crop.inside
            encode_png(_BLACK, sphere=place.sphere)


def browser(data: bytes) -> None:
    """A browser's message to the viewer, as each kind of request, on to what services are asked for."""
    message = json_object(data, "a message")
    for asks in (_asks_for_conditions, Gaze.from_message, realism_of, width_of, _asks_to_send):
        with contextlib.suppress(PanolinkError):
            asks(message)


def _asks_for_conditions(message: dict[str, Any]) -> None:
    async def present() -> Conditions:
        return Conditions()

    conditions_from_wire(conditions_to_wire(**asyncio.run(changes_of(message, present))))


def _asks_to_send(message: dict[str, Any]) -> None:
    transmitter_pb2.PanoramaHeader(**send_options(message, 0.1))


def scenario(data: bytes) -> None:
    """A scenario file (TOML)."""
    parse_scenario(data.decode(errors="replace"))


def trace(data: bytes) -> None:
    """A recorded SNR (CSV)."""
    parse_trace(data.decode(errors="replace"))


def settings(data: bytes) -> None:
    """Environment variables, NAME=VALUE by line; without those that name files of this machine."""
    given = {}
    for line in data.decode(errors="replace").replace("\0", "").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.startswith("PANOLINK_") and not name.endswith(("_FOLDER", "_FILE", "_CA", "_CERT", "_KEY")):
            given[name] = value.encode(errors="replace").decode()
    with _environment(given):
        for kind in (TransmitterSettings, ChannelSettings, ReceiverSettings, ObservingSettings):
            with contextlib.suppress(ValidationError):
                kind()  # type: ignore[call-arg]


def weights(data: bytes) -> None:
    """A weights file (safetensors)."""
    with _file(data, ".safetensors") as path:
        load_model(path)


def certificates(data: bytes) -> None:
    """PEM files: the same as authority, as certificate with its key, and as token."""
    with _file(data, ".pem") as path:
        for files in ({"ca": path}, {"cert": path, "key": path}, {"token_file": path}):
            with contextlib.suppress(PanolinkError):
                Credentials(**files)


def _slices(data: bytes) -> list[bytes | None]:
    slices: list[bytes | None] = []
    while data and len(slices) < LIMITS.segments:
        length, data = data[0], data[1:]
        slices.append(None if length == 255 else data[:length])
        data = data[0 if length == 255 else length :]
    return slices


FIRST_OF_STREAM = Path(__file__).parent / "first_of_stream.bin"
"""the packet that the seeds of `update` are predicted from: coded here, on another processor it would be another one"""


@functools.cache
def first_of_stream() -> Packet:
    """The packet of FIRST_OF_STREAM."""
    return Packet.from_bytes(FIRST_OF_STREAM.read_bytes())


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        packet,
        payloads,
        update,
        gaze,
        burst,
        stream,
        receipt,
        delivery,
        panorama_header,
        conditions,
        picture,
        wire_picture,
        video,
        browser,
        scenario,
        trace,
        settings,
        weights,
        certificates,
    )
}


class TooSlowError(Exception):
    """A target took more than `MAX_SECONDS`."""


def run(name: str, data: bytes) -> None:
    """Run a target; raises whatever it should not have raised, and `TooSlowError`."""
    start = time.thread_time()
    with contextlib.suppress(PanolinkError, DecodeError):
        TARGETS[name](data)
    if (taken := time.thread_time() - start) > MAX_SECONDS:
        raise TooSlowError(f"{name}: {taken:.1f} s for {len(data)} bytes")


def prepare() -> None:
    """Load the model and compile the kernels, so that no input is charged for it."""
    first_of_stream()
    _feedback()


@functools.cache
def _codec() -> Codec:
    codec = Codec.load("base", device="cpu")
    codec.warm_up()
    return codec


def _feedback() -> ChannelFeedback:
    with _environment({}):
        return ChannelFeedback(TransmitterSettings(), TransmitterMetrics())


@contextlib.contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    """`PANOLINK_…` variables, these and no others."""
    before = dict(os.environ)
    try:
        for name in [name for name in os.environ if name.startswith("PANOLINK_")]:
            del os.environ[name]
        os.environ.update(given)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _file(data: bytes, suffix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(data)
        yield path


async def _stream(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


def _all(items: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [item async for item in items]

    return asyncio.run(collect())
