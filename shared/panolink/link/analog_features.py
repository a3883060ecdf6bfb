"""Uncoded analog transmission of features: which values are sent, their scales, and their estimates at the receiver.

    known = SideInformation.of(codec, indices, kept, slices)
    counts = known.counts(2 * symbols_to_spend)
    symbols, gain_corrections = known.modulate(differences, counts)            # symbols of each index slice
    tokens = received(codec, packet, segments, counts, gain_corrections)

Header, mask and indices are coded as for digital features. From mask and indices both ends derive the priority and the
scale of each value (from the codebook's scales), slice by slice of the indices: with a slice its own values are lost
and no others. Of each slice one number has to reach the receiver beside its values, the ratio of their mean square to
the one that the scales predict: the gain correction, a byte. The rest is `panolink.phy.analog`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.bitstream import Layer, Packet
from panolink.codec.entropy.tables import LEVEL_ZERO
from panolink.codec.rate_control.controller import COARSEST_STEP, FINEST_STEP
from panolink.codec.tokens import Tokens, residual_of, steps_of_rows
from panolink.errors import BitstreamError
from panolink.phy.analog import AnalogMapper, select_values

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

_GAIN_ONE, _GAIN_STEPS = 128, 16  # a byte is a sixteenth of an octave: what symbols' power is off by is up to 2 %


class ReceivedSegment(Protocol):
    """Received symbols of a slice: y, h and N0, see `panolink.phy.channel_decoder.ReceivedSegment`."""

    @property
    def symbols(self) -> NDArray[np.complex64]: ...
    @property
    def gains(self) -> NDArray[np.complex64]: ...
    @property
    def noise_variance(self) -> float: ...


class _Sent(NamedTuple):
    """The values of one slice that are sent: tokens (in row-major order) and dimensions, (n,) both; and their layer."""

    tokens: NDArray[np.int64]
    dims: NDArray[np.int64]
    mapper: AnalogMapper


@dataclass(frozen=True, eq=False)
class SideInformation:
    """What both ends know of a panorama's values (feature − codebook vector) from mask and indices.

    Parameters
    ----------
    levels : NDArray[np.uint8]
        Scales of the values, as the codec's tables have them for each code, uint8 (rows, cols, dim).
    kept : NDArray[np.bool_]
        Tokens of which values may be sent, bool (rows, cols).
    slices : int
        Number of slices of the indices, ≥ 1.
    """

    levels: NDArray[np.uint8]
    kept: NDArray[np.bool_]
    slices: int

    @classmethod
    def of(cls, codec: Codec, indices: NDArray[np.int64], kept: NDArray[np.bool_], slices: int) -> SideInformation:
        """Look up scales. A wrong index spoils values of its own slice only.

        Parameters
        ----------
        codec : Codec
            Whose tables have the scales of each code.
        indices : NDArray[np.int64]
            int64 (rows, cols).
        kept : NDArray[np.bool_]
            Mask, bool (rows, cols).
        slices : int
            Number of slices of the indices.
        """
        return cls(codec.model.tables.levels[indices], kept, slices)

    def counts(self, values: int) -> list[int]:
        """Share `values` out among the slices in proportion to their kept tokens: of each an even number, or all."""
        members = [int(self.kept[s :: self.slices].sum()) for s in range(self.slices)]
        total, dim = max(sum(members), 1), self.levels.shape[2]
        shares = [max(values, 0) * count // total for count in members]
        return [min(share - share % 2, dim * count) for share, count in zip(shares, members, strict=True)]

    def modulate(
        self, differences: NDArray[np.float32], counts: Sequence[int]
    ) -> tuple[list[NDArray[np.complex64]], bytes]:
        """Map the values with the highest priorities of each slice to symbols.

        Parameters
        ----------
        differences : NDArray[np.float32]
            Feature − codebook vector, float32 (rows, cols, dim).
        counts : Sequence[int]
            Values that each slice sends, from `counts`.

        Returns
        -------
        Symbols complex64 (⌈count/2⌉,) of each slice, of about unit mean power; and gain corrections, a byte each.
        """
        symbols, gain_corrections = [], bytearray()
        for s, count in enumerate(counts):
            sent = self._sent(s, count)
            values = _flat(differences)[sent.tokens, sent.dims]
            gain_corrections.append(_gain_byte(sent.mapper.map_values(values)[1]))
            symbols.append(sent.mapper.map_values(values, gain_correction=_gain_of(gain_corrections[-1]))[0])
        return symbols, bytes(gain_corrections)

    def expected_error(self, differences: NDArray[np.float32], counts: Sequence[int], noise_variance: float) -> float:
        """Weighted squared error of all features that is expected after a channel without fading.

        Parameters
        ----------
        differences, counts
            As in `modulate`.
        noise_variance : float
            N0 of the channel, > 0.
        """
        rows, cols, _ = differences.shape
        weight = np.exp2(-steps_of_rows(rows) / 2)
        error = sum(
            float(share * np.square(row, dtype=np.float64).sum())
            for share, row in zip(weight, differences, strict=True)
        )
        for s, count in enumerate(counts):
            sent = self._sent(s, count)
            energy = weight[sent.tokens // cols] * np.square(
                _flat(differences)[sent.tokens, sent.dims], dtype=np.float64
            )
            strength = sent.mapper.powers
            error -= float((strength / (strength + noise_variance / 2) * energy).sum())
        return error

    def estimate(
        self, s: int, count: int, segment: ReceivedSegment, gain_correction: float
    ) -> tuple[_Sent, NDArray[np.float32], float]:
        """Estimate the values of a slice.

        Parameters
        ----------
        s : int
            Number of the slice.
        count : int
            Values that it has sent.
        segment : ReceivedSegment
            Its received symbols.
        gain_correction : float
            Of the slice, ≥ 0.

        Returns
        -------
        Which values they are, their estimates (count,), and the mean variance of the estimates' errors.
        """
        sent = self._sent(s, count)
        values, errors = sent.mapper.estimate_values(
            segment.symbols, segment.gains, noise_variance=segment.noise_variance, gain_correction=gain_correction
        )
        return sent, values, float(errors.mean())

    def _sent(self, s: int, count: int) -> _Sent:
        mine = np.zeros_like(self.kept)
        mine[s :: self.slices] = self.kept[s :: self.slices]
        members, (rows, cols, dim) = np.flatnonzero(mine), self.levels.shape
        levels = _flat(self.levels)[members].astype(np.int16)
        # A step of two quarter octaves for each halving of a token's solid angle (see `steps_at`): √weight.
        priorities = (levels - steps_of_rows(rows)[members // cols, None].astype(np.int16)).ravel()
        places = select_values(priorities, count)
        tokens, dims = members[places // dim], places % dim
        scales = np.sqrt(2) * np.exp2((levels.ravel()[places].astype(np.int64) - LEVEL_ZERO) / 4)  # √2·b of Laplace's b
        return _Sent(tokens, dims, AnalogMapper(scales, priorities[places].astype(np.int64)))


@torch.inference_mode()
def differences_of(codec: Codec, features: Tensor, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features less codebook vectors.

    Parameters
    ----------
    codec : Codec
        Whose codebook the indices refer to.
    features : Tensor
        float32 (1, dim, rows, cols).
    indices : NDArray[np.int64]
        int64 (rows, cols).

    Returns
    -------
    float32 (rows, cols, dim), on the host.
    """
    found = residual_of(features.to(codec.device), codec.network.codebook, indices)
    return found.cpu().numpy().reshape(*indices.shape, -1)


