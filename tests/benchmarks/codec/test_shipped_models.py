"""The short form of what the shipped models promise of one another: the sample on which the gains are smallest."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.codec.shipped_models import Promise, promises
from panolink.codec.codec import Codec
from panolink.images import load_panorama

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made() -> dict[str, Promise]:
    return promises(*(Codec.load(name, device="cpu") for name in ("base", "paper")))


@pytest.fixture(scope="module")
def forest(samples: list[Path]) -> np.ndarray:
    """Fine detail everywhere, uint8 (512, 1024, 3)."""
    (path,) = (path for path in samples if path.stem == "forest")
    return load_panorama(path)


@pytest.mark.parametrize("bpp", [0.1, 0.2, 0.4])
def test_base_is_never_worse_than_paper(made: dict[str, Promise], forest: np.ndarray, bpp: float):
    small = forest.reshape(256, 2, 512, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    promise = made[f"base over paper at {bpp:g} bpp"]
    assert promise.gain(small) > max(promise.least_db, promise.mean_db)


@pytest.mark.parametrize("where", ["at a step", "at any step"])
def test_the_ranking_that_ships_is_never_worse_than_the_papers(
    made: dict[str, Promise], forest: np.ndarray, where: str
):
    promise = made[f"ranking over the paper's map, {where}"]
    assert promise.gain(forest) > promise.least_db


def test_smaller_pictures_have_the_smaller_error(made: dict[str, Promise], forest: np.ndarray):
    promise = made["chosen over full resolution at 0.03 bpp"]
    assert promise.gain(forest) > promise.mean_db


def test_a_promise_is_of_the_worst_and_of_the_mean():
    promise = Promise(lambda image: 0.0, least_db=-0.1, mean_db=0.5)
    assert promise.kept([0.0, 1.2])
    assert not promise.kept([-0.2, 3.0]) and not promise.kept([0.0, 0.9])
