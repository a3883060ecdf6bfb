"""Training the network that predicts a token's index from its neighbours (`panolink.codec.entropy.index_context`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from panolink.codec.entropy.index_context import BANDS, PASSES, SLOTS, IndexContextModel, bands_of, schedule, slots_of
from panolink.codec.entropy.integer_network import ACTIVATION_BITS
from panolink.training.quantization_aware import (
    SUM_BITS,
    TrainedIntegers,
    codes_as_vectors,
    learning_rate,
    rounded,
    stored,
)

EMBEDDING, HIDDEN = 24, 128
EPOCHS, BATCH, LEAST_STEPS = 3, 4096, 150
LEARNING_RATE = 4e-3

Examples = tuple[Tensor, Tensor, Tensor]
"""of one pass: neighbours (n, slots), bands (n,), indices (n,)"""


class _Contexts(nn.Module):
    """`IndexContextModel` in floating point."""

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Parameter(codes_as_vectors(codebook, EMBEDDING))
        self.bands = nn.Parameter(0.1 * torch.randn(len(PASSES), BANDS, HIDDEN))
        self.network = TrainedIntegers(SLOTS * EMBEDDING, HIDDEN, len(codebook), fan_in=4 * EMBEDDING)

    def forward(self, number: int, neighbours: Tensor, bands: Tensor) -> Tensor:
        """Logits (n, K) in octaves."""
        seen = F.embedding(neighbours, rounded(self.embedding, ACTIVATION_BITS)).flatten(1)
        offset = rounded(self.bands[number], SUM_BITS, 16)[bands]
        return self.network(seen, offset, slots_of(number, EMBEDDING))

    def to_integers(self) -> IndexContextModel:
        return IndexContextModel(
            embedding=stored(self.embedding, ACTIVATION_BITS, np.int8),
            bands=stored(self.bands, SUM_BITS, np.int16),
            network=self.network.to_integers(),
        )


def fit_index_context(codebook: Tensor, grids: Sequence[NDArray[np.int64]], *, seed: int = 0) -> IndexContextModel:
    """The network trained on grids of indices (rows, cols) of panoramas, as an integer network.

    Parameters
    ----------
    codebook : (K, dim)
    grids : sequence of int64 (rows, cols)
        Indices of each panorama.
    seed : int
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Contexts(codebook.cpu())
        examples = _examples(grids, len(codebook))
        sizes = torch.tensor([len(indices) for _, _, indices in examples], dtype=torch.float32)
        steps = max(LEAST_STEPS, round(EPOCHS * float(sizes.sum()) / BATCH))
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = learning_rate(step, steps, LEARNING_RATE)
            number = int(torch.multinomial(sizes, 1))
            neighbours, bands, indices = examples[number]
            chosen = torch.randint(len(indices), (min(BATCH, len(indices)),))
            logits = network(number, neighbours[chosen].long(), bands[chosen].long())
            loss = F.cross_entropy(logits * math.log(2), indices[chosen].long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.to_integers()


def _examples(grids: Sequence[NDArray[np.int64]], codes: int) -> list[Examples]:
    """Of every pass over every grid."""
    found: list[list[tuple[NDArray[np.int64], ...]]] = []
    for one in PASSES:  # no grid may be large enough for a pass
        found.append([(np.zeros((0, len(one.neighbours)), int), np.zeros(0, int), np.zeros(0, int))])
    for grid in grids:
        flat, bands = np.append(grid, codes), bands_of(len(grid))
        for whole in (True, False):
            for step in schedule(*grid.shape, whole=whole):
                found[step.number].append((flat[step.neighbours], bands[step.cells // grid.shape[1]], flat[step.cells]))
    examples = []
    for parts in found:
        neighbours, bands, indices = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True))
        examples.append((neighbours.short(), bands.short(), indices.short()))
    return examples
