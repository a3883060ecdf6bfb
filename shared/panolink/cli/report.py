"""What became of panoramas: quality against what was sent, one JSON object or one row of a table for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from panolink.cli.options import out

if TYPE_CHECKING:
    import numpy as np

    from panolink.client import Delivery


@dataclass(frozen=True, kw_only=True)
class Result:
    """A delivery and, where the received picture came back, its VPSNR in dB and VSSIM against the one sent."""

    id: str
    source: str
    delivery: Delivery | None = None
    error: str | None = None
    code: str | None = None
    """gRPC status of a failure that is not the delivery's own"""
    path: Path | None = None
    """where the received picture was written"""
    vpsnr_db: float | None = None
    vssim: float | None = None

    @property
    def delivered(self) -> bool:
        return self.delivery is not None and self.delivery.delivered and self.error is None

    @property
    def unwritten(self) -> bool:
        """Whether it arrived, and its picture could not be written here."""
        return self.delivery is not None and self.delivery.delivered and self.error is not None

    def _failure(self) -> dict[str, str] | None:
        if self.delivered:
            return None
        code = self.code or (self.delivery and self.delivery.code) or "UNKNOWN"
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
            "adapted": vars(delivery.adapted).copy() if delivery and delivery.adapted else None,
            "snr_db": delivery.snr_db if delivery else None,
            "measured_snr_db": delivery.measured_snr_db if delivery else None,
            "segments": {
                "sent": delivery.segments.sent if delivery else 0,
                "lost": delivery.segments.lost if delivery else 0,
                "unsent": delivery.segments.unsent if delivery else 0,
                "recovered": delivery.segments.recovered if delivery else 0,
            },
            "stream": asdict(delivery.stream) if delivery and delivery.stream else None,
            "vpsnr_db": self.vpsnr_db,
            "vssim": self.vssim,
            "seconds": dict(delivery.seconds) if delivery else {},
        }


def judge(number: str, source: str, delivery: Delivery, sent: np.ndarray) -> Result:
    """Compare what came back with what was sent. It takes a moment: not for the event loop."""
    quality: dict[str, Any] = {}
    if delivery.picture is not None:
        from panolink.metrics.viewport import viewport_scores

        scores = viewport_scores(sent, delivery.picture)
        quality = {"vpsnr_db": scores.vpsnr_db, "vssim": scores.vssim}
    return Result(id=number, source=source, delivery=delivery, error=delivery.error, **quality)


Sums = tuple[float, float]
"""Numerator and denominator of a mean."""


class Cells(Protocol):
    """What stands in a column of the table, for one result and below for several."""

    def one(self, result: Result) -> str: ...

    def sums(self, result: Result) -> Sums: ...

    def mean(self, sums: Sums) -> str: ...


@dataclass(frozen=True)
class Column:
    """A column of the table: a number of each result, None where it is not known, and its format."""

    number: Callable[[Result], float | None]
    form: str

    def one(self, result: Result) -> str:
        return self.mean(self.sums(result))

    def sums(self, result: Result) -> Sums:
        value = self.number(result)
        return (0.0, 0.0) if value is None else (value, 1.0)

    def mean(self, sums: Sums) -> str:
        return format(sums[0] / sums[1], self.form) if sums[1] else "–"


@dataclass(frozen=True)
class SchemeColumn:
    """How a layer was sent, its first segments first."""

    layer: str

    def one(self, result: Result) -> str:
        schemes = result.delivery.schemes.get(self.layer, ()) if result.delivery else ()
        return "\n".join(schemes) or "–"

    def sums(self, result: Result) -> Sums:
        return 0.0, 0.0

    def mean(self, sums: Sums) -> str:
        return ""


class LostColumn:
    """Segments lost and sent; their sums below."""

    def one(self, result: Result) -> str:
        return self.mean(self.sums(result))

    def sums(self, result: Result) -> Sums:
        segments = result.delivery.segments if result.delivery else None
        return (segments.lost, segments.sent) if segments else (0.0, 0.0)

    def mean(self, sums: Sums) -> str:
        return f"{sums[0]:.0f}/{sums[1]:.0f}" if sums[1] else "–"


