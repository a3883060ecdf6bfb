import json
import logging
import sys

from panolink.rpc.observability.logs import JsonFormatter, TextFormatter
from panolink.rpc.text import visible, visible_json
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


def test_json_logs_are_safe_to_look_at_and_say_the_same() -> None:
    text = HOSTILE + "\U000e0041é"
    line = visible_json(json.dumps({"source": text}, ensure_ascii=False))
    assert line.isprintable() and "é" in line and json.loads(line) == {"source": text}
    record = logging.LogRecord("panolink", logging.INFO, "", 0, "received %s", (text,), None)
    line = JsonFormatter("receiver").format(record)
    assert line.isprintable() and json.loads(line)["message"] == f"received {text}"


def test_tracebacks_show_them_too() -> None:
    try:
        raise RuntimeError(HOSTILE)
    except RuntimeError:
        record = logging.LogRecord("panolink", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    lines = TextFormatter().format(record).split("\n")
    assert len(lines) > 2 and all(line.isprintable() for line in lines)
