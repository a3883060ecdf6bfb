"""`-` for standard input and output, and targets that are checked before any work is done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from panolink.errors import PanolinkError
from panolink.files import check_free, write_file

STREAM = Path("-")
"""Standard input, or output."""

_HEAD_BYTES = 4096
"""enough for every signature (`panolink.images.formats.SNIFFED_BYTES`, which takes long to import)"""


def source_name(source: Path) -> str:
    """What messages call a source."""
    return "standard input" if source == STREAM else str(source)


def read_source(source: Path, *, is_wanted: Callable[[bytes], bool]) -> bytes:
    """All of a file, a pipe or standard input, read once.

    Parameters
    ----------
    source : Path
    is_wanted : Callable[[bytes], bool]
        Whether it is of the kind that is wanted, by its first bytes. What is not, such as a video of gigabytes, is not
        read any further: whoever takes these bytes says what is wrong with them.

    Raises
    ------
    PanolinkError
        It cannot be read; names it.
    """
    if source == STREAM:
        return _read(sys.stdin.buffer, is_wanted)
    try:
        with source.open("rb") as file:
            return _read(file, is_wanted)
    except FileNotFoundError:
        raise PanolinkError(f"{source}: no such file") from None
    except OSError as error:
        raise PanolinkError(f"{source}: {error.strerror or error}") from None


def _read(file: BinaryIO, is_wanted: Callable[[bytes], bool]) -> bytes:
    head = file.read(_HEAD_BYTES)
    return head + file.read() if is_wanted(head) else head


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
