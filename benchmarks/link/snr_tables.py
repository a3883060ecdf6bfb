"""The tables of docs/channel.md, from what `quality_over_snr.py` measured.

    python benchmarks/link/snr_tables.py results/channel.json

writes them between the markers of the page (see `markdown_tables.py`): `<!-- table AIR SPP MEASURE -->` over SNR, and
`cliffs MEASURE` and `steepness MEASURE`, which tell how far the goals of the link are met.
"""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.markdown_tables import filled, markdown
from benchmarks.lib.quality_measures import MEASURES
from benchmarks.link.snr_curves import LINKS

PAGE = Path("docs/channel.md")
SHOWN_DB = 5.0
"""SNRs that divide by this one have a row"""

Points = list[dict[str, Any]]
Senders = dict[str, Points]


def merged(results: list[Path]) -> dict[str, Any]:
    """Several results as one: what is in two of them is taken from the later one. They have the measures of all."""
    whole: dict[str, Any] = {}
    for path in results:
        part = json.loads(path.read_text())
        curves = whole.get("curves", {})
        for air, budgets in part["curves"].items():
            curves.setdefault(air, {}).update(budgets)
        measures = [name for name in part["measures"] if name in whole.get("measures", part["measures"])]
        whole |= part | {"curves": curves, "measures": measures}
    return whole


def designs(senders: Senders) -> Senders:
    """The separate designs: one codec, one scheme."""
    return {
        name: points
        for name, points in senders.items()
        if name not in LINKS and not name.endswith(("envelope", "at capacity"))
    }


def at(points: Points, snr_db: float, what: str) -> float:
    """Mean of a measure, or the share that arrived, between measured SNRs on a line."""
    values = [p[what] if what == "arrived" else p[what]["mean"] for p in points]
    return float(np.interp(snr_db, [p["snr_db"] for p in points], values))


def half_lost_snr(points: Points) -> float | None:
    """The highest SNR at which a design loses half of its pictures; None where it does so at every SNR, or at none."""
    for low, high in reversed(list(pairwise(points))):
        if low["arrived"] <= 0.5 < high["arrived"]:
            share = (0.5 - low["arrived"]) / (high["arrived"] - low["arrived"])
            return low["snr_db"] + share * (high["snr_db"] - low["snr_db"])
    return None


def steepest(points: Points, measure: str) -> float:
    """Largest rise per dB of SNR between measured SNRs."""
    return max((b[measure]["mean"] - a[measure]["mean"]) / (b["snr_db"] - a["snr_db"]) for a, b in pairwise(points))


def table(senders: Senders, measure: str) -> str:
    """One air and budget: links and envelopes over SNR, with the share that arrived where that is not all."""
    shown = [n for n in LINKS if n in senders] + sorted(n for n in senders if n.endswith("envelope"))
    points = {name: {p["snr_db"]: p for p in senders[name]} for name in shown}
    rows = []
    for snr_db in sorted({snr_db for found in points.values() for snr_db in found if snr_db % SHOWN_DB == 0}):
        cells = []
        for found in points.values():
            p = found.get(snr_db)
            lost = f" ({100 * p['arrived']:.0f} %)" if p and p["arrived"] < 0.995 else ""
            cells.append(f"{p[measure]['mean']:.{MEASURES[measure].digits}f}{lost}" if p else "")
        rows.append([f"{snr_db:g}", *cells])
    return markdown([f"{MEASURES[measure].label} at SNR dB", *shown], rows)


def cliffs(airs: dict[str, dict[str, Senders]], measure: str) -> str:
    """At the SNR where the best fixed design of a codec has lost half of its pictures: it, and this link."""
    rows = []
    for air, spp, senders in _each(airs):
        found = {name: points for name, points in designs(senders).items() if half_lost_snr(points) is not None}
        for codec in sorted({name.split()[0] for name in found}):
            own = {name: points for name, points in found.items() if name.startswith(codec + " ")}
            best = max(own, key=lambda name: np.mean([p[measure]["mean"] for p in own[name]]))
            snr_db = half_lost_snr(own[best])
            assert snr_db is not None
            cells = [air, spp, best, f"{snr_db:.1f}", f"{at(own[best], snr_db, measure):.2f}"]
            for link in ("fixed", "adaptive"):
                arrived = 100 * at(senders[link], snr_db, "arrived")
                lost = f" ({arrived:.0f} %)" if arrived < 99.5 else ""
                cells.append(f"{at(senders[link], snr_db, measure):.2f}{lost}")
            rows.append(cells)
    label = MEASURES[measure].label
    return markdown(["channel", "symbols per pixel", "design", "SNR dB", f"its {label}", "fixed", "adaptive"], rows)


def steepness(airs: dict[str, dict[str, Senders]], measure: str) -> str:
    """The largest rises of this link's curves, per dB of SNR."""
    rows = [
        [air, spp, *(f"{steepest(senders[name], measure):.2f}" if name in senders else "" for name in LINKS)]
        for air, spp, senders in _each(airs)
    ]
    return markdown(["channel", "symbols per pixel", *LINKS], rows)


def _each(airs: dict[str, dict[str, Senders]]) -> Iterator[tuple[str, str, Senders]]:
    for air, budgets in airs.items():
        for spp, senders in budgets.items():
            yield air, spp, senders


def main(
    results: Annotated[list[Path], typer.Argument(help="JSON that quality_over_snr.py --json printed.")],
    page: Annotated[Path, typer.Option(help="Where the tables stand.")] = PAGE,
) -> None:
    """Write the tables of what was measured; those over SNR of other channels and measures stay as they are."""
    result = merged(results)
    airs = result["curves"]

    def written(words: list[str]) -> str | None:
        *what, measure = words
        if measure not in result["measures"]:
            return None
        if what in (["cliffs"], ["steepness"]):
            return (cliffs if what == ["cliffs"] else steepness)(airs, measure)
        air, spp = what
        return table(airs[air][spp], measure) if spp in airs.get(air, {}) else None

    page.write_text(filled(page.read_text(), written))


if __name__ == "__main__":
    typer.run(main)
