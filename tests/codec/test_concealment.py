"""What lost index slices cost, with the shipped weights on the sample panoramas."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import panolink
from panolink.codec.bitstream import Layer, Packet, Slice
from panolink.images import load_panorama
from panolink.metrics.viewport import vpsnr


def without(packet: Packet, lost: set[int]) -> Packet:
    """The packet less some of its index slices."""
    slices, place = [], 0
    for piece in packet.slices:
        gone = piece.layer == Layer.INDICES and place in lost
        place += piece.layer == Layer.INDICES
        slices.append(Slice(piece.layer, None) if gone else piece)
    return replace(packet, slices=tuple(slices))


GOAL_MISSED = pytest.mark.xfail(strict=True, reason="it costs 3.3 dB; docs/channel.md tells why")


@pytest.mark.parametrize(
    ("bpp", "most_db"),
    [(None, 2.0), pytest.param(0.1, 3.0, marks=GOAL_MISSED), (0.1, 3.4)],
    ids=["base layer", "0.1 bpp, the goal", "0.1 bpp, no worse"],
)
def test_a_fifth_of_the_index_slices_erased(samples: list[Path], bpp: float | None, most_db: float):
    """Six of some thirty slices of five panoramas: one each, and two of one. At 0.1 bpp their features go with them."""
    codec = panolink.Codec.load("base", device="cpu")
    drops, erased, slices = [], 0, 0
    for i, path in enumerate(samples):
        image = load_panorama(path)
        packet = codec.encode(image, bpp=bpp, tau=None if bpp else 0.0, robust=True)
        count = packet.header.index_slices
        lost = {i % count, (i + 3) % count} if i == 2 else {i % count}
        drops.append(vpsnr(image, codec.decode(packet)) - vpsnr(image, codec.decode(without(packet, lost))))
        erased, slices = erased + len(lost), slices + count
    assert erased / slices == pytest.approx(0.2, abs=0.02)
    assert np.mean(drops) < most_db
