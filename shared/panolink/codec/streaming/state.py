"""What both ends hold of a panorama of a stream: the state that later ones are predicted from.

Features are integers here, in 1/64 of the model's unit, so that sums of differences are the same on every host.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from panolink.codec.tokens import Tokens, steps_of_tokens
from panolink.sphere.focus import Focus
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

MOST_STATES = 8
"""of a stream that either end holds"""

FRACTION_BITS = 6
"""fixed point of differences"""

TOKENS_AT_ONCE = 1 << 12
"""whose symbols are added at a time, which bounds memory"""

NO_FEATURE = 127
"""in place of a step, quarter octaves: nothing but the code is known of a token"""

_LARGEST_STEP = 80
_SCALE_BITS = 10
_SCALES = np.array(
    [round(2.0 ** (_SCALE_BITS + FRACTION_BITS + step / 4)) for step in range(-16, _LARGEST_STEP)], dtype=np.int64
)
"""a step of −16 … 79 quarter octaves in the fixed point, times 2^10: none is near a half"""


class Kind(IntEnum):
    """What a packet says of a token."""

    UNCHANGED = 0
    """index and feature of the reference stay"""
    REFINED = 1
    """the index stays, the feature comes closer"""
    NEW = 2
    """another index, and no feature"""
    NEW_FEATURE = 3
    """another index, and a feature"""


def with_symbols(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which tokens of these `Kind` have symbols; any shape."""
    return (kinds == Kind.REFINED) | (kinds == Kind.NEW_FEATURE)


@dataclass(frozen=True, eq=False)
class TokenUpdate:
    """What a packet of a stream says, before it is known what of it arrives.

    Attributes
    ----------
    size : (int, int)
        Height and width of the panorama, pixels.
    reduction : Fraction
        By how much its sides were reduced; that of the reference.
    step : int
        Quantisation step at the equator, quarter octaves.
    focus : tuple of Focus
    slices : int
        S.
    kinds : uint8 (rows, cols)
        `Kind` of each token.
    indices : int64 (rows, cols)
        Those of the new tokens; elsewhere the reference's.
    symbols : int16 or int32 (number with features, dim)
        Of refined and new tokens with features, in row-major order, in steps.
    """

    size: tuple[int, int]
    reduction: Fraction
    step: int
    focus: tuple[Focus, ...]
    slices: int
    kinds: NDArray[np.uint8]
    indices: NDArray[np.int64]
    symbols: NDArray[np.signedinteger]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Tokens with symbols, (rows, cols)."""
        return with_symbols(self.kinds)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Quantisation step of each token, quarter octaves, (rows, cols)."""
        rows, cols = self.kinds.shape
        return self.step + steps_of_tokens(rows, cols, self.focus)


