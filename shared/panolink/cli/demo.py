"""`demo`: the whole link on this machine, once: a table, and pictures to look at."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from panolink.cli.options import Bpp, Json, Tau, check_rate, err, out, print_error, print_json
from panolink.cli.process_group import Ports, Services, SignalledError, environments
from panolink.cli.report import Result, failure_line, print_table
from panolink.cli.transfer import connected, deliveries
from panolink.cli.up import check_viewer, viewer_url
from panolink.errors import PanolinkError
from panolink.filenames import file_stem
from panolink.phy.channel.channel_models import ChannelModel

if TYPE_CHECKING:
    from panolink.client import Delivery


def demo(
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE|FOLDER]…", help="Panoramas; the project's samples if empty.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the pictures go.")] = Path("out"),
    bpp: Bpp = None,
    tau: Tau = None,
    model: Annotated[str | None, typer.Option(help="Shipped model, or a .safetensors file (base by default).")] = None,
    fading: Annotated[ChannelModel, typer.Option(help="Kind of channel.")] = ChannelModel.RAYLEIGH,
    snr: Annotated[float, typer.Option(help="Mean Es/N0 in dB.")] = 10.0,
    seed: Annotated[int | None, typer.Option(min=0, help="The same fading and noise every time.")] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Show what arrives on a web page, live, and stay up until Ctrl-C.")
    ] = False,
    json: Json = False,
) -> None:
    """Start the three services here, send panoramas through a fading channel, show what comes out, and stop them.

    Example: [bold]panolink demo --out out/[/bold]
    """
    check_rate(bpp, tau)
    if view:
        check_viewer()
    sources = sources or [_samples()]
    folder.mkdir(parents=True, exist_ok=True)
    settings = environments(
        "127.0.0.1",
        ports := Ports.free(viewer=view),
        shared={"models": model},
        channel={"model": fading, "snr_db": snr, "seed": seed},
    )
    rate = {"bpp": bpp, "tau": tau}
    kind = fading.upper() if fading is ChannelModel.AWGN or fading.is_tapped_delay_line else fading.title()
    title = f"{kind} channel" if fading is ChannelModel.IDEAL else f"{kind} channel, {snr:g} dB"

    async def run() -> None:
        async with Services(settings) as services:
            with _progress(quiet=json) as progress:
                waiting = progress.add_task("starting transmitter, channel and receiver", total=None)
                ready = await services.supervise(services.ready())
                progress.update(waiting, total=1, completed=1, description="transmitter, channel and receiver serve")
                if view:
                    err.print(f"look around at {viewer_url(ready['viewer'])}", style="bold", markup=False)
                results.extend(
                    await services.supervise(
                        _send(f"127.0.0.1:{ports.transmitter}", sources, rate, folder, title, progress, json)
                    )
                )
            if not json and any(result.delivered for result in results):
                print_table(results, title=title)
                said = f"received panoramas, comparisons and contact_sheet.png are in {folder}/"
                out.print(said, markup=False, soft_wrap=True)
            if view:
                err.print(f"look around at {viewer_url(ready['viewer'])}; Ctrl-C ends it", style="bold", markup=False)
                await services.supervise(asyncio.sleep(float("inf")))

    results: list[Result] = []
    try:
        asyncio.run(run())
    except SignalledError:
        if not (view and results):
            raise PanolinkError("demo: interrupted; the services have been stopped") from None
    raise typer.Exit(0 if all(result.delivered for result in results) else 1)


async def _send(
    target: str,
    sources: list[Path],
    rate: dict[str, float | None],
    folder: Path,
    title: str,
    progress: Progress,
    json: bool,
) -> list[Result]:
    """Send all, write the pictures of those that arrive; results in the order of the sources."""
    from panolink.cli.contact_sheet import Comparison, contact_sheet, side_by_side
    from panolink.images import save_image

    options = {**rate, "model": "", "picture": True, "activation": True, "allow_any_aspect": False}
    results: list[Result] = []
    pictures: dict[str, Comparison] = {}
    task = progress.add_task("sending", total=_count(sources))
    # One at a time: the times of stages are then those of one panorama that has the machine to itself.
    async with connected(target, in_flight=1) as link:
        async for result, sent in deliveries(link, sources, options, folder):
            results.append(result)
            if json:
                print_json(result.as_dict())
            if not result.delivered:
                print_error(failure_line(result))
            delivery = result.delivery
            if delivery and sent is not None and delivery.picture is not None and delivery.activation is not None:
                stem = file_stem(result.source)
                comparison = Comparison(stem, sent, delivery.picture, delivery.activation, _caption(result, delivery))
                pictures[result.id] = comparison
                picture = await asyncio.to_thread(side_by_side, comparison)
                await asyncio.to_thread(save_image, picture, folder / f"{stem}_side_by_side.png")
            progress.update(task, advance=1, description=f"sent {Path(result.source).name}")
    if pictures:
        ordered = [pictures[number] for number in sorted(pictures, key=int)]
        await asyncio.to_thread(save_image, contact_sheet(ordered, title=title), folder / "contact_sheet.png")
    return sorted(results, key=lambda result: int(result.id))


def _caption(result: Result, delivery: Delivery) -> str:
    parts = [f"{delivery.bpp:.3f} bpp", f"{result.vpsnr_db:.1f} dB VPSNR", f"{result.vssim:.3f} VSSIM"]
    if delivery.segments.lost:
        parts.append(f"{delivery.segments.lost}/{delivery.segments.sent} segments lost")
    return "   ".join(parts)


def _progress(*, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, disable=quiet)


def _samples() -> Path:
    """The folder of samples: of the working directory, else of the checkout, else the three in the package."""
    package = Path(__file__).parents[1]
    folders = (Path("samples"), package.parents[1] / "samples", package / "samples")
    return next(folder for folder in folders if any(folder.glob("*.webp")))


def _count(sources: list[Path]) -> int:
    from panolink.images import IMAGE_SUFFIXES

    pictures = [path for folder in sources if folder.is_dir() for path in folder.iterdir()]
    return sum(path.suffix.lower() in IMAGE_SUFFIXES for path in pictures) + sum(not path.is_dir() for path in sources)
