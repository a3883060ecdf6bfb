"""Panoramas to train on: a memory-mapped cache of decoded pixels, and crops that know where on the sphere they lie."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from panolink.cpu import usable_cores
from panolink.errors import ImageError
from panolink.images.read import load_panorama

VALIDATION_SHARE = 0.05
"""of the panoramas, at least, are held out to choose checkpoints"""

MAX_WIDTH = 2048
"""of a panorama in the cache, in pixels"""

PICTURE_SUFFIXES = {".webp", ".png", ".jpg", ".jpeg", ".avif"}


@dataclass(frozen=True)
class Crop:
    """A square crop and the latitude of each of its rows."""

    pixels: np.ndarray
    """uint8 (size, size, 3)"""
    latitude: np.ndarray
    """float32 (size,), radians, north positive"""
    weight: float
    """importance of the crop: 1 / density with which its centre latitude was drawn, as if latitudes were drawn evenly.
    Rows near the poles lie in fewer crops and so count less than on the sphere (those beyond 60° for 0.06 to 0.09 of
    the squared error, on the sphere for 0.13), in what is not weighted by cos(latitude), LPIPS, as much or more."""


class PanoramaCache:
    """Decoded panoramas of one folder or several, memory-mapped, split by source into training and validation.

    Parameters
    ----------
    folders
        Where the pictures lie. A CSV beside a folder (``train.csv`` for ``train/``) with the columns ``id`` and
        ``group`` names each picture's source; without one every picture is its own source. A third column,
        ``held_out``, is 1 for those to validate on.
    cache
        Where the decoded pixels go, one file a folder: the first use decodes (1.5 GB for 500 panoramas of 1536×768),
        later ones only map.
    max_width
        Wider panoramas are scaled down to this, in pixels.

    Raises
    ------
    ImageError
        Where a folder holds no panoramas, or two folders hold one of the same name.
    """

    def __init__(self, folders: Path | Sequence[Path], cache: Path, *, max_width: int = MAX_WIDTH) -> None:
        folders = [_named(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]
        self.name = " and ".join(folder.name for folder in folders)
        self.entries: list[dict] = []
        self._pixels: list[np.memmap] = []
        self._groups: dict[str, str] = {}
        marked: list[str] = []
        for folder in folders:
            paths = panorama_files(folder)
            digest = hashlib.sha256("\n".join(f"{p.name} {p.stat().st_size}" for p in paths).encode())
            stem = Path(cache) / f"{folder.name}-{max_width}-{digest.hexdigest()[:12]}"
            if not _beside(stem, ".json").exists():
                _decode_all(paths, stem, max_width)
            entries = json.loads(_beside(stem, ".json").read_text())
            self.entries += [entry | {"file": len(self._pixels)} for entry in entries]
            self._pixels.append(np.memmap(_beside(stem, ".u8"), dtype=np.uint8, mode="r"))
            groups, of_table = read_table(folder)
            self._groups |= groups
            marked += of_table
        self.ids = [str(entry["id"]) for entry in self.entries]
        refuse_same_names(self.ids, self.name)
        self._held_out = [self.ids[index] for index in held_out(self.ids, self._groups, marked)]

    def __len__(self) -> int:
        return len(self.entries)

    def keep(self, indices: Sequence[int]) -> None:
        """Forget all but these panoramas; those that stay are renumbered, and are held out where they were before.

        Parameters
        ----------
        indices : sequence of int
        """
        self.entries = [self.entries[index] for index in sorted(indices)]
        self.ids = [self.ids[index] for index in sorted(indices)]

    def panorama(self, index: int) -> np.ndarray:
        """Pixels of one panorama, as a view of the mapped file.

        Parameters
        ----------
        index : int

        Returns
        -------
        uint8 (H, W, 3)
        """
        entry = self.entries[index]
        height, width, start = entry["height"], entry["width"], entry["offset"]
        return self._pixels[entry["file"]][start : start + height * width * 3].reshape(height, width, 3)

    def widths(self) -> NDArray[np.int64]:
        """Width of each panorama in pixels."""
        return np.array([entry["width"] for entry in self.entries])

    def split(self) -> tuple[list[int], list[int]]:
        """Indices for training and for validation; see `held_out`."""
        positions = {name: index for index, name in enumerate(self.ids)}
        validation = [positions[name] for name in self._held_out if name in positions]
        names = {self._groups.get(self.ids[i], self.ids[i]) for i in validation}
        return [i for i, name in enumerate(self.ids) if self._groups.get(name, name) not in names], validation


def held_out(ids: Sequence[str], groups: dict[str, str], marked: Iterable[str] = ()) -> list[int]:
    """Positions of the panoramas to validate on: those that a table marks, then those that the package's list names.

    Each in its own order. Where none is marked or listed, as in anyone's own folder, whole sources are taken by
    `split_by_source`, which gives others where some of the panoramas are missing: packed ones are marked.

    Parameters
    ----------
    ids : sequence of str
        Of the panoramas.
    groups : dict of str to str
        Source by id; one without is its own source.
    marked : iterable of str
        As of `read_table`.
    """
    positions = {name: index for index, name in enumerate(ids)}
    listed = resources.files("panolink.training").joinpath("validation_panoramas.txt").read_text().splitlines()
    found = [positions[name] for name in dict.fromkeys([*marked, *listed]) if name in positions]
    return found or split_by_source(ids, groups)


def refuse_same_names(ids: Sequence[str], where: str) -> None:
    """Raise `ImageError` where two panoramas have the same id, which tells them apart everywhere else.

    Parameters
    ----------
    ids : sequence of str
    where : str
        Of which folders, for the message.
    """
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ImageError(f"{where}: two panoramas are called {twice!r}; a name must be one picture's alone")


def split_by_source(ids: Sequence[str], groups: dict[str, str], share: float = VALIDATION_SHARE) -> list[int]:
    """Positions of the panoramas to validate on: whole sources, chosen by a hash of their name, until there are enough.

    ``groups``: source by panorama id; one without is its own source. Sources too large for the share stay in training.
    """
    by_group: dict[str, list[int]] = {}
    for index, name in enumerate(ids):
        by_group.setdefault(groups.get(name, name), []).append(index)
    validation: list[int] = []
    for group in sorted(by_group, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(validation) >= share * len(ids):
            break
        if len(by_group[group]) <= max(4, share * len(ids)):
            validation += by_group[group]
    return validation


def panorama_files(folder: Path) -> list[Path]:
    """The pictures of a folder, by name.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ImageError
        There are none.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise ImageError(f"{folder}: no panoramas there; wanted files ending in {sorted(PICTURE_SUFFIXES)}")
    return paths