@dataclass(frozen=True, eq=False)
class TokenState:
    """Tokens after a packet.

    Attributes
    ----------
    number : int
        Of the packet in its stream, from 1.
    size : (int, int)
        Height and width of the panorama, pixels.
    reduction : Fraction
    indices : int64 (rows, cols)
    unknown : bool (rows, cols)
        Neither index nor feature ever arrived: concealed from neighbours where it is shown.
    steps : int16 (rows, cols)
        Step with which a token's feature was last sent, quarter octaves; `NO_FEATURE` where it never was.
    differences : int16 (rows · cols, dim)
        Feature − code, in 2^−`FRACTION_BITS` of the unit; 0 where there is no feature.
    kinds : uint8 (rows, cols)
        What arrived with this packet.
    lost : bool (rows, cols)
        As in the reference because what this packet says of them did not arrive: they may be out of date.
    sphere : SphereMetadata
    """

    number: int
    size: tuple[int, int]
    reduction: Fraction
    indices: NDArray[np.int64]
    unknown: NDArray[np.bool_]
    steps: NDArray[np.int16]
    differences: NDArray[np.int16]
    kinds: NDArray[np.uint8]
    lost: NDArray[np.bool_]
    sphere: SphereMetadata = NOTHING_KNOWN

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        rows, cols = self.indices.shape
        return rows, cols

    def known_indices(self, outside: int) -> NDArray[np.int64]:
        """Indices, flat, and one more: ``outside`` where they are unknown, and at the end; (rows · cols + 1,)."""
        return np.append(np.where(self.unknown, outside, self.indices), outside)

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        arrays = (self.indices, self.unknown, self.steps, self.differences, self.kinds, self.lost)
        return sum(array.nbytes for array in arrays)

    @classmethod
    def of_whole(cls, number: int, tokens: Tokens) -> TokenState:
        """After a packet that is predicted from nothing: ``tokens`` as they were received."""
        kept, dim = tokens.kept, tokens.symbols.shape[1]
        steps = np.where(kept, tokens.steps, NO_FEATURE).astype(np.int16)
        differences = np.zeros((kept.size, dim), dtype=np.int16)
        _add(differences, np.flatnonzero(kept), tokens.symbols, tokens.steps[kept])
        unknown = np.zeros(kept.shape, dtype=bool) if tokens.concealed is None else tokens.concealed
        kinds = np.where(unknown, Kind.UNCHANGED, np.where(kept, Kind.NEW_FEATURE, Kind.NEW)).astype(np.uint8)
        indices = np.where(unknown, 0, tokens.indices)
        size = (tokens.height, tokens.width)
        lost = np.zeros(kept.shape, dtype=bool)
        return cls(number, size, tokens.reduction, indices, unknown, steps, differences, kinds, lost, tokens.sphere)

    def turned(self, columns: int) -> TokenState:
        """The same tokens so many columns further to the right, around the sphere."""
        if not columns:
            return self
        rows, cols = self.shape
        differences = np.roll(self.differences.reshape(rows, cols, -1), columns, axis=1).reshape(rows * cols, -1)
        rolled = {
            name: np.roll(getattr(self, name), columns, axis=1)
            for name in ("indices", "unknown", "steps", "kinds", "lost")
        }
        return replace(self, differences=differences, **rolled)

    def updated(
        self,
        number: int,
        update: TokenUpdate,
        *,
        rows_arrived: NDArray[np.bool_],
        features_arrived: NDArray[np.bool_],
        sphere: SphereMetadata | None = None,
    ) -> TokenState:
        """After a packet that is predicted from this state (turned already as the packet says).

        Parameters
        ----------
        number : int
            Of the packet.
        update : TokenUpdate
        rows_arrived : bool (rows,)
            Whose index slice arrived; the others stay as they are.
        features_arrived : bool (number of ``update.kept``,)
            Symbols that arrived, as far as the index slice did, too. A refined token whose symbols did not stays as it
            is; a new one has its code.
        """
        kinds = np.where(rows_arrived[:, None], update.kinds, Kind.UNCHANGED).astype(np.uint8)
        got = np.zeros(update.kinds.shape, dtype=bool)
        got[update.kept] = features_arrived
        unrefined = (kinds == Kind.REFINED) & ~got
        kinds[unrefined] = Kind.UNCHANGED
        kinds[(kinds == Kind.NEW_FEATURE) & ~got] = Kind.NEW
        new = kinds >= Kind.NEW
        steps, differences = self.steps.copy(), self.differences.copy()
        steps[new], differences[new.ravel()] = NO_FEATURE, 0
        sent, token_steps = with_symbols(kinds), update.steps
        steps[sent] = token_steps[sent]
        _add(differences, np.flatnonzero(sent), update.symbols, token_steps[sent], np.flatnonzero(sent[update.kept]))
        return replace(
            self,
            number=number,
            indices=np.where(new, update.indices, self.indices),
            unknown=self.unknown & ~new,
            steps=steps,
            differences=differences,
            kinds=kinds,
            lost=unrefined | ~rows_arrived[:, None],
            sphere=self.sphere if sphere is None else sphere,
        )

    def tokens(self) -> Tokens:
        """Tokens to rebuild the panorama from."""
        kept = self.steps != NO_FEATURE
        known = self.differences[kept.ravel()]
        return Tokens(
            width=self.size[1],
            height=self.size[0],
            step=0,
            indices=self.indices,
            kept=kept,
            symbols=np.zeros((0, known.shape[1]), dtype=np.int32),
            differences=known.astype(np.float32) / np.float32(1 << FRACTION_BITS),
            reduction=self.reduction,
            concealed=self.unknown if self.unknown.any() else None,
            sphere=self.sphere,
            own_steps=self.steps.astype(np.int64),
        )


def _add(
    differences: NDArray[np.int16],
    tokens: NDArray[np.int64],
    symbols: NDArray[np.int32],
    steps: NDArray[np.integer],
    chosen: NDArray[np.int64] | None = None,
) -> None:
    """Add symbols in steps (n,) to differences of tokens (n,), in place; ``chosen``: rows of the symbols, None: all.

    In runs of tokens: sums of all at once would take ten times the differences' memory.
    """
    for start in range(0, len(tokens), TOKENS_AT_ONCE):
        run = slice(start, start + TOKENS_AT_ONCE)
        added = _fixed_point(symbols[run] if chosen is None else symbols[chosen[run]], steps[run])
        differences[tokens[run]] = _clipped(differences[tokens[run]].astype(np.int64) + added)


def _fixed_point(symbols: NDArray[np.int32], steps: NDArray[np.integer]) -> NDArray[np.int16]:
    """Symbols (n, dim) in steps (n,) as differences."""
    scale = _SCALES[np.clip(steps.astype(np.int64) + 16, 0, len(_SCALES) - 1)][:, None]
    magnitude = (np.abs(symbols).astype(np.int64) * scale + (1 << _SCALE_BITS >> 1)) >> _SCALE_BITS
    return _clipped(np.where(symbols < 0, -magnitude, magnitude))


def _clipped(values: NDArray[np.int64]) -> NDArray[np.int16]:
    return np.clip(values, -(1 << 15) + 1, (1 << 15) - 1).astype(np.int16)
