"""What is heard of a burst, round by round: payloads, and what is kept of segments that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from panolink.cpu import parallel
from panolink.errors import SignalError
from panolink.phy.channel_decoder import ReceivedSegment, decode, llrs_of, received_segments
from panolink.phy.fec.ldpc_decoder import Decoder
from panolink.phy.harq import HarqReceiver
from panolink.phy.mcs import SegmentFormat
from panolink.rpc.wire.bursts import Burst
from panolink.rpc.wire.segments import count_segments, formats_from_wire, payloads_from_segments
from panolink.v1 import link_pb2

_OVERHEAD_BYTES = 4096  # of a burst of which next to nothing is kept


class Amplitudes(NamedTuple):
    """Features that were sent without a code, and the coded segments before them.

    base : payloads of header, mask and indices; None where lost.
    heard, values : what arrived of each analogue segment, None where it was empty; and how many values it has.
    gain_corrections : payload of the coded segment that says how to read them; None where it was lost.
    """

    base: list[bytes | None]
    heard: list[ReceivedSegment | None]
    values: list[int]
    gain_corrections: bytes | None


class BurstDecoder:
    """A burst as far as it has been heard.

    Segments go by their numbers on the wire; the radio knows of those that have symbols.

    Args:
        header: of the burst's first round.
        decoder: for the segments of the first round.

    Raises:
        SignalError: formats that cannot be.
    """

    def __init__(self, header: link_pb2.BurstHeader, decoder: Decoder) -> None:
        self._segments = header.segments
        self._decoder = decoder
        self._formats = dict(zip(_with_symbols(header.segments), formats_from_wire(header.segments), strict=True))
        self._coded = [number for number, fmt in self._formats.items() if isinstance(fmt, SegmentFormat)]
        self._places = {number: place for place, number in enumerate(self._coded)}
        self._harq: HarqReceiver | None = None
        self._coded_payloads: list[bytes | None] = [None] * len(self._coded)
        self._failed_at_first: frozenset[int] = frozenset()
        self._erased_at_first: frozenset[int] = frozenset()
        self._size = header.ByteSize() + _OVERHEAD_BYTES
        self.rounds = 0
        """Rounds that were heard."""
        self.analogue: dict[int, ReceivedSegment] = {}
        """What arrived of analogue segments."""

    def hear(self, burst: Burst, *, keep: bool) -> None:
        """Take in a round.

        Args:
            keep: soft bits of segments that fail, for those of a later round.

        Raises:
            SignalError: numbers or lengths that make no sense, or segments that are not those of the first round.
        """
        state, again = burst.header.channel_state, bool(self.rounds)
        numbers = list(burst.header.harq.numbers) if again else list(self._formats)
        if again:
            self._check(numbers, burst.header.segments)
        heard = received_segments(
            burst.symbols,
            csi=burst.csi,
            coherence_symbols=state.coherence_symbols,
            noise_variance=state.noise_variance,
            formats=[self._formats[number] for number in numbers],
            pilot_spacing=burst.header.pilot_spacing,
        )
        arrived = dict(zip(numbers, heard, strict=True))
        self.analogue |= {number: what for number, what in arrived.items() if number not in self._places}
        coded = [number for number in numbers if number in self._places]
        formats = [fmt for number in coded if isinstance(fmt := self._formats[number], SegmentFormat)]
        llrs = parallel(lambda pair: llrs_of(*pair), zip((arrived[number] for number in coded), formats, strict=True))
        if not again and not keep:
            self._coded_payloads = decode(llrs, formats, self._decoder)
        else:
            self._harq = self._harq or HarqReceiver(formats, decoder=self._decoder)
            self._harq.combine(llrs, [self._places[number] for number in coded], burst.header.harq.round)
            self._coded_payloads = self._harq.payloads
        if not again:
            self._failed_at_first = frozenset(self.needed)
            self._erased_at_first = frozenset(number for number, what in arrived.items() if not what.gains.any())
        self.rounds += 1

    @property
    def needed(self) -> list[int]:
        """Segments that could be sent again, ascending: all whose CRC failed."""
        return [number for number, place in self._places.items() if self._coded_payloads[place] is None]

    @property
    def payloads(self) -> list[bytes | None]:
        """Of all segments, None where one was lost or never sent. An analogue one has none: it is lost if nothing of it
        arrived."""
        payloads = payloads_from_segments(self._segments, self._coded_payloads)
        for number, heard in self.analogue.items():
            payloads[number] = b"" if heard.gains.any() else None
        return payloads

    @property
    def amplitudes(self) -> Amplitudes | None:
        """The features, where they are analogue; None where they are coded.

        Raises:
            SignalError: analogue segments of another layer, or without the one that says how to read them.
        """
        if not self.analogue:
            return None
        features = [i for i, segment in enumerate(self._segments) if segment.layer == link_pb2.LAYER_FEATURES]
        if not self.analogue.keys() <= set(features[1:]) or not self._segments[features[0]].payload_bytes:
            raise SignalError("analogue segments must be features, behind a coded segment of features")
        payloads = self.payloads
        return Amplitudes(
            base=[payloads[i] for i in range(len(payloads)) if i not in set(features)],
            heard=[self.analogue.get(i) for i in features[1:]],
            values=[self._segments[i].values for i in features[1:]],
            gain_corrections=payloads[features[0]],
        )

    @property
    def counts(self) -> Sequence[link_pb2.LayerSegments]:
        """Segments by layer and by what became of them."""
        recovered = self._failed_at_first.difference(self.needed)
        return count_segments(self._segments, self.payloads, recovered, self._erased_at_first)

    @property
    def held_bytes(self) -> int:
        """Memory that waiting for another round takes."""
        analogue = sum(heard.symbols.nbytes + heard.gains.nbytes for heard in self.analogue.values())
        payloads = sum(len(payload) for payload in self._coded_payloads if payload)
        return self._size + payloads + analogue + (self._harq.buffer_bytes if self._harq else 0)

    def _check(self, numbers: Sequence[int], segments: Sequence[link_pb2.SegmentFormat]) -> None:
        """Raise `SignalError` where a later round brings what the first did not, or brings it otherwise."""
        for number, segment in zip(numbers, segments, strict=True):
            if number not in self._places or segment != self._segments[number]:
                raise SignalError(
                    f"segment {number} of a later round is none of the first round's {len(self._segments)}, "
                    "or has another format"
                )


def _with_symbols(segments: Sequence[link_pb2.SegmentFormat]) -> list[int]:
    return [number for number, segment in enumerate(segments) if segment.payload_bytes or segment.values]
