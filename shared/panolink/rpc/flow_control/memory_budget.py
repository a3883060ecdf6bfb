"""Memory budget shared by all streams of a service.

Requests exceeding the budget block, applying back-pressure to the stream that made them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


class Reservation:
    """A share of a `MemoryBudget`, held until it is released; releasing is idempotent.

    Parameters
    ----------
    memory
        The budget.
    amount
        What is held.
    growing
        Whether more is to come, see `grow`.
    """

    def __init__(self, memory: MemoryBudget, amount: int, *, growing: bool = False) -> None:
        self._memory = memory
        self._amount = amount
        self._growing = growing
        self._holders, self._released = 1, False

    async def grow(self, amount: int, *, complete: bool = False) -> None:
        """Add to the share, waiting until that is available.

        Parameters
        ----------
        amount
            What to add.
        complete
            Nothing more is to come: once it has this, the holder needs nobody else's memory to finish.
        """
        await self._memory._take(amount, self, complete=complete)
        self._amount += amount

    def settle(self) -> None:
        """Nothing more is to come, after all."""
        if self._growing:
            self._growing = False
            self._memory._settled += self._amount

    def held(self) -> Callable[[], None]:
        """Keep the share beyond `release`, until what this returns is called, once.

        For work that goes on when whoever has reserved is gone.
        """
        self._holders += 1
        return self._let_go

    def release(self) -> None:
        """Return the share to the budget, once nobody else holds it."""
        if not self._released:
            self._released = True
            self._let_go()

    def _let_go(self) -> None:
        self._holders -= 1
        if self._holders:
            return
        amount, self._amount = self._amount, 0
        settled, self._growing = not self._growing, False
        self._memory._give_back(amount, self, settled=settled)


class MemoryBudget:
    """A counting semaphore over an amount, served first come, first served.

    Items that arrive piece by piece hold what has arrived (`open`). Where incomplete items alone hold memory, they
    would wait for one another for ever: one of them at a time may exceed the budget.

    Parameters
    ----------
    size
        Total amount, in whatever unit reservations are made (bytes, pixels).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._settled = 0
        self._exceeding: Reservation | None = None
        self._queue: deque[_Request] = deque()

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
        reservation = Reservation(self, 0)
        await self._take(amount, reservation, complete=True)
        reservation._amount = amount
        return reservation

    def charge(self, amount: int) -> Reservation:
        """Reserve at once what is held already, beyond the budget if need be: others wait until there is room again."""
        reservation = Reservation(self, amount)
        self._free -= amount
        self._settled += amount
        return reservation

    def open(self) -> Reservation:
        """A reservation of nothing yet, to `grow`; or to `settle`, should it end early."""
        return Reservation(self, 0, growing=True)

    async def _take(self, amount: int, reservation: Reservation, *, complete: bool) -> None:
        request = _Request(amount, reservation, complete, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self._serve_queue()
        try:
            await request.granted
        except asyncio.CancelledError:
            if request in self._queue:
                self._queue.remove(request)
                self._serve_queue()  # later requests may fit now
            else:  # granted and cancelled in the same iteration of the loop
                self._give_back(amount, reservation, settled=not reservation._growing)
            raise

    def _grantable(self, request: _Request) -> bool:
        if request.amount <= self._free:
            return True
        growing = request.reservation._growing
        return growing and not self._settled and self._exceeding in (None, request.reservation)

    def _grant(self, request: _Request) -> None:
        reservation = request.reservation
        if request.amount > self._free:
            self._exceeding = reservation
        self._free -= request.amount
        if request.complete:
            reservation.settle()
        if not reservation._growing:
            self._settled += request.amount
        if not request.granted.done():
            request.granted.set_result(None)

    def _give_back(self, amount: int, reservation: Reservation, *, settled: bool) -> None:
        self._free += amount
        if settled:
            self._settled -= amount
        if self._exceeding is reservation:
            self._exceeding = None
        self._serve_queue()

    def _serve_queue(self) -> None:
        """Grant requests in their order; the item that exceeds the budget comes first: all wait for it."""
        for request in [one for one in self._queue if one.reservation is self._exceeding]:
            self._queue.remove(request)
            self._queue.appendleft(request)
        while self._queue and self._grantable(self._queue[0]):
            self._grant(self._queue.popleft())


@dataclass(frozen=True, eq=False)
class _Request:
    """Amount that a reservation waits for; `complete`: it is the last."""

    amount: int
    reservation: Reservation
    complete: bool
    granted: asyncio.Future[None]
