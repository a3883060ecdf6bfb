"""Outer-loop link adaptation: receipts of past panoramas set the SNR, less a margin, that the next one counts on.

controller = Controller()
choice = controller.choice()
…send a panorama with it (`panolink.link.rate_allocation.allocate`)…
controller.learn(Feedback(snr_db, {"indices": (sent, lost), "features": (sent, lost)}), choice)
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite

from panolink.errors import SignalError
from panolink.link.unequal_protection import HEADER_ARRIVES_DB, SAFETY_DB, Choice


@dataclass(frozen=True)
class Feedback:
    """Feedback from the receiver on one panorama.

    Parameters
    ----------
    snr_db : float | None
        Mean Es/N0 in dB as the receiver measured it; None where it is not known.
    segments : Mapping[str, tuple[int, int]]
        (sent, lost) by layer.
    fading : float | None
        Variance of |h|² in the burst over its squared mean; None where it is not known.
    """

    snr_db: float | None
    segments: Mapping[str, tuple[int, int]]
    fading: float | None = None


class Controller:
    """Outer-loop link adaptation from receipts, one after another. Not for use by several threads at once.

    The SNR to count on is what receipts report, less a margin for what they do not cover: their age, and errors of the
    measurement or of the channel model. Small differences from one receipt to the next are averaged. A fall by more
    than twice `hysteresis_db` is followed at once, a rise by more than once that when a second receipt confirms it. The
    choice follows down at once, and up only by `hysteresis_db` or more.

    The margin grows when the features' first run, or anything more valuable, loses more than it should, in a panorama
    that was sent with the present margin: several may be under way when a fade begins, and it is one fade. It shrinks
    in small steps after a row of clean receipts; the row needed doubles each time that a smaller margin turned out to
    be too small. So on a channel that stays the same it comes to rest.

    Parameters
    ----------
    snr_db : float
        The SNR to begin with, and to stay with where no receipts come.
    hysteresis_db : float
        ≥ 0.
    header_snr_db : float
        See `Choice`.
    fall_db : float
        ≥ 0; a fall of the SNR to be prepared for as if it had been seen.
    memory_seconds : float
        > 0; after so long without a receipt a channel that was bad is no longer taken for bad: the margin
        is dropped, and the SNR counted on is at least ``snr_db`` again.
    clock : Callable[[], float]
        Seconds, monotonic.

    Raises
    ------
    SignalError
        ``hysteresis_db``, ``fall_db`` or ``memory_seconds`` out of range.
    """

    PLAUSIBLE_DB = (-40.0, 80.0)
    """reported SNRs in dB are clipped to these"""

    GROWTH_DB, SHRINKAGE_DB, MOST_DB = 1.5, 0.5, 12.0
    PATIENCE = 4  # clean receipts before the margin is made smaller for the first time
    MOST_PATIENCE = 1024
    TOLERATED = 0.1  # share of segments that may be lost: half the features are sent without any margin
    MEMORY = 4  # receipts over which differences are averaged
    FORGOTTEN_DB = 0.03
    FADING_STEP = 0.25  # the amount of fading is measured coarsely, and counted in such steps

    def __init__(
        self,
        *,
        snr_db: float = 0.0,
        hysteresis_db: float = 1.0,
        header_snr_db: float = inf,
        fall_db: float = 0.0,
        memory_seconds: float = inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("hysteresis_db", hysteresis_db), ("fall_db", fall_db)):
            if not value >= 0:
                raise SignalError(f"{name} is {value}; allowed: 0 and above")
        if not memory_seconds > 0:
            raise SignalError(f"memory_seconds is {memory_seconds}; allowed: above 0")
        self.hysteresis_db, self.margin_db = hysteresis_db, 0.0
        self._initial_snr_db, self._memory_seconds, self._clock = snr_db, memory_seconds, clock
        self._learnt_at = clock()
        self._fall_db = fall_db
        self._choice = Choice(snr_db, 0.0, 0.0, header_snr_db, self._base_layer_margin_at(snr_db))
        self._before_margin_db = snr_db  # what the margin is deducted from
        self._snr_db: float | None = None
        self._risen: float | None = None  # an SNR that is to be confirmed
        self._fading: float | None = None
        self._clean, self._patience = 0, self.PATIENCE
        self._shrunk = False

    def choice(self) -> Choice:
        """The choice for the next panorama; after `memory_seconds` without a receipt, what was learnt is dropped."""
        if self._clock() - self._learnt_at >= self._memory_seconds:
            self._forget()
        return self._choice

    def _forget(self) -> None:
        """Drop the margin and what was measured, which are out of date."""
        self._learnt_at = self._clock()
        self._snr_db = self._risen = self._fading = None
        self.margin_db, self._clean, self._patience, self._shrunk = 0.0, 0, self.PATIENCE, False
        self._before_margin_db = snr_db = max(self._choice.snr_db, self._initial_snr_db)
        base_layer_margin_db = self._base_layer_margin_at(snr_db)
        self._choice = replace(self._choice, snr_db=snr_db, margin_db=0.0, base_layer_margin_db=base_layer_margin_db)

    def learn(self, feedback: Feedback, sent_with: Choice | None = None) -> Choice:
        """Take a receipt into account, and choose anew.

        Parameters
        ----------
        feedback : Feedback
            Of one panorama.
        sent_with : Choice | None
            The choice that the panorama was sent with; None: the present one.

        Returns
        -------
        The choice for the next panorama.
        """
        sent_with = sent_with or self._choice
        self._learnt_at = self._clock()
        measured = feedback.snr_db if feedback.snr_db is not None and isfinite(feedback.snr_db) else None
        if measured is not None:
            measured = min(max(measured, self.PLAUSIBLE_DB[0]), self.PLAUSIBLE_DB[1])
        fall_db = 0.0 if measured is None else sent_with.snr_db + sent_with.margin_db - measured
        self._fall_db = max(self._fall_db - self.FORGOTTEN_DB, fall_db, 0.0)
        if fall_db <= SAFETY_DB["indices"][0]:
            self._learn_margin(feedback.segments, sent_with)
        if measured is not None:
            self._before_margin_db = self._followed(measured)
        counted_on = self._before_margin_db - self.margin_db
        choice = replace(self._choice, margin_db=self.margin_db, fading=self._fading_of(feedback.fading))
        # Between here and the hysteresis above it the choice stands.
        if counted_on < choice.snr_db or counted_on >= choice.snr_db + self.hysteresis_db:
            choice = replace(choice, snr_db=counted_on)
        self._choice = replace(choice, base_layer_margin_db=self._base_layer_margin_at(choice.snr_db))
        return self._choice

    def _base_layer_margin_at(self, snr_db: float) -> float:
        """Extra margin of the base layer in dB: covers the remembered fall, up to where headers are lost, too."""
        withstood = SAFETY_DB["indices"][0]
        wanted = self._fall_db + self.hysteresis_db - withstood
        return max(0.0, min(wanted, snr_db - withstood - HEADER_ARRIVES_DB))

    def _followed(self, snr_db: float) -> float:
        """The SNR after one more measurement of it."""
        mean = self._snr_db
        if mean is None or snr_db < mean - 2 * self.hysteresis_db:
            mean, self._risen = snr_db, None
        elif snr_db <= mean + self.hysteresis_db:
            mean, self._risen = mean + (snr_db - mean) / self.MEMORY, None
        elif self._risen is not None:
            mean, self._risen = min(self._risen, snr_db), None
        else:
            self._risen = snr_db
        self._snr_db = mean
        return mean

    def _fading_of(self, measured: float | None) -> float:
        """The amount of fading to count on after one more measurement of it."""
        if measured is None or not isfinite(measured):
            return self._choice.fading
        now = min(max(measured, 0.0), 1.0)
        self._fading = now if self._fading is None else self._fading + (now - self._fading) / self.MEMORY
        if abs(self._fading - self._choice.fading) < self.FADING_STEP:
            return self._choice.fading
        return round(self._fading / self.FADING_STEP) * self.FADING_STEP

    def _learn_margin(self, segments: Mapping[str, tuple[int, int]], sent_with: Choice) -> None:
        """Adapt the margin to the losses of a panorama, erased segments not counted."""
        sent, lost = (sum(counts[i] for counts in segments.values()) for i in (0, 1))
        base_lost = any(counts[1] for layer, counts in segments.items() if layer != "features")
        if not sent or sent_with.margin_db != self.margin_db:
            return  # of nothing there are no losses; those of another margin are not the present one's
        if base_lost or lost > self.TOLERATED * sent:
            if self._shrunk:
                self._patience = min(2 * self._patience, self.MOST_PATIENCE)
            self.margin_db = min(self.margin_db + self.GROWTH_DB, self.MOST_DB)
            self._clean, self._shrunk = 0, False
            return
        self._clean += 1
        if self._clean >= self._patience and self.margin_db > 0:
            self.margin_db = max(self.margin_db - self.SHRINKAGE_DB, 0.0)
            self._clean, self._shrunk = 0, True
