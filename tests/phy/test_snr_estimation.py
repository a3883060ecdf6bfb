import numpy as np
import pytest

from panolink.phy import Channel, Conditions
from panolink.phy.modem.channel_estimation import insert_pilots
from panolink.phy.snr_estimation import ChannelMeasurement, measure_channel

N = 60_000


def met(conditions: Conditions, *, pilot_spacing: int = 0) -> ChannelMeasurement:
    symbols = insert_pilots(np.ones(N, np.complex64), pilot_spacing)
    return measure_channel(**vars(Channel(conditions).apply(symbols)), pilot_spacing=pilot_spacing)


@pytest.mark.parametrize("pilot_spacing", [0, 8])
@pytest.mark.parametrize(
    ("model", "amount"), [("awgn", 0.0), ("rician", 9 / 25), ("rayleigh", 1.0)]
)  # Rician with K = 4: (1 + 2K) / (1 + K)², Simon and Alouini §2.2
def test_snr_and_amount_of_fading(model: str, amount: float, pilot_spacing: int):
    conditions = Conditions(model, 11.0, coherence_symbols=64, rician_k_db=10 * np.log10(4), seed=3)
    got = met(conditions, pilot_spacing=pilot_spacing)
    errors_of_estimates = 0.6 if pilot_spacing else 0.0
    assert got.snr_db is not None and 10.7 - errors_of_estimates <= got.snr_db <= 11.3
    assert got.fading == pytest.approx(amount, abs=0.12)


def test_a_burst_within_one_fade_tells_of_that_fade():
    conditions = Conditions("rayleigh", 11.0, coherence_symbols=N, seed=5)
    reception = Channel(conditions).apply(np.ones(N, np.complex64))
    got = measure_channel(**vars(reception))
    assert got.snr_db == pytest.approx(11.0 + 20 * np.log10(abs(reception.csi[0])), abs=1e-4)
    assert abs(got.snr_db - 11.0) > 0.5 and got.fading == 0


def test_what_was_erased_does_not_count():
    symbols, csi = np.ones(25, np.complex64), np.array([1, 0, 1, 0, 2], np.complex64)
    whole = measure_channel(symbols, csi=csi, coherence_symbols=5, noise_variance=0.1)
    assert whole.snr_db == pytest.approx(10 * np.log10(2 / 0.1))  # (1 + 1 + 4) / 3
    short = measure_channel(symbols[:21], csi=csi, coherence_symbols=5, noise_variance=0.1)
    assert short.snr_db == pytest.approx(10 * np.log10(14 / 11 / 0.1))  # one symbol in the last block
    assert measure_channel(symbols, csi=0 * csi, coherence_symbols=5, noise_variance=0.1) == (None, 0.0)


def test_without_noise_it_is_the_receivers_own_floor():
    assert met(Conditions("ideal")) == (pytest.approx(60.0), pytest.approx(0.0))


@pytest.mark.parametrize("coherence_symbols", [16, 256, N])
@pytest.mark.parametrize("lost", [0, 800])
def test_noise_alone_is_measured_as_no_less_than_pilots_resolve(coherence_symbols: int, lost: int):
    """Half of the time the power of the pilots is less than that of their noise: no SNR at all."""
    random = np.random.default_rng(1)
    for _ in range(10):
        noise = random.normal(scale=np.sqrt(0.5), size=(2, 4000))
        csi = np.ones(4000, np.complex64)
        csi[:lost] = 0
        got = measure_channel(
            (noise[0] + 1j * noise[1]).astype(np.complex64),
            csi=csi,
            coherence_symbols=1,
            fading_symbols=coherence_symbols,
            noise_variance=1.0,
            pilot_spacing=8,
        )
        assert got.snr_db is not None and -10 * np.log10((4000 - lost) / 8) - 1e-9 <= got.snr_db < 0


@pytest.mark.parametrize("pilots", [1, 5, 15, 16])
def test_few_pilots_make_no_good_snr_of_noise(pilots: int):
    """Of one the noise alone is as strong as a signal at 0 dB."""
    random = np.random.default_rng(0)
    for _ in range(20):
        noise = random.normal(scale=np.sqrt(0.5), size=(2, 100 * pilots))
        got = measure_channel(
            (noise[0] + 1j * noise[1]).astype(np.complex64),
            csi=np.ones(1, np.complex64),
            coherence_symbols=100 * pilots,
            noise_variance=10.0,
            pilot_spacing=100,
        )
        assert got.snr_db is None if pilots < 16 else got.snr_db == pytest.approx(-10 * np.log10(16))


def test_coefficients_and_noise_may_be_as_small_and_large_as_numbers_are():
    csi = np.full(4, 1e-40, np.complex64)
    got = measure_channel(np.ones(4, np.complex64), csi=csi, coherence_symbols=1, noise_variance=1e300)
    assert got.snr_db == pytest.approx(-3800, abs=1)
