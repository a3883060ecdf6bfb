"""The best averaged weights of a run so far, with what they were judged by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from panolink.errors import ModelError
from panolink.training.checkpoint import save_state
from panolink.training.config import TrainingConfig

FILE_NAME = "best.safetensors"


@dataclass(frozen=True, kw_only=True)
class BestWeights:
    """What ``best.safetensors`` says of itself.

    Attributes
    ----------
    score : float
        As of `TrainingConfig.score`; −∞ where there is none, or none that can be compared.
    judged_by : str
        As of `judged_by`; scores of others say nothing of this one.
    step : int
        Of the run, from its weights' first.
    minutes, cpu_hours : float
        That the run had taken.
    validation : dict of str to float
        The figures that the score is made of.
    config : dict
        The settings of the run then.
    """

    score: float = -math.inf
    judged_by: str = ""
    step: int = 0
    minutes: float = 0.0
    cpu_hours: float = 0.0
    validation: dict[str, float] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, state: Mapping[str, Tensor]) -> None:
        """Write the weights into a run's folder, with this in the file's header."""
        save_state(folder / FILE_NAME, state, {"best": json.dumps(vars(self))})

    @classmethod
    def of(cls, folder: Path) -> BestWeights:
        """Read what a run's file says of itself.

        Parameters
        ----------
        folder : Path
            Of the run.

        Returns
        -------
        BestWeights
            The defaults where there is no file, or one of an earlier version, which does not tell.

        Raises
        ------
        ModelError
            The file cannot be read.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            return cls()
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path}: not a readable weights file ({error})") from None
        return cls(**json.loads(metadata["best"])) if "best" in metadata else cls()


def judged_by(config: TrainingConfig, panoramas: Iterable[NDArray[np.uint8]]) -> str:
    """A digest of what a score depends on beside the weights: settings, and the panoramas of the validation.

    Parameters
    ----------
    config : TrainingConfig
    panoramas : iterable of array
        uint8 (H, W, 3) each.
    """
    digest = hashlib.sha256(repr(config.judged_by).encode())
    for panorama in panoramas:
        digest.update(repr(panorama.shape).encode() + np.ascontiguousarray(panorama).tobytes())
    return digest.hexdigest()[:16]
