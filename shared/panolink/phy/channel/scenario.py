"""Schedules of a channel, what changes with time: a scenario of phases, or a recorded SNR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from panolink.errors import SignalError
from panolink.phy.channel.channel_models import MODEL_SETTINGS
from panolink.phy.shapes import Values

if TYPE_CHECKING:
    from panolink.phy.channel.conditions import Conditions

MAX_PHASES = 1000
MAX_SAMPLES = 60_000  # what one message of the protocol can carry

CHANGEABLE = (
    *("model", "snr_db", "coherence_symbols", *MODEL_SETTINGS),
    *("erasure_rate", "erasure_burst", "packet_symbols"),
)
"""What a phase may change of the conditions; a stream's time and randomness are not among it."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a scenario.

    Parameters
    ----------
    seconds : float
        Its duration, > 0.
    changes : Mapping[str, Any]
        Fields that differ from the conditions with which the scenario was set, by name (`CHANGEABLE`).
    final_snr_db : float | None
        The SNR moves in a straight line (of dB) from that of the phase to this one; None: it stays.

    Raises
    ------
    SignalError
        A duration out of range, or a name that a phase cannot change.
    """

    seconds: float
    changes: Mapping[str, Any] = field(default_factory=dict)
    final_snr_db: float | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.seconds) and self.seconds > 0):
            raise SignalError(f"seconds is {self.seconds}; allowed: above 0, finite")
        for name in self.changes:
            if name not in CHANGEABLE:
                raise SignalError(f"unknown setting {name[:60]!r}; allowed: seconds, {', '.join(CHANGEABLE)}")
        object.__setattr__(self, "changes", MappingProxyType(dict(self.changes)))

    def applied(self, base: Conditions) -> Conditions:
        """The conditions at the phase's beginning, without a schedule.

        Raises
        ------
        SignalError
            The changes do not go together with `base`, or with each other.
        """
        if self.final_snr_db is not None:
            base.without_schedule(snr_db=self.final_snr_db)
        return base.without_schedule(**self.changes)


@dataclass(frozen=True, repr=False)
class Scenario:
    """Phases one after the other. After the last one its final state stays, or all begins again.

    The SNR follows each phase's line continuously; whatever else a phase changes holds from the first burst that
    begins in it.

    Parameters
    ----------
    phases : tuple[Phase, ...]
        1 … 1000.
    repeat : bool
        Whether all begins again after the last phase.

    Raises
    ------
    SignalError
        Too few or too many phases.
    """

    phases: tuple[Phase, ...]
    repeat: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.phases) <= MAX_PHASES:
            raise SignalError(f"scenario of {len(self.phases)} phases; allowed: 1 … {MAX_PHASES}")

    @property
    def seconds(self) -> float:
        """Duration of all phases together."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def changes_only_snr(self) -> bool:
        """Whether no phase changes anything but the SNR, and the model."""
        return all(phase.changes.keys() <= {"snr_db", "model"} for phase in self.phases)

    def check(self, base: Conditions) -> None:
        """Find out that a phase and the conditions do not go together.

        Parameters
        ----------
        base : Conditions

        Raises
        ------
        SignalError
            They do not; names the phase's number.
        """
        for number, phase in enumerate(self.phases, start=1):
            try:
                phase.applied(base)
            except SignalError as error:
                raise SignalError(f"phase {number}: {error}") from None

    def variants(self, base: Conditions) -> Iterable[Conditions]:
        """The conditions of all phases."""
        return [phase.applied(base) for phase in self.phases]

    def conditions(self, base: Conditions, seconds: float) -> Conditions:
        """The conditions at a time.

        Parameters
        ----------
        base : Conditions
            Without a schedule.
        seconds : float
            Since the beginning.
        """
        index = int(self._phase_at(self._within(np.array([seconds])))[0])
        return self.phases[index].applied(base)

    def snr_db(self, base: Conditions, seconds: Values) -> Values:
        """The SNR at times.

        Parameters
        ----------
        base : Conditions
        seconds : float64 (n,)
            Since the beginning.

        Returns
        -------
        float64 (n,)
            Es/N0 in dB.
        """
        first = np.array([phase.changes.get("snr_db", base.snr_db) for phase in self.phases], float)
        final = [phase.final_snr_db for phase in self.phases]
        last = np.array([start if end is None else end for start, end in zip(first, final, strict=True)], float)
        within = self._within(seconds)
        index = self._phase_at(within)
        lengths = np.array([phase.seconds for phase in self.phases])
        share = (within - (np.cumsum(lengths) - lengths)[index]) / lengths[index]
        return first[index] + (last - first)[index] * np.clip(share, 0, 1)

    def __repr__(self) -> str:
        again = ", then again" if self.repeat else ""
        return f"scenario of {len(self.phases)} phases, {self.seconds:g} s{again}"

    def _within(self, seconds: np.ndarray) -> np.ndarray:
        return seconds % self.seconds if self.repeat else seconds

    def _phase_at(self, seconds: np.ndarray) -> np.ndarray:
        ends = np.cumsum([phase.seconds for phase in self.phases])
        return np.minimum(np.searchsorted(ends, seconds, side="right"), len(self.phases) - 1)


