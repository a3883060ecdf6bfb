"""Which changes of a stream's picture are sent within a budget, and the packet that says them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import Packet, StreamPlace
from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.feature_coding import slice_members
from panolink.codec.rate_control.controller import (
    LENGTH_BITS,
    RD_LAMBDA,
    WORD_BITS,
    OperatingPoint,
    RateController,
    mask_bits,
)
from panolink.codec.slicing import FEATURE_SLICE_BITS, MOST_PARTS, feature_parts, slice_bytes
from panolink.codec.streaming.kind_coding import kinds_to_shares
from panolink.codec.streaming.state import Kind, TokenState, TokenUpdate, with_symbols
from panolink.codec.streaming.stream_costs import ChangeCosts
from panolink.codec.streaming.update_coding import code_update

MAP_BITS = 12
"""of a slice's kinds and new indices beyond their entropy"""


class Changes:
    """The changes of a panorama at an operating point, of which as many are sent as there is room for.

    Parameters
    ----------
    controller : RateController
        Of a `ChangeCostModel`.
    costs : ChangeCosts
        Of all tokens at ``point``.
    point : OperatingPoint
    reference : TokenState
    """

    def __init__(
        self, controller: RateController, costs: ChangeCosts, point: OperatingPoint, reference: TokenState
    ) -> None:
        self.base, self.costs, self.point, self.reference = controller.base, costs, point, reference
        pays = np.flatnonzero(costs.pays(min(point.lmbda, RD_LAMBDA)))
        self._order = pays[np.argsort(-costs.rd_slope[pays], kind="stable")]

    def within(self, room: float) -> tuple[TokenUpdate, NDArray[np.float32]]:
        """The changes that bring most for their bits, as far as they fit ``room`` bits, and the bits of each token with
        symbols, float32 (number, )."""
        bits, slices = self.costs.bits, self.base.slices
        total = np.cumsum(bits[self._order], dtype=np.float64)
        parts = np.clip(np.round(total / (slices * FEATURE_SLICE_BITS)), 1, MOST_PARTS if slices > 1 else 1)
        total += parts * slices * (WORD_BITS + LENGTH_BITS) + slices * MAP_BITS
        total += mask_bits(np.arange(1, len(self._order) + 1), bits.size)
        fits = np.flatnonzero(total <= room)
        return self.update_of(self._order[: int(fits[-1]) + 1 if len(fits) else 0])

    def worst(self, tau: float) -> TokenUpdate:
        """The share ``tau`` of the tokens, those that gain most; 0: nothing has changed."""
        return self.update_of(self._order[: round(tau * len(self._order))])[0]

    def update_of(self, places: NDArray[np.int64]) -> tuple[TokenUpdate, NDArray[np.float32]]:
        """The changes of the tokens ``places`` (flat positions)."""
        base, costs = self.base, self.costs
        kinds = np.zeros(base.indices.size, dtype=np.uint8)
        kinds[places] = costs.kinds[places]
        kinds = kinds.reshape(base.indices.shape)
        indices = np.where(kinds >= Kind.NEW, base.indices, self.reference.indices)
        sent = with_symbols(kinds).ravel()
        update = TokenUpdate(
            size=base.size,
            reduction=base.reduction,
            step=self.point.step,
            focus=base.focus,
            slices=base.slices,
            kinds=kinds,
            indices=indices,
            symbols=costs.symbols[sent],
        )
        return update, costs.bits[sent]


def update_packet(
    coder: SliceCoder,
    fingerprint: str,
    reference: TokenState,
    update: TokenUpdate,
    place: StreamPlace,
    *,
    joined: bool = False,
) -> Packet:
    """Entropy-code an update: the packet of a stream.

    Parameters
    ----------
    reference : TokenState
        As the packet says: turned.
    place : StreamPlace
        Its shares are filled in here.
    joined : bool
        Symbols in the index slices.
    """
    indices, features, shares = code_update(coder, reference, update, joined=joined)
    return _packet(fingerprint, update, replace(place, shares=shares), indices, features)


def draft_packet(
    fingerprint: str, update: TokenUpdate, bits: NDArray[np.float32], place: StreamPlace, index_bits: float
) -> Packet:
    """A packet of about the lengths that `update_packet` would give, with nothing coded: all slices are zeros.

    Parameters
    ----------
    bits : float32 (number of ``update.kept``,)
        What each token with symbols takes.
    index_bits : float
        What new indices take, all together.
    """
    slices, kinds = update.slices, update.kinds
    changed = int((kinds != Kind.UNCHANGED).sum())
    shared = (float(mask_bits(changed, kinds.size)) + index_bits + MAP_BITS * slices) / slices if changed else 0.0
    features: list[bytes] = []
    if update.kept.any():
        members = slice_members(update.kept, slices, feature_parts(float(bits.sum()), slices))
        features = [bytes(slice_bytes(float(bits[run].sum()))) for run in members]
    place = replace(place, shares=kinds_to_shares(kinds))
    return _packet(fingerprint, update, place, [bytes(int(shared / 8) + bool(shared))] * slices, features)


def _packet(
    fingerprint: str, update: TokenUpdate, place: StreamPlace, indices: list[bytes], features: list[bytes]
) -> Packet:
    return Packet.build(
        fingerprint=fingerprint,
        size=update.size,
        reduction=update.reduction,
        step=update.step,
        mask=b"",
        indices=indices,
        features=features,
        focus=update.focus,
        stream=place,
    )
