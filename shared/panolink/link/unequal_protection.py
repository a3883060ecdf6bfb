"""Unequal error protection: the modulation and coding scheme of each layer of a packet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, inf, isfinite
from typing import Protocol

from panolink.errors import SignalError
from panolink.link.segments import GAIN_CORRECTIONS
from panolink.phy.bler_curves import bler_curve
from panolink.phy.mcs import MCS_TABLE, Modulation, Scheme, SegmentFormat


def default_schemes() -> dict[str, tuple[Scheme, ...]]:
    """Fixed schemes by layer name, for a link without adaptation.

    Of several schemes the first, strongest one is for the layer's first slices; those of indices take turns (see
    `assign_formats`).

    In AWGN the header arrives from −7 dB on, a third of the rows of indices from −5.5 dB, two thirds from −3 dB, all
    from −1.5 dB, and the thirds of the features from 1, 3 and 6 dB; on interleaved Rayleigh fading up to 2 dB later.
    So quality falls by about 1 dB for each dB of SNR, and no panorama is lost at once.
    """
    qpsk, qam16 = Modulation.QPSK, Modulation.QAM16
    return {
        "header": (Scheme(qpsk, 1 / 10),),
        "mask": (Scheme(qpsk, 1 / 5),),
        GAIN_CORRECTIONS: (Scheme(qpsk, 1 / 5),),  # as the mask: without them, values are poor
        "indices": (Scheme(qpsk, 3 / 20), Scheme(qpsk, 1 / 4), Scheme(qpsk, 1 / 3)),
        "features": (Scheme(qpsk, 1 / 2), Scheme(qam16, 1 / 3), Scheme(qam16, 1 / 2)),
    }


def assign_formats(
    slices: Sequence[tuple[str, int]], schemes: Mapping[str, Sequence[Scheme]] | None = None
) -> list[SegmentFormat]:
    """Give every slice of a packet its segment format.

    Parameters
    ----------
    slices : Sequence[tuple[str, int]]
        (layer name, payload bytes) in packet order.
    schemes : Mapping[str, Sequence[Scheme]] | None
        Layer name → schemes, strongest first; a layer with g schemes is cut into g runs of about as
        many bytes. Only index slices take the schemes in turn: what arrives at a low SNR are then rows that lie evenly
        over the panorama, and concealment fills those between them.
        None: `default_schemes()`.

    Returns
    -------
    The format of each slice, in their order.

    Raises
    ------
    SignalError
        A layer without a scheme, or a payload length out of range.
    """
    schemes = default_schemes() if schemes is None else schemes
    totals: dict[str, int] = {}
    for layer, size in slices:
        if not schemes.get(layer):
            raise SignalError(f"no scheme for layer {layer!r}; there are schemes for {', '.join(schemes)}")
        totals[layer] = totals.get(layer, 0) + size
    formats, before, indices = [], dict.fromkeys(totals, 0), 0
    for layer, size in slices:
        grades = schemes[layer]
        if layer == "indices":
            grade, indices = indices % len(grades), indices + 1
        else:
            grade = len(grades) * before[layer] // max(totals[layer], 1)
        formats.append(SegmentFormat(size, grades[grade]))
        before[layer] += size
    return formats


TARGET = 0.01
"""block error rate of a layer without any margin"""

SAFETY_DB: dict[str, tuple[float, ...]] = {
    "header": (7.0,),
    "mask": (6.0,),
    GAIN_CORRECTIONS: (6.0,),
    "indices": (4.0,),
    "features": (2.0, 0.0),
}
"""margin in dB by which the SNR may fall before a layer is lost, for each of its runs of slices"""

HEADER_SNR_DB, HEADER_ARRIVES_DB = 4.5, -3.0
"""headers of an adaptive link are sent as if the SNR were at most the first; they arrive from the second on

