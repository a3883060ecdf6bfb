from math import erfc, sqrt

import numpy as np
import pytest
import torch
from sionna.phy.mapping import Constellation, Demapper, Mapper

from panolink.phy import Channel, Conditions, Modulation
from panolink.phy.modem.mapping import LLR_MAX, constellation, demap, map_bits, pam_levels


def bit_errors(modulation: Modulation, conditions: Conditions, n_bits: int) -> float:
    bits = np.random.default_rng(5).integers(0, 2, n_bits, np.uint8)
    reception = Channel(conditions).apply(map_bits(bits, modulation))
    gains = np.repeat(reception.csi, reception.coherence_symbols)[: reception.symbols.size]
    llr = demap(reception.symbols, gains, reception.noise_variance, modulation)
    return float(np.mean((llr < 0) != bits))


def theory(modulation: Modulation, snr_db: float, *, rayleigh: bool) -> float:
    """Bit error rate of Gray-labelled PAM, nearest level decided: sum over levels, regions and bits."""
    levels = pam_levels(modulation).astype(float)
    order = np.argsort(levels)
    bounds = np.concatenate([[-np.inf], (levels[order][1:] + levels[order][:-1]) / 2, [np.inf]])
    snr = 10 ** (snr_db / 10)

    def tail(distance: float) -> float:  # P(noise of variance N0/2 > distance); Rayleigh: mean over |h|²
        if not np.isfinite(distance):
            return float(distance < 0)
        if rayleigh:  # mean of Q(d·√(2γ)), γ exponential with mean snr (Proakis, §13.3)
            return 0.5 * (1 - np.sign(distance) * sqrt(distance**2 * snr / (1 + distance**2 * snr)))
        return 0.5 * erfc(distance * sqrt(snr))

    wrong = 0.0
    for sent, level in enumerate(levels):
        for region, decided in enumerate(order):
            chance = tail(bounds[region] - level) - tail(bounds[region + 1] - level)
            wrong += chance * (sent ^ int(decided)).bit_count()
    return wrong / levels.size / (modulation.bits // 2)


@pytest.mark.parametrize(
    ("modulation", "snr_db"), [(Modulation.QPSK, 6.0), (Modulation.QAM16, 12.0), (Modulation.QAM64, 18.0)]
)
def test_uncoded_awgn_matches_theory_within_a_tenth_of_a_db(modulation, snr_db):
    measured = bit_errors(modulation, Conditions("awgn", snr_db, seed=1), 1_200_000)
    better, worse = (theory(modulation, snr_db + d, rayleigh=False) for d in (0.1, -0.1))
    assert better < measured < worse


@pytest.mark.parametrize(("modulation", "snr_db"), [(Modulation.QPSK, 5.0), (Modulation.QAM16, 12.0)])
def test_uncoded_rayleigh_matches_theory_within_a_tenth_of_a_db(modulation, snr_db):
    conditions = Conditions("rayleigh", snr_db, coherence_symbols=1, seed=2)
    measured = bit_errors(modulation, conditions, 3_000_000)
    better, worse = (theory(modulation, snr_db + d, rayleigh=True) for d in (0.1, -0.1))
    assert better < measured < worse


@pytest.mark.slow
@pytest.mark.parametrize("model", ["jakes", "tdl-a", "tdl-c"])
def test_one_tap_per_symbol_makes_moving_and_selective_channels_rayleigh(model):
    """Each symbol divided by its own coefficient: Doppler and delays leave uncoded QPSK where Rayleigh has it."""
    snr_db, errors = 5.0, []
    for seed in range(100):  # 250 Doppler periods each
        conditions = Conditions(model, snr_db, seed=seed, doppler_hz=10_000, delay_spread_s=1e-6, subcarriers=8)
        errors.append(bit_errors(Modulation.QPSK, conditions, 50_000))
    better, worse = (theory(Modulation.QPSK, snr_db + d, rayleigh=True) for d in (0.1, -0.1))
    assert better < np.mean(errors) < worse


@pytest.mark.parametrize("modulation", list(Modulation))
def test_points_and_labels_are_those_of_sionna(modulation):
    points = Constellation("qam", modulation.bits)().numpy()
    np.testing.assert_allclose(constellation(modulation), points, atol=1e-6)
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1)
    bits = np.random.default_rng(0).integers(0, 2, 60 * modulation.bits, np.uint8)
    mapper = Mapper("qam", modulation.bits)
    expected = mapper(torch.from_numpy(bits.astype(np.float32))[None])[0].numpy()
    np.testing.assert_allclose(map_bits(bits, modulation), expected, atol=1e-6)


@pytest.mark.parametrize("modulation", list(Modulation))
@pytest.mark.parametrize("snr_db", [0, 10])
def test_soft_bits_are_those_of_sionna(modulation, snr_db):
    rng = np.random.default_rng(3)
    n, n0 = 500, 10 ** (-snr_db / 10)
    symbols = map_bits(rng.integers(0, 2, n * modulation.bits, np.uint8), modulation)
    gains = (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)
    received = gains * symbols + (sqrt(n0 / 2) * (rng.normal(size=n) + 1j * rng.normal(size=n)))
    received = received.astype(np.complex64)
    equalised = torch.from_numpy(received / gains)[None]
    noise = torch.from_numpy((n0 / np.abs(gains) ** 2).astype(np.float32))[None]
    expected = -Demapper("app", "qam", modulation.bits)(equalised, noise)[0].numpy()  # Sionna: positive is 1
    llr = demap(received, gains, n0, modulation)
    sure = np.abs(expected) > 40
    np.testing.assert_allclose(llr[~sure], expected[~sure], rtol=1e-3, atol=2e-3)
    assert np.array_equal(llr[sure] > 0, expected[sure] > 0)


@pytest.mark.parametrize("modulation", list(Modulation))
def test_erasures_know_nothing_and_huge_numbers_do_no_harm(modulation):
    huge = np.array([1e38 - 1e38j, 1, 1, 1e-38], np.complex64)
    gains = np.array([1, 0, 1e38, 1e38j], np.complex64)
    llr = demap(huge, gains, 1e-6, modulation).reshape(4, -1)
    assert np.isfinite(llr).all() and np.abs(llr).max() <= LLR_MAX
    assert not llr[1].any()
