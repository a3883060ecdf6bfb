import logging

from panolink.rpc.observability.logs import TextFormatter
from panolink.rpc.text import visible
from panolink.rpc.wire.status import one_line

HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\u2066e\x07"


def test_controls_are_seen_and_do_nothing() -> None:
    assert visible("forêt 森林.png") == "forêt 森林.png"
    assert visible(HOSTILE) == r"a\x1b[2Jb\x9b31mc\u202ed\u2066e\x07"
    assert one_line(f"{HOSTILE}\nmore") == visible(HOSTILE) + " more"


def test_text_logs_show_them_too() -> None:
    record = logging.LogRecord("panolink", logging.INFO, "", 0, "received %s\nforged line", (HOSTILE,), None)
    line = TextFormatter().format(record)
    assert line.isprintable() and r"\x1b[2J" in line and r"\nforged line" in line
