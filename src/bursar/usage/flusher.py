"""What carries flushes out: at once where they are small and plain, in steps where not, again where they met others."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from bursar.accounts import gate
from bursar.core.errors import Unavailable
from bursar.db.database import Database
from bursar.usage.at_once import fits, flush_at_once
from bursar.usage.flush import SETUP, Receipt, Sift, Submission, flush
from bursar.usage.states import State
from bursar.usage.views import Views

ATTEMPTS = 20
"""How often a flush that met another one on the same ids is run. Each time it gets past the id that it met."""
CAUTION = 20
"""Flushes that look first which ids are taken, after one that met such an id: where there is one, there are more."""
DETOUR = 5
"""Flushes that are not tried at once behind one that was not so plain, or met a change: there may be more like it."""
RACES = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
SLOTS = 32_000
"""Flushers draw their counter rows from so many, so that two processes hardly ever share one."""


@dataclass(slots=True)
class Caution:
    """What the flushers of a process share about ids that are taken."""

    flushes: int = 0
    """How many more of them look which are, before one does not."""


class Flusher:
    """One connection, and what it keeps between its flushes."""

    def __init__(self, db: Database, clock: Callable[[], datetime], sift: Sift | None, caution: Caution) -> None:
        """`sift` has a say in what goes on in every flush; None lets everything."""
        self.session = db.session(*SETUP)
        self._views = Views()
        self._slot = random.randrange(SLOTS)  # noqa: S311 - guards nothing
        self._clock = clock
        self._sift = sift
        self._caution = caution
        self._detour = 0
        """How many more flushes are not tried at once, behind one for which that was in vain."""

    async def close(self) -> None:
        """End the connection."""
        await self.session.close()

    def forget(self) -> None:
        """Drop what was read, after a flush that did not commit."""
        self._views.forget()

    async def commit(self, submissions: list[Submission]) -> list[Receipt]:
        """Admit submissions in one transaction; one receipt each, in their order.

        Raises `Unavailable` where PostgreSQL is away, or the same ids keep arriving elsewhere; whatever a flush raises.
        """
        caution = self._caution
        for _ in range(ATTEMPTS):
            look = caution.flushes > 0
            try:
                receipts = None if look else await self._at_once(submissions)
                if receipts is None:
                    receipts = await self._in_steps(submissions, look=look)
            except RACES:
                caution.flushes = CAUTION
                self.forget()
            else:
                repeated = any(one.known or State.FAILED_DUPLICATE_EVENT in one.states for one in receipts)
                caution.flushes = CAUTION if repeated else max(0, caution.flushes - 1)
                return receipts
        raise Unavailable("the same event ids are arriving from many senders at once; send them again shortly")

    async def _at_once(self, submissions: list[Submission]) -> list[Receipt] | None:
        """A flush in one statement; None where it is not small and plain enough, or that was in vain."""
        if self._sift is not None or not fits(submissions):
            return None
        if self._detour:
            self._detour -= 1
            return None
        async with self.session.alone() as connection:
            receipts = await flush_at_once(connection, self._views, submissions, self._clock(), self._slot)
        if receipts is None:
            self._detour = DETOUR
        return receipts

    async def _in_steps(self, submissions: list[Submission], *, look: bool) -> list[Receipt]:
        gates = gate.passing({submission.workspace for submission in submissions})
        async with self.session.transaction(gates) as connection:
            return await flush(connection, self._views, submissions, self._clock(), self._slot, self._sift, look=look)
