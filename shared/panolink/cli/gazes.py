"""Where a viewer without eyes looks: one direction, or a file of them."""

from __future__ import annotations

import asyncio
import csv
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panolink.errors import PanolinkError, RateError

if TYPE_CHECKING:
    from panolink.sphere.focus import Focus

TimedGaze = tuple[float, "Focus"]
"""seconds, and the direction from then on"""

_AGAIN_SECONDS = 1.0
"""after which a gaze that does not change is told again: it is forgotten otherwise"""


def read_gazes(text: str) -> list[TimedGaze]:
    """A direction, `yaw,pitch` or `yaw,pitch,width`, or a CSV file with columns `seconds,yaw,pitch[,width]`.

    Raises
    ------
    typer.BadParameter
        It is neither.
    PanolinkError
        The file cannot be read, or has a line that makes no sense; names it.
    """
    from panolink.sphere.focus import DEFAULT_WIDTH, Focus

    if not text.lower().endswith(".csv"):
        try:
            return [(0.0, Focus.parse(text))]
        except RateError as error:
            raise typer.BadParameter(f"{error}; or a file called ….csv", param_hint="'--gaze'") from None
    gazes: list[TimedGaze] = []
    try:
        with Path(text).open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    values = {name.strip(): float(row[name]) for name in row if name and row[name]}
                    focus = Focus(values["yaw"], values["pitch"], values.get("width", DEFAULT_WIDTH))
                    if not math.isfinite(values["seconds"]) or (gazes and values["seconds"] < gazes[-1][0]):
                        raise RateError(f"seconds are {values['seconds']}; they must not go back")
                except (ValueError, TypeError) as error:
                    raise PanolinkError(f"{text}, line {number}: {error}") from None
                except KeyError as error:
                    raise PanolinkError(f"{text}, line {number}: no {error}; columns are seconds,yaw,pitch") from None
                gazes.append((values["seconds"], focus))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PanolinkError(f"{text}: {getattr(error, 'strerror', None) or error}") from None
    if not gazes:
        raise PanolinkError(f"{text}: no gaze in it; columns are seconds,yaw,pitch")
    return gazes


async def follow(gazes: Sequence[TimedGaze]) -> AsyncIterator[Focus]:
    """Directions when it is time for them, each told again every second; after the last one from the beginning."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time() - gazes[0][0]
        for number, (_, gaze) in enumerate(gazes):
            until = gazes[number + 1][0] if number + 1 < len(gazes) else gazes[-1][0] + _AGAIN_SECONDS
            while True:
                yield gaze
                await asyncio.sleep(min(max(began + until - loop.time(), 0.0), _AGAIN_SECONDS))
                if loop.time() >= began + until:
                    break
