"""Tables of what `channel.py` measured, in Markdown, and how far the goals of the link are met.

python benchmarks/channel_tables.py results/*.json
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.channel_results import LINKS

Points = list[dict[str, Any]]
Senders = dict[str, Points]


def merged(results: list[Path]) -> dict[str, Any]:
    """Several results as one: what is in two of them is taken from the later one."""
    whole: dict[str, Any] = {}
    for path in results:
        part = json.loads(path.read_text())
        curves = whole.get("curves", {})
        for air, budgets in part["curves"].items():
            curves.setdefault(air, {}).update(budgets)
        whole |= part | {"curves": curves}
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


def table(senders: Senders, measure: str, digits: int) -> list[str]:
    """Rows of one air and budget: links, envelopes and capacity over SNR, with the share that arrived."""
    shown = [n for n in LINKS if n in senders] + sorted(n for n in senders if n.endswith("envelope"))
    points = {name: {p["snr_db"]: p for p in senders[name]} for name in shown}
    lines = ["| SNR dB | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for snr_db in sorted({snr_db for found in points.values() for snr_db in found}):
        cells = []
        for found in points.values():
            p = found.get(snr_db)
            lost = f" ({100 * p['arrived']:.0f} %)" if p and p["arrived"] < 0.995 else ""
            cells.append(f"{p[measure]['mean']:.{digits}f}{lost}" if p else "")
        lines.append(f"| {snr_db:g} | " + " | ".join(cells) + " |")
    return lines


def cliff(senders: Senders, measure: str) -> list[str]:
    """At the SNR where the best fixed design has lost half of its pictures: it, and this link."""
    found = {name: points for name, points in designs(senders).items() if half_lost_snr(points) is not None}
    lines = []
    for codec in sorted({name.split()[0] for name in found}):
        own = {name: points for name, points in found.items() if name.startswith(codec + " ")}
        best = max(own, key=lambda name: np.mean([p[measure]["mean"] for p in own[name]]))
        snr_db = half_lost_snr(own[best])
        assert snr_db is not None
        cells = [best, f"{snr_db:.1f}", f"{at(own[best], snr_db, measure):.2f}"]
        for link in ("fixed", "adaptive"):
            arrived = 100 * at(senders[link], snr_db, "arrived")
            cells.append(f"{at(senders[link], snr_db, measure):.2f} ({arrived:.0f} %)")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(
    results: Annotated[list[Path], typer.Argument(help="JSON that channel.py --json printed.")],
    measure: Annotated[str, typer.Option(help="Of those that were measured.")] = "vpsnr_db",
    digits: Annotated[int, typer.Option(help="After the point.")] = 2,
) -> None:
    """Tables in Markdown."""
    result = merged(results)
    for air, budgets in result["curves"].items():
        for spp, senders in budgets.items():
            print(f"\n**{air}, {spp} symbols per pixel**\n")
            print("\n".join(table(senders, measure, digits)))
    print("\n**Where the best design of a codec has lost half of its pictures**\n")
    print("| air | symbols per pixel | design | SNR dB | it | fixed | adaptive |\n|---|---|---|---|---|---|---|")
    for air, budgets in result["curves"].items():
        for spp, senders in budgets.items():
            print("\n".join(f"| {air} | {spp} {line}" for line in cliff(senders, measure)))
    print("\n**Steepest rise, dB per dB of SNR**\n")
    print("| air | symbols per pixel | " + " | ".join(LINKS) + " |\n|---|---|" + "---|" * len(LINKS))
    for air, budgets in result["curves"].items():
        for spp, senders in budgets.items():
            cells = (f"{steepest(senders[name], measure):.2f}" if name in senders else "" for name in LINKS)
            print(f"| {air} | {spp} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    typer.run(main)
