"""Fitting the integer tables of a trained model on its training panoramas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from panolink.codec.autoencoder import Autoencoder, look_up, nearest_code
from panolink.codec.liveliness import Liveliness, group_slices
from panolink.codec.rate import PAYS, Quantizer
from panolink.codec.tables import (
    CLASSES,
    GROUP_STARTS,
    LARGEST,
    LEVEL_ZERO,
    LIVELINESS,
    TOTAL,
    UNIT,
    Tables,
    to_frequencies,
)
from panolink.codec.tokens import steps_of_rows
from panolink.sphere.padding import set_wrap
from panolink.training.codebook import k_means
from panolink.training.laws import both_signs, laplace_law

STEPS = (2, 5, 8, 11, 14)
"""steps at which the symbols' frequencies are counted"""

CLUSTERS, CONTEXTS = 48, 96

ROUNDS = 2
"""of counting: the symbols chosen depend on what the tables make cheap"""

LARGEST_SHIFT, LEAST_SYMBOLS = 10, 2000


@torch.no_grad()
def fit_tables(network: Autoencoder, panoramas: Iterable[NDArray[np.uint8]], *, device: str = "cpu") -> Tables:
    """Tables for a trained network; panoramas uint8 (H, W, 3) with sides that divide by the factor.

    Scales are those of tokens worth sending; frequencies are counted at several steps; laws of rare classes and
    contexts lean on a Laplace law and on the marginal law.
    """
    set_wrap(network, True)
    network = network.eval().to(device)
    grids, differences = [], []
    for panorama in panoramas:
        pixels = torch.from_numpy(panorama.copy()).permute(2, 0, 1)[None].float().to(device)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            features = network.encoder(pixels.contiguous(memory_format=torch.channels_last)).float()
        found = nearest_code(features, network.codebook)
        grids.append(found[0].cpu().numpy())
        difference = (features - look_up(found, network.codebook))[0].permute(1, 2, 0)
        differences.append(difference.flatten(0, 1).half().cpu().numpy())

    tables = Tables(
        levels=_levels(network.profile.codes, grids, differences, None),
        symbol_frequencies=to_frequencies(both_signs(laplace_law())),
        clusters=np.zeros(network.profile.codes, dtype=np.uint8),
        pair_contexts=np.ones((1, 1), dtype=np.uint8),
        index_frequencies=to_frequencies(np.ones((2, network.profile.codes))),
        promises=_promises(laplace_law()),
        shifts=np.zeros((len(GROUP_STARTS), LIVELINESS), dtype=np.int8),
    )
    quantizer = Quantizer(network.codebook, tables)
    pays = [_pays(quantizer, grid, difference, 8)[1] for grid, difference in zip(grids, differences, strict=True)]
    tables = replace(tables, levels=_levels(network.profile.codes, grids, differences, pays))
    for _ in range(ROUNDS):
        counts = _count_symbols(network.codebook, tables, grids, differences)
        shifts, law = _fit_shifts(counts)
        tables = replace(tables, symbol_frequencies=to_frequencies(both_signs(law)), shifts=shifts)
    clusters, pair_contexts, index_frequencies = _index_laws(network.codebook.cpu(), grids)
    return replace(tables, clusters=clusters, pair_contexts=pair_contexts, index_frequencies=index_frequencies)


def _count_symbols(
    codebook: torch.Tensor, tables: Tables, grids: list[NDArray[np.int64]], differences: list[NDArray[np.float16]]
) -> NDArray[np.int64]:
    """(groups, LIVELINESS, CLASSES, LARGEST + 2): how often each magnitude is sent, by its code's class."""
    counts = np.zeros((len(GROUP_STARTS), LIVELINESS, CLASSES, LARGEST + 2), dtype=np.int64)
    quantizer = Quantizer(codebook, tables)
    for grid, difference in zip(grids, differences, strict=True):
        for step in STEPS:
            symbols, keep = _pays(quantizer, grid, difference, step)
            steps = np.repeat(steps_of_rows(len(grid)), grid.shape[1])[keep] + step
            plain, magnitudes = tables.classes(grid.ravel()[keep], steps), np.abs(symbols[keep])
            liveliness = Liveliness(tables, len(plain))
            for group, dims in enumerate(group_slices(plain.shape[1])):
                cells = (liveliness.contexts()[:, None] * CLASSES + plain[:, dims]) * counts.shape[3]
                cells += np.minimum(magnitudes[:, dims], LARGEST + 1)
                counts[group] += np.bincount(cells.ravel(), minlength=counts[group].size).reshape(counts[group].shape)
                liveliness.learn(plain[:, dims], magnitudes[:, dims])
    return counts


