"""Fading against theory, and against Sionna's models."""

import tracemalloc
from math import pi

import numpy as np
import pytest
import torch
from scipy.special import j0
from sionna.phy import config
from sionna.phy.channel import cir_to_ofdm_channel
from sionna.phy.channel.tr38901 import TDL

from panolink.phy import ChannelModel, Conditions
from panolink.phy.channel import fading as fading_module
from panolink.phy.channel.fading import SumOfSinusoids, complex_normal, delay_profile, generate_fading

TDLS = [model for model in ChannelModel if model.is_tapped_delay_line]


def draws(conditions: Conditions, n: int, count: int, *, start: float = 0.0) -> np.ndarray:
    """Coefficients of `count` independent fadings over n symbols, complex64 (count, blocks)."""
    seeds = np.random.SeedSequence(5).spawn(count)
    return np.stack([generate_fading(conditions, np.random.default_rng(seed)).gains(start, n)[0] for seed in seeds])


def correlation(h: np.ndarray, lag: int) -> complex:
    """E{h(i + lag)·h*(i)} over all rows and places."""
    return complex(np.mean(h[:, lag:] * np.conj(h[:, : h.shape[1] - lag])))


def test_jakes_is_correlated_in_time_as_clarke_says():
    doppler, block = 100.0, 100  # 1 Msymbol/s: a sample every 0.1 ms
    conditions = Conditions("jakes", doppler_hz=doppler, coherence_symbols=block)
    h = draws(conditions, 400 * block, 400)
    # 400 independent fadings of 4 Doppler periods each: a standard error of at most 1/√400
    for lag in (0, 5, 10, 24, 38, 61, 88):  # J₀ passes 0 at 0.383 and 0.879 periods
        expected = j0(2 * pi * doppler * lag * block / conditions.symbol_rate_hz)
        assert abs(correlation(h, lag) - expected) < 3 / np.sqrt(400)
    single = draws(conditions, 40_000 * block, 1)  # one fading alone, over 400 periods
    for lag in (0, 10, 38, 61):
        expected = j0(2 * pi * doppler * lag * block / conditions.symbol_rate_hz)
        assert abs(correlation(single, lag) - expected) < 0.1


def test_jakes_is_rayleigh():
    power = np.abs(draws(Conditions("jakes", doppler_hz=100), 1 << 20, 40)) ** 2
    assert power.mean() == pytest.approx(1, abs=0.03)
    for level in (0.05, 0.1, 0.5, 1, 2, 4):  # |h|² is exponential
        assert np.mean(power < level) == pytest.approx(1 - np.exp(-level), abs=0.02)


def test_fading_goes_on_from_burst_to_burst():
    conditions = Conditions("jakes", doppler_hz=50, coherence_symbols=64)
    whole, _ = generate_fading(conditions, np.random.default_rng(1)).gains(0.5, 6400)
    parts = generate_fading(conditions, np.random.default_rng(1))
    first, _ = parts.gains(0.5, 3200)
    second, _ = parts.gains(0.5 + 3200e-6, 3200)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-4)
    # … for hours, too
    late = generate_fading(conditions, np.random.default_rng(1)).gains(1e5, 6400)[0]
    assert np.abs(np.diff(late)).max() < 2 * pi * 50 * 64e-6 * np.abs(late).max() * 1.5


