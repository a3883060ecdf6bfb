"""The transmitter's side of a stream: each panorama is predicted from what the receiver is known to hold."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from panolink.codec.bitstream import Layer, Packet, StreamPlace, metadata_bits
from panolink.codec.entropy.feature_coding import slice_members
from panolink.codec.quantization.am_vq import Ranking, bits_room
from panolink.codec.quantization.vector_quantizer import dequantize
from panolink.codec.rate_control.controller import (
    COARSEST_STEP,
    FINEST_STEP,
    RD_LAMBDA,
    Budget,
    OperatingPoint,
    RateController,
)
from panolink.codec.resolution import reduce
from panolink.codec.slicing import index_slices
from panolink.codec.streaming.changes import Changes, update_packet
from panolink.codec.streaming.finer_resolution import TOLERANCE, ResolutionWatch, squared_error
from panolink.codec.streaming.leaky_bucket import LeakyBucket
from panolink.codec.streaming.state import MOST_STATES, Kind, TokenState, TokenUpdate
from panolink.codec.streaming.stream_costs import ChangeCostModel
from panolink.codec.tokens import Tokens, VectorQuantized, steps_of_tokens
from panolink.errors import ConflictError, RateError
from panolink.sphere.focus import Focus, quantized
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

if TYPE_CHECKING:
    from torch import Tensor

    from panolink.codec.codec import Codec

log = logging.getLogger(__name__)

TURN_FROM = 0.25
"""share of other indices from which on a turn of the camera is looked for"""

WHOLE_FROM = 0.25
"""share of tokens with another index from which on a whole picture is tried, too"""

HOLDS_LITTLE = 0.8
"""error of what the receiver holds, over that of the nearest codes alone, from which on it is tried as well: a camera
that turns by less than a token leaves most indices as they were, and makes features worthless"""

BORROWED_ERROR = 0.5
"""share of an update's error that a whole picture may leave at most where it needs bits that later ones then lack"""

TRIES = 12
"""to get changes into their bits; two are enough nearly always"""


@dataclass(frozen=True, eq=False)
class Sent:
    """A packet under way: what it says, and the state that it is predicted from (None: whole)."""

    packet: Packet
    update: TokenUpdate | None
    tokens: Tokens | None
    reference: TokenState | None

    @property
    def number(self) -> int:
        """Of the packet in its stream."""
        place = self.packet.header.stream
        assert place
        return place.number

    @property
    def bytes(self) -> int:
        """Memory that what it says takes, without the reference."""
        return sum(value.nbytes for value in vars(self.update or self.tokens).values() if isinstance(value, np.ndarray))

    def arrived(self, lost: Collection[int]) -> TokenState:
        """The state after it, where the slices ``lost`` (positions in the packet) did not arrive."""
        slices = self.packet.header.index_slices
        layers = [piece.layer for piece in self.packet.slices]
        first_index, first_feature = (layers.index(layer) if layer in layers else 0 for layer in _LAYERS)
        rows, _ = (self.update or self.tokens).kept.shape  # type: ignore[union-attr]
        got_rows = np.ones(rows, dtype=bool)
        for start in range(slices):
            got_rows[start::slices] = first_index + start not in lost
        kept = self.update.kept if self.update else self.tokens.kept  # type: ignore[union-attr]
        got = np.ones(int(kept.sum()), dtype=bool)
        if len(got):
            # Without parts, symbols are in the index slices.
            for number, run in enumerate(slice_members(kept, slices, self.packet.header.parts)):
                got[run] = first_feature + number not in lost
            got &= got_rows[np.nonzero(kept)[0]]
        if self.update is not None:
            assert self.reference
            return self.reference.updated(self.number, self.update, rows_arrived=got_rows, features_arrived=got)
        assert self.tokens
        return whole_state(self.number, self.tokens, got_rows, got, mask_lost=Layer.MASK in layers and 1 in lost)


_LAYERS = (Layer.INDICES, Layer.FEATURES)


