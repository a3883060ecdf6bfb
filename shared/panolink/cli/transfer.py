"""`send` and `watch`: the user's side of running services."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panolink.cli.options import (
    DEFAULT_TO,
    Address,
    AnyAspect,
    Bpp,
    Json,
    Overwrite,
    Tau,
    To,
    check_rate,
    err,
    out,
    print_error,
    print_json,
    print_note,
    seconds,
)
from panolink.cli.report import Result, accounting, failure_line, judge, print_table
from panolink.errors import LinkError
from panolink.filenames import file_stem
from panolink.files import write_numbered

if TYPE_CHECKING:
    import numpy as np

    from panolink.client import Client

CONNECT_SECONDS = 5.0


@asynccontextmanager
async def connected(target: str, *, in_flight: int = 4) -> AsyncIterator[Client]:
    """A connected client of a running service, for the duration of the context.

    Parameters
    ----------
    target : str
        `host:port`.
    in_flight : int
        Panoramas on their way at a time, at most.

    Raises
    ------
    LinkError
        Nothing answers there; tells how to start a link.
    """
    from panolink.client import Client

    client = Client(target, connect_timeout=CONNECT_SECONDS, in_flight=in_flight)
    try:
        await client.__aenter__()
    except LinkError:
        raise LinkError(
            f"nothing answers at {target} (waited {CONNECT_SECONDS:g} s); start it with: panolink up"
        ) from None
    try:
        yield client
    finally:
        await client.__aexit__(None, None, None)


# ── send ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def send(
    sources: Annotated[list[Path], typer.Argument(metavar="FILE|FOLDER|VIDEO…", help="Panoramas to send.")],
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
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the received panoramas there, as PNG.")
    ] = None,
    picture: Annotated[
        bool, typer.Option(help="Whether the received picture comes back, and is compared with what was sent.")
    ] = True,
    any_aspect: AnyAspect = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Send panoramas over the link and tell what became of each.

    Example: [bold]panolink send holiday/ street.jpg --to 127.0.0.1:50051 --bpp 0.1 --out received/[/bold]

    The last line counts what was delivered, lost on the way, and not sent (unreadable, or refused). Exit code 1 when
    any of them was not delivered. Frames of a video are called clip.mp4#0001, clip.mp4#0002 …

    With --adaptive a panorama takes --symbols-per-pixel (0.1 unless the transmitter is set otherwise), or what fits the
    --deadline, whatever the channel is like; without it the same budgets are filled with the usual protection. What is
    sent again with --harq counts in the budget.
    """
    check_rate(bpp, tau, symbols_per_pixel)
    if adaptive and (bpp is not None or tau is not None):
        raise typer.BadParameter(
            "takes --symbols-per-pixel or --deadline, not --bpp or --tau", param_hint="'--adaptive'"
        )
    if out_folder:
        if not picture:
            raise typer.BadParameter("needs the received pictures: leave out --no-picture", param_hint="'--out'")
        out_folder.mkdir(parents=True, exist_ok=True)
    options = {
        "bpp": bpp,
        "tau": tau,
        "symbols_per_pixel": symbols_per_pixel,
        "deadline": deadline,
        "adaptive": adaptive,
        "harq": harq,
        "analogue": analogue,
        "model": model,
        "picture": picture,
        "allow_any_aspect": any_aspect,
    }
    results = asyncio.run(_send(sources, to, options, out_folder, json, overwrite))
    if not json and any(result.delivered for result in results):
        print_table(results)
    if len(results) > 1:
        (err if json else out).print(accounting(results), markup=False)
    raise typer.Exit(0 if all(result.delivered for result in results) else 1)


async def _send(
    sources: Sequence[Path], to: str, options: dict[str, Any], folder: Path | None, json: bool, overwrite: bool
) -> list[Result]:
    results: list[Result] = []
    async with connected(to) as link:
        with err.status("sending …") as status:
            async for result, _ in deliveries(link, sources, options, folder, overwrite=overwrite):
                if result.delivery:  # the pictures of a long video would not fit into memory
                    result = replace(result, delivery=replace(result.delivery, picture=None))
                results.append(result)
                status.update(f"sending … {len(results)} answered")
                if json:
                    print_json(result.as_dict())
                if not result.delivered:
                    print_error(failure_line(result))
    return results


