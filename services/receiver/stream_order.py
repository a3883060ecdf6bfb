"""Order of a stream's pictures: what arrives in order is unpacked and shown in order, however long each takes."""

from __future__ import annotations

import asyncio


class StreamOrder:
    """Turns of bursts among those of their stream."""

    def __init__(self) -> None:
        self._turns: dict[str, list[Turn]] = {}

    def __len__(self) -> int:
        """Streams of which a burst is under way."""
        return len(self._turns)

    def begin(self, stream_id: str) -> Turn:
        """A turn after all that have begun before.

        Parameters
        ----------
        stream_id : str
            Empty: of no stream, which waits for none.
        """
        turn = Turn(self, stream_id)
        if stream_id:
            self._turns.setdefault(stream_id, []).append(turn)
        return turn

    def _before(self, turn: Turn) -> list[Turn]:
        turns = self._turns.get(turn.stream_id, [])
        return turns[: turns.index(turn)] if turn in turns else []

    def _leave(self, turn: Turn) -> None:
        turns = self._turns.get(turn.stream_id, [])
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._turns.pop(turn.stream_id, None)


class Turn:
    """Place of a burst; to be ended in any case, or those behind wait for ever."""

    def __init__(self, order: StreamOrder, stream_id: str) -> None:
        self.stream_id = stream_id
        self._order = order
        self._unpacked, self._ended = asyncio.Event(), asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether it holds up nobody any more."""
        return self._ended.is_set()

    async def to_unpack(self) -> None:
        """Wait until all bursts before have been unpacked."""
        for turn in self._order._before(self):
            await turn._unpacked.wait()

    def unpacked(self) -> None:
        """The next one may be unpacked, while this one is decoded."""
        self._unpacked.set()

    async def to_show(self) -> None:
        """Wait until all bursts before have been shown, or are not going to be."""
        for turn in self._order._before(self):
            await turn._ended.wait()

    def end(self) -> None:
        """It has been shown, is not going to be, or waits for another round."""
        self._unpacked.set()
        self._ended.set()
        self._order._leave(self)
