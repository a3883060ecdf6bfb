import pytest

from panolink.codec.model import Decoder
from panolink.rpc.wire.decoders import decoder_from_wire, decoder_to_wire
from panolink.v1 import node_pb2


def test_decoders_have_numbers_of_their_own():
    assert len({decoder_to_wire(kind) for kind in Decoder}) == len(Decoder)
    for kind in Decoder:
        assert decoder_from_wire(decoder_to_wire(kind)) == kind


def test_what_is_not_known_is_left_open():
    assert decoder_from_wire(77) == "" and decoder_to_wire("") == node_pb2.DECODER_UNSPECIFIED
    with pytest.raises(ValueError, match="'blurred'; there are fidelity, perceptual"):
        decoder_to_wire("blurred")
