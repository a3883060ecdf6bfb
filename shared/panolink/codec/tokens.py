"""A panorama as tokens: what the transmitter quantises and the receiver rebuilds from."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from panolink.codec.resolution import WHOLE
from panolink.codec.shapes import Codebook, Features, IndexGrid, MaskGrid, Symbols
from panolink.sphere.focus import Focus, focus_steps
from panolink.sphere.latitude import latitudes
from panolink.sphere.metadata import NOTHING_KNOWN, SphereMetadata

if TYPE_CHECKING:
    from torch import Tensor

    from panolink.codec.entropy.feature_context import EntropyParameters


RESIDUALS = 16384
"""tokens of which codes are held at a time: 12 MiB of 192 dimensions"""


@dataclass(frozen=True, eq=False)
class VectorQuantized:
    """A panorama's features F and their nearest codes: all that is known of it before a rate is.

    Attributes
    ----------
    size : (int, int)
        Height and width of the panorama, pixels.
    reduction : Fraction
        By how much its sides were reduced.
    features : (1, dim, rows, cols)
        F.
    codebook : (K, dim)
    indices : int64 (rows, cols)
        Of the nearest codes.
    slices : int
        Index slices that the rows are dealt to.
    index_bytes : tuple of int
        Length of each.
    focus : tuple of Focus
        Where somebody looks; tokens elsewhere are quantised more coarsely.
    """

    size: tuple[int, int]
    reduction: Fraction
    features: Features
    codebook: Codebook
    indices: NDArray[np.int64]
    slices: int
    index_bytes: tuple[int, ...]
    focus: tuple[Focus, ...] = ()

    @property
    def pixels(self) -> int:
        """Of the panorama, before it was reduced."""
        return self.size[0] * self.size[1]

    @property
    def codes(self) -> Features:
        """Q of formula (2), (1, dim, rows, cols)."""
        import torch  # a transmitter asks for sizes before it has torch

        return self.codebook[torch.from_numpy(self.indices).to(self.codebook.device)].permute(2, 0, 1)[None]

    @property
    def by_token(self) -> Tensor:
        """F, float32 (rows · cols, dim), where the features are: a view of them as the encoder gives them."""
        return _by_token(self.features)

    @property
    def residual(self) -> Tensor:
        """F − Q, float32 (rows · cols, dim), where the features are."""
        return residual_of(self.features, self.codebook, self.indices)


def residual_of(features: Features, codebook: Codebook, indices: IndexGrid) -> Tensor:
    """Features less codebook vectors.

    Parameters
    ----------
    features : (1, dim, rows, cols)
    codebook : (K, dim)
    indices : int64 (rows, cols)

    Returns
    -------
    float32 (rows · cols, dim), where the features are.
    """
    import torch

    places = torch.from_numpy(indices.ravel()).to(codebook.device)
    residual = _by_token(features).clone()
    for start in range(0, len(places), RESIDUALS):
        some = slice(start, start + RESIDUALS)
        residual[some] -= codebook[places[some]]
    return residual


def _by_token(features: Features) -> Tensor:
    return features[0].permute(1, 2, 0).flatten(0, 1).float()


class Predicted(NamedTuple):
    """What was predicted of the scales and signs of these symbols when they were chosen."""

    symbols: Symbols
    context: EntropyParameters


@dataclass(frozen=True)
class Tokens:
    """Indices of all rows × cols tokens, and the quantised differences of the kept ones, of dim dimensions each.

    This is formula (7) before the lookup: F̂ is the code plus its difference where a token is kept, the code elsewhere.
    """

    width: int
    """of the panorama, pixels"""
    height: int
    step: int
    """quantisation step at the equator, quarter octaves of the model's unit"""
    indices: IndexGrid
    """(rows, cols) in [0, K)"""
    kept: MaskGrid
    """(rows, cols): the feature itself is sent too"""
    symbols: Symbols
    """(number kept, dim): (feature − codebook vector) in steps, in row-major order of ``kept``"""
    activation: NDArray[np.float32] | None = None
    """(rows, cols) in [0, 1]: the map that ranked the tokens, formula (6) or another; known to the transmitter only"""
    differences: NDArray[np.float32] | None = None
    """(number kept, dim), feature units: set where features were sent as analog amplitudes, in place of ``symbols``"""
    reduction: Fraction = WHOLE
    """factor by which the sides were reduced before coding; ``width`` and ``height`` are those of the panorama"""
    slices: int = 1
    """number of index slices, among which the rows are interleaved; each decodes alone"""
    concealed: MaskGrid | None = None
    """(rows, cols): the index was lost, and the feature is filled in from neighbours; None where nothing was lost"""
    sphere: SphereMetadata = NOTHING_KNOWN
    """what the packet's header says of the camera's pose and of the part that was photographed"""
    focus: tuple[Focus, ...] = ()
    """where somebody looks, as the packet's header says"""
    own_steps: NDArray[np.int64] | None = None
    """(rows, cols): steps with which tokens of a stream were sent, at different times; None: those of ``step``"""
    predicted: Predicted | None = field(default=None, repr=False, compare=False)
    """spares the entropy coder another prediction; None where there was none, as at the receiver"""

    @property
    def share(self) -> float:
        """τ: share of tokens kept."""
        return float(self.kept.mean())

    @property
    def context(self) -> EntropyParameters | None:
        """What is predicted already of the kept tokens' scales and signs; of other symbols than ``symbols`` nothing."""
        return self.predicted.context if self.predicted and self.predicted.symbols is self.symbols else None

    @property
    def steps(self) -> NDArray[np.int64]:
        """Quantisation step of each token, quarter octaves, (rows, cols)."""
        if self.own_steps is not None:
            return self.own_steps
        rows, cols = self.indices.shape
        return self.step + steps_of_tokens(rows, cols, self.focus)


_COARSER_FROM = np.array(
    [
        0.5718588702012103,
        0.9340238440580517,
        1.1368570706662078,
        1.2689309240725322,
        1.3589921464020116,
        1.42159246236122,
        1.4654897503363133,
        1.4964022791028226,
    ]
)
"""latitudes from which steps are coarser by one more: arccos 2^(−(2k + 1)/4). As numbers: the last bit of a cosine is
not the same on every processor, and a packet could not be read where a row's step is taken for another"""


def steps_at(latitude: NDArray[np.floating]) -> NDArray[np.int64]:
    """How much coarser the quantisation step is at a latitude than at the equator.

    Parameters
    ----------
    latitude : array of any shape
        Radians.

    Returns
    -------
    int64, same shape
        Quarter octaves, 0 to 8.

    Notes
    -----
    A token at latitude φ covers cos φ of an equatorial token's solid angle. With distortion weighted by cos φ, the
    step that spends bits best grows as cos φ^(−1/2): two quarter octaves for each halving of cos φ.
    """
    return np.searchsorted(_COARSER_FROM, np.abs(latitude.astype(np.float64)))


def steps_of_rows(rows: int) -> NDArray[np.int64]:
    """``steps_at`` the rows of a panorama, (rows,)."""
    return steps_at(latitudes(rows).numpy())


def steps_of_tokens(rows: int, cols: int, focus: tuple[Focus, ...] = ()) -> NDArray[np.int64]:
    """How much coarser the quantisation step of each token is than at the equator in a focus.

    Returns
    -------
    int64 (rows, cols)
        Quarter octaves, 0 and above.
    """
    return steps_of_rows(rows)[:, None] + focus_steps(rows, cols, focus)
