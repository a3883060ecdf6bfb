"""What a receiver holds of the streams whose pictures it receives."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from panolink.codec.streaming.decoder import StreamDecoder

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

MOST_STREAMS = 256
"""of which states are held at a time"""


class StreamStates:
    """Decoders of streams by their names on the link; the ones that have been quiet for longest go first.

    A picture that is predicted from what went is answered with *reference needed*, and a whole one follows.

    Parameters
    ----------
    limit_bytes : int
        Memory that all states may take.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._decoders: OrderedDict[tuple[str, str], StreamDecoder] = OrderedDict()
        self._newest: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._decoders)

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        with self._lock:
            return self._bytes()

    def get(self, stream_id: str, codec: Codec) -> StreamDecoder:
        """The decoder of a stream; a new one where it is not known."""
        key = (stream_id, codec.fingerprint)
        with self._lock:
            decoder = self._decoders.pop(key, None) or StreamDecoder(codec)
            self._decoders[key] = decoder
            while len(self._decoders) > 1 and (len(self._decoders) > MOST_STREAMS or self._bytes() > self._limit):
                gone, _ = self._decoders.popitem(last=False)
                self._newest.pop(gone, None)
        return decoder

    def trim(self, stream_id: str, codec: Codec) -> None:
        """Keep to the memory that all states may take, after a picture of a stream: others go first, then its own."""
        key = (stream_id, codec.fingerprint)
        with self._lock:
            while self._bytes() > self._limit and (others := [name for name in self._decoders if name != key]):
                self._decoders.pop(others[0])
                self._newest.pop(others[0], None)
            if decoder := self._decoders.get(key):
                decoder.shrink(self._limit)

    def is_newest(self, stream_id: str, codec: Codec, number: int) -> bool:
        """Whether no later picture of the stream has been here; notes that this one has."""
        key = (stream_id, codec.fingerprint)
        with self._lock:
            newest = number > self._newest.get(key, 0)
            if newest and key in self._decoders:
                self._newest[key] = number
        return newest

    def _bytes(self) -> int:
        return sum(decoder.bytes for decoder in self._decoders.values())