def _coded(name: str) -> Callable[[Result], float | None]:
    return lambda result: getattr(result.delivery, name) if result.delivery and result.delivery.symbols else None


def _milliseconds(*stages: str) -> Callable[[Result], float | None]:
    """Time of some stages together."""

    def total(result: Result) -> float | None:
        seconds = result.delivery.seconds if result.delivery else {}
        known = [seconds[stage] for stage in stages if stage in seconds]
        return 1000 * sum(known) if known else None

    return total


def _share(kind: str) -> Callable[[Result], float | None]:
    """Percentage of a stream's tokens that were of a kind."""

    def share(result: Result) -> float | None:
        delivery = result.delivery
        if not (delivery and delivery.stream and delivery.tokens):
            return None
        return 100 * getattr(delivery.stream, kind) / delivery.tokens

    return share


def _adapted(name: str) -> Callable[[Result], float | None]:
    return lambda result: (
        getattr(result.delivery.adapted, name) if result.delivery and result.delivery.adapted else None
    )


RATE: Mapping[str, Cells] = {
    "segments\nlost": LostColumn(),
    "bpp": Column(_coded("bpp"), ".4f"),
    "symbols\n/pixel": Column(_coded("symbols_per_pixel"), ".4f"),
}
SEEN: Mapping[str, Cells] = {
    "VPSNR\ndB": Column(lambda result: result.vpsnr_db, ".2f"),
    "VSSIM": Column(lambda result: result.vssim, ".4f"),
}
ROUNDS: Mapping[str, Cells] = {
    "rounds": Column(_coded("rounds"), ".4g"),
    "sent again\nsymbols": Column(_coded("retransmitted_symbols"), ".0f"),
    "recovered\nsegments": Column(
        lambda result: result.delivery.segments.recovered if result.delivery else None, ".4g"
    ),
}
STREAM: Mapping[str, Cells] = {
    "unchanged\n%": Column(_share("unchanged"), ".1f"),
    "refined\n%": Column(_share("refined"), ".1f"),
    "new\n%": Column(_share("new"), ".1f"),
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


LOST = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"})
"""Statuses of panoramas that were on their way; with any other one, nobody took the panorama."""


COLUMNS: Mapping[str, Cells] = {**RATE, **SEEN, **ROUNDS, **STREAM, **AIR, **TIMES}
MAX_ROWS = 100
"""Rows of the table; a video has more frames than anybody reads, and each has had its line."""
_NAME_WIDTH = 12  # of the first column at least


class Tally:
    """What became of panoramas: counts and sums of all, and rows of the first `MAX_ROWS`.

    It keeps neither pictures nor results, so that it stays as small as it is however long a video is.
    """

    def __init__(self) -> None:
        self.count = self.delivered = self.lost = self.unwritten = self.skipped = self.overtaken = 0
        self._adaptive = self._repeated = self._predicted = False
        self._sums: dict[str, Sums] = dict.fromkeys(COLUMNS, (0.0, 0.0))
        self._rows: list[tuple[str, dict[str, str], bool]] = []

    def add(self, result: Result) -> None:
        """Count a result."""
        self.count += 1
        self.unwritten += result.unwritten
        delivery = result.delivery
        if delivery is not None:
            self.lost += delivery.code in LOST
            self._adaptive |= delivery.adapted is not None
            self._repeated |= delivery.rounds > 1
            self._predicted |= delivery.stream is not None
            self.overtaken += delivery.stream is not None and delivery.stream.overtaken
        if result.delivered:
            self.delivered += 1
            for header, column in COLUMNS.items():
                before, more = self._sums[header], column.sums(result)
                self._sums[header] = before[0] + more[0], before[1] + more[1]
        if len(self._rows) < MAX_ROWS:
            cells = {header: column.one(result) for header, column in COLUMNS.items()}
            self._rows.append((result.source, cells, result.delivered))

    def accounting(self) -> str:
        """How many panoramas were delivered, lost on the way, not sent at all, and not written; of live sources, left
        out, too."""
        unsent = self.count - self.delivered - self.lost - self.unwritten
        counts = {"delivered": self.delivered, "lost": self.lost}
        counts |= {what: count for what, count in (("not sent", unsent), ("not written", self.unwritten)) if count}
        parts = ", ".join(f"{count} {what}" for what, count in counts.items())
        left_out = f"; {self.skipped} left out at the source: they came too late" if self.skipped else ""
        behind = f"; {self.overtaken} not shown: later ones had been shown before" if self.overtaken else ""
        return f"{self.count} panoramas: {parts}{left_out}{behind}"

    def print_table(self, *, title: str = "") -> None:
        """A row per panorama, and the means below where there are several; several tables where one is too wide, each
        with the names, and the first with what was lost.

        Quality is shown where any picture came back; what the air was like, and how panoramas were sent, where any of
        them was adaptive; rounds, where any had more than one.
        """
        console = out if out.is_terminal else type(out)(width=140, highlight=False)
        compared = any(self._sums[header][1] for header in SEEN)
        some = ((ROUNDS, self._repeated), (STREAM, self._predicted), (AIR, self._adaptive))
        groups = ({**RATE, **(SEEN if compared else {})}, *(group for group, shown in some if shown), TIMES)
        for headers in self._tables([list(group) for group in groups], console):
            console.print(self._table(headers, title))
            title = ""
        if self.count > len(self._rows):
            console.print(f"the first {len(self._rows)} of {self.count:,} panoramas; means are of all", style="dim")

    def _tables(self, groups: list[list[str]], console: Console) -> Iterator[list[str]]:
        """The columns of each table: all in one if that fits, else a group in each, or as much of it as fits."""

        def width(headers: list[str], names: int) -> int:
            table = self._table(headers, "", names)
            return console.measure(table, options=console.options.update(width=1000)).maximum

        whole = [header for group in groups for header in group]
        if width(whole, 1000) <= console.width:
            yield whole
            return
        for group in groups:
            while group:
                taken = len(group)
                while taken > 1 and width(group[:taken], _NAME_WIDTH) > console.width:
                    taken -= 1
                yield group[:taken]
                group = group[taken:]

    def _table(self, headers: Sequence[str], title: str, longest: int = 1000) -> Table:
        """A table of some columns; `longest` cuts names, to measure how wide it is when they are folded."""
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1), pad_edge=False)
        folder = _common_folder([source for source, _, _ in self._rows])
        names = [source.removeprefix(folder) for source, _, _ in self._rows]
        table.add_column("panorama", overflow="fold", min_width=min(_NAME_WIDTH, max(map(len, names))))
        for header in headers:
            table.add_column(header, justify="right", no_wrap=True)
        for name, (_, cells, delivered) in zip(names, self._rows, strict=True):
            table.add_row(
                Text(name[:longest]), *(cells[header] for header in headers), style="" if delivered else "red"
            )
        if self.delivered > 1:
            table.add_section()
            table.add_row("mean", *(COLUMNS[header].mean(self._sums[header]) for header in headers), style="bold")
        return table


