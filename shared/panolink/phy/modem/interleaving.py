"""Spreading a burst over the channel (numpy only: the channel has to know where a segment lies)."""

from math import gcd

import numpy as np

_GOLDEN = (5**0.5 - 1) / 2


def interleaver(n: int) -> np.ndarray:
    """The burst's permutation: symbol i of the segments, in order, is sent at place interleaver(n)[i].

    Place = i·s mod n with s the number nearest n/φ that has no divisor in common with n. Any run of
    neighbours is then spread evenly over the whole burst (three-distance theorem), so a segment of a few
    hundred symbols sees every coherence block about equally often, whatever their length. int64 (n,).
    """
    stride = max(1, round(n * _GOLDEN))
    while gcd(stride, n) != 1:
        stride += 1
    return np.arange(n, dtype=np.int64) * stride % max(n, 1)
