"""The receiver's side of a stream: packets in any order, each predicted from a state that is held, or whole."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import Layer, Packet
from panolink.codec.rate_control.controller import COARSEST_STEP, FINEST_STEP
from panolink.codec.streaming.state import MOST_STATES, TokenState, TokenUpdate
from panolink.codec.streaming.update_coding import decode_update
from panolink.errors import BitstreamError, ReferenceNeededError

if TYPE_CHECKING:
    from panolink.codec.codec import Codec


class StreamDecoder:
    """Decodes the packets of one stream; safe to use from several threads.

    Parameters
    ----------
    codec : Codec
        The model that they were made with.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._lock = threading.Lock()
        self._states: OrderedDict[int, TokenState] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Memory that states take."""
        with self._lock:
            return sum(state.bytes for state in self._states.values())

    def shrink(self, limit_bytes: int) -> None:
        """Let go of states, those first that have been of no use for longest, until the others take no more than so
        many bytes; of all, if the last one does.

        A packet that is predicted from one of them needs a whole picture, as after a restart.
        """
        with self._lock:
            while self._states and sum(state.bytes for state in self._states.values()) > limit_bytes:
                self._states.popitem(last=False)

    def decode(self, packet: Packet) -> NDArray[np.uint8]:
        """The panorama after a packet, uint8 (H, W, 3); errors as of `update`."""
        return self.codec.reconstruct([self.update(packet).tokens()])[0]

    def update(self, packet: Packet) -> TokenState:
        """The state after a packet; what was lost of it is as it was in the reference.

        Raises
        ------
        ReferenceNeededError
            It is predicted from a state that is not held.
        BitstreamError
            It is corrupt, or no packet of a stream.
        ModelError
            It is of another model.
        """
        place = packet.header.stream
        if place is None:
            raise BitstreamError("packet is not one of a stream: its header does not say which")
        state = self._whole(packet) if not place.reference else self._predicted(packet)
        with self._lock:
            # By use, not by number: an encoder that begins anew counts from 1, and one that has no receipts goes on
            # predicting from an old state.
            if place.reference in self._states:
                self._states.move_to_end(place.reference)
            self._states[place.number] = state
            self._states.move_to_end(place.number)
            while len(self._states) > MOST_STATES:
                # An encoder never goes back behind a state that it has predicted from.
                behind = (number for number in self._states if number < place.reference)
                self._states.pop(min(behind, default=next(iter(self._states))))
        return state

    def _whole(self, packet: Packet) -> TokenState:
        assert packet.header.stream
        return TokenState.of_whole(packet.header.stream.number, self.codec.unpack(packet))

    def _predicted(self, packet: Packet) -> TokenState:
        header, place = packet.header, packet.header.stream
        assert place
        self.codec.check_model(packet)
        with self._lock:
            reference = self._states.get(place.reference)
        if reference is None:
            raise ReferenceNeededError(
                f"packet {place.number} of a stream is predicted from {place.reference}, which is not here"
            )
        fits = reference.size == (header.height, header.width) and reference.reduction == header.reduction
        rows, cols = self.codec.token_grid(header)
        if not fits or reference.shape != (rows, cols) or place.turn >= cols or header.index_slices > rows:
            raise BitstreamError(
                f"packet {place.number} of a stream is of {header.width}×{header.height} pixels, turned by "
                f"{place.turn}; its reference is of {reference.size[1]}×{reference.size[0]}"
            )
        if not FINEST_STEP <= header.step <= COARSEST_STEP or header.lengths[0]:
            raise BitstreamError(f"packet {place.number} of a stream has a mask, or a step of {header.step}: corrupt")
        turned = reference.turned(place.turn)
        empty = TokenUpdate(
            size=reference.size,
            reduction=reference.reduction,
            step=header.step,
            focus=header.focus,
            slices=header.index_slices,
            kinds=np.zeros((rows, cols), dtype=np.uint8),
            indices=turned.indices,
            symbols=np.zeros((0, turned.differences.shape[1]), dtype=np.int32),
        )
        update, rows_arrived, features_arrived = decode_update(
            self.codec.quantizer.coder,
            turned,
            empty=empty,
            shares=place.shares,
            indices=packet.payloads(Layer.INDICES),
            features=packet.payloads(Layer.FEATURES),
        )
        return turned.updated(
            place.number,
            update,
            rows_arrived=rows_arrived,
            features_arrived=features_arrived,
            sphere=header.sphere or reference.sphere,
        )
