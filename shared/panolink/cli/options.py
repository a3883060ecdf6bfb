"""What the commands share: options, output, addresses, errors that name their file."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from panolink.errors import ModelError, PanolinkError
from panolink.picture_format import PictureFormat
from panolink.rpc.text import visible
from panolink.sphere.metadata import LEAST_LENS_DEGREES, MOST_LENS_DEGREES, Projection


class VisibleConsole(Console):
    """A console that shows control and format characters instead of obeying them, for names may be strangers'."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else "\n".join(map(visible, text.split("\n"))), style, control)


out = VisibleConsole(highlight=False)
err = VisibleConsole(stderr=True, highlight=False)

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]/]+):(\d{1,5})")


def is_address(text: str) -> bool:
    """Whether a text is `host:port`."""
    match = ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[2]) <= 65535


def _address(text: str) -> str:
    if not is_address(text):
        raise typer.BadParameter(f"{text!r} is not host:port, such as 127.0.0.1:50051")
    return text


Json: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object a line, and nothing else, on stdout.")]
Bpp: TypeAlias = Annotated[
    float | None, typer.Option(min=0.0, help="Bits per pixel, all of them counted, met from below.")
]
Tau: TypeAlias = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, help="Instead: share of the tokens whose features are sent too.")
]
PictureFormatName: TypeAlias = Annotated[
    PictureFormat | None,
    typer.Option(help="How pictures travel: rgb8 (raw, for hosts side by side), png, webp (smallest), jpeg (lossy)."),
]
DecoderName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--decoder", help="fidelity (least squared error; the default), perceptual (sharper looks), or a file of one."
    ),
]
Realism: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--realism",
        metavar="0…1",
        help="In place of --decoder: 0 is fidelity, 1 perceptual, or the file's, and what is between them.",
    ),
]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist; otherwise they are left, and new ones numbered.")
]
OverwriteOne: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file if it exists; otherwise that is an error.")
]
AnyAspect: TypeAlias = Annotated[bool, typer.Option("--any-aspect", help="Take pictures that are not 2:1, too.")]
ProjectionName: TypeAlias = Annotated[
    Projection, typer.Option("--projection", help="How pixels lie on the sphere; auto: as the file says.")
]
LensDegrees: TypeAlias = Annotated[
    float,
    typer.Option(
        "--lens-degrees",
        min=LEAST_LENS_DEGREES,
        max=MOST_LENS_DEGREES,
        help="Field of view of each lens, with --projection dfisheye.",
    ),
]
Address: TypeAlias = Annotated[str, typer.Argument(metavar="HOST:PORT", callback=_address)]
DEFAULT_TO = "127.0.0.1:50051"
To: TypeAlias = Annotated[
    str, typer.Option("--to", metavar="HOST:PORT", callback=_address, help="Where a transmitter listens.")
]


def check_rate(
    bpp: float | None, tau: float | None, symbols_per_pixel: float | None = None, bitrate: float | None = None
) -> None:
    """Check that at most one rate is given, and that it is not zero (τ = 0, the base layer alone, is allowed).

    Parameters
    ----------
    bpp
        Bits per pixel, above 0.
    tau
        Share of the tokens whose features are sent, 0 … 1.
    symbols_per_pixel
        Channel uses per pixel, above 0.
    bitrate
        Bits a second of a stream, above 0.

    Raises
    ------
    typer.BadParameter
        A usage error: exit code 2.
    """
    rates = {"--bpp": bpp, "--tau": tau, "--symbols-per-pixel": symbols_per_pixel, "--bitrate": bitrate}
    given = [option for option, value in rates.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter("give one of them", param_hint=" / ".join(f"'{option}'" for option in given))
    if given and given != ["--tau"] and rates[given[0]] == 0:
        raise typer.BadParameter("has to be more than 0", param_hint=f"'{given[0]}'")


def check_realism(decoder: str, realism: float | None, *, allow_file: bool = True) -> float | None:
    """The realism that options ask for, see `panolink.codec.realism.realism_of`.

    Parameters
    ----------
    decoder
        A name, or a file of a decoder; empty: left open.
    realism
        0 … 1; None: left open.
    allow_file
        Whether the decoder is the caller's to choose, who may have a file of one.

    Raises
    ------
    typer.BadParameter
        It is none, or the decoder that is named is of another one. A usage error: exit code 2.
    """
    from panolink.codec.realism import Decoder, is_file, realism_of

    if is_file(decoder) and not allow_file:
        raise typer.BadParameter(f"{decoder!r}; allowed: {', '.join(Decoder)}", param_hint="'--decoder'")
    try:
        return realism_of(decoder, realism)
    except ModelError as error:
        options = ["--decoder", "--realism"] if decoder else ["--realism"]
        raise typer.BadParameter(str(error), param_hint=" / ".join(f"'{option}'" for option in options)) from None


def seconds(text: str) -> float:
    """A duration in seconds.

    Parameters
    ----------
    text
        `0.2`, `0.2s` or `200ms`; above 0, an hour at most.

    Raises
    ------
    typer.BadParameter
        For any other text.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(ms|s)?\s*", text)
    value = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not 0 < value <= 3600:
        raise typer.BadParameter(f"{text!r} is no duration above 0 up to an hour, such as 0.2, 0.2s or 200ms")
    return value


def print_json(values: Mapping[str, Any], *, console: Console | None = None) -> None:
    """Print one object on one line, at once, in ASCII, so that any locale can have it.

    Parameters
    ----------
    values : mapping
        What `json.dumps` takes.
    console : Console, optional
        Where to; None: standard output.
    """
    stream = (console or out).file
    stream.write(json.dumps(values) + "\n")
    stream.flush()


def print_note(note: str) -> None:
    """One line on standard error that is no error: `panolink: note: …`."""
    print_error(f"note: {note}")


def print_error(error: object) -> None:
    """One line on standard error: `panolink: …`."""
    sys.stderr.write("panolink: " + visible(" ".join(str(error).split())) + "\n")
    sys.stderr.flush()


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values, one below the other.

    Parameters
    ----------
    pairs : mapping
        Values by name.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    for name, value in pairs.items():
        grid.add_row(name, Text(str(value)))
    out.print(grid)


@contextmanager
def about(name: object) -> Iterator[None]:
    """Put a file's name in front of the message of a `PanolinkError` that does not contain it."""
    try:
        yield
    except PanolinkError as error:
        if str(name) in str(error):
            raise
        raise type(error)(f"{name}: {error}") from error


def wants_traceback() -> bool:
    return os.environ.get("PANOLINK_DEBUG", "") not in ("", "0")
