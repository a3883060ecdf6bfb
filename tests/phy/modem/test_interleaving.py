import numpy as np
import pytest

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


def test_parts_are_those_of_the_whole():
    n, whole = 12_345, interleaver(12_345)
    assert np.array_equal(np.concatenate([interleaver(n, slice(k, k + 1000)) for k in range(0, n, 1000)]), whole)
    assert not interleaver(n, slice(7, 7)).size
