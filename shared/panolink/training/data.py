"""Panoramas to train on: a memory-mapped cache of decoded pixels, and crops that know where on the sphere they lie."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from panolink.errors import ImageError

VALIDATION_SHARE = 0.05
"""of the panoramas, at least, are held out to choose checkpoints"""

PICTURE_SUFFIXES = {".webp", ".png", ".jpg", ".jpeg", ".avif"}


@dataclass(frozen=True)
class Crop:
    """A square crop and the latitude of each of its rows."""

    pixels: np.ndarray
    """uint8 (size, size, 3)"""
    latitude: np.ndarray
    """float32 (size,), radians, north positive"""
    weight: float
    """importance of the crop: 1 / density with which its centre latitude was drawn (mean about 1)"""


class PanoramaCache:
    """Decoded panoramas of a folder in one memory-mapped file, split by source into training and validation.

    The first use decodes the folder (1.5 GB for 500 panoramas of 1536×768); later ones only map it. A CSV beside
    the folder (``train.csv`` for ``train/``) with the columns ``id`` and ``group`` names each picture's source;
    without one every picture is its own source. A source is never on both sides of the split.
    """

    def __init__(self, folder: Path, cache: Path, *, max_width: int = 1536) -> None:
        folder, cache = Path(folder), Path(cache)
        paths = panorama_files(folder)
        digest = hashlib.sha256("\n".join(f"{p.name} {p.stat().st_size}" for p in paths).encode())
        stem = cache / f"{folder.name}-{max_width}-{digest.hexdigest()[:12]}"
        if not stem.with_suffix(".json").exists():
            _decode_all(paths, stem, max_width)
        self.entries: list[dict] = json.loads(stem.with_suffix(".json").read_text())
        self._pixels = np.memmap(stem.with_suffix(".u8"), dtype=np.uint8, mode="r")
        self._groups = _read_groups(folder)

    def __len__(self) -> int:
        return len(self.entries)

    def panorama(self, index: int) -> np.ndarray:
        """Pixels of one panorama, uint8 (H, W, 3), as a view of the mapped file."""
        entry = self.entries[index]
        height, width, start = entry["height"], entry["width"], entry["offset"]
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)

    def split(self, validation_share: float = VALIDATION_SHARE) -> tuple[list[int], list[int]]:
        """Indices for training and for validation; see ``split_by_source``."""
        ids = [str(entry["id"]) for entry in self.entries]
        held_out = split_by_source(ids, self._groups, validation_share)
        chosen = set(held_out)
        return [i for i in range(len(ids)) if i not in chosen], held_out


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
    """The pictures of a folder, by name; ImageError where there are none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise ImageError(f"{folder}: no panoramas there; wanted files ending in {sorted(PICTURE_SUFFIXES)}")
    return paths


def validation_files(folder: Path) -> list[Path]:
    """The pictures of a training folder that training holds out, by name."""
    paths = panorama_files(Path(folder))
    return [paths[i] for i in sorted(split_by_source([p.stem for p in paths], _read_groups(Path(folder))))]


def _decode_all(paths: Sequence[Path], stem: Path, max_width: int) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    entries, offset = [], 0
    partial = stem.with_suffix(".partial")
    with partial.open("wb") as file:
        for path in paths:
            with Image.open(path) as picture:
                image = picture.convert("RGB")
            if image.width > max_width:
                image = image.resize((max_width, max_width * image.height // image.width), Image.Resampling.LANCZOS)
            file.write(image.tobytes())
            entries.append({"id": path.stem, "width": image.width, "height": image.height, "offset": offset})
            offset += image.width * image.height * 3
    partial.rename(stem.with_suffix(".u8"))
    stem.with_suffix(".json").write_text(json.dumps(entries))


def _read_groups(folder: Path) -> dict[str, str]:
    table = folder.with_suffix(".csv")
    if not table.exists():
        return {}
    with table.open(newline="") as file:
        return {row["id"]: row["group"] for row in csv.DictReader(file)}


def random_crop(panorama: np.ndarray, size: int, random: np.random.Generator, *, scales: tuple[float, float]) -> Crop:
    """A crop of size² pixels: random yaw (it wraps), latitude by solid angle, scale, flip and mild brightness.

    ``scales`` bounds the factor by which the panorama is (as if) resized before cropping; it is lowered where the
    panorama would become lower than the crop.
    """
    height, width = panorama.shape[:2]
    low = max(scales[0], size / height)
    scale = math.exp(random.uniform(math.log(low), math.log(max(low, scales[1]))))
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
    """Endless batches of crops: pixels (batch, 3, size, size) uint8, latitude (batch, size), weight (batch,)."""

    def __init__(
        self,
        cache: PanoramaCache,
        indices: Sequence[int],
        *,
        size: int,
        batch: int,
        scales: tuple[float, float] = (0.6, 1.0),
        seed: tuple[int, ...] = (0,),
    ) -> None:
        self.cache, self.indices, self.size, self.batch, self.scales, self.seed = (
            cache,
            indices,
            size,
            batch,
            scales,
            seed,
        )

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng([*self.seed, worker.id if worker else 0])
        while True:
            crops = [
                random_crop(
                    self.cache.panorama(int(random.choice(self.indices))),
                    self.size,
                    random,
                    scales=self.scales,
                )
                for _ in range(self.batch)
            ]
            yield (
                torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2),
                torch.from_numpy(np.stack([crop.latitude for crop in crops])),
                torch.tensor([crop.weight for crop in crops], dtype=torch.float32),
            )
