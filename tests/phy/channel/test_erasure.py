import numpy as np
import pytest

from panolink.errors import SignalError
from panolink.phy import Channel, Conditions, Modulation, Scheme, SegmentFormat, demodulate, modulate
from panolink.phy.channel.erasure import GilbertElliott, packet_numbers

QPSK_HALF = Scheme(Modulation.QPSK, 1 / 2)


def runs(lost: np.ndarray) -> np.ndarray:
    """Lengths of the runs of lost packets."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize(("rate", "burst", "mean"), [(0.1, 5, 5), (0.2, 1, 1), (0.5, 20, 20), (0.3, 0, 1 / 0.7)])
def test_gilbert_elliott_is_stationary_and_bursty(rate, burst, mean):
    n = 400_000
    lost = GilbertElliott(rate, burst, np.random.default_rng(3)).lost(n)
    # A run and the gap after it are independent of the next: as many trials as there are runs
    trials = n * rate / mean
    assert lost.mean() == pytest.approx(rate, abs=4 * rate / np.sqrt(trials))
    lengths = runs(lost)
    assert lengths.mean() == pytest.approx(mean, abs=4 * mean / np.sqrt(trials))
    if mean > 1:  # geometric
        assert np.mean(lengths == 1) == pytest.approx(1 / mean, abs=4 / np.sqrt(trials))


def test_its_first_packet_is_as_any_other():
    first = [GilbertElliott(0.3, 10, np.random.default_rng(seed)).lost(1)[0] for seed in range(2000)]
    assert np.mean(first) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 2000))


def test_its_state_goes_on_from_burst_to_burst():
    whole = GilbertElliott(0.3, 10, np.random.default_rng(1)).lost(1000)
    parts = GilbertElliott(0.3, 10, np.random.default_rng(1))
    assert np.array_equal(np.concatenate([parts.lost(n) for n in (1, 0, 499, 500)]), whole)


def test_nothing_and_everything():
    assert not GilbertElliott(0, 0, np.random.default_rng(0)).lost(1000).any()
    assert GilbertElliott(1, 0, np.random.default_rng(0)).lost(1000).all()
    assert GilbertElliott(1, 3, np.random.default_rng(0)).lost(1000).all()


def test_packets_are_runs_of_symbols_or_segments():
    assert packet_numbers(Conditions(packet_symbols=4), 10, None).tolist() == [0] * 4 + [1] * 4 + [2] * 2
    formats = [SegmentFormat(size, QPSK_HALF) for size in (10, 25)]
    n = sum(fmt.symbols for fmt in formats)
    numbers = packet_numbers(Conditions(), n, formats)
    assert np.bincount(numbers).tolist() == [fmt.symbols for fmt in formats]
    with pytest.raises(SignalError, match=f"burst of {n + 1} symbols; its 2 segments make {n}"):
        packet_numbers(Conditions(), n + 1, formats)
    with pytest.raises(SignalError, match="their formats are needed"):
        packet_numbers(Conditions(), n, None)


def sent(count: int):
    formats = [SegmentFormat(60, QPSK_HALF)] * count
    payloads = [np.random.default_rng(i).bytes(60) for i in range(count)]
    return formats, payloads, modulate(payloads, formats)


@pytest.mark.parametrize("model", ["ideal", "rayleigh"])
def test_an_erased_segment_is_lost_and_the_others_are_not(model):
    formats, payloads, symbols = sent(200)
    conditions = Conditions(model, snr_db=40, erasure_rate=0.2, erasure_burst=3, seed=1, coherence_symbols=32)
    reception = Channel(conditions).apply(symbols, formats=formats)
    assert reception.coherence_symbols == 1  # the interleaver spreads a segment over the whole burst
    numbers = packet_numbers(conditions, symbols.size, formats)
    gone = np.bincount(numbers, reception.csi == 0) == formats[0].symbols
    assert 20 < gone.sum() < 60
    assert reception.erased_symbols == gone.sum() * formats[0].symbols
    assert not reception.symbols[reception.csi == 0].any()
    received = demodulate(**vars(reception), formats=formats)
    assert received == [None if lost else payload for lost, payload in zip(gone, payloads, strict=True)]


def test_erased_packets_of_symbols_are_spread_over_segments_that_survive():
    formats, payloads, symbols = sent(50)
    conditions = Conditions("awgn", snr_db=12, erasure_rate=0.2, packet_symbols=300, coherence_symbols=200, seed=2)
    reception = Channel(conditions).apply(symbols)
    assert reception.coherence_symbols == 100  # borders of blocks and of packets
    share = reception.erased_symbols / symbols.size
    assert 0.1 < share < 0.35
    assert demodulate(**vars(reception), formats=formats) == payloads


def test_fading_and_noise_are_the_same_with_and_without_erasures():
    symbols = np.ones(10_000, np.complex64)
    plain = Channel(Conditions("jakes", seed=1)).apply(symbols)
    holes = Channel(Conditions("jakes", seed=1, erasure_rate=0.3, packet_symbols=512)).apply(symbols)
    there = np.repeat(holes.csi != 0, holes.coherence_symbols)[:10_000]
    assert 0 < holes.erased_symbols == np.sum(~there) < 10_000
    assert np.array_equal(holes.symbols[there], plain.symbols[there])


@pytest.mark.parametrize("coherence", [1 << 24, 700])
def test_erasures_cut_long_blocks(coherence):
    symbols = np.ones(1000, np.complex64)
    conditions = Conditions("awgn", coherence_symbols=coherence, erasure_rate=0.5, packet_symbols=30, seed=4)
    reception = Channel(conditions).apply(symbols)
    assert reception.coherence_symbols == 10
    assert reception.csi.size == 100
    assert 0 < reception.erased_symbols < 1000
    assert reception.erased_symbols == np.sum(reception.symbols == 0)