def _common_folder(sources: Sequence[str]) -> str:
    """The folder, with its slash, that all sources are in; empty where there is none."""
    folders = {source.rpartition("/")[0] for source in sources}
    return f"{folders.pop()}/" if len(folders) == 1 and "" not in folders else ""


def delivery_line(result: Result) -> str:
    """A delivered panorama in one line: its name first, and what of it was lost."""
    delivery = result.delivery
    assert delivery is not None
    parts = [f"{delivery.segments.lost}/{delivery.segments.sent} segments lost", f"{delivery.bpp:.4f} bpp"]
    if (picture := delivery.stream) and delivery.tokens:
        parts.append(f"{100 * picture.new / delivery.tokens:.0f} % new" if picture.reference else "whole")
        parts.extend(["not shown: a later one had been"] if picture.overtaken else [])
    if result.vpsnr_db is not None:
        parts.append(f"{result.vpsnr_db:.2f} dB VPSNR")
    if total := delivery.seconds.get("total"):
        parts.append(f"{1000 * total:.0f} ms")
    if result.path:
        parts.append(str(result.path))
    return f"{result.source}: {', '.join(parts)}"


def failure_line(result: Result) -> str:
    """Names the panorama and the reason."""
    reason = result.error or "not delivered"
    return reason if result.source in reason else f"{result.source}: {reason}"
