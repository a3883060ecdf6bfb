"""Packet erasures, as on IP networks (numpy only)."""

from collections.abc import Sequence

import numpy as np

from panolink.errors import SignalError
from panolink.phy.channel.conditions import Conditions
from panolink.phy.mcs import Format
from panolink.phy.modem.channel_estimation import check_pilot_spacing, pilot_count, pilot_mask
from panolink.phy.modem.interleaving import interleaver
from panolink.phy.shapes import Positions, SymbolMask


class GilbertElliott:
    """The two-state Markov model of Gilbert and Elliott: packets arrive in the good state, and are lost in the bad one.

    Lengths of runs of lost packets are geometric. The state goes on from burst to burst of a stream; it begins in its
    stationary distribution.

    Parameters
    ----------
    rate : float
        Share of lost packets in the stationary distribution, 0 … 1.
    burst : float
        Mean length of a run of lost packets, ≥ max(1, rate / (1 − rate)); 0: losses are independent, and runs
        1 / (1 − rate) long.
    rng : np.random.Generator
        Draws the states.
    """

    def __init__(self, rate: float, burst: float, rng: np.random.Generator) -> None:
        self._rng = rng
        stay = 1 - 1 / burst if burst else rate
        self._to_bad = min(1.0, (1 - stay) * rate / (1 - rate)) if rate < 1 else 1.0
        self._stay_bad = stay if rate < 1 else 1.0
        self._bad = rng.random() < rate

    def lost(self, packets: int) -> SymbolMask:
        """Whether each of the next packets is lost, bool (packets,)."""
        chances = self._rng.random(packets)
        # The next state if this one is good, if it is bad; where both agree, the past does not matter.
        from_good, from_bad = (chances < self._to_bad).tolist(), (chances < self._stay_bad).tolist()
        states, bad = [], self._bad
        for after_good, after_bad in zip(from_good, from_bad, strict=True):
            states.append(bad)
            bad = after_bad if bad else after_good
        self._bad = bad
        return np.array(states, bool)


def packet_numbers(
    conditions: Conditions, n: int, formats: Sequence[Format] | None, pilot_spacing: int = 0
) -> Positions:
    """Which packet carries each symbol of a burst.

    Parameters
    ----------
    conditions : Conditions
        `packet_symbols` of them counts; 0: each segment is a packet.
    n : int
        Symbols of the burst, pilots included.
    formats : Sequence[Format] | None
        Of the burst's segments, in order; needed where segments are packets.
    pilot_spacing : int
        As the burst was modulated.

    Returns
    -------
    int64 (n,), numbers of packets from 0 without gaps. Pilots belong to no segment: where segments are packets, theirs
    is −1.

    Raises
    ------
    SignalError
        Segments are packets, and `formats` is missing or makes another number of symbols.
    """
    if conditions.packet_symbols:
        return np.arange(n) // conditions.packet_symbols
    if formats is None:
        raise SignalError("packet_symbols is 0, which makes each segment a packet: their formats are needed")
    sizes = [fmt.symbols for fmt in formats]
    check_pilot_spacing(pilot_spacing)
    if (expected := sum(sizes) + pilot_count(sum(sizes), pilot_spacing)) != n:
        raise SignalError(f"burst of {n} symbols; its {len(sizes)} segments make {expected}")
    numbers = np.full(n, -1, np.int64)
    ordered = np.empty(sum(sizes), np.int64)
    ordered[interleaver(ordered.size)] = np.repeat(np.arange(len(sizes)), sizes)
    numbers[~pilot_mask(n, pilot_spacing)] = ordered
    return numbers