def whole_state(
    number: int,
    tokens: Tokens,
    rows: NDArray[np.bool_],
    features: NDArray[np.bool_],
    *,
    mask_lost: bool,
) -> TokenState:
    """State after a whole picture of which so much arrived: rows (rows,), features (number kept,)."""
    kept = tokens.kept.copy()
    got = np.zeros_like(features) if mask_lost else features
    if tokens.slices == 1 and not rows.all():
        got = np.zeros_like(features)
    kept[tokens.kept] = got
    concealed = np.repeat(~rows[:, None], kept.shape[1], axis=1)
    arrived = replace(tokens, kept=kept, symbols=tokens.symbols[got], concealed=concealed if concealed.any() else None)
    return TokenState.of_whole(number, arrived)


HORIZON = 4.0
"""times a picture's bits that what pays may take: the changes that bring most are sent first, the others later"""


class StreamEncoder:
    """Encodes a stream of panoramas of one size: one after the other, while receipts may come from other threads.

    >>> encoder, decoder = StreamEncoder(codec), StreamDecoder(codec)
    >>> packet = encoder.encode(image, bpp=0.05)
    >>> encoder.acknowledge(packet.header.stream.number)          # all of it arrived
    >>> picture = decoder.decode(packet)

    Parameters
    ----------
    codec : Codec
    robust : bool
        In slices that decode alone, for a link that loses some of them.

    Attributes
    ----------
    bucket : LeakyBucket
        Of what was sent, for whoever keeps a mean rate.
    """

    def __init__(self, codec: Codec, *, robust: bool = False) -> None:
        self.codec, self._robust = codec, robust
        self._lock = threading.Lock()
        self._number = 0
        self._reference: TokenState | None = None
        self._under_way: OrderedDict[int, Sent] = OrderedDict()
        self._noise = NoiseEstimate()
        self._resolution = ResolutionWatch()
        self.bucket = LeakyBucket()

    @property
    def reference(self) -> TokenState | None:
        """The newest state that the receiver is known to hold."""
        return self._reference

    @property
    def bytes(self) -> int:
        """Memory that all takes which it holds: states, packets under way, and features of the last picture."""
        with self._lock:
            under_way = list(self._under_way.values())
            states = [*(sent.reference for sent in under_way), self._reference]
        held = {id(state): state.bytes for state in states if state}
        return sum(held.values()) + sum(sent.bytes for sent in under_way) + self._noise.bytes

    def encode(
        self,
        image: NDArray[np.uint8],
        *,
        bpp: float,
        focus: Sequence[Focus] = (),
        sphere: SphereMetadata = NOTHING_KNOWN,
    ) -> Packet:
        """The next packet, of at most ``bpp`` bits per pixel; one that changes nothing may take more.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        bpp : float
            All bits ÷ pixels.
        focus : sequence of Focus
            Where somebody looks.
        sphere : SphereMetadata

        Raises
        ------
        RateError
            ``bpp`` is no positive number; or a whole picture is needed, and it does not hold its base layer.
        """
        Budget(bpp=bpp)  # refuses what makes no sense, whether a whole picture is due or not
        known: dict[Fraction, Tensor] = {}
        change = self.prepare(image, focus=focus, known=known)
        if change is not None:
            update, packet = self.within(change, bpp, sphere, joined=True)
            better = self.whole_is_better(change, update, packet.bpp)
            if not better and not self.finer_is_due(change, update, image, used=packet.bpp, allowed=bpp):
                return self.sent(change, update, packet)
        place = StreamPlace(self.next_number)
        beside = metadata_bits(sphere, stream=place)
        tokens = self.codec.tokens_at(image, bpp, features=known, robust=self._robust, focus=focus, beside=beside)
        packet = self.codec.pack(tokens, stream=place).with_metadata(sphere)
        return self.sent_whole(tokens, packet)

    def finer_is_due(
        self, change: Change, update: TokenUpdate, image: NDArray[np.uint8], *, used: float, allowed: float
    ) -> bool:
        """Whether a whole picture at a finer resolution is due, since updates at the one that is held use up no bits.

        Parameters
        ----------
        change : Change
        update : TokenUpdate
            What would be sent otherwise.
        image : uint8 (H, W, 3)
        used, allowed : float
            Bits per pixel: of the update's packet, and what a whole picture may take.
        """
        base = change.base
        if not self._resolution.due(self.next_number, base.reduction, used, allowed):
            return False
        try:
            tokens = self.codec.tokens_at(image, allowed, robust=self._robust, focus=base.focus)
        except RateError:
            return False
        if tokens.reduction >= base.reduction:
            return False
        rows_arrived, features_arrived = self._all_of(update)
        held = change.reference.updated(
            self.next_number, update, rows_arrived=rows_arrived, features_arrived=features_arrived
        ).tokens()
        (features,) = self.codec.extract([reduce(image, tokens.reduction)])
        whole_error = squared_error(self.codec, image, tokens, features)
        return whole_error < TOLERANCE * squared_error(self.codec, image, held, base.features)

    @staticmethod
    def _all_of(update: TokenUpdate) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Rows and features of an update that arrives as it is."""
        return np.ones(update.kinds.shape[0], dtype=bool), np.ones(int(update.kept.sum()), dtype=bool)

    def whole_is_better(self, change: Change, update: TokenUpdate, bpp: float, *, most_bpp: float = 0.0) -> bool:
        """Whether a whole picture of an update's ``bpp`` bits per pixel is closer to the panorama than the update.

        Compared at the update's resolution, in features. Asked only where much has moved: it costs a quantisation.
        Where no whole picture fits ``bpp``, one of ``most_bpp`` has to be better by far (`BORROWED_ERROR`).
        """
        if change.share_moved <= WHOLE_FROM and change.model.error_over_codes <= HOLDS_LITTLE:
            return False
        base, share = change.base, 1.0
        tokens = self._whole_of(base, bpp)
        if tokens is None:
            tokens, share = self._whole_of(base, most_bpp), BORROWED_ERROR
        if tokens is None:
            return False
        rows, cols = update.kinds.shape
        weight = np.exp2(-steps_of_tokens(rows, cols, update.focus) / 2).ravel()
        rows_arrived, features_arrived = self._all_of(update)
        after = change.reference.updated(
            self.next_number, update, rows_arrived=rows_arrived, features_arrived=features_arrived
        )

        def error(found: Tokens) -> float:
            left = base.features - dequantize(found, self.codec.network.codebook)
            return float((weight * left.square().sum(dim=1).flatten().cpu().numpy()).sum())

        return error(tokens) < share * error(after.tokens())

    def _whole_of(self, base: VectorQuantized, bpp: float) -> Tokens | None:
        """A whole picture in ``bpp`` bits per pixel, all its indices among them; None where none fits."""
        controller = self.codec.quantizer.controller(
            base.features,
            size=base.size,
            reduction=base.reduction,
            robust=self._robust,
            focus=base.focus,
            indices=base.indices,
        )
        with suppress(RateError):
            budget = Budget(bpp=bpp, beside=metadata_bits(stream=StreamPlace(self.next_number)))
            return self.codec.quantizer.quantize(controller, budget, Ranking(self.codec.model.profile.ranking))
        return None

    # ── the steps on their own, for a link that decides with them ─────────────────────────────────────────────────

    @property
    def next_number(self) -> int:
        """Of the packet that comes next."""
        return self._number + 1

    def prepare(
        self,
        image: NDArray[np.uint8],
        *,
        focus: Sequence[Focus] = (),
        known: dict[Fraction, Tensor] | None = None,
    ) -> Change | None:
        """What has changed since the reference; None where there is none that fits, so that a whole picture is due.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        focus : sequence of Focus
        known : dict of Fraction to Tensor, optional
            Features that are known, by reduction; those that are missing are added.
        """
        reference, size = self._reference, (image.shape[0], image.shape[1])
        if reference is None or reference.size != size:
            return None
        known = {} if known is None else known
        if reference.reduction not in known:
            (known[reference.reduction],) = self.codec.extract([reduce(image, reference.reduction)])
        features = known[reference.reduction]
        found = self.codec.quantizer.nearest_code(features)
        indices = found[0].cpu().numpy()
        turn = turn_of(reference.indices, indices)
        turned = reference.turned(turn)
        slices = index_slices(*indices.shape, robust=self._robust)
        codebook = self.codec.network.codebook
        base = VectorQuantized(
            size, reference.reduction, features, codebook, indices, slices, (0,) * slices, quantized(focus)
        )
        noise = self._noise.update(features, indices)
        coder = self.codec.quantizer.coder
        model = ChangeCostModel(coder, base, turned, self.codec.network.codebook, noise)
        return Change(RateController(base, coder, model=model), model, turned, turn)

    def within(
        self, change: Change, bpp: float, sphere: SphereMetadata = NOTHING_KNOWN, *, joined: bool = False
    ) -> tuple[TokenUpdate, Packet]:
        """Changes that fit ``bpp`` bits per pixel, all counted, and their packet; it is not sent yet.

        Where not even the header fits, they are none, and the packet is larger: it keeps the stream going.
        """
        base, beside = change.base, metadata_bits(sphere, stream=self.place_of(change))
        allowed = bpp * base.pixels
        for attempt in range(TRIES):
            room = bits_room(allowed / base.pixels, base.size, base.focus, beside)([0] * base.slices, 0.0)
            update, _bits = change.filled(max(room, 1.0)).within(room)
            packet = self.packet_of(change, update, joined=joined).with_metadata(sphere)
            if packet.bpp <= bpp:
                return update, packet
            # All that pays may stay the same until there is much less room: hence twice as much less each time.
            allowed -= (1.2 * (packet.bpp - bpp) * base.pixels + 8) * 2**attempt
        update = change.filled(1.0).worst(0.0)
        return update, self.packet_of(change, update, joined=joined).with_metadata(sphere)

    def packet_of(self, change: Change, update: TokenUpdate, *, joined: bool = False) -> Packet:
        """The packet that says an update; it is not sent yet. ``joined``: see `update_coding`."""
        coder, place = self.codec.quantizer.coder, self.place_of(change)
        return update_packet(coder, self.codec.fingerprint, change.reference, update, place, joined=joined)

    def place_of(self, change: Change) -> StreamPlace:
        """Which packet of the stream it is that says a change; without its shares."""
        return StreamPlace(self.next_number, change.reference.number, change.turn)

    def sent(self, change: Change, update: TokenUpdate, packet: Packet) -> Packet:
        """Note that a packet of `packet_of` is on its way."""
        return self._note(Sent(packet, update, None, change.reference))

    def sent_whole(self, tokens: Tokens, packet: Packet) -> Packet:
        """Note that a whole picture's packet is on its way."""
        return self._note(Sent(packet, None, replace(tokens, sphere=packet.header.sphere, predicted=None), None))

    def _note(self, sent: Sent) -> Packet:
        with self._lock:
            if sent.number != self.next_number:
                raise ConflictError(
                    f"packet {sent.number} of a stream was coded beside another; wanted is {self.next_number}: "
                    "panoramas of a stream are coded one after the other"
                )
            self._number = sent.number
            self._under_way[sent.number] = sent
            while len(self._under_way) > MOST_STATES - 1:
                self._under_way.popitem(last=False)
        return sent.packet

    def acknowledge(self, number: int, lost: Collection[int] = ()) -> None:
        """Learn what arrived of a packet.

        Parameters
        ----------
        number : int
            Of the packet; one that is not known, or older than the reference, teaches nothing. Known are the last
            `MOST_STATES` − 1: receipts later than that are logged, since the stream then stays with what it has, or
            goes whole with every picture.
        lost : collection of int
            Positions in the packet of slices that did not arrive. Where the header is among them, nothing did.
        """
        with self._lock:
            sent = self._under_way.pop(number, None)
            held = self._reference.number if self._reference else 0
            if sent is None and held < number <= self._number - (MOST_STATES - 1):
                log.warning("packet %d of a stream: its receipt comes %d pictures late", number, self._number - number)
            if sent is None or 0 in lost or (self._reference and self._reference.number > number):
                return
            # What was under way when a whole picture went at a finer resolution rests on the coarser one before.
            if sent.reference and self._reference and sent.reference.reduction > self._reference.reduction:
                return
            self._reference = sent.arrived(lost)

    def forget(self) -> None:
        """The receiver holds nothing: a whole picture follows."""
        with self._lock:
            self._reference = None
            self._under_way.clear()
            self._noise.forget()


