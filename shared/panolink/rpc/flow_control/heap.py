"""The C library's heap (glibc): freed memory goes back to the system, where budgets count it as free."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8


def share_one_heap() -> None:
    """Let all threads share one heap; to be called before there are threads.

    With a heap each, what one stage of a picture frees in its thread is of no use to the next stage in another.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, 1)


def return_free_memory() -> None:
    """Give freed memory back to the system; takes milliseconds.

    The heap keeps it in pieces otherwise, too small for the next picture if that has another size.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
