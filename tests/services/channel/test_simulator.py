import numpy as np
import pytest

from panolink.phy import Channel, Conditions
from panolink.rpc.wire.bursts import Burst
from panolink.services.channel.simulator import apply_channel, cascaded
from tests.services.kept_bursts import SYMBOLS, sent


def noise_of(burst: Burst, original: Burst) -> np.ndarray:
    """What is left of a burst when its known channel is taken away: its noise."""
    gains = np.repeat(burst.csi, burst.header.channel_state.coherence_symbols)[:SYMBOLS]
    return burst.symbols - gains * original.symbols


def through(burst: Burst, conditions: Conditions) -> Burst:
    return cascaded(burst, Channel(conditions).apply(burst.symbols))


def test_one_channel_tells_its_state() -> None:
    burst = through(sent(), Conditions("rayleigh", snr_db=10, coherence_symbols=100, seed=1))
    state = burst.header.channel_state
    assert (len(burst.csi), state.coherence_symbols) == (10, 100)
    assert state.noise_variance == pytest.approx(0.1)
    assert state.snr_db == pytest.approx(10)
    assert np.mean(np.abs(noise_of(burst, sent())) ** 2) == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize(("first", "second", "common"), [(100, 250, 50), (100, SYMBOLS, 100), (300, 300, 300)])
def test_two_channels_in_a_row_join_their_states(first: int, second: int, common: int) -> None:
    once = through(sent(), Conditions("rayleigh", snr_db=10, coherence_symbols=first, seed=1))
    twice = through(once, Conditions("rician", snr_db=10, coherence_symbols=second, seed=2))
    state = twice.header.channel_state
    assert state.coherence_symbols == common
    assert len(twice.csi) == -(-SYMBOLS // common)
    assert state.snr_db == pytest.approx(10 - 10 * np.log10(2))
    assert state.noise_variance == pytest.approx(0.2)
    # Every block has been scaled to the one noise variance that the wire has room for.
    assert np.mean(np.abs(noise_of(twice, sent())) ** 2) == pytest.approx(0.2, rel=0.2)


def test_an_ideal_channel_changes_nothing() -> None:
    burst = through(sent(), Conditions("ideal"))
    np.testing.assert_array_equal(burst.symbols, sent().symbols)
    assert not burst.header.channel_state.HasField("snr_db")
    assert burst.header.channel_state.noise_variance == 0


@pytest.mark.parametrize("order", [1, -1])
def test_what_one_channel_erases_is_erased_behind_the_next(order: int) -> None:
    erasing = Conditions("ideal", erasure_rate=0.5, packet_symbols=60, seed=2)
    burst, lost = sent(), 0
    for conditions in (erasing, Conditions("jakes", seed=1))[::order]:
        burst, reception = apply_channel(Channel(conditions), burst)
        lost += reception.erased_symbols
    there = np.repeat(burst.csi != 0, burst.header.channel_state.coherence_symbols)[:SYMBOLS]
    assert 0 < np.sum(~there) == lost < SYMBOLS
    assert np.isfinite(burst.symbols).all()


@pytest.mark.parametrize("order", [1, -1])
def test_erasures_do_not_hide_over_how_many_symbols_fading_is_constant(order: int) -> None:
    erasing = Conditions("rayleigh", erasure_rate=0.5, packet_symbols=60, coherence_symbols=100, seed=2)
    burst = sent()
    for conditions in (erasing, Conditions("rayleigh", coherence_symbols=250, seed=1))[::order]:
        burst, _ = apply_channel(Channel(conditions), burst)
    state = burst.header.channel_state
    assert (state.coherence_symbols, state.fading_symbols) == (10, 50)
    calm, _ = apply_channel(Channel(Conditions("rayleigh", coherence_symbols=100, seed=1)), sent())
    assert calm.header.channel_state.fading_symbols == 0