def _fit_shifts(counts: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """The shifts that make the counted symbols cheapest, and the law (CLASSES, LARGEST + 2) of the shifted classes.

    One is fitted to the other in turn. Contexts seen too rarely to tell keep a shift of zero.
    """
    prior = laplace_law() * 50
    law = prior + counts.sum(axis=(0, 1))
    choices = np.arange(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
    shifted = np.clip(np.arange(1, CLASSES) + choices[:, None], 1, CLASSES - 1)
    shifts = np.zeros(counts.shape[:2], dtype=np.int8)
    for _ in range(3):
        bits = -np.log2(law / law.sum(axis=1, keepdims=True))
        cost = np.einsum("gacm,scm->gas", counts[:, :, 1:], bits[shifted])
        known = counts.sum(axis=(2, 3)) >= LEAST_SYMBOLS
        shifts = np.where(known, choices[cost.argmin(axis=2)], 0).astype(np.int8)
        law = prior.copy()
        law[0] += counts[:, :, 0].sum(axis=(0, 1))
        for group, context in np.ndindex(*shifts.shape):
            classes = np.clip(np.arange(1, CLASSES) + int(shifts[group, context]), 1, CLASSES - 1)
            np.add.at(law, classes, counts[group, context, 1:])
    return shifts, law


def _promises(law: NDArray[np.float64]) -> NDArray[np.int32]:
    """Mean magnitudes of each class's law, (CLASSES,) in 1/UNIT."""
    means = law @ np.arange(law.shape[1]) / law.sum(axis=1)
    means[0] = 0
    return np.rint(UNIT * means).astype(np.int32)


def _pays(
    quantizer: Quantizer, grid: NDArray[np.int64], difference: NDArray[np.float16], step: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Symbols of all tokens at a step, and which of them are worth their bits."""
    steps = np.repeat(steps_of_rows(len(grid)), grid.shape[1]) + step
    symbols, bits, gain = quantizer.price(grid.ravel(), torch.from_numpy(difference).float(), steps)
    return symbols, gain > PAYS * bits


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


def _index_laws(
    codebook: torch.Tensor, grids: list[NDArray[np.int64]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]:
    """Clusters of codes, contexts of neighbour pairs and the indices' frequencies in each context."""
    codes = len(codebook)
    marginal = np.bincount(np.concatenate([grid.ravel() for grid in grids]), minlength=codes) + 0.5
    centres = k_means(codebook, min(CLUSTERS, codes), rounds=20)
    clusters = torch.cdist(codebook, centres).argmin(dim=1).numpy().astype(np.uint8)
    between = (centres[:, None] + centres[None]).flatten(0, 1) / 2
    pair_centres = k_means(between, min(CONTEXTS - 1, len(between)), rounds=20)
    pairs = torch.cdist(between, pair_centres).argmin(dim=1).view(len(centres), -1).numpy().astype(np.uint8) + 1
    counts = np.zeros((1 + len(pair_centres), codes))
    for grid in grids:
        group = clusters[grid]
        for reach in (1, 2):
            contexts = pairs[np.roll(group, reach, axis=1), np.roll(group, -reach, axis=1)]
            counts += np.bincount((contexts.astype(np.int64) * codes + grid).ravel(), minlength=counts.size).reshape(
                counts.shape
            )
    law = marginal / marginal.sum()
    counts += 300 * law
    counts[0] = marginal
    return clusters, pairs.astype(np.uint8), to_frequencies(counts, TOTAL)