@dataclass(frozen=True, eq=False)
class Change:
    """What has changed in a panorama since the reference, before it is known how much of it is sent.

    Attributes
    ----------
    controller : RateController
    model : ChangeCostModel
    reference : TokenState
        Turned already.
    turn : int
        By so many columns.
    """

    controller: RateController
    model: ChangeCostModel
    reference: TokenState
    turn: int

    @property
    def base(self) -> VectorQuantized:
        """The panorama."""
        return self.controller.base

    @property
    def share_moved(self) -> float:
        """Share of the tokens whose index is another one than the reference's."""
        return float((self.base.indices != self.reference.indices).mean())

    def index_bits(self, update: TokenUpdate) -> float:
        """Bits that the new indices of an update take, by the tables."""
        return float(self.model.index_bits[(update.kinds >= Kind.NEW).ravel()].sum())

    def filled(self, room: float) -> Changes:
        """Changes quantised so that what pays of them fills ``room`` bits."""
        point = OperatingPoint(self._step_for(HORIZON * room), RD_LAMBDA)
        return Changes(self.controller, self.model.at(*point), point, self.reference)

    def _step_for(self, room: float) -> int:
        """The coarsest step at which what pays takes ``room`` bits, by the pilot. In a still scene that changes by a
        factor of ten from one step to the next, hence a bisection."""
        finest, coarsest = FINEST_STEP, COARSEST_STEP
        while finest < coarsest:
            step = (finest + coarsest + 1) // 2
            if self.controller.pilot(OperatingPoint(step, RD_LAMBDA))[0] >= room:
                finest = step
            else:
                coarsest = step - 1
        return finest


