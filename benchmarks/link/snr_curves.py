"""What `quality_over_snr.py` keeps and reports: scores of pictures received, curves over SNR, confidence bands."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.lib.quality_measures import MEASURES, Reference

RESAMPLINGS = 1000
LINKS = ("fixed", "adaptive", "analogue")
_SAVE_EVERY = 20


class PictureCache:
    """Scores of one panorama as received, on disk by what was sent and what of it was lost.

    `revision`: of what receives it, as `benchmarks.lib.revisions` has it; scores of others are not its own.
    """

    def __init__(self, image: np.ndarray, measures: list[str], folder: Path, *, revision: str) -> None:
        digest = hashlib.sha256(image.tobytes()).hexdigest()[:16]
        self._file = folder / f"{image.shape[1]}x{image.shape[0]}-{digest}-{revision}.json"
        self._reference, self._measures = Reference(image), measures
        self._known: dict[str, dict[str, float]] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._unsaved = 0

    def scores(self, key: str, picture: Callable[[], np.ndarray | None]) -> dict[str, float]:
        """Scores of a picture, which is made only where some are not known."""
        known = self._known.setdefault(key, {})
        if missing := [name for name in self._measures if name not in known]:
            made = picture()
            assert made is not None
            known |= self._reference.measure(made, missing)
            self._unsaved += 1
            if self._unsaved >= _SAVE_EVERY:
                self.save()
        return {name: known[name] for name in self._measures}

    def save(self) -> None:
        """Write what is new."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps({key: scores for key, scores in self._known.items() if scores}))
        partial.replace(self._file)
        self._unsaved = 0


class Curves:
    """Scores by air, budget, SNR and sender, each of a panorama and a draw."""

    def __init__(self, measures: list[str]) -> None:
        self._measures = measures
        self._found: dict[tuple[str, float, float, str], list[tuple[int, list[float], float]]] = defaultdict(list)

    def add(
        self, air: str, spp: float, snr_db: float, panorama: int, name: str, scores: dict[str, float], arrived: float
    ) -> None:
        """One panorama at one draw. arrived : probability that a picture came out at all."""
        values = [scores[m] for m in self._measures]
        self._found[air, spp, snr_db, name].append((panorama, values, arrived))

    def summary(self) -> dict[str, Any]:
        """air → symbols per pixel → sender → points in order of SNR; and of each codec the envelope: at each SNR the
        design that is best there in the mean of the first measure."""
        out: dict[str, Any] = {}
        for (air, spp, snr_db, name), found in sorted(self._found.items()):
            point = {"snr_db": snr_db, **self._point(found)}
            out.setdefault(air, {}).setdefault(f"{spp:g}", {}).setdefault(name, []).append(point)
        for senders in (senders for budgets in out.values() for senders in budgets.values()):
            senders |= _envelopes(senders, self._measures[0])
        return out

    def _point(self, found: list[tuple[int, list[float], float]]) -> dict[str, Any]:
        """Means with 95 % intervals: panoramas are resampled, and with them their draws."""
        panoramas = sorted({number for number, _, _ in found})
        by_panorama = np.array([np.mean([v for n, v, _ in found if n == p], axis=0) for p in panoramas])
        rng = np.random.default_rng(0)
        means = by_panorama[rng.integers(len(panoramas), size=(RESAMPLINGS, len(panoramas)))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5], axis=0)
        point: dict[str, Any] = {
            name: {"mean": float(by_panorama[:, i].mean()), "low": float(low[i]), "high": float(high[i])}
            for i, name in enumerate(self._measures)
        }
        return point | {"arrived": float(np.mean([a for _, _, a in found])), "transmissions": len(found)}


def _envelopes(senders: dict[str, list[dict[str, Any]]], by: str) -> dict[str, list[dict[str, Any]]]:
    designs: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for name, points in senders.items():
        codec, _, scheme = name.partition(" ")
        if scheme and scheme != "at capacity":
            designs[codec][scheme] = points
    sign = 1 if MEASURES[by].higher_is_better else -1
    envelopes = {}
    for codec, schemes in designs.items():
        columns = zip(*([dict(p, scheme=s) for p in points] for s, points in schemes.items()), strict=True)
        envelopes[f"{codec} envelope"] = [max(column, key=lambda p: sign * p[by]["mean"]) for column in columns]
    return envelopes


def report(console: Console, result: dict[str, Any]) -> None:
    """A table for each air and budget: this link, envelopes, capacity."""
    for measure_name in result["measures"]:
        for air, budgets in result["curves"].items():
            for spp, senders in budgets.items():
                shown = [n for n in senders if n in LINKS or n.endswith(("envelope", "at capacity"))]
                table = Table("SNR dB", *shown, title=f"{MEASURES[measure_name].label}, {air}, {spp} symbols per pixel")
                points = {name: {p["snr_db"]: p for p in senders[name]} for name in shown}
                for snr_db in sorted({snr_db for found in points.values() for snr_db in found}):
                    cells = []
                    for found in points.values():
                        p = found.get(snr_db)
                        value = f"{p[measure_name]['mean']:.{MEASURES[measure_name].digits}f}" if p else ""
                        cells.append(f"{value} ({100 * p['arrived']:.0f} %)" if p else "")
                    table.add_row(f"{snr_db:g}", *cells)
                console.print(table)
    console.print("in brackets: share of the pictures that arrived")
