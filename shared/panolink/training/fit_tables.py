"""Fitting the integer tables of a trained model on its training panoramas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from panolink.codec.entropy.feature_coding import entropy_parameters
from panolink.codec.entropy.scale_adaptation import ScaleAdaptation
from panolink.codec.entropy.tables import (
    ADAPTATION_CONTEXTS,
    CLASSES,
    GROUP_STARTS,
    LEVEL_ZERO,
    MAX_MAGNITUDE,
    UNIT,
    Tables,
    to_frequencies,
)
from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.execution import mixed_precision
from panolink.codec.quantization.vector_quantizer import look_up, nearest_code
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.codec.rate_control.rd_cost import TokenCostModel, TokenCosts
from panolink.codec.tokens import steps_of_tokens
from panolink.sphere.padding import set_wrap
from panolink.training.feature_context_network import FeatureContextNetwork
from panolink.training.fit_feature_context import fit_feature_context, neutral_feature_context
from panolink.training.fit_index_context import fit_index_context
from panolink.training.laplace_prior import laplace_pmf

STEPS = (2, 5, 8, 11, 14)
"""steps at which the symbols' frequencies are counted"""

ROUNDS = 2
"""of counting: the symbols chosen depend on what the tables make cheap"""

TURNS = 4
"""panoramas in a row that count symbols at the same steps: as many as come in different sizes"""

LARGEST_SHIFT, LEAST_SYMBOLS = 10, 2000


def fit_tables(
    network: Autoencoder,
    panoramas: Iterable[NDArray[np.uint8]],
    *,
    start: FeatureContextNetwork | None = None,
    counted: int | None = None,
) -> Tables:
    """Fit the entropy coder's tables for a trained network.

    Scales are those of tokens that pay for their bits; frequencies are counted at several steps; distributions of rare
    classes and contexts lean on a Laplace prior and on the marginal one.

    Parameters
    ----------
    network : Autoencoder
    panoramas : iterable of uint8 (H, W, 3)
        Their sides divide by the network's factor.
    start : FeatureContextNetwork, optional
        As of `fit_feature_context`.
    counted : int, optional
        Small networks are trained on all panoramas, the rest is counted on the first so many; None: on all.
    """
    all_grids, all_differences = _quantized(network, panoramas)
    grids, differences = all_grids[:counted], all_differences[:counted]
    codebook = network.codebook.detach().cpu()
    levels = _levels(len(codebook), grids, differences, None)
    tables = Tables(
        levels=levels,
        symbol_frequencies=to_frequencies(laplace_pmf()),
        code_frequencies=to_frequencies(_code_counts(len(codebook), grids)[None])[0],
        expected_magnitude=_expected_magnitude(laplace_pmf()),
        shifts=np.zeros((len(GROUP_STARTS), ADAPTATION_CONTEXTS), dtype=np.int8),
        index_context=fit_index_context(codebook, all_grids),
        feature_context=neutral_feature_context(codebook, levels),
    )
    pays = [_token_costs(tables, *pair, 8).pays(RD_LAMBDA) for pair in zip(grids, differences, strict=True)]
    tables = replace(tables, levels=_levels(len(codebook), grids, differences, pays))
    tables = _with_pmfs(tables, grids, differences)
    context = fit_feature_context(codebook, tables, all_grids, all_differences, start=start)
    tables = replace(tables, feature_context=context)
    return _with_pmfs(tables, grids, differences)


def _with_pmfs(tables: Tables, grids: list[NDArray[np.int64]], differences: list[NDArray[np.float16]]) -> Tables:
    """The tables with distributions of symbols and shifts of adaptation fitted."""
    for _ in range(ROUNDS):
        shifts, pmf = _fit_shifts(_count_symbols(tables, grids, differences))
        tables = replace(tables, symbol_frequencies=to_frequencies(pmf), shifts=shifts)
    return tables


@torch.no_grad()
def _quantized(
    network: Autoencoder, panoramas: Iterable[NDArray[np.uint8]]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float16]]]:
    """Of each panorama the indices (rows, cols), and the features less their codes (tokens, dim)."""
    set_wrap(network, True)
    network = network.eval().cpu()
    grids, differences = [], []
    for panorama in panoramas:
        pixels = torch.from_numpy(panorama.copy()).permute(2, 0, 1)[None].float()
        with mixed_precision("cpu"):
            features = network.encoder(pixels.contiguous(memory_format=torch.channels_last)).float()
        found = nearest_code(features, network.codebook)
        # Copies, because what stays of torch's aligned memory leaves holes between: seven times its size was seen.
        grids.append(found[0].numpy().copy())
        difference = (features - look_up(found, network.codebook))[0].permute(1, 2, 0)
        differences.append(difference.flatten(0, 1).half().numpy().copy())
    return grids, differences


