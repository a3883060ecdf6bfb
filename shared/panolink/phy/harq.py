"""Hybrid ARQ: segments that failed are sent again, and their soft bits of all rounds are combined.

    sender = HarqSender(payloads, formats)
    receiver = HarqReceiver(formats)
    failed = range(len(formats))
    for round in range(rounds):
        reception = channel.apply(sender.burst(failed, round))
        failed = receiver.receive(reception, failed, round)
    receiver.payloads

Soft bits of all rounds add up in the word before rate matching. A round sends the redundancy version that the
sequence names for it: the same version again adds power to the same bits (chase combining), another one brings coded
bits that were not sent yet, so that the code rate falls (incremental redundancy, TS 38.212 §5.4.2.1).

One round is what `modulate` and `demodulate` do: same bits, same symbols, same interleaver.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from panolink.cpu import parallel
from panolink.errors import SignalError
from panolink.phy.channel.model import Reception
from panolink.phy.channel_decoder import check_segment, decode, soft_bits
from panolink.phy.channel_encoder import code_of, interleave, segment_bits
from panolink.phy.fec.ldpc import LdpcCode
from panolink.phy.fec.ldpc_decoder import FILLER_LLR, LayeredDecoder, LdpcDecoder
from panolink.phy.fec.scrambling import scramble
from panolink.phy.mcs import SegmentFormat
from panolink.phy.modem.mapping import map_bits
from panolink.phy.shapes import LlrBlocks, Symbols

CHASE = (0, 0, 0, 0)
CHASE_FIRST = (0, 0, 2, 3)
"""the default: a first round that was erased is made good by its repetition, not by parities alone"""

INCREMENTAL = (0, 2, 3, 1)
"""NR's usual order, best where the first round was received at all: version 2 is parities only"""


class HarqSender:
    """Keeps the payloads of a burst and gives the symbols of its rounds.

    Parameters
    ----------
    payloads, formats
        Of each segment of the burst.
    versions : Sequence[int]
        Redundancy version of each round, 0 first.

    Raises
    ------
    SignalError
        More or fewer formats than payloads, or versions out of range.
    """

    def __init__(
        self, payloads: Sequence[bytes], formats: Sequence[SegmentFormat], *, versions: Sequence[int] = CHASE_FIRST
    ) -> None:
        if len(payloads) != len(formats):
            raise SignalError(f"{len(payloads)} payloads but {len(formats)} segment formats")
        self._payloads, self._formats, self._versions = list(payloads), list(formats), _checked(versions)

    def burst(self, segments: Sequence[int], round: int, *, pilot_spacing: int = 0) -> Symbols:
        """The symbols of a round.

        Parameters
        ----------
        segments : Sequence[int]
            Numbers of those that are sent, each once.
        round : int
            0 for the first.
        pilot_spacing : int
            As in `modulate`.

        Returns
        -------
        complex64 (n,), interleaved over the burst, pilots among them.

        Raises
        ------
        SignalError
            A segment or round that there is not.
        """
        version = _version(self._versions, round)

        def symbols(i: int) -> np.ndarray:
            fmt = self._formats[i]
            coded = code_of(fmt).encode(segment_bits(self._payloads[i], fmt), version).ravel()
            return map_bits(scramble(coded), fmt.scheme.modulation)

        _check_segments(segments, len(self._formats))
        sizes = [self._formats[i].symbols for i in segments]
        return interleave([partial(symbols, i) for i in segments], sizes, pilot_spacing)


@dataclass
class _SoftBuffer:
    """Combined LLRs of a segment's code blocks before rate matching, float32 (blocks, width·z).

    rows : of circulants, up to the last parity of which something was received.
    """

    llr: np.ndarray
    rows: int


