"""The receiver of the paper's Figure 1: symbols and channel state → payloads → tokens → panorama.

    received = Receiver(codec).receive(symbols, segments, csi=h, coherence_symbols=n, noise_variance=N0)
    received.picture                                                    # None where the header was lost

The steps on their own, as services need them (batches over streams, retransmissions): `BurstDecoder`, `unpack`,
`Codec.reconstruct`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from panolink.codec.streaming.decoder import StreamDecoder
from panolink.cpu import parallel
from panolink.errors import LimitError, SignalError
from panolink.link.segments import GAIN_CORRECTIONS, Segment, SegmentCounts, count_segments
from panolink.link.token_kinds import kinds_of_single, kinds_of_stream
from panolink.phy.analog import AnalogFormat
from panolink.phy.channel_decoder import ReceivedSegment, decode, llrs_of, received_segments
from panolink.phy.fec.ldpc_decoder import LdpcDecoder, decoder_for
from panolink.phy.harq import HarqReceiver
from panolink.phy.mcs import SegmentFormat
from panolink.phy.snr_estimation import ChannelMeasurement, measure_channel
from panolink.sphere.focus import Focus

if TYPE_CHECKING:
    from panolink.codec.bitstream import Packet
    from panolink.codec.codec import Codec
    from panolink.codec.tokens import Tokens

_OVERHEAD_BYTES = 4096  # of a burst of which next to nothing is kept


@dataclass(frozen=True)
class Received:
    """What a receiver made of a burst.

    Parameters
    ----------
    picture : np.ndarray | None
        uint8 (H, W, 3); None where the packet's header, or all of its indices, were lost.
    tokens : Tokens | None
        Those that the picture was made of; None likewise.
    segments : Mapping[str, SegmentCounts]
        What became of the segments, by layer.
    channel : ChannelMeasurement
        What the receiver measured of the channel.
    lost : Sequence[int]
        Positions of segments that were sent and did not arrive.
    """

    picture: np.ndarray | None
    tokens: Tokens | None
    segments: Mapping[str, SegmentCounts]
    channel: ChannelMeasurement
    lost: Sequence[int] = ()


class Receiver:
    """Receives bursts of one model, each in a single round.

    Parameters
    ----------
    codec : Codec
        The model that the transmitter used. Bursts of a stream are all of the same one.
    device : str
        Where LDPC decoding runs, see `panolink.phy.fec.ldpc_decoder.decoder_for`.
    """

    def __init__(self, codec: Codec, *, device: str = "cpu") -> None:
        self.codec = codec
        self._decoder = decoder_for(device)
        self._stream = StreamDecoder(codec)

    def receive(
        self,
        symbols: np.ndarray,
        segments: Sequence[Segment],
        *,
        csi: np.ndarray,
        coherence_symbols: int,
        noise_variance: float,
        fading_symbols: int = 0,
        pilot_spacing: int = 0,
    ) -> Received:
        """Demodulate, decode and reconstruct a burst; parameters and errors as of `BurstDecoder.decode`.

        Parameters
        ----------
        symbols : complex64 (n,)
            As received.
        segments : sequence of Segment
            What they carry.
        csi : complex64 (⌈n / coherence_symbols⌉,)
            Channel coefficient of each block.
        coherence_symbols : int
            Symbols of a block.
        noise_variance : float
            N0, of the complex noise.
        fading_symbols : int
            Symbols over which h is constant, see `panolink.phy.Reception`; 0: ``coherence_symbols``.
        pilot_spacing : int
            Every so many symbols one is a pilot; 0: none.
        """
        burst = BurstDecoder(segments, self._decoder)
        channel = {
            "csi": csi,
            "coherence_symbols": coherence_symbols,
            "noise_variance": noise_variance,
            "fading_symbols": fading_symbols,
            "pilot_spacing": pilot_spacing,
        }
        burst.decode(symbols, **channel)
        measured = measure_channel(symbols, **channel)
        if burst.header_lost or burst.picture_unsent:
            return Received(None, None, burst.counts, measured, burst.lost)
        tokens = unpack(self.codec, burst, stream=self._stream).tokens
        if tokens.concealed is not None and tokens.concealed.all():  # by nothing: it would be invented
            return Received(None, None, burst.counts, measured, burst.lost)
        (picture,) = self.codec.reconstruct([tokens])
        return Received(picture, tokens, burst.counts, measured, burst.lost)


class Unpacked(NamedTuple):
    """What the packet of a burst says, as far as it has arrived.

    tokens : to rebuild the panorama from.
    kinds : `TokenKind` of each, uint8 (rows, cols).
    focus : where it is fine.
    number : of the picture in its stream; 0 of a single one.
    """

    tokens: Tokens
    kinds: NDArray[np.uint8]
    focus: tuple[Focus, ...]
    number: int


class Retransmission(NamedTuple):
    """A later round of hybrid ARQ: its number, from 1 on, and the positions and formats of the segments in it."""

    round: int
    places: Sequence[int]
    segments: Sequence[Segment]


class AnalogFeatures(NamedTuple):
    """Features that were sent as amplitudes, and the coded segments before them.

    base : payloads of header, mask and indices; None where lost.
    segments, values : what arrived of each analog segment, None where it was empty; and how many values it has.
    gain_corrections : payload that says how to scale them; None where it was lost.
    """

    base: list[bytes | None]
    segments: list[ReceivedSegment | None]
    values: list[int]
    gain_corrections: bytes | None


class BurstDecoder:
    """Incremental decoding of a burst: soft bits of segments that fail are kept for the rounds that follow.

    Parameters
    ----------
    segments : Sequence[Segment]
        All segments of the burst, those without symbols too.
    decoder : LdpcDecoder
        For the first round's segments.

    Raises
    ------
    SignalError
        Analog segments without the coded one that says how to scale them.
    """

    def __init__(self, segments: Sequence[Segment], decoder: LdpcDecoder) -> None:
        self.segments = list(segments)
        self._decoder = decoder
        self._formats = {place: segment.format for place, segment in enumerate(segments) if segment.format}
        coded = [place for place, fmt in self._formats.items() if isinstance(fmt, SegmentFormat)]
        self._coded_order = {place: order for order, place in enumerate(coded)}
        analog = [place for place in self._formats if place not in self._coded_order]
        corrections = [place for place in coded if segments[place].layer == GAIN_CORRECTIONS]
        if any(segments[place].layer != "features" for place in analog) or (
            analog and (len(corrections) != 1 or corrections[0] > analog[0])
        ):
            raise SignalError("analog segments must be features, after one coded segment of gain corrections")
        self._harq: HarqReceiver | None = None
        self._coded_payloads: list[bytes | None] = [None] * len(coded)
        self._failed_at_first: frozenset[int] = frozenset()
        self._erased_at_first: frozenset[int] = frozenset()
        self._analog: dict[int, ReceivedSegment] = {}
        self.rounds = 0
        """rounds decoded so far"""

    def decode(
        self,
        symbols: np.ndarray,
        *,
        csi: np.ndarray,
        coherence_symbols: int,
        noise_variance: float,
        fading_symbols: int = 0,
        pilot_spacing: int = 0,
        retransmission: Retransmission | None = None,
        keep: bool = False,
    ) -> None:
        """Decode a round.

        Parameters
        ----------
        symbols, csi, coherence_symbols, noise_variance, fading_symbols, pilot_spacing
            As of `phy.demodulate`.
        retransmission : Retransmission | None
            Of a later round; None for the first one.
        keep : bool
            Keep soft bits of segments that fail, since another round may follow.

        Raises
        ------
        SignalError
            Lengths or numbers that make no sense, or segments that are not those of the first round.
        """
        places = list(self._formats)
        if retransmission:
            self._check(retransmission)
            places = list(retransmission.places)
        received = received_segments(
            symbols,
            csi=csi,
            coherence_symbols=coherence_symbols,
            noise_variance=noise_variance,
            fading_symbols=fading_symbols,
            formats=[self._formats[place] for place in places],
            pilot_spacing=pilot_spacing,
        )
        arrived = dict(zip(places, received, strict=True))
        self._analog |= {place: segment for place, segment in arrived.items() if place not in self._coded_order}
        coded = [place for place in places if place in self._coded_order]
        formats = [fmt for place in coded if isinstance(fmt := self._formats[place], SegmentFormat)]
        llrs = parallel(lambda pair: llrs_of(*pair), zip((arrived[place] for place in coded), formats, strict=True))
        if not retransmission and not keep:
            self._coded_payloads = decode(llrs, formats, self._decoder)
        else:
            self._harq = self._harq or HarqReceiver(formats, decoder=self._decoder)
            number = retransmission.round if retransmission else 0
            self._harq.combine(llrs, [self._coded_order[place] for place in coded], number)
            self._coded_payloads = self._harq.payloads
        if not retransmission:
            self._failed_at_first = frozenset(self.needed)
            self._erased_at_first = frozenset(place for place, segment in arrived.items() if not segment.gains.any())
        self.rounds += 1

    @property
    def needed(self) -> list[int]:
        """Positions of the segments that could be sent again, ascending: all whose CRC failed."""
        return [place for place, order in self._coded_order.items() if self._coded_payloads[order] is None]

    @property
    def lost(self) -> list[int]:
        """Positions of the segments that were sent and did not arrive, ascending: those needed, and analog ones."""
        payloads = self.payloads
        return [place for place in self._formats if payloads[place] is None]

    @property
    def payloads(self) -> list[bytes | None]:
        """Of all segments; None where one was lost or unsent, b"" of empty ones and of analog ones that arrived."""
        payloads: list[bytes | None] = [None if segment.unsent else b"" for segment in self.segments]
        for place, order in self._coded_order.items():
            payloads[place] = self._coded_payloads[order]
        for place, segment in self._analog.items():
            payloads[place] = b"" if segment.gains.any() else None
        return payloads

    @property
    def header_lost(self) -> bool:
        """Whether the one segment is missing without which nothing can be decoded."""
        payloads = self.payloads
        return not payloads or payloads[0] is None

    @property
    def picture_unsent(self) -> bool:
        """Whether no index was sent, without which all else means nothing: a picture made of it would cost memory."""
        indices = [segment for segment in self.segments if segment.layer == "indices"]
        return bool(indices) and all(segment.unsent for segment in indices)

    @property
    def analog_features(self) -> AnalogFeatures | None:
        """The features, where they are analog; None where they are coded."""
        if not self._analog:
            return None
        payloads = self.payloads
        features = [place for place, segment in enumerate(self.segments) if segment.layer == "features"]
        (corrections,) = (place for place, segment in enumerate(self.segments) if segment.layer == GAIN_CORRECTIONS)
        formats = [self.segments[place].format for place in features]
        return AnalogFeatures(
            base=[payloads[place] for place in range(len(payloads)) if place not in {corrections, *features}],
            segments=[self._analog.get(place) for place in features],
            values=[fmt.values if isinstance(fmt, AnalogFormat) else 0 for fmt in formats],
            gain_corrections=payloads[corrections],
        )

    @property
    def counts(self) -> dict[str, SegmentCounts]:
        """What became of the segments, by layer."""
        recovered = self._failed_at_first.difference(self.needed)
        return count_segments(self.segments, self.payloads, recovered=recovered, erased=self._erased_at_first)

    @property
    def held_bytes(self) -> int:
        """Memory that waiting for another round takes."""
        analog = sum(segment.symbols.nbytes + segment.gains.nbytes for segment in self._analog.values())
        payloads = sum(len(payload) for payload in self._coded_payloads if payload)
        soft_bits = self._harq.buffer_bytes if self._harq else 0
        return _OVERHEAD_BYTES + 64 * len(self.segments) + payloads + analog + soft_bits

    def forget_soft_bits(self) -> None:
        """No further round is to come: payloads are all that is needed of the segments that arrived."""
        self._harq = None

    def _check(self, retransmission: Retransmission) -> None:
        """Raise `SignalError` where a later round brings what the first did not, or brings it otherwise."""
        for place, segment in zip(retransmission.places, retransmission.segments, strict=True):
            if place not in self._coded_order or segment.format != self._formats[place]:
                raise SignalError(
                    f"segment {place} of a later round is none of the first round's {len(self.segments)}, "
                    "or has another format"
                )


def unpack(
    codec: Codec, burst: BurstDecoder, *, max_pixels: int | None = None, stream: StreamDecoder | None = None
) -> Unpacked:
    """Tokens from what was received of a burst, and what has become of them.

    Those of lost segments are concealed, or as they were in a stream.

    Parameters
    ----------
    codec : Codec
        The model that the packet was made with.
    max_pixels : int | None
        The largest panorama to reconstruct, width × height.
    stream : StreamDecoder | None
        Of which the burst is a picture; needed where it is predicted from an earlier one.

    Raises
    ------
    ReferenceNeededError
        It is predicted from one that is not here.
    BitstreamError
        Payloads that make no packet.
    LimitError
        A panorama of more pixels.
    ModelError
        A packet of another model.
    """
    from panolink.link.analog_features import received

    analog = burst.analog_features
    packet = _packet(burst, max_pixels)
    focus, place = packet.header.focus, packet.header.stream
    if stream and place and not analog:
        state = stream.update(packet)
        return Unpacked(state.tokens(), kinds_of_stream(state), focus, place.number)
    if analog:
        tokens = received(codec, packet, analog.segments, analog.values, analog.gain_corrections)
    else:
        tokens = codec.unpack(packet)
    return Unpacked(tokens, kinds_of_single(tokens), focus, place.number if place else 0)


def packet_size(burst: BurstDecoder, *, max_pixels: int | None = None) -> tuple[int, int]:
    """Width and height of the panorama in a burst, before anything is decoded; errors as of `unpack`."""
    packet = _packet(burst, max_pixels)
    return packet.width, packet.height


def _packet(burst: BurstDecoder, max_pixels: int | None) -> Packet:
    from panolink.codec.bitstream import Packet

    analog = burst.analog_features
    packet = Packet.from_payloads(analog.base if analog else burst.payloads)
    pixels = packet.width * packet.height
    if max_pixels is not None and pixels > max_pixels:
        raise LimitError(f"pixels in a panorama: {pixels}, at most {max_pixels} are allowed")
    return packet
