"""Concealment of lost tokens: features filled in from their neighbours on the sphere, as decoders are given them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from panolink.codec.networks.decoder import guidance_planes
from panolink.codec.quantization.vector_quantizer import dequantize, token_steps
from panolink.codec.shapes import Codebook, Features, Guidance, TokenMask
from panolink.codec.tokens import Tokens
from panolink.sphere.padding import pad_sphere

MOST_RINGS = 32
"""tokens inwards from what was received: each takes a pass over the whole grid, and whoever sends a header may leave
thousands of rows unsent"""


def conceal(features: Features, lost: TokenMask, *, wrap: bool = True) -> Features:
    """Replace lost tokens by the mean of the received ones around them, growing inwards until all are filled.

    Parameters
    ----------
    features : (batch, dim, rows, cols)
    lost : bool (batch, rows, cols)
    wrap : bool
        Whether columns wrap around the sphere, as those of a crop do not.

    Returns
    -------
    (batch, dim, rows, cols)
        Nearer neighbours weigh more, by a 3×3 binomial kernel. What is further than `MOST_RINGS` tokens from all that
        was received is the mean of that. Where a whole image is lost, its features are zero.
    """
    if not lost.any():
        return features
    kernel = features.new_tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]])
    dim = features.shape[1]
    known = (~lost).to(features.dtype)[:, None]
    features = features * known
    mean = features.sum(dim=(2, 3), keepdim=True) / known.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    for _ in range(MOST_RINGS):
        if bool((known > 0).all()) or not bool((known > 0).any()):
            break
        stacked = pad_sphere(torch.cat([features * known, known], dim=1), 1, wrap=wrap)
        summed = F.conv2d(stacked, kernel.expand(dim + 1, 1, 3, 3), groups=dim + 1)
        weight = summed[:, -1:]
        fresh = (known == 0) & (weight > 0)
        features = torch.where(fresh, summed[:, :-1] / weight.clamp_min(1e-6), features)
        known = torch.where(fresh, torch.ones_like(known), known)
    return torch.where(known > 0, features, mean)


def decoder_inputs(tokens: Tokens, codebook: Codebook) -> tuple[Features, Guidance]:
    """What a decoder makes a picture of: features, those of lost tokens concealed, and how far each can be trusted.

    Parameters
    ----------
    tokens : Tokens
    codebook : (K, dim)

    Returns
    -------
    features : (1, dim, rows, cols)
    guidance : (1, 3, rows, cols)
        Both on the codebook's device.
    """
    features, kept = dequantize(tokens, codebook), torch.from_numpy(tokens.kept)[None]
    concealed = torch.zeros_like(kept) if tokens.concealed is None else torch.from_numpy(tokens.concealed)[None]
    if tokens.concealed is not None:
        features = conceal(features, concealed.to(features.device))
    return features, guidance_planes(kept, token_steps(tokens), concealed).to(features.device)
