"""Writing files so that nothing of the user's is lost: beside and renamed, replacing only what may be replaced."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_EXISTS = "exists already; --overwrite replaces it"


def write_file(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write a whole file or none: into a temporary one beside it, which then takes the name. Makes folders.

    A symbolic link is never followed: it counts as a file of that name, and is replaced as one. Devices and pipes are
    written to.

    Raises
    ------
    FileExistsError
        There is a file of that name, and it may not be replaced.
    OSError
        It cannot be written, or the disk is full; its `filename` is the path.
    """
    try:
        if _is_device(path):
            path.write_bytes(data)
            return
        if not overwrite:
            check_free(path)
        make_folder(path.parent)
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


def make_folder(folder: Path) -> None:
    """A folder and those above it; a file that is in the way is not taken for one of the name that is wanted.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    NotADirectoryError
        There is a file of that name, or of one above it.
    OSError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


class NamesInOrder:
    """Names for files that are written later and in another order: of two panoramas with one name, the first that is
    sent has it, and the second is `name_2`, whichever arrives first.

    Parameters
    ----------
    overwrite : bool
        Whether names of files that exist are given too.
    """

    def __init__(self, *, overwrite: bool = False) -> None:
        self._overwrite = overwrite
        self._given: set[Path] = set()

    def reserve(self, path: Path) -> Path:
        """The name, or the first free one of `name_2`, `name_3` …"""
        for candidate in _candidates(path):
            free = self._overwrite or _is_device(candidate) or not os.path.lexists(candidate)
            if free and candidate not in self._given:
                self._given.add(candidate)
                return candidate
        raise AssertionError("numbers do not end")

    def release(self, path: Path) -> None:
        """Forget a name whose file has been written, or will not be: the folder remembers those that exist."""
        if not self._overwrite:
            self._given.discard(path)


@dataclass
class Beside:
    """A file that is being written under a `temporary` name, and will have the name `path`.

    Attributes
    ----------
    keep : bool
        Whether it stays under its temporary name when the block raises, or it cannot have the other.
    """

    temporary: Path
    path: Path
    keep: bool = False


@contextmanager
def written_beside(path: Path, *, overwrite: bool = False) -> Iterator[Beside]:
    """A temporary file beside `path`, which takes its name when the block ends well, and is deleted when it raises,
    unless the block says that it is to be kept.

    Where something has taken the name in the meantime, the file is numbered, for it would be lost else. Makes folders.

    Raises
    ------
    FileExistsError
        There is a file of that name before the block begins, and it may not be replaced.
    OSError
        It cannot be written; its `filename` is the path.
    """
    try:
        if not overwrite:
            check_free(path)
        make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=".panolink-", suffix=path.suffix, dir=path.parent)
        os.fchmod(handle, 0o666 & ~_umask())
        os.close(handle)
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from None
    beside = Beside(Path(name), path)
    try:
        yield beside
        for beside.path in _candidates(path):
            with suppress(FileExistsError):
                if overwrite:
                    os.replace(name, beside.path)
                else:
                    _link(name, beside.path)
                break
        beside.keep = False
    finally:
        if not beside.keep:
            with suppress(FileNotFoundError):
                os.unlink(name)


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
