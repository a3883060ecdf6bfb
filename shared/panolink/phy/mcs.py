"""Modulation and coding schemes, and segment formats: payload length and scheme, and the lengths that follow.

Nothing here computes on signals; services use these values to describe a burst on the wire.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, NoReturn, Protocol

from panolink.errors import SignalError

CRC_BITS = 24
MAX_PAYLOAD_BYTES = 65_536
MIN_CODE_RATE, MAX_CODE_RATE = 1 / 20, 23 / 25  # below 1/5, base graph 2's own, bits repeat; NR stops at 948/1024

_BG2_MAX_BITS, _BG1_MAX_BITS = 3824, 8448  # information bits of one code block, TS 38.212 §5.2.2
_BG2_MAX_RATE = 0.67


class Modulation(StrEnum):
    """Square QAM with the Gray labels of TS 38.211 §5.1, unit mean power.

    Raises
    ------
    SignalError
        An unknown name; the message lists all.
    """

    QPSK = "qpsk"
    QAM16 = "16qam"
    QAM64 = "64qam"

    @property
    def bits(self) -> int:
        """Bits per symbol: 2, 4 or 6."""
        return {"qpsk": 2, "16qam": 4, "64qam": 6}[self.value]

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise SignalError(f"unknown modulation {value!r}; allowed: {', '.join(cls)}")


@dataclass(frozen=True)
class Scheme:
    """A modulation and a code rate.

    Parameters
    ----------
    modulation : Modulation
        Modulation or its name.
    code_rate : float
        Information bits ÷ coded bits, 1/20 … 0.92. Rounded to the nearest fraction with a denominator
        of at most 1024 (as NR's rates are), so that a rate which crossed the wire as float32 still means the
        same lengths.

    Raises
    ------
    SignalError
        Modulation unknown or rate out of range.
    """

    modulation: Modulation
    code_rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "modulation", Modulation(self.modulation))
        if not MIN_CODE_RATE - 1e-6 <= self.code_rate <= MAX_CODE_RATE + 1e-6:  # false for NaN, too
            raise SignalError(f"code rate {self.code_rate} is not in {MIN_CODE_RATE:g} … {MAX_CODE_RATE:g}")
        object.__setattr__(self, "code_rate", float(self.fraction))

    @property
    def fraction(self) -> Fraction:
        """The code rate, exactly."""
        return Fraction(self.code_rate).limit_denominator(1024)

    @property
    def bits_per_symbol(self) -> float:
        """Information bits per channel use, without the CRC."""
        return self.modulation.bits * self.code_rate

    def __str__(self) -> str:
        return f"{self.modulation} {self.fraction}"


class Format(Protocol):
    """Any segment format, coded or analog: what interleaving and erasures need is its length."""

    @property
    def symbols(self) -> int:
        """Channel uses."""
        ...


class CodeBlocks(NamedTuple):
    """Code blocks of a segment: `count` blocks of `k` information bits in `n` coded bits each."""

    count: int
    k: int
    n: int


@dataclass(frozen=True)
class SegmentFormat:
    """Format of a coded segment: a payload of known length, a CRC-24 over it, and its scheme.

    The length travels in the format, beside the symbols and not in them: a segment read with another length
    has another number of symbols and is refused.

    Parameters
    ----------
    payload_bytes : int
        1 … 65536, without the CRC.
    scheme : Scheme
        Modulation and code rate.

    Raises
    ------
    SignalError
        payload_bytes is not in 1 … 65536.
    """

    payload_bytes: int
    scheme: Scheme

    def __post_init__(self) -> None:
        if not 1 <= self.payload_bytes <= MAX_PAYLOAD_BYTES:
            raise SignalError(f"segment of {self.payload_bytes} bytes; allowed: 1 … {MAX_PAYLOAD_BYTES}")

    @cached_property
    def blocks(self) -> CodeBlocks:
        """Payload and CRC, cut into equal code blocks (the last one zero-padded) and rate-matched.

        Up to rate 0.67 blocks hold at most 3824 bits, so that base graph 2 serves them; above it 8448 (base
        graph 1). `n` is rounded up to whole symbols, at rate 1/5 unless that asks for more bits than the mother code
        has; at lower rates the code's bits are sent more than once.
        """
        bits = 8 * self.payload_bytes + CRC_BITS
        limit = _BG2_MAX_BITS if self.scheme.code_rate <= _BG2_MAX_RATE else _BG1_MAX_BITS
        count = -(-bits // limit)
        k = -(-bits // count)
        per_symbol = self.scheme.modulation.bits
        n = -(-k // (self.scheme.fraction * per_symbol)) * per_symbol
        whole = n <= 5 * k or self.scheme.fraction < Fraction(1, 5)
        return CodeBlocks(count, k, n if whole else n - per_symbol)

    @property
    def symbols(self) -> int:
        """Channel uses of the segment."""
        return self.blocks.count * self.blocks.n // self.scheme.modulation.bits


MCS_TABLE = tuple(
    Scheme(modulation, rate)
    for modulation, rates in (
        (Modulation.QPSK, (1 / 10, 3 / 20, 1 / 5, 1 / 4, 1 / 3, 1 / 2, 2 / 3)),
        (Modulation.QAM16, (1 / 3, 5 / 12, 1 / 2, 7 / 12, 2 / 3, 3 / 4)),
        (Modulation.QAM64, (1 / 3, 1 / 2, 7 / 12, 2 / 3, 3 / 4, 5 / 6)),
    )
    for rate in rates
)
"""schemes that links choose from, by modulation and code rate; `panolink.phy.bler_curves` has their error rates"""
