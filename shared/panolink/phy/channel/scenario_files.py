"""Scenario files (TOML) and traces of a recorded SNR (CSV). Errors name the file and the line.

A scenario:

    # fade.toml: 20 dB for 5 s, then a fade to 2 dB
    repeat = true                 # false by default: the last phase stays as it ended

    [[phase]]
    seconds = 5
    snr_db = 20

    [[phase]]
    seconds = 2
    snr_db = [20, 2]              # from … to, linear in dB

    [[phase]]
    seconds = 3
    snr_db = 2
    model = "jakes"               # or any other setting of `CHANGEABLE`
    doppler_hz = 70

A trace:

    time_s,snr_db
    0.0,17.2
    0.1,16.8
"""

import csv
import io
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from panolink.errors import SignalError
from panolink.phy.channel.conditions import Conditions
from panolink.phy.channel.scenario import CHANGEABLE, MAX_PHASES, MAX_SAMPLES, Phase, Scenario, SnrTrace, check_sample

_WHOLE = ("coherence_symbols", "subcarriers", "packet_symbols")
_COLUMNS = ("time_s", "snr_db")
_MAX_SHOWN = 60  # characters of a wrong value in a message
_MAX_DIGITS = 400  # of a number in a file: more than any float has
_MAX_DEPTH = 50  # of brackets


def load_scenario(path: str | Path) -> Scenario:
    """Read a scenario file.

    Raises
    ------
    SignalError
        The file is not a scenario; the message begins with its name and the line.
    OSError
        The file cannot be read.
    """
    return parse_scenario(_text(path), name=str(path))


def load_trace(path: str | Path, *, repeat: bool = False) -> SnrTrace:
    """Read a recorded SNR, a CSV file with the columns time_s and snr_db; errors as those of `load_scenario`.

    Parameters
    ----------
    path : str | Path
        Of the file.
    repeat : bool
        Whether the trace begins again after its last sample.
    """
    return parse_trace(_text(path), name=str(path), repeat=repeat)


