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
