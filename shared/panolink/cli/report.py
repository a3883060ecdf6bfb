"""What became of panoramas: quality against what was sent, one JSON object or one row of a table for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.table import Table
from rich.text import Text

from panolink.cli.options import out

if TYPE_CHECKING:
    import numpy as np

    from panolink.client import Delivery
    from panolink.rpc.wire.deliveries import Adapted


@dataclass(frozen=True, kw_only=True)
class Result:
    """A delivery and, where the received picture came back, its VPSNR in dB and VSSIM against the one sent."""

    id: str
    source: str
    delivery: Delivery | None = None
    error: str | None = None
    path: Path | None = None
    """where the received picture was written"""
    vpsnr_db: float | None = None
    vssim: float | None = None

    @property
    def delivered(self) -> bool:
        return self.delivery is not None and self.delivery.delivered and self.error is None

    def _failure(self) -> dict[str, str] | None:
        if self.delivered:
            return None
        code = (self.delivery and self.delivery.code) or "INVALID_ARGUMENT"
        return {"code": code, "message": self.error or "not delivered"}

    def as_dict(self) -> dict[str, Any]:
        """What `panolink send --json` prints."""
        delivery = self.delivery
        coded = delivery if delivery and delivery.symbols else None
        return {
            "id": self.id,
            "source": self.source,
            "delivered": self.delivered,
            "path": str(self.path) if self.path else None,
            "error": self._failure(),
            "bpp": coded.bpp if coded else None,
            "symbols_per_pixel": coded.symbols_per_pixel if coded else None,
            "symbols": coded.symbols if coded else None,
            "rounds": coded.rounds if coded else None,
            "retransmitted_symbols": coded.retransmitted_symbols if coded else None,
            "symbol_budget": delivery.symbol_budget if delivery else None,
            "tau": coded.tau if coded else None,
            "schemes": {layer: list(names) for layer, names in coded.schemes.items()} if coded else {},
            "adapted": _adaptation(delivery.adapted) if delivery and delivery.adapted else None,
            "snr_db": delivery.snr_db if delivery else None,
            "measured_snr_db": delivery.measured_snr_db if delivery else None,
            "segments": {
                "sent": delivery.segments.sent if delivery else 0,
                "lost": delivery.segments.lost if delivery else 0,
                "unsent": delivery.segments.unsent if delivery else 0,
                "recovered": delivery.segments.recovered if delivery else 0,
            },
            "vpsnr_db": self.vpsnr_db,
            "vssim": self.vssim,
            "seconds": dict(delivery.seconds) if delivery else {},
        }


def judge(number: str, source: str, delivery: Delivery, sent: np.ndarray) -> Result:
    """Compare what came back with what was sent. It takes a moment: not for the event loop.

    Parameters
    ----------
    number : str
        Of the panorama among all that were asked for.
    source : str
        Its name.
    delivery : Delivery
    sent : uint8 (H, W, 3)
        The panorama as it was sent.

    Returns
    -------
    Result
        With VPSNR in dB and VSSIM where the picture came back.
    """
    quality: dict[str, Any] = {}
    if delivery.picture is not None:
        from panolink.metrics.viewport import viewport_scores

        scores = viewport_scores(sent, delivery.picture)
        quality = {"vpsnr_db": scores.vpsnr_db, "vssim": scores.vssim}
    return Result(id=number, source=source, delivery=delivery, error=delivery.error, **quality)


class Cells(Protocol):
    """What stands in a column of the table, for one result and below for several."""

    def one(self, result: Result) -> str: ...

    def mean(self, results: Sequence[Result]) -> str: ...


@dataclass(frozen=True)
class Column:
    """A column of the table: a number of each result, None where it is not known, and its format."""

    number: Callable[[Result], float | None]
    form: str

    def one(self, result: Result) -> str:
        value = self.number(result)
        return "–" if value is None else format(value, self.form)

    def mean(self, results: Sequence[Result]) -> str:
        known = [value for value in map(self.number, results) if value is not None]
        return format(sum(known) / len(known), self.form) if known else "–"


@dataclass(frozen=True)
class SchemeColumn:
    """How a layer was sent, its first segments first."""

    layer: str

    def one(self, result: Result) -> str:
        schemes = result.delivery.schemes.get(self.layer, ()) if result.delivery else ()
        return "\n".join(schemes) or "–"

    def mean(self, results: Sequence[Result]) -> str:
        return ""


class LostColumn(Column):
    """Segments lost and sent; their sums below."""

    def __init__(self) -> None:
        super().__init__(lambda result: None, "")

    def one(self, result: Result) -> str:
        return self.mean([result])

    def mean(self, results: Sequence[Result]) -> str:
        segments = [result.delivery.segments for result in results if result.delivery]
        lost, sent = (sum(getattr(one, name) for one in segments) for name in ("lost", "sent"))
        return f"{lost}/{sent}" if sent else "–"


def _coded(name: str) -> Callable[[Result], float | None]:
    return lambda result: getattr(result.delivery, name) if result.delivery and result.delivery.symbols else None


def _milliseconds(*stages: str) -> Callable[[Result], float | None]:
    """Time of some stages together."""

    def total(result: Result) -> float | None:
        seconds = result.delivery.seconds if result.delivery else {}
        known = [seconds[stage] for stage in stages if stage in seconds]
        return 1000 * sum(known) if known else None

    return total


def _adaptation(adapted: Adapted) -> dict[str, float]:
    """Under the names of the protocol's fields."""
    names = {"base_layer_margin_db": "insurance_db"}
    return {names.get(name, name): value for name, value in vars(adapted).items()}


