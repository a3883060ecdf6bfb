from pathlib import Path

import numpy as np
import pytest

from panolink.codec.codec import Codec
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
