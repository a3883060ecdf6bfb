"""The symbol interleaver of a burst (numpy only: the simulated channel has to know where a segment lies)."""

from math import gcd, sqrt

import numpy as np

from panolink.phy.shapes import Positions

ALL = slice(None)

_GOLDEN = (sqrt(5) - 1) / 2


def interleaver(n: int, part: slice = ALL) -> Positions:
    """The permutation of a burst's symbols: symbol i of the segments, in order, is sent at place interleaver(n)[i].

    Place = i·s mod n with s the least number from n/φ on that has no divisor in common with n. Any run of neighbours is
    then spread evenly over the whole burst (three-distance theorem), so a segment of a few hundred symbols sees every
    coherence block about equally often, whatever the length of either.

    Parameters
    ----------
    n : int
        Symbols, pilots not counted; ≥ 0.
    part : slice
        Of them, for those alone: places of millions of symbols take several times what the symbols do.

    Returns
    -------
    int64 (n,), a permutation of 0 … n − 1; of ``part`` those of its symbols.
    """
    stride = max(1, round(n * _GOLDEN))
    while gcd(stride, n) != 1:
        stride += 1
    start, stop, _ = part.indices(n)
    places = np.arange(start, stop, dtype=np.int64)
    places *= stride
    places %= max(n, 1)
    return places
