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


def threads() -> int:
    """Threads for kernels, as for networks: `OMP_NUM_THREADS` where it is set, else one a usable core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(wanted) if wanted.isdigit() and int(wanted) else usable_cores()


def share_cores(share: float, cpus: float) -> None:
    """Let networks and kernels of this process have a share of the cores, and their threads wait without spinning.

    To be called before torch is loaded, whose OpenMP reads the environment then. Pools of several processes that each
    have a thread a core, and spin while they wait, take the cores from one another. What is set already stays.

    Parameters
    ----------
    share : float
        Above 0, at most 1.
    cpus : float
        CPUs that there are.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, round(share * cpus))))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def parallel(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """[function(item) for item in items] on `threads`, for functions that spend their time in kernels without the GIL.

    Parameters
    ----------
    function : callable
        It must not call `parallel` itself, which would wait for itself.
    items : iterable

    Returns
    -------
    list
        Results, in the order of the items.
    """
    items = list(items)
    if len(items) < 2 or threads() == 1:  # no other thread would be sooner
        return [function(item) for item in items]
    return list(_pool().map(function, items))


def row_chunks(count: int, least: int) -> list[slice]:
    """Even parts of rows, as many as there are `threads`.

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
    parts = max(1, min(threads(), count // least))
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads that wait without spinning (numba's `parallel=True` dies with two callers)."""
    return ThreadPoolExecutor(threads(), thread_name_prefix="kernel")
