"""What viewers are shown of tokens: of a single picture, and of a stream's."""

from dataclasses import replace

import numpy as np

from panolink.codec.codec import Codec
from panolink.codec.streaming.decoder import StreamDecoder
from panolink.codec.streaming.encoder import StreamEncoder
from panolink.codec.streaming.state import Kind
from panolink.link.token_kinds import TokenKind, kinds_of_single, kinds_of_stream


def test_a_single_picture_has_kept_and_concealed_tokens(tiny: Codec, panorama: np.ndarray) -> None:
    tokens = tiny.unpack(tiny.encode(panorama, tau=0.3))
    kinds = kinds_of_single(tokens)
    assert kinds.dtype == np.uint8 and kinds.shape == tokens.indices.shape
    assert np.array_equal(kinds == TokenKind.NEW_FEATURE, tokens.kept)
    assert np.all(kinds[~tokens.kept] == TokenKind.NEW)
    concealed = np.zeros_like(tokens.kept)
    concealed[1, 2:5] = True
    kinds = kinds_of_single(replace(tokens, concealed=concealed))
    assert np.array_equal(kinds == TokenKind.CONCEALED, concealed)


def test_a_stream_s_picture_says_what_has_changed(tiny: Codec, panorama: np.ndarray) -> None:
    encoder, decoder = StreamEncoder(tiny), StreamDecoder(tiny)
    decoder.update(encoder.encode(panorama, bpp=0.4))
    encoder.acknowledge(1, ())
    changed = panorama.copy()
    changed[:, :64] = 255 - changed[:, :64]
    state = decoder.update(encoder.encode(changed, bpp=0.2))
    kinds = kinds_of_stream(state)
    assert len(np.unique(kinds)) > 1
    for kind in Kind:
        assert np.array_equal(kinds == TokenKind[kind.name], state.kinds == kind)
    lost = np.zeros_like(state.lost)
    lost[1] = True
    kinds = kinds_of_stream(replace(state, lost=lost))
    assert np.array_equal(kinds == TokenKind.LOST, lost)
    unknown = np.zeros_like(state.unknown)
    unknown[0, 0] = True
    assert kinds_of_stream(replace(state, unknown=unknown))[0, 0] == TokenKind.CONCEALED
