import subprocess
import sys

import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Channel, ChannelModel, Conditions

ONES = np.ones(100_000, np.complex64)


def test_ideal_changes_nothing():
    reception = Channel(Conditions("ideal")).apply(ONES[:1000])
    assert np.array_equal(reception.symbols, ONES[:1000])
    assert reception.noise_variance == 0
    assert np.array_equal(reception.csi, np.ones(4))


@pytest.mark.parametrize("model", ["awgn", "rayleigh", "rician"])
def test_power_of_fading_and_noise(model):
    reception = Channel(Conditions(model, snr_db=3, coherence_symbols=2, seed=0)).apply(ONES)
    assert reception.csi.shape == (50_000,) and reception.csi.dtype == reception.symbols.dtype == np.complex64
    assert np.mean(np.abs(reception.csi) ** 2) == pytest.approx(1, abs=0.02)
    noise = reception.symbols - np.repeat(reception.csi, 2)
    assert reception.noise_variance == pytest.approx(10**-0.3)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(10**-0.3, rel=0.02)
    assert np.var(noise.real) == pytest.approx(10**-0.3 / 2, rel=0.03)  # half per dimension
    assert abs(np.mean(noise * np.conj(np.repeat(reception.csi, 2)))) < 0.01


def test_rician_has_a_fixed_path():
    csi = Channel(Conditions("rician", coherence_symbols=1, rician_k_db=6, seed=0)).apply(ONES).csi
    k = 10**0.6
    assert np.mean(csi) == pytest.approx((k / (k + 1)) ** 0.5, abs=0.01)
    assert np.var(csi) == pytest.approx(1 / (k + 1), rel=0.03)


def test_fading_holds_for_a_block_and_the_last_may_be_short():
    reception = Channel(Conditions("rayleigh", snr_db=100, coherence_symbols=300, seed=4)).apply(ONES[:1000])
    assert reception.csi.shape == (4,)
    np.testing.assert_allclose(reception.symbols, np.repeat(reception.csi, 300)[:1000], atol=1e-3)
    assert Channel(Conditions()).apply(ONES[:0]).symbols.shape == (0,)


def test_seeds():
    first, same, other = (Channel(Conditions(seed=seed)) for seed in (1, 1, 2))
    a, b = first.apply(ONES), first.apply(ONES)
    assert not np.array_equal(a.csi, b.csi)  # a stream's bursts differ …
    for expected in (a, b):  # … and another stream meets the same ones
        again = same.apply(ONES)
        assert np.array_equal(expected.symbols, again.symbols) and np.array_equal(expected.csi, again.csi)
    assert not np.array_equal(a.csi, other.apply(ONES).csi)
    unseeded = [Channel(Conditions()).apply(ONES[:10]).symbols for _ in range(2)]
    assert not np.array_equal(*unseeded)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "rain"}, "unknown channel model 'rain'; allowed: ideal, awgn, rayleigh, rician"),
        ({"snr_db": float("nan")}, "snr_db is nan dB"),
        ({"snr_db": 101}, "snr_db is 101 dB; allowed: -50 … 100"),
        ({"rician_k_db": float("inf")}, "rician_k_db is inf"),
        ({"coherence_symbols": 0}, "coherence_symbols is 0; allowed: 1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_conditions_out_of_range_are_refused(settings, message):
    with pytest.raises(SignalError, match=message):
        Conditions(**settings)


def test_models_are_named_by_enum_or_string():
    assert Conditions("awgn") == Conditions(ChannelModel.AWGN)


def test_symbols_that_are_none_are_refused():
    channel = Channel(Conditions())
    with pytest.raises(SignalError, match="symbols: 1 of 3 are not finite, the first at 1"):
        channel.apply(np.array([1, np.nan, 2], np.complex64))
    with pytest.raises(SignalError, match="not finite"):
        channel.apply(np.array([1e300]))  # more than float32 holds
    with pytest.raises(SignalError, match="expected a row"):
        channel.apply(np.ones((2, 2), np.complex64))
    with pytest.raises(SignalError, match="expected a row"):
        channel.apply(np.array(["x"]))


def test_a_channel_needs_neither_torch_nor_numba():
    code = "import sys, panolink.phy as p; assert not {'torch', 'sionna', 'numba', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
