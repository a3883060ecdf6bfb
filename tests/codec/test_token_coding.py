"""Tokens as packets and back: what `Codec.pack`, `draft` and `unpack` do, for a codec's own coder."""

from dataclasses import replace

import numpy as np
import pytest

from panolink.codec.bitstream import Packet, StreamPlace
from panolink.codec.codec import Codec
from panolink.codec.token_coding import draft_tokens, pack_tokens, unpack_tokens
from panolink.codec.tokens import Tokens
from panolink.errors import BitstreamError, ReferenceNeededError


@pytest.fixture
def tokens(tiny: Codec, panorama: np.ndarray) -> Tokens:
    (features,) = tiny.extract([panorama])
    return tiny.quantize(features, size=(panorama.shape[0], panorama.shape[1]), tau=0.4)


def test_packets_come_back_as_the_tokens_that_they_were(tiny: Codec, tokens: Tokens) -> None:
    coder = tiny.quantizer.coder
    packet = Packet.from_bytes(pack_tokens(coder, tokens, fingerprint=tiny.fingerprint).to_bytes())
    assert packet.to_bytes() == tiny.pack(tokens).to_bytes()
    again = unpack_tokens(coder, packet, tokens.indices.shape)
    for name in ("indices", "kept", "symbols"):
        assert np.array_equal(getattr(again, name), getattr(tokens, name)), name
    assert again.concealed is None and again.step == tokens.step


def test_a_draft_is_about_as_long_and_costs_no_coding_of_features(tiny: Codec, tokens: Tokens) -> None:
    coder, whole = tiny.quantizer.coder, tiny.pack(tokens)
    feature_bits = whole.bits["features"]
    bits = np.full(int(tokens.kept.sum()), feature_bits / tokens.kept.sum(), np.float32)
    draft = draft_tokens(coder, tokens, bits, fingerprint=tiny.fingerprint)
    assert [piece.layer for piece in draft.slices] == [piece.layer for piece in whole.slices]
    assert abs(draft.bits["features"] - feature_bits) <= 16 * len(draft.slices)
    nothing = replace(tokens, kept=np.zeros_like(tokens.kept), symbols=tokens.symbols[:0])
    assert draft_tokens(coder, nothing, bits[:0], fingerprint=tiny.fingerprint).bits["features"] == 0


def test_more_slices_than_rows_are_refused(tiny: Codec, tokens: Tokens) -> None:
    packet = pack_tokens(tiny.quantizer.coder, replace(tokens, slices=2), fingerprint=tiny.fingerprint)
    with pytest.raises(BitstreamError, match="2 slices of 1 token rows"):
        unpack_tokens(tiny.quantizer.coder, packet, (1, 8))


def test_a_predicted_packet_needs_its_stream(tiny: Codec, tokens: Tokens) -> None:
    packet = pack_tokens(tiny.quantizer.coder, tokens, fingerprint=tiny.fingerprint, stream=StreamPlace(7, 6))
    with pytest.raises(ReferenceNeededError, match="packet 7 of a stream is predicted from 6"):
        unpack_tokens(tiny.quantizer.coder, packet, tokens.indices.shape)
