"""Text from the network on its way to a terminal or a log."""

from __future__ import annotations

import json
import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, bidirectional and other format characters, line separators


def visible(text: str) -> str:
    r"""Text whose control and format characters are escaped: an ESC becomes `\x1b`, which moves no cursor."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(one) if unicodedata.category(one) in _UNSEEN else one for one in text)


def visible_json(text: str) -> str:
    r"""JSON whose control and format characters, which stand in its strings only, are escaped: `\u202e`."""
    if text.isprintable():
        return text
    return "".join(json.dumps(one)[1:-1] if unicodedata.category(one) in _UNSEEN else one for one in text)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
