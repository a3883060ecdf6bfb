"""Learning the codebook by averaging: k-means start, exponential moving average, replacement of dead codes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from panolink.codec.entropy.tables import CLASSES
from panolink.training.laplace_prior import laplace_pmf


class CodebookAverager(nn.Module):
    """Running sums from which the codebook, the scales of the differences and the symbols' code lengths follow.

    Parameters
    ----------
    codes, dim : int
        Of the codebook.
    decay : float
        Of the moving averages, 0 … 1, a batch.

    Attributes
    ----------
    count : (codes,)
        Tokens per code.
    total : (codes, dim)
        Sum of their features.
    spread : (codes, dim)
        Weighted sum of |feature − code|, the maximum-likelihood scale of a Laplace distribution.
    weight : (codes,)
        Sum of those weights.
    symbol_pmf : (CLASSES, MAX_MAGNITUDE + 2)
        Mass of each magnitude, and of larger ones, by scale class.
    used : (codes,)
        Hits since the last replacement.
    """

    count: Tensor
    total: Tensor
    spread: Tensor
    weight: Tensor
    symbol_pmf: Tensor
    used: Tensor

    def __init__(self, codes: int, dim: int, *, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        for name in ("count", "weight", "used"):
            self.register_buffer(name, torch.zeros(codes))
        for name in ("total", "spread"):
            self.register_buffer(name, torch.zeros(codes, dim))
        self.register_buffer("symbol_pmf", torch.from_numpy(laplace_pmf()).float())

    @torch.no_grad()
    def update(self, tokens: Tensor, indices: Tensor, codebook: Tensor, weight: Tensor) -> None:
        """Fold a batch in and move ``codebook`` in place.

        Parameters
        ----------
        tokens : float32 (n, dim)
        indices : int64 (n,)
            Their codes.
        codebook : (codes, dim)
        weight : (n,)
            How much a token counts for the scales, which are to describe the tokens whose differences are sent.
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
        """Fold the symbols of a batch into ``symbol_pmf``; rare classes move slowly.

        A histogram of all, those that are not sent out of its range, needs no list of the sent ones, for whose length
        the host would wait.

        Parameters
        ----------
        classes, magnitudes : (n, dim)
        sent : bool (n,)
            Tokens that count.
        """
        cells = classes * self.symbol_pmf.shape[1] + magnitudes.clamp_max(self.symbol_pmf.shape[1] - 1).long()
        places = torch.where(sent[:, None], cells, -1).float() + 0.5
        count = self.symbol_pmf.numel()
        counts = torch.histc(places, bins=count, min=0, max=count).view_as(self.symbol_pmf)
        if dist.is_initialized():
            dist.all_reduce(counts)
        seen = counts.sum(dim=1, keepdim=True)
        share = counts / seen.clamp_min(1)
        self.symbol_pmf.lerp_(share, (1 - self.decay) * seen / (seen + 100))

    def code_lengths(self) -> Tensor:
        """Bits by class and magnitude, the sign's included, as ``Tables.code_lengths``; class 0 costs nothing."""
        bits = -torch.log2(self.symbol_pmf.clamp_min(2**-18) / self.symbol_pmf.sum(dim=1, keepdim=True))
        bits[:, 1:] += 1
        bits[:, -1] += 16
        bits[0] = 0
        return bits

    @torch.no_grad()
    def replace_dead(self, tokens: Tensor, codebook: Tensor, *, least_share: float = 0.02) -> int:
        """Move codes that are hardly used onto random tokens of the batch.

        Parameters
        ----------
        tokens : (n, dim)
        codebook : (codes, dim)
            Changed in place.
        least_share : float
            A code is replaced that was used less than this share of the mean.

        Returns
        -------
        int
            How many were replaced.
        """
        dead = (self.used < least_share * self.used.mean()).nonzero().flatten()[: len(tokens)]
        self.used.zero_()
        if len(dead) == 0:
            return 0
        chosen = tokens[torch.randperm(len(tokens), device=tokens.device)[: len(dead)]].clone()
        if dist.is_initialized():
            dist.broadcast(chosen, 0)
        fresh, weight = self.count.mean().clamp_min(1e-3), self.weight.mean().clamp_min(1e-3)
        usual = self.usual_scales()
        codebook[dead] = chosen
        self.count[dead] = fresh
        self.total[dead] = chosen * fresh
        self.weight[dead] = weight
        self.spread[dead] = usual * weight
        return len(dead)

    def usual_scales(self) -> Tensor:
        """Laplace scales of the differences over all codes, (dim,)."""
        return self.spread.sum(dim=0) / self.weight.sum().clamp_min(1e-3)

    def scales(self, indices: Tensor) -> Tensor:
        """Laplace scales of the differences, (…, dim) for indices (…); rare codes lean on the mean over all codes."""
        prior, common = 0.05, self.usual_scales()
        return ((self.spread + prior * common) / (self.weight[:, None] + prior))[indices]


def scale_classes(scales: Tensor) -> Tensor:
    """Classes of Laplace scales given in steps: int64, same shape, as ``Tables.classes`` finds them from levels."""
    return (torch.round(4 * torch.log2(scales.clamp_min(1e-6))).long() + 16).clamp(0, CLASSES - 1)


def as_tokens(features: Tensor) -> Tensor:
    """Features (batch, dim, rows, cols) as a list of tokens (n, dim), detached."""
    return features.detach().permute(0, 2, 3, 1).reshape(-1, features.shape[1])


@torch.no_grad()
def k_means(tokens: Tensor, codes: int, *, rounds: int = 10) -> Tensor:
    """Lloyd's algorithm from random tokens. Empty clusters restart on random tokens.

    Parameters
    ----------
    tokens : (n, dim)
    codes : int
        Clusters, at most n.
    rounds : int

    Returns
    -------
    Tensor
        Centres, (codes, dim).
    """
    centres = tokens[torch.randperm(len(tokens))[:codes]].clone()
    for _ in range(rounds):
        nearest = (centres.square().sum(dim=1) - 2 * tokens @ centres.T).argmin(dim=1)
        count = torch.bincount(nearest, minlength=codes)
        total = torch.zeros_like(centres).index_add_(0, nearest, tokens)
        centres = total / count.clamp_min(1)[:, None]
        empty = (count == 0).nonzero().flatten()
        centres[empty] = tokens[torch.randint(len(tokens), (len(empty),))]
    return centres