def parse_scenario(text: str, *, name: str = "scenario") -> Scenario:
    """The scenario in the text of a file; errors as those of `load_scenario`.

    Parameters
    ----------
    text : str
        TOML.
    name : str
        What error messages call the file.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        where = f"line {line[1]}" if line else "at its end"
        raise SignalError(f"{name}, {where}: {_shortened(reason[:1].lower() + reason[1:])}") from None
    except (ValueError, RecursionError):  # what tomllib lets through of Python's own limits
        raise _beyond_limits(text, name) from None
    lines = _Lines(text, name)
    for key in values:
        if key not in ("repeat", "phase"):
            raise SignalError(f"{lines.of(None, key)}: unknown setting {_shown(key)}; allowed: repeat, phase")
    repeat, phases = values.get("repeat", False), values.get("phase", [])
    if not isinstance(repeat, bool):
        raise SignalError(f"{lines.of(None, 'repeat')}: repeat is {_shown(repeat)}; allowed: true, false")
    if not (isinstance(phases, list) and all(isinstance(phase, dict) for phase in phases)):
        raise SignalError(f"{lines.of(None, 'phase')}: phases are tables, each under a line [[phase]]")
    if not 1 <= len(phases) <= MAX_PHASES:
        raise SignalError(f"{name}: {len(phases)} phases; allowed: 1 … {MAX_PHASES}, each under a line [[phase]]")
    return Scenario(tuple(_phase(phase, number, lines) for number, phase in enumerate(phases)), repeat)


def _phase(values: Mapping[str, Any], number: int, lines: "_Lines") -> Phase:
    changes, final = {}, None
    for key, value in values.items():
        try:
            if key == "snr_db" and isinstance(value, list):
                if len(value) != 2:
                    raise SignalError(f"snr_db is {_shown(value)}; allowed: a number, or [from, to]")
                value, final = (_number("snr_db", one) for one in value)
                Conditions(snr_db=final)
            if key in CHANGEABLE:
                changes[key] = _setting(key, value)
                # Settings that have to fit each other are looked at together, below.
                Conditions(**({} if key == "erasure_burst" else {key: changes[key]}))
            else:
                Phase(_number(key, value), {} if key == "seconds" else {key: value})
        except SignalError as error:
            raise SignalError(f"{lines.of(number, key)}: {error}") from None
    if "seconds" not in values:
        raise SignalError(f"{lines.of(number)}: the phase does not say how many seconds it lasts")
    try:
        phase = Phase(float(values["seconds"]), changes, final)
        if "erasure_burst" in changes and "erasure_rate" in changes:
            phase.applied(Conditions())
    except SignalError as error:
        raise SignalError(f"{lines.of(number)}: {error}") from None
    return phase


def _setting(key: str, value: object) -> Any:
    if key == "model":
        if not isinstance(value, str):
            raise SignalError(f"model is {_shown(value)}; allowed: the name of one, in quotes")
        return value
    number = _number(key, value)
    if key in _WHOLE and not number.is_integer():
        raise SignalError(f"{key} is {_shown(value)}; allowed: a whole number")
    return int(number) if key in _WHOLE else number


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        ramp = ", or [from, to]" if key == "snr_db" else ""
        raise SignalError(f"{_shortened(key)} is {_shown(value)}; allowed: a number{ramp}")
    try:
        return float(value)
    except OverflowError:
        raise SignalError(f"{_shortened(key)} is {_shown(value)}; allowed: a number that a float64 can hold") from None


def parse_trace(text: str, *, name: str = "trace", repeat: bool = False) -> SnrTrace:
    """The trace in the text of a file; see `load_trace`. Empty lines and lines that begin with # are skipped.

    Parameters
    ----------
    text : str
        CSV, a line of column names before the samples.
    name : str
        What error messages call the file.
    repeat : bool
        Whether the trace begins again after its last sample.
    """
    numbered = [(i, line) for i, line in enumerate(text.splitlines(), start=1) if line.strip() and line[0] != "#"]
    if not numbered:
        raise SignalError(f"{name}: no line at all; allowed: a line {','.join(_COLUMNS)}, then the samples")
    (first, head), *rest = numbered
    columns = [column.strip() for column in _cells(head, f"{name}, line {first}: ")]
    if missing := [column for column in _COLUMNS if column not in columns]:
        raise SignalError(f"{name}, line {first}: no column {missing[0]!r}; needed: {', '.join(_COLUMNS)}")
    if len(rest) > MAX_SAMPLES:
        raise SignalError(f"{name}: {len(rest)} samples; allowed: 1 … {MAX_SAMPLES}")
    times: list[float] = []
    values: list[float] = []
    for i, line in rest:
        where = f"{name}, line {i}: "
        cells = _cells(line, where)
        if len(cells) != len(columns):
            raise SignalError(f"{where}{len(cells)} values for {len(columns)} columns")
        row = dict(zip(columns, cells, strict=True))
        time, snr = (_cell(row[column], where + column) for column in _COLUMNS)
        check_sample(time, snr, where)
        if times and time <= times[-1]:
            raise SignalError(f"{where}time {time} s does not come after {times[-1]} s")
        times.append(time)
        values.append(snr)
    if not times:
        raise SignalError(f"{name}: no samples after the line of columns")
    try:
        return SnrTrace(tuple(times), tuple(values), repeat)
    except SignalError as error:
        raise SignalError(f"{name}: {error}") from None


def _cell(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SignalError(f"{where} is {_shown(text.strip())}; allowed: a number") from None


def _cells(line: str, where: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(line)), [])
    except csv.Error as error:  # a field of more characters than the reader takes
        raise SignalError(f"{where}{error}") from None


def _shown(value: object) -> str:
    """A value from a file as a message has it: on one line, and not at any length."""
    try:
        return _shortened(repr(value))
    except (ValueError, RecursionError):  # integers of thousands of digits, brackets in brackets
        return "beyond what can be shown"


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _beyond_limits(text: str, name: str) -> SignalError:
    """The error for a file that is TOML but too much for its reader: a number's digits, or the depth of brackets."""
    key, depth = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        key = setting[1] if (setting := re.match(r"\s*([\w.\"'-]+)\s*=", line)) else key
        where = f"{name}, line {number}: {_shortened(key)}"
        if re.search(rf"\d[\d_]{{{_MAX_DIGITS}}}", line):
            return SignalError(f"{where} is a number of more than {_MAX_DIGITS} digits")
        for character in line:
            depth = max(0, depth + (character in "[{") - (character in "]}"))
            if depth > _MAX_DEPTH:
                return SignalError(f"{where} has more than {_MAX_DEPTH} brackets in one another")
    return SignalError(f"{name}: a value in it is beyond the limits of its reader")


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SignalError(f"{path}: not a text file (UTF-8)") from None


class _Lines:
    """Line numbers of settings in a scenario file, which TOML readers do not keep."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._lines = text.splitlines()
        self._phases = [i for i, line in enumerate(self._lines) if re.match(r"\s*\[\[\s*[\"']?phase", line)]

    def of(self, phase: int | None, key: str | None = None) -> str:
        """`FILE, line N` of a phase's setting (or one before all phases), of the phase's first line without `key`."""
        if phase is not None and phase >= len(self._phases):  # phase = [{…}, …]
            return f"{self._name}, phase {phase + 1}"
        starts = [0 if phase is None else self._phases[phase], *self._phases, len(self._lines)]
        end = min(start for start in starts[1:] if start > starts[0] or start == len(self._lines))
        for i in range(starts[0], end):
            if key and re.match(rf"\s*\[*[\"']?{re.escape(key)}[\"']?\s*[=.\]]", self._lines[i]):
                return f"{self._name}, line {i + 1}"
        return f"{self._name}, line {starts[0] + 1}"
