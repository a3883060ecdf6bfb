"""What is checked of options before a command runs, and how errors are named."""

import io
import re

import pytest
import typer
from rich.table import Table
from rich.text import Text

from panolink.cli.options import VisibleConsole, about, check_rate, check_realism, is_address, print_error, seconds
from panolink.errors import ModelError


@pytest.mark.parametrize("text", ["127.0.0.1:50051", "host:1", "[::1]:65535"])
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["host", "host:0", "host:65536", "::1:50051", "a b:1", ":1", "host:port"])
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0.2", 0.2), ("0.2s", 0.2), ("200ms", 0.2), (" 1e-3 s ", 1e-3), (".5", 0.5)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "soon", "0", "0ms", "-1", "3601", "nan", "1 minute"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no duration above 0"):
        seconds(text)


def test_one_rate_at_most_and_not_of_nothing() -> None:
    check_rate(None, None)
    check_rate(0.1, None)
    check_rate(None, 0.0)  # the base layer alone
    for rates in ((0.1, 0.1, None), (None, 0.1, 0.1), (0.0, None, None), (None, None, 0.0)):
        with pytest.raises(typer.BadParameter):
            check_rate(*rates)


def test_a_realism_is_one_and_the_decoders_own() -> None:
    for decoder, realism, found in (("", None, None), ("", 0.5, 0.5), ("perceptual", None, 1), ("mine", 0.5, 0.5)):
        assert check_realism(decoder, realism) == found
    for decoder, realism, hint in (("", 1.1, "'--realism'"), ("fidelity", 0.5, "'--decoder' / '--realism'")):
        with pytest.raises(typer.BadParameter) as refused:
            check_realism(decoder, realism)
        assert refused.value.param_hint == hint


def test_errors_name_their_file_once() -> None:
    with pytest.raises(ModelError, match=r"^a\.plk: broken$"), about("a.plk"):
        raise ModelError("broken")
    with pytest.raises(ModelError, match=r"^a\.plk is broken$"), about("a.plk"):
        raise ModelError("a.plk is broken")


HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\x07"


def test_names_from_elsewhere_do_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console = VisibleConsole(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    table = Table("name")
    table.add_row(Text(HOSTILE), style="red")
    console.print(f"{HOSTILE}: 256×128", markup=False, soft_wrap=True, style="bold")
    console.print(table)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert r"a\x1b[2Jb\x9b31mc\u202ed" in written
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written)  # our own colours
    assert all(line.isprintable() for line in plain.split("\n"))
    print_error(f"{HOSTILE}\n: no picture")
    assert capsys.readouterr().err == r"panolink: a\x1b[2Jb\x9b31mc\u202ed\x07 : no picture" + "\n"
