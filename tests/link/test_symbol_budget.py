import pytest

from panolink.errors import SignalError
from panolink.link.symbol_budget import Plan, SymbolBudget
from panolink.link.unequal_protection import default_schemes
from panolink.phy import modulate

SIZES = {"header": [40], "mask": [0], "indices": [200, 150], "features": [90]}
SLICES = [(layer, bytes(size)) for layer, sizes in SIZES.items() for size in sizes]


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


def test_a_plan_gives_formats_to_what_has_a_payload_and_is_sent():
    plan = Plan.of(0.1, SLICES, default_schemes(), 0, unsent=(3,))
    assert [fmt.payload_bytes for fmt in plan.formats] == [40, 200, 90]
    assert plan.slices == SLICES and plan.unsent == (3,)


@pytest.mark.parametrize("pilot_spacing", [0, 7])
def test_a_plan_counts_the_symbols_that_are_modulated(pilot_spacing: int):
    plan = Plan.of(0.1, SLICES, default_schemes(), pilot_spacing)
    payloads = [payload for _, payload in SLICES if payload]
    assert plan.symbols == modulate(payloads, plan.formats, pilot_spacing=pilot_spacing).size


def test_a_draft_s_plan_becomes_that_of_its_packet():
    draft = Plan.of(0.1, SLICES, default_schemes(), 7, unsent=(3,))
    longer = [(layer, payload + b"x" if payload else b"") for layer, payload in SLICES]
    plan = draft.with_payloads(longer, default_schemes())
    assert plan == Plan.of(0.1, longer, default_schemes(), 7, unsent=(3,))
    assert [fmt.payload_bytes for fmt in plan.formats] == [41, 201, 91]
