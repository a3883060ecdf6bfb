"""What became of panoramas: quality against what was sent, one JSON object or one row of a table for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from panolink.cli.common import out

if TYPE_CHECKING:
    import numpy as np

    from panolink.rpc.client import Delivery

STAGES: Mapping[str, Sequence[str]] = {
    "encode": ("encode",),
    "quantise": ("quantize",),
    "entropy": ("entropy_code", "entropy_decode"),
    "FEC": ("fec_encode", "fec_decode"),
    "channel": ("channel",),
    "decode": ("decode",),
    "total": ("total",),
}
"""Columns of the table, and the stages whose times each adds up."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A delivery and, where the received picture came back, its VPSNR in dB and VSSIM against the one sent."""

    id: str
    source: str
    delivery: Delivery | None = None
    error: str | None = None
    vpsnr_db: float | None = None
    vssim: float | None = None

    @property
    def delivered(self) -> bool:
        return self.delivery is not None and self.delivery.delivered

    def as_dict(self) -> dict[str, Any]:
        """What `panolink send --json` prints."""
        delivery = self.delivery
        coded = delivery if delivery and delivery.symbols else None
        return {
            "id": self.id,
            "source": self.source,
            "delivered": self.delivered,
            "bpp": coded.bpp if coded else None,
            "symbols_per_pixel": coded.symbols_per_pixel if coded else None,
            "snr_db": delivery.snr_db if delivery else None,
            "segments": {
                "sent": delivery.segments.sent if delivery else 0,
                "lost": delivery.segments.lost if delivery else 0,
            },
            "vpsnr_db": self.vpsnr_db,
            "vssim": self.vssim,
            "seconds": dict(delivery.seconds) if delivery else {},
        }


def judge(number: str, source: str, delivery: Delivery, sent: np.ndarray) -> Result:
    """Compare what came back with what was sent. It takes a moment: not for the event loop."""
    quality: dict[str, float] = {}
    if delivery.picture is not None:
        from panolink.metrics.viewport import viewport_scores

        scores = viewport_scores(sent, delivery.picture)
        quality = {"vpsnr_db": scores.vpsnr_db, "vssim": scores.vssim}
    return Result(id=number, source=source, delivery=delivery, error=delivery.error, **quality)


def print_table(results: Iterable[Result], *, title: str = "") -> None:
    """A row per panorama; stage times in milliseconds; the means below where there are several."""
    results = list(results)
    # What is wider than the terminal would be cut; output to a file has no width.
    console = out if out.is_terminal else type(out)(width=140, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1), pad_edge=False)
    table.add_column("panorama", overflow="fold", min_width=8)
    names = ("bpp", "symbols\n/pixel", "VPSNR\ndB", "VSSIM", "segments\nlost", *(f"{name}\nms" for name in STAGES))
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(Text(result.source), *_cells(result), style="" if result.delivered else "red")
    delivered = [result for result in results if result.delivered]
    if len(delivered) > 1:
        table.add_section()
        table.add_row(Text("mean"), *_mean_cells(delivered), style="bold")
    console.print(table)


def failure_line(result: Result) -> str:
    """Names the panorama and the reason."""
    reason = result.error or "not delivered"
    return reason if result.source in reason else f"{result.source}: {reason}"


def _cells(result: Result) -> list[str]:
    delivery = result.delivery
    if delivery is None or not delivery.symbols:
        return ["–"] * (5 + len(STAGES))
    return [
        f"{delivery.bpp:.4f}",
        f"{delivery.symbols_per_pixel:.4f}",
        "–" if result.vpsnr_db is None else f"{result.vpsnr_db:.2f}",
        "–" if result.vssim is None else f"{result.vssim:.4f}",
        f"{delivery.segments.lost}/{delivery.segments.sent}",
        *(f"{1000 * _stage(delivery, stages):.0f}" for stages in STAGES.values()),
    ]


def _mean_cells(results: Sequence[Result]) -> list[str]:
    deliveries = [result.delivery for result in results if result.delivery]
    qualities = [r for r in results if r.vpsnr_db is not None and r.vssim is not None]

    def mean(values: Iterable[float | None]) -> float:
        numbers = [value for value in values if value is not None]
        return sum(numbers) / len(numbers)

    return [
        f"{mean(d.bpp for d in deliveries):.4f}",
        f"{mean(d.symbols_per_pixel for d in deliveries):.4f}",
        f"{mean(r.vpsnr_db for r in qualities):.2f}" if qualities else "–",
        f"{mean(r.vssim for r in qualities):.4f}" if qualities else "–",
        f"{sum(d.segments.lost for d in deliveries)}/{sum(d.segments.sent for d in deliveries)}",
        *(f"{1000 * mean(_stage(d, stages) for d in deliveries):.0f}" for stages in STAGES.values()),
    ]


def _stage(delivery: Delivery, stages: Sequence[str]) -> float:
    return sum(delivery.seconds.get(stage, 0.0) for stage in stages)
