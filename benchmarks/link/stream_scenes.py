"""Scenes for benchmarks of streams: made of a panorama, or clips; and where recorded heads looked."""

import csv
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from panolink.images import resized
from panolink.images.video import FrameSelection, video_frames

NOISE = 2.0
"""standard deviation of the sensor's noise, of 255"""

SCENES = ("still", "light", "objects", "turn")
"""a still camera; light that drifts by 5 %; objects that move over 5 % of the sphere; a turn of 3 pixels a picture"""


def scene(panorama: np.ndarray, name: str, count: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Pictures of a camera, uint8 (H, W, 3), with noise in each.

    Parameters
    ----------
    panorama : uint8 (H, W, 3)
    name : one of `SCENES`; all others have what `still` has too.
    """
    if name not in SCENES:
        raise ValueError(f"unknown scene {name!r}; there are {', '.join(SCENES)}")
    rng = np.random.default_rng(seed)
    height, width, _ = panorama.shape
    side = int((0.05 * height * width / 4) ** 0.5)
    for number in range(count):
        picture = panorama.astype(np.float32)
        if name == "light":
            picture = picture * np.float32(1 + 0.05 * np.sin(2 * np.pi * number / 30))
        if name == "objects":
            for k in range(4):
                top, left = (60 + 110 * k) % (height - side), (k * width // 4 + 9 * number) % (width - side)
                from_top, from_left = (top + 97) % (height - side), (211 * k) % (width - side)
                block = panorama[from_top : from_top + side, from_left : from_left + side]
                picture[top : top + side, left : left + side] = block
        if name == "turn":
            picture = np.roll(picture, 3 * number, axis=1)
        yield np.clip(np.rint(picture + rng.normal(0, NOISE, picture.shape)), 0, 255).astype(np.uint8)


def clip(path: Path, count: int, *, fps: float, size: tuple[int, int]) -> list[np.ndarray]:
    """The first pictures of a video, uint8 (H, W, 3), scaled to (height, width)."""
    frames = video_frames(path, selection=FrameSelection(fps=fps), allow_any_aspect=True)
    return [resized(frame.array, size) for frame in itertools.islice(frames, count)]


def heads(path: Path, *, tuning: bool = False) -> dict[tuple[str, str], np.ndarray]:
    """Movements of heads: seconds, yaw and pitch in degrees, float64 (samples, 3), by video and person.

    Parameters
    ----------
    path : `heads.csv`, with columns video, person, seconds, yaw_deg, pitch_deg.
    tuning : those of persons divisible by four, on which constants may be chosen; otherwise all others.
    """
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if (int(row["person"]) % 4 == 0) == tuning:
                moment = (float(row["seconds"]), float(row["yaw_deg"]), float(row["pitch_deg"]))
                found[row["video"], row["person"]].append(moment)
    return {key: np.array(rows) for key, rows in found.items()}


def direction(head: np.ndarray, seconds: float) -> tuple[float, float]:
    """Yaw and pitch in degrees at a moment, between samples along the shorter way."""
    yaw = np.interp(seconds, head[:, 0], np.unwrap(head[:, 1], period=360))
    return float(yaw), float(np.clip(np.interp(seconds, head[:, 0], head[:, 2]), -90, 90))
