import numpy as np
import pytest

from panolink.codec.bitstream import StreamPlace
from panolink.codec.codec import Codec
from panolink.codec.streaming.changes import draft_packet, update_packet
from panolink.codec.streaming.encoder import Change
from panolink.codec.streaming.state import Kind
from tests.codec.streaming.test_stream_costs import change as change


def test_budgets_are_kept_and_filled(tiny: Codec, change: Change):
    for room in (1500.0, 3000.0):
        changes = change.filled(room)
        update, bits = changes.within(room)
        assert len(bits) == int(update.kept.sum())
        packet = update_packet(tiny.quantizer.coder, tiny.fingerprint, change.reference, update, StreamPlace(2, 1))
        sent = packet.bits["indices"] + packet.bits["features"]
        assert 0.75 * room < sent < 1.1 * room


def test_no_room_is_nothing_changed(change: Change):
    update, bits = change.filled(1.0).within(0.0)
    assert not update.kinds.any() and not len(bits) and not len(update.symbols)
    assert not change.filled(1000.0).worst(0.0).kinds.any()


def test_what_brings_most_for_its_bits_goes_first(change: Change):
    changes = change.filled(3000.0)
    some, more = (changes.within(room)[0].kinds != Kind.UNCHANGED for room in (1500.0, 3000.0))
    assert some.sum() < more.sum() and not (some & ~more).any()


def test_drafts_are_about_as_long_as_packets(tiny: Codec, change: Change):
    update, bits = change.filled(6000.0).within(6000.0)
    place = StreamPlace(2, 1)
    packet = update_packet(tiny.quantizer.coder, tiny.fingerprint, change.reference, update, place)
    draft = draft_packet(tiny.fingerprint, update, bits, place, 0.0)
    assert draft.header.stream is not None and packet.header.stream is not None
    assert draft.header.stream.shares == packet.header.stream.shares
    assert draft.bits["features"] == pytest.approx(packet.bits["features"], rel=0.1)
    assert len(draft.slices) == len(packet.slices)
    assert np.array_equal(update.indices[update.kinds < Kind.NEW], change.reference.indices[update.kinds < Kind.NEW])
