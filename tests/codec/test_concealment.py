"""Filling lost tokens, and what lost index slices cost with the shipped weights on the sample panoramas."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import panolink
from panolink.codec.bitstream import Layer, Packet, Slice
from panolink.codec.codec import Codec
from panolink.codec.concealment import MOST_RINGS, conceal, decoder_inputs
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


@pytest.fixture(scope="module")
def drops(samples: list[Path]) -> Callable[[float | None], float]:
    """Mean loss in dB, at a rate or of the base layer alone, of six of some thirty slices of five panoramas: one each,
    and two of one. At a rate their features go with them."""

    @cache
    def mean_drop(bpp: float | None) -> float:
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
        return float(np.mean(drops))

    return mean_drop


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bpp", "most_db"),
    [(None, 2.0), (0.1, 3.0)],
    ids=["base layer", "0.1 bpp"],
)
def test_a_fifth_of_the_index_slices_erased(drops: Callable[[float | None], float], bpp: float | None, most_db: float):
    assert drops(bpp) < most_db


def test_concealment_fills_from_neighbours_around_the_sphere():
    features = torch.ones(1, 2, 4, 8) * torch.tensor([3.0, -1.0]).view(1, 2, 1, 1)
    lost = torch.zeros(1, 4, 8, dtype=torch.bool)
    lost[0, 1:3, :3] = lost[0, :, 7] = True
    torch.testing.assert_close(conceal(features.masked_fill(lost[:, None], 99.0), lost), features)
    gone = conceal(features, torch.ones_like(lost))
    assert gone.count_nonzero() == 0


def test_concealment_ends_however_far_what_arrived_is():
    """A burst of a few bytes may leave one row of thousands: what is far from it takes no round of its own."""
    features = torch.zeros(1, 1, 3 * MOST_RINGS, 4)
    features[0, 0, 0] = torch.tensor([1.0, 5.0, 0.0, 2.0])
    lost = torch.ones(1, 3 * MOST_RINGS, 4, dtype=torch.bool)
    lost[0, 0] = False
    concealed = conceal(features, lost)[0, 0]
    assert torch.equal(concealed[0], features[0, 0, 0])
    assert concealed[1].tolist() == [2.25, 2.75, 1.75, 1.25]
    assert (concealed[MOST_RINGS + 1 :] == 2).all()


def test_a_decoder_is_told_which_tokens_are_concealed(tiny: Codec, panorama: np.ndarray):
    tokens = tiny.unpack(tiny.encode(panorama, tau=0.5))
    features, guidance = decoder_inputs(tokens, tiny.network.codebook)
    rows, cols = tokens.indices.shape
    assert features.shape == (1, 12, rows, cols) and guidance.shape == (1, 3, rows, cols)
    assert np.array_equal(guidance[0, 0].numpy() > 0, tokens.kept) and not guidance[0, 2].any()
    lost = np.zeros((rows, cols), bool)
    lost[1] = True
    holed, marked = decoder_inputs(replace(tokens, concealed=lost), tiny.network.codebook)
    assert np.array_equal(marked[0, 2].numpy() > 0, lost)
    expected = conceal(features, torch.from_numpy(lost)[None])
    assert torch.equal(holed, expected) and not torch.equal(holed, features)
