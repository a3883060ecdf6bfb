"""Reduced resolution: below some rate a smaller picture, enlarged again, looks better than a coarser one.

A packet says by how much the sides were reduced, and the receiver enlarges.
"""

from __future__ import annotations

from fractions import Fraction

WHOLE = Fraction(1)

FROM_BPP = {WHOLE: 0.018, Fraction(3, 2): 0.01, Fraction(2): 0.006, Fraction(3): 0.003, Fraction(4): 0.0}
"""factors by which sides may be reduced, and bits per pixel below which it was never the best for a panorama"""

FINE_ENOUGH = 11
"""quarter octaves: where a rate asks for a coarser step than that, the next smaller picture has the smaller error on
validation panoramas, by little, or as small a one"""

SMALLEST_SIDE = 16
"""pixels, of what is coded: one token"""


def candidates(bpp: float, size: tuple[int, int]) -> list[Fraction]:
    """Reductions that may be the best for a panorama of ``size`` (height, width) at a rate, the finest first."""
    possible = [r for r in FROM_BPP if r == WHOLE or min(size) / r >= SMALLEST_SIDE]
    return [r for r in possible if bpp >= FROM_BPP[r]] or possible[-1:]


def reduced_size(size: tuple[int, int], reduction: Fraction) -> tuple[int, int]:
    """(height, width) of a panorama whose sides are reduced: whole tokens, so that the last column meets the first."""
    if reduction == WHOLE:
        return size
    return whole_tokens(size[0] / reduction), whole_tokens(size[1] / reduction)


def whole_tokens(side: Fraction) -> int:
    """The multiple of a token's side that is nearest, at least one."""
    return max(1, round(side / SMALLEST_SIDE)) * SMALLEST_SIDE