def _adapted(name: str) -> Callable[[Result], float | None]:
    return lambda result: (
        getattr(result.delivery.adapted, name) if result.delivery and result.delivery.adapted else None
    )


QUALITY: Mapping[str, Cells] = {
    "bpp": Column(_coded("bpp"), ".4f"),
    "symbols\n/pixel": Column(_coded("symbols_per_pixel"), ".4f"),
    "VPSNR\ndB": Column(lambda result: result.vpsnr_db, ".2f"),
    "VSSIM": Column(lambda result: result.vssim, ".4f"),
    "segments\nlost": LostColumn(),
}
ROUNDS: Mapping[str, Cells] = {
    "rounds": Column(_coded("rounds"), ".4g"),
    "sent again\nsymbols": Column(_coded("retransmitted_symbols"), ".0f"),
    "recovered\nsegments": Column(
        lambda result: result.delivery.segments.recovered if result.delivery else None, ".4g"
    ),
}
AIR: Mapping[str, Cells] = {
    "SNR\ndB": Column(lambda result: result.delivery.measured_snr_db if result.delivery else None, ".1f"),
    "sent for\ndB": Column(_adapted("snr_db"), ".1f"),
    "τ": Column(_coded("tau"), ".3f"),
    "indices": SchemeColumn("indices"),
    "features": SchemeColumn("features"),
}
TIMES: Mapping[str, Cells] = {
    "encode\nms": Column(_milliseconds("encode"), ".0f"),
    "quantise\nms": Column(_milliseconds("quantize"), ".0f"),
    "entropy\ncode ms": Column(_milliseconds("entropy_code", "entropy_decode"), ".0f"),
    "FEC\nms": Column(_milliseconds("fec_encode", "fec_decode"), ".0f"),
    "channel\nms": Column(_milliseconds("channel"), ".0f"),
    "decode\nms": Column(_milliseconds("decode"), ".0f"),
    "total\nms": Column(_milliseconds("total"), ".0f"),
}


def print_table(results: Sequence[Result], *, title: str = "") -> None:
    """Print a row per panorama, and the means below where there are several; several tables where one is too wide.

    Parameters
    ----------
    results : sequence of Result
        In the order of the rows. What the channel was like, and how panoramas were sent, is shown where any of them
        was adaptive; rounds, where any had more than one.
    title : str
        Above the table.
    """
    console = out if out.is_terminal else type(out)(width=140, highlight=False)
    folder = _common_folder(results)
    rows = [(result.source.removeprefix(folder), result) for result in results]
    adaptive = any(result.delivery and result.delivery.adapted for result in results)
    repeated = any(result.delivery and result.delivery.rounds > 1 for result in results)
    groups = (QUALITY, *((ROUNDS,) if repeated else ()), *((AIR,) if adaptive else ()), TIMES)
    whole = _table(rows, {header: cells for group in groups for header, cells in group.items()}, title)
    if console.measure(whole, options=console.options.update(width=1000)).maximum <= console.width:
        console.print(whole)
    else:
        for number, group in enumerate(groups):
            console.print(_table(rows, group, "" if number else title))


def _table(rows: Sequence[tuple[str, Result]], columns: Mapping[str, Cells], title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1), pad_edge=False)
    table.add_column("panorama", overflow="fold", min_width=8)
    for header in columns:
        table.add_column(header, justify="right", no_wrap=True)
    for name, result in rows:
        cells = [column.one(result) for column in columns.values()]
        table.add_row(Text(name), *cells, style="" if result.delivered else "red")
    delivered = [result for _, result in rows if result.delivered]
    if len(delivered) > 1:
        table.add_section()
        table.add_row("mean", *(column.mean(delivered) for column in columns.values()), style="bold")
    return table


def _common_folder(results: Sequence[Result]) -> str:
    """The folder, with its slash, that all sources are in; empty where there is none."""
    folders = {result.source.rpartition("/")[0] for result in results}
    return f"{folders.pop()}/" if len(folders) == 1 and "" not in folders else ""


LOST = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"})
"""Statuses of panoramas that were on their way; with any other one, nobody took the panorama."""


def accounting(results: Sequence[Result]) -> str:
    """How many panoramas were delivered, lost on the way, and not sent at all, as one line.

    Parameters
    ----------
    results : sequence of Result
    """
    delivered = sum(result.delivered for result in results)
    lost = sum(result.delivery is not None and result.delivery.code in LOST for result in results)
    counts = {"delivered": delivered, "lost": lost, "not sent": len(results) - delivered - lost}
    parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what != "not sent")
    return f"{len(results)} panoramas: {parts}"


def failure_line(result: Result) -> str:
    """One line that names the panorama and the reason.

    Parameters
    ----------
    result : Result
        One that was not delivered.
    """
    reason = result.error or "not delivered"
    return reason if result.source in reason else f"{result.source}: {reason}"
