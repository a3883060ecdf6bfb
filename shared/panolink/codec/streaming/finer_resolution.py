"""When a stream that was begun at reduced sides has to go whole, to get any sharper.

Updates refine what the receiver holds, at the resolution that it has: pictures that were begun with few bits come to
rest at a reduced one.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from panolink.codec.networks.blocks import pixel_error
from panolink.codec.quantization.vector_quantizer import dequantize
from panolink.codec.resolution import WHOLE, enlarge, reduce
from panolink.codec.tokens import Tokens, steps_of_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from panolink.codec.codec import Codec

UNUSED = 0.5
"""share of the bits that an update may take which it leaves at least, before a whole picture is tried"""

PATIENCE = 30
"""pictures from one try to the next, as long as the bits do not grow by `GROWTH`: a try costs a coding"""

GROWTH = 1.5

ROWS_AT_ONCE = 64
"""rows enlarged at a time, which bounds memory"""

TOLERANCE = 1.1
"""squared error that a whole picture may have over that of what is held: from there on updates sharpen it further"""


class ResolutionWatch:
    """Remembers when a whole picture was last tried."""

    def __init__(self) -> None:
        self._tried: tuple[int, float, Fraction] | None = None

    def due(self, number: int, reduction: Fraction, used: float, allowed: float) -> bool:
        """Whether a whole picture is to be tried instead of an update; notes that it is.

        Parameters
        ----------
        number : int
            Of the picture in its stream.
        reduction : Fraction
            Of what the receiver holds.
        used, allowed : float
            Bits per pixel that the update takes, and may take.
        """
        if reduction == WHOLE or used > UNUSED * allowed:
            return False
        if self._tried is not None:
            before, at, held = self._tried
            if held == reduction and 0 <= number - before < PATIENCE and allowed < GROWTH * at:
                return False
        self._tried = number, allowed, reduction
        return True


def squared_error(codec: Codec, image: NDArray[np.uint8], tokens: Tokens, features: Tensor) -> float:
    """Estimate of the squared error per value of what tokens say of a panorama, without a decoder, weighted by area.

    The error of the resolution, by Lanczos there and back, and that of the features, whose transform is nearly
    orthonormal. Errors of the networks, which are much the same at all resolutions, are not in it.

    Parameters
    ----------
    codec : Codec
    image : uint8 (H, W, 3)
    tokens : Tokens
    features : Tensor
        Of the panorama at the tokens' resolution, (1, dim, rows, cols).

    Returns
    -------
    float
        In squared pixel units of 255.
    """
    rows, cols = tokens.kept.shape
    weight = np.exp2(-steps_of_tokens(rows, cols, tokens.focus) / 2)
    left = (features - dequantize(tokens, codec.network.codebook)).square().sum(dim=1)[0].cpu().numpy()
    of_features = float((weight * left).sum() / weight.sum()) * pixel_error(codec.model.profile.factor)
    return of_features + resampling_error(image, tokens.reduction)


def resampling_error(image: NDArray[np.uint8], reduction: Fraction) -> float:
    """Squared error per value of a panorama that is reduced and enlarged again, weighted by area.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    reduction : Fraction
    """
    if reduction == WHOLE:
        return 0.0
    height, width, _ = image.shape
    small = torch.from_numpy(reduce(image, reduction)).permute(2, 0, 1)[None]
    by_row = np.empty(height)
    for start in range(0, height, ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, height))
        back = enlarge(small, (height, width), rows=rows)[0].permute(1, 2, 0).numpy()
        by_row[rows] = np.square(back - image[rows]).mean(axis=(1, 2))
    latitude = np.cos(np.pi * (0.5 - (np.arange(height) + 0.5) / height))
    return float((latitude * by_row).sum() / latitude.sum())
