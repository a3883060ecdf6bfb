"""What goes to a terminal: text in any locale, what has no sign there in ASCII, and nothing of other libraries."""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys
import warnings

_PLAIN = {
    **{"×": "x", "…": "...", "–": "-", "−": "-", "°": " deg", "²": "^2", "→": "->", "≤": "<=", "≥": ">=", "⇄": "<->"},
    **{"τ": "tau", "λ": "lambda", "μ": "u", "✓": "ok", "✗": "no", "│": "|", "─": "-", "•": "*"},
}


def open_closed_streams() -> None:
    """Streams that whoever started us has closed: nothing comes from standard input, output cannot be written.

    They take the lowest file numbers, which files of ours would have otherwise.
    """
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(os.devnull)))
    if sys.stdout is None:  # open for reading alone: writing says that the descriptor is bad, as it does to others
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.open(os.devnull, os.O_RDONLY), "w")))
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.devnull, "w")))


def quieten_decoders() -> None:
    """Keep what decoders of pictures have to say of damaged files off the terminal: our own errors tell it."""
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def make_printable() -> None:
    """Let standard output and error take any text: the encoding stays, and nothing that it lacks is an error."""
    codecs.register_error("panolink", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="panolink")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    signs = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in signs), error.end


def flush_output() -> int:
    """Write what is left of standard output; 1, with a line on standard error, where it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()  # the reader has closed it, as `head` does
    except OSError as error:
        return output_failed(error)
    return 0


def output_failed(error: OSError) -> int:
    """Tell in one line that standard output cannot be written; 1, for the exit code."""
    sys.stderr.write(f"panolink: standard output: {error.strerror}\n")
    _discard()
    return 1


def _discard() -> None:
    """Send what is left nowhere, so that Python does not complain of it at its end."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
