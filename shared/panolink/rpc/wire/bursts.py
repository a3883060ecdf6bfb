"""Bursts and receipts as values, and their protocol messages.

I/Q samples are little-endian, complex64 (`cf32_le`) or pairs of int16 (`ci16_le`), as SigMF names them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from panolink.errors import BitstreamError, SignalError
from panolink.rpc.flow_control.limits import (
    MAX_DIGEST_BYTES,
    MAX_ID_LENGTH,
    MAX_LATER_ROUNDS,
    MAX_MESSAGE_BYTES,
    MAX_SOURCE_LENGTH,
    Limits,
    check_limit,
)
from panolink.rpc.flow_control.memory_budget import Reservation
from panolink.rpc.wire.framing import Frame, chunks, frames
from panolink.rpc.wire.status import failure_of, with_code
from panolink.v1 import link_pb2

_SAMPLE_BYTES = {link_pb2.SAMPLE_FORMAT_CF32_LE: 8, link_pb2.SAMPLE_FORMAT_CI16_LE: 4}
_INT16_PEAK = 32767.0
MAX_SNR_DB = 300
"""Largest Es/N0 in dB, of either sign, that a channel state may tell: its ratio is a number all hops can work with."""


@dataclass(frozen=True)
class Burst:
    """A burst: header, channel coefficients complex64 (blocks,), and symbols complex64 (n,)."""

    header: link_pb2.BurstHeader
    csi: np.ndarray
    symbols: np.ndarray
    reservation: Reservation | None = field(default=None, repr=False, compare=False)
    """Memory reserved for one that came over a stream, until that has its receipt or breaks."""


@dataclass(frozen=True)
class Receipt:
    """Outcome of a burst, with the received picture (a file) if it was requested."""

    header: link_pb2.ReceiptHeader
    picture: bytes = b""

    @classmethod
    def failed(cls, burst_id: str, failure: link_pb2.Failure) -> Receipt:
        """Receipt of a burst that was not delivered."""
        return cls(link_pb2.ReceiptHeader(burst_id=burst_id[:MAX_ID_LENGTH], failure=failure))


def check_names(item_id: str, source: str, what: str) -> None:
    """Check the length of an item's id and source name.

    Parameters
    ----------
    what
        Kind of item, for the message.

    Raises
    ------
    BitstreamError
        The id is empty or longer than 64 characters, or the source name longer than 256.
    """
    if not 1 <= len(item_id) <= MAX_ID_LENGTH:
        raise BitstreamError(f"{what} id of {len(item_id)} characters, 1 to {MAX_ID_LENGTH} are allowed")
    if len(source) > MAX_SOURCE_LENGTH:
        raise BitstreamError(f"source of {len(source)} characters, at most {MAX_SOURCE_LENGTH} are allowed")


def admit_burst(header: link_pb2.BurstHeader, limits: Limits) -> Mapping[str, int]:
    """Validate a burst's header.

    Returns
    -------
    Mapping[str, int]
        Size in bytes of each part announced by the header: `csi` and `samples`.

    Raises
    ------
    LimitError
        Symbols, segments or payload bytes exceed `limits`, or the digest its length.
    BitstreamError
        Ids, an unknown sample format, or an empty burst.
    SignalError
        Inconsistent channel state, sample scale or HARQ round.
    """
    check_names(header.burst_id, header.source, "burst")
    check_limit(len(header.content_digest), MAX_DIGEST_BYTES, "bytes in a content digest")
    check_limit(len(header.stream_id), MAX_ID_LENGTH, "characters in a stream id")
    state = header.channel_state
    check_limit(header.symbols, limits.symbols, "symbols in a burst")
    check_limit(len(header.segments), limits.segments, "segments in a burst")
    largest = max((segment.payload_bytes for segment in header.segments), default=0)
    check_limit(largest, limits.segment_bytes, "bytes in a segment")
    if header.HasField("harq"):
        _check_round(header.harq, len(header.segments))
    if ends_harq(header):
        if header.symbols or state.coefficients:
            raise BitstreamError(f"a round without segments has {header.symbols} symbols, it must have none")
        return {"csi": 0, "samples": 0}
    if not header.symbols or not header.segments:
        raise BitstreamError(f"burst of {header.symbols} symbols and {len(header.segments)} segments is empty")
    if header.sample_format not in _SAMPLE_BYTES:
        raise BitstreamError(f"sample format {header.sample_format}, allowed are cf32_le (1) and ci16_le (2)")
    if not (math.isfinite(header.sample_scale) and header.sample_scale >= 0):
        raise SignalError(f"sample scale {header.sample_scale}, it must be positive")
    if state.HasField("snr_db") and not abs(state.snr_db) <= MAX_SNR_DB:
        raise SignalError(f"snr_db of {state.snr_db:g} in the channel state; allowed: -{MAX_SNR_DB} to {MAX_SNR_DB}")
    if not (math.isfinite(state.noise_variance) and state.noise_variance >= 0):
        raise SignalError(f"noise variance {state.noise_variance}, it must be 0 or more")
    needed = -(-header.symbols // state.coherence_symbols) if state.coherence_symbols else 0
    if not needed or state.coefficients != needed:
        raise SignalError(
            f"{state.coefficients} channel coefficients for {header.symbols} symbols "
            f"in blocks of {state.coherence_symbols}, there must be {needed or 'a block length'}"
        )
    return {"csi": 8 * state.coefficients, "samples": _SAMPLE_BYTES[header.sample_format] * header.symbols}


def ends_harq(header: link_pb2.BurstHeader) -> bool:
    """Whether this is a retransmission round without segments, with which a sender ends the HARQ process."""
    return header.harq.round > 0 and not header.segments


def _check_round(harq: link_pb2.Harq, segments: int) -> None:
    """Raise `SignalError` for an invalid HARQ round."""
    if harq.round + harq.rounds_left > MAX_LATER_ROUNDS:
        raise SignalError(f"round {harq.round} with {harq.rounds_left} to follow, {MAX_LATER_ROUNDS} is the last one")
    if not (math.isfinite(harq.wait_seconds) and harq.wait_seconds > 0):
        raise SignalError(f"a receiver cannot wait {harq.wait_seconds} s for a round, it must be above 0")
    numbers = list(harq.numbers)
    if len(numbers) != (segments if harq.round else 0):
        raise SignalError(f"round {harq.round} numbers {len(numbers)} of its {segments} segments")
    if any(number >= following for number, following in itertools.pairwise(numbers)):
        raise SignalError(f"round {harq.round}: its segments are not in ascending order")


def burst_from_frame(frame: Frame) -> Burst:
    """Parse a complete frame, and pass on its reservation; sample values are validated later, by the demodulator."""
    header: link_pb2.BurstHeader = frame.header
    samples = frame.parts["samples"]
    if header.sample_format == link_pb2.SAMPLE_FORMAT_CI16_LE:
        pairs = np.frombuffer(samples, "<i2").astype(np.float32)
        symbols = (pairs / np.float32(header.sample_scale or 1.0)).view(np.complex64)
    else:
        symbols = np.frombuffer(samples, "<c8")
    return Burst(header, np.frombuffer(frame.parts["csi"], "<c8"), symbols, frame.reservation)


def burst_messages(burst: Burst) -> Iterator[link_pb2.Burst]:
    """Serialize a burst, filling in the counts and the sample scale of its header.

    Raises
    ------
    LimitError
        The header does not fit a message.
    """
    header = link_pb2.BurstHeader()
    header.CopyFrom(burst.header)
    header.symbols = len(burst.symbols)
    header.channel_state.coefficients = len(burst.csi)
    samples = np.ascontiguousarray(burst.symbols, "<c8")
    if header.sample_format == link_pb2.SAMPLE_FORMAT_CI16_LE:
        amplitudes = samples.view(np.float32)
        header.sample_scale = _INT16_PEAK / max(float(np.abs(amplitudes).max(initial=0.0)), 1e-9)
        samples = np.rint(amplitudes * np.float32(header.sample_scale)).clip(-_INT16_PEAK, _INT16_PEAK).astype("<i2")
    check_limit(header.ByteSize(), MAX_MESSAGE_BYTES - 1024, "bytes in a burst's header (fewer segments are needed)")
    yield link_pb2.Burst(header=header)
    for chunk in chunks(np.ascontiguousarray(burst.csi, "<c8").data):
        yield link_pb2.Burst(csi=chunk)
    for chunk in chunks(samples.data):
        yield link_pb2.Burst(samples=chunk)


def receipt_messages(receipt: Receipt) -> Iterator[link_pb2.Receipt]:
    """Serialize a receipt."""
    header = link_pb2.ReceiptHeader()
    header.CopyFrom(receipt.header)
    header.picture_bytes = len(receipt.picture)
    yield link_pb2.Receipt(header=header)
    for chunk in chunks(receipt.picture):
        yield link_pb2.Receipt(picture=chunk)


async def receipts(messages: AsyncIterable[Any], limits: Limits) -> AsyncIterator[tuple[str, Receipt]]:
    """Parse the receipts in a stream of messages.

    Parameters
    ----------
    messages : async iterable of `link_pb2.Receipt`
    limits : Limits
        Of received pictures.

    Returns
    -------
    async iterator of (str, Receipt)
        Each with its burst's id.
    """

    def admit(header: link_pb2.ReceiptHeader) -> Mapping[str, int]:
        check_limit(header.picture_bytes, picture_limit(limits), "bytes in a picture")
        return {"picture": header.picture_bytes}

    async for frame in frames(messages, admit):
        burst_id = frame.header.burst_id
        if frame.header.HasField("failure"):
            with_code(frame.header.failure)
        if frame.error:
            yield burst_id, Receipt.failed(burst_id, failure_of(frame.error))
        else:
            yield burst_id, Receipt(frame.header, bytes(frame.parts["picture"]))


def picture_limit(limits: Limits) -> int:
    """Maximum size of a picture's file: three bytes per pixel and 1 MiB of overhead.

    Parameters
    ----------
    limits : Limits

    Returns
    -------
    int
        Bytes.
    """
    return 3 * limits.image_pixels + (1 << 20)


def failed_receipt(burst: Burst, failure: Any) -> Receipt:
    """Receipt of a burst for which the next hop sent none."""
    return Receipt.failed(burst.header.burst_id, failure)
