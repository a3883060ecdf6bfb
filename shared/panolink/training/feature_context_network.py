"""The network that predicts scales and signs of a token's differences, in floating point: as it is trained."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from panolink.codec.entropy.feature_context import CODE_NEIGHBOURS, DIFFERENCE_NEIGHBOURS, FeatureContextModel
from panolink.codec.entropy.index_context import BANDS
from panolink.codec.entropy.integer_network import ACTIVATION_BITS
from panolink.training.quantization_aware import SUM_BITS, TrainedIntegers, codes_as_vectors, rounded, stored

EMBEDDING, HIDDEN, CONTEXT_DIMS = 24, 224, 48
"""sizes of the network, and of how many dimensions neighbours' differences are its inputs"""


class FeatureContextNetwork(nn.Module):
    """`FeatureContextModel` in floating point, rounded as it is stored.

    Parameters
    ----------
    codebook : (K, dim)
        Whose principal components embeddings begin with.
    """

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.dim = codebook.shape[1]
        self.seen = min(CONTEXT_DIMS, self.dim)
        self.embedding = nn.Parameter(codes_as_vectors(codebook, EMBEDDING))
        self.bands = nn.Parameter(0.1 * torch.randn(BANDS, HIDDEN))
        inputs = len(CODE_NEIGHBOURS) * EMBEDDING + len(DIFFERENCE_NEIGHBOURS) * self.seen
        self.network = TrainedIntegers(inputs, HIDDEN, 2 * self.dim, fan_in=inputs, spread=0.1)

    def forward(self, codes: Tensor, values: Tensor, bands: Tensor) -> tuple[Tensor, Tensor]:
        """Predict scales and signs of n tokens.

        Parameters
        ----------
        codes : int64 (n, len(CODE_NEIGHBOURS))
            K where there is none.
        values : (n, len(DIFFERENCE_NEIGHBOURS) · V)
            Differences of neighbours in the first V dimensions, as inputs.
        bands : int64 (n,)
            Of latitude.

        Returns
        -------
        shifts, log_odds : (n, dim)
            Octaves by which scales are larger than the code's own; of a positive sign.
        """
        seen = F.embedding(codes, rounded(self.embedding, ACTIVATION_BITS)).flatten(1)
        outputs = self.network(torch.cat([seen, values], dim=1), rounded(self.bands, SUM_BITS, 16)[bands])
        return outputs[:, : self.dim], outputs[:, self.dim :]

    def to_integers(self, units: NDArray[np.int8]) -> FeatureContextModel:
        """What is stored; ``units`` (V,) as of `FeatureContextModel`."""
        return FeatureContextModel(
            embedding=stored(self.embedding, ACTIVATION_BITS, np.int8),
            bands=stored(self.bands, SUM_BITS, np.int16),
            units=units,
            network=self.network.to_integers(),
        )