class NoiseEstimate:
    """Squared error that the sensor's noise makes in a token's feature, from the stillest tokens of a stream.

    From one picture to the next, turned like the camera, a token that has not changed moves by the noise of both; the
    stillest tenth of the tokens are taken for such.
    """

    def __init__(self) -> None:
        self._before: tuple[Tensor, NDArray[np.int64]] | None = None
        self._value = 0.0

    @property
    def bytes(self) -> int:
        """Memory that the last picture's features and indices take."""
        if self._before is None:
            return 0
        features, indices = self._before
        return features.numel() * features.element_size() + indices.nbytes

    def forget(self) -> None:
        """Let go of the last picture; the estimate stays until there are two others."""
        self._before = None

    def update(self, features: Tensor, indices: NDArray[np.int64]) -> float:
        """The estimate after a picture's features (1, dim, rows, cols) and indices (rows, cols), squared units."""
        before, self._before = self._before, (features, indices)
        # The same picture again, whether it was asked for twice or repeated by its source, tells nothing of the noise.
        if before is not None and before[0].shape == features.shape and not torch.equal(before[0], features):
            turned = before[0].roll(turn_of(before[1], indices), dims=-1)
            change = (features - turned).square().sum(dim=1)
            self._value = float(change.flatten().quantile(0.1)) / 2
        return self._value


def turn_of(before: NDArray[np.int64], now: NDArray[np.int64]) -> int:
    """By how many columns tokens (rows, cols) have moved to the right; 0 where nothing fits better than no turn."""
    _, cols = now.shape
    if before.shape != now.shape:
        return 0
    same = float((before == now).mean())
    if 1 - same < TURN_FROM:
        return 0
    matches = [float((np.roll(before, turn, axis=1) == now).mean()) for turn in range(cols)]
    best = int(np.argmax(matches))
    return best if matches[best] > 1.3 * same + 0.1 else 0
