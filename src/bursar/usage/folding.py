"""Adds to the rollups what flushes measured, a moment later, and lists their events by account.

Of many flushes together it is a tenth of the work. A flush has hardly two events for one rollup, and all flushes raise
the same ones, those of this quarter of an hour: one would wait for the other. So each keeps its sums (`usage_delta`)
and what is to be listed (`event_unlisted`) beside, in the transaction of its events, and readers look at both. Nothing
depends on when they are folded in, or by which process, and a crash that undoes it loses nothing.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterable
from datetime import timedelta

import structlog

from bursar.core.errors import Unavailable
from bursar.db.database import Database, Session
from bursar.db.queries import Queries
from bursar.usage import listings
from bursar.usage.flush import SETUP

queries = Queries("bursar.usage")
_log = structlog.get_logger()

BEAT = timedelta(seconds=1)
"""How long sums gather. More of them are less work to fold in, and more for readers to count."""
AT_ONCE = 1000
"""Rows in one transaction."""
SLOW = 1
"""Seconds that it may take beside others that want the processors: what gathers meanwhile is work for readers."""
HURRY = 5
"""Seconds for which it gives way to nobody, behind a time that was slow."""
SECOND = 1_000_000_000
LAZILY = "set synchronous_commit = off"
"""It waits for no disk: where a crash undoes it, what it took away is there again, and is folded in by the next one."""
_ALONE = "select pg_advisory_xact_lock(7215006, {:d})"
"""One folds a workspace at a time: two would wait for each other's rollups."""


class Folding:
    """Folding for one process. `start`, then `added` after each flush, then `stop`."""

    def __init__(self, db: Database) -> None:
        self._gentle = db.session(*SETUP, LAZILY, gentle=True)
        self._urgent = db.session(*SETUP, LAZILY)
        self._hurried_until = 0
        """Nanoseconds of the monotonic clock: until then it gives way to nobody."""
        self._noted: set[int] = set()
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with what a process that was killed may have left."""
        self._task = asyncio.create_task(self._work())

    def added(self, workspaces: Iterable[int]) -> None:
        """Flushes of these have committed."""
        self._noted.update(workspaces)
        self._woken.set()

    async def stop(self) -> None:
        """Fold what is left, once, then end."""
        self._hurried_until = sys.maxsize
        self._stopping.set()
        self._woken.set()
        if self._task is not None:
            await self._task
        await self._gentle.close()
        await self._urgent.close()

    @property
    def _session(self) -> Session:
        return self._urgent if time.monotonic_ns() < self._hurried_until else self._gentle

    async def _work(self) -> None:
        asked = await self._left()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), BEAT.total_seconds())
            self._woken.clear()
            if asked:
                await self._fold_in_time()
            else:
                asked = await self._left()
            if self._stopping.is_set():
                return
            if asked and not self._noted:
                await self._woken.wait()

    async def _left(self) -> bool:
        """Note what others have left; returns whether PostgreSQL could be asked."""
        try:
            async with self._session.transaction() as connection:
                self._noted.update(row["workspace"] for row in await connection.fetch(queries.unfolded))
        except Exception as error:  # noqa: BLE001 - it is asked again, and events are let in meanwhile
            _say(error)
            return False
        return True

    async def _fold_in_time(self) -> None:
        """As `_fold`; what would take long beside others is done at their cost."""
        began = time.monotonic_ns()
        await self._fold()
        ended = time.monotonic_ns()
        if ended - began > SLOW * SECOND:
            self._hurried_until = max(self._hurried_until, ended + HURRY * SECOND)

    async def _fold(self) -> None:
        """Everything that is noted; what fails stays noted, and is asked to come again."""
        for workspace in sorted(self._noted):
            try:
                self._noted.discard(workspace)
                while await self._folded(workspace) == AT_ONCE:
                    pass
                while await self._listed(workspace):
                    pass
            except Exception as error:  # noqa: BLE001 - the trouble of one workspace is not another's
                self._noted.add(workspace)
                _say(error, workspace)
                if isinstance(error, Unavailable):
                    return

    async def _folded(self, workspace: int) -> int:
        """Fold some rows in, and return how many."""
        async with self._session.transaction(_ALONE.format(workspace)) as connection:
            count: int = await connection.fetchval(queries.fold, workspace, AT_ONCE)
        return count

    async def _listed(self, workspace: int) -> bool:
        async with self._session.transaction(_ALONE.format(workspace)) as connection:
            return await listings.list_some(connection, workspace)


def _say(error: Exception, workspace: int | None = None) -> None:
    """Log what nobody looked for; that PostgreSQL is away is said by others."""
    if not isinstance(error, Unavailable):
        _log.error("fold_failed", workspace=workspace, error=repr(error), exc_info=error)
