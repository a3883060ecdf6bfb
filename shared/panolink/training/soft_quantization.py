"""Quantisation that gradients pass through: what the codec does to features, in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from panolink.codec.concealment import conceal
from panolink.codec.entropy.tables import MAX_MAGNITUDE
from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.decoder import guidance_planes
from panolink.codec.quantization.activation_map import activation_map
from panolink.codec.quantization.vector_quantizer import look_up, nearest_code
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.training.codebook_ema import CodebookAverager, scale_classes
from panolink.training.context_rate import ContextRate
from panolink.training.laplace_prior import DEAD_ZONE


def smooth_bits(value: Tensor, classes: Tensor, lengths: Tensor) -> Tensor:
    """Code lengths made continuous in the value: averaged over uniform noise of ± 1/2; same shape as ``value``.

    ``lengths`` (CLASSES, magnitudes) as in ``Tables.code_lengths``. A magnitude is rounded up beyond DEAD_ZONE, so that
    the mean over the noise is linear between k and k + 1 shifted by DEAD_ZONE − 1/2.
    """
    beyond = (value.abs() - (DEAD_ZONE - 0.5)).clamp(0, MAX_MAGNITUDE - 1e-3)
    below = beyond.detach().long()
    offset = classes * lengths.shape[1] + below
    flat = lengths.flatten()
    lower, upper = flat[offset], flat[offset + 1]
    return lower + (upper - lower) * (beyond - below)


def choose_training_symbols(
    value: Tensor, classes: Tensor, lengths: Tensor, signs: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """The symbols that cost least in squared error + RD_LAMBDA · bits, and their bits; shape of ``value`` (in steps).

    ``classes``: int64 class of scale of each value; ``lengths`` (CLASSES, MAX_MAGNITUDE + 2): bits by magnitude, the
    last of an escape; ``signs``: what the value's sign takes beyond one bit. Candidates are the nearest integer, the
    one below it, and zero; class 0 is zero. The codec's own choice (`panolink.codec.rate_control.rdoq`) follows the
    same rule with classes that it learns on the way.
    """
    magnitude = value.abs()
    nearest = torch.floor(magnitude + 0.5).clamp_max((1 << 15) - 1)
    offset = classes * lengths.shape[1]
    flat = lengths.flatten()
    best = torch.zeros_like(value)
    best_bits = flat[offset]
    best_cost = magnitude.square() + RD_LAMBDA * best_bits
    for candidate in (nearest - 1, nearest):
        candidate = candidate.clamp_min(0)
        bits = flat[offset + candidate.clamp_max(MAX_MAGNITUDE + 1).long()] + torch.where(candidate > 0, signs, 0.0)
        cost = (magnitude - candidate).square() + RD_LAMBDA * bits
        better = (cost < best_cost) & (classes > 0)
        best = torch.where(better, candidate, best)
        best_bits = torch.where(better, bits, best_bits)
        best_cost = torch.where(better, cost, best_cost)
    return best * value.sign(), best_bits


@dataclass
class SoftCosts:
    """What a batch's differences become at their steps: (batch, dim, rows, cols) where nothing else is said."""

    symbols: Tensor
    classes: Tensor
    """int64, of scale"""
    smooth_bits: Tensor
    """(batch, rows, cols), with gradient"""
    cost: Tensor
    """(batch, rows, cols), bits of the symbols"""
    gain: Tensor
    """(batch, rows, cols), by how many squared steps they lower the error"""

    @property
    def rd_slope(self) -> Tensor:
        """(batch, rows, cols): squared steps per bit."""
        return self.gain / self.cost.clamp_min(1e-3)


def soft_costs(
    value: Tensor, plain: Tensor, lengths: Tensor, expected: tuple[Tensor, Tensor] | None = None
) -> SoftCosts:
    """Choose the symbols of differences, and tell what they cost.

    Parameters
    ----------
    value : (batch, dim, rows, cols)
        In steps.
    plain : int64, same shape
        Class of the scale of each value by its code alone.
    lengths : (CLASSES, MAX_MAGNITUDE + 2)
        As of `CodebookAverager.code_lengths`.
    expected : pair of Tensor, optional
        As of `ContextRate`. Bits are linear in its shifts, so that it learns from them.
    """
    if expected is None:
        classes, signs = plain, 0.0
        bits = smooth_bits(value, classes, lengths)
    else:
        shifts, log_odds = expected
        # A difference whose code has class 0 stays there: it is never sent.
        shifted = torch.where(plain > 0, (plain + shifts).clamp(1, len(lengths) - 1.001), 0.0)
        below = shifted.detach().long()
        more = smooth_bits(value, (below + 1).clamp_max(len(lengths) - 1), lengths)
        bits = smooth_bits(value, below, lengths)
        bits = bits + (more - bits) * (shifted - below)
        signs = F.softplus(-log_odds * value.detach().sign()) / math.log(2) - 1
        bits = bits + signs * (value.abs() - (DEAD_ZONE - 0.5)).clamp(0, 1) * (plain > 0)
        classes, signs = shifted.detach().round().long(), signs.detach()
    with torch.no_grad():
        symbols, symbol_bits = choose_training_symbols(value, classes, lengths, signs)
        gain = (symbols * (2 * value - symbols)).sum(dim=1)
    return SoftCosts(symbols, classes, bits.sum(dim=1), symbol_bits.sum(dim=1), gain)


