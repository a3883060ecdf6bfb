"""From payloads to the symbols of a burst, and back.

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
from panolink.phy.fec.ldpc_decoder import Decoder, decoder_for
from panolink.phy.fec.scrambling import descramble
from panolink.phy.mcs import CRC_BITS, MCS_TABLE, Format, Scheme, SegmentFormat
from panolink.phy.modem.channel_estimation import check_pilot_spacing, estimate_channel, pilot_count
from panolink.phy.modem.interleaving import interleaver
from panolink.phy.modem.mapping import demap

_NOISE_FLOOR = 1e-6  # N0 is taken for at least −60 dB: an ideal channel says 0


@dataclass(frozen=True)
class ReceivedSegment:
    """What arrived of one segment, in the order in which its symbols were made: y = h·x + n.

    symbols, gains : y and h, complex64 (n,) both; h is 0 where a symbol was erased.
    noise_variance : N0 > 0 of the complex noise, errors of a channel estimate included.
    """

    symbols: np.ndarray
    gains: np.ndarray
    noise_variance: float


def demodulate(
    symbols: np.ndarray,
    *,
    csi: np.ndarray,
    coherence_symbols: int,
    noise_variance: float,
    formats: Sequence[SegmentFormat],
    pilot_spacing: int = 0,
    device: str = "cpu",
    decoder: Decoder | None = None,
) -> list[bytes | None]:
    """The payloads of a burst; None where a segment's CRC failed.

    Parameters
    ----------
    symbols : received y = h·x + n, complex64 (n,).
    csi : h of each coherence block, complex64 (⌈n / coherence_symbols⌉,); 0 marks a block as lost.
    noise_variance : N0 ≥ 0, the variance of the complex noise (N0/2 per real dimension).
    pilot_spacing : as the burst was modulated. With pilots the channel is estimated from them, and nothing is taken
        from `csi` but which blocks are lost.
    device, decoder : where LDPC decoding runs, see `decoder_for`; a decoder goes before a device.

    Raises
    ------
    SignalError : numbers that are not finite, lengths that do not fit the formats, N0 negative.
    """
    llrs = soft_bits(
        symbols,
        csi=csi,
        coherence_symbols=coherence_symbols,
        noise_variance=noise_variance,
        formats=formats,
        pilot_spacing=pilot_spacing,
    )
    return decode(llrs, formats, decoder or decoder_for(device))


def decode(llrs: Sequence[np.ndarray], formats: Sequence[SegmentFormat], decoder: Decoder) -> list[bytes | None]:
    """The payloads in soft bits, LLRs float32 (code blocks, n) for each segment; None where a CRC failed."""
    jobs = [(code_of(fmt), block) for fmt, blocks in zip(formats, llrs, strict=True) for block in blocks]
    decoded = iter(decoder.decode(jobs))
    return [check_segment(fmt, np.concatenate([next(decoded) for _ in range(fmt.blocks.count)])) for fmt in formats]


def soft_bits(
    symbols: np.ndarray,
    *,
    csi: np.ndarray,
    coherence_symbols: int,
    noise_variance: float,
    formats: Sequence[SegmentFormat],
    pilot_spacing: int = 0,
) -> list[np.ndarray]:
    """What `demodulate` gives to the decoder: LLRs ln P(0)/P(1), float32 (code blocks, n), of each segment.

    Parameters and errors as there.
    """
    heard = received_segments(
        symbols,
        csi=csi,
        coherence_symbols=coherence_symbols,
        noise_variance=noise_variance,
        formats=formats,
        pilot_spacing=pilot_spacing,
    )
    return parallel(lambda pair: llrs_of(*pair), zip(heard, formats, strict=True))


def llrs_of(heard: ReceivedSegment, fmt: SegmentFormat) -> np.ndarray:
    """Soft bits of one segment, LLRs float32 (code blocks, n)."""
    llr = demap(heard.symbols, heard.gains, heard.noise_variance, fmt.scheme.modulation)
    return descramble(llr).reshape(fmt.blocks.count, fmt.blocks.n)


def received_segments(
    symbols: np.ndarray,
    *,
    csi: np.ndarray,
    coherence_symbols: int,
    noise_variance: float,
    formats: Sequence[Format],
    pilot_spacing: int = 0,
) -> list[ReceivedSegment]:
    """What arrived of each segment of a burst, pilots and interleaving undone.

    Parameters and errors as in `demodulate`; formats may be of any kind.
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
    places = interleaver(payload_symbols)
    if pilot_spacing:
        symbols, gains = estimate_channel(
            symbols,
            spacing=pilot_spacing,
            coherence_symbols=coherence_symbols,
            noise_variance=n0,
            lost=expand_gains(csi == 0, coherence_symbols, expected),
        )
        ordered, gains = symbols[places], gains[places]
    else:
        ordered, gains = symbols[places], csi[places // coherence_symbols]
    ends = np.cumsum([fmt.symbols for fmt in formats], dtype=np.int64)
    places_of = (slice(int(end) - fmt.symbols, int(end)) for end, fmt in zip(ends, formats, strict=True))
    return [ReceivedSegment(ordered[mine], gains[mine], n0) for mine in places_of]


def warm_up(schemes: Iterable[Scheme] = MCS_TABLE, *, payload_bytes: int = 330, device: str = "cpu") -> None:
    """Send one segment per scheme: kernels are compiled or loaded, decoders built, before they are needed."""
    formats = [SegmentFormat(payload_bytes, scheme) for scheme in schemes]
    symbols = modulate([bytes(payload_bytes)] * len(formats), formats)
    csi = np.ones(1, np.complex64)
    demodulate(
        symbols,
        csi=csi,
        coherence_symbols=max(symbols.size, 1),
        noise_variance=0.5,  # the noise is in the receiver's mind only, but decoders get something to do
        formats=formats,
        device=device,
    )


def check_segment(fmt: SegmentFormat, bits: np.ndarray) -> bytes | None:
    """The payload in decoded information bits uint8 (code blocks · k,), or None where the CRC fails."""
    data = np.packbits(bits[: 8 * fmt.payload_bytes + CRC_BITS]).tobytes()
    payload, crc = data[: fmt.payload_bytes], data[fmt.payload_bytes :]
    return payload if crc24(payload) == crc else None
