"""The tables and figures of docs/streaming.md, from what stream.py measured.

    python benchmarks/link/stream_page.py results/stream

Tables stand between the page's markers (`benchmarks/lib/markdown_tables.py`); curves go into docs/images. A part that
was not measured leaves its tables as they are.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib import pyplot

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.lib import markdown_tables
from benchmarks.lib.figures import save
from benchmarks.lib.markdown_tables import markdown

PAGE = Path("docs/streaming.md")
IMAGES = Path("docs/images")
WHO = {
    "stream": "stream",
    "single": "single pictures",
    "sliced": "the same, in slices",
    "jpeg": "JPEG frames",
    "x265": "x265",
    "svt-av1": "SVT-AV1",
}
AS_RATE = "50", "100", "200", "500"

Found = dict[str, Any]


def bits_for(curve: Sequence[Sequence[float]], vpsnr_db: float) -> float | None:
    """Bits per pixel with which single pictures reach a quality, between points linear in log bpp; None beyond them."""
    curve = sorted(curve, key=lambda point: point[0])
    qualities = [quality for _, quality in curve]
    if not qualities[0] <= vpsnr_db <= qualities[-1]:
        return None
    return float(np.exp(np.interp(vpsnr_db, qualities, np.log([bpp for bpp, _ in curve]))))


def rate_table(found: Found, scene: str) -> str:
    """VPSNR of the last picture, and the bits that really went, by bit rate."""
    rows = []
    for kilobits in AS_RATE:
        cells = [kilobits]
        for who in WHO:
            of = found[scene][kilobits].get(who)
            if of is None:
                cells.append("–")
                continue
            quality = np.mean([row["vpsnr_db"][-1] for row in of])
            cells.append(f"{quality:.2f} ({np.mean([row['bits_per_second'] for row in of]) / 1000:.0f})")
        rows.append(cells)
    return markdown(["kbit/s", *WHO.values()], rows)


def over_time_table(found: Found, scene: str, kilobits: str) -> str:
    """VPSNR of pictures of a stream as it goes on."""
    of = found[scene][kilobits]
    numbers = of["stream"][0]["pictures"]
    rows = []
    for who, name in WHO.items():
        if rows_of := of.get(who):
            mean = np.mean([row["vpsnr_db"] for row in rows_of], axis=0)
            rows.append([name, *(f"{value:.2f}" for value in mean)])
    return markdown(["picture", *(str(number + 1) for number in numbers)], rows)


def share_table(found: Found, pixels: int) -> str:
    """Bits of a stream beside those of single pictures of the same quality as its last."""
    rows = []
    for kilobits in AS_RATE:
        bpp, shares = 1000 * float(kilobits) / 10 / pixels, []
        for curve, row in zip(found["still"]["single curve"], found["still"][kilobits]["stream"], strict=True):
            if need := bits_for(curve, row["vpsnr_db"][-1]):
                shares.append(row["bits_per_second"] / 10 / pixels / need)
        share = f"{100 * np.mean(shares):.0f} %" if shares else "under 2 %, or beyond 0.8 bpp"
        rows.append([kilobits, f"{bpp:.4f}", share])
    return markdown(["kbit/s", "bpp", "of the bits of single pictures as good as the 30th"], rows)


def flicker_table(found: Found, scene: str) -> str:
    """Standard deviation in time of the last eight pictures, of 255."""
    rows = []
    for kilobits in AS_RATE:
        of = found[scene][kilobits]
        cells = [f"{np.mean([row['flicker'] for row in of[who]]):.2f}" if who in of else "–" for who in WHO]
        rows.append([kilobits, *cells])
    return f"The source: {found[scene]['source flicker']:.2f}.\n\n" + markdown(["kbit/s", *WHO.values()], rows)


def focus_table(found: Found) -> str:
    """Gain where the focus is, and loss behind."""
    fixed = found["fixed"]
    rows = [[bpp, f"{np.mean(of['gain_db']):+.2f}", f"{np.mean(of['behind_db']):+.2f}"] for bpp, of in fixed.items()]
    return markdown(["bpp", "in the viewport, dB", "opposite, dB"], rows)


def heads_table(found: Found) -> str:
    """Gain along recorded heads."""
    rows = [
        [f"{1000 * float(delay):.0f} ms", f"{np.mean(gains):+.2f}", f"{np.quantile(gains, 0.05):+.2f}"]
        for delay, gains in found["heads"].items()
    ]
    return markdown(["the focus is late by", "mean gain, dB", "a twentieth of moments is below, dB"], rows)


def loss_table(found: Found) -> str:
    """What losses cost at the end of a stream, and how soon it is back."""
    last = {kind: np.mean([row[-8:] for row in found[kind]]) for kind in ("none", "fifth")}
    single = np.mean(found["single none"]) - np.mean(found["single fifth"])
    back = [row[19] for row in found["second"]]
    before = [row[7] for row in found["second"]]
    rows = {
        "a fifth of the slices of every picture lost: below none lost, pictures 23 to 30": last["none"] - last["fifth"],
        "single pictures, likewise": single,
        "nothing arrives for a second: the second picture after it, over the last before it": np.mean(back)
        - np.mean(before),
    }
    return markdown(["", "dB"], [[what, f"{value:.2f}"] for what, value in rows.items()])


def air_table(found: Found) -> str:
    """Mean VPSNR and the worst second, of this link and of x265 with its best scheme."""
    rows = []
    for air, of in found.items():
        best = max((who for who in of if who != "panolink"), key=lambda who: float(np.mean(of[who])))
        cells = [air]
        for who in ("panolink", best):
            means = np.mean(of[who], axis=0)
            seconds = np.convolve(means, np.ones(10) / 10, mode="valid")
            cells += [f"{means.mean():.2f}", f"{seconds.min():.2f}"]
        rows.append([*cells, best.removeprefix("x265 ")])
    return markdown(["", "this link, dB", "its worst second", "x265, dB", "its worst second", "with"], rows)


def cost_table(found: Found) -> str:
    """Medians of the time of a picture."""
    medians = {who: np.median(np.array(of[2:]), axis=0) for who, of in found.items()}
    rows = [
        [name, *(f"{1000 * value:.0f}" for value in medians[who]), f"{1000 * medians[who].sum():.0f}"]
        for who, name in (("single", "single pictures"), ("stream", "stream with a focus"))
    ]
    return markdown(["ms a picture", "encode", "decode", "both"], rows)


def draw_rate(found: Found, scene: str, picture: Path) -> None:
    """VPSNR over the pictures of a stream, at two bit rates."""
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, kilobits in zip(axes, ("100", "500"), strict=True):
        for who, name in WHO.items():
            if rows := found[scene][kilobits].get(who):
                mean = np.mean([row["vpsnr_db"] for row in rows], axis=0)
                axis.plot([number + 1 for number in rows[0]["pictures"]], mean, marker="o", markersize=3, label=name)
        axis.set(title=f"{kilobits} kbit/s", xlabel="picture, ten a second")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("VPSNR, dB")
    axes[0].legend()
    save(figure, picture)


def draw_air(found: Found, picture: Path) -> None:
    """VPSNR over time through each channel."""
    figure, axes = pyplot.subplots(1, len(found), figsize=(12, 3.5), sharey=True, layout="constrained")
    for axis, (air, of) in zip(np.atleast_1d(axes), found.items(), strict=True):
        best = max((who for who in of if who != "panolink"), key=lambda who: float(np.mean(of[who])))
        for who, name in (("panolink", "this link"), (best, best)):
            mean = np.mean(of[who], axis=0)
            axis.plot(np.arange(1, len(mean) + 1), mean, label=name)
        axis.set(title=air, xlabel="picture, ten a second")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("VPSNR of what is shown, dB")
    save(figure, picture)


def main(
    results: Annotated[Path, typer.Argument(help="The folder of stream.py's results.", exists=True, file_okay=False)],
    page: Annotated[Path, typer.Option(help="The page whose tables are written.")] = PAGE,
    images: Annotated[Path, typer.Option(help="Where curves go.")] = IMAGES,
) -> None:
    """Write tables and curves."""
    measured = {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}

    def table(words: list[str]) -> str | None:
        part, *rest = words
        whole = measured.get({"share": "rate", "time": "rate", "flicker": "rate", "heads": "focus"}.get(part, part))
        if whole is None or (part in ("rate", "time", "flicker") and rest[0] not in whole["found"]):
            return None
        found = whole["found"]
        made = {
            "rate": lambda: rate_table(found, *rest),
            "time": lambda: over_time_table(found, *rest),
            "share": lambda: share_table(found, whole["width"] ** 2 // 2),
            "flicker": lambda: flicker_table(found, *rest),
            "focus": lambda: focus_table(found),
            "heads": lambda: heads_table(found) if found["heads"] else None,
            "loss": lambda: loss_table(found),
            "air": lambda: air_table(found),
            "cost": lambda: cost_table(found),
        }
        return made[part]() if part in made else None

    page.write_text(markdown_tables.filled(page.read_text(), table))
    if rate := measured.get("rate"):
        draw_rate(rate["found"], "still", images / "stream_rate")
    if air := measured.get("air"):
        draw_air(air["found"], images / "stream_air")


if __name__ == "__main__":
    typer.run(main)
