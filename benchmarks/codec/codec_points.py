"""What other codecs reach on the test panoramas, as a table: published, so that nobody codes for hours to compare.

    python benchmarks/codec/codec_points.py write docs/data/codec-points.csv
    python benchmarks/codec/codec_points.py read docs/data/codec-points.csv

`write` collects what rate_distortion.py has measured of other codecs and kept below `--cache`: a row for each image,
codec and setting. `read` puts such rows there, so that the next run measures only what they lack: rows are of an
image's very pixels and a codec's version. Without `read` everything is measured anew.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib.quality_measures import MEASURES
from benchmarks.lib.rate_points import BASELINES
from benchmarks.lib.revisions import is_of_these_measures, of_measures

KEYS = ("image", "codec", "setting", "bpp", "reached", "revision")
"""columns before those of measures: width x height and a hash of the pixels, name and version, a quality or a target,
and the revision of the code that has scored it"""

Table = Annotated[Path, typer.Argument(help="A CSV file.")]
Cache = Annotated[Path, typer.Option(help="Where rate_distortion.py keeps points.")]

app = typer.Typer(help=__doc__, add_completion=False)


@app.command()
def write(table: Table, cache: Cache = Path(".cache/rate_distortion")) -> None:
    """Write a table of all points of other codecs in a cache."""
    versions = {codec.version for codec in BASELINES.values()}
    rows = []
    for file in sorted(cache.glob("*/*.json")):
        if file.stem not in versions:
            continue
        for setting, point in sorted(json.loads(file.read_text()).items()):
            if not is_of_these_measures(point):
                continue
            scores = [f"{point[name]:.5g}" if name in point else "" for name in MEASURES]
            bpp, reached = f"{point['bpp']:.6g}", int(point["reached"])
            rows.append([file.parent.name, file.stem, setting, bpp, reached, of_measures(), *scores])
    if not rows:
        raise typer.BadParameter(f"{cache}: no points of other codecs there; rate_distortion.py measures them")
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([[*KEYS, *MEASURES], *rows])
    print(f"{table}: {len(rows)} points")


@app.command()
def read(table: Table, cache: Cache = Path(".cache/rate_distortion")) -> None:
    """Put a table's points into a cache; what was measured there already by the same measures stays. Points of others
    stay out."""
    found: dict[Path, dict[str, dict[str, Any]]] = {}
    others = 0
    with table.open(newline="") as opened:
        for row in csv.DictReader(opened):
            if not is_of_these_measures(row):
                others += 1
                continue
            scores = {name: float(row[name]) for name in MEASURES if row.get(name)}
            point = {"bpp": float(row["bpp"]), "reached": row["reached"] == "1", "revision": of_measures(), **scores}
            found.setdefault(cache / row["image"] / f"{row['codec']}.json", {})[row["setting"]] = point
    for file, points in found.items():
        there = json.loads(file.read_text()) if file.exists() else {}
        measured = {setting: point for setting, point in there.items() if is_of_these_measures(point)}
        merged = {setting: points.get(setting, {}) | measured.get(setting, {}) for setting in points | measured}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(merged, indent=1))
    left = f"; {others} were scored by other code and stay out" if others else ""
    print(f"{cache}: {sum(map(len, found.values()))} points of {len(found)} codings{left}")


if __name__ == "__main__":
    app()
