"""What the shipped models owe to one another, on the sample panoramas."""

from pathlib import Path

import numpy as np
import pytest

import panolink
from panolink.images import load_panorama
from panolink.metrics.viewport import vpsnr


@pytest.mark.parametrize("bpp", [0.1, 0.2, 0.4])
def test_base_is_never_worse_than_paper(samples: list[Path], bpp: float):
    base, paper = (panolink.Codec.load(name, device="cpu") for name in ("base", "paper"))
    for path in samples:
        image = load_panorama(path)
        ours, theirs = (vpsnr(image, codec.decode(codec.encode(image, bpp=bpp))) for codec in (base, paper))
        assert ours > theirs, path.stem


@pytest.mark.parametrize(("bpp", "step", "least_db"), [(0.1, 0, 0.3), (0.1, None, -0.01)], ids=["a step", "any step"])
def test_the_ranking_that_ships_is_never_worse_than_the_papers(
    samples: list[Path], bpp: float, step: int | None, least_db: float
):
    """At a given step a ranking tells which tokens are left out. Where the codec chooses the step as well, it sends
    all that pays, and there is little left to rank."""
    codec = panolink.Codec.load("base", device="cpu")
    wins = []
    for path in samples:
        image = load_panorama(path)
        packets = (codec.encode(image, bpp=bpp, step=step, ranking=ranking) for ranking in ("rate", "paper"))
        ours, papers = (vpsnr(image, codec.decode(packet)) for packet in packets)
        wins.append(ours - papers)
    assert min(wins) > least_db
    assert np.mean(wins) > (1.0 if step == 0 else -0.005)
