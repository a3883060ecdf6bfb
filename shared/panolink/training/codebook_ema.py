"""Learning the codebook by averaging: k-means start, exponential moving average, replacement of dead codes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from panolink.codec.entropy.tables import CLASSES
from panolink.training.laplace_prior import laplace_pmf


class CodebookAverager(nn.Module):
    """Running sums from which the codebook and the scales of the differences follow.

    ``count`` (codes,): tokens per code; ``total`` (codes, dim): sum of their features; ``spread`` (codes, dim):
    weighted sum of |feature − code|, the maximum-likelihood scale of a Laplace law; ``weight`` (codes,): of those
    weights; ``used`` (codes,): hits since the last replacement.
    """

    count: Tensor
    total: Tensor
    spread: Tensor
    weight: Tensor
    law: Tensor
    used: Tensor

    def __init__(self, codes: int, dim: int, *, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        for name in ("count", "weight", "used"):
            self.register_buffer(name, torch.zeros(codes))
        for name in ("total", "spread"):
            self.register_buffer(name, torch.zeros(codes, dim))
        self.register_buffer("law", torch.from_numpy(laplace_pmf()).float())

    @torch.no_grad()
    def update(self, tokens: Tensor, indices: Tensor, codebook: Tensor, weight: Tensor) -> None:
        """Fold a batch in and move ``codebook`` in place.

        tokens (n, dim) float32, indices (n,) int64, weight (n,): how much a token counts for the scales, which are to
        describe the tokens whose differences are sent.
        """
        codes, dim = codebook.shape
        batch = tokens.new_zeros(codes, 2 * dim + 2)
        difference = (tokens - codebook[indices]).abs() * weight[:, None]
        row = torch.cat([tokens, difference, weight[:, None], torch.ones_like(weight)[:, None]], dim=1)
        batch.index_add_(0, indices, row)
        if dist.is_initialized():
            dist.all_reduce(batch)
        self.used += batch[:, -1]
        self.total.lerp_(batch[:, :dim], 1 - self.decay)
        self.spread.lerp_(batch[:, dim : 2 * dim], 1 - self.decay)
        self.weight.lerp_(batch[:, -2], 1 - self.decay)
        self.count.lerp_(batch[:, -1], 1 - self.decay)
        mean = self.total / self.count.clamp_min(1e-3)[:, None]
        codebook.copy_(torch.where(self.count[:, None] > 1e-3, mean, codebook))

    @torch.no_grad()
    def count_symbols(self, classes: Tensor, magnitudes: Tensor, sent: Tensor) -> None:
        """Fold the symbols of tokens that are ``sent`` (n,) bool into ``law``; rare classes move slowly.

        ``classes`` and ``magnitudes`` (n, dim). A histogram of all, the others out of its range, needs no list of the
        sent ones, for whose length the host would wait.
        """
        cells = classes * self.law.shape[1] + magnitudes.clamp_max(self.law.shape[1] - 1).long()
        places = torch.where(sent[:, None], cells, -1).float() + 0.5
        count = self.law.numel()
        counts = torch.histc(places, bins=count, min=0, max=count).view_as(self.law)
        if dist.is_initialized():
            dist.all_reduce(counts)
        seen = counts.sum(dim=1, keepdim=True)
        share = counts / seen.clamp_min(1)
        self.law.lerp_(share, (1 - self.decay) * seen / (seen + 100))

    def code_lengths(self) -> Tensor:
        """Bits by class and magnitude, the sign's included, as ``Tables.code_lengths``; class 0 costs nothing."""
        bits = -torch.log2(self.law.clamp_min(2**-18) / self.law.sum(dim=1, keepdim=True))
        bits[:, 1:-1] += 1
        bits[:, -1] += 16
        bits[0] = 0
        return bits

    @torch.no_grad()
    def replace_dead(self, tokens: Tensor, codebook: Tensor, *, least_share: float = 0.02) -> int:
        """Move codes used less than ``least_share`` of the mean onto random tokens of the batch; returns how many."""
        dead = (self.used < least_share * self.used.mean()).nonzero().flatten()[: len(tokens)]
        self.used.zero_()
        if len(dead) == 0:
            return 0
        chosen = tokens[torch.randperm(len(tokens), device=tokens.device)[: len(dead)]].clone()
        if dist.is_initialized():
            dist.broadcast(chosen, 0)
        fresh = self.count.mean().clamp_min(1e-3)
        codebook[dead] = chosen
        self.count[dead] = fresh
        self.total[dead] = chosen * fresh
        self.weight[dead] = fresh
        self.spread[dead] = self.spread.sum(dim=0) / self.weight.sum() * fresh
        return len(dead)

    def scales(self, indices: Tensor) -> Tensor:
        """Laplace scales of the differences, (…, dim) for indices (…); rare codes lean on the mean over all codes."""
        prior = 0.05
        common = self.spread.sum(dim=0) / self.weight.sum().clamp_min(1e-3)
        return ((self.spread + prior * common) / (self.weight[:, None] + prior))[indices]


def scale_classes(scales: Tensor) -> Tensor:
    """Classes of Laplace scales given in steps: int64, same shape, as ``Tables.classes`` finds them from levels."""
    return (torch.round(4 * torch.log2(scales.clamp_min(1e-6))).long() + 16).clamp(0, CLASSES - 1)


def as_tokens(features: Tensor) -> Tensor:
    """Features (batch, dim, rows, cols) as a list of tokens (n, dim), detached."""
    return features.detach().permute(0, 2, 3, 1).reshape(-1, features.shape[1])


@torch.no_grad()
def k_means(tokens: Tensor, codes: int, *, rounds: int = 10) -> Tensor:
    """Lloyd's algorithm from random tokens: (n, dim) → (codes, dim). Empty clusters restart on random tokens."""
    centres = tokens[torch.randperm(len(tokens))[:codes]].clone()
    for _ in range(rounds):
        nearest = (centres.square().sum(dim=1) - 2 * tokens @ centres.T).argmin(dim=1)
        count = torch.bincount(nearest, minlength=codes)
        total = torch.zeros_like(centres).index_add_(0, nearest, tokens)
        centres = total / count.clamp_min(1)[:, None]
        empty = (count == 0).nonzero().flatten()
        centres[empty] = tokens[torch.randint(len(tokens), (len(empty),))]
    return centres


@torch.no_grad()
def principal_components(crops: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components of 16×16 blocks of crops (n, 3, H, W) in [0, 255].

    Returns basis (dim, 768), mean (768,) and deviation (dim,).
    """
    blocks = nn.functional.unfold(crops - 127.5, 16, stride=16).transpose(1, 2).reshape(-1, 768)
    variance, vectors = torch.linalg.eigh(torch.cov(blocks.T).double())
    return (
        vectors.flip(1)[:, :dim].T.float().contiguous(),
        blocks.mean(dim=0),
        variance.flip(0)[:dim].sqrt().float(),
    )