def validation_files(folder: Path) -> list[Path]:
    """The pictures of a training folder that training holds out, by name."""
    paths = panorama_files(Path(folder))
    return [paths[i] for i in sorted(held_out([p.stem for p in paths], *read_table(Path(folder))))]


def _decode_all(paths: Sequence[Path], stem: Path, max_width: int) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    entries, offset = [], 0
    partial = _beside(stem, ".partial")
    try:
        with partial.open("wb") as file, ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(paths), 64):
                some = paths[start : start + 64]
                for path, pixels in zip(some, pool.map(lambda path: _decoded(path, max_width), some), strict=True):
                    file.write(pixels.tobytes())
                    height, width, _ = pixels.shape
                    entries.append({"id": path.stem, "width": width, "height": height, "offset": offset})
                    offset += pixels.size
        partial.rename(_beside(stem, ".u8"))
    finally:
        partial.unlink(missing_ok=True)  # gigabytes, of no use to the next call
    _beside(stem, ".json").write_text(json.dumps(entries))


def _decoded(path: Path, max_width: int) -> NDArray[np.uint8]:
    """uint8 (H, W, 3), at most ``max_width`` wide."""
    image = Image.fromarray(load_panorama(path))
    if image.width > max_width:
        image = image.resize((max_width, max_width * image.height // image.width), Image.Resampling.LANCZOS)
    return np.asarray(image)


def table_of(folder: Path) -> Path:
    """The CSV that goes with a folder of panoramas: beside it, of its whole name."""
    return _beside(_named(folder), ".csv")


def read_table(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Source by panorama id, and the ids that are marked as held out, from `table_of` a folder; empty without one."""
    table = table_of(folder)
    if not table.exists():
        return {}, []
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and not {"id", "group"} <= rows[0].keys():
        raise ImageError(f"{table}: its columns are {', '.join(map(str, rows[0]))}; wanted are id and group")
    return {row["id"]: row["group"] for row in rows}, [row["id"] for row in rows if row.get("held_out") == "1"]


def _named(folder: str | Path) -> Path:
    """A folder by a path that ends in its name, which `.` does not; links stay."""
    return Path(os.path.abspath(folder))


def _beside(path: Path, suffix: str) -> Path:
    """A path with more at its end. `Path.with_suffix` would take away what follows a dot in a folder's name."""
    return path.with_name(path.name + suffix)


def random_crop(
    panorama: np.ndarray,
    size: int,
    random: np.random.Generator,
    *,
    scales: tuple[float, float],
    native_share: float = 0.0,
) -> Crop:
    """A crop of size² pixels: random yaw (it wraps), latitude by solid angle, scale and flip.

    ``scales`` bounds the factor by which the panorama is (as if) resized before cropping; it is lowered where the
    panorama would become lower than the crop. ``native_share`` of the crops are cut at 1 : 1.
    """
    height, width = panorama.shape[:2]
    low = max(scales[0], size / height)
    scale = math.exp(random.uniform(math.log(low), math.log(max(low, scales[1]))))
    if native_share and random.random() < native_share:
        scale = max(1.0, size / height)
    source = min(round(size / scale), height)
    reach = math.pi / 2 * (1 - source / height)
    centre = math.asin(random.uniform(-math.sin(reach), math.sin(reach)))
    top = min(max(round((0.5 - centre / math.pi) * height - source / 2), 0), height - source)
    columns = (random.integers(width) + np.arange(source)) % width
    pixels = np.take(panorama[top : top + source], columns, axis=1)
    if source != size:
        image = Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS)
        pixels = np.asarray(image)
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    rows = top + (np.arange(size) + 0.5) * source / size
    latitude = math.pi * (0.5 - rows / height)
    return Crop(pixels, latitude.astype(np.float32), math.cos(0.8 * reach) / math.cos(centre))


class CropStream(torch.utils.data.IterableDataset):
    """Endless batches of crops: pixels (batch, 3, size, size) uint8, latitude (batch, size), weight (batch,).

    A panorama is drawn in proportion to its number of pixels: of a large one there are more different crops. The batch
    of a step depends on ``seed`` and the step's number alone, ``first`` for the first, however many workers load.
    """

    def __init__(
        self,
        cache: PanoramaCache,
        indices: Sequence[int],
        *,
        size: int,
        batch: int,
        scales: tuple[float, float] = (0.6, 1.0),
        native_share: float = 0.0,
        seed: tuple[int, ...] = (0,),
        first: int = 0,
    ) -> None:
        self.cache, self.indices, self.size, self.batch = cache, indices, size, batch
        self.scales, self.native_share, self.seed, self.first = scales, native_share, seed, first
        area = np.square(cache.widths()[list(indices)].astype(np.float64))
        self.probabilities = area / area.sum()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        number, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in itertools.count(self.first + number, stride):
            random = np.random.default_rng([*self.seed, step])
            crops = [
                random_crop(
                    self.cache.panorama(int(index)),
                    self.size,
                    random,
                    scales=self.scales,
                    native_share=self.native_share,
                )
                for index in random.choice(self.indices, size=self.batch, p=self.probabilities)
            ]
            yield (
                torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2),
                torch.from_numpy(np.stack([crop.latitude for crop in crops])),
                torch.tensor([crop.weight for crop in crops], dtype=torch.float32),
            )
