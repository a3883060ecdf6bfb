"""Streams whose pictures are predicted from what the receiver holds, and where their viewers look."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from panolink.codec.streaming.encoder import StreamEncoder
from panolink.rpc.wire.gazes import GazeTrail
from panolink.v1 import link_pb2

if TYPE_CHECKING:
    from panolink.codec.codec import Codec

MOST_STREAMS = 64
"""whose states are held at a time; the one that has been quiet for longest begins anew"""

MOST_UNDER_WAY = 3
"""pictures of a stream whose receipts are awaited at a time: the more, the older is what the next is predicted from"""


class PredictedStream:
    """One stream: its pictures are coded one after the other, each from the newest state that was acknowledged.

    Parameters
    ----------
    codec : Codec
    on_change : callable
        Called with the stream when a picture has been coded, or its receipt has come: it takes other memory then.

    Attributes
    ----------
    link_id : str
        Its name on the link, unique among all transmitters.
    encoder : StreamEncoder
    gazes : GazeTrail
        Where receipts say that viewers look.
    sequence : iterator of int
        Places of its pictures, in the order in which they come.
    """

    def __init__(self, codec: Codec, on_change: Callable[[PredictedStream], None] = lambda stream: None) -> None:
        self._on_change = on_change
        self.link_id = secrets.token_hex(12)
        self.encoder = StreamEncoder(codec, robust=True)
        self.gazes = GazeTrail()
        self.sequence = itertools.count(1)
        self._turns = asyncio.Lock()
        self._answered = asyncio.Condition()
        self._under_way = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until all earlier pictures are coded, and few enough await their receipts.

        While the receiver holds nothing, a single whole picture is under way: those behind it are predicted from it.
        """
        async with self._turns:  # first come, first served
            async with self._answered:
                await self._answered.wait_for(
                    lambda: self._under_way < (MOST_UNDER_WAY if self.encoder.reference else 1)
                )
            self._under_way += 1
            try:
                yield
            except BaseException:
                await self._leave()
                raise
            self._on_change(self)

    async def answered(self, number: int, unsent: Iterable[int], receipt: link_pb2.ReceiptHeader) -> None:
        """Learn from the receipt of picture ``number``, of which the segments ``unsent`` were left out."""
        failed = receipt.HasField("failure")
        if receipt.reference_needed:
            self.encoder.forget()
        elif not receipt.one_way:  # a transmitter learns nothing from a link without a way back
            self.encoder.acknowledge(number, {0} if failed else {*unsent, *receipt.lost})
            self.gazes.learn(receipt.gazes)
        self._on_change(self)
        await self._leave()

    async def _leave(self) -> None:
        async with self._answered:
            self._under_way -= 1
            self._answered.notify_all()


class PredictedStreams:
    """The streams of a transmitter, by their senders' names for them.

    Parameters
    ----------
    limit_bytes : int
        Memory that all of them may take. The ones that have been quiet for longest begin anew to make room; pictures of
        one that takes more alone are not predicted.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._streams: OrderedDict[tuple[str, str, str], PredictedStream] = OrderedDict()

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def bytes(self) -> int:
        """Memory that their states take."""
        return sum(stream.encoder.bytes for stream in list(self._streams.values()))  # metrics ask on their own thread

    def get(self, sender: str, stream_id: str, codec: Codec) -> PredictedStream:
        """The stream that a sender calls ``stream_id``; a new one where it is not known."""
        key = (sender, stream_id, codec.fingerprint)
        stream = self._streams.pop(key, None) or PredictedStream(codec, self._trim)
        self._streams[key] = stream
        while len(self._streams) > MOST_STREAMS:
            self._streams.popitem(last=False)
        return stream

    def _trim(self, changed: PredictedStream) -> None:
        """Keep to the memory that all may take, after one has changed."""
        too_many = self.bytes - self._limit
        for key, stream in list(self._streams.items()):
            if too_many <= 0:
                return
            if stream is not changed:
                too_many -= stream.encoder.bytes
                del self._streams[key]
        if changed.encoder.bytes > self._limit:
            changed.encoder.forget()
