import pytest

from panolink.errors import SignalError
from panolink.phy import Conditions
from panolink.rpc.conditions import conditions_from_wire, conditions_to_wire, whole_conditions_to_wire
from panolink.v1 import channel_pb2


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_conditions_cross_unchanged(seed: int | None) -> None:
    conditions = Conditions("rician", snr_db=-3.5, coherence_symbols=64, rician_k_db=2.0, seed=seed)
    assert conditions_from_wire(whole_conditions_to_wire(conditions)) == conditions


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
