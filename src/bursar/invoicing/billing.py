"""The bill run: what is due is issued, exactly once.

Two phases, each in transactions of its own. First the periods are closed: behind the gate, so that every event of
theirs is committed or refused from then on. Then batches of invoices are drawn up, posted, numbered and frozen. What
another run has in hand is waited for in the end; what one that was killed has left undone, the next one finds.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from bursar.accounts.service import close
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.errors import Invalid
from bursar.core.period import show_instant
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.invoicing.composites import merge_due
from bursar.invoicing.issuing import BATCH, Issued, issue_customs, issue_due, together
from bursar.invoicing.model import sequence_id
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.release import release_due
from bursar.invoicing.store import queries

_CLOSE_BATCH = 500
_CLOSE_ATTEMPTS = 20

Progress = Callable[[int, int], None]
"""Called with how many are issued and how many were due."""
Hand = Callable[[Callable[[int], None]], Coroutine[None, None, Issued | None]]
"""Does as `issue_due` does, elsewhere; None says that it was lost on the way."""
Hands = Callable[[Database, Caller, datetime, int], AbstractAsyncContextManager[Sequence[Hand]]]
"""Offers hands for a run: its database, caller, instant, and how many invoices are due."""


@asynccontextmanager
async def no_hands(_db: Database, _caller: Caller, _as_of: datetime, _due: int) -> AsyncIterator[Sequence[Hand]]:
    """A run of this process alone."""
    yield []


@dataclass(slots=True)
class BillReport:
    """What a bill run did."""

    as_of: datetime
    opened: int = 0
    """Cycles that got their draft."""
    issued: int = 0
    first: str | None = None
    last: str | None = None
    """Numbers of the first and the last invoice that it issued."""
    failed: list[str] = field(default_factory=list)
    """Ids of invoices that stay drafts because an amount is too large to be posted."""


class _SchedulesChanged(Exception):
    """A change of schedules was committed while periods were about to be closed."""


async def bill(
    db: Database,
    caller: Caller,
    as_of: datetime | None = None,
    progress: Progress = lambda _done, _due: None,
    batch: int = BATCH,
    hands: Hands = no_hands,
) -> BillReport:
    """Issue every invoice of the workspace that is due by `as_of` (its present, if not given), together with `hands`.

    Raises `Invalid` for an instant that the workspace's clock has not reached. Safe to run twice, to race and to kill.
    """
    moment = caller.now if as_of is None else as_of
    if moment > caller.now:
        raise Invalid("asOf", f"lies ahead of the workspace's clock, which shows {show_instant(caller.now)}")
    report = BillReport(moment, await open_cycles(db, caller, moment))
    due = await _count_due(db, caller, moment)

    def told(count: int) -> None:
        report.issued += count
        progress(report.issued, due)

    async def issue(told: Callable[[int], None]) -> Issued:
        return await issue_due(db, caller, moment, told, batch)

    async with hands(db, caller, moment, due) as others:
        while await _close_some(db, caller, moment):
            report.opened += await open_cycles(db, caller, moment)
        parts = await together(hand(told) for hand in [issue, *others])
    if None in parts:
        parts.append(await issue(told))
    parts.append(await issue_customs(db, caller, moment, told, batch))
    if await _count_due(db, caller, moment):
        # Another run may have them in hand: whoever asked for this one is to find them issued, not about to be.
        parts.append(await issue_due(db, caller, moment, told, batch, alone=True))
        parts.append(await issue_customs(db, caller, moment, told, batch, alone=True))
    whole = Issued()
    for part in parts:
        whole.add(part or Issued())
    report.first, report.last = (None if n is None else sequence_id(n) for n in (whole.first, whole.last))
    report.failed = whole.failed
    await merge_due(db, caller, moment)
    await release_due(db, caller, moment)
    return report


async def _count_due(db: Database, caller: Caller, as_of: datetime) -> int:
    async with db.transaction(caller.workspace) as connection:
        count: int = await connection.fetchval(queries.count_due, caller.workspace, as_of)
        return count


async def _close_some(db: Database, caller: Caller, as_of: datetime) -> int:
    """Close the periods of some due drafts to events; returns of how many, zero where all are closed."""
    for _ in range(_CLOSE_ATTEMPTS):
        try:
            return await db.run(caller.workspace, lambda connection: _close_batch(connection, caller, as_of))
        except _SchedulesChanged:
            await open_cycles(db, caller, as_of)
    return 0


async def _close_batch(connection: Connection, caller: Caller, as_of: datetime) -> int:
    rows = await connection.fetch(queries.list_to_close, caller.workspace, as_of, _CLOSE_BATCH)
    if not rows:
        return 0
    await close(connection, caller, [(row["account"], row["starts_at"], row["ends_at"]) for row in rows])
    # The gate is held from here on: what changed the schedules before shows now, and nothing changes them after.
    accounts = list({row["account"] for row in rows})
    if await connection.fetchval(queries.some_unsettled, caller.workspace, accounts, as_of):
        raise _SchedulesChanged
    detail = {"count": len(accounts)}
    await audit.record(connection, caller, "close", "accounts", "", detail)
    crash.point("periods closed")
    return len(rows)
