"""Separate coding, as the literature does it: a picture file and a good code. One piece lost loses the picture."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

import numpy as np

from benchmarks.lib import rate_points
from benchmarks.link.segment_loss import COHERENCE_SYMBOLS, Air, Draw
from panolink.phy import Scheme, SegmentFormat
from panolink.phy.mcs import MCS_TABLE

SCHEMES = MCS_TABLE
"""all that this link chooses from"""

PIECE_BYTES = 1000


@lru_cache(maxsize=4096)
def pieces(size: int, scheme: Scheme) -> list[SegmentFormat]:
    """A file of `size` bytes in equal segments of at most 1000 bytes, each with its CRC."""
    count = max(1, -(-size // PIECE_BYTES))
    return [SegmentFormat(size // count + (i < size % count), scheme) for i in range(count)]


@lru_cache(maxsize=4096)
def room(symbols: int, scheme: Scheme) -> int:
    """Bytes of the largest file that fits into so many symbols, CRC and code included; 0 where none does."""
    low, high = 0, int(symbols * scheme.bits_per_symbol / 8)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(fmt.symbols for fmt in pieces(middle, scheme)) <= symbols:
            low = middle
        else:
            high = middle - 1
    return low


def arrival(draw: Draw, size: int, scheme: Scheme, snr_db: float) -> float:
    """Probability that a file of `size` bytes arrives whole.

    Where each segment has a coefficient of its own, the whole file is taken as one segment: that is the better for it.
    """
    formats = pieces(size, scheme)
    if draw.air is Air.SEGMENT:
        snr_db += float(20 * np.log10(np.abs(draw.gains(1)[0])))
        draw = Draw(Air.AWGN, draw.seed)
    return prod(1 - float(rate) for rate in draw.error_rates(formats, snr_db))


def capacity(draw: Draw, symbols: int, snr_db: float) -> float:
    """Bits per symbol that an ideal code of any rate carries through this state of the air, known to the sender."""
    count = 1 if draw.air is Air.SEGMENT else -(-symbols // COHERENCE_SYMBOLS)
    strengths = np.abs(draw.gains(count)) ** 2
    return float(np.log2(1 + strengths * 10 ** (snr_db / 10)).mean())


@dataclass(frozen=True)
class RateQuality:
    """A codec's quality over bits per pixel for one picture, between measured points linear in log bpp.

    bpp : ascending. scores : by measure, as many. nothing : scores of a picture that did not arrive.
    """

    bpp: tuple[float, ...]
    scores: dict[str, tuple[float, ...]]
    nothing: dict[str, float]

    def at(self, bpp: float) -> dict[str, float]:
        """Scores in `bpp` bits: below the first point nothing arrives, beyond the last nothing is gained."""
        if bpp < self.bpp[0]:
            return self.nothing
        return {name: float(np.interp(np.log(bpp), np.log(self.bpp), values)) for name, values in self.scores.items()}


class Files:
    """What codecs make of one picture; sizes and scores are kept below `cache`."""

    def __init__(self, image: np.ndarray, measures: list[str], cache: Path) -> None:
        self._image, self._measures, self._cache = image, measures, cache
        self._digest = hashlib.sha256(image.tobytes()).hexdigest()[:16]

    def best(self, codec: str, size: int) -> tuple[int, dict[str, float]] | None:
        """Bytes and scores of the best file of at most `size` bytes; None where the codec cannot go so low."""
        coder = rate_points.BASELINES[codec]
        file = self._cache / "file_sizes" / self._digest / f"{coder.version}.json"
        known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        probed = len(known)

        def bytes_at(place: int) -> int:
            quality = coder.qualities[place]
            if str(quality) not in known:
                known[str(quality)] = len(coder.encode(self._image, quality=quality))
            return known[str(quality)]

        low, high = -1, len(coder.qualities) - 1  # the best that fits is not below `low` and not above `high`
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if bytes_at(middle) <= size else (low, middle - 1)
        if len(known) > probed:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(known))
        return None if low < 0 else (bytes_at(low), self._scores(codec, coder.qualities[low]))

    def _scores(self, codec: str, quality: int) -> dict[str, float]:
        subject, setting = rate_points.baseline(rate_points.BASELINES[codec], []), f"q={quality}"
        found = rate_points.points(subject, self._image, {"": setting}, self._measures, self._cache / "rate_distortion")
        return next(point.scores for _, point in found)
