"""Channel encoding of a burst: payloads to symbols. The way of a payload is drawn in `panolink.phy.channel_decoder`."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

import numpy as np

from panolink.cpu import parallel
from panolink.errors import SignalError
from panolink.phy.fec.crc import crc24
from panolink.phy.fec.ldpc import LdpcCode, ldpc_code
from panolink.phy.fec.scrambling import scramble
from panolink.phy.mcs import CRC_BITS, SegmentFormat
from panolink.phy.modem.channel_estimation import insert_pilots
from panolink.phy.modem.interleaving import interleaver
from panolink.phy.modem.mapping import map_bits
from panolink.phy.shapes import BitBlocks, Symbols


def modulate(
    payloads: Sequence[bytes],
    formats: Sequence[SegmentFormat],
    *,
    pilot_spacing: int = 0,
    amplitudes: Sequence[Symbols] = (),
) -> Symbols:
    """The symbols of a burst that carries one segment per payload.

    Parameters
    ----------
    payloads : Sequence[bytes]
        Bytes of each segment.
    formats : Sequence[SegmentFormat]
        Of each payload, in the same order.
    pilot_spacing : int
        Every so many symbols one is a pilot, see `panolink.phy.modem.channel_estimation`; 0: none.
    amplitudes : Sequence[Symbols]
        Symbols of analog segments, complex64 (n,) each: they follow those of the payloads.

    Returns
    -------
    complex64 (n,) with n the sum of the formats' `symbols`, those of the amplitudes, and the pilots; unit mean power,
    interleaved over the burst.

    Raises
    ------
    SignalError
        More or fewer formats than payloads, one of another length than its payload, or a pilot spacing out
        of range.
    """
    if len(payloads) != len(formats):
        raise SignalError(f"{len(payloads)} payloads but {len(formats)} segment formats")
    for i, (payload, fmt) in enumerate(zip(payloads, formats, strict=True)):
        if len(payload) != fmt.payload_bytes:
            raise SignalError(f"payload {i} has {len(payload)} bytes, its format says {fmt.payload_bytes}")
    made = [partial(_modulate_segment, payload, fmt) for payload, fmt in zip(payloads, formats, strict=True)]
    given = [partial(np.asarray, segment) for segment in amplitudes]
    sizes = [*(fmt.symbols for fmt in formats), *(segment.size for segment in amplitudes)]
    return interleave([*made, *given], sizes, pilot_spacing)


def interleave(segments: Sequence[Callable[[], Symbols]], sizes: Sequence[int], pilot_spacing: int = 0) -> Symbols:
    """Interleave the symbols of a burst's segments, and insert pilots.

    Parameters
    ----------
    segments : Sequence[Callable[[], Symbols]]
        Make those of each, complex64 (n,), in order; as many at a time as there are threads.
    sizes : Sequence[int]
        n of each.
    pilot_spacing : int
        As in `modulate`.

    Returns
    -------
    Symbols of the burst, complex64 (n,) with n those of all segments and the pilots.

    Raises
    ------
    SignalError
        The pilot spacing is out of range.
    """
    symbols = np.empty(sum(sizes), np.complex64)

    def place(one: tuple[Callable[[], Symbols], int, int]) -> None:
        make, size, end = one
        symbols[interleaver(symbols.size, slice(end - size, end))] = make()

    parallel(place, zip(segments, sizes, accumulate(sizes), strict=True))
    return insert_pilots(symbols, pilot_spacing)


def code_of(fmt: SegmentFormat) -> LdpcCode:
    """The LDPC code of a segment's code blocks."""
    return ldpc_code(fmt.blocks.k, fmt.blocks.n, fmt.scheme.modulation.bits)


def segment_bits(payload: bytes, fmt: SegmentFormat) -> BitBlocks:
    """Information bits of a segment: payload and CRC-24, zero-padded, cut into code blocks (TS 38.212 §5.2.2).

    Parameters
    ----------
    payload : bytes
        `fmt.payload_bytes` bytes.
    fmt : SegmentFormat
        The segment's format.

    Returns
    -------
    uint8 (code blocks, k).
    """
    count, k, _ = fmt.blocks
    bits = np.zeros(count * k, np.uint8)
    data = np.frombuffer(payload + crc24(payload), np.uint8)
    bits[: 8 * fmt.payload_bytes + CRC_BITS] = np.unpackbits(data)
    return bits.reshape(count, k)


def _modulate_segment(payload: bytes, fmt: SegmentFormat) -> np.ndarray:
    coded = code_of(fmt).encode(segment_bits(payload, fmt)).ravel()
    return map_bits(scramble(coded), fmt.scheme.modulation)
