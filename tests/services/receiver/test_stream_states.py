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
