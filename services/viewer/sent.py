"""Panoramas that this viewer has sent lately, to compare with what arrives."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

MAX_SENT = 24
"""the 16 that the page keeps in its strip, and those under way"""

MAX_SENT_BYTES = 256 << 20


@dataclass
class Sent:
    """A sent panorama: its pixels uint8 (H, W, 3), and its activation map uint8 (rows, columns) once it is known."""

    picture: np.ndarray
    activation: np.ndarray | None = None


class SentPanoramas:
    """The last `MAX_SENT` sent panoramas by the name under which they were sent, which is unique."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, Sent] = OrderedDict()

    def put(self, source: str, picture: np.ndarray) -> None:
        """Keep a panorama; the oldest are dropped."""
        self._sent[source] = Sent(picture)
        while len(self._sent) > 1 and (len(self._sent) > MAX_SENT or self._bytes() > MAX_SENT_BYTES):
            self._sent.popitem(last=False)

    def find(self, source: str) -> Sent | None:
        """The panorama that was sent under a name; None if it was not sent from here, or long ago."""
        return self._sent.get(source)

    def _bytes(self) -> int:
        return sum(sent.picture.nbytes for sent in self._sent.values())
