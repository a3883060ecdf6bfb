import pytest

from panolink.errors import SignalError
from panolink.phy import ChannelModel, Clock, Conditions, Phase, Scenario, doppler_of_speed


def test_doppler_of_speed():
    assert doppler_of_speed(30, 3.5e9) == pytest.approx(97.3, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "rain"}, "unknown channel model 'rain'; allowed: ideal, awgn, rayleigh, rician"),
        ({"snr_db": float("nan")}, "snr_db is nan dB"),
        ({"snr_db": 101}, "snr_db is 101 dB; allowed: -50 … 100"),
        ({"rician_k_db": float("inf")}, "rician_k_db is inf"),
        ({"coherence_symbols": 0}, "coherence_symbols is 0; allowed: 1"),
        ({"seed": -1}, "seed is -1"),
        ({"doppler_hz": -1}, "doppler_hz is -1 Hz; allowed: 0 … 1000000"),
        ({"doppler_hz": float("nan")}, "doppler_hz is nan"),
        ({"model": "tdl-a", "doppler_hz": 2000}, "doppler_hz is 2000 Hz; allowed with 64 subcarriers.*: 0 … 1562.5"),
        ({"symbol_rate_hz": 0}, "symbol_rate_hz is 0 Hz; allowed: 1 …"),
        ({"delay_spread_s": 1}, "delay_spread_s is 1 s; allowed: 0 … 0.001"),
        ({"subcarriers": 0}, "subcarriers is 0; allowed: 1 … 16384"),
        ({"erasure_rate": 1.5}, "erasure_rate is 1.5; allowed: 0 … 1"),
        ({"erasure_burst": 0.5}, "erasure_burst is 0.5; allowed: 0, or 1 … 1000000"),
        ({"erasure_rate": 0.8, "erasure_burst": 2}, "allowed at an erasure_rate of 0.8: 0, or 4 …"),
        ({"packet_symbols": -1}, "packet_symbols is -1"),
        ({"clock": "sun"}, "unknown clock 'sun'; allowed: stream, wall"),
        ({"schedule": Scenario((Phase(1), Phase(1, {"snr_db": 200})))}, "phase 2: snr_db is 200 dB"),
        ({"schedule": Scenario((Phase(1, final_snr_db=200),))}, "phase 1: snr_db is 200 dB"),
    ],
)
def test_conditions_out_of_range_are_refused(settings, message):
    with pytest.raises(SignalError, match=message):
        Conditions(**settings)


def test_models_are_named_by_enum_or_string():
    assert Conditions("awgn", clock="wall") == Conditions(ChannelModel.AWGN, clock=Clock.WALL)
