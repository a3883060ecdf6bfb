import pytest

from panolink.codec.realism import Decoder
from panolink.errors import ModelError
from panolink.rpc.wire.decoders import (
    decoder_from_wire,
    decoder_to_wire,
    realism_from_wire,
    set_realism,
    wanted_realism,
)
from panolink.v1 import node_pb2, receiver_pb2


def test_decoders_have_numbers_of_their_own():
    assert len({decoder_to_wire(kind) for kind in Decoder}) == len(Decoder)
    for kind in Decoder:
        assert decoder_from_wire(decoder_to_wire(kind)) == kind


def test_what_is_not_known_is_left_open():
    assert decoder_from_wire(77) == "" and decoder_to_wire("") == node_pb2.DECODER_UNSPECIFIED
    with pytest.raises(ValueError, match="'blurred'; there are fidelity, perceptual"):
        decoder_to_wire("blurred")


@pytest.mark.parametrize("kind", [receiver_pb2.WatchRequest, receiver_pb2.ReceivedPanoramaHeader])
@pytest.mark.parametrize(
    ("realism", "decoder"),
    [(None, ""), (0.0, "fidelity"), (0.25, ""), (1.0, "perceptual")],
)
def test_a_realism_comes_back_and_the_ends_of_the_scale_have_their_names(
    kind: type[receiver_pb2.WatchRequest], realism: float | None, decoder: str
):
    message = kind()
    set_realism(message, realism)
    assert realism_from_wire(message) == realism
    assert decoder_from_wire(message.decoder) == decoder


def test_peers_that_know_names_alone_are_understood():
    assert realism_from_wire(receiver_pb2.WatchRequest(decoder=node_pb2.DECODER_PERCEPTUAL)) == 1
    assert realism_from_wire(receiver_pb2.WatchRequest(decoder=77)) is None  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="allowed is a number from 0"):
        realism_from_wire(receiver_pb2.WatchRequest(realism=float("nan")))


def test_viewers_cannot_ask_for_a_file():
    assert wanted_realism("", None) is None
    assert wanted_realism("perceptual", 1) == 1
    with pytest.raises(ValueError, match=r"decoder 'mine\.safetensors'; there are fidelity, perceptual"):
        wanted_realism("mine.safetensors", None)
    with pytest.raises(ValueError, match=r"decoder perceptual is realism 1, not 0\.5"):
        wanted_realism("perceptual", 0.5)
