"""Which of the shipped models serves a rate: what `--model auto` means."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from panolink.codec.codec import DEFAULT_BPP, Codec
from panolink.codec.effort import Effort
from panolink.codec.refinement import Progress
from panolink.codec.tokens import Tokens
from panolink.errors import RateError
from panolink.sphere.focus import Focus

AUTO = "auto"


@dataclass(frozen=True)
class RateModel:
    """A model and the rate from which it is better than the next coarser one."""

    model: str
    """a shipped model's name, or a ``.safetensors`` file"""
    from_bpp: float = 0.0


MODELS_BY_RATE = (RateModel("base"),)
"""From the finest to the coarsest. `paper` is kept as the paper has it, and never chosen."""


def serving(bpp: float | None, models: Sequence[RateModel] = MODELS_BY_RATE) -> list[str]:
    """Models to try at a rate, best first: where the base layer of one costs more, the next coarser one follows.

    Parameters
    ----------
    bpp : float, optional
        None: 0.1.
    models : sequence of RateModel
        To choose from.

    Returns
    -------
    list of str
        Their names.
    """
    rate = DEFAULT_BPP if bpp is None else bpp
    return [entry.model for entry in models if rate >= entry.from_bpp] or [models[-1].model]


def quantize(
    image: NDArray[np.uint8],
    codecs: Sequence[Codec],
    *,
    bpp: float | None = None,
    tau: float | None = None,
    focus: Sequence[Focus] = (),
    effort: Effort = Effort.FAST,
    beside: int = 0,
    progress: Progress | None = None,
) -> tuple[Codec, Tokens]:
    """Quantise with the first of several models whose base layer fits.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    codecs : sequence of Codec
        Best first.
    bpp, tau, focus, effort, beside, progress
        As of `Codec.tokens_of`.

    Returns
    -------
    codec : Codec
    tokens : Tokens

    Raises
    ------
    RateError
        None goes so low: the last one's, which names the least possible rate.
    """
    *finer, coarsest = codecs

    def attempt(codec: Codec) -> tuple[Codec, Tokens]:
        return codec, codec.tokens_of(
            image, bpp=bpp, tau=tau, focus=focus, effort=effort, beside=beside, progress=progress
        )

    for codec in finer:
        with suppress(RateError):
            return attempt(codec)
    return attempt(coarsest)
