"""Channel decoding of a burst: symbols to payloads, the way of `panolink.phy.channel_encoder` in reverse.

payload ─ + CRC-24 ─ code blocks ─ LDPC ─ scrambling ─ mapper ─┐
payload ─ …                                                  ─┼─ interleaver ─ + pilots ─▶ symbols
values sent as amplitudes (`panolink.phy.analog`)          ─┘
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from panolink.cpu import parallel
from panolink.errors import SignalError
from panolink.phy.channel.model import expand_gains, finite_complex
from panolink.phy.channel_encoder import code_of, modulate
from panolink.phy.fec.crc import crc24
from panolink.phy.fec.ldpc_decoder import LdpcDecoder, decoder_for
from panolink.phy.fec.scrambling import descramble
from panolink.phy.mcs import CRC_BITS, MCS_TABLE, Format, Scheme, SegmentFormat
from panolink.phy.modem.channel_estimation import check_pilot_spacing, estimate_channel, pilot_count
from panolink.phy.modem.interleaving import interleaver
from panolink.phy.modem.mapping import demap
from panolink.phy.shapes import Bits, Csi, Gains, LlrBlocks, Symbols

_NOISE_FLOOR = 1e-6  # N0 is taken for at least −60 dB: that of an ideal channel is 0


@dataclass(frozen=True)
class ReceivedSegment:
    """Received symbols of one segment, in the order in which they were made: y = h·x + n.

    Parameters
    ----------
    symbols : Symbols
        y, complex64 (n,).
    gains : Gains
        h, complex64 (n,); 0 where a symbol was erased.
    noise_variance : float
        N0 > 0 of the complex noise, errors of a channel estimate included.
    """

    symbols: Symbols
    gains: Gains
    noise_variance: float


def demodulate(
    symbols: Symbols,
    *,
    csi: Csi,
    coherence_symbols: int,
    noise_variance: float,
    fading_symbols: int = 0,
    formats: Sequence[SegmentFormat],
    pilot_spacing: int = 0,
    device: str = "cpu",
    decoder: LdpcDecoder | None = None,
) -> list[bytes | None]:
    """Demodulate and decode a burst whose segments are all coded.

    Parameters
    ----------
    symbols : Symbols
        Received y = h·x + n, complex64 (n,).
    csi : Csi
        h of each coherence block, complex64 (⌈n / coherence_symbols⌉,); 0 marks a block as lost.
    coherence_symbols : int
        Length of a coherence block in symbols, ≥ 1.
    noise_variance : float
        N0 ≥ 0, the variance of the complex noise (N0/2 per real dimension).
    fading_symbols : int
        Symbols over which h is constant, see `Reception`; 0: ``coherence_symbols``.
    formats : Sequence[SegmentFormat]
        Of all segments, in order.
    pilot_spacing : int
        As the burst was modulated. With pilots the channel is estimated from them, and nothing is taken
        from `csi` but which blocks are lost.
    device : str
        Where LDPC decoding runs, see `decoder_for`.
    decoder : LdpcDecoder | None
        Takes precedence over `device`.

    Returns
    -------
    The payload of each segment; None where its CRC failed.

    Raises
    ------
    SignalError
        Numbers that are not finite, lengths that do not match the formats, N0 negative.
    """
    llrs = soft_bits(
        symbols,
        csi=csi,
        coherence_symbols=coherence_symbols,
        noise_variance=noise_variance,
        fading_symbols=fading_symbols,
        formats=formats,
        pilot_spacing=pilot_spacing,
    )
    return decode(llrs, formats, decoder or decoder_for(device))


def decode(llrs: Sequence[LlrBlocks], formats: Sequence[SegmentFormat], decoder: LdpcDecoder) -> list[bytes | None]:
    """Decode the soft bits of segments and check their CRCs.

    Parameters
    ----------
    llrs : Sequence[LlrBlocks]
        Ln P(0)/P(1) of each segment, float32 (code blocks, n).
    formats : Sequence[SegmentFormat]
        Of each segment.
    decoder : LdpcDecoder
        Of the LDPC code blocks.

    Returns
    -------
    The payload of each segment; None where its CRC failed.
    """
    jobs = [(code_of(fmt), block) for fmt, blocks in zip(formats, llrs, strict=True) for block in blocks]
    decoded = iter(decoder.decode(jobs))
    return [check_segment(fmt, np.concatenate([next(decoded) for _ in range(fmt.blocks.count)])) for fmt in formats]


def soft_bits(
    symbols: Symbols,
    *,
    csi: Csi,
    coherence_symbols: int,
    noise_variance: float,
    fading_symbols: int = 0,
    formats: Sequence[SegmentFormat],
    pilot_spacing: int = 0,
) -> list[LlrBlocks]:
    """Demodulate a burst, without decoding it; parameters and errors as those of `demodulate`.

    Returns
    -------
    LLRs ln P(0)/P(1) of each segment, float32 (code blocks, n).
    """
    received = received_segments(
        symbols,
        csi=csi,
        coherence_symbols=coherence_symbols,
        noise_variance=noise_variance,
        fading_symbols=fading_symbols,
        formats=formats,
        pilot_spacing=pilot_spacing,
    )
    return parallel(lambda pair: llrs_of(*pair), zip(received, formats, strict=True))


def llrs_of(received: ReceivedSegment, fmt: SegmentFormat) -> LlrBlocks:
    """Soft bits of one segment: LLRs ln P(0)/P(1), float32 (code blocks, n), demapped and descrambled."""
    llr = demap(received.symbols, received.gains, received.noise_variance, fmt.scheme.modulation)
    return descramble(llr).reshape(fmt.blocks.count, fmt.blocks.n)


def received_segments(
    symbols: Symbols,
    *,
    csi: Csi,
    coherence_symbols: int,
    noise_variance: float,
    fading_symbols: int = 0,
    formats: Sequence[Format],
    pilot_spacing: int = 0,
) -> list[ReceivedSegment]:
    """Undo pilots and interleaving of a burst; parameters and errors as those of `demodulate`.

    Parameters
    ----------
    formats : Sequence[Format]
        Of any kind, analog ones too.

    Returns
    -------
    Symbols and channel of each segment.
    """
    symbols, csi = finite_complex(symbols, "symbols"), finite_complex(csi, "csi")
    check_pilot_spacing(pilot_spacing)
    payload_symbols = sum(fmt.symbols for fmt in formats)
    pilots = pilot_count(payload_symbols, pilot_spacing)
    expected = payload_symbols + pilots
    if symbols.size != expected:
        extra = f" and {pilots} pilots" if pilots else ""
        raise SignalError(f"burst of {symbols.size} symbols; its {len(formats)} segments{extra} make {expected}")
    if coherence_symbols < 1:
        raise SignalError(f"coherence_symbols is {coherence_symbols}; allowed: 1 and above")
    if csi.size != -(-expected // coherence_symbols):
        raise SignalError(
            f"{csi.size} channel gains for {expected} symbols in blocks of {coherence_symbols}; "
            f"expected {-(-expected // coherence_symbols)}"
        )
    if not (isfinite(noise_variance) and noise_variance >= 0):
        raise SignalError(f"noise_variance is {noise_variance}; allowed: 0 and above, finite")

    n0 = max(float(noise_variance), _NOISE_FLOOR)
    gains: Gains | None = None
    if pilot_spacing:
        symbols, gains = estimate_channel(
            symbols,
            spacing=pilot_spacing,
            coherence_symbols=fading_symbols or coherence_symbols,
            noise_variance=n0,
            lost=expand_gains(csi == 0, coherence_symbols, expected),
        )
    segments, done = [], 0
    for fmt in formats:
        places = interleaver(payload_symbols, slice(done, done + fmt.symbols))
        done += fmt.symbols
        seen = csi[places // coherence_symbols] if gains is None else gains[places]
        segments.append(ReceivedSegment(symbols[places], seen, n0))
    return segments


def warm_up(schemes: Iterable[Scheme] = MCS_TABLE, *, payload_bytes: int = 330, device: str = "cpu") -> None:
    """Modulate and demodulate one segment per scheme, so that kernels are compiled and decoders built in advance.

    Parameters
    ----------
    schemes : Iterable[Scheme]
        Those to prepare for.
    payload_bytes : int
        Of each segment.
    device : str
        Where LDPC decoding runs, see `decoder_for`.
    """
    formats = [SegmentFormat(payload_bytes, scheme) for scheme in schemes]
    symbols = modulate([bytes(payload_bytes)] * len(formats), formats)
    csi = np.ones(1, np.complex64)
    demodulate(
        symbols,
        csi=csi,
        coherence_symbols=max(symbols.size, 1),
        noise_variance=0.5,  # no noise was added, but LLRs of a realistic size keep decoders iterating
        formats=formats,
        device=device,
    )


def check_segment(fmt: SegmentFormat, bits: Bits) -> bytes | None:
    """Take the payload out of decoded information bits, and check its CRC-24.

    Parameters
    ----------
    fmt : SegmentFormat
        The segment's format.
    bits : Bits
        uint8 (code blocks · k,).

    Returns
    -------
    The payload, or None where the CRC fails.
    """
    data = np.packbits(bits[: 8 * fmt.payload_bytes + CRC_BITS]).tobytes()
    payload, crc = data[: fmt.payload_bytes], data[fmt.payload_bytes :]
    return payload if crc24(payload) == crc else None
