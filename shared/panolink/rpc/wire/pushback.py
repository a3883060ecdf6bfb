"""When to try again, as a service says that has no room for another stream.

It goes into the initial metadata of the refused call, which arrive before any answer and whatever the client is doing:
a status that arrives during a write is lost in grpc.aio (grpc/grpc#36066).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from panolink.errors import LimitError
from panolink.rpc.wire.status import one_line

PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""gRPC's own name of it: its retries, and others who know it, wait so long."""
_REASON_KEY = "panolink-refusal-bin"

PUSHBACK_SECONDS = 1.0
"""Seconds that a service asks for."""
MAX_PUSHBACK_SECONDS = 60.0
"""Seconds that a service can ask for; of a larger number so many are waited."""

PUSHBACK = ((PUSHBACK_KEY, f"{1000 * PUSHBACK_SECONDS:.0f}"),)
"""Metadata of a call that there is no room for."""


@dataclass(frozen=True)
class Pushback:
    """A refusal that need not last.

    Attributes
    ----------
    seconds : float
        After which to try again, from 0 to `MAX_PUSHBACK_SECONDS`.
    reason : str
        One line; empty: none was given.
    """

    seconds: float
    reason: str = ""


def pushback_to_wire(refusal: LimitError) -> tuple[tuple[str, str | bytes], ...]:
    """Initial metadata of a stream that is refused."""
    return (*PUSHBACK, (_REASON_KEY, one_line(refusal).encode()))


def pushback_from_wire(metadata: Iterable[tuple[str, Any]] | None) -> Pushback | None:
    """Read initial metadata of a stream.

    Returns
    -------
    Pushback or None
        None: the stream is not refused, or not to be tried again (a negative number, or none).
    """
    known = dict(metadata or ())
    milliseconds = str(known.get(PUSHBACK_KEY, ""))
    if not (milliseconds.isascii() and milliseconds.isdigit()):
        return None
    reason = known.get(_REASON_KEY, b"")
    return Pushback(
        min(int(milliseconds[:9]) / 1000, MAX_PUSHBACK_SECONDS),
        one_line(reason.decode(errors="replace")) if isinstance(reason, bytes) and reason else "",
    )
