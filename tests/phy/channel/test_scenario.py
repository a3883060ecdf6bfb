import pytest

from panolink.errors import SignalError
from panolink.phy import Phase, Scenario, SnrTrace
from panolink.phy.channel.scenario import MAX_PHASES


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scenario(()), "scenario of 0 phases; allowed: 1 …"),
        (lambda: Scenario((Phase(1),) * (MAX_PHASES + 1)), f"scenario of {MAX_PHASES + 1} phases; allowed: 1 …"),
        (lambda: Phase(0), "seconds is 0"),
        (lambda: Phase(float("nan")), "seconds is nan"),
        (lambda: Phase(1, {"symbol_rate_hz": 1.0}), "unknown setting 'symbol_rate_hz'"),
        (lambda: SnrTrace((), ()), "SNR trace of 0 samples; allowed: 1 …"),
        (lambda: SnrTrace((0.0, 1.0), (1.0,)), "2 times and 1 values"),
        (lambda: SnrTrace((0.0, 1.0), (1.0, 101.0)), "sample 2: snr_db is 101.0 dB"),
        (lambda: SnrTrace((1.0, 1.0), (1.0, 1.0)), "sample 2: time 1.0 s does not come after 1.0 s"),
        (lambda: SnrTrace((1.0,), (1.0,), repeat=True), "one sample cannot repeat"),
    ],
)
def test_scenarios_and_traces_that_make_no_sense_are_refused(make, message):
    with pytest.raises(SignalError, match=message):
        make()
