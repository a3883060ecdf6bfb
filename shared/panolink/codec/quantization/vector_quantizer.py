"""Vector quantisation, formula (2): the nearest code of each token, and its inverse."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from panolink.codec.shapes import Codebook, Features, Indices
from panolink.codec.tokens import Tokens
from panolink.cpu import parallel, row_chunks, threads
from panolink.jit import kernel

LEADING_UNIT = 8
"""dimensions by which the part of a codebook that is compared first grows"""

MOST_REST = 0.02
"""share of the codebook's energy that may lie in the dimensions that are compared last; 0.01 to 0.04 are as fast"""

LANES = 32
"""every so many codes, of which the lowest bound is looked at before the bound of each"""

CHUNK = 256
"""tokens that a thread compares at a time: 1 MiB for 1024 codes, which stays in a core's cache"""

ADDED = 16384
"""differences added at a time: 12 MiB of 192 dimensions"""


def nearest_code(features: Features, codebook: Codebook) -> Indices:
    """Index of each token's nearest code, s_i = argmin_k ‖F_i − z_k‖² of formula (2).

    Parameters
    ----------
    features : (batch, dim, rows, cols)
    codebook : (K, dim)

    Returns
    -------
    int64 (batch, rows, cols)
    """
    tokens = features.permute(0, 2, 3, 1).float()
    distance = codebook.square().sum(dim=1) - 2 * tokens @ codebook.T
    return distance.argmin(dim=-1)


