"""Fitting the integer tables of a trained model on its training panoramas."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from panolink.codec.autoencoder import Autoencoder, look_up, nearest_code
from panolink.codec.rate import PAYS, Quantizer
from panolink.codec.tables import LARGEST, LEVEL_ZERO, TOTAL, Tables, to_frequencies
from panolink.codec.tokens import steps_of_rows
from panolink.sphere.padding import set_wrap
from panolink.training.codebook import k_means
from panolink.training.laws import both_signs, laplace_law

STEPS = (2, 5, 8, 11, 14)
"""steps at which the symbols' frequencies are counted"""

CLUSTERS, CONTEXTS = 48, 96


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

    uniform = Tables(
        levels=_levels(network.profile.codes, grids, differences, None),
        symbol_frequencies=to_frequencies(both_signs(laplace_law())),
        clusters=np.zeros(network.profile.codes, dtype=np.uint8),
        pair_contexts=np.ones((1, 1), dtype=np.uint8),
        index_frequencies=to_frequencies(np.ones((2, network.profile.codes))),
    )
    quantizer = Quantizer(network.codebook, uniform)
    pays = [_pays(quantizer, grid, difference, 8)[1] for grid, difference in zip(grids, differences, strict=True)]
    levels = _levels(network.profile.codes, grids, differences, pays)
    scaled = Tables(**{**uniform.to_arrays(), "levels": levels})
    quantizer = Quantizer(network.codebook, scaled)
    counts = laplace_law() * 50
    for grid, difference in zip(grids, differences, strict=True):
        for step in STEPS:
            symbols, keep = _pays(quantizer, grid, difference, step)
            steps = np.repeat(steps_of_rows(len(grid)), grid.shape[1])[keep] + step
            cells = scaled.classes(grid.ravel()[keep], steps) * counts.shape[1]
            cells += np.minimum(np.abs(symbols[keep]), LARGEST + 1)
            counts += np.bincount(cells.ravel(), minlength=counts.size).reshape(counts.shape)
    clusters, pair_contexts, index_frequencies = _index_laws(network.codebook.cpu(), grids)
    return Tables(levels, to_frequencies(both_signs(counts)), clusters, pair_contexts, index_frequencies)


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
