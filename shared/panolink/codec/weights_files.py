"""Writing files of weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a file that is whole at every moment, with the permissions that new files have here.

    Parameters
    ----------
    path : Path
        Ends in ``.safetensors``.
    tensors : mapping of str to Tensor
    metadata : dict, optional
        Strings for the file's header.

    Raises
    ------
    OSError
        It cannot be written: no space is left, or no permission.
    """
    partial = path.with_suffix(".partial")
    try:
        partial.write_bytes(b"")
        permissions = partial.stat().st_mode & 0o777  # safetensors' files are private
        save_file(dict(tensors), partial, metadata)
        os.chmod(partial, permissions)
        partial.replace(path)
    except SafetensorError as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"{path}: cannot be written ({error})") from None
    except OSError:
        partial.unlink(missing_ok=True)
        raise
