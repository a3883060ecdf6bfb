"""Training of the network that predicts scales and signs of a token's differences from its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from panolink.codec.entropy.feature_coding import decoded_differences
from panolink.codec.entropy.feature_context import FeatureContextModel, neighbour_codes, neighbour_values
from panolink.codec.entropy.index_context import bands_of
from panolink.codec.entropy.integer_network import ACTIVATION_BITS
from panolink.codec.entropy.scale_adaptation import adapted_classes
from panolink.codec.entropy.tables import CLASSES, LEVEL_ZERO, MAX_MAGNITUDE, Tables
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.codec.rate_control.rd_cost import TokenCostModel
from panolink.training.feature_context_network import CONTEXT_DIMS, FeatureContextNetwork
from panolink.training.quantization_aware import learning_rate

EPOCHS, BATCH, LEAST_STEPS = 4, 1024, 100
LEARNING_RATE = 2.5e-3

FINE, COARSE = 0, 12
"""steps at which symbols are drawn, quarter octaves"""

TOKENS_A_GRID = 1200
"""at most so many tokens of a grid become examples"""

UNIT_LEVEL = 16
"""quarter octaves by which the unit of a neighbour's difference is finer than its mean"""


@dataclass(frozen=True)
class _Examples:
    """Of n kept tokens."""

    codes: Tensor
    """(n, len(CODE_NEIGHBOURS)) int16"""
    values: Tensor
    """(n, len(DIFFERENCE_NEIGHBOURS) · V) int8"""
    bands: Tensor
    """(n,) int16"""
    classes: Tensor
    """(n, dim) int8: with which the symbols would be coded without context"""
    symbols: Tensor
    """(n, dim) int8"""


def neutral_feature_context(codebook: Tensor, levels: NDArray[np.uint8]) -> FeatureContextModel:
    """A model that lets nothing be expected beyond the code's own scales.

    Parameters
    ----------
    codebook : (K, dim)
    levels : uint8 (K, dim)
        Scales of the codes' differences.
    """
    network = FeatureContextNetwork(codebook.cpu())
    nn.init.zeros_(network.network.last)
    return network.to_integers(_units(levels))


def fit_feature_context(
    codebook: Tensor,
    tables: Tables,
    grids: Sequence[NDArray[np.int64]],
    differences: Sequence[NDArray[np.float16]],
    *,
    start: FeatureContextNetwork | None = None,
    seed: int = 0,
) -> FeatureContextModel:
    """Train the network on the symbols that ``tables``, without context, make of panoramas.

    Parameters
    ----------
    codebook : (K, dim)
    tables : Tables
    grids : sequence of int64 (rows, cols)
        Indices of each panorama.
    differences : sequence of float16 (rows · cols, dim)
        From the codes.
    start : FeatureContextNetwork, optional
        That a run has learned beside its networks, to go on from; it is changed. None: one that knows nothing.
    seed : int

    Returns
    -------
    FeatureContextModel
        That of ``tables`` where no symbol pays for its bits.
    """
    lengths = torch.from_numpy(tables.code_lengths())
    lengths[1:, 1:] -= 1  # the signs' bits are the network's
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = start or FeatureContextNetwork(codebook.cpu())
        examples = _draw_examples(tables, grids, differences, np.random.default_rng(seed))
        count = len(examples.bands)
        if not count:  # no symbol pays for its bits with such a model
            return tables.feature_context
        steps = max(LEAST_STEPS, round(EPOCHS * count / BATCH))
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = learning_rate(step, steps, LEARNING_RATE)
            chosen = torch.randint(count, (min(BATCH, count),))
            loss = _bits(network, examples, chosen, lengths).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.to_integers(_units(tables.levels))


def _bits(network: FeatureContextNetwork, examples: _Examples, chosen: Tensor, lengths: Tensor) -> Tensor:
    """(n, dim): bits of the chosen examples' symbols, linear between classes of scale."""
    values = examples.values[chosen].float() / (1 << ACTIVATION_BITS)
    shifts, log_odds = network(examples.codes[chosen].long(), values, examples.bands[chosen].long())
    classes, symbols = examples.classes[chosen].long(), examples.symbols[chosen].long()
    magnitudes = symbols.abs()
    shifted = (classes + 4 * shifts).clamp(1, CLASSES - 1.001)
    below = shifted.detach().long()
    flat, cells = lengths.flatten(), below * lengths.shape[1] + magnitudes
    bits = flat[cells] + (flat[cells + lengths.shape[1]] - flat[cells]) * (shifted - below)
    signs = F.softplus(-log_odds * symbols.sign()) / math.log(2)
    return torch.where(classes > 0, bits, 0) + torch.where(magnitudes > 0, signs, 0)


def _draw_examples(
    tables: Tables,
    grids: Sequence[NDArray[np.int64]],
    differences: Sequence[NDArray[np.float16]],
    random: np.random.Generator,
) -> _Examples:
    """Tokens that pay at some step. Of every third grid they know their rows only; of the others a half know the
    differences of their neighbours."""
    lengths, outside = tables.code_lengths(), tables.codes
    parts: list[tuple[np.ndarray, ...]] = []
    for number, (grid, difference) in enumerate(zip(grids, differences, strict=True)):
        step, whole = int(random.integers(FINE, COARSE)), number % 3 > 0
        cost_model = TokenCostModel(tables, lengths, grid, torch.from_numpy(difference).float(), whole=whole)
        costs = cost_model.from_index_context(step, RD_LAMBDA)
        pays = costs.pays(RD_LAMBDA)
        known = np.zeros((*grid.shape, len(tables.feature_context.units)), dtype=np.int8)
        if whole:
            early = np.flatnonzero(pays & cost_model.first)
            known = decoded_differences(tables, grid.shape, early, costs.symbols[early], cost_model.steps[early] + step)
        kept = np.flatnonzero(pays)
        kept = kept if len(kept) < TOKENS_A_GRID else np.sort(random.choice(kept, TOKENS_A_GRID, replace=False))
        symbols = costs.symbols[kept]
        plain = tables.classes(grid.ravel()[kept], cost_model.steps[kept] + step)
        values = neighbour_values(known, kept)
        values[cost_model.first[kept]] = 0
        parts.append(
            (
                neighbour_codes(grid, kept, outside, whole=whole).astype(np.int16),
                values,
                bands_of(len(grid))[kept // grid.shape[1]].astype(np.int16),
                adapted_classes(tables, plain, symbols).astype(np.int8),
                np.clip(symbols, -MAX_MAGNITUDE - 1, MAX_MAGNITUDE + 1).astype(np.int8),
            )
        )
    return _Examples(*(torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)))


def _units(levels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """(V,): so that a usual difference is about 2^(UNIT_LEVEL / 4) units."""
    usual = np.rint(levels[:, :CONTEXT_DIMS].astype(np.float64).mean(axis=0)) - LEVEL_ZERO
    return np.clip(usual - UNIT_LEVEL, -100, 100).astype(np.int8)
