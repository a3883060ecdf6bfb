"""What has become of each token of a received panorama, as viewers are shown it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from panolink.codec.streaming.state import Kind

if TYPE_CHECKING:
    from panolink.codec.streaming.state import TokenState
    from panolink.codec.tokens import Tokens


class TokenKind(IntEnum):
    """Numbers of the protocol's `TokenKind`."""

    CONCEALED = 1
    """its index never arrived: filled in from neighbours"""
    UNCHANGED = 2
    """as it was in the picture before, of a stream"""
    REFINED = 3
    """likewise, and its feature came closer"""
    NEW = 4
    """its index arrived, and no feature"""
    NEW_FEATURE = 5
    """its index and its feature arrived"""
    LOST = 6
    """as it was in the picture before, of a stream, since what was said of it was lost"""


_OF_STREAM = np.array([TokenKind[kind.name] for kind in Kind], dtype=np.uint8)


def kinds_of_single(tokens: Tokens) -> NDArray[np.uint8]:
    """`TokenKind` of the tokens of a single picture, uint8 (rows, cols)."""
    kinds = np.where(tokens.kept, TokenKind.NEW_FEATURE, TokenKind.NEW).astype(np.uint8)
    return _with_concealed(kinds, tokens.concealed)


def kinds_of_stream(state: TokenState) -> NDArray[np.uint8]:
    """`TokenKind` of the tokens of a stream's picture, uint8 (rows, cols)."""
    kinds = np.where(state.lost, np.uint8(TokenKind.LOST), _OF_STREAM[state.kinds])
    return _with_concealed(kinds, state.unknown)


def _with_concealed(kinds: NDArray[np.uint8], concealed: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    if concealed is not None:
        kinds[concealed] = TokenKind.CONCEALED
    return kinds
