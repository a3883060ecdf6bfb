"""Hybrid ARQ: segments that failed are sent again, and what was heard of them before is not thrown away.

    sender = HarqSender(payloads, formats)
    receiver = HarqReceiver(formats)
    asked = range(len(formats))
    for round in range(rounds):
        reception = channel.apply(sender.burst(asked, round))
        asked = receiver.hear(reception, asked, round)        # the segments that still fail
    receiver.payloads

Soft bits of all rounds add up in the word before rate matching. A round sends the redundancy version that the
sequence names for it: the same version again adds power to the same bits (chase combining), another one brings coded
bits that were not sent yet, so that the code rate falls (incremental redundancy, TS 38.212 §5.4.2.1).

One round is what `modulate` and `demodulate` do: same bits, same symbols, same interleaver.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panolink.errors import SignalError
from panolink.phy.channel import Reception
from panolink.phy.decoding import LayeredDecoder, parallel
from panolink.phy.interleaving import interleaver
from panolink.phy.ldpc import LdpcCode
from panolink.phy.modulation import map_bits
from panolink.phy.schemes import SegmentFormat
from panolink.phy.transmission import check_segment, code_of, segment_bits, soft_bits
from panolink.phy.whitening import whitening

CHASE = (0, 0, 0, 0)
CHASE_FIRST = (0, 0, 2, 3)
"""the default: a first round that was erased is made good by its repetition, not by parities alone"""

INCREMENTAL = (0, 2, 3, 1)
"""NR's usual order, best where the first round was heard at all: version 2 is parities only"""

_FILLER_LLR = 1e4


class HarqSender:
    """Keeps the payloads of a burst and gives the symbols of its rounds."""

    def __init__(
        self, payloads: Sequence[bytes], formats: Sequence[SegmentFormat], *, versions: Sequence[int] = CHASE_FIRST
    ) -> None:
        if len(payloads) != len(formats):
            raise SignalError(f"{len(payloads)} payloads but {len(formats)} segment formats")
        self._payloads, self._formats, self._versions = list(payloads), list(formats), _checked(versions)

    def burst(self, segments: Sequence[int], round: int) -> np.ndarray:
        """Symbols complex64 (n,) of the named segments in a round (0: the first), interleaved over the burst.

        Raises
        ------
        SignalError : a segment or round that there is not.
        """
        version = _version(self._versions, round)

        def symbols(i: int) -> np.ndarray:
            fmt = self._formats[i]
            coded = code_of(fmt).encode(segment_bits(self._payloads[i], fmt), version).ravel()
            return map_bits(coded ^ whitening(coded.size), fmt.scheme.modulation)

        _check_segments(segments, len(self._formats))
        ordered = np.concatenate([np.empty(0, np.complex64), *parallel(symbols, segments)])
        sent = np.empty_like(ordered)
        sent[interleaver(ordered.size)] = ordered
        return sent


@dataclass
class _Heard:
    """What was heard of a segment: LLRs of its code blocks before rate matching, float32 (blocks, width·z)."""

    llr: np.ndarray
    rows: int


class HarqReceiver:
    """Adds up what is heard of each segment, round by round.

    It keeps a float32 for each bit of the mother code, but only of segments that still fail: about 160 bytes for each
    byte of their payload.
    """

    def __init__(self, formats: Sequence[SegmentFormat], *, versions: Sequence[int] = CHASE_FIRST) -> None:
        self._formats, self._versions = list(formats), _checked(versions)
        self._heard: dict[int, _Heard] = {}
        self._decoder = LayeredDecoder()
        self.payloads: list[bytes | None] = [None] * len(self._formats)

    def hear(self, reception: Reception, segments: Sequence[int], round: int) -> list[int]:
        """Take in a round's burst; the segments, of those in it, that still fail.

        Raises
        ------
        SignalError : numbers or lengths that make no sense, as in `demodulate`; nothing was taken in then.
        """
        version = _version(self._versions, round)
        _check_segments(segments, len(self._formats))
        formats = [self._formats[i] for i in segments]
        llrs = soft_bits(**vars(reception), formats=formats)
        passed = parallel(lambda pair: self._take(*pair, version), zip(segments, llrs, strict=True))
        return [i for i, right in zip(segments, passed, strict=True) if not right]

    def _take(self, i: int, llrs: np.ndarray, version: int) -> bool:
        """Add LLRs (blocks, n) to segment i's and try to decode; True when its CRC holds."""
        if self.payloads[i] is not None:
            return True
        fmt = self._formats[i]
        code = code_of(fmt)
        graph = code.graph
        heard = self._heard.setdefault(i, _Heard(np.zeros((len(llrs), graph.width * graph.z), np.float32), 0))
        places = code.sent_positions(version)
        for word, llr in zip(heard.llr, llrs, strict=True):
            np.add.at(word, places, llr)  # a version that goes all the way round has bits twice
        heard.rows = max(heard.rows, _rows(code, version))
        blocks = [self._decode(code, word, heard.rows) for word in heard.llr]
        self.payloads[i] = check_segment(fmt, np.concatenate(blocks))
        if self.payloads[i] is not None:
            del self._heard[i]
        return self.payloads[i] is not None

    def _decode(self, code: LdpcCode, word: np.ndarray, rows: int) -> np.ndarray:
        word = word[: (code.graph.info_columns + rows) * code.graph.z].copy()
        word[code.k : code.k + code.filler] = _FILLER_LLR
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