def lost_tokens(shape: torch.Size, share: float, *, device: torch.device) -> Tensor:
    """Draw which tokens are lost: in half of the images every n-th row, as a channel loses one of n index slices, else
    single ones.

    Parameters
    ----------
    shape : (batch, rows, cols)
    share : float
        That is lost in the mean, 0 … 1; of rows the nearest 1/n.
    device : torch.device

    Returns
    -------
    bool (batch, rows, cols)
    """
    if not share:
        return torch.zeros(shape, dtype=torch.bool, device=device)
    slices = round(1 / share)
    first = torch.randint(slices, (shape[0], 1, 1), device=device)
    rows = (torch.arange(shape[1], device=device)[:, None] + first) % slices == 0
    single = torch.rand(shape, device=device) < share
    by_row = torch.rand(shape[0], 1, 1, device=device) < 0.5
    return torch.where(by_row, rows, single)


@dataclass
class CodedBatch:
    """A batch as the link would carry it: ``received`` and ``codes`` (batch, dim, rows, cols), the rest without dim."""

    received: Tensor
    """what the decoder gets; its gradient goes straight through to the encoder's features"""
    guidance: Tensor
    indices: Tensor
    bits: Tensor
    """of each token's enhancement, with gradient; zero where the token is not kept"""
    kept: Tensor
    pays: Tensor
    """which tokens lower D + λ·R at their step"""
    codes: Tensor
    """codebook vectors (batch, dim, rows, cols)"""


def code_batch(
    model: Autoencoder,
    averager: CodebookAverager,
    features: Tensor,
    latitude: Tensor,
    *,
    step: Tensor,
    share: Tensor,
    lost_share: float = 0.0,
    wrap: bool = False,
    ranking: str = "rate",
    learn: bool = True,
    context: ContextRate | None = None,
) -> CodedBatch:
    """Quantise features as the codec does, differentiably.

    Parameters
    ----------
    model : Autoencoder
    averager : CodebookAverager
        Whose scales and code lengths are those of the batch.
    features : (batch, dim, rows, cols)
    latitude : (batch, rows)
        Of token rows, in radians.
    step : int (batch,)
        Quarter octaves.
    share : (batch,)
        Of the tokens that are kept, 0 … 1; or negative: keep what pays at the rate–distortion weight times −share.
    lost_share : float
        Of the tokens that are lost and concealed, 0 … 1.
    wrap : bool
        Whether the batch is whole panoramas, whose columns meet.
    ranking : str
        As of the model's profile.
    learn : bool
        Count the symbols for the averager's distributions while the model is in training.
    context : ContextRate, optional
        What lets neighbours tell of a token's scales and signs, as in whole grids: the codes all around, and the
        differences that are kept of the first half of a checkerboard. None: the code alone tells.
    """
    codebook = model.codebook
    detached = features.detach()
    indices = nearest_code(detached, codebook)
    codes = look_up(indices, codebook)
    row_steps = torch.round(-2 * torch.log2(torch.cos(latitude.double()).clamp_min(2.0**-4))).long()  # `steps_at`
    token_step = (step[:, None] + row_steps)[:, :, None].expand_as(indices)
    width = torch.exp2(token_step.float() / 4)[:, None]

    value = (features - codes) / width
    lengths = averager.code_lengths()
    lost = lost_tokens(indices.shape, lost_share, device=indices.device)

    def kept_of(costs: SoftCosts) -> Tensor:
        if ranking == "paper":
            order = activation_map(detached, codes)
        else:
            order = costs.gain * width[:, 0].square() * torch.cos(latitude)[:, :, None]
        count = order[0].numel()
        rank = order.flatten(1).argsort(dim=1, descending=True).argsort(dim=1).view_as(order)
        by_share = rank < (share.clamp_min(0) * count)[:, None, None]
        by_slope = costs.rd_slope > (RD_LAMBDA * -share)[:, None, None]
        return torch.where((share < 0)[:, None, None], by_slope, by_share) & ~lost

    with torch.no_grad():
        scales = averager.scales(indices).permute(0, 3, 1, 2)
        plain = scale_classes(scales / width)
    expected = None
    if context is not None:
        with torch.no_grad():
            nothing = torch.zeros_like(codes)
            first = soft_costs(value.detach(), plain, lengths, context(indices, latitude, nothing, wrap=wrap))
            usual = 2 * averager.usual_scales()[None, :, None, None]
            known = torch.where(kept_of(first)[:, None] & _first_half(indices), first.symbols * width / usual, nothing)
        expected = context(indices, latitude, known, wrap=wrap)
    costs = soft_costs(value, plain, lengths, expected)
    pays = costs.rd_slope > RD_LAMBDA
    with torch.no_grad():
        if learn and model.training:  # validation, which one process does alone, only looks
            rows, magnitudes = (x.permute(0, 2, 3, 1).flatten(0, 2) for x in (costs.classes, costs.symbols.abs()))
            averager.count_symbols(rows, magnitudes, pays.flatten())
        kept = kept_of(costs)
        hard = codes + torch.where(kept[:, None], costs.symbols * width, torch.zeros_like(codes))
        if lost_share:  # asking whether any is lost would have the host wait for the device
            hard = conceal(hard, lost, wrap=wrap)
    received = features + (hard - features).detach()
    return CodedBatch(
        received=received,
        guidance=guidance_planes(kept, token_step, lost),
        indices=indices,
        bits=costs.smooth_bits * kept,
        kept=kept,
        pays=pays,
        codes=codes,
    )


def _first_half(indices: Tensor) -> Tensor:
    """bool (1, 1, rows, cols): `panolink.codec.entropy.feature_context.first_half`, made where the batch is: copying it
    there would have the host wait for the device."""
    rows, cols = (torch.arange(side, device=indices.device) for side in indices.shape[1:])
    return ((rows[:, None] + cols) % 2 == 0)[None, None]
