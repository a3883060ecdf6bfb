from pathlib import Path

import numpy as np
import pytest

from benchmarks.link.rate_allocation import counted
from panolink.codec.codec import Codec
from panolink.codec.quantization.am_vq import Ranking
from panolink.codec.rate_control.controller import RD_LAMBDA, OperatingPoint
from panolink.codec.resolution import WHOLE, candidates
from panolink.images import load_panorama, resized
from panolink.link.coding import FINE_ENOUGH, Coding
from panolink.link.rate_allocation import SymbolBudget
from panolink.link.unequal_protection import Choice, Fixed

SIZE = (256, 512)
PIXELS = SIZE[0] * SIZE[1]
BUDGETS = (0.02, 0.05, 0.1, 0.2, 0.5)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load("base", device="cpu")


@pytest.fixture(scope="module")
def coding(codec: Codec) -> Coding:
    sample = load_panorama(Path(__file__).parent.parent.parent / "samples/city.webp")
    return Coding(codec, resized(sample, SIZE))


@pytest.mark.parametrize(
    "protection", [Fixed(), Choice(3.0), Choice(15.0, fading=1.0)], ids=["fixed", "3 dB", "fading"]
)
def test_the_resolution_is_the_finest_whose_step_is_fine_enough(coding: Coding, protection: Fixed | Choice):
    *_, coarsest = candidates(1.0, SIZE)
    found = []
    for spp in BUDGETS:
        budget = SymbolBudget.per_pixel(spp, pixels=PIXELS)
        coded = coding.within(budget, protection)
        assert coded.plan.symbols <= budget.symbols
        assert coded.tokens.step <= FINE_ENOUGH or coded.tokens.reduction == coarsest or not coded.tokens.kept.any()
        found.append(coded.tokens.reduction)
    assert found == sorted(found, reverse=True)
    assert found[0] > WHOLE == found[-1]


def test_a_plain_panorama_stays_whole(codec: Codec):
    """All of it is sent with room to spare: a smaller one would be no better."""
    coded = Coding(codec, np.full((*SIZE, 3), 130, np.uint8)).within(SymbolBudget.per_pixel(0.2, pixels=PIXELS))
    assert coded.tokens.reduction == WHOLE and not coded.plan.unsent


@pytest.mark.parametrize("protection", [Fixed(), Choice(5.0)], ids=["fixed", "5 dB"])
@pytest.mark.parametrize("symbols_per_pixel", BUDGETS)
def test_a_budget_of_symbols_takes_two_quantisations_and_one_packet(
    codec: Codec, coding: Coding, symbols_per_pixel: float, protection: Fixed | Choice
):
    """Pilots, which look at a part of the tokens, are not counted; nor is a packet that had to be made shorter."""
    budget = SymbolBudget.per_pixel(symbols_per_pixel, pixels=PIXELS)
    with counted() as work:
        coded = Coding(codec, coding.picture).within(budget, protection)
    assert work.tokens - work.pilot_tokens <= 2 * coded.tokens.kept.size
    assert 1 <= work.packs <= 2 and work.extractions <= 2


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("bpp", [0.03, 0.1, 0.3])
def test_a_rate_takes_two_quantisations_and_one_packet(codec: Codec, coding: Coding, bpp: float, robust: bool):
    with counted() as work:
        packet = codec.encode(coding.picture, bpp=bpp, robust=robust)
    assert 0.95 * bpp <= packet.bpp <= bpp
    assert work.tokens - work.pilot_tokens <= 2 * codec.unpack(packet).kept.size
    assert work.packs == 1 and work.extractions <= 2


def test_a_draft_is_as_long_as_its_packet(codec: Codec, coding: Coding):
    tokens = coding.quantized(WHOLE, tau=0.5)
    controller = codec.quantizer.controller(coding.known[WHOLE], size=SIZE, robust=True)
    enhancement = codec.quantizer.enhancement(controller, OperatingPoint(tokens.step, RD_LAMBDA), Ranking.RATE)
    for room in (4000, 20000):
        tokens, bits = enhancement.within(room)
        packet, draft = codec.pack(tokens), codec.draft(tokens, bits)
        assert [piece.layer for piece in draft.slices] == [piece.layer for piece in packet.slices]
        assert sum(draft.bits.values()) == pytest.approx(sum(packet.bits.values()), rel=0.01)
