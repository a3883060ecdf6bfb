import tracemalloc

import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Channel, Conditions, Modulation, Scheme, SegmentFormat, demodulate, modulate
from panolink.phy.modem import channel_estimation
from panolink.phy.modem.channel_estimation import MAX_SPACING, estimate_channel, insert_pilots, pilot_count, pilot_mask

QPSK = np.exp(0.5j * np.pi * np.random.default_rng(0).integers(0, 4, 40_000)).astype(np.complex64)


@pytest.mark.parametrize("spacing", [2, 3, 16, 1000])
@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 999])
def test_every_so_many_symbols_one_is_a_pilot(n, spacing):
    burst = insert_pilots(QPSK[:n], spacing)
    pilots = pilot_mask(burst.size, spacing)
    assert pilots.sum() == pilot_count(n, spacing) == burst.size - n
    assert np.array_equal(burst[~pilots], QPSK[:n])
    assert np.array_equal(np.flatnonzero(pilots), np.arange(0, burst.size, spacing))
    np.testing.assert_allclose(np.abs(burst[pilots]), 1, atol=1e-6)


def test_no_pilots():
    assert insert_pilots(QPSK, 0) is QPSK
    assert not pilot_mask(100, 0).any() and pilot_count(100, 0) == 0


@pytest.mark.parametrize("spacing", [1, MAX_SPACING + 1, -3])
def test_spacings_that_cannot_be_are_refused(spacing):
    with pytest.raises(SignalError, match=f"pilot_spacing is {spacing}; allowed: 0, or 2 … {MAX_SPACING}"):
        modulate([], [], pilot_spacing=spacing)


def estimation(conditions: Conditions, spacing: int) -> tuple[float, float]:
    """Mean square of the error of ĥ, and of the noise that is left with ĥ over the noise variance at the receiver."""
    burst = insert_pilots(QPSK, spacing)
    reception = Channel(conditions).apply(burst)
    data = ~pilot_mask(burst.size, spacing)
    symbols, gains = estimate_channel(
        reception.symbols,
        spacing=spacing,
        coherence_symbols=reception.coherence_symbols,
        noise_variance=reception.noise_variance,
        lost=np.zeros(burst.size, bool),
    )
    h = np.repeat(reception.csi, reception.coherence_symbols)[: burst.size][data]
    scale = np.abs(symbols / reception.symbols[data])
    noise = np.mean(np.abs(symbols - gains * QPSK) ** 2) / reception.noise_variance
    return float(np.mean(np.abs(gains / scale - h) ** 2)), float(noise)


@pytest.mark.parametrize("spacing", [4, 16, 64])
def test_independent_blocks_are_estimated_as_well_as_theory_allows(spacing):
    """P pilots of a Rayleigh block: no linear estimate has less error than N0 / (P + N0)."""
    error, noise = estimation(Conditions("rayleigh", snr_db=10, seed=1), spacing)
    assert error == pytest.approx(0.1 / (256 / spacing + 0.1), rel=0.2)
    assert noise == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("conditions", "gain"),
    [(Conditions("awgn", seed=1), 2.0), (Conditions("jakes", doppler_hz=50, seed=1), 2.0)],
)
def test_blocks_that_resemble_each_other_help_each_other(conditions, gain):
    error, noise = estimation(conditions, 64)
    assert error < 0.1 / (4 + 0.1) / gain
    assert noise == pytest.approx(1, abs=0.05)


def test_selective_channels_are_learnt_from_neighbours_in_frequency_and_time():
    error, noise = estimation(Conditions("tdl-a", doppler_hz=100, seed=1), 4)
    assert error < 0.1 / (1 + 0.1) / 5  # of one pilot alone
    assert noise == pytest.approx(1, abs=0.1)


def test_errors_between_pilots_are_known_to_be_larger():
    """Blocks of 4 symbols, pilots in every second one: what is left counts as noise, and rather too much of it."""
    error, noise = estimation(Conditions("tdl-a", doppler_hz=100, seed=1), 8)
    assert 0.01 < error < 0.05
    assert 0.6 < noise < 1.05


SCHEME = Scheme(Modulation.QAM16, 1 / 2)


def sent(pilot_spacing: int) -> tuple[list[SegmentFormat], list[bytes], np.ndarray]:
    formats = [SegmentFormat(200, SCHEME)] * 20
    payloads = [np.random.default_rng(i).bytes(200) for i in range(20)]
    return formats, payloads, modulate(payloads, formats, pilot_spacing=pilot_spacing)


@pytest.mark.parametrize("model", ["ideal", "awgn", "rayleigh", "rician", "jakes", "tdl-b", "tdl-d"])
def test_payloads_come_back_without_perfect_csi(model):
    formats, payloads, symbols = sent(4)
    reception = Channel(Conditions(model, snr_db=18, doppler_hz=300, seed=1)).apply(symbols)
    reception.csi[:] = 1  # the channel is not known to the receiver
    assert demodulate(**vars(reception), formats=formats, pilot_spacing=4) == payloads
    assert symbols.size == sum(fmt.symbols for fmt in formats) * 4 // 3 + 1


@pytest.mark.parametrize("packet_symbols", [0, 300])
def test_erased_packets_with_pilots(packet_symbols):
    formats, payloads, symbols = sent(8)
    conditions = Conditions("jakes", 30, erasure_rate=0.2, packet_symbols=packet_symbols, seed=2)
    reception = Channel(conditions).apply(symbols, formats=formats, pilot_spacing=8)
    received = demodulate(**vars(reception), formats=formats, pilot_spacing=8)
    assert reception.erased_symbols
    arrived = [got is not None for got in received]
    assert all(got in (payload, None) for got, payload in zip(received, payloads, strict=True))
    if packet_symbols:
        assert all(arrived)  # each segment has lost a share, and its code makes up for it
    else:
        assert reception.erased_symbols == (20 - sum(arrived)) * formats[0].symbols
    reception.csi[:] = 0
    assert demodulate(**vars(reception), formats=formats, pilot_spacing=8) == [None] * 20


def test_a_burst_of_another_length_is_refused():
    formats, _, symbols = sent(8)
    reception = vars(Channel(Conditions("ideal")).apply(symbols))
    expected = sum(fmt.symbols for fmt in formats)
    with pytest.raises(SignalError, match=f"its 20 segments make {expected}"):
        demodulate(**reception, formats=formats)
    with pytest.raises(SignalError, match=f"its 20 segments and {pilot_count(expected, 9)} pilots make"):
        demodulate(**reception, formats=formats, pilot_spacing=9)
    with pytest.raises(SignalError, match="pilot_spacing is 1; allowed"):
        demodulate(**reception, formats=formats, pilot_spacing=1)


@pytest.mark.slow
def test_a_long_burst_of_short_blocks_takes_a_few_times_its_own_memory():
    burst = np.ones(1 << 19, np.complex64)
    lost = np.zeros(burst.size, bool)
    tracemalloc.start()
    estimate_channel(burst, spacing=16, coherence_symbols=1, noise_variance=0.1, lost=lost)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * burst.size


@pytest.mark.parametrize(("size", "lags"), [(1000, 101), (50, 13), (1, 1)])
def test_a_correlation_by_parts_is_that_of_the_whole(monkeypatch, size: int, lags: int):
    monkeypatch.setattr(channel_estimation, "_PART", 64)
    x = np.random.default_rng(0).normal(size=(2, size)).T @ np.array([1, 1j])
    expected = [np.vdot(x[: size - lag], x[lag:]) for lag in range(lags)]
    np.testing.assert_allclose(channel_estimation._autocorrelation(x, lags), expected, atol=1e-9)
