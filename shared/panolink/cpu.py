"""CPU cores available to this process, and kernels on all of them."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def usable_cores() -> int:
    """Cores that this process may run on; all of the machine's where the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """[function(item) for item in items] on all cores, for functions that spend their time in kernels without the GIL.

    Parameters
    ----------
    function : callable
        It must not call `parallel` itself: its threads are as many as there are cores.
    items : iterable

    Returns
    -------
    list
        Results, in the order of the items.
    """
    return list(_pool().map(function, items))


def row_chunks(count: int, least: int) -> list[slice]:
    """Even parts of rows, as many as there are cores.

    Parameters
    ----------
    count : int
        Rows in all.
    least : int
        Of a part, at least.

    Returns
    -------
    list of slice
    """
    parts = max(1, min(usable_cores(), count // least))
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads that wait without spinning (numba's `parallel=True` dies with two callers)."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="kernel")
