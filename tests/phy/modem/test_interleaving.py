import numpy as np
import pytest
from sionna.phy.nr.utils import generate_prng_seq

from panolink.phy.fec.scrambling import whitening
from panolink.phy.modem.interleaving import interleaver


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 8, 100, 6765, 12345, 245_348])
def test_it_is_a_permutation(n):
    assert np.array_equal(np.sort(interleaver(n)), np.arange(n))


@pytest.mark.parametrize("n", [60_000, 211_380, 245_348])
def test_a_segment_sees_all_coherence_blocks_about_equally(n):
    places = interleaver(n)
    blocks = n // 256
    for start in range(0, n - 10 * blocks, n // 7):
        visits = np.bincount(places[start : start + 10 * blocks] // 256, minlength=blocks)[:blocks]
        assert visits.min() >= 7 and visits.max() <= 13  # 10 on average


def test_whitening_is_the_gold_sequence_of_nr():
    assert np.array_equal(whitening(500, start=12345), np.asarray(generate_prng_seq(500, 12345)))


def test_whitening_is_balanced_and_does_not_depend_on_length():
    bits = whitening(100_000)
    assert abs(bits.mean() - 0.5) < 0.01
    assert np.array_equal(whitening(77), bits[:77])
