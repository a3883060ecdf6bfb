"""Application of a simulated channel to a burst: y = h·x + n, with h and the noise variance reported as CSI."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from panolink.phy import Channel, Reception
from panolink.phy.channel.model import finite_complex
from panolink.rpc.wire.bursts import Burst, ends_harq
from panolink.rpc.wire.segments import formats_from_wire
from panolink.v1 import link_pb2


def apply_channel(channel: Channel, burst: Burst, *, at: float | None = None) -> tuple[Burst, Reception]:
    """Apply a channel to a burst.

    Parameters
    ----------
    at
        Start time in seconds, see `Channel.apply`.

    Returns
    -------
    burst : Burst
        The burst after the channel.
    reception : Reception
        Symbols, coefficients and noise of this channel alone.

    Raises
    ------
    SignalError
        Non-finite values, or segments that do not match the symbols; the state of the channel does not change.
    """
    finite_complex(burst.csi, "csi")
    if ends_harq(burst.header):  # occupies no air time
        return burst, Reception(burst.symbols, burst.csi, 1, 0.0)
    formats = formats_from_wire(burst.header.segments) if channel.conditions.erases_segments else None
    reception = channel.apply(burst.symbols, at=at, formats=formats, pilot_spacing=burst.header.pilot_spacing)
    return cascaded(burst, reception), reception


def cascaded(burst: Burst, reception: Reception) -> Burst:
    """The burst after a channel, with the channel state of the cascade.

    With h₁, N₁ of earlier channels and h₂, N₂ of this one, y = h₂(h₁x + n₁) + n₂ has the coefficient h₂h₁ and a
    noise variance of |h₂|²N₁ + N₂. That differs from block to block, and a burst has one N₀: each block is scaled to
    a noise variance of N₁ + N₂, which leaves its SNR as it is.
    """
    before = burst.header.channel_state
    header = link_pb2.BurstHeader()
    header.CopyFrom(burst.header)
    state = header.channel_state
    symbols, total = reception.symbols, len(reception.symbols)
    block, (first, second) = _common_blocks(
        total, (burst.csi, before.coherence_symbols), (reception.csi, reception.coherence_symbols)
    )
    csi = first * second
    noise = before.noise_variance + reception.noise_variance
    if before.noise_variance > 0:
        variance = np.abs(second) ** 2 * before.noise_variance + reception.noise_variance
        scale = np.sqrt(noise / np.maximum(variance, 1e-12)).astype(np.float32)
        csi = csi * scale
        symbols = symbols * np.repeat(scale, block)[:total]
    state.coherence_symbols = block
    lengths = [one.fading_symbols or one.coherence_symbols for one in (before, reception)]
    fading = _common_length(total, lengths)
    state.fading_symbols = 0 if fading == block else fading
    state.noise_variance = noise
    if (snr_db := reception.snr_db) is not None:
        state.snr_db = _joined(before.snr_db, snr_db) if before.HasField("snr_db") else snr_db
    return Burst(header, csi.astype(np.complex64), symbols)


def _common_blocks(total: int, *channels: tuple[np.ndarray, int]) -> tuple[int, list[np.ndarray]]:
    """Coefficients of several channels over the largest common block length."""
    block = _common_length(total, [block for _, block in channels])
    blocks = -(-total // block)
    return block, [np.repeat(csi, max(1, -(-min(own, total) // block)))[:blocks] for csi, own in channels]


def _common_length(total: int, lengths: Sequence[int]) -> int:
    """The longest blocks of `total` symbols that end wherever some of these lengths do."""
    changing = [length for length in lengths if length < total]
    return math.gcd(*changing) if changing else total


def _joined(first_db: float, second_db: float) -> float:
    """SNR in dB after two channels in cascade, whose noise powers add up."""
    return -10 * math.log10(10 ** (-first_db / 10) + 10 ** (-second_db / 10))
