"""The bill run: what is due is issued, exactly once.

Two phases, each in transactions of its own. First the periods are closed: behind the gate, so that every event of
theirs is committed or refused from then on. Then batches of invoices are drawn up, posted, numbered and frozen. What a
run leaves undone, because it was killed or because another run was at it, the next one finds.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from bursar.accounts.service import close
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.errors import Invalid
from bursar.core.period import show_instant
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.invoicing import store
from bursar.invoicing.content import Drawn, draw_up_all, posting_of
from bursar.invoicing.model import postable, sequence_id, status_at_issue
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.release import defer, release_due
from bursar.invoicing.store import queries
from bursar.ledger.service import post_all

BATCH = 200
"""Invoices issued in one transaction."""
_CLOSE_BATCH = 500
_CLOSE_ATTEMPTS = 20

Progress = Callable[[int, int], None]
"""Called with how many are issued and how many were due."""


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
) -> BillReport:
    """Issue every invoice of the workspace that is due by `as_of` (its present, if not given).

    Raises `Invalid` for an instant that the workspace's clock has not reached. Safe to run twice, to race and to kill.
    """
    moment = caller.now if as_of is None else as_of
    if moment > caller.now:
        raise Invalid("asOf", f"lies ahead of the workspace's clock, which shows {show_instant(caller.now)}")
    report = BillReport(moment)
    while True:
        report.opened += await open_cycles(db, caller, moment)
        if not await _close_some(db, caller, moment):
            break
    async with db.transaction(caller.workspace) as connection:
        due: int = await connection.fetchval(queries.count_due, caller.workspace, moment)
    skipped: list[int] = []

    async def issue(connection: Connection) -> tuple[list[Drawn], list[Drawn]]:
        return await _issue_some(connection, caller, moment, skipped, batch)

    while True:
        drawn, failed = await db.run(caller.workspace, issue)
        if not drawn and not failed:
            await release_due(db, caller, moment)
            return report
        crash.point("invoices committed")
        skipped.extend(one.header.key for one in failed)
        report.failed.extend(one.header.id for one in failed)
        report.issued += len(drawn)
        if drawn:
            report.first = report.first or drawn[0].document.sequence_id
            report.last = drawn[-1].document.sequence_id
        progress(report.issued, due)


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


async def _issue_some(
    connection: Connection, caller: Caller, as_of: datetime, skipped: Sequence[int], limit: int
) -> tuple[list[Drawn], list[Drawn]]:
    """Issue one batch. Returns what was issued, and what cannot be."""
    keys = [
        row["key"] for row in await connection.fetch(queries.lock_due, caller.workspace, as_of, list(skipped), limit)
    ]
    headers = await store.headers(connection, caller.workspace, keys)
    all_drawn = await draw_up_all(connection, caller.workspace, headers)
    drawn = [one for one in all_drawn if postable(one.content)]
    failed = [one for one in all_drawn if not postable(one.content)]
    if not drawn:
        return [], failed
    transactions = [posting for one in drawn if (posting := posting_of(one)) is not None]
    await post_all(connection, caller, transactions)
    crash.point("invoices posted")
    # Last of all: the series is held until the commit, and other runs wait for it.
    numbers = await store.draw_numbers(connection, caller.workspace, len(drawn))
    issued = [_numbered(one, number) for one, number in zip(drawn, numbers, strict=True)]
    hashes = await store.freeze(
        connection,
        caller.workspace,
        caller.now,
        [(one.header, number, one.document) for one, number in zip(issued, numbers, strict=True)],
    )
    crash.point("invoices frozen")
    statuses = [(one.header.key, status_at_issue(one.document.total)) for one in issued]
    await store.set_statuses(connection, caller.workspace, caller.wall, statuses)
    await defer(connection, caller, [(one.header.key, one.document) for one in issued])
    detail = {
        "count": len(issued),
        "first": issued[0].document.sequence_id,
        "last": issued[-1].document.sequence_id,
        "digest": hashlib.sha256(b"".join(hashes)).hexdigest(),
    }
    await audit.record(connection, caller, "issue", "invoices", "", detail)
    crash.point("invoices issued")
    return issued, failed


def _numbered(one: Drawn, number: int) -> Drawn:
    document = msgspec.structs.replace(one.document, sequence_id=sequence_id(number))
    return Drawn(one.header, document, one.content)