def pack_base(codec: Codec, tokens: Tokens) -> Packet:
    """Entropy-code header, mask and indices of tokens: what is sent coded where features are analog."""
    coder = codec.quantizer.coder
    return Packet.build(
        fingerprint=codec.fingerprint,
        size=(tokens.height, tokens.width),
        step=0,
        mask=coder.encode_mask(tokens.kept),
        indices=coder.encode_indices(tokens.indices, tokens.slices),
        features=[],
    )


def received(
    codec: Codec,
    packet: Packet,
    segments: Sequence[ReceivedSegment | None],
    counts: Sequence[int],
    gain_corrections: bytes | None,
) -> Tokens:
    """Tokens from a packet of `pack_base` and the received values of each slice.

    Values of tokens whose index or mask was lost cannot be used; those of a slice that was erased fall back to codebook
    vectors.

    Parameters
    ----------
    codec : Codec
        As at the transmitter.
    packet : Packet
        Header, mask and indices; slices of it may be lost.
    segments : Sequence[ReceivedSegment | None]
        Received values of each slice of the indices; None where nothing arrived.
    counts : Sequence[int]
        Values that each slice has sent.
    gain_corrections : bytes | None
        A byte for each slice; None where they were lost: all are taken for 1.

    Raises
    ------
    BitstreamError
        More or fewer slices than the packet's header says, or more values than there are.
    """
    base = codec.unpack(packet)
    rows, cols = base.indices.shape
    slices = packet.header.index_slices
    if not len(segments) == len(counts) == slices or (gain_corrections is not None and len(gain_corrections) != slices):
        raise BitstreamError(f"analogue values of {len(counts)} slices; the packet's header names {slices}")
    mask = next((piece.payload for piece in packet.slices if piece.layer == Layer.MASK), None)
    if mask is None:
        return base
    kept = codec.quantizer.coder.decode_mask(mask, rows, cols)
    known = SideInformation.of(codec, base.indices, kept, slices)
    differences = np.zeros((rows, cols, known.levels.shape[2]), np.float32)
    arrived, errors, sent_values = np.zeros((rows, cols), np.bool_), 0.0, 0
    for s, (segment, count) in enumerate(zip(segments, counts, strict=True)):
        here = kept[s::slices]
        if count > here.sum() * differences.shape[2]:
            raise BitstreamError(f"slice {s} has {count} analogue values; its {here.sum()} kept tokens have fewer")
        lost = base.concealed is not None and base.concealed[s::slices].any()
        if lost or not count or segment is None or not segment.gains.any():
            continue
        gain_correction = 1.0 if gain_corrections is None else _gain_of(gain_corrections[s])
        sent, values, error = known.estimate(s, count, segment, gain_correction)
        _flat(differences)[sent.tokens, sent.dims] = values
        arrived[s::slices] = here
        errors, sent_values = errors + error * count, sent_values + count
    # The decoder expects a quantisation step: one of this width makes errors as large as those of the values.
    width = np.sqrt(12 * max(errors / max(sent_values, 1), 1e-6))
    step = int(np.clip(round(4 * float(np.log2(width))), FINEST_STEP, COARSEST_STEP))
    amplitudes = differences[arrived]
    return replace(base, step=step, kept=arrived, symbols=np.zeros(amplitudes.shape, np.int32), differences=amplitudes)


def _flat(values: NDArray) -> NDArray:
    """(rows, cols, dim) as (rows · cols, dim)."""
    return values.reshape(-1, values.shape[2])


def _gain_byte(gain_correction: float) -> int:
    if gain_correction <= 0:
        return _GAIN_ONE  # all values are 0, and so are the symbols
    return int(np.clip(round(_GAIN_STEPS * float(np.log2(gain_correction))) + _GAIN_ONE, 0, 255))


def _gain_of(byte: int) -> float:
    return float(2.0 ** ((byte - _GAIN_ONE) / _GAIN_STEPS))