async def deliveries(
    link: Client,
    sources: Sequence[Path],
    options: dict[str, Any],
    folder: Path | None = None,
    *,
    overwrite: bool = False,
) -> AsyncIterator[tuple[Result, np.ndarray | None]]:
    """Send all panoramas of files, folders and videos. Those on their way, at most a handful, are held in memory.

    Parameters
    ----------
    link : Client
    sources : sequence of Path
        Files, folders and videos.
    options : mapping
        Of `Client.send`.
    folder : Path, optional
        Where received pictures are written as PNG; None: nowhere.
    overwrite : bool
        Replace files that exist; otherwise new ones are numbered.

    Returns
    -------
    async iterator of (Result, uint8 (H, W, 3) or None)
        Each panorama's result, and the picture as it was sent. Panoramas that cannot be read are results too,
        without a picture.
    """
    from panolink.images import Failure, Panorama, encode_png, is_sphere, panoramas_in

    under_way: dict[str, tuple[str, Panorama]] = {}  # by the client's number
    unread: deque[Result] = deque()

    def outgoing() -> Iterator[tuple[str, Any]]:
        found = panoramas_in(sources, allow_any_aspect=options["allow_any_aspect"])
        sent = 0
        for number, item in enumerate(found, start=1):
            if isinstance(item, Failure):
                unread.append(Result(id=str(number), source=item.name, error=str(item.error)))
                continue
            for note in item.notes:
                print_note(f"{item.name}: {note}")
            sent += 1
            under_way[str(sent)] = (str(number), item)
            yield item.name, item.file.read_bytes() if item.file else item.array

    async for delivery in link.send(outgoing(), **options):
        while unread:
            yield unread.popleft(), None
        number, panorama = under_way.pop(delivery.id)
        path = unwritten = None
        if folder and delivery.picture is not None:
            target = folder / f"{file_stem(panorama.name)}_received.png"
            shape = delivery.picture.shape
            sphere = delivery.sphere if is_sphere(shape[1], shape[0]) else None
            png = await asyncio.to_thread(encode_png, delivery.picture, sphere=sphere)
            try:
                path = await asyncio.to_thread(write_numbered, target, png, overwrite=overwrite)
            except OSError as error:  # one picture that cannot be written; the rest goes on
                unwritten = f"{error.filename}: {error.strerror}"
        judged = await asyncio.to_thread(judge, number, panorama.name, delivery, panorama.array)
        judged = replace(judged, path=path, error=judged.error or unwritten)
        yield judged, panorama.array
    while unread:
        yield unread.popleft(), None


# ── watch ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def watch(
    target: Address,
    folder: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Write the panoramas there, as PNG.")],
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: go on until Ctrl-C.")] = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write every panorama that a receiver receives from now on into a folder.

    Example: [bold]panolink watch 127.0.0.1:50053 --out received/[/bold]
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen = unwritten = 0

    async def watching() -> None:
        nonlocal seen, unwritten
        async with connected(target) as link:
            if not json:
                err.print(f"watching {target}; Ctrl-C ends", markup=False)
            async for panorama in link.watch(count=count):
                path = folder / f"{panorama.number:04d}_{file_stem(panorama.source)}.png"
                try:
                    path = await asyncio.to_thread(write_numbered, path, panorama.png, overwrite=overwrite)
                except OSError as error:  # one picture that cannot be written; the rest goes on
                    print_error(f"{error.filename}: {error.strerror}")
                    unwritten += 1
                    continue
                seen += 1
                if json:
                    print_json(_json_values(panorama, path))
                else:
                    lost = f"{panorama.segments.lost} of {panorama.segments.sent} segments lost"
                    missed = f", {panorama.dropped} missed" if panorama.dropped else ""
                    out.print(
                        f"{path}: {panorama.width}×{panorama.height}, {_decibels(panorama.snr_db)}, {lost}{missed}",
                        markup=False,
                        soft_wrap=True,
                    )

    try:
        asyncio.run(watching())
    except KeyboardInterrupt:  # the usual end
        if count:
            raise
        return
    if unwritten:
        raise LinkError(f"{unwritten} of {seen + unwritten} panoramas could not be written")
    if count and seen < count:
        raise LinkError(f"{target}: ended after {seen} of {count} panoramas")


def _json_values(panorama: Any, path: Path) -> dict[str, Any]:
    return {
        "number": panorama.number,
        "source": panorama.source,
        "path": str(path),
        "width": panorama.width,
        "height": panorama.height,
        "fingerprint": panorama.fingerprint,
        "snr_db": panorama.snr_db,
        "segments": {"sent": panorama.segments.sent, "lost": panorama.segments.lost},
        "guessed": panorama.guessed,
        "dropped": panorama.dropped,
        "rounds": panorama.rounds,
    }


def _decibels(value: float | None) -> str:
    return "no noise" if value is None else f"{value:g} dB"