def _count_symbols(
    tables: Tables, grids: list[NDArray[np.int64]], differences: list[NDArray[np.float16]]
) -> NDArray[np.int64]:
    """How often each magnitude is sent, (groups, ADAPTATION_CONTEXTS, CLASSES, MAX_MAGNITUDE + 2), by initial class."""
    counts = np.zeros((len(tables.shifts), ADAPTATION_CONTEXTS, CLASSES, MAX_MAGNITUDE + 2), dtype=np.int64)
    for number, (grid, difference) in enumerate(zip(grids, differences, strict=True)):
        for step in STEPS[number // TURNS % 2 :: 2]:
            costs = _token_costs(tables, grid, difference, step)
            kept = np.flatnonzero(costs.pays(RD_LAMBDA))
            steps = steps_of_tokens(*grid.shape).flat[kept] + step
            plain, _ = entropy_parameters(tables, grid, kept, steps, tables.feature_context(grid, kept, whole=True))
            magnitudes = np.abs(costs.symbols[kept])
            adaptation = ScaleAdaptation(tables, len(plain))
            for group, dims in enumerate(tables.groups):
                cells = (adaptation.contexts()[:, None] * CLASSES + plain[:, dims]) * counts.shape[3]
                cells += np.minimum(magnitudes[:, dims], MAX_MAGNITUDE + 1)
                counts[group] += np.bincount(cells.ravel(), minlength=counts[group].size).reshape(counts[group].shape)
                adaptation.update(plain[:, dims], magnitudes[:, dims])
    return counts


def _fit_shifts(counts: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Shifts that make the counted symbols cheapest, and frequencies (CLASSES, MAX_MAGNITUDE + 2) of shifted classes.

    One is fitted to the other in turn. Contexts seen too rarely to tell keep a shift of zero.
    """
    prior = laplace_pmf() * 50
    frequencies = prior + counts.sum(axis=(0, 1))
    choices = np.arange(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
    shifted = np.clip(np.arange(1, CLASSES) + choices[:, None], 1, CLASSES - 1)
    shifts = np.zeros(counts.shape[:2], dtype=np.int8)
    for _ in range(3):
        bits = -np.log2(frequencies / frequencies.sum(axis=1, keepdims=True))
        cost = np.einsum("gacm,scm->gas", counts[:, :, 1:], bits[shifted])
        known = counts.sum(axis=(2, 3)) >= LEAST_SYMBOLS
        shifts = np.where(known, choices[cost.argmin(axis=2)], 0).astype(np.int8)
        frequencies = prior.copy()
        frequencies[0] += counts[:, :, 0].sum(axis=(0, 1))
        for group, context in np.ndindex(*shifts.shape):
            classes = np.clip(np.arange(1, CLASSES) + int(shifts[group, context]), 1, CLASSES - 1)
            np.add.at(frequencies, classes, counts[group, context, 1:])
    return shifts, frequencies


def _expected_magnitude(pmf: NDArray[np.float64]) -> NDArray[np.int32]:
    """Mean magnitudes of each class's distribution, (CLASSES,) in 1/UNIT."""
    means = pmf @ np.arange(pmf.shape[1]) / pmf.sum(axis=1)
    means[0] = 0
    return np.rint(UNIT * means).astype(np.int32)


def _token_costs(tables: Tables, grid: NDArray[np.int64], difference: NDArray[np.float16], step: int) -> TokenCosts:
    """All tokens at a step, knowing the codes around them."""
    values = torch.from_numpy(difference).float()
    return TokenCostModel(tables, tables.code_lengths(), grid, values, whole=True).from_index_context(step, RD_LAMBDA)


def _levels(
    codes: int,
    grids: list[NDArray[np.int64]],
    differences: list[NDArray[np.float16]],
    keep: list[NDArray[np.bool_]] | None,
) -> NDArray[np.uint8]:
    """Quarter-octave levels of the mean |difference| per code and dimension; tokens not kept count a tenth."""
    dim = differences[0].shape[1]
    total, weight = np.zeros((codes, dim)), np.zeros(codes)
    for number, (grid, difference) in enumerate(zip(grids, differences, strict=True)):
        share = np.ones(grid.size) if keep is None else np.where(keep[number], 1.0, 0.1)
        np.add.at(total, grid.ravel(), np.abs(difference.astype(np.float64)) * share[:, None])
        np.add.at(weight, grid.ravel(), share)
    prior = 8.0
    scale = (total + prior * total.sum(axis=0) / weight.sum()) / (weight[:, None] + prior)
    return np.clip(np.rint(4 * np.log2(np.maximum(scale, 1e-6))) + LEVEL_ZERO, 0, 255).astype(np.uint8)


def _code_counts(codes: int, grids: list[NDArray[np.int64]]) -> NDArray[np.floating]:
    """(K,): how often each code occurs, never quite never."""
    return np.bincount(np.concatenate([grid.ravel() for grid in grids]), minlength=codes) + 0.5
