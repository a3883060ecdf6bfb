"""Make a folder of training panoramas small enough to carry to another machine: scaled down, as WebP, with its CSV.

    python scripts/pack_panoramas.py panoramas/ more/ --out packed --mebibytes 40
    python scripts/pack_panoramas.py panoramas/ more/ --out packed2 --mebibytes 40 --piece 2

About 65 KB a panorama at 1024×512. A piece holds as many places as fit: one panorama of each source, then a second one
of each, and so on; the next piece goes on where this one ends. Those that a run is validated by are in every piece,
nearly lossless, and marked in the CSV, so that the split, and what a validation means, is the same there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.progress import track

from panolink.errors import ImageError
from panolink.images.read import load_panorama
from panolink.training.config import TrainingConfig
from panolink.training.data import MAX_WIDTH, held_out, panorama_files, read_table, refuse_same_names, table_of

VALIDATION_QUALITY = 95


def webp(source: Path, width: int, quality: int) -> bytes:
    """A panorama at most ``width`` pixels wide, as WebP."""
    image = Image.fromarray(load_panorama(source))
    if image.width > width:
        image = image.resize((width, width * image.height // image.width), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def by_turns(names: Sequence[str], groups: dict[str, str]) -> list[str]:
    """Names reordered: the first of each source, then the second of each, and so on."""
    seen: dict[str, int] = {}
    turns: dict[str, int] = {}
    for name in names:
        source = groups.get(name, name)
        turns[name] = seen[source] = seen.get(source, -1) + 1
    return sorted(names, key=lambda name: turns[name])


def packed(
    files: dict[str, Path], order: Sequence[str], width: int, quality: int, wide: int, limit: float, piece: int
) -> Iterator[tuple[str, bytes]]:
    """The panoramas of a piece, each with its bytes: piece 1 is the first ``limit`` bytes of ``order``, and so on."""
    large = [name for name in order if _width(files[name]) > width][:wide]
    with ThreadPoolExecutor() as pool:
        pictures = pool.map(lambda name: webp(files[name], MAX_WIDTH if name in large else width, quality), order)
        number, filled = 1, 0
        for name, data in zip(order, track(pictures, description="packing", total=len(order)), strict=True):
            if filled + len(data) > limit:
                number, filled = number + 1, 0
            filled += len(data)
            if number == piece:
                yield name, data
            elif number > piece:
                pool.shutdown(wait=False, cancel_futures=True)
                return


def _width(path: Path) -> int:
    with Image.open(path) as picture:
        return picture.width


def main(
    folders: Annotated[list[Path], typer.Argument(help="Panoramas, in one folder or several.", exists=True)],
    out: Annotated[Path, typer.Option(help="Where the packed ones go; made if it is not there.")],
    width: Annotated[int, typer.Option(min=256, help="Largest width in pixels.")] = 1024,
    quality: Annotated[int, typer.Option(min=1, max=100, help="WebP's.")] = 80,
    wide: Annotated[int, typer.Option(min=0, help="So many of the wider ones stay up to 2048 wide.")] = 0,
    mebibytes: Annotated[float, typer.Option(help="Most that a piece takes.")] = 40.0,
    piece: Annotated[int, typer.Option(min=1, help="Which piece.")] = 1,
) -> None:
    """Pack folders of panoramas."""
    paths = [path for folder in folders for path in panorama_files(folder)]
    names = [path.stem for path in paths]
    refuse_same_names(names, " and ".join(map(str, folders)))
    files = dict(zip(names, paths, strict=True))
    groups: dict[str, str] = {}
    marked: list[str] = []
    for folder in folders:
        its_groups, its_marked = read_table(folder)
        groups |= its_groups
        marked += its_marked
    validation = [names[i] for i in held_out(names, groups, marked)]
    sources = {groups.get(name, name) for name in validation}
    order = by_turns([name for name in names if groups.get(name, name) not in sources], groups)
    wanted = TrainingConfig().validation_images
    validation = validation[:: max(1, len(validation) // wanted)][:wanted]
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise ImageError(f"{out}: not empty; give a folder that is, or is not there yet")
    chosen = {name: webp(files[name], width, VALIDATION_QUALITY) for name in validation}
    room = mebibytes * 2**20 - sum(map(len, chosen.values()))
    for name, data in packed(files, order, width, quality, wide, room, piece):
        chosen[name] = data
    for name, data in chosen.items():
        (out / f"{name}.webp").write_bytes(data)
    with table_of(out).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "group", "held_out"])
        table.writerows([name, groups.get(name, name), 1 if name in validation else ""] for name in chosen)
    total = sum(map(len, chosen.values())) / 2**20
    left = len(order) + len(validation) - len(chosen)
    print(
        f"{len(chosen)} panoramas ({len(validation)} to validate by), {total:.1f} MiB in {out}; {left} in other pieces"
    )


if __name__ == "__main__":
    typer.run(main)
