"""Options of streams: a bit rate, where somebody looks, and pictures in their own time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from panolink.errors import RateError

if TYPE_CHECKING:
    from panolink.sphere.focus import Focus

DEFAULT_FPS = 10.0
"""pictures a second of a bit rate's live stream, and of one whose source does not say how many it has"""

FOLLOW_GAZE = "auto"
"""instead of a direction: wherever viewers look"""

_MOST_BITS_PER_SECOND = 1e10


def bits_per_second(text: str) -> float:
    """A bit rate.

    Parameters
    ----------
    text
        `2M`, `500k`, `1.5Mbit/s` or plain bits a second; above 0, ten gigabits at most.

    Raises
    ------
    typer.BadParameter
        For any other text.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([kKMG]?)(?:bit/s|bps)?\s*", text)
    value = float(match[1]) * {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[match[2]] if match else 0.0
    if not 0 < value <= _MOST_BITS_PER_SECOND:
        raise typer.BadParameter(f"{text!r} is no bit rate above 0 up to 10G, such as 2M or 500k")
    return value


def parse_foci(texts: Sequence[str], *, option: str = "--focus") -> tuple[tuple[Focus, ...], bool]:
    """Directions, and whether viewers' gazes are followed: `yaw,pitch`, `yaw,pitch,width` or `auto`.

    Raises
    ------
    typer.BadParameter
        For any other text; names the option.
    """
    from panolink.sphere.focus import Focus, quantized

    try:
        foci = [Focus.parse(text) for text in texts if text != FOLLOW_GAZE]
        quantized(foci)  # not too many
    except RateError as error:
        raise typer.BadParameter(str(error), param_hint=f"'{option}'") from None
    return tuple(foci), FOLLOW_GAZE in texts


@dataclass(frozen=True)
class Streaming:
    """How the pictures of a `send` are sent as a stream.

    Attributes
    ----------
    predicted : bool
        Each is predicted from what the receiver holds.
    live : bool
        Videos in their own time; what comes too late is left out.
    fps : float | None
        Pictures a second at most; None: all of them.
    options : dict[str, Any]
        Of `panolink.Client.send`.
    """

    predicted: bool
    live: bool
    fps: float | None
    options: dict[str, Any]

    @classmethod
    def of(
        cls,
        *,
        stream: bool,
        bitrate: float | None,
        fps: float | None,
        live: bool | None,
        focus: Sequence[str],
        every: int = 1,
        source_fps: float | None = None,
    ) -> Streaming:
        """From the options of the command line; ``source_fps``: pictures a second of the source, where it is known.

        Raises
        ------
        typer.BadParameter
            Gazes are to be followed by pictures that are no stream, or a focus is none.
        """
        foci, follow = parse_foci(focus)
        predicted = stream or bitrate is not None
        if follow and not predicted:
            raise typer.BadParameter("auto is for streams: give --bitrate or --stream, too", param_hint="'--focus'")
        live = bitrate is not None if live is None else live
        if bitrate is not None and fps is None and live:
            fps = DEFAULT_FPS
        given = [one for one in (fps, source_fps) if one]
        rate = min(given) / every if given else None
        options: dict[str, Any] = {"focus": foci}
        if predicted:
            options |= {"stream": "send", "follow_gaze": follow, "frame_rate": rate if live and rate else 0.0}
        if bitrate is not None:
            options["mean_bits"] = bitrate / (rate or DEFAULT_FPS)
        return cls(predicted, live, fps, options)
