"""The search for what fits a budget: on lengths alone, and with a real model."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.link.rate_allocation import counted
from panolink.codec.codec import Codec
from panolink.codec.resolution import WHOLE, candidates
from panolink.errors import RateError
from panolink.images import load_panorama, resized
from panolink.link.coding import Coding
from panolink.link.rate_allocation import LINK_FINE_ENOUGH, allocate, fill, probe, protect, symbol_room
from panolink.link.symbol_budget import SymbolBudget
from panolink.link.unequal_protection import (
    HEADER_SNR_DB,
    SAFETY_DB,
    TARGET,
    Choice,
    Fixed,
    assign_formats,
    required_snr_db,
)
from panolink.phy import SegmentFormat, modulate
from panolink.phy.bler_curves import bler_curve
from panolink.phy.mcs import MCS_TABLE

PIXELS = 1024 * 512
SIZE = (256, 512)
BUDGETS = (0.02, 0.05, 0.1, 0.2, 0.5)
BASE = [("header", 58), *[("indices", 300)] * 6]


def slices_at(bpp: float) -> list[tuple[str, bytes]]:
    """A stand-in for a codec: the base layer, and features for what is left of the bits, in slices as it cuts them."""
    slices = [(layer, bytes(size)) for layer, size in BASE]
    left = int(bpp * PIXELS / 8) - sum(size for _, size in BASE) - 180
    if left < 40:
        if bpp:
            raise RateError("too little")
        return slices
    parts = max(1, min(96, round(left / 325)))
    sizes = [left // parts + (i < left % parts) for i in range(parts)]
    return [slices[0], ("mask", bytes(180)), *slices[1:], *[("features", bytes(size)) for size in sizes]]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load("base", device="cpu")


@pytest.fixture(scope="module")
def coding(codec: Codec, samples: list[Path]) -> Coding:
    """A panorama of 512×256, encoded once for all."""
    return Coding(codec, resized(load_panorama(samples[0]), SIZE))


@pytest.mark.parametrize("fading", [False, True])
@pytest.mark.parametrize("snr_db", [-6, 0, 3.3, 10, 17, 30])
def test_schemes_hold_at_the_snr_less_their_safety(snr_db, fading):
    choice = Choice(snr_db, fading)
    for layer, runs in choice.schemes().items():
        for scheme, safety in zip(runs, SAFETY_DB[layer], strict=True):
            curve = bler_curve(scheme, channel="rayleigh" if fading else "awgn")
            assert curve.bler(snr_db - safety) <= TARGET or scheme == MCS_TABLE[0]
    speeds = [scheme.bits_per_symbol for runs in choice.schemes().values() for scheme in runs]
    assert speeds == sorted(speeds)  # header, mask, indices, features: the dearer its loss, the slower


def test_better_channels_are_not_used_less():
    for layer in SAFETY_DB:
        speeds = [Choice(float(snr)).scheme(layer).bits_per_symbol for snr in np.arange(-10, 35, 0.5)]
        assert speeds == sorted(speeds)
        assert (speeds[0], speeds[-1]) == (MCS_TABLE[0].bits_per_symbol, MCS_TABLE[-1].bits_per_symbol)


@pytest.mark.parametrize("symbols_per_pixel", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("snr_db", [2, 8, 14, 25])
def test_a_budget_is_kept_and_used(symbols_per_pixel, snr_db):
    budget = SymbolBudget.per_pixel(symbols_per_pixel, pixels=PIXELS)
    plan = fill(slices_at, budget, Choice(snr_db), pixels=PIXELS)
    sent = [payload for i, (_, payload) in enumerate(plan.slices) if i not in plan.unsent]
    assert plan.symbols == modulate(sent, plan.formats).size <= budget.symbols
    if any(layer == "features" for layer, _ in plan.slices):
        assert plan.symbols >= 0.97 * budget.symbols


def test_pilots_are_part_of_the_budget():
    budget = SymbolBudget.per_pixel(0.1, pixels=PIXELS)
    plan = fill(slices_at, budget, Choice(10.0), pixels=PIXELS, pilot_spacing=10)
    payloads = [payload for _, payload in plan.slices]
    assert plan.symbols == modulate(payloads, plan.formats, pilot_spacing=10).size
    assert 0.97 * budget.symbols <= plan.symbols <= budget.symbols


def test_the_base_layer_goes_less_safely_before_it_does_not_go():
    need = fill(slices_at, SymbolBudget(10**6), Choice(5.0), pixels=PIXELS)
    safe = sum(fmt.symbols for fmt, (layer, _) in zip(need.formats, need.slices, strict=True) if layer == "indices")
    tight = fill(slices_at, SymbolBudget(safe * 18 // 25), Choice(5.0), pixels=PIXELS)
    assert tight.symbols <= safe * 18 // 25 and len(tight.formats) == len(BASE) and not tight.unsent
    assert tight.formats[-1].scheme == Choice(5.0).scheme("indices", lowered_db=4.0)


def test_with_fading_some_safety_is_kept_for_fades_that_do_not_average_out():
    plan = fill(slices_at, SymbolBudget(9000), Choice(5.0, fading=True), pixels=PIXELS)
    (scheme,) = {fmt.scheme for fmt in plan.formats[1:]}
    assert required_snr_db(scheme, fading=True) <= 5.0 - 1.0 and plan.symbols <= 9000


def test_where_the_base_layer_does_not_fit_every_other_slice_does():
    half = SegmentFormat(58, MCS_TABLE[0]).symbols + 3 * SegmentFormat(300, MCS_TABLE[0]).symbols
    plan = fill(slices_at, SymbolBudget(half + 300), Choice(-6.0), pixels=PIXELS)
    assert plan.unsent == (2, 4, 6) and len(plan.formats) == 4 and plan.symbols <= half + 300
    with pytest.raises(RateError, match="budget of 1000 symbols has no room for a header and a slice") as refused:
        fill(slices_at, SymbolBudget(1000), Choice(-6.0), pixels=PIXELS)
    least = int(str(refused.value).partition("the least is ")[2].partition(",")[0])
    assert fill(slices_at, SymbolBudget(least), Choice(-6.0), pixels=PIXELS).symbols == least
    with pytest.raises(RateError):
        fill(slices_at, SymbolBudget(least - 1), Choice(-6.0), pixels=PIXELS)


def test_the_default_schemes_fill_a_budget_too():
    budget = SymbolBudget.per_pixel(0.1, pixels=PIXELS)
    plan = fill(slices_at, budget, Fixed(), pixels=PIXELS)
    assert 0.97 * budget.symbols <= plan.symbols <= budget.symbols
    assert plan.formats == assign_formats([(layer, len(payload)) for layer, payload in plan.slices])


def test_a_header_survives_a_fade_that_nobody_could_foresee():
    choice = Choice(25.0, header_snr_db=HEADER_SNR_DB)
    (scheme,) = choice.schemes()["header"]
    assert required_snr_db(scheme, payload_bytes=60, fading=1.0) <= -2.5
    assert {k: v for k, v in choice.schemes().items() if k != "header"} == {
        k: v for k, v in Choice(25.0).schemes().items() if k != "header"
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "protection", [Fixed(), Choice(3.0), Choice(15.0, fading=1.0)], ids=["fixed", "3 dB", "fading"]
)
def test_the_resolution_is_the_finest_whose_step_is_fine_enough(coding: Coding, protection: Fixed | Choice):
    *_, coarsest = candidates(1.0, SIZE)
    found = []
    for spp in BUDGETS:
        budget = SymbolBudget.per_pixel(spp, pixels=SIZE[0] * SIZE[1])
        coded = allocate(coding, budget, protection)
        assert coded.plan.symbols <= budget.symbols
        assert (
            coded.tokens.step <= LINK_FINE_ENOUGH or coded.tokens.reduction == coarsest or not coded.tokens.kept.any()
        )
        found.append(coded.tokens.reduction)
    assert found == sorted(found, reverse=True)
    assert found[0] > WHOLE == found[-1]


def test_a_plain_panorama_stays_whole(codec: Codec):
    """All of it is sent with room to spare: a smaller one would be no better."""
    budget = SymbolBudget.per_pixel(0.2, pixels=SIZE[0] * SIZE[1])
    coded = allocate(Coding(codec, np.full((*SIZE, 3), 130, np.uint8)), budget)
    assert coded.tokens.reduction == WHOLE and not coded.plan.unsent


@pytest.mark.parametrize("protection", [Fixed(), Choice(5.0)], ids=["fixed", "5 dB"])
@pytest.mark.parametrize("symbols_per_pixel", BUDGETS)
def test_a_budget_of_symbols_takes_two_quantisations_and_one_packet(
    codec: Codec, coding: Coding, symbols_per_pixel: float, protection: Fixed | Choice
):
    """Pilots, which look at a part of the tokens, are not counted; nor is a packet that had to be made shorter."""
    budget = SymbolBudget.per_pixel(symbols_per_pixel, pixels=SIZE[0] * SIZE[1])
    with counted() as work:
        coded = allocate(Coding(codec, coding.picture), budget, protection)
    assert work.tokens - work.pilot_tokens <= 2 * coded.tokens.kept.size
    assert 1 <= work.packs <= 2 and work.extractions <= 2


def test_a_probe_is_the_safest_that_fits(coding: Coding):
    """A budget that `allocate` has no room in: what is sent instead gives up as few decibels as it can."""
    choice, budget = Choice(-6.0, margin_db=2.0), SymbolBudget(900)
    with pytest.raises(RateError, match="no room"):
        allocate(coding, budget, choice)
    coded, used = probe(coding, budget, choice)
    assert 0 < coded.plan.symbols <= budget.symbols and not coded.tokens.kept.any()
    assert used in choice.less_safe() and used.snr_db + used.margin_db == choice.snr_db + choice.margin_db
    safer = choice.less_safe()[: choice.less_safe().index(used)]
    assert safer
    with pytest.raises(RateError, match="no room"):
        fill(lambda _: coded.plan.slices, budget, safer[-1], pixels=SIZE[0] * SIZE[1])
    with pytest.raises(RateError, match="no room"):
        probe(coding, SymbolBudget(10), choice)


def test_protection_is_given_up_by_half_decibels_and_never_more_than_needed():
    base = slices_at(0.0)
    need = [SymbolBudget(10**6), SymbolBudget(12_000), SymbolBudget(9_000), SymbolBudget(7_000)]
    choice = Choice(5.0, base_layer_margin_db=3.0)
    found = [protect(base, budget, choice) for budget in need]
    assert found[0] == choice.schemes()
    assert all(schemes in [choice.schemes(lowered_db=half / 2) for half in range(15)] for schemes in found)
    assert all(schemes["features"] == choice.schemes()["features"] for schemes in found)
    speeds = [schemes["indices"][0].bits_per_symbol for schemes in found]
    assert speeds == sorted(speeds) and speeds[0] < speeds[-1]


@pytest.mark.parametrize("pilot_spacing", [0, 8])
def test_the_room_for_features_is_what_a_budget_leaves_them(pilot_spacing: int):
    lengths = [300] * 6
    rooms = []
    for symbols in (5_000, 20_000, 40_000, 80_000):
        room = symbol_room(SymbolBudget(symbols), Choice(8.0), size=(512, 1024), pilot_spacing=pilot_spacing)
        rooms.append(room(lengths, 400.0))
    assert rooms[0] < 0 and rooms[1:] == sorted(rooms[1:])
    speed = np.mean([1 / scheme.bits_per_symbol for scheme in Choice(8.0).schemes()["features"]]) ** -1
    pilots = 1 - 1 / pilot_spacing if pilot_spacing else 1
    assert (rooms[3] - rooms[2]) / 40_000 == pytest.approx(speed * pilots, rel=0.05)
