"""How long an encoder tries."""

from enum import StrEnum
from typing import NoReturn

from panolink.errors import RateError


class Effort(StrEnum):
    """How long an encoder tries; the bitstream is the same."""

    FAST = "fast"
    """a pass through the encoder, and rate control from tables"""
    MEDIUM = "medium"
    """features that are chosen through the decoder, a few times over: see `panolink.codec.codec.Codec.refine`"""
    SLOW = "slow"
    """the same, six times as often"""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise RateError(f"unknown effort {value!r}; allowed: {', '.join(cls)}")
