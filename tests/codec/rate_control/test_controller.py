import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.link.rate_allocation import counted
from panolink.codec.codec import Codec
from panolink.codec.quantization.am_vq import bits_room
from panolink.codec.rate_control.controller import (
    COARSEST_STEP,
    FINEST_STEP,
    MOST_LAMBDA_RATIO,
    RD_LAMBDA,
    OperatingPoint,
    RateController,
    choose_resolution,
    mask_bits,
    usable_bits,
)
from panolink.codec.resolution import WHOLE, reduce
from panolink.images import load_panorama, resized

SIZE = (256, 512)


@pytest.fixture(scope="module")
def base() -> Codec:
    """A trained model, for what holds of costs that were learnt."""
    return Codec.load("base", device="cpu")


@pytest.fixture
def controllers(tiny: Codec, panorama: np.ndarray):
    """The panorama at any resolution, and what was asked for."""
    image, asked = panorama.repeat(2, 0).repeat(2, 1), []

    def at(reduction: Fraction) -> RateController:
        asked.append(reduction)
        (features,) = tiny.extract([reduce(image, reduction)])
        return tiny.quantizer.controller(features, size=SIZE, reduction=reduction, robust=True)

    return at, asked


@pytest.mark.parametrize("bits", [500, 5_000, 30_000])
def test_two_quantisations_fill_a_budget(controllers, bits: int):
    at, _ = controllers
    controller = at(WHOLE)
    point = controller.point_for(bits)
    assert FINEST_STEP <= point.step <= COARSEST_STEP
    assert point.lmbda / RD_LAMBDA * (1 + 1e-9) >= 1 / MOST_LAMBDA_RATIO and point.lmbda <= RD_LAMBDA * 3 * (1 + 1e-9)
    costs, point = controller.quantize(bits, point)
    kept = costs.pays(point.lmbda)
    spent = float(costs.bits[kept].sum() + mask_bits(int(kept.sum()), kept.size))
    assert spent == pytest.approx(usable_bits(bits, controller.base.slices), rel=0.15) or point.step == FINEST_STEP


def test_a_given_step_is_kept(controllers):
    controller = controllers[0](WHOLE)
    point = controller.point_for(3000, step=12)
    assert point.step == 12
    assert controller.quantize(3000, point, only_step=True)[1].step == 12


def test_more_room_gives_a_finer_step(controllers):
    controller = controllers[0](WHOLE)
    steps = [controller.point_for(bits).step for bits in (300, 3_000, 30_000, 300_000)]
    assert steps == sorted(steps, reverse=True)


def test_a_pilot_is_asked_once(controllers, monkeypatch: pytest.MonkeyPatch):
    controller = controllers[0](WHOLE)
    first = controller.pilot(OperatingPoint(4, RD_LAMBDA))
    monkeypatch.setattr(controller, "model", None)
    assert controller.pilot(OperatingPoint(4, RD_LAMBDA)) == first


@pytest.mark.parametrize("limits", [[11, 11, 11, 11, 11], [7, 9, 11, 11, 11]], ids=["small", "large"])
@pytest.mark.parametrize("bpp", [0.05, 0.1, 0.3, 1.0])
def test_a_resolution_is_chosen_with_two_looks(controllers, bpp: float, limits: list[int]):
    at, asked = controllers
    reductions = [WHOLE, Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4)]
    found = choose_resolution(at, reductions, bits_room(bpp, SIZE), limits)
    if found:
        assert found[0].base.reduction == asked[-1]
        assert found[1].step <= limits[reductions.index(asked[-1])] or asked[-1] == reductions[-1]
    assert len(asked) <= 2 or asked[-1] == reductions[-1]


def test_without_room_for_a_base_layer_there_is_none(controllers):
    at, _ = controllers
    assert choose_resolution(at, [WHOLE], lambda lengths, mask: -1.0, [11]) is None


def test_a_mask_costs_most_where_half_is_kept():
    assert mask_bits(50, 100) == pytest.approx(100)
    assert mask_bits(0, 100) == pytest.approx(0, abs=1e-4) and math.isfinite(float(mask_bits(100, 100)))


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("bpp", [0.03, 0.1, 0.3])
def test_a_rate_takes_two_quantisations_and_one_packet(base: Codec, samples: list[Path], bpp: float, robust: bool):
    with counted() as work:
        packet = base.encode(resized(load_panorama(samples[0]), SIZE), bpp=bpp, robust=robust)
    assert 0.95 * bpp <= packet.bpp <= bpp
    assert work.tokens - work.pilot_tokens <= 2 * base.unpack(packet).kept.size
    assert work.packs == 1 and work.extractions <= 2
