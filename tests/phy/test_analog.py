import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Channel, Conditions
from panolink.phy.analog import AnalogMapper, select_values

N = 40_001


def drawn(seed: int = 0, spread: int = 12):
    """Scales over six octaves, priorities of the same size, and Laplace values of these scales."""
    rng = np.random.default_rng(seed)
    priorities = rng.integers(-spread, spread, N)
    scales = np.exp2(priorities / 4)
    return scales, priorities, rng.laplace(size=N) * scales / np.sqrt(2)


def received(layer, values, *, snr_db, model="awgn", block=1, seed=1):
    symbols, gain_correction = layer.modulate(values)
    reception = Channel(Conditions(model, snr_db, coherence_symbols=block, seed=seed)).apply(symbols)
    return layer.estimate(**vars(reception), gain_correction=gain_correction)


def test_symbols_have_unit_mean_power_whatever_the_values():
    scales, priorities, values = drawn()
    for factor in (1e-3, 1.0, 50.0):
        symbols, gain_correction = AnalogMapper(scales, priorities).modulate(factor * values)
        assert symbols.dtype == np.complex64 and symbols.shape == ((N + 1) // 2,)
        assert np.mean(np.abs(symbols) ** 2) == pytest.approx(1, rel=1e-4)
        assert gain_correction == pytest.approx(factor**2, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["awgn", "rayleigh"])
@pytest.mark.parametrize("snr_db", [-5, 5, 15, 25])
def test_errors_are_those_of_theory(model, snr_db):
    """σ²·(N0/2) / (|h|²·p + N0/2), in the mean over |h|² ~ Exp(1) where it fades; and as large as is said."""
    scales, priorities, values = drawn()
    layer = AnalogMapper(scales, priorities)
    estimates, errors = received(layer, values, snr_db=snr_db, model=model)
    noise = 10 ** (-snr_db / 10) / 2
    strengths = [1.0] if model == "awgn" else -np.log(1 - (np.arange(2000) + 0.5) / 2000)  # quantiles of Exp(1)
    theory = np.mean([(scales**2 * noise / (s * layer.powers + noise)).sum() for s in strengths])
    assert errors.sum() == pytest.approx(theory, rel=0.03)
    assert np.square(estimates - values).sum() == pytest.approx(theory, rel=0.06)


def test_quality_follows_the_snr_without_a_cliff():
    scales, priorities, values = drawn()
    layer = AnalogMapper(scales, priorities)
    db = [
        -10 * np.log10(np.square(received(layer, values, snr_db=snr)[0] - values).mean()) for snr in range(-20, 41, 2)
    ]
    steps = np.diff(db)
    assert (steps > 0).all() and (steps < 2.1).all()  # up to a decibel for a decibel
    assert steps[-1] > 1.9


def test_the_mmse_estimate_beats_the_inverse_of_the_channel():
    scales, priorities, values = drawn()
    layer = AnalogMapper(scales, priorities)
    estimates, _ = received(layer, values, snr_db=0)
    inverse = values + np.random.default_rng(0).normal(size=N) * np.sqrt(0.5) * scales / np.sqrt(layer.powers)
    assert np.square(estimates - values).sum() < 0.8 * np.square(inverse - values).sum()
    assert np.square(estimates - values).sum() < np.square(values).sum()


def test_power_goes_where_it_is_worth_most():
    """At high SNR the error is (Σ√(w·σ²))²/n·N0 against Σ w·σ²·N0 for equal powers."""
    scales, priorities, values = drawn()
    estimates, _ = received(AnalogMapper(scales, priorities), values, snr_db=35)
    equal, _ = received(AnalogMapper(scales, np.zeros(N, int)), values, snr_db=35)
    gain = np.square(equal - values).sum() / np.square(estimates - values).sum()
    assert gain == pytest.approx(np.mean(scales**2) / np.mean(scales) ** 2, rel=0.1)


def test_erased_blocks_fall_back_to_the_mean():
    scales, priorities, values = drawn()
    layer = AnalogMapper(scales, priorities)
    symbols, gain_correction = layer.modulate(values)
    reception = Channel(Conditions("awgn", 20, coherence_symbols=64, seed=0)).apply(symbols)
    reception.csi[::2] = 0
    estimates, errors = layer.estimate(**vars(reception), gain_correction=gain_correction)
    lost = estimates == 0
    assert lost.mean() == pytest.approx(0.5, abs=0.01)
    assert np.allclose(errors[lost], gain_correction * scales[lost] ** 2, rtol=1e-4)
    reception.csi[:] = 0
    assert not layer.estimate(**vars(reception), gain_correction=gain_correction)[0].any()


def test_without_noise_it_is_exact():
    scales, priorities, values = drawn()
    symbols, gain_correction = (layer := AnalogMapper(scales, priorities)).modulate(values)
    estimates, errors = layer.estimate(
        **vars(Channel(Conditions("ideal")).apply(symbols)), gain_correction=gain_correction
    )
    assert np.abs(estimates - values).max() < 1e-4 * np.abs(values).max() and not errors.any()


def test_the_choice_is_the_worthiest_and_the_first_of_equals():
    assert select_values(np.array([3, 9, 3, -1, 3]), 3).tolist() == [0, 1, 2]
    assert select_values(np.array([1, 2]), 5).tolist() == [0, 1] and select_values(np.array([1, 2]), 0).size == 0
    # 8-bit levels do not wrap around
    assert select_values(np.array([200, 7, 0], np.uint8), 1).tolist() == [0]


def test_nothing_and_zeros_are_sent_as_such():
    empty = AnalogMapper(np.empty(0), np.empty(0, int))
    symbols, gain_correction = empty.modulate(np.empty(0))
    assert symbols.size == 0 and empty.powers.size == 0
    assert empty.estimate(**vars(Channel(Conditions()).apply(symbols)), gain_correction=gain_correction)[0].size == 0
    layer = AnalogMapper(np.ones(3), np.zeros(3, int))
    symbols, gain_correction = layer.modulate(np.zeros(3))
    assert gain_correction == 0 and not symbols.any()
    assert not layer.estimate(symbols, csi=np.ones(2), coherence_symbols=1, noise_variance=0.1, gain_correction=0.0)[
        0
    ].any()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(SignalError, match="scales: every one must be a positive"):
        AnalogMapper(np.array([1.0, 0.0]), np.zeros(2, int))
    with pytest.raises(SignalError, match=r"\(2,\) scales but \(3,\) priorities"):
        AnalogMapper(np.ones(2), np.zeros(3, int))
    layer = AnalogMapper(np.ones(4), np.zeros(4, int))
    with pytest.raises(SignalError, match="expected 4 finite numbers"):
        layer.modulate(np.array([1, 2, 3, np.nan]))
    good = {"csi": np.ones(2), "coherence_symbols": 1, "noise_variance": 0.1, "gain_correction": 1.0}
    for change, message in (
        ({"symbols": np.ones(3)}, "3 symbols; 4 values make 2"),
        ({"symbols": np.array([1, np.inf])}, "symbols: 1 of 2 are not finite"),
        ({"csi": np.ones(1)}, "1 channel gains for 2 symbols"),
        ({"noise_variance": -1.0}, "noise_variance is -1.0"),
        ({"gain_correction": float("nan")}, "gain_correction is nan"),
    ):
        with pytest.raises(SignalError, match=message):
            layer.estimate(**{"symbols": np.ones(2), **good, **change})
