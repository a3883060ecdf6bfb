"""Vector quantisation, formula (2): the nearest code of each token, and its inverse."""

from __future__ import annotations

from panolink.codec.shapes import Codebook, Features, Indices


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