class CodeSearch:
    """`nearest_code` for one codebook, faster on a CPU: features are compared with codes in their strongest dimensions
    first.

    ‖F − z‖² is at least its part there plus (‖F_rest‖ − ‖z_rest‖)², and for all but a few codes that is more than the
    distance of the nearest one. Only those few are compared in all dimensions, in double precision: the result is that
    of formula (2), and not an approximation.

    Parameters
    ----------
    codebook : (K, dim)
    """

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook

    def __call__(self, features: Features) -> Indices:
        """See `nearest_code`."""
        if features.device.type != "cpu" or 2 * len(self._leading) > self.codebook.shape[1]:
            return nearest_code(features, self.codebook)
        batch, dim, rows, cols = features.shape
        tokens = features.permute(0, 2, 3, 1).reshape(-1, dim).float()
        found = np.empty(len(tokens), dtype=np.int64)
        together = CHUNK * threads()
        for start in range(0, len(found), together):
            part = tokens[start : start + together]
            leading = np.empty((len(part), len(self._leading) + 2), dtype=np.float32)
            squares = np.empty(len(part), dtype=np.float32)
            _lead(part.numpy(), self._leading, self._others, leading, squares)
            bounds = (torch.from_numpy(leading) @ self._bounding).numpy()
            arrays = bounds, squares, part.numpy(), found[start : start + together]
            parallel(
                lambda some, arrays=arrays: _nearest(*(array[some] for array in arrays), *self._codes),
                row_chunks(len(part), 64),
            )
        return torch.from_numpy(found.reshape(batch, rows, cols))

    @functools.cached_property
    def _leading(self) -> NDArray[np.int64]:
        """The dimensions that are compared first."""
        energy = self.codebook.double().square().mean(dim=0).cpu().numpy()
        order = np.argsort(-energy, kind="stable")
        rest = energy.sum() - np.cumsum(energy[order])
        enough = int(np.argmax(rest <= MOST_REST * energy.sum())) + 1
        return np.sort(order[: -(-enough // LEADING_UNIT) * LEADING_UNIT])

    @functools.cached_property
    def _bounding(self) -> Tensor:
        """(leading + 2, K): makes lower bounds of ‖z‖² − 2 F·z of a token's leading dimensions, the norm of its other
        ones, and 1."""
        codes = self.codebook.double()
        norms, rest = codes.square().sum(dim=1), codes.square() @ torch.from_numpy(self._others).double()
        return (
            torch.cat([-2 * codes[:, torch.from_numpy(self._leading)].T, -2 * rest.sqrt()[None], norms[None]])
            .float()
            .contiguous()
        )

    @functools.cached_property
    def _others(self) -> NDArray[np.float32]:
        """(dim,): 1 for the dimensions that are compared last, 0 for the leading ones."""
        others = np.ones(self.codebook.shape[1], dtype=np.float32)
        others[self._leading] = 0
        return others

    @functools.cached_property
    def _codes(self) -> tuple[NDArray[np.float32], np.float32]:
        """Codes (K, dim), and the largest squared norm."""
        codes = np.ascontiguousarray(self.codebook.float().numpy())
        return codes, np.float32(np.square(codes, dtype=np.float64).sum(axis=1).max())


@kernel
def _lead(tokens, first, others, leading, squares):
    """What of tokens (n, dim) goes into the bounds, ``leading`` (n, len(first) + 2): their dimensions ``first``, their
    norms in the ``others`` (dim,), and 1; and their squared norms (n,)."""
    width = 16
    dims, whole = tokens.shape[1], tokens.shape[1] // width * width
    sums, partial = np.empty(width, np.float32), np.empty(width, np.float32)
    for token in range(len(tokens)):
        own = tokens[token]
        sums[:], partial[:] = 0, 0
        for begin in range(0, whole, width):
            for lane in range(width):
                square = own[begin + lane] * own[begin + lane]
                sums[lane] += square
                partial[lane] += square * others[begin + lane]
        for dim in range(whole, dims):
            sums[dim - whole] += own[dim] * own[dim]
            partial[dim - whole] += own[dim] * own[dim] * others[dim]
        squares[token], leading[token, len(first)], leading[token, len(first) + 1] = (
            sums.sum(),
            np.sqrt(partial.sum()),
            1,
        )
        for place in range(len(first)):
            leading[token, place] = own[first[place]]


@kernel
def _nearest(bounds, squares, tokens, found, codes, largest):
    """Nearest codes of n tokens, of which lower ``bounds`` (n, K) of the distances and the squared norms
    ``squares`` (n,) are given."""
    count = len(codes)
    whole = count // LANES * LANES
    minima = np.empty(LANES, np.float32)
    for token in range(len(tokens)):
        bound = bounds[token]
        rounding = np.float32(2.0**-17) * (squares[token] + largest)  # more than float32 loses in the bounds
        minima[:] = np.inf
        for begin in range(0, whole, LANES):
            for lane in range(LANES):
                minima[lane] = min(minima[lane], bound[begin + lane])
        for code in range(whole, count):
            minima[code - whole] = min(minima[code - whole], bound[code])
        best = minima.argmin()
        lowest = minima[best]
        while bound[best] != lowest:
            best += LANES
        best_distance = _distance(tokens[token], codes[best])
        limit = np.float32(best_distance) + rounding
        for lane in range(LANES):
            if minima[lane] > limit:
                continue
            for code in range(lane, count, LANES):
                if bound[code] <= limit and code != best:
                    distance = _distance(tokens[token], codes[code])
                    if distance < best_distance or (distance == best_distance and code < best):
                        best, best_distance = code, distance
                        limit = np.float32(distance) + rounding
        found[token] = best


@kernel
def _term(feature, code):
    return np.float64(code) * (np.float64(code) - 2.0 * np.float64(feature))


@kernel
def _distance(token, code):
    """‖z‖² − 2 F·z in double precision, four sums at a time."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = len(token) // 4 * 4
    for dim in range(0, whole, 4):
        a += _term(token[dim], code[dim])
        b += _term(token[dim + 1], code[dim + 1])
        c += _term(token[dim + 2], code[dim + 2])
        d += _term(token[dim + 3], code[dim + 3])
    for dim in range(whole, len(token)):
        a += _term(token[dim], code[dim])
    return (a + b) + (c + d)


def look_up(indices: Indices, codebook: Codebook) -> Features:
    """Codebook vectors Q_i = z_{s_i} of formula (2): the de-quantisation of a token that is not kept.

    Parameters
    ----------
    indices : (batch, rows, cols)
    codebook : (K, dim)

    Returns
    -------
    (batch, dim, rows, cols)
    """
    return codebook[indices].permute(0, 3, 1, 2)


def dequantize(tokens: Tokens, codebook: Codebook) -> Features:
    """Features as the receiver knows them, the inverse of formula (7): codes, and on top of them what was sent.

    Parameters
    ----------
    tokens : Tokens
    codebook : (K, dim)

    Returns
    -------
    (1, dim, rows, cols)
        On the codebook's device.
    """
    features = codebook[torch.from_numpy(tokens.indices).to(codebook.device)]
    flat, kept = features.view(-1, features.shape[-1]), np.flatnonzero(tokens.kept)
    for start in range(0, len(kept), ADDED):
        some = slice(start, start + ADDED)
        cells = torch.from_numpy(kept[some])
        if tokens.differences is None:
            scale = torch.exp2(torch.from_numpy(tokens.steps.ravel()[kept[some]]).float() / 4)[:, None]
            differences = torch.from_numpy(tokens.symbols[some]) * scale
        else:
            differences = torch.from_numpy(tokens.differences[some])
        flat[cells.to(features.device, non_blocking=True)] += differences.to(features.device, non_blocking=True)
    return features.permute(2, 0, 1)[None]


def token_steps(tokens: Tokens) -> Tensor:
    """Quantisation step of each token, quarter octaves, int64 (1, rows, cols)."""
    return torch.from_numpy(tokens.steps)[None]
