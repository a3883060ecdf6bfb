"""What neighbours let expect of features, as the codec's contexts will: estimated bits depend on it in training too.

Without it an encoder pays for what the entropy coder would have had for nothing, and learns to take away what is alike
in neighbours. The feature context model that ships is fitted anew after training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from panolink.codec.entropy.feature_context import (
    CODE_NEIGHBOURS,
    DIFFERENCE_NEIGHBOURS,
    LOG_ODDS_STEPS,
    MAX_LOG_ODDS,
    MAX_SCALE_SHIFT,
)
from panolink.codec.entropy.index_context import BANDS
from panolink.codec.entropy.integer_network import ACTIVATION_BITS, MAX_INPUT
from panolink.training.feature_context_network import FeatureContextNetwork
from panolink.training.quantization_aware import codes_as_vectors


class ContextRate(nn.Module):
    """Scales and signs that a grid of tokens lets expect, learned beside the networks.

    Parameters
    ----------
    codebook : (K, dim)
    """

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.codes = len(codebook)
        self.network = FeatureContextNetwork(codebook.cpu())

    @torch.no_grad()
    def begin(self, codebook: Tensor) -> None:
        """Start from the codes as they are by now."""
        self.network.embedding.copy_(codes_as_vectors(codebook.cpu(), self.network.embedding.shape[1]))

    def forward(self, indices: Tensor, latitude: Tensor, known: Tensor, *, wrap: bool) -> tuple[Tensor, Tensor]:
        """Predict scales and signs.

        Parameters
        ----------
        indices : int64 (batch, rows, cols)
        latitude : (batch, rows)
            In radians.
        known : (batch, V or more, rows, cols)
            Differences that are decoded already, 0 elsewhere, in units of twice a usual one.
        wrap : bool
            Whether columns meet; else there is nothing beyond an edge.

        Returns
        -------
        shifts : (batch, dim, rows, cols)
            Quarter octaves by which scales are larger than the code's own.
        log_odds : (batch, dim, rows, cols)
            Of a positive sign.
        """
        codes = _neighbours(indices[:, None], CODE_NEIGHBOURS, fill=self.codes, wrap=wrap)
        most = MAX_INPUT / (1 << ACTIVATION_BITS)
        seen = known[:, : self.network.seen].clamp(-most, most)
        values = _neighbours(seen, DIFFERENCE_NEIGHBOURS, fill=0, wrap=wrap)
        bands = ((0.5 - latitude / math.pi) * BANDS).long().clamp(0, BANDS - 1)
        bands = bands[:, :, None].expand_as(indices)
        outputs = self.network(_tokens(codes), _tokens(values), bands.flatten())
        shifts, log_odds = (output.unflatten(0, indices.shape).permute(0, 3, 1, 2) for output in outputs)
        most_odds = MAX_LOG_ODDS / LOG_ODDS_STEPS
        return (4 * shifts).clamp(-MAX_SCALE_SHIFT, MAX_SCALE_SHIFT), log_odds.clamp(-most_odds, most_odds)


def _neighbours(grid: Tensor, offsets: tuple[tuple[int, int], ...], *, fill: int, wrap: bool) -> Tensor:
    """(batch, offsets · channels, rows, cols): what lies at offsets of each place of a grid (batch, channels, rows,
    cols)."""
    rows, cols = grid.shape[-2:]
    if wrap:
        padded = torch.cat([grid[..., -1:], grid, grid[..., :1]], dim=-1)
    else:
        padded = nn.functional.pad(grid, (1, 1), value=fill)
    padded = nn.functional.pad(padded, (0, 0, 1, 1), value=fill)
    parts = [padded[..., 1 + down : 1 + down + rows, 1 + right : 1 + right + cols] for down, right in offsets]
    return torch.cat(parts, dim=1)


def _tokens(grid: Tensor) -> Tensor:
    """(tokens, channels) of a grid (batch, channels, rows, cols)."""
    return grid.permute(0, 2, 3, 1).flatten(0, 2)
