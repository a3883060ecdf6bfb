"""`send`: panoramas over a running link."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from panolink.cli.options import (
    DEFAULT_TO,
    AnyAspect,
    Bpp,
    Json,
    LensDegrees,
    Overwrite,
    PictureFormatName,
    ProjectionName,
    Tau,
    To,
    check_rate,
    err,
    out,
    print_error,
    print_json,
    seconds,
)
from panolink.cli.report import Tally, delivery_line, failure_line
from panolink.cli.streaming import Streaming, bits_per_second
from panolink.cli.transfer import Transfer, connected
from panolink.files import make_folder
from panolink.sphere.metadata import LENS_DEGREES, Projection


def send(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|FOLDER|VIDEO|URL…",
            help="Panoramas to send: pictures, videos, folders, rtsp://… and the like, /dev/video0, - for a pipe.",
        ),
    ],
    to: To = DEFAULT_TO,
    bpp: Bpp = None,
    tau: Tau = None,
    symbols_per_pixel: Annotated[
        float | None,
        typer.Option(min=0.0, help="Instead: channel uses per pixel, pilots included, not to be exceeded."),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="SECONDS|…ms", help="How long a panorama may be on the air: 0.2, 200ms."),
    ] = None,
    adaptive: Annotated[
        bool,
        typer.Option("--adaptive", help="Let modulation, code rates and share of the features follow the channel."),
    ] = False,
    harq: Annotated[
        int | None,
        typer.Option(min=0, max=3, help="Rounds in which lost segments are sent again; the transmitter's where unset."),
    ] = None,
    analogue: Annotated[
        bool | None,
        typer.Option(
            "--analogue/--digital", help="Send features as amplitudes, without a code; the transmitter's where unset."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="One of the transmitter's models; its first where empty.")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", help="Folders with all folders below them.")] = False,
    fps: Annotated[
        float | None, typer.Option(min=0.001, help="Of videos and live input: at most so many frames a second.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Ditto: the first of every so many frames.")] = 1,
    start: Annotated[float, typer.Option(min=0.0, help="Ditto: begin after so many seconds.")] = 0.0,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Ditto: end after so many seconds more.")] = None,
    projection: ProjectionName = Projection.AUTO,
    lens_degrees: LensDegrees = LENS_DEGREES,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the received panoramas there, as PNG.")
    ] = None,
    picture: Annotated[
        bool | None,
        typer.Option(
            "--picture/--no-picture",
            help="Whether received pictures come back, and are compared with those sent; where unset, not of streams.",
        ),
    ] = None,
    picture_format: PictureFormatName = None,
    bitrate: Annotated[
        float | None,
        typer.Option(
            parser=bits_per_second,
            metavar="2M|500k",
            help="Instead: as a stream of so many bits a second in the mean, live, ten pictures a second unless --fps.",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="As a stream: of each picture, what has changed since the ones before.")
    ] = False,
    focus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="YAW,PITCH[,WIDTH]|auto",
            help="Where somebody looks, in degrees, up to four times: the bits go there. auto: where viewers look.",
        ),
    ] = None,
    live: Annotated[
        bool | None,
        typer.Option(
            "--live/--no-live",
            help="Videos in their own time, leaving out what comes too late, or every frame; live with --bitrate.",
        ),
    ] = None,
    any_aspect: AnyAspect = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Send panoramas over the link and tell what became of each.

    Example: [bold]panolink send holiday/ street.jpg --bpp 0.1 --out received/[/bold]

    A line for each as it is answered, then a table; the last line counts what was delivered, lost on the way, not sent
    (unreadable, or refused), and not written (to --out). Exit code 1 when any of them was not delivered, 130 after
    Ctrl-C. Frames of a video are called clip.mp4#0001, clip.mp4#0002 … Pictures and videos are known by their content,
    whatever they are called.

    With --adaptive a panorama takes --symbols-per-pixel (0.1 unless the transmitter is set otherwise), or what fits the
    --deadline, whatever the channel is like; without it the same budgets are filled with the usual protection. What is
    sent again with --harq counts in the budget.

    A stream of a camera or a video, for viewers: [bold]panolink send walk.mp4 --bitrate 1M --focus auto[/bold]
    Of each picture goes what has changed, and what is left of the bits makes sharper what has not; rates other than
    --bitrate do as well, with --stream. What comes too late is left out and counted.
    """
    check_rate(bpp, tau, symbols_per_pixel, bitrate)
    source_fps = _frame_rate(sources) if bitrate is not None else None
    streaming = Streaming.of(
        stream=stream, bitrate=bitrate, fps=fps, live=live, focus=focus or (), every=every, source_fps=source_fps
    )
    if streaming.predicted and tau is not None:
        raise typer.BadParameter("a stream takes --bitrate, --bpp or --symbols-per-pixel", param_hint="'--tau'")
    if adaptive and not bpp == tau == bitrate:  # None, all of them
        raise typer.BadParameter(
            "takes --symbols-per-pixel or --deadline, not --bpp, --tau or --bitrate", param_hint="'--adaptive'"
        )
    if out_folder:
        if picture is False:
            raise typer.BadParameter("needs the received pictures: leave out --no-picture", param_hint="'--out'")
        make_folder(out_folder)

    from panolink.images import Reading
    from panolink.images.video import FrameSelection

    options = {
        "bpp": bpp,
        "tau": tau,
        "symbols_per_pixel": symbols_per_pixel,
        "deadline": deadline,
        "adaptive": adaptive,
        "harq": harq,
        "analogue": analogue,
        "model": model,
        "picture": not streaming.predicted or bool(out_folder) if picture is None else picture,
        "picture_format": picture_format,
        "allow_any_aspect": any_aspect,
        **streaming.options,
    }
    selection = FrameSelection(streaming.fps, every, start, duration)
    reading = Reading(recursive, selection, projection, lens_degrees, allow_any_aspect=any_aspect, live=streaming.live)
    transfer, tally = Transfer(options, reading, out_folder, overwrite), Tally()
    try:
        asyncio.run(_send(sources, to, transfer, tally, json, streaming.predicted))
    except KeyboardInterrupt:
        under_way = transfer.under_way
        print_error(
            f"interrupted: {tally.delivered} delivered, {len(under_way)} under way"
            + (f" ({', '.join(under_way)}), of which some may arrive" if under_way else "")
        )
        raise typer.Exit(130) from None
    tally.skipped = transfer.skipped
    if not json and tally.delivered:
        tally.print_table()
    if tally.count > 1:
        (err if json else out).print(tally.accounting(), markup=False, soft_wrap=True)
    raise typer.Exit(0 if tally.delivered == tally.count else 1)


def _frame_rate(sources: Sequence[str]) -> float | None:
    """Pictures a second of the first source, where that is a video that says so."""
    if not sources or not Path(sources[0]).is_file():
        return None
    from panolink.images.video import frame_rate

    return frame_rate(Path(sources[0]))


async def _send(sources: Sequence[str], to: str, transfer: Transfer, tally: Tally, json: bool, predicted: bool) -> None:
    # Of a stream, one is encoded, one on the air and one decoded: more would only be late.
    async with connected(to, in_flight=3 if predicted else 4) as link:
        with err.status("sending …") as status:
            async for result, _ in transfer.send(link, sources):
                status.stop()  # lines tell from here on
                tally.add(result)
                if json:
                    print_json(result.as_dict())
                elif result.delivered:
                    out.print(delivery_line(result), markup=False, soft_wrap=True)
                if not result.delivered:
                    print_error(failure_line(result))
