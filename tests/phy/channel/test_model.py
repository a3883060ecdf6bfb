import subprocess
import sys

import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import (
    Channel,
    ChannelModel,
    Conditions,
    Modulation,
    Phase,
    Scenario,
    Scheme,
    SegmentFormat,
    SnrTrace,
    demodulate,
    modulate,
)
from panolink.phy.channel_decoder import received_segments
from panolink.phy.snr_estimation import measure_channel

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


@pytest.mark.parametrize("model", list(ChannelModel))
def test_streams_with_a_seed_do_not_depend_on_each_other(model):
    """Three streams, their bursts in any order: the n-th burst of each meets the same channel."""
    scenario = Scenario((Phase(0.02, {"snr_db": 20.0}), Phase(0.1, {"snr_db": 5.0, "doppler_hz": 70.0})), repeat=True)
    conditions = Conditions(model, seed=9, erasure_rate=0.1, packet_symbols=500, schedule=scenario)
    bursts = [ONES[:size] for size in (9_000, 12_000, 500, 30_000)]
    alone = Channel(conditions)
    expected = [alone.apply(burst) for burst in bursts]
    streams = [Channel(conditions) for _ in range(3)]
    seen: list[int] = [0, 0, 0]
    for stream in (0, 1, 1, 2, 0, 2, 1, 2, 2, 0, 1, 0):
        reception = streams[stream].apply(bursts[seen[stream]])
        assert np.array_equal(reception.symbols, expected[seen[stream]].symbols)
        assert np.array_equal(reception.csi, expected[seen[stream]].csi)
        assert reception.noise_variance == expected[seen[stream]].noise_variance
        seen[stream] += 1
    assert seen == [4, 4, 4]


def test_time_goes_on_with_the_symbols():
    conditions = Conditions("jakes", doppler_hz=20, symbol_rate_hz=1e6, seed=1, snr_db=100, coherence_symbols=100)
    parts, whole = Channel(conditions), Channel(conditions).apply(ONES)
    csi = np.concatenate([parts.apply(ONES[:50_000]).csi, parts.apply(ONES[50_000:]).csi])
    np.testing.assert_allclose(csi, whole.csi, atol=1e-4)


def test_a_wall_clock_sets_the_time_but_no_burst_begins_before_the_last_has_ended():
    conditions = Conditions("jakes", doppler_hz=20, seed=1, snr_db=100, coherence_symbols=100)
    later = Channel(conditions).apply(ONES[:1000], at=0.05).csi
    np.testing.assert_allclose(later, Channel(conditions).apply(ONES).csi[500:510], atol=1e-4)
    crowded = Channel(conditions)
    crowded.apply(ONES[:50_000], at=0.0)
    np.testing.assert_allclose(crowded.apply(ONES[:1000], at=0.01).csi, later, atol=1e-4)


def test_a_fade_within_a_burst_is_in_the_coefficients():
    """10 dB at the beginning, −10 dB at the end: the noise stays, the signal falls."""
    scenario = Scenario((Phase(0.1, {"snr_db": 10.0}, final_snr_db=-10.0),))
    reception = Channel(Conditions("awgn", schedule=scenario, seed=0, coherence_symbols=1000)).apply(ONES)
    assert np.mean(np.abs(reception.csi) ** 2) == pytest.approx(1, rel=1e-4)
    snr_db = 10 * np.log10(np.abs(reception.csi) ** 2 / reception.noise_variance)
    np.testing.assert_allclose(snr_db, np.linspace(9.9, -9.9, 100), atol=1e-3)
    noise = reception.symbols - np.repeat(reception.csi, 1000)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(reception.noise_variance, rel=0.02)
    assert np.mean(np.abs(noise[:10_000]) ** 2) == pytest.approx(reception.noise_variance, rel=0.05)
    assert reception.snr_db == pytest.approx(10 * np.log10(np.mean(10 ** (snr_db / 10))), abs=1e-3)


@pytest.mark.parametrize("model", ["awgn", "jakes"])
@pytest.mark.parametrize("coherence_symbols", [64, 50_000, 1 << 20, 1 << 23])
def test_what_comes_after_a_burst_does_not_count(model: str, coherence_symbols: int):
    """20 dB until the end of the burst, and then a fade: its blocks may be longer than it is."""
    phases = (Phase(0.06, {"snr_db": 20.0}), Phase(2.0, {"snr_db": 20.0}, 2.0), Phase(1.0, {"snr_db": 2.0}))
    conditions = Conditions(model, doppler_hz=0, seed=1, schedule=Scenario(phases), coherence_symbols=coherence_symbols)
    assert Channel(conditions).apply(ONES[:52_428]).snr_db == pytest.approx(20)


