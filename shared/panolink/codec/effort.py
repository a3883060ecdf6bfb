"""How long an encoder tries."""

from enum import StrEnum
from typing import NoReturn

from panolink.errors import RateError


class Effort(StrEnum):
    """How long an encoder tries; the bitstream is the same."""

    FAST = "fast"
    """a pass through the encoder, and rate control from tables"""
    SLOW = "slow"
    """features that are chosen through the decoder: see `panolink.codec.codec.Codec.refine`"""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise RateError(f"unknown effort {value!r}; allowed: {', '.join(cls)}")
