"""What browsers may ask for."""

from typing import Any

import pytest

from panolink.phy import Clock, Conditions, Scenario
from panolink.services.viewer.control import (
    ControlError,
    changes_of,
    conditions_as_dict,
    realism_of,
    scenarios,
    send_options,
    width_of,
)


async def conditions() -> Conditions:
    return Conditions(snr_db=7.0)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"changes": {}},
        {"changes": []},
        {"changes": {"seed": 1}},
        {"changes": {"snr_db": "loud"}},
        {"changes": {"snr_db": float("nan")}},
        {"changes": {"model": "ether"}},
        {"changes": {"model": ["awgn"]}},
        {"scenario": "flood"},
        {"scenario": ["tunnel"]},
    ],
)
async def test_conditions_that_make_no_sense_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ControlError):
        await changes_of(message, conditions)


async def test_a_slider_ends_a_scenario() -> None:
    assert await changes_of({"changes": {"snr_db": 4}}, conditions) == {"unscheduled": True, "snr_db": 4}
    assert await changes_of({"scenario": "off"}, conditions) == {"unscheduled": True}


@pytest.mark.parametrize("name", scenarios(10.0))
async def test_scenarios_are_possible_and_end_where_they_began(name: str) -> None:
    changes = await changes_of({"scenario": name}, conditions)
    scenario = Conditions(snr_db=7.0, **changes).schedule
    assert isinstance(scenario, Scenario)
    last = scenario.phases[-1]
    assert (last.changes["snr_db"] if last.final_snr_db is None else last.final_snr_db) == 7.0


@pytest.mark.parametrize(
    "message",
    [
        {"bpp": 0.1, "tau": 0.5},
        {"bpp": -1},
        {"tau": 2},
        {"harq": 9},
        {"model": 5},
        {"model": "\ud800"},  # JSON may have half a surrogate pair, protobuf may not
        {"adaptive": True, "bpp": 0.1},
        {"bitrate": 5},
    ],
)
def test_options_that_make_no_sense_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ControlError):
        send_options(message, 0.1)


def test_options() -> None:
    assert send_options({"tau": 0.5, "harq": 2}, 0.1) == {"adaptive": False, "tau": 0.5, "harq": 2, "model": ""}
    assert send_options({"bitrate": 1e6}, 0.5)["mean_bits"] == 5e5
    assert width_of({"width": 512}) == 512 and width_of({}) is None


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"decoder": "blurred"},
        {"decoder": None},
        {"decoder": ["fidelity"]},
        {"realism": "0.5"},
        {"realism": True},
        {"realism": 1.5},
        {"realism": float("nan")},
        {"decoder": "perceptual", "realism": 0.5},
    ],
)
def test_decoders_that_make_no_sense_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ControlError):
        realism_of(message)


def test_decoders() -> None:
    names = {"": None, "fidelity": 0, "perceptual": 1}
    assert {name: realism_of({"decoder": name}) for name in names} == names
    assert [realism_of({"realism": realism}) for realism in (None, 0, 0.5, 1)] == [None, 0, 0.5, 1]


def test_a_scenario_that_is_over_runs_no_more() -> None:
    for name, scenario in scenarios(10.0).items():
        conditions = Conditions("awgn", 10.0, schedule=scenario, clock=Clock.WALL)
        assert conditions_as_dict(conditions, 0.5)["scheduled"]
        assert conditions_as_dict(conditions, 1000.0)["scheduled"] == (name == "drive")
    assert not conditions_as_dict(Conditions("awgn", 10.0))["scheduled"]
