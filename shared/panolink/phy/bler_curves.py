"""Block error rates of segments over the SNR: measured for each scheme, kept as two numbers.

In AWGN the block error rate of a good code is close to a Gaussian tail in the SNR (Polyanskiy, Poor, Verdú 2010, normal
approximation), Q((SNR − median) / spread) with both in dB. `benchmarks/link/fit_bler_curves.py` measured and
fitted them for this code and decoder and wrote `bler_curves.json`.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import erfc, sqrt
from statistics import NormalDist

from panolink.errors import SignalError
from panolink.phy.mcs import MCS_TABLE, Scheme

SIZES = (60, 330, 1000)
"""payload bytes of the segments that were measured: one short, one medium, one long code block or more"""

_NORMAL = NormalDist()
# of the standard library: services need no other of SciPy's special functions

CHANNELS = ("awgn", "rayleigh")
"""channels that were measured; in `rayleigh` each symbol has a coefficient of its own, as with ideal interleaving"""


@dataclass(frozen=True)
class BlerCurve:
    """Block error rate over SNR: Q((SNR − median_db) / spread_db).

    Parameters
    ----------
    median_db : float
        The SNR in dB at which half of the segments are lost.
    spread_db : float
        Standard deviation of the Gaussian in dB, > 0.
    """

    median_db: float
    spread_db: float

    def bler(self, snr_db: float) -> float:
        """Block error rate at an SNR.

        Parameters
        ----------
        snr_db : float
            Es/N0 in dB.

        Returns
        -------
        float
            0 … 1.
        """
        return erfc((snr_db - self.median_db) / (sqrt(2) * self.spread_db)) / 2

    def snr_at(self, error_rate: float) -> float:
        """The SNR at which the block error rate is a given one.

        Parameters
        ----------
        error_rate : float
            Above 0 and below 1.

        Returns
        -------
        float
            Es/N0 in dB.
        """
        return self.median_db - self.spread_db * _NORMAL.inv_cdf(error_rate)


@lru_cache(maxsize=4096)
def bler_curve(scheme: Scheme, *, payload_bytes: int = 330, channel: str = "awgn") -> BlerCurve:
    """The curve of a scheme for segments of about `payload_bytes`.

    Between measured sizes, and for shorter ones, both numbers are interpolated linearly in 1/√bits: the normal
    approximation's penalty for short codes. Beyond the largest size its curve is used; where only one size was
    measured, it is used for all.

    Parameters
    ----------
    scheme : Scheme
        One of `MCS_TABLE`.
    payload_bytes : int
        Length of the segments, ≥ 1.
    channel : str
        One of `CHANNELS`.

    Raises
    ------
    SignalError
        A scheme or channel that was not measured.
    """
    table = _measured()
    sizes = [size for size in SIZES if (str(scheme), channel, size) in table]
    if not sizes:
        raise SignalError(f"no error curve of {scheme} over {channel!r}; measured: {', '.join(map(str, MCS_TABLE))}")
    if len(sizes) == 1:
        return table[str(scheme), channel, sizes[0]]
    # The two measured sizes nearest to the one wanted: those above and below it, or the last two on one side.
    above = min(max(1, sum(size < payload_bytes for size in sizes)), len(sizes) - 1)
    small, large = sizes[above - 1], sizes[above]
    low, high = table[str(scheme), channel, small], table[str(scheme), channel, large]
    at = (_root(payload_bytes) - _root(large)) / (_root(small) - _root(large))
    at = min(max(at, 0.0), 2.0)
    median = high.median_db + at * (low.median_db - high.median_db)
    spread = high.spread_db + at * (low.spread_db - high.spread_db)
    return BlerCurve(median, spread)


def _root(payload_bytes: int) -> float:
    return 1 / sqrt(8 * payload_bytes)


@lru_cache(maxsize=1)
def _measured() -> dict[tuple[str, str, int], BlerCurve]:
    curves = json.loads(files("panolink.phy").joinpath("bler_curves.json").read_text())
    return {
        (scheme, channel, int(size)): BlerCurve(*numbers)
        for scheme, channels in curves.items()
        for channel, sizes in channels.items()
        for size, numbers in sizes.items()
    }
