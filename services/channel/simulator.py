"""What the channel does to a burst: y = h·x + n, told to the receiver as CSI."""

from __future__ import annotations

import math

import numpy as np

from panolink.phy import Channel, Reception
from panolink.phy.channel.model import finite_complex
from panolink.rpc.wire.bursts import Burst, ends_harq
from panolink.rpc.wire.segments import formats_from_wire
from panolink.v1 import link_pb2


def apply_channel(channel: Channel, burst: Burst, *, at: float | None = None) -> tuple[Burst, Reception]:
    """The burst as it leaves the channel, and what the channel did to it.

    Args:
        at: when it begins, in seconds; see `Channel.apply`.

    Raises:
        SignalError: numbers that are not finite, or segments that do not fit the symbols. The burst counts as never
            sent: those after it meet the same channel as without it.
    """
    finite_complex(burst.csi, "csi")
    if ends_harq(burst.header):  # nothing that takes time on the air
        return burst, Reception(burst.symbols, burst.csi, 1, 0.0)
    formats = formats_from_wire(burst.header.segments) if channel.conditions.erases_segments else None
    reception = channel.apply(burst.symbols, at=at, formats=formats, pilot_spacing=burst.header.pilot_spacing)
    return cascaded(burst, reception), reception


def cascaded(burst: Burst, reception: Reception) -> Burst:
    """The burst as it leaves the channel, its channel state joined with what was before.

    With h₁, N₁ before and h₂, N₂ here, y = h₂(h₁x + n₁) + n₂ has the coefficient h₂h₁ and noise of variance
    |h₂|²N₁ + N₂. That differs from block to block, and the wire has one N0 per burst: each block is scaled so
    that its noise has the variance N₁ + N₂, which changes nothing about its SNR.
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
    state.noise_variance = noise
    if (snr_db := reception.snr_db) is not None:
        state.snr_db = _joined(before.snr_db, snr_db) if before.HasField("snr_db") else snr_db
    return Burst(header, csi.astype(np.complex64), symbols)


def _common_blocks(total: int, *channels: tuple[np.ndarray, int]) -> tuple[int, list[np.ndarray]]:
    """Coefficients of several channels over blocks that suit them all."""
    changing = [block for _, block in channels if block < total]
    block = math.gcd(*changing) if changing else total
    blocks = -(-total // block)
    return block, [np.repeat(csi, max(1, -(-min(own, total) // block)))[:blocks] for csi, own in channels]


def _joined(first_db: float, second_db: float) -> float:
    """SNR in dB behind two channels in a row: their noise powers add up."""
    return -10 * math.log10(10 ** (-first_db / 10) + 10 ** (-second_db / 10))