@pytest.mark.parametrize("coherence_symbols", [50, 50_000])
def test_a_short_last_block_counts_for_its_symbols(coherence_symbols: int):
    trace = SnrTrace((0.0, 0.05, 0.0500001), (20.0, 20.0, -20.0))
    reception = Channel(Conditions("awgn", coherence_symbols=coherence_symbols, schedule=trace)).apply(ONES[:52_500])
    assert reception.snr_db == pytest.approx(10 * np.log10((50_000 * 100 + 2_500 * 0.01) / 52_500), abs=1e-6)
    h = np.repeat(reception.csi, coherence_symbols)[:52_500]
    assert np.mean(np.abs(h) ** 2) == pytest.approx(1, abs=1e-4)


def test_a_scenario_changes_the_model_and_comes_back_to_a_fading_that_went_on():
    phases = (Phase(0.01, {"model": "jakes"}), Phase(0.01, {"model": "ideal"}), Phase(0.01, {"model": "tdl-b"}))
    conditions = Conditions(seed=3, snr_db=100, schedule=Scenario(phases, repeat=True))
    channel = Channel(conditions)
    first, ideal, _, second = (channel.apply(ONES[:10_000]) for _ in range(4))
    assert ideal.snr_db is None and np.array_equal(ideal.symbols, ONES[:10_000])
    alone = Channel(Conditions("jakes", seed=3, snr_db=100)).apply(ONES[:40_000])
    np.testing.assert_allclose(first.csi, alone.csi[: first.csi.size], atol=1e-3)
    # 30,000 symbols do not end with a block of 256, so what is compared lies between two samples
    assert np.abs(second.csi[0] - alone.csi[30_000 // 256]) < 0.01


def test_a_trace_sets_the_snr():
    trace = SnrTrace((100.0, 100.1, 100.2), (20.0, 0.0, 10.0))
    conditions = Conditions("awgn", schedule=trace, coherence_symbols=1000)
    channel = Channel(conditions)
    snrs = [channel.apply(ONES[:10_000]).snr_db for _ in range(25)]
    assert snrs[0] == pytest.approx(19, abs=0.1) and snrs[9] == pytest.approx(1, abs=0.1)
    assert snrs[19] == pytest.approx(9.5, abs=0.1) and snrs[24] == 10


def test_a_burst_that_is_refused_leaves_the_channel_as_it_was():
    spoiled, clean = Channel(Conditions(seed=1)), Channel(Conditions(seed=1))
    with pytest.raises(SignalError, match="not finite"):
        spoiled.apply(np.full(100, np.inf, np.complex64))
    assert np.array_equal(spoiled.apply(ONES).symbols, clean.apply(ONES).symbols)


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
    code = "import sys, panolink.phy as p; p.Channel(p.Conditions()); p.Scenario; p.SegmentFormat; "
    code += "assert not {'torch', 'sionna', 'numba', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


@pytest.mark.parametrize(("model", "spacing"), [("rayleigh", 16), ("rayleigh", 128)])
def test_erasures_leave_pilots_the_blocks_over_which_the_channel_is_constant(model: str, spacing: int):
    """Coefficients are one per symbol then: averaged over such blocks, pilots would be noise."""
    formats = [SegmentFormat(330, Scheme(Modulation.QAM16, 1 / 2))] * 12
    payloads = [bytes([number]) * 330 for number in range(12)]
    symbols = modulate(payloads, formats, pilot_spacing=spacing)
    channel = Channel(Conditions(model, snr_db=16, seed=5, erasure_rate=0.08))
    arrived = erased = 0
    for _ in range(4):
        reception = channel.apply(symbols, formats=formats, pilot_spacing=spacing)
        found = demodulate(**vars(reception), formats=formats, pilot_spacing=spacing)
        segments = received_segments(**vars(reception), formats=formats, pilot_spacing=spacing)
        measured = measure_channel(**vars(reception), pilot_spacing=spacing)
        lost = [not one.gains.any() for one in segments]
        assert [payload is None for payload in found] == lost
        assert measured.snr_db is not None and measured.snr_db > 12
        erased += sum(lost)
        arrived += len(lost) - sum(lost)
        if any(lost):
            assert (reception.coherence_symbols, reception.fading_symbols) == (1, 256)
    assert erased and arrived
