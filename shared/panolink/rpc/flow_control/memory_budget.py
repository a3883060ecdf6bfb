"""Memory budget shared by all streams of a service.

Requests exceeding the budget block, applying back-pressure to the stream that made them.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Reservation:
    """A share of a `MemoryBudget`, held until it is released; releasing is idempotent."""

    def __init__(self, memory: MemoryBudget, amount: int) -> None:
        self._memory = memory
        self._amount = amount

    def release(self) -> None:
        """Return the share to the budget."""
        amount, self._amount = self._amount, 0
        self._memory._give_back(amount)


class MemoryBudget:
    """A counting semaphore over an amount, served first come, first served.

    Parameters
    ----------
    size
        Total amount, in whatever unit reservations are made (bytes, pixels).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Amount reserved at present."""
        return self.size - self._free

    async def reserve(self, amount: int) -> Reservation:
        """Reserve an amount, waiting until it is available.

        Parameters
        ----------
        amount
            Amount wanted; more than the whole budget is clipped to it, so that a large request runs alone.

        Returns
        -------
        Reservation
            To be released by the caller.
        """
        amount = min(amount, self.size)
        if self._queue or amount > self._free:
            granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            request = (amount, granted)
            self._queue.append(request)
            try:
                await granted
            except asyncio.CancelledError:
                if request in self._queue:
                    self._queue.remove(request)
                    self._give_back(0)  # later requests may fit now
                else:  # granted and cancelled in the same iteration of the loop
                    self._give_back(amount)
                raise
        else:
            self._free -= amount
        return Reservation(self, amount)

    def _give_back(self, amount: int) -> None:
        self._free += amount
        while self._queue and self._queue[0][0] <= self._free:
            wanted, granted = self._queue.popleft()
            self._free -= wanted
            if not granted.done():
                granted.set_result(None)
