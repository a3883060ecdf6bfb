import zlib
from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.bitstream import Header, Packet, Slice, StreamPlace
from panolink.codec.codec import Codec
from panolink.codec.streaming.decoder import StreamDecoder
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.codec.streaming.state import MOST_STATES
from panolink.errors import BitstreamError, ModelError, PanolinkError, ReferenceNeededError

BPP = 0.6


@pytest.fixture
def packets(tiny: Codec, panorama: np.ndarray) -> list[Packet]:
    """A whole picture, and two that are predicted from it."""
    encoder, random, found = StreamEncoder(tiny, robust=True), np.random.default_rng(0), []
    for _ in range(3):
        noisy = np.clip(panorama + random.normal(0, 20, panorama.shape), 0, 255).astype(np.uint8)
        found.append(encoder.encode(noisy, bpp=BPP))
        encoder.acknowledge(1)
    return found


def with_header(packet: Packet, **changes: object) -> Packet:
    header = replace(packet.header, **changes)  # type: ignore[arg-type]
    return Packet(header, (Slice(packet.slices[0].layer, header.to_bytes()), *packet.slices[1:]))


def test_packets_survive_their_bytes(tiny: Codec, packets: list[Packet]):
    one, other = StreamDecoder(tiny), StreamDecoder(tiny)
    for packet in packets:
        again = Packet.from_bytes(packet.to_bytes())
        assert again.header == packet.header
        assert np.array_equal(one.update(packet).differences, other.update(again).differences)


def test_without_its_reference_a_packet_is_refused_and_nothing_else_disturbed(tiny: Codec, packets: list[Packet]):
    decoder = StreamDecoder(tiny)
    with pytest.raises(ReferenceNeededError, match="2 of a stream is predicted from 1"):
        decoder.update(packets[1])
    decoder.update(packets[0])
    decoder.update(packets[1])


def test_a_plain_decoder_says_what_is_needed(tiny: Codec, packets: list[Packet]):
    assert tiny.decode(packets[0]).shape
    with pytest.raises(ReferenceNeededError, match="stream's decoder"):
        tiny.decode(packets[1])


def test_a_single_picture_is_no_stream(tiny: Codec, panorama: np.ndarray):
    with pytest.raises(BitstreamError, match="not one of a stream"):
        StreamDecoder(tiny).update(tiny.encode(panorama, bpp=BPP))


def test_packets_of_another_model_are_refused(tiny: Codec, packets: list[Packet]):
    decoder = StreamDecoder(tiny)
    decoder.update(packets[0])
    with pytest.raises(ModelError):
        decoder.update(with_header(packets[1], fingerprint="00" * 8))


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 512, "height": 256},
        {"step": 100},
        {"stream": StreamPlace(2, 1, turn=1 << 20)},
        {"index_slices": 1 << 12},
    ],
)
def test_headers_that_do_not_fit_the_reference_are_refused(tiny: Codec, packets: list[Packet], changes: dict):
    decoder = StreamDecoder(tiny)
    decoder.update(packets[0])
    with pytest.raises(PanolinkError):
        decoder.update(with_header(packets[1], **changes))
    decoder.update(packets[1])


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\x05\x05", b"\x05\x01", b"\x05\x01\x00\x01"])
def test_places_that_make_no_sense_are_refused(data: bytes):
    with pytest.raises(BitstreamError):
        StreamPlace.from_bytes(data)


def test_places_survive_their_bytes():
    for place in (StreamPlace(1), StreamPlace(900), StreamPlace(900, 893, 127, (3, 32))):
        assert StreamPlace.from_bytes(place.to_bytes()) == place


