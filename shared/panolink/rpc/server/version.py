"""Which Panolink this is."""

import importlib.metadata


def version() -> str:
    """Panolink's version; `0` where it runs from a source tree that was never installed."""
    try:
        return importlib.metadata.version("panolink")
    except importlib.metadata.PackageNotFoundError:
        return "0"
