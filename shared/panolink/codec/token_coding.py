"""Bits of a whole picture: tokens as a packet of entropy-coded slices, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from panolink.codec.bitstream import Layer, Packet, StreamPlace
from panolink.codec.entropy.coder import SliceCoder
from panolink.codec.entropy.feature_coding import decode_features, encode_features, slice_members
from panolink.codec.rate_control.controller import COARSEST_STEP, FINEST_STEP
from panolink.codec.slicing import feature_parts, slice_bytes
from panolink.codec.tokens import Tokens, steps_of_tokens
from panolink.errors import BitstreamError, ReferenceNeededError


def pack_tokens(coder: SliceCoder, tokens: Tokens, *, fingerprint: str, stream: StreamPlace | None = None) -> Packet:
    """Entropy-code tokens into slices.

    Parameters
    ----------
    coder : SliceCoder
    tokens : Tokens
    fingerprint : str
        Of the model whose tokens they are.
    stream : StreamPlace, optional
        Where they are a whole picture of a stream.
    """
    return _packet(coder, tokens, encode_features(coder, tokens), fingerprint, stream)


def draft_tokens(
    coder: SliceCoder,
    tokens: Tokens,
    bits: NDArray[np.float32],
    *,
    fingerprint: str,
    stream: StreamPlace | None = None,
) -> Packet:
    """A packet of about the lengths that `pack_tokens` would give: nothing is entropy-coded but mask and indices.

    Parameters
    ----------
    coder, tokens, fingerprint, stream
        As of `pack_tokens`.
    bits : float32 (number kept,)
        What each kept token takes, by the tables. Feature slices are zeros.
    """
    features = list[bytes]()
    if tokens.kept.any():
        parts = feature_parts(float(bits.sum()), tokens.slices)
        members = slice_members(tokens.kept, tokens.slices, parts)
        features = [bytes(slice_bytes(float(bits[run].sum()))) for run in members]
    return _packet(coder, tokens, features, fingerprint, stream)


def _packet(
    coder: SliceCoder, tokens: Tokens, features: Sequence[bytes], fingerprint: str, stream: StreamPlace | None
) -> Packet:
    """A packet of tokens with their feature slices; mask and indices are entropy-coded."""
    return Packet.build(
        fingerprint=fingerprint,
        size=(tokens.height, tokens.width),
        reduction=tokens.reduction,
        step=tokens.step,
        mask=coder.encode_mask(tokens.kept) if features else b"",
        indices=coder.encode_indices(tokens.indices, tokens.slices),
        features=features,
        focus=tokens.focus,
        stream=stream,
    )


def unpack_tokens(coder: SliceCoder, packet: Packet, grid: tuple[int, int]) -> Tokens:
    """Decode slices into tokens; those of lost indices are marked ``concealed``, lost features are codes.

    Parameters
    ----------
    coder : SliceCoder
    packet : Packet
        Of the coder's model.
    grid : (int, int)
        Rows and columns of its tokens.

    Raises
    ------
    BitstreamError
        It is damaged.
    ReferenceNeededError
        It is predicted from another packet of a stream.
    """
    header, (rows, cols) = packet.header, grid
    if header.stream and header.stream.reference:
        raise ReferenceNeededError(
            f"packet {header.stream.number} of a stream is predicted from {header.stream.reference}: a stream's "
            "decoder is needed, and the packets before"
        )
    slices = header.index_slices
    if slices > rows or not FINEST_STEP <= header.step <= COARSEST_STEP:
        raise BitstreamError(f"packet header names {slices} slices of {rows} token rows at step {header.step}: corrupt")
    payloads = packet.payloads(Layer.INDICES)
    indices = coder.decode_indices(payloads, (rows, cols))
    concealed = np.zeros((rows, cols), dtype=bool)
    for start, payload in enumerate(payloads):
        concealed[start::slices] = payload is None
    mask = next(iter(packet.payloads(Layer.MASK)), None)
    sent = np.zeros((rows, cols), dtype=bool) if mask is None else coder.decode_mask(mask, rows, cols)
    symbols, received = decode_features(
        coder,
        packet.payloads(Layer.FEATURES),
        indices=indices,
        sent=sent,
        usable=~concealed,
        steps=header.step + steps_of_tokens(rows, cols, header.focus),
        slices=slices,
    )
    kept = sent.copy()
    kept[sent] = received
    return Tokens(
        width=header.width,
        height=header.height,
        step=header.step,
        reduction=header.reduction,
        slices=slices,
        indices=indices,
        kept=kept,
        symbols=symbols if received.all() else symbols[received],
        concealed=concealed if concealed.any() else None,
        sphere=header.sphere,
        focus=header.focus,
    )
