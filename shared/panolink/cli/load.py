"""`load`: how much a running link carries, and how long panoramas take under that load."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from panolink.cli.load_source import Step, fill, offer, recovery_seconds
from panolink.cli.options import DEFAULT_TO, Bpp, Json, Tau, To, check_rate, err, out, print_json
from panolink.cli.transfer import connected
from panolink.errors import LinkError

if TYPE_CHECKING:
    from panolink.client import Client

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
"""Offered loads as shares of what the link carries, where none are given."""

BURST, CALM, BURST_SECONDS = 1.5, 0.5, 5.0
"""Overloads and what is offered before and after them, as shares of what the link carries, and how long each is."""


def load(
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE|FOLDER]…", help="Panoramas; the project's samples if empty.")
    ] = None,
    to: To = DEFAULT_TO,
    rate: Annotated[
        list[float] | None,
        typer.Option(
            min=1e-3, help="Panoramas offered in a second; may be repeated. Shares of what it carries if none."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, max=3600, help="How long each load is offered.")] = 20.0,
    streams: Annotated[int, typer.Option(min=1, max=1000, help="Streams over which panoramas are spread.")] = 4,
    in_flight: Annotated[
        int, typer.Option(min=1, max=1000, help="Panoramas of a stream that are on their way at a time, at most.")
    ] = 1,
    queue: Annotated[
        float,
        typer.Option(min=0.01, metavar="SECONDS", help="What waits longer at its source is left out, and counted."),
    ] = 0.2,
    bursts: Annotated[
        int,
        typer.Option(min=0, help="Offer so many overloads of 150 % instead, with 50 % before and after each."),
    ] = 0,
    width: Annotated[
        list[int] | None, typer.Option(min=32, max=16384, help="Scale panoramas to it; may be repeated.")
    ] = None,
    bpp: Bpp = None,
    tau: Tau = None,
    adaptive: Annotated[bool, typer.Option("--adaptive", help="As of panolink send.")] = False,
    picture: Annotated[bool, typer.Option(help="Whether received pictures come back.")] = False,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 1,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw latency over offered load (matplotlib).")
    ] = None,
    json: Json = False,
) -> None:
    """Offer a link more and more panoramas, and tell throughput and latency at each load.

    Example: [bold]panolink load --rate 2 --rate 4 --streams 8 --width 512 --plot load.png[/bold]

    Arrivals are random (Poisson) and do not wait for answers: a panorama that cannot be sent yet waits here, the newest
    goes first, and what waits for too long is left out, as live sources do. Latency counts from the arrival. Without
    --rate, the link is first kept busy to see what it carries; then 20 % to 120 % of that are offered. With --bursts,
    overloads of five seconds are, and how long latency takes to be as before is told (--rate: what the link carries).
    Exit code 1 where nothing was delivered at one of the loads.
    """
    if bursts and len(rate or []) > 1:
        raise typer.BadParameter("with --bursts it is what the link carries, and given once", param_hint="'--rate'")
    check_rate(bpp, tau)
    options = {"bpp": bpp, "tau": tau, "adaptive": adaptive, "picture": picture}
    files = _files(sources or [], width or [512])

    async def measure() -> list[Step]:
        steps: list[Step] = []
        async with connected(to, in_flight=in_flight) as link:
            with err.status("measuring what the link carries …") as status:
                rates = rate or []
                if not rates:
                    carries = await _capacity(link, files, options, seconds, streams)
                    rates = [carries] if bursts else [share * carries for share in SHARES]
                rng = random.Random(seed)
                for loads in _loads(rates, seconds, bursts):
                    status.update(
                        f"offering {', '.join(f'{offered:.2f}' for offered, _ in loads)} panoramas a second …"
                    )
                    new = await offer(link, files, options, loads, streams, rng, queue)
                    for after in new[2::2]:
                        after.recovery = recovery_seconds(new[0], after)
                    for step in new if json else ():
                        print_json(step.as_dict())
                    steps += new
        return steps

    steps = asyncio.run(measure())
    if not json:
        _print_table(steps, recovery=bool(bursts))
    if plot:
        _plot(steps, plot)
    raise typer.Exit(0 if all(step.delivered for step in steps) else 1)


async def _capacity(
    link: Client, files: Sequence[bytes], options: dict[str, Any], seconds: float, streams: int
) -> float:
    """Panoramas a second that the link carries; `LinkError` where nothing is delivered."""
    full = await fill(link, files, options, seconds, streams)
    if not full.delivered:
        raise LinkError(f"{link.target}: nothing was delivered ({dict(full.codes) or 'no answers'})")
    return full.throughput


def _loads(rates: Sequence[float], seconds: float, bursts: int) -> list[list[tuple[float, float]]]:
    """Loads, panoramas a second and seconds; those of a group follow without a pause, between groups the link rests."""
    if not bursts:
        return [[(offered, seconds)] for offered in rates]
    (carries,) = rates
    calm = CALM * carries, seconds
    return [[calm, *[(BURST * carries, BURST_SECONDS), calm] * bursts]]


def _files(sources: Sequence[Path], widths: Sequence[int]) -> list[bytes]:
    """Each panorama as a JPEG file of each width."""
    from PIL import Image

    from panolink.cli.demo import samples
    from panolink.images import Failure, panoramas_in

    files = []
    for panorama in panoramas_in(list(sources) or [samples()]):
        if isinstance(panorama, Failure):
            raise panorama.error
        image = Image.fromarray(panorama.array)
        for width in widths:
            with contextlib.closing(io.BytesIO()) as buffer:
                image.resize((width, width // 2)).save(buffer, "JPEG", quality=90)
                files.append(buffer.getvalue())
    if not files:
        raise typer.BadParameter("there are no panoramas", param_hint="'[FILE|FOLDER]…'")
    return files


def _print_table(steps: Sequence[Step], *, recovery: bool) -> None:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    headers = ["offered/s", "delivered/s", "p50 ms", "p95 ms", "p99 ms", "arrivals", "left out", "failed"]
    for header in [*headers, "as before after s"] if recovery else headers:
        table.add_column(header, justify="right")
    for step in steps:
        times = [step.percentile(percent) for percent in (50, 95, 99)]
        table.add_row(
            f"{step.offered:.2f}",
            f"{step.throughput:.2f}",
            *("–" if value is None else f"{1000 * value:.0f}" for value in times),
            str(step.arrivals),
            str(step.left_out),
            str(step.arrivals - step.left_out - len(step.delivered)),
            *(("–" if step.recovery is None else f"{step.recovery:.2f}",) if recovery else ()),
        )
    out.print(table)


def _plot(steps: Sequence[Step], path: Path) -> None:
    """Latency and throughput over offered load."""
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError:
        raise LinkError("--plot needs matplotlib: pip install panolink[eval]") from None
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    offered = [step.offered for step in steps]
    for percent in (50, 95, 99):
        left.plot(offered, [step.percentile(percent) for step in steps], "o-", label=f"p{percent}")
    left.set(xlabel="offered panoramas per second", ylabel="latency in s", ylim=(0, None))
    left.legend()
    right.plot(offered, [step.throughput for step in steps], "o-")
    right.plot([0, max(offered)], [0, max(offered)], ":", color="grey")
    right.set(xlabel="offered panoramas per second", ylabel="delivered per second", xlim=(0, None), ylim=(0, None))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
