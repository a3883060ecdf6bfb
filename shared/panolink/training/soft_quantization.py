"""Quantisation that gradients pass through: what the codec does to features, in training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from panolink.codec.concealment import conceal
from panolink.codec.entropy.tables import MAX_MAGNITUDE
from panolink.codec.networks.autoencoder import Autoencoder
from panolink.codec.networks.decoder import guidance_planes
from panolink.codec.quantization.activation_map import activation_map
from panolink.codec.quantization.vector_quantizer import look_up, nearest_code
from panolink.codec.rate_control.controller import RD_LAMBDA
from panolink.training.codebook_ema import CodebookAverager, scale_classes
from panolink.training.laplace_prior import DEAD_ZONE

BITS_PRICE = 0.134
"""λ/Δ² of a uniformly quantised coefficient, in squared steps per bit: the value of H.264 and HEVC
(λ = 0.85·2^((QP−12)/3), Δ = 2^((QP−4)/6))"""


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


def choose_symbols(value: Tensor, classes: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The symbols that cost least in squared error + RD_LAMBDA · bits, and their bits; shape of ``value`` (in steps).

    ``classes``: int64 class of scale of each value; ``lengths`` (CLASSES, MAX_MAGNITUDE + 2): bits by magnitude, the
    last of an escape. Candidates are the nearest integer, the one below it, and zero; class 0 is zero. The codec's
    own choice (`panolink.codec.entropy.scale_adaptation`) follows the same rule with classes that it learns on the way.
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
        bits = flat[offset + candidate.clamp_max(MAX_MAGNITUDE + 1).long()]
        cost = (magnitude - candidate).square() + RD_LAMBDA * bits
        better = (cost < best_cost) & (classes > 0)
        best = torch.where(better, candidate, best)
        best_bits = torch.where(better, bits, best_bits)
        best_cost = torch.where(better, cost, best_cost)
    return best * value.sign(), best_bits


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
class Coded:
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
) -> Coded:
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
    with torch.no_grad():
        classes = scale_classes(averager.scales(indices).permute(0, 3, 1, 2) / width)
        symbols, costs = choose_symbols(value, classes, lengths)
        cost = costs.sum(dim=1)
        gain = (symbols * (2 * value - symbols)).sum(dim=1)
        rd_slope = gain / cost.clamp_min(1e-3)
        if learn and model.training:  # validation, which one process does alone, only looks
            rows, magnitudes = (x.permute(0, 2, 3, 1).flatten(0, 2) for x in (classes, symbols.abs()))
            averager.count_symbols(rows, magnitudes, (rd_slope > RD_LAMBDA).flatten())
    bits = smooth_bits(value, classes, lengths).sum(dim=1)
    with torch.no_grad():
        if ranking == "paper":
            order = activation_map(detached, codes)
        else:
            order = gain * width[:, 0].square() * torch.cos(latitude)[:, :, None]
        count = order[0].numel()
        rank = order.flatten(1).argsort(dim=1, descending=True).argsort(dim=1).view_as(order)
        by_share = rank < (share.clamp_min(0) * count)[:, None, None]
        by_slope = rd_slope > (RD_LAMBDA * -share)[:, None, None]
        kept = torch.where((share < 0)[:, None, None], by_slope, by_share)
        lost = lost_tokens(order.shape, lost_share, device=order.device)
        kept = kept & ~lost
        hard = codes + torch.where(kept[:, None], symbols * width, torch.zeros_like(codes))
        if lost_share:  # asking whether any is lost would have the host wait for the device
            hard = conceal(hard, lost, wrap=wrap)
    received = features + (hard - features).detach()
    return Coded(
        received=received,
        guidance=guidance_planes(kept, token_step, lost),
        indices=indices,
        bits=bits * kept,
        kept=kept,
        pays=rd_slope > RD_LAMBDA,
        codes=codes,
    )
