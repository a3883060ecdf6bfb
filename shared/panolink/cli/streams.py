"""`-` for standard input and output, and targets that are checked before any work is done."""

from __future__ import annotations

import sys
from pathlib import Path

from panolink.errors import PanolinkError
from panolink.files import check_free, write_file

STREAM = Path("-")
"""Standard input, or output."""


def source_name(source: Path) -> str:
    """What messages call a source."""
    return "standard input" if source == STREAM else str(source)


def read_source(source: Path) -> bytes:
    """All of a file, a pipe or standard input, read once.

    Raises
    ------
    PanolinkError
        It cannot be read; names it.
    """
    if source == STREAM:
        return sys.stdin.buffer.read()
    try:
        return source.read_bytes()
    except FileNotFoundError:
        raise PanolinkError(f"{source}: no such file") from None
    except OSError as error:
        raise PanolinkError(f"{source}: {error.strerror or error}") from None


def check_target(target: Path, *, overwrite: bool) -> None:
    """Find out before any work is done that a file may not be replaced.

    Parameters
    ----------
    target : Path
    overwrite : bool
        Whether it may.

    Raises
    ------
    FileExistsError
        It exists, and may not.
    """
    if not overwrite:
        check_free(target)


def write_target(target: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a whole file or none, or standard output.

    Parameters
    ----------
    target : Path
        `STREAM` for standard output.
    data : bytes
    overwrite : bool
        Whether a file may be replaced.

    Raises
    ------
    OSError
        As of `panolink.files.write_file`.
    """
    if target == STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_file(target, data, overwrite=overwrite)
