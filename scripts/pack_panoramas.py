"""Make a folder of training panoramas small enough to carry to another machine: scaled down, as WebP, with its CSV.

    python scripts/pack_panoramas.py panoramas/ packed/ --width 1024 --quality 82

About 85 KB a panorama at 1024×512: 500 of them take 45 MB. Sources named in `panoramas.csv` stay known, so that the
split into training and validation is the same there.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.progress import track

from panolink.training.data import panorama_files


def pack(source: Path, target: Path, width: int, quality: int) -> int:
    """Write one panorama; its bytes."""
    with Image.open(source) as picture:
        image = picture.convert("RGB")
    if image.width > width:
        image = image.resize((width, width * image.height // image.width), Image.Resampling.LANCZOS)
    image.save(target, "WEBP", quality=quality, method=4)
    return target.stat().st_size


def main(
    folder: Annotated[Path, typer.Argument(help="Panoramas.", exists=True, file_okay=False)],
    target: Annotated[Path, typer.Argument(help="Where the packed ones go; made if it is not there.")],
    width: Annotated[int, typer.Option(min=256, help="Largest width in pixels.")] = 1024,
    quality: Annotated[int, typer.Option(min=1, max=100, help="WebP's.")] = 82,
) -> None:
    """Pack a folder of panoramas."""
    files = panorama_files(folder)
    target.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        sizes = pool.map(lambda file: pack(file, target / f"{file.stem}.webp", width, quality), files)
        total = sum(track(sizes, description="packing", total=len(files)))
    if (table := folder.with_suffix(".csv")).exists():
        shutil.copy(table, target.with_suffix(".csv"))
    print(f"{len(files)} panoramas, {total / 2**20:.1f} MiB in {target}")


if __name__ == "__main__":
    typer.run(main)