def test_whatever_bytes_end_in_tokens_or_one_kind_of_error(tiny: Codec, packets: list[Packet]):
    random = np.random.default_rng(7)
    decoder = StreamDecoder(tiny)
    decoder.update(packets[0])
    for _ in range(60):
        payloads: list[bytes | None] = [piece.payload for piece in packets[1].slices]
        place = int(random.integers(1, len(payloads)))
        payloads[place] = random.bytes(len(payloads[place] or b""))
        try:
            state = decoder.update(Packet.from_payloads(payloads))
        except BitstreamError:
            continue
        assert state.indices.max() < tiny.quantizer.tables.codes and state.indices.min() >= 0


def test_states_are_bounded_and_the_oldest_go(tiny: Codec, panorama: np.ndarray):
    encoder, decoder = StreamEncoder(tiny), StreamDecoder(tiny)
    for number in range(1, MOST_STATES + 4):
        decoder.update(encoder.encode(panorama, bpp=BPP))
        encoder.acknowledge(number)
    assert 0 < decoder.bytes <= MOST_STATES * encoder.bytes
    with pytest.raises(ReferenceNeededError):
        decoder.update(with_header(encoder.encode(panorama, bpp=BPP), stream=StreamPlace(40, 1)))


def test_lost_slices_leave_what_was_there(tiny: Codec, packets: list[Packet]):
    decoder = StreamDecoder(tiny)
    before = decoder.update(packets[0])
    header, *rest = (piece.payload for piece in packets[1].slices)
    after = decoder.update(Packet.from_payloads([header, *(None if payload else payload for payload in rest)]))
    assert np.array_equal(after.indices, before.indices) and np.array_equal(after.differences, before.differences)
    assert not after.kinds.any()


def test_header_of_version_six_needs_its_reason(packets: list[Packet]):
    data = bytearray(
        replace(packets[0].header, stream=None, lengths=(0, 1)[:1] + packets[0].header.lengths[1:]).to_bytes()
    )
    data[3] = 6
    body = bytes(data[:-4]) + b"\0"
    with pytest.raises(BitstreamError, match="without what that version is for"):
        Header.parse(body + zlib.crc32(body).to_bytes(4, "little"))


def test_an_encoder_that_begins_anew_is_followed(tiny: Codec, panorama: np.ndarray):
    """It counts from 1, below all that the decoder holds."""
    decoder = StreamDecoder(tiny)
    for encoder in (StreamEncoder(tiny), StreamEncoder(tiny)):
        for number in range(1, MOST_STATES + 3):
            decoder.update(encoder.encode(panorama, bpp=BPP))
            encoder.acknowledge(number)


def test_what_is_predicted_from_is_held_however_late_receipts_are(tiny: Codec, panorama: np.ndarray):
    encoder, decoder = StreamEncoder(tiny), StreamDecoder(tiny)
    decoder.update(encoder.encode(panorama, bpp=BPP))
    encoder.acknowledge(1)
    for _ in range(2 * MOST_STATES):
        packet = encoder.encode(panorama, bpp=BPP)
        assert packet.header.stream and packet.header.stream.reference == 1
        decoder.update(packet)


@pytest.mark.parametrize("late", range(1, MOST_STATES - 1))
def test_references_are_held_while_receipts_come_late(tiny: Codec, panorama: np.ndarray, late: int):
    encoder, decoder, random = StreamEncoder(tiny), StreamDecoder(tiny), np.random.default_rng(0)
    under_way: list[int] = []
    for number in range(1, 4 * MOST_STATES):
        noisy = np.clip(panorama + random.normal(0, 3, panorama.shape), 0, 255).astype(np.uint8)
        decoder.update(encoder.encode(noisy, bpp=BPP))  # raises where what it is predicted from is gone
        under_way.append(number)
        if len(under_way) > late:
            encoder.acknowledge(under_way.pop(0))


def test_a_header_of_version_five_says_nothing_of_later_ones(packets: list[Packet]):
    data = bytearray(packets[1].header.to_bytes()[:-4])
    assert data[3] == 6
    data[3] = 5
    with pytest.raises(BitstreamError, match="version 5 with what a later one is for"):
        Header.parse(bytes(data) + zlib.crc32(bytes(data)).to_bytes(4, "little"))
