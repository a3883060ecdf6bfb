"""Memory that all streams of a service share: who does not fit in waits, and whoever feeds the stream with it."""

from __future__ import annotations

import asyncio
from collections import deque


class Reservation:
    """A part of a room, until it is released; releasing it again does nothing."""

    def __init__(self, memory: MemoryBudget, amount: int) -> None:
        self._memory = memory
        self._amount = amount

    def release(self) -> None:
        amount, self._amount = self._amount, 0
        self._memory._give_back(amount)


class MemoryBudget:
    """So much and no more at a time, first come first served; what is larger than the whole room gets all of it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """How much is held."""
        return self.size - self._free

    async def reserve(self, amount: int) -> Reservation:
        """Wait until there is room for so much, and hold it."""
        amount = min(amount, self.size)
        if self._waiting or amount > self._free:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            place = (amount, turn)
            self._waiting.append(place)
            try:
                await turn
            except asyncio.CancelledError:
                if place in self._waiting:
                    self._waiting.remove(place)
                    self._give_back(0)  # those behind may fit in
                else:  # it was our turn at the same moment
                    self._give_back(amount)
                raise
        else:
            self._free -= amount
        return Reservation(self, amount)

    def _give_back(self, amount: int) -> None:
        self._free += amount
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            self._free -= wanted
            if not turn.done():
                turn.set_result(None)
