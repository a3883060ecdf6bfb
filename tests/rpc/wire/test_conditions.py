import pytest

from panolink.errors import SignalError
from panolink.phy import ChannelModel, Conditions, Phase, Scenario, SnrTrace
from panolink.rpc.wire.conditions import conditions_from_wire, conditions_to_wire, whole_conditions_to_wire
from panolink.v1 import channel_pb2


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_conditions_cross_unchanged(seed: int | None) -> None:
    conditions = Conditions("rician", snr_db=-3.5, coherence_symbols=64, rician_k_db=2.0, seed=seed)
    assert conditions_from_wire(whole_conditions_to_wire(conditions)) == conditions


@pytest.mark.parametrize("model", list(ChannelModel))
def test_every_model_and_number_crosses_unchanged(model: ChannelModel) -> None:
    conditions = Conditions(
        model, doppler_hz=33.5, symbol_rate_hz=2e6, delay_spread_s=1e-7, subcarriers=72,
        erasure_rate=0.25, erasure_burst=4.0, packet_symbols=750, clock="wall",
    )  # fmt: skip
    assert conditions_from_wire(whole_conditions_to_wire(conditions)) == conditions


@pytest.mark.parametrize(
    "schedule",
    [
        Scenario((Phase(1.5, {"model": "jakes", "snr_db": 3.0, "packet_symbols": 0}, 1.0), Phase(2)), repeat=True),
        SnrTrace((0.0, 0.5), (3.0, 4.0)),
        None,
    ],
)
def test_schedules_cross_unchanged(schedule: Scenario | SnrTrace | None) -> None:
    conditions = Conditions(schedule=schedule)
    assert conditions_from_wire(whole_conditions_to_wire(conditions)) == conditions
    present = Conditions(schedule=SnrTrace((0.0,), (1.0,)))
    assert conditions_from_wire(conditions_to_wire(snr_db=2.0), present).schedule == present.schedule
    assert conditions_from_wire(conditions_to_wire(unscheduled=True), present).schedule is None


def test_only_what_is_given_changes() -> None:
    present = Conditions("awgn", snr_db=3.0, seed=5)
    assert conditions_from_wire(conditions_to_wire(snr_db=0.0), present) == Conditions("awgn", snr_db=0.0, seed=5)
    assert conditions_from_wire(conditions_to_wire(unseeded=True), present).seed is None
    assert conditions_from_wire(channel_pb2.Conditions(), present) == present


def test_impossible_values_are_refused() -> None:
    with pytest.raises(SignalError, match="unknown channel model 'cable'"):
        conditions_to_wire(model="cable")
    with pytest.raises(SignalError):
        conditions_to_wire(seed=-1)
    with pytest.raises(SignalError, match="snr_db"):
        conditions_from_wire(conditions_to_wire(snr_db=float("nan")))
    with pytest.raises(SignalError, match="number 99; allowed: 1, 2"):
        conditions_from_wire(channel_pb2.Conditions(model=99))  # type: ignore[arg-type]
    with pytest.raises(SignalError, match="clock number 7; allowed: 1, 2"):
        conditions_from_wire(channel_pb2.Conditions(clock=7))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="conditions have no 'snr'"):
        conditions_to_wire(snr=3)


def test_phases_that_cannot_be_are_refused_with_their_number() -> None:
    good = channel_pb2.Phase(seconds=1)
    for bad, message in (
        (channel_pb2.Phase(), "phase 2: seconds is 0.0"),
        (channel_pb2.Phase(seconds=1, changes=channel_pb2.Conditions(seed=1)), "phase 2: .* cannot change the random"),
        (channel_pb2.Phase(seconds=1, changes=channel_pb2.Conditions(clock=1)), "phase 2: .* cannot change the clock"),  # type: ignore[arg-type]
        (channel_pb2.Phase(seconds=1, changes=channel_pb2.Conditions(symbol_rate_hz=1)), "phase 2: .*'symbol_rate_hz'"),
        (channel_pb2.Phase(seconds=1, changes=channel_pb2.Conditions(snr_db=200)), "phase 2: snr_db is 200.0 dB"),
    ):
        scenario = channel_pb2.Scenario(phases=[good, bad])
        with pytest.raises(SignalError, match=message):
            conditions_from_wire(channel_pb2.Conditions(scenario=scenario))
