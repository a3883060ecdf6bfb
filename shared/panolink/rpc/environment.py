"""The environment variables that Panolink reads, and those that look as if it did."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

SERVICES = ("transmitter", "channel", "receiver", "viewer")
"""Each reads `PANOLINK_<SERVICE>_<NAME>`."""

COMMON = frozenset(
    f"PANOLINK_{name}"
    for name in (
        *("DEBUG", "INSECURE", "KERNEL_CACHE", "LOG_FORMAT", "OTLP_ENDPOINT", "PERCEPTUAL_WEIGHTS"),
        *("TLS_CA", "TLS_CERT", "TLS_KEY", "TOKEN_FILE"),
    )
)
"""What has no service in its name."""

_PREFIX = "PANOLINK_"
_OTHERS = re.compile(
    r"PANOLINK_(TEST|WRITE)_\w+"  # of the tests
    # Kubernetes' own, for each Service
    r"|PANOLINK_\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)"
)
_ALIKE = 0.6


def owner_of(name: str) -> str:
    """The service that a variable belongs to, its name perhaps misspelt; empty where it belongs to none."""
    word = name.removeprefix(_PREFIX).partition("_")[0].lower()
    return next(iter(difflib.get_close_matches(word, SERVICES, 1, 0.75)), "")


def misspelt(environment: Mapping[str, str], *, service: str = "", settings: Iterable[str] = ()) -> dict[str, str]:
    """Variables that are no settings, each with a line that names the nearest one.

    Parameters
    ----------
    environment : Mapping[str, str]
        Of the process.
    service : str
        Whose variables are looked at, beside those of no service; empty: only the latter.
    settings : Iterable[str]
        Names of the service's own variables.
    """
    known = COMMON | set(settings)
    words = sorted(one.removeprefix(_PREFIX) for one in known)  # all begin alike, which would make all of them near
    found = {}
    for name in sorted(environment):
        foreign = owner_of(name) not in ("", service)
        if not name.startswith(_PREFIX) or name in known or foreign or _OTHERS.fullmatch(name):
            continue
        nearest = difflib.get_close_matches(name.removeprefix(_PREFIX), words, 1, _ALIKE)
        found[name] = f"{name} is no setting" + (f"; did you mean {_PREFIX}{nearest[0]}?" if nearest else "")
    return found
