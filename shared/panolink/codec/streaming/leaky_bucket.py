"""Rate control over time: a mean rate, from which a whole picture may borrow what later ones save."""

from __future__ import annotations

import threading

DEPTH = 8.0
"""pictures' worth of bits that a stream may be ahead of its mean"""

MOST_WHOLE_BPP = 0.15
"""bits per pixel beyond which a whole picture borrows no more: refinement spends them better"""

_SAVING = 0.8
"""share of the mean that a picture may take while what was borrowed is less than half made up for"""


class LeakyBucket:
    """Bits per pixel that a stream's next picture may take; safe to use from several threads.

    The level starts at `DEPTH` pictures' worth, is filled by the mean with every picture, and emptied by what it takes:
    over any n pictures, at most (n + `DEPTH`) times the mean is sent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._level: float | None = None  # in pictures' worth

    def allowed(self, mean: float, *, whole: bool) -> float:
        """What the next picture may take at a ``mean``, both in bits per pixel; ``whole``: predicted from nothing."""
        with self._lock:
            level = DEPTH if self._level is None else self._level
        if whole:
            return max(min(level * mean, MOST_WHOLE_BPP), min(level, 1.0) * mean)
        return min(level, 1.0 if level >= DEPTH / 2 else _SAVING) * mean

    def spent(self, bpp: float, mean: float) -> None:
        """Note what a picture took."""
        with self._lock:
            level = DEPTH if self._level is None else self._level
            self._level = min(max(level - bpp / mean, 0.0) + 1.0, DEPTH)