That costs about 1100 symbols on a good channel, and saves panoramas from sudden fades.
"""

_FASTEST_DB = 40.0  # from here on every layer has the fastest scheme, with all its margin and with Rayleigh fading
_HEADER_BYTES = 60  # short segments need more SNR: header and mask are judged at this size

Schemes = Mapping[str, tuple[Scheme, ...]]


class Protection(Protocol):
    """How layers are to be protected, as `panolink.link.rate_allocation.fill` needs it."""

    @property
    def fading(self) -> float:
        """Expected fading within each segment: variance of |h|² over its squared mean, 0 none, 1 Rayleigh."""
        ...

    @property
    def base_layer_margin_db(self) -> float:
        """Margin of indices in dB beyond `SAFETY_DB`, where the budget has room for it; ≥ 0."""
        ...

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """Schemes of all layers, as `assign_formats` takes them.

        Parameters
        ----------
        lowered_db : float
            By how much the base layer's margins may be lowered, the extra margin first; ≥ 0.
        """
        ...


class Fixed:
    """Protection by the default schemes, independent of the channel."""

    fading = base_layer_margin_db = 0.0

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """See `default_schemes`."""
        return default_schemes()


@dataclass(frozen=True)
class Choice:
    """Protection for an SNR to count on.

    Parameters
    ----------
    snr_db : float
        Mean SNR less the margin, in dB.
    fading : float
        Expected fading within each segment, 0 … 1: 0 none, 1 Rayleigh.
    margin_db : float
        The margin that has been deducted, see `panolink.link.outer_loop.Controller`.
    header_snr_db : float
        The header is sent as if the SNR were no higher than that, in dB.
    base_layer_margin_db : float
        As in `Protection`.
    """

    snr_db: float
    fading: float = 0.0
    margin_db: float = 0.0
    header_snr_db: float = inf
    base_layer_margin_db: float = 0.0

    def scheme(self, layer: str, *, run: int = 0, lowered_db: float = 0.0) -> Scheme:
        """The fastest scheme for a run of a layer that keeps its margin; the strongest of all where none does.

        Parameters
        ----------
        layer : str
            One of `SAFETY_DB`.
        run : int
            Number of the run of slices, for a layer with several margins.
        lowered_db : float
            By how much the base layer's margins may be lowered, the extra margin first; ≥ 0.
        """
        lowered = 0.0 if layer == "features" else lowered_db
        extra_db = self.base_layer_margin_db if layer == "indices" else min(self.base_layer_margin_db, lowered)
        safety = SAFETY_DB[layer][run] + extra_db - lowered
        size = _HEADER_BYTES if layer in ("header", "mask", GAIN_CORRECTIONS) else 330
        snr_db = min(self.snr_db, self.header_snr_db) if layer == "header" else self.snr_db
        fit = [s for s in MCS_TABLE if required_snr_db(s, payload_bytes=size, fading=self.fading) + safety <= snr_db]
        return max(fit, key=lambda s: s.bits_per_symbol, default=MCS_TABLE[0])

    def less_safe(self) -> "list[Choice]":
        """Choices with less and less margin than this one, by a decibel each, up to the fastest schemes of all.

        First headers give up being sent as if the SNR were no better than `header_snr_db`; then a higher SNR is counted
        on than the channel is known to have. What that takes comes out of `margin_db`, so that `snr_db + margin_db`
        stays what was measured, and losses do not count against the margin that the controller keeps.
        """
        bare = replace(self, base_layer_margin_db=0.0)
        headers = range(1, max(0, ceil(self.snr_db - self.header_snr_db)) + 1) if isfinite(self.header_snr_db) else ()
        rises = range(1, max(0, ceil(_FASTEST_DB - self.snr_db)) + 1)
        return [
            *(replace(bare, header_snr_db=self.header_snr_db + db) for db in headers),
            *(replace(bare, snr_db=self.snr_db + db, margin_db=self.margin_db - db, header_snr_db=inf) for db in rises),
        ]

    def schemes(self, *, lowered_db: float = 0.0) -> Schemes:
        """Schemes of all layers, as `assign_formats` takes them; `lowered_db` is for the base layer."""
        return {
            layer: tuple(self.scheme(layer, run=run, lowered_db=lowered_db) for run in range(len(runs)))
            for layer, runs in SAFETY_DB.items()
        }


@lru_cache(maxsize=1024)
def required_snr_db(scheme: Scheme, *, payload_bytes: int = 330, fading: float = 0.0) -> float:
    """The SNR in dB at which one segment in a hundred is lost (`TARGET`).

    Parameters
    ----------
    scheme : Scheme
        One of `MCS_TABLE`.
    payload_bytes : int
        Length of the segment, ≥ 1.
    fading : float
        0 none … 1 Rayleigh, interleaved over many fades. Between these two, which were measured, the SNR is
        interpolated linearly.

    Raises
    ------
    SignalError
        A scheme that was not measured.
    """
    need = bler_curve(scheme, payload_bytes=payload_bytes).snr_at(TARGET)
    if not fading:
        return need
    # Fading was measured at one size; its loss is taken to be the same at others.
    alone = bler_curve(scheme).snr_at(TARGET)
    return need + fading * (bler_curve(scheme, channel="rayleigh").snr_at(TARGET) - alone)
