import numpy as np
import pytest

import panolink
from benchmarks.link.segment_loss import Air, Draw
from benchmarks.link.semantic_link import Analogue, Digital, arrives
from panolink.errors import RateError
from panolink.link.coding import Coding
from panolink.link.rate_allocation import allocate
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import Choice
from panolink.metrics.viewport import vpsnr

AWGN = Draw(Air.AWGN, (0, 0))


@pytest.fixture(scope="module")
def coding(panorama) -> Coding:
    return Coding(panolink.Codec.load("base", device="cpu"), panorama)


BUDGET = SymbolBudget.per_pixel(0.3, pixels=256 * 128)


@pytest.mark.parametrize("make", [Digital, Analogue])
def test_the_budget_is_kept_and_nearly_filled(coding, make):
    sender = make(coding, BUDGET, Choice(8.0))
    assert 0.9 * BUDGET.symbols < sender.symbols <= BUDGET.symbols
    with pytest.raises(RateError, match="budget of 100 symbols"):
        make(coding, SymbolBudget(100), Choice(8.0))


@pytest.mark.slow
def test_digital_features_stay_as_they_are_where_analogue_ones_follow_the_snr(coding):
    digital, analogue = (make(coding, BUDGET, Choice(8.0)) for make in (Digital, Analogue))

    def quality(sender: Digital | Analogue, snr_db: float) -> float:
        picture = sender.receive(AWGN, snr_db)
        assert picture is not None
        return vpsnr(coding.picture, picture)

    scores = {sender: [quality(sender, snr) for snr in (10, 16, 22)] for sender in (digital, analogue)}
    assert len(set(scores[digital])) == 1
    assert scores[analogue] == sorted(scores[analogue]) and scores[analogue][2] > scores[analogue][0] + 0.3
    base_picture = coding.codec.decode(coding.codec.encode(coding.picture, tau=0.0))
    assert scores[analogue][0] > vpsnr(coding.picture, base_picture) + 1


@pytest.mark.slow
def test_what_is_lost_costs_a_little_and_a_lost_header_the_picture(coding):
    sender = Analogue(coding, BUDGET, Choice(8.0))
    pictures = [sender.receive(Draw(Air.SEGMENT, (0, seed)), 8.0) for seed in range(12)]
    arrived = [picture for picture in pictures if picture is not None]
    assert arrived and all(picture.shape == coding.picture.shape for picture in arrived)
    assert sender.receive(AWGN, -20.0) is None
    digital = Digital(coding, BUDGET, Choice(8.0))
    assert digital.receive(AWGN, -20.0) is None
    keys = {digital.key(Draw(Air.SEGMENT, (0, seed)), 8.0) for seed in range(12)}
    assert len(keys) > 1 and digital.key(AWGN, 10.0) == digital.key(AWGN, 20.0)


def test_a_smaller_picture_goes_where_the_whole_one_does_not_and_is_shown_at_its_size(coding):
    assert allocate(coding, BUDGET, Choice(8.0)).tokens.reduction == 1
    budget = SymbolBudget(1000)
    assert allocate(coding, budget, Choice(0.0)).tokens.reduction > 1
    picture = Digital(coding, budget, Choice(0.0)).receive(AWGN, 0.0)
    assert picture is not None and picture.shape == coding.picture.shape
    assert vpsnr(coding.picture, picture) > vpsnr(coding.picture, np.full_like(coding.picture, 127)) + 2


def test_there_is_a_picture_with_a_header_and_some_indices():
    layers = ["header", "mask", "indices", "indices", "features"]
    assert arrives(layers, np.array([0, 1, 1, 0, 1], bool))
    assert not arrives(layers, np.array([0, 0, 1, 1, 0], bool))
    assert not arrives(layers, np.array([1, 0, 0, 0, 0], bool))
