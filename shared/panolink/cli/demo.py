"""`demo`: the whole link on this machine, once: a table, and pictures to look at."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from panolink.cli.options import Bpp, Json, Overwrite, Tau, check_rate, err, out, print_error, print_json
from panolink.cli.process_group import Ports, Services, SignalledError, environments
from panolink.cli.report import Result, Tally, failure_line
from panolink.cli.transfer import Transfer, connected
from panolink.cli.up import check_viewer, viewer_url
from panolink.errors import PanolinkError
from panolink.filenames import file_stem
from panolink.files import NamesInOrder, write_numbered
from panolink.phy.channel.channel_models import ChannelModel

if TYPE_CHECKING:
    import numpy as np

    from panolink.cli.contact_sheet import Comparison
    from panolink.client import Delivery

_ON_SHEET = 24  # panoramas of the contact sheet, which holds them in memory


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
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Start the three services here, send panoramas through a fading channel, show what comes out, and stop them.

    Example: [bold]panolink demo --out out/[/bold]
    """
    check_rate(bpp, tau)
    if view:
        check_viewer()
    sources = sources or [samples()]
    folder.mkdir(parents=True, exist_ok=True)
    settings = environments(
        "127.0.0.1",
        ports := Ports.free(viewer=view),
        shared={"models": model},
        channel={"model": fading, "snr_db": snr, "seed": seed},
    )
    kind = fading.upper() if fading is ChannelModel.AWGN or fading.is_tapped_delay_line else fading.title()
    title = f"{kind} channel" if fading is ChannelModel.IDEAL else f"{kind} channel, {snr:g} dB"

    showing = _Showing(folder, title, overwrite, json)

    async def run() -> None:
        async with Services(settings) as services:
            with _progress(quiet=json) as progress:
                waiting = progress.add_task("starting transmitter, channel and receiver", total=None)
                ready = await services.supervise(services.ready())
                progress.update(waiting, total=1, completed=1, description="transmitter, channel and receiver serve")
                if view:
                    err.print(f"look around at {viewer_url(ready['viewer'])}", style="bold", markup=False)
                await services.supervise(
                    showing.send(f"127.0.0.1:{ports.transmitter}", sources, {"bpp": bpp, "tau": tau}, progress)
                )
            if not json and showing.tally.delivered:
                showing.tally.print_table(title=title)
                said = f"received panoramas, comparisons and {showing.sheet} are in {folder}/"
                out.print(said, markup=False, soft_wrap=True)
            if view:
                live = f"{viewer_url(ready['viewer'])}/#stream"
                err.print(f"look around in a live stream at {live}; Ctrl-C ends it", style="bold", markup=False)
                await services.supervise(asyncio.sleep(float("inf")))

    try:
        asyncio.run(run())
    except SignalledError:
        if not (view and showing.tally.count):
            raise PanolinkError("demo: interrupted; the services have been stopped") from None
    raise typer.Exit(0 if showing.tally.delivered == showing.tally.count else 1)


class _Showing:
    """Sends panoramas, and writes the pictures of those that arrive.

    Attributes
    ----------
    tally
        What became of them.
    sheet
        Name of the contact sheet, which has the first `_ON_SHEET`.
    """

    def __init__(self, folder: Path, title: str, overwrite: bool, json: bool) -> None:
        self.tally = Tally()
        self.sheet = "contact_sheet.png"
        self._folder = folder
        self._title = title
        self._overwrite = overwrite
        self._names = NamesInOrder(overwrite=overwrite)
        self._json = json
        self._shown: list[Comparison] = []

    async def send(self, target: str, sources: list[Path], rate: dict[str, float | None], progress: Progress) -> None:
        """Send all, and write pictures and the contact sheet."""
        from panolink.cli.contact_sheet import contact_sheet
        from panolink.images import Reading, encode_png

        options = {**rate, "model": "", "picture": True, "activation": True}
        transfer = Transfer(options, Reading(), self._folder, self._overwrite)
        task = progress.add_task("sending", total=_count(sources))
        # One at a time: the times of stages are then those of one panorama that has the machine to itself.
        async with connected(target, in_flight=1) as link:
            async for result, sent in transfer.send(link, sources):
                self.tally.add(result)
                if self._json:
                    print_json(result.as_dict())
                if not result.delivered:
                    print_error(failure_line(result))
                if sent is not None:
                    try:
                        await asyncio.to_thread(self._compare, result, sent)
                    except OSError as error:  # one picture that cannot be written; the rest goes on
                        print_error(f"{error.filename}: {error.strerror}")
                progress.update(task, advance=1, description=f"sent {Path(result.source).name}")
        if self._shown:
            png = encode_png(contact_sheet(self._shown, title=self._title))
            path = write_numbered(self._folder / self.sheet, png, overwrite=self._overwrite)
            self.sheet = path.name

    def _compare(self, result: Result, sent: np.ndarray) -> None:
        """Write what was sent and what arrived side by side, where a picture did."""
        from panolink.cli.contact_sheet import Comparison, side_by_side
        from panolink.images import encode_png

        delivery = result.delivery
        if delivery is None or delivery.picture is None or delivery.activation is None:
            return
        stem = file_stem(result.source)
        comparison = Comparison(stem, sent, delivery.picture, delivery.activation, _caption(result, delivery))
        path = self._names.reserve(self._folder / f"{stem}_side_by_side.png")
        try:
            write_numbered(path, encode_png(side_by_side(comparison)), overwrite=self._overwrite)
        finally:
            self._names.release(path)
        if len(self._shown) < _ON_SHEET:
            self._shown.append(comparison)


def _caption(result: Result, delivery: Delivery) -> str:
    parts = [f"{delivery.bpp:.3f} bpp", f"{result.vpsnr_db:.1f} dB VPSNR", f"{result.vssim:.3f} VSSIM"]
    if delivery.segments.lost:
        parts.append(f"{delivery.segments.lost}/{delivery.segments.sent} segments lost")
    return "   ".join(parts)


def _progress(*, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, disable=quiet)


def samples() -> Path:
    """The folder of samples: of the working directory, else of the checkout, else the three in the package."""
    package = Path(__file__).parents[1]
    folders = (Path("samples"), package.parents[1] / "samples", package / "samples")
    return next(folder for folder in folders if any(folder.glob("*.webp")))


def _count(sources: list[Path]) -> int:
    from panolink.images import IMAGE_SUFFIXES

    pictures = [path for folder in sources if folder.is_dir() for path in folder.iterdir()]
    return sum(path.suffix.lower() in IMAGE_SUFFIXES for path in pictures) + sum(not path.is_dir() for path in sources)
