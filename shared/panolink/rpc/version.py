"""Version of the installed package."""

import importlib.metadata


def version() -> str:
    """Version of Panolink; `0` if it runs from a source tree without installation."""
    try:
        return importlib.metadata.version("panolink")
    except importlib.metadata.PackageNotFoundError:
        return "0"
