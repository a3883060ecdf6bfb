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

    def begin(self, stream_id: str, sequence: int = 0) -> Turn:
        """A turn after all that have begun before, but for later pictures whose turn to be unpacked has not come.

        Parameters
        ----------
        stream_id : str
            Empty: of no stream, which waits for none.
        sequence : int
            Place of its picture in the stream; 0: not known.
        """
        turn = Turn(self, stream_id, sequence)
        if stream_id:
            turns = self._turns.setdefault(stream_id, [])
            place = len(turns)
            while place and 0 < sequence < turns[place - 1].sequence and not turns[place - 1].begun:
                place -= 1
            turns.insert(place, turn)
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

    def __init__(self, order: StreamOrder, stream_id: str, sequence: int) -> None:
        self.stream_id, self.sequence = stream_id, sequence
        self.begun = False
        """whether its burst is unpacked, or was"""
        self._order = order
        self._unpacked, self._ended = asyncio.Event(), asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether it holds up nobody any more."""
        return self._ended.is_set()

    async def to_unpack(self) -> None:
        """Wait until all bursts before have been unpacked."""
        while waiting := [turn for turn in self._order._before(self) if not turn._unpacked.is_set()]:
            await waiting[0]._unpacked.wait()
        self.begun = True

    def unpacked(self) -> None:
        """The next one may be unpacked, while this one is decoded."""
        self._unpacked.set()

    async def to_show(self) -> None:
        """Wait until all bursts before have been shown, or are not going to be."""
        while waiting := [turn for turn in self._order._before(self) if not turn.ended]:
            await waiting[0]._ended.wait()

    def end(self) -> None:
        """It has been shown, is not going to be, or waits for another round."""
        self._unpacked.set()
        self._ended.set()
        self._order._leave(self)
