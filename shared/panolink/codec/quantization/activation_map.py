"""The paper's activation map, formulas (4) to (6), in closed form; and the direct measure of quantisation error."""

from __future__ import annotations

from panolink.codec.shapes import Features, TokenMap

COMMITMENT = 0.25
"""β of formula (4)."""


def commitment_gradient(features: Features, codes: Features) -> Features:
    """∂L_VQ/∂F of formula (4) with Q held constant: 2β(F − Q)/N.

    Parameters
    ----------
    features, codes : (batch, dim, rows, cols)
        F and its quantised form Q.

    Returns
    -------
    (batch, dim, rows, cols)
        N counts the elements of one image: the loss is a mean over them.
    """
    return 2 * COMMITMENT * (features - codes) / features[0].numel()


def activation_map(features: Features, codes: Features) -> TokenMap:
    """Activation map M of formulas (5) and (6), without back-propagation.

    The channel weights w_c are the gradient's mean over space, formula (5); the map is the ReLU of the weighted sum of
    features, formula (6).

    Parameters
    ----------
    features, codes : (batch, dim, rows, cols)
        F and its quantised form Q.

    Returns
    -------
    (batch, rows, cols)
        Scaled to a maximum of 1 per image; all zero where nothing is positive.
    """
    weights = commitment_gradient(features, codes).mean(dim=(2, 3), keepdim=True)
    activation = (weights * features).sum(dim=1).relu()
    return activation / activation.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)


def error_map(features: Features, codes: Features) -> TokenMap:
    """Squared quantisation error ‖F_i − Q_i‖² of each token.

    Parameters
    ----------
    features, codes : (batch, dim, rows, cols)
        F and its quantised form Q.

    Returns
    -------
    (batch, rows, cols)
        Scaled to a maximum of 1 per image; all zero where nothing is lost.
    """
    error = (features - codes).square().sum(dim=1)
    return error / error.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)