@dataclass(frozen=True, repr=False)
class SnrTrace:
    """A recorded SNR, interpolated linearly in dB; after the last sample it stays, or all begins again.

    Parameters
    ----------
    times : tuple[float, ...]
        Seconds, strictly rising; the first one is the channel's time 0.
    values : tuple[float, ...]
        SNR in dB at those times, −50 … 100.
    repeat : bool
        Whether all begins again after the last sample.

    Raises
    ------
    SignalError
        A sample out of range or order, which the message names, or too few or too many of them.
    """

    times: tuple[float, ...]
    values: tuple[float, ...]
    repeat: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.times) <= MAX_SAMPLES:
            raise SignalError(f"SNR trace of {len(self.times)} samples; allowed: 1 … {MAX_SAMPLES}")
        if len(self.times) != len(self.values):
            raise SignalError(f"an SNR trace of {len(self.times)} times and {len(self.values)} values")
        for number, (time, value) in enumerate(zip(self.times, self.values, strict=True), start=1):
            check_sample(time, value, f"sample {number}: ")
        for number, (before, after) in enumerate(pairwise(self.times), start=2):
            if after <= before:
                raise SignalError(f"sample {number}: time {after} s does not come after {before} s")
        if self.repeat and len(self.times) < 2:
            raise SignalError("an SNR trace of one sample cannot repeat")

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return self.times[-1] - self.times[0]

    @property
    def changes_only_snr(self) -> bool:
        """True, as of every trace."""
        return True

    def check(self, base: Conditions) -> None:
        """Do nothing: a trace goes with all conditions."""

    def variants(self, base: Conditions) -> Iterable[Conditions]:
        """`base` alone: nothing but the SNR changes."""
        return [base]

    def conditions(self, base: Conditions, seconds: float) -> Conditions:
        """The conditions at a time, which are `base` but for the SNR."""
        return base.without_schedule()

    def snr_db(self, base: Conditions, seconds: Values) -> Values:
        """The SNR at times.

        Parameters
        ----------
        base : Conditions
        seconds : float64 (n,)
            Since the beginning.

        Returns
        -------
        float64 (n,)
            Es/N0 in dB.
        """
        within = seconds % self.seconds if self.repeat else seconds
        return np.interp(within, np.asarray(self.times) - self.times[0], self.values)

    def __repr__(self) -> str:
        again = ", then again" if self.repeat else ""
        return f"SNR trace of {len(self.times)} samples, {self.seconds:g} s{again}"


def check_sample(time: float, snr_db: float, where: str) -> None:
    """Check a sample of a trace.

    Parameters
    ----------
    time : float
        Seconds.
    snr_db : float
        −50 … 100.
    where : str
        Beginning of the error message.

    Raises
    ------
    SignalError
        A time that is not finite, or an SNR out of range.
    """
    if not isfinite(time):
        raise SignalError(f"{where}time {time} s is not finite")
    if not -50 <= snr_db <= 100:
        raise SignalError(f"{where}snr_db is {snr_db} dB; allowed: -50 … 100")
