"""Features as amplitudes: which values are sent, what both ends know of them, and what is made of those that arrive.

    known = SideInformation.of(codec, indices, kept, slices)
    counts = known.counts(2 * symbols_to_spend)
    symbols, gain_corrections = known.modulate(differences, counts)            # symbols of each index slice
    tokens = received(codec, packet, heard, counts, gain_corrections)

Header, mask and indices are coded as ever. From mask and indices both ends derive which values are the worthiest and
how large each is likely to be (the codebook's scales), slice by slice of the indices: a lost slice takes its own values
along and no others. Of each slice one number has to reach the receiver beside its values, how much its
mean square exceeds what the scales say: the gain correction, a byte. The rest is `panolink.phy.analog`.
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
from panolink.codec.quantization.vector_quantizer import look_up
from panolink.codec.rate_control.controller import COARSEST_STEP, FINEST_STEP
from panolink.codec.tokens import Tokens, steps_of_rows
from panolink.errors import BitstreamError
from panolink.phy.analog import AnalogMapper, select_values

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

_GAIN_ONE, _GAIN_STEPS = 128, 16  # a byte is a sixteenth of an octave: what symbols' power is off by is up to 2 %


class ReceivedSegment(Protocol):
    """Symbols of a slice as they arrived: y, h and N0, see `panolink.phy.channel_decoder.ReceivedSegment`."""

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
    """What both ends know of a panorama's values (feature − codebook vector).

    scales : their standard deviations, float64 (rows, cols, dim).
    worth : √(weight · variance) in quarter octaves, int64 (rows, cols, dim).
    kept : tokens of which values may be sent, (rows, cols).
    slices : of the indices.
    """

    scales: NDArray[np.float64]
    worth: NDArray[np.int64]
    kept: NDArray[np.bool_]
    slices: int

    @classmethod
    def of(cls, codec: Codec, indices: NDArray[np.int64], kept: NDArray[np.bool_], slices: int) -> SideInformation:
        """From indices and mask, (rows, cols) both. Where an index is wrong, so is all of its token and nothing else of
        other slices."""
        levels = codec.model.tables.levels[indices].astype(np.int64)
        scales = np.sqrt(2) * np.exp2((levels - LEVEL_ZERO) / 4)  # of a Laplace law of scale b: √2·b
        # A step of two quarter octaves for each halving of a token's solid angle (see `steps_at`): √weight.
        return cls(scales, levels - steps_of_rows(indices.shape[0])[:, None, None], kept, slices)

    def counts(self, values: int) -> list[int]:
        """How many of so many values each slice sends: in proportion to its kept tokens, an even number or all."""
        members = [int(self.kept[s :: self.slices].sum()) for s in range(self.slices)]
        total, dim = max(sum(members), 1), self.scales.shape[2]
        shares = [max(values, 0) * count // total for count in members]
        return [min(share - share % 2, dim * count) for share, count in zip(shares, members, strict=True)]

    def modulate(
        self, differences: NDArray[np.float32], counts: Sequence[int]
    ) -> tuple[list[NDArray[np.complex64]], bytes]:
        """Symbols complex64 (⌈count/2⌉,) of each slice, of about unit mean power; and gain corrections, a byte each.

        differences : feature − codebook vector, (rows, cols, dim).
        """
        symbols, gain_corrections = [], bytearray()
        for s, count in enumerate(counts):
            sent = self._sent(s, count)
            values = _flat(differences)[sent.tokens, sent.dims]
            gain_corrections.append(_gain_byte(sent.mapper.map_values(values)[1]))
            symbols.append(sent.mapper.map_values(values, gain_correction=_gain_of(gain_corrections[-1]))[0])
        return symbols, bytes(gain_corrections)

    def expected_error(self, differences: NDArray[np.float32], counts: Sequence[int], noise_variance: float) -> float:
        """Weighted squared error of all features after a channel of that N0, without fading; differences as above."""
        weight = np.exp2(-steps_of_rows(self.kept.shape[0]) / 2)[:, None, None]
        worth = _flat(weight * np.square(differences, dtype=np.float64))
        error = float(worth.sum())
        for s, count in enumerate(counts):
            sent = self._sent(s, count)
            strength = sent.mapper.powers
            error -= float((strength / (strength + noise_variance / 2) * worth[sent.tokens, sent.dims]).sum())
        return error

    def estimate(
        self, s: int, count: int, heard: ReceivedSegment, gain_correction: float
    ) -> tuple[_Sent, NDArray[np.float32], float]:
        """The values of slice s that were sent, their estimates, and the mean variance of the estimates' errors."""
        sent = self._sent(s, count)
        values, errors = sent.mapper.estimate_values(
            heard.symbols, heard.gains, noise_variance=heard.noise_variance, gain_correction=gain_correction
        )
        return sent, values, float(errors.mean())

    def _sent(self, s: int, count: int) -> _Sent:
        mine = np.zeros_like(self.kept)
        mine[s :: self.slices] = self.kept[s :: self.slices]
        members, dim = np.flatnonzero(mine), self.scales.shape[2]
        places = select_values(_flat(self.worth)[members].ravel(), count)
        tokens, dims = members[places // dim], places % dim
        return _Sent(tokens, dims, AnalogMapper(_flat(self.scales)[tokens, dims], _flat(self.worth)[tokens, dims]))


@torch.inference_mode()
def differences_of(codec: Codec, features: Tensor, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features (1, dim, rows, cols) less the codebook vectors of indices (rows, cols): float32 (rows, cols, dim)."""
    codebook = codec.network.codebook
    codes = look_up(torch.from_numpy(indices)[None].to(codebook.device), codebook)
    return (features.to(codebook.device) - codes)[0].permute(1, 2, 0).float().cpu().numpy()


def pack_base(codec: Codec, tokens: Tokens) -> Packet:
    """Header, mask and indices of tokens: what is coded where features are amplitudes."""
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
    heard: Sequence[ReceivedSegment | None],
    counts: Sequence[int],
    gain_corrections: bytes | None,
) -> Tokens:
    """Tokens from a packet of `pack_base`, slices of it perhaps lost, and what arrived of each slice's values.

    Without the gain corrections (None, where they were lost) they are taken for 1. Values of tokens whose index or
    mask was lost are of no use; those of a slice that is None, or was erased, fall back to codebook vectors.

    Raises:
        BitstreamError: more or fewer slices than the packet's header says, or more values than there are.
    """
    base = codec.unpack(packet)
    rows, cols = base.indices.shape
    slices = packet.header.index_slices
    if not len(heard) == len(counts) == slices or (gain_corrections is not None and len(gain_corrections) != slices):
        raise BitstreamError(f"analogue values of {len(counts)} slices; the packet's header names {slices}")
    mask = next((piece.payload for piece in packet.slices if piece.layer == Layer.MASK), None)
    if mask is None:
        return base
    kept = codec.quantizer.coder.decode_mask(mask, rows, cols)
    known = SideInformation.of(codec, base.indices, kept, slices)
    differences = np.zeros((rows, cols, known.scales.shape[2]), np.float32)
    arrived, errors, sent_values = np.zeros((rows, cols), np.bool_), 0.0, 0
    for s, (what, count) in enumerate(zip(heard, counts, strict=True)):
        here = kept[s::slices]
        if count > here.sum() * differences.shape[2]:
            raise BitstreamError(f"slice {s} has {count} analogue values; its {here.sum()} kept tokens have fewer")
        lost = base.concealed is not None and base.concealed[s::slices].any()
        if lost or not count or what is None or not what.gains.any():
            continue
        gain_correction = 1.0 if gain_corrections is None else _gain_of(gain_corrections[s])
        sent, values, error = known.estimate(s, count, what, gain_correction)
        _flat(differences)[sent.tokens, sent.dims] = values
        arrived[s::slices] = here
        errors, sent_values = errors + error * count, sent_values + count
    # The decoder is told of a step: one of this width makes errors as large as those of the values.
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
