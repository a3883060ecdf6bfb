"""`load`: how much a running link carries, and how long panoramas take under that load."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from panolink.cli.options import DEFAULT_TO, Bpp, Json, Tau, To, check_rate, err, out, print_json
from panolink.cli.transfer import connected
from panolink.errors import LinkError

if TYPE_CHECKING:
    from panolink.client import Client

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
"""Offered loads as shares of what the link carries, where none are given."""

PATIENCE = 60.0
"""Seconds for which answers are waited for after the last arrival; what has none by then counts as unanswered."""


@dataclass
class Step:
    """One offered load and what became of it; times in seconds."""

    offered: float
    seconds: float
    arrivals: int = 0
    latencies: list[float] = field(default_factory=list)
    """from a panorama's arrival here, whether or not it could be sent at once, to its answer; of those delivered"""
    codes: Counter[str] = field(default_factory=Counter)
    last_arrival: float = 0.0
    last_answer: float = 0.0
    start: float = field(default_factory=time.monotonic)

    def answered(self, code: str, arrived: float) -> None:
        """Count an answer."""
        self.codes[code] += 1
        self.last_answer = time.monotonic()
        if code == "OK":
            self.latencies.append(self.last_answer - arrived)

    @property
    def throughput(self) -> float:
        """Panoramas delivered in a second, from the first arrival to the last answer."""
        return self.codes["OK"] / max(self.last_answer - self.start, 1e-9)

    def percentile(self, percent: float) -> float | None:
        """Latency that so many percent stay below; None where nothing was delivered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else None

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "offered_per_second": self.offered,
            "seconds": self.seconds,
            "arrivals": self.arrivals,
            "answers": dict(self.codes),
            "unanswered": self.arrivals - sum(self.codes.values()),
            "throughput_per_second": self.throughput,
            "p50_seconds": self.percentile(50),
            "p95_seconds": self.percentile(95),
            "p99_seconds": self.percentile(99),
            "drain_seconds": max(0.0, self.last_answer - self.last_arrival),
        }


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

    Arrivals are random (Poisson) and do not wait for answers: a panorama that cannot be sent yet waits here, and its
    latency counts from its arrival. Without --rate, the link is first kept busy to see what it carries; then 20 % to
    120 % of that are offered. Exit code 1 where nothing was delivered at one of the loads.
    """
    check_rate(bpp, tau)
    options = {"bpp": bpp, "tau": tau, "adaptive": adaptive, "picture": picture}
    files = _files(sources or [], width or [512])
    steps = asyncio.run(_measure(to, files, options, rate or [], seconds, streams, random.Random(seed), json))
    if not json:
        _print_table(steps)
    if plot:
        _plot(steps, plot)
    raise typer.Exit(0 if all(step.latencies for step in steps) else 1)


async def _measure(
    to: str,
    files: Sequence[bytes],
    options: dict[str, Any],
    rates: Sequence[float],
    seconds: float,
    streams: int,
    rng: random.Random,
    json: bool,
) -> list[Step]:
    steps: list[Step] = []
    async with connected(to) as link:
        with err.status("measuring …") as status:
            if not rates:
                status.update("measuring what the link carries …")
                capacity = await _capacity(link, files, options, seconds, streams)
                rates = [share * capacity for share in SHARES]
            for offered in rates:
                status.update(f"offering {offered:.2f} panoramas a second …")
                steps.append(await offer(link, files, options, offered, seconds, streams, rng))
                if json:
                    print_json(steps[-1].as_dict())
    return steps


async def offer(
    link: Client,
    files: Sequence[bytes],
    options: dict[str, Any],
    offered: float,
    seconds: float,
    streams: int,
    rng: random.Random,
) -> Step:
    """Offer so many panoramas a second for so long, over streams in turn; what became of them."""
    step = Step(offered, seconds)
    queues = [asyncio.Queue[float | None]() for _ in range(streams)]

    async def stream(queue: asyncio.Queue[float | None]) -> None:
        arrived: list[float] = []

        async def panoramas() -> AsyncIterator[tuple[str, bytes]]:
            while (at := await queue.get()) is not None:
                arrived.append(at)
                yield str(len(arrived) - 1), rng.choice(files)

        async for delivery in link.send(panoramas(), **options):
            step.answered(delivery.code or "OK", arrived[int(delivery.source)])

    sending = [asyncio.create_task(stream(queue)) for queue in queues]
    due = step.start = time.monotonic()
    while (due := due + rng.expovariate(offered)) < step.start + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        queues[step.arrivals % streams].put_nowait(due)
        step.arrivals, step.last_arrival = step.arrivals + 1, due
    for queue in queues:
        queue.put_nowait(None)
    await _finish(sending)
    return step


async def _capacity(
    link: Client, files: Sequence[bytes], options: dict[str, Any], seconds: float, streams: int
) -> float:
    """Panoramas a second with all streams full; `LinkError` where nothing is delivered."""
    step = Step(float("inf"), seconds)

    async def stream(number: int) -> None:
        def panoramas() -> Any:
            count = number
            while time.monotonic() < step.start + seconds:
                count += 1
                yield f"{time.monotonic()}", files[count % len(files)]

        async for delivery in link.send(panoramas(), **options):
            step.answered(delivery.code or "OK", float(delivery.source))

    await _finish([asyncio.create_task(stream(number)) for number in range(streams)])
    if not step.latencies:
        raise LinkError(f"{link.target}: nothing was delivered ({dict(step.codes) or 'no answers'})")
    return step.throughput


async def _finish(sending: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all streams, at most `PATIENCE` seconds."""
    _, late = await asyncio.wait(sending, timeout=PATIENCE)
    for task in late:
        task.cancel()
    for result in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


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


def _print_table(steps: Sequence[Step]) -> None:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for header in ("offered/s", "delivered/s", "p50 ms", "p95 ms", "p99 ms", "arrivals", "not delivered"):
        table.add_column(header, justify="right")
    for step in steps:
        times = [step.percentile(percent) for percent in (50, 95, 99)]
        table.add_row(
            f"{step.offered:.2f}",
            f"{step.throughput:.2f}",
            *("–" if value is None else f"{1000 * value:.0f}" for value in times),
            str(step.arrivals),
            str(step.arrivals - len(step.latencies)),
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
