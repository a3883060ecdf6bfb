"""When panoramas were taken, as sources tell it, and how old they are by a clock that need not be the same."""

from __future__ import annotations

import time

LONGEST_AGE_SECONDS = 60.0
"""beyond which the clocks of source and viewer are not the same"""

_EARLY_SECONDS = 1.0
"""by which a source's clock may be ahead: clocks are set by each other, but not to the millisecond"""

_LAST_MOMENT = 1e11
"""seconds since 1970, beyond which no clock is"""


def capture_time(seconds: float) -> float:
    """Seconds since 1970 as a source tells them; 0, not known, for what is no such moment."""
    return seconds if 0 < seconds < _LAST_MOMENT else 0.0


def age_of(captured_at: float, now: float | None = None) -> float | None:
    """Seconds since a panorama was taken, at least 0.

    Parameters
    ----------
    captured_at : float
        Seconds since 1970 by its source's clock; 0: not known.
    now : float, optional
        Seconds since 1970; None: now.

    Returns
    -------
    float or None
        None where it is not known, or is so old or so new that the clocks are not the same.
    """
    age = (time.time() if now is None else now) - captured_at
    return max(age, 0.0) if captured_at and -_EARLY_SECONDS <= age <= LONGEST_AGE_SECONDS else None