class HarqReceiver:
    """Combines the soft bits of each segment, round by round, and decodes.

    It keeps a float32 for each bit of the mother code, but only of segments that still fail: about 160 bytes for each
    byte of their payload.

    Parameters
    ----------
    formats : Sequence[SegmentFormat]
        Of all segments of the burst.
    versions : Sequence[int]
        Redundancy version of each round.
    decoder : LdpcDecoder | None
        For the first round, in which all segments are to be decoded and nothing has to be added up; the one for
        the CPU where None.
    """

    def __init__(
        self,
        formats: Sequence[SegmentFormat],
        *,
        versions: Sequence[int] = CHASE_FIRST,
        decoder: LdpcDecoder | None = None,
    ) -> None:
        self._formats, self._versions = list(formats), _checked(versions)
        self._buffers: dict[int, _SoftBuffer] = {}
        self._decoder = LayeredDecoder()
        self._first_decoder = decoder or self._decoder
        self.payloads: list[bytes | None] = [None] * len(self._formats)

    @property
    def buffer_bytes(self) -> int:
        """Bytes that the soft bits of segments take which still fail."""
        return sum(buffer.llr.nbytes for buffer in self._buffers.values())

    def receive(
        self, reception: Reception, segments: Sequence[int], round: int, *, pilot_spacing: int = 0
    ) -> list[int]:
        """Demodulate a round's burst, combine and decode it.

        Parameters
        ----------
        reception : Reception
            What the channel gave for `HarqSender.burst` of the same segments and round.
        segments : Sequence[int]
            Their numbers in the burst of the first round.
        round : int
            0 for the first.
        pilot_spacing : int
            As the burst was sent.

        Returns
        -------
        Numbers of the segments, of those in the round, whose CRC still fails.

        Raises
        ------
        SignalError
            Numbers or lengths that make no sense, as in `demodulate`; nothing was taken in then.
        """
        _version(self._versions, round)
        _check_segments(segments, len(self._formats))
        formats = [self._formats[i] for i in segments]
        return self.combine(soft_bits(**vars(reception), formats=formats, pilot_spacing=pilot_spacing), segments, round)

    def combine(self, llrs: Sequence[LlrBlocks], segments: Sequence[int], round: int) -> list[int]:
        """As `receive`, of a round's soft bits.

        Parameters
        ----------
        llrs : Sequence[LlrBlocks]
            Ln P(0)/P(1) of each segment in the round, float32 (code blocks, n) each.
        segments : Sequence[int]
            Their numbers in the burst.
        round : int
            0 for the first.

        Returns
        -------
        Numbers of the segments, of those in the round, whose CRC still fails.

        Raises
        ------
        SignalError
            A segment or round that there is not.
        """
        version = _version(self._versions, round)
        _check_segments(segments, len(self._formats))
        if round == 0:
            payloads = decode(llrs, [self._formats[i] for i in segments], self._first_decoder)
            for i, payload in zip(segments, payloads, strict=True):
                self.payloads[i] = payload
        left = [(i, llr) for i, llr in zip(segments, llrs, strict=True) if self.payloads[i] is None]
        for i, llr in left:
            self._add(i, llr, version)
        if round > 0:
            parallel(self._try, [i for i, _ in left])
        return [i for i, _ in left if self.payloads[i] is None]

    def _add(self, i: int, llrs: np.ndarray, version: int) -> None:
        """Add LLRs (blocks, n) to those of segment i."""
        code = code_of(self._formats[i])
        size = len(llrs), code.graph.width * code.graph.z
        buffer = self._buffers.setdefault(i, _SoftBuffer(np.zeros(size, np.float32), 0))
        places = code.sent_positions(version)
        for word, llr in zip(buffer.llr, llrs, strict=True):
            np.add.at(word, places, llr)  # a version that goes all the way round has bits twice
        buffer.rows = max(buffer.rows, _rows(code, version))

    def _try(self, i: int) -> None:
        """Decode what was received of segment i; drop its soft bits where that succeeds."""
        fmt, buffer = self._formats[i], self._buffers[i]
        blocks = [self._decode(code_of(fmt), word, buffer.rows) for word in buffer.llr]
        self.payloads[i] = check_segment(fmt, np.concatenate(blocks))
        if self.payloads[i] is not None:
            del self._buffers[i]

    def _decode(self, code: LdpcCode, word: np.ndarray, rows: int) -> np.ndarray:
        word = word[: (code.graph.info_columns + rows) * code.graph.z].copy()
        word[code.k : code.k + code.filler] = FILLER_LLR
        return self._decoder.decode_word(code, word.reshape(-1, code.graph.z))[0]


def _rows(code: LdpcCode, version: int) -> int:
    """Rows of circulants up to the last parity that a version sends."""
    if version == 0:
        return code.active_rows
    last = int(code.sent_positions(version).max())
    return max(code.active_rows, last // code.graph.z + 1 - code.graph.info_columns)


def _checked(versions: Sequence[int]) -> tuple[int, ...]:
    if not versions or versions[0] != 0 or any(version not in range(4) for version in versions):
        raise SignalError(f"redundancy versions {tuple(versions)}; allowed: 0 first, then any of 0, 1, 2, 3")
    return tuple(versions)


def _version(versions: Sequence[int], round: int) -> int:
    if not 0 <= round < len(versions):
        raise SignalError(f"round {round} of hybrid ARQ; allowed: 0 … {len(versions) - 1}")
    return versions[round]


def _check_segments(segments: Sequence[int], count: int) -> None:
    wrong = [i for i in segments if not 0 <= i < count]
    if wrong or len(set(segments)) != len(segments):
        what = f"segment {wrong[0]}" if wrong else "a segment twice"
        raise SignalError(f"{what} asked for; allowed: each of 0 … {count - 1} once")
