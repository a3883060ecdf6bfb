"""Writing files so that nothing of the user's is lost: beside and renamed, replacing only what may be replaced."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_EXISTS = "exists already; --overwrite replaces it"


def write_file(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write a whole file or none: into a temporary one beside it, which then takes the name. Makes folders.

    A symbolic link is never followed: it counts as a file of that name, and is replaced as one. Devices and pipes are
    written to.

    Raises
    ------
    FileExistsError : there is a file of that name, and it may not be replaced.
    OSError : it cannot be written, or the disk is full; its `filename` is the path.
    """
    try:
        if _is_device(path):
            path.write_bytes(data)
            return
        if not overwrite:
            check_free(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_beside(path, data, overwrite)
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from None


def write_numbered(path: Path, data: bytes, *, overwrite: bool = False) -> Path:
    """`write_file` under a name or, where it is taken, the first free one of `name_2`, `name_3` ….

    Parameters
    ----------
    path : Path
    data : bytes
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        Under which it was written.

    Raises
    ------
    OSError
        As of `write_file`.
    """
    for candidate in _candidates(path):
        try:
            write_file(candidate, data, overwrite=overwrite)
            return candidate
        except FileExistsError:
            continue
    raise AssertionError("numbers do not end")


def check_free(path: Path) -> None:
    """Find out that a name is taken, be it by a dangling link; devices and pipes do not count.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FileExistsError
        It is.
    """
    if os.path.lexists(path) and not _is_device(path):
        raise FileExistsError(errno.EEXIST, _EXISTS, str(path))


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1


def _write_beside(path: Path, data: bytes, overwrite: bool) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".panolink-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        if overwrite:
            os.replace(temporary, path)
        else:
            _link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _link(temporary: str, path: Path) -> None:
    """Give a file its name if nobody has it, in one step; in two where the file system knows no links."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, _EXISTS, str(path)) from None
    except OSError:
        check_free(path)
        os.replace(temporary, path)


def _is_device(path: Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISBLK(mode)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
