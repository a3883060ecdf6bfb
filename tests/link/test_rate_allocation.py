import numpy as np
import pytest

from panolink.errors import RateError, SignalError
from panolink.link.rate_allocation import SymbolBudget, fill
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


@pytest.mark.parametrize("fading", [False, True])
@pytest.mark.parametrize("snr_db", [-6, 0, 3.3, 10, 17, 30])
def test_schemes_hold_at_the_snr_less_their_safety(snr_db, fading):
    choice = Choice(snr_db, fading)
    for layer, runs in choice.schemes().items():
        for scheme, safety in zip(runs, SAFETY_DB[layer], strict=True):
            curve = bler_curve(scheme, channel="rayleigh" if fading else "awgn")
            assert curve.bler(snr_db - safety) <= TARGET or scheme == MCS_TABLE[0]
    speeds = [scheme.bits_per_symbol for runs in choice.schemes().values() for scheme in runs]
    assert speeds == sorted(speeds)  # header, mask, indices, features first and last: the more worth, the slower


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


def test_a_deadline_is_a_number_of_symbols():
    assert SymbolBudget.within(0.05, symbol_rate_hz=1e6) == SymbolBudget(50_000)
    assert SymbolBudget.per_pixel(0.1, pixels=1000) == SymbolBudget(100)
    for make in (
        lambda: SymbolBudget.within(0, symbol_rate_hz=1e6),
        lambda: SymbolBudget.per_pixel(float("nan"), pixels=9),
        lambda: SymbolBudget(0),
    ):
        with pytest.raises(SignalError, match="allowed"):
            make()


def test_a_header_survives_a_fade_that_nobody_could_foresee():
    choice = Choice(25.0, header_snr_db=HEADER_SNR_DB)
    (scheme,) = choice.schemes()["header"]
    assert required_snr_db(scheme, payload_bytes=60, fading=1.0) <= -2.5
    assert {k: v for k, v in choice.schemes().items() if k != "header"} == {
        k: v for k, v in Choice(25.0).schemes().items() if k != "header"
    }
