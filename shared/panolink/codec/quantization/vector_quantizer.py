"""Vector quantisation, formula (2): the nearest code of each token, and its inverse."""

from __future__ import annotations

import torch
from torch import Tensor

from panolink.codec.shapes import Codebook, Features, Indices
from panolink.codec.tokens import Tokens, steps_of_rows


def nearest_code(features: Features, codebook: Codebook) -> Indices:
    """Index of each token's nearest code, s_i = argmin_k ‖F_i − z_k‖² of formula (2).

    Parameters
    ----------
    features : (batch, dim, rows, cols)
    codebook : (K, dim)

    Returns
    -------
    int64 (batch, rows, cols)
    """
    tokens = features.permute(0, 2, 3, 1).float()
    distance = codebook.square().sum(dim=1) - 2 * tokens @ codebook.T
    return distance.argmin(dim=-1)


def look_up(indices: Indices, codebook: Codebook) -> Features:
    """Codebook vectors Q_i = z_{s_i} of formula (2): the de-quantisation of a token that is not kept.

    Parameters
    ----------
    indices : (batch, rows, cols)
    codebook : (K, dim)

    Returns
    -------
    (batch, dim, rows, cols)
    """
    return codebook[indices].permute(0, 3, 1, 2)


def dequantize(tokens: Tokens, codebook: Codebook) -> Features:
    """Features as the receiver knows them, the inverse of formula (7): codes, and on top of them what was sent.

    Parameters
    ----------
    tokens : Tokens
    codebook : (K, dim)

    Returns
    -------
    (1, dim, rows, cols)
        On the codebook's device.
    """
    codes = look_up(torch.from_numpy(tokens.indices)[None].to(codebook.device), codebook)
    kept = torch.from_numpy(tokens.kept)[None]
    if tokens.differences is None:
        scale = torch.exp2(token_steps(tokens)[kept].float() / 4)[:, None]
        differences = torch.from_numpy(tokens.symbols) * scale
    else:
        differences = torch.from_numpy(tokens.differences)
    features = codes.permute(0, 2, 3, 1).clone()
    features[kept.to(features.device)] += differences.to(features.device)
    return features.permute(0, 3, 1, 2)


def token_steps(tokens: Tokens) -> Tensor:
    """Quantisation step of each token, quarter octaves, int64 (1, rows, cols)."""
    rows, cols = tokens.indices.shape
    return torch.from_numpy(tokens.step + steps_of_rows(rows))[None, :, None].expand(1, rows, cols)
