"""Stages of the transmission of a panorama, as receipts and deliveries name them."""

from collections.abc import Mapping

STAGES = (
    "decode_image",
    "encode",
    "quantize",
    "entropy_code",
    "fec_encode",
    "channel",
    "fec_decode",
    "entropy_decode",
    "decode",
    "encode_picture",
    "queue",
    "total",
)
"""Names of the stages in order. `queue` is the time spent waiting for a network, at both ends; `total` is measured at
the transmitter and includes the time on the wire."""


def in_order(seconds: Mapping[str, float]) -> dict[str, float]:
    """Sort durations by stage; unknown stages come last."""
    known = {stage: seconds[stage] for stage in STAGES if stage in seconds}
    return known | {stage: seconds[stage] for stage in sorted(seconds) if stage not in known}
