import numpy as np

from panolink.codec.codec import Codec
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.services.receiver.stream_states import MOST_STREAMS, StreamStates


def test_a_stream_keeps_its_decoder(tiny: Codec):
    states = StreamStates(1 << 20)
    assert states.get("a", tiny) is states.get("a", tiny) is not states.get("b", tiny)
    assert len(states) == 2


def test_the_quietest_makes_room(tiny: Codec, panorama: np.ndarray):
    packet = StreamEncoder(tiny).encode(panorama, bpp=0.5)
    states = StreamStates(1)
    for name in ("a", "b"):
        states.get(name, tiny).update(packet)
    assert states.bytes > 0
    kept = states.get("b", tiny)
    assert len(states) == 1 and kept.bytes > 0
    assert states.get("a", tiny).bytes == 0


def test_there_are_only_so_many(tiny: Codec):
    states = StreamStates(1 << 20)
    for number in range(MOST_STREAMS + 20):
        states.get(str(number), tiny)
    assert len(states) == MOST_STREAMS


def test_overtaken_pictures_are_known(tiny: Codec):
    states = StreamStates(1 << 20)
    states.get("a", tiny)
    assert [states.is_newest("a", tiny, number) for number in (1, 3, 2, 3, 4)] == [True, True, False, False, True]
    assert states.is_newest("b", tiny, 2)


def test_what_a_picture_leaves_is_within_the_limit(tiny: Codec, panorama: np.ndarray):
    """Of one stream, too: its states are eight times what one takes."""
    encoder = StreamEncoder(tiny)
    packets = []
    for number in range(1, 7):
        packets.append(encoder.encode(panorama, bpp=0.5))
        encoder.acknowledge(number)
    one = StreamStates(1 << 30).get("a", tiny).update(packets[0]).bytes
    states = StreamStates(3 * one)
    for packet in packets:
        decoder = states.get("a", tiny)
        decoder.update(packet)
        states.trim("a", tiny)
        assert one <= states.bytes <= 3 * one
    states.get("b", tiny).update(packets[0])
    states.trim("b", tiny)
    assert states.bytes <= 3 * one and len(states) == 1, "the quieter one has made room"
    states = StreamStates(one - 1)
    states.get("a", tiny).update(packets[0])
    states.trim("a", tiny)
    assert states.bytes == 0
