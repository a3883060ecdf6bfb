"""Which decoder makes the pictures: asked for by a name, by a file, or by a realism between two decoders."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from panolink.errors import ModelError


class Decoder(StrEnum):
    """Which of a model's decoders reconstructs pictures, the ends of the scale; the bitstream is the same."""

    FIDELITY = "fidelity"
    """trained for the least squared error"""
    PERCEPTUAL = "perceptual"
    """trained with perceptual and adversarial losses: sharper, with texture that need not be the original's"""


_REALISM = {Decoder.FIDELITY: 0.0, Decoder.PERCEPTUAL: 1.0}
_NAMES = {realism: decoder for decoder, realism in _REALISM.items()}


def is_file(decoder: Decoder | str | Path) -> bool:
    """Whether a decoder is neither named nor left open."""
    return bool(str(decoder)) and decoder not in set(Decoder)


def checked_realism(realism: float) -> float:
    """A realism that is one.

    Raises
    ------
    ModelError
        It is no number from 0 to 1.
    """
    if not 0 <= realism <= 1:  # nor is NaN
        raise ModelError(f"realism {realism:g}; allowed is a number from 0 (fidelity) to 1 (perceptual)")
    return float(realism)


def realism_of(decoder: Decoder | str | Path = "", realism: float | None = None) -> float | None:
    """The realism that a decoder's name and a number ask for together.

    Parameters
    ----------
    decoder : Decoder, str or Path
        `fidelity`, which is realism 0, `perceptual`, which is realism 1, or a decoder's file, which has none of its
        own; empty: left open.
    realism : float, optional
        0 … 1; None: left open.

    Returns
    -------
    float or None
        0 … 1; None where both leave it open.

    Raises
    ------
    ModelError
        The number is not from 0 to 1, or the name says another.
    """
    named = _REALISM.get(decoder)  # type: ignore[call-overload]  # a file is no key
    if realism is None:
        return named
    realism = checked_realism(realism)
    if named is not None and named != realism:
        raise ModelError(f"decoder {decoder} is realism {named:g}, not {realism:g}: give one of the two")
    return realism


def decoder_of(realism: float | None) -> str:
    """The name of the decoder of a realism; empty for one in between, and for None."""
    return _NAMES.get(realism, "")  # type: ignore[call-overload]  # None is no key
