"""How numba kernels are compiled, and where they are kept."""

import functools
import hashlib
import inspect
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher


def unpack_cache() -> None:
    """Put kernels that came with an image where numba takes them: it reads only a cache that it can write.

    `PANOLINK_KERNEL_CACHE` is the folder that came along, `NUMBA_CACHE_DIR` the one to fill, on a tmpfs as a rule.
    Where nothing can be written at all, kernels are compiled as if none had come.
    """
    source, target = os.environ.get("PANOLINK_KERNEL_CACHE"), os.environ.get("NUMBA_CACHE_DIR")
    if not source or not target or os.path.exists(target):
        return
    try:
        shutil.copytree(source, target)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)


unpack_cache()


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` with numba: no GIL, cached on disk where a place for the cache can be written.

    numba looks for a writable place itself (`NUMBA_CACHE_DIR`, the package's folder, the user's cache
    folder). In a container with a read-only root there may be none; then kernels are compiled at each start
    (seconds) instead of failing. Kernels are given finite numbers only, so NaN and signed zeros need no care
    (`nnan`, `nsz`): that is what lets LLVM turn comparisons into vector minima.
    """
    return _compiled(function, fastmath={"nnan", "nsz", "contract"})


def exact_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `kernel`, for one whose floating-point results decide what is sent: each operation is rounded by itself and
    in the order that is written, so that they are those of the same formula in NumPy or torch, and on every host."""
    return _compiled(function, fastmath=False)


def _compiled(function: Callable[..., Any], *, fastmath: Any) -> Callable[..., Any]:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        compiled: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        return numba.njit(cache=False, **options)(function)
    if isinstance(compiled, Dispatcher):  # nor with NUMBA_DISABLE_JIT
        index: Any = compiled._cache._cache_file  # type: ignore[attr-defined]
        index._source_stamp = (*index._source_stamp, _used_by(function).hex())
    return compiled


def _used_by(function: Callable[..., Any]) -> bytes:
    """SHA-256 of the kernels and constants that a kernel may have of other modules.

    They are compiled into it, and numba looks at a kernel's own file alone to see whether what it keeps is still right.
    All that its module has imported counts: kernels further down in the file, which are not there yet, may use it.
    """
    digest = hashlib.sha256()
    for name, value in sorted(function.__globals__.items()):
        if isinstance(value, Dispatcher):
            if value.py_func.__module__ != function.__module__:
                digest.update(name.encode() + _of_kernel(value.py_func))
        elif isinstance(value, np.ndarray):
            digest.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
        elif isinstance(value, int | float | tuple | np.generic):
            digest.update(f"{name} {value!r}".encode())
    return digest.digest()


@functools.cache
def _of_kernel(function: Callable[..., Any]) -> bytes:
    """SHA-256 of a kernel of a module that is complete, and of what it may use of its own and of others."""
    module = inspect.getsource(sys.modules[function.__module__])
    return hashlib.sha256(module.encode() + _used_by(function)).digest()