def test_a_coefficient_holds_for_no_longer_than_the_doppler_allows():
    for doppler, block in [(0.0, 256), (10.0, 256), (500.0, 62), (1e6, 1)]:
        fading = generate_fading(Conditions("jakes", doppler_hz=doppler), np.random.default_rng(0))
        h, given = fading.gains(0, 1000)
        assert (given, h.size) == (block, -(-1000 // block))
    still = generate_fading(Conditions("jakes", doppler_hz=0), np.random.default_rng(0))
    assert np.ptp(np.abs(np.concatenate([still.gains(t, 5000)[0] for t in (0, 7, 1e6)]))) < 1e-5


@pytest.mark.parametrize("model", TDLS)
def test_delay_profiles_are_those_of_sionna(model):
    profile = delay_profile(model)
    theirs = TDL(model.value[-1].upper(), delay_spread=1.0, carrier_frequency=3.5e9)
    np.testing.assert_allclose(profile.delays, theirs.delays.numpy(), rtol=1e-6)
    powers = profile.powers.copy()
    powers[0] += profile.direct_power
    np.testing.assert_allclose(powers, theirs.mean_powers.numpy(), rtol=1e-5)
    assert powers.sum() == pytest.approx(1)
    if theirs.los:
        assert profile.direct_power == pytest.approx(float(theirs.mean_power_los.real))
    # "normalised delays": the RMS delay spread is 1
    mean = (powers * profile.delays).sum()
    assert np.sqrt((powers * (profile.delays - mean) ** 2).sum()) == pytest.approx(1, abs=0.05)


def test_taps_move_as_in_sionna():
    """Sionna's own random angles and phases, put into our sum of sinusoids, give Sionna's taps."""
    m, steps, rate, speed = 20, 50, 1e4, 30.0
    theirs = TDL("A", 300e-9, 3.5e9, min_speed=speed, max_speed=speed, num_sinusoids=m)
    config.seed = 3
    a, _ = theirs(1, steps, rate)
    config.seed = 3  # again, drawn by hand in the order of TDL's code: Doppler, angles, phases
    taps = theirs.num_clusters
    generator = theirs.torch_rng
    torch.rand(1, generator=generator)
    theta = torch.rand((taps, m), generator=generator).numpy() * (2 * pi / m) - pi / m
    phi = torch.rand((taps, m), generator=generator).numpy() * 2 * pi - pi
    doppler = speed * 3.5e9 / 299_792_458
    angles = 2 * pi / m * np.arange(1, m + 1) + theta
    amplitudes = np.sqrt(delay_profile(ChannelModel.TDL_A).powers / m).astype(np.float32)
    ours = SumOfSinusoids(amplitudes, doppler * np.cos(angles), phi.astype(float)).at(0.0, 1 / rate, steps)
    np.testing.assert_allclose(ours, a[0, 0, 0, 0, 0].numpy(), atol=2e-4)


def test_frequency_response_is_that_of_sionna():
    """The same taps, seen by OFDM: ours are read back from the response, Sionna makes its own of them."""
    conditions = Conditions("tdl-c", delay_spread_s=1e-6, doppler_hz=0, subcarriers=48, coherence_symbols=1)
    fading = generate_fading(conditions, np.random.default_rng(2))
    h, block = fading.gains(0, 48)
    profile = delay_profile(ChannelModel.TDL_C)
    taps = generate_fading(conditions, np.random.default_rng(2))._scattered.at(24e-6, 48e-6, 1)[:, 0]  # type: ignore[attr-defined]
    spacing = (1 + 144 / 2048) * 1e6 / 48
    frequencies = torch.tensor(spacing * (np.arange(48) - 23.5), dtype=torch.float32)
    shape = (1, 1, 1, 1, 1, taps.size, 1)
    tau = torch.tensor(profile.delays * 1e-6, dtype=torch.float32).reshape(1, 1, 1, -1)
    theirs = cir_to_ofdm_channel(frequencies, torch.from_numpy(taps).reshape(shape), tau).numpy().ravel()
    assert block == 1
    np.testing.assert_allclose(h, theirs, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("model", TDLS)
def test_tapped_delay_lines_have_unit_power_and_the_profiles_correlation(model):
    spread, k = 1e-6, 64
    conditions = Conditions(model, delay_spread_s=spread, subcarriers=k, coherence_symbols=1, doppler_hz=10)
    h = draws(conditions, k, 3000)
    assert h.shape == (3000, k)
    assert np.mean(np.abs(h) ** 2) == pytest.approx(1, abs=0.05)
    profile = delay_profile(model)
    powers = profile.powers.copy()
    powers[0] += profile.direct_power
    spacing = (1 + 144 / 2048) * 1e6 / k
    for lag in (1, 4, 10, 20):  # the transform of the power delay profile
        expected = (powers * np.exp(-2j * pi * spacing * lag * profile.delays * spread)).sum()
        assert abs(correlation(h, lag) - expected) < 3.5 / np.sqrt(3000)


def test_the_direct_path_of_tdl_d_moves_with_seven_tenths_of_the_doppler_shift():
    doppler = 100.0
    conditions = Conditions("tdl-d", delay_spread_s=0, subcarriers=1, doppler_hz=doppler, symbol_rate_hz=10_000)
    h = draws(conditions, 10_000, 1)[0]  # one second: 1 Hz between the lines of the spectrum
    spectrum = np.abs(np.fft.fft(h)) / h.size
    assert spectrum.argmax() == 70
    assert spectrum[70] ** 2 == pytest.approx(delay_profile(ChannelModel.TDL_D).direct_power, abs=0.1)
    assert spectrum[101:-101].max() < 0.05  # nothing beyond ±f_d


def test_subcarriers_share_a_coefficient_as_far_as_the_delays_allow():
    for spread, most, block in [(0.0, 256, 64), (0.0, 16, 16), (300e-9, 256, 4), (1e-6, 256, 1), (300e-9, 3, 2)]:
        conditions = Conditions("tdl-a", delay_spread_s=spread, coherence_symbols=most)
        h, given = generate_fading(conditions, np.random.default_rng(0)).gains(0, 1000)
        assert (given, h.size) == (block, -(-1000 // block))


def test_no_block_is_looked_for_beyond_the_subcarriers(monkeypatch):
    """A coherence of 2²⁴ symbols is a legal one, and a new stream does not wait for as many divisions."""
    tried: list[int] = []

    def counted(*bounds: int) -> range:
        tried.append(len(range(*bounds)))
        return range(*bounds)

    monkeypatch.setattr(fading_module, "range", counted, raising=False)
    conditions = Conditions("tdl-a", delay_spread_s=0, coherence_symbols=1 << 24, subcarriers=48)
    assert generate_fading(conditions, np.random.default_rng(0)).gains(0, 96)[1] == 48
    assert 0 < tried[0] <= 48


@pytest.mark.parametrize("model", ["tdl-b", "tdl-d"])
def test_a_long_burst_is_made_in_runs(model, monkeypatch):
    conditions = Conditions(model, subcarriers=4, delay_spread_s=1e-6, doppler_hz=100, coherence_symbols=1)
    whole, _ = generate_fading(conditions, np.random.default_rng(0)).gains(0.5, 999)
    monkeypatch.setattr(fading_module, "_RUN", 64)
    runs, _ = generate_fading(conditions, np.random.default_rng(0)).gains(0.5, 999)
    np.testing.assert_allclose(runs, whole, atol=1e-4)


@pytest.mark.slow
def test_taps_of_a_long_burst_are_not_kept():
    fading = generate_fading(Conditions("tdl-c", subcarriers=1), np.random.default_rng(0))
    tracemalloc.start()
    gains, _ = fading.gains(0, 1 << 18)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert gains.size == 1 << 18 and peak < 128 * gains.size  # and not 23 taps of 8 bytes, twice


def test_complex_normal_has_half_its_variance_in_each_dimension():
    x = complex_normal(np.random.default_rng(0), 100_000)
    assert x.dtype == np.complex64
    assert (np.var(x.real), np.var(x.imag)) == pytest.approx((0.5, 0.5), rel=0.02)
