"""The bill run: what is due is issued, exactly once.

Two phases, each in transactions of its own. First the periods are closed: behind the gate, so that every event of
theirs is committed or refused from then on. Then batches of invoices are drawn up, posted, numbered and frozen. What a
run leaves undone, because it was killed or because another run was at it, the next one finds.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
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
from bursar.invoicing import settlement, store
from bursar.invoicing.content import Drawn, draw_up_all, posting_of
from bursar.invoicing.crediting import use_credits
from bursar.invoicing.model import postable, sequence_id, status_at_issue
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.release import defer, release_due
from bursar.invoicing.store import queries
from bursar.ledger import account_wallets
from bursar.ledger.service import post_all

BATCH = 200
"""Invoices issued in one transaction."""
_ABREAST = 2
"""Batches in hand at once: PostgreSQL writes one while this process draws up the other."""
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
    run = _Run(caller, moment, batch)

    async def issue() -> None:
        while drawn := await db.run(caller.workspace, run.issue_some):
            crash.point("invoices committed")
            # Batches are committed in the order of their numbers.
            report.first = report.first or drawn[0].document.sequence_id
            report.last = drawn[-1].document.sequence_id
            report.issued += len(drawn)
            progress(report.issued, due)

    await _together([issue() for _ in range(min(_ABREAST, db.size))])
    report.failed.extend(run.failed.values())
    await release_due(db, caller, moment)
    return report


async def _together(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Wait for all of it; where one fails, the others are stopped before whoever waits is told."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


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


class _Run:
    """Batches of one bill run: while one is being written, the next is drawn up.

    They are written in the order in which they were chosen, so that numbers rise with due dates.
    """

    def __init__(self, caller: Caller, as_of: datetime, limit: int) -> None:
        self._caller = caller
        self._as_of = as_of
        self._limit = limit
        self._choosing = asyncio.Lock()
        self._written = asyncio.Event()
        self._written.set()
        self.failed: dict[int, str] = {}
        """Invoices that cannot be posted: keys and ids."""

    async def issue_some(self, connection: Connection) -> list[Drawn]:
        """Issue one batch; an empty one says that nothing is left to do."""
        while True:
            async with self._choosing:
                keys = await self._choose(connection)
                before, self._written = self._written, asyncio.Event()
                written = self._written
            try:
                headers = await store.headers(connection, self._caller.workspace, keys)
                drawn = await draw_up_all(connection, self._caller.workspace, headers)
                good = [one for one in drawn if postable(one.content)]
                self.failed |= {one.header.key: one.header.id for one in drawn if not postable(one.content)}
                await before.wait()
                if good or not keys:
                    return await self._write(connection, good) if good else []
            finally:
                # Before the commit, but behind the series, which whoever comes next waits for.
                written.set()

    async def _choose(self, connection: Connection) -> list[int]:
        rows = await connection.fetch(
            queries.lock_due, self._caller.workspace, self._as_of, list(self.failed), self._limit
        )
        return [row["key"] for row in rows]

    async def _write(self, connection: Connection, drawn: Sequence[Drawn]) -> list[Drawn]:
        """Post, number and freeze."""
        caller = self._caller
        # Credits are held first, then wallets, then other balances, whoever holds them.
        documents = await use_credits(connection, caller, [(one.header.account, one.document) for one in drawn])
        drawn = [Drawn(one.header, document, one.content) for one, document in zip(drawn, documents, strict=True)]
        funds = await account_wallets.spendable(
            connection, caller, {one.header.account: one.header.currency for one in drawn}
        )
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
        if payable := [one.header.key for one in issued if one.header.account in funds]:
            await settlement.pay_from_wallets(connection, caller, payable)
        first, last = issued[0].document.sequence_id, issued[-1].document.sequence_id
        digest = hashlib.sha256(b"".join(hashes)).hexdigest()
        detail = {"count": len(issued), "first": first, "last": last, "digest": digest}
        await audit.record(connection, caller, "issue", "invoices", "", detail)
        crash.point("invoices issued")
        return issued


def _numbered(one: Drawn, number: int) -> Drawn:
    document = msgspec.structs.replace(one.document, sequence_id=sequence_id(number))
    return Drawn(one.header, document, one.content)
