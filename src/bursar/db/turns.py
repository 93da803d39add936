"""Turns: those who are going to lock the same rows come one after the other, without holding a connection meanwhile.

PostgreSQL would let them wait as well, each on a connection of the pool, of which there are few.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from bursar.core.errors import Unavailable


class Turns:
    """The turns of one process, by whatever names the rows."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, name: Hashable, patience: float | None = None) -> AsyncIterator[None]:
        """Wait for the turn of a name. Raises `Unavailable` after `patience` seconds; None waits for ever."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        try:
            async with asyncio.timeout(patience):
                await lock.acquire()
        except TimeoutError:
            raise Unavailable("too many requests for the same object are waiting; try again shortly") from None
        try:
            yield
        finally:
            lock.release()
