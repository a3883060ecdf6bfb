import random

import pytest

from panolink.errors import RateError
from panolink.link.symbol_budget import Plan, SymbolBudget
from panolink.link.thinning import thinned
from panolink.link.unequal_protection import Choice, Schemes, default_schemes

SCHEMES = [default_schemes(), Choice(5.0).schemes()]


def layers(count: int, *, seed: int = 0) -> list[tuple[str, bytes]]:
    """Index slices of very different lengths, one in ten of them empty."""
    lengths = random.Random(seed)
    indices = [("indices", bytes(lengths.choice([0, *range(20, 200, 20)]))) for _ in range(count)]
    return [("header", bytes(60)), ("mask", bytes(90)), *indices]


def one_after_the_other(base: list[tuple[str, bytes]], budget: int, schemes: Schemes, spacing: int) -> Plan | None:
    """The plan with the most slices that fits, by trying each."""
    places = [i for i, (layer, _) in enumerate(base) if layer == "indices"]
    for count in range(len(places) - 1, 0, -1):
        sent = {places[i * len(places) // count] for i in range(count)}
        plan = Plan.of(0.0, base, schemes, spacing, tuple(i for i in places if i not in sent))
        if plan.symbols <= budget:
            return plan
    return None


@pytest.mark.parametrize("pilot_spacing", [0, 8])
@pytest.mark.parametrize("schemes", SCHEMES, ids=["fixed", "5 dB"])
def test_as_many_slices_are_sent_as_fit(schemes: Schemes, pilot_spacing: int) -> None:
    for seed in range(3):
        base = layers(12, seed=seed)
        whole = Plan.of(0.0, base, schemes, pilot_spacing).symbols
        for budget in range(whole // 2, whole, whole // 12):
            expected = one_after_the_other(base, budget, schemes, pilot_spacing)
            if expected:
                found = thinned(base, SymbolBudget(budget), schemes, pixels=1000, pilot_spacing=pilot_spacing)
                assert found == expected


def test_many_slices_take_few_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    base, made, of = layers(400), [], Plan.of
    monkeypatch.setattr(Plan, "of", lambda *args: made.append(args) or of(*args))
    plan = thinned(base, SymbolBudget(10_000), SCHEMES[0], pixels=10**6)
    assert plan.symbols <= 10_000 and 0 < len(plan.unsent) < 400
    assert len(made) <= 2


@pytest.mark.parametrize("slices", [0, 1, 3])
def test_a_header_and_a_slice_are_the_least(slices: int) -> None:
    base = [*layers(0), *[("indices", bytes(100))] * slices]
    few = Plan.of(0.0, base, SCHEMES[0], 0, tuple(range(3, 2 + slices)))
    with pytest.raises(RateError, match=f"budget of 9 symbols .* the least is {few.symbols}, 0.* per pixel"):
        thinned(base, SymbolBudget(9), SCHEMES[0], pixels=10**6)
