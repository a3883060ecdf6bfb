"""Pictures that are in memory already: arrays of any sensible kind, tensors, Pillow images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from panolink.errors import ImageError
from panolink.images.colour import to_rgb8
from panolink.images.orientation import orientation_of, upright

TAKEN = (
    "a path, an image file's bytes, a PIL image, a numpy array or a torch tensor "
    "(uint8, or float from 0 to 1; grey, RGB or RGBA)"
)


def is_array(value: object) -> bool:
    """Whether a value is a picture in memory: a Pillow image, a numpy array, a torch tensor."""
    return isinstance(value, (Image.Image, np.ndarray)) or _is_tensor(value)


def pixels_of(value: Any, *, name: str = "image") -> NDArray[np.uint8]:
    """A picture in memory as uint8 RGB (H, W, 3).

    Parameters
    ----------
    value : Any
        A Pillow image; an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a tensor of such a shape, or with the
        channels first. uint8, uint16 in full range, bool, or floats from 0 to 1. Alpha is laid on black.

    Raises
    ------
    ImageError
        Another shape or kind, floats beyond 0 to 1, or a Pillow image whose file is damaged.
    TypeError
        Anything else.
    """
    if isinstance(value, Image.Image):
        try:
            rgb = to_rgb8(value)  # which reads the file of one that has only been opened
        except Exception as error:  # decoders raise nearly anything on damaged files
            raise ImageError(f"{name}: truncated or damaged image ({error})") from error
        return upright(rgb, orientation_of(value))
    if _is_tensor(value):
        value = value.detach().cpu()
        value = np.asarray(value.float() if str(value.dtype) == "torch.bfloat16" else value)
        if value.ndim == 3 and value.shape[0] in (1, 3, 4) and value.shape[2] not in (1, 3, 4):
            value = value.transpose(1, 2, 0)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: {type(value).__name__} is no panorama; taken are {TAKEN}")
    shape = f"{value.dtype} {value.shape}"
    if value.ndim not in (2, 3) or (value.ndim == 3 and value.shape[2] not in (1, 3, 4)):
        raise ImageError(f"{name}: an array must be (H, W), or (H, W, 1, 3 or 4); this one is {shape}")
    levels = _levels(value if value.ndim == 3 else value[..., None], name, shape)
    if levels.shape[2] == 4:
        return np.rint(levels[..., :3] * (levels[..., 3:] / np.float32(255))).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def _levels(array: NDArray[Any], name: str, shape: str) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return np.rint(array / 257).astype(np.uint8)
    if array.dtype.kind == "f":
        if not (array.size and array.min() >= -1e-3 and array.max() <= 1 + 1e-3):
            raise ImageError(f"{name}: an array must be uint8, or float from 0 to 1; this one is {shape}, and beyond")
        return np.rint(array.astype(np.float32).clip(0, 1) * 255).astype(np.uint8)
    raise ImageError(f"{name}: an array must be uint8, uint16, bool or float from 0 to 1; this one is {shape}")


def _is_tensor(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")
