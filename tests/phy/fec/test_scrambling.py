import numpy as np
import pytest
from sionna.phy.nr.utils import generate_prng_seq

from panolink.phy.fec.scrambling import descramble, scramble, scrambling_sequence


@pytest.mark.parametrize("c_init", [1, 12345, 0x7FFFFFFF])
def test_the_sequence_is_that_of_nr(c_init: int):
    assert np.array_equal(scrambling_sequence(500, c_init=c_init), np.asarray(generate_prng_seq(500, c_init)))


def test_it_is_as_good_as_random():
    """As many ones as zeros, and no likeness to itself shifted: within five standard deviations of chance."""
    signs = 1 - 2 * scrambling_sequence(100_000).astype(float)
    bound = 5 / np.sqrt(signs.size)
    assert abs(signs.mean()) < bound
    assert all(abs(np.mean(signs[:-lag] * signs[lag:])) < bound for lag in (1, 2, 3, 31, 100, 4096))


def test_a_shorter_sequence_is_the_beginning_of_a_longer_one_and_cannot_be_written():
    long = scrambling_sequence(100_000)
    assert np.array_equal(scrambling_sequence(17), long[:17]) and scrambling_sequence(0).size == 0
    with pytest.raises(ValueError, match="read-only"):
        long[0] = 1


def test_descrambling_soft_bits_undoes_scrambling():
    bits = np.random.default_rng(0).integers(0, 2, 1000).astype(np.uint8)
    llrs = (1 - 2 * scramble(bits).astype(np.float32)) * np.float32(3.5)
    assert np.array_equal(descramble(llrs) < 0, bits.astype(bool))
    assert np.array_equal(np.abs(descramble(llrs)), np.abs(llrs)) and descramble(llrs).dtype == np.float32
    assert np.array_equal(scramble(scramble(bits)), bits)
