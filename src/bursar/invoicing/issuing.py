"""Issuing: invoices posted, numbered, frozen, paid as far as credits and wallets reach; one transaction a batch."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import msgspec

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.invoicing import custom_items, license_refunds, settlement, store
from bursar.invoicing.adjustments import note_taken
from bursar.invoicing.content import Drawn, draw_up_all, posting_of
from bursar.invoicing.crediting import use_credits
from bursar.invoicing.model import postable, sequence_id, status_at_issue
from bursar.invoicing.release import defer
from bursar.invoicing.store import queries
from bursar.ledger import account_wallets
from bursar.ledger.service import post_all

BATCH = 200
"""Invoices issued in one transaction."""
_ABREAST = 2
"""Batches in hand at once: PostgreSQL writes one while this process draws up the other."""

T = TypeVar("T")


@dataclass(slots=True)
class Issued:
    """What was issued."""

    count: int = 0
    first: int | None = None
    last: int | None = None
    """The lowest and the highest number that was given."""
    failed: list[str] = field(default_factory=list)
    """Ids of invoices that stay drafts because an amount is too large to be posted."""

    def add(self, other: "Issued") -> None:
        """Count in what another has issued."""
        self.count += other.count
        self.first = min((one for one in (self.first, other.first) if one is not None), default=None)
        self.last = max((one for one in (self.last, other.last) if one is not None), default=None)
        self.failed = sorted({*self.failed, *other.failed})


async def issue_due(
    db: Database, caller: Caller, as_of: datetime, told: Callable[[int], None], batch: int = BATCH, *,
    alone: bool = False,
) -> Issued:  # fmt: skip
    """Issue the due invoices of closed periods until none is left that nobody else is at; `alone`: until none is left.

    `told` hears of each batch how many it was. Safe to race and to kill.
    """
    run = _Run(caller, as_of, batch, alone=alone)
    issued = Issued()

    async def issue() -> None:
        while numbers := await db.run(caller.workspace, run.issue_some):
            issued.add(_committed(numbers))
            told(len(numbers))

    await together(issue() for _ in range(1 if alone else min(_ABREAST, db.size)))
    issued.failed = sorted(run.failed.values())
    return issued


async def issue_customs(
    db: Database, caller: Caller, as_of: datetime, told: Callable[[int], None], batch: int = BATCH, *,
    alone: bool = False,
) -> Issued:  # fmt: skip
    """Issue the custom drafts that advance by themselves and are due, as `issue_due` does the others."""
    issued = Issued()

    async def issue_some(connection: Connection) -> range:
        await connection.execute(queries.await_runs if alone else queries.join_runs, caller.workspace)
        return await _issue_some_customs(connection, caller, as_of, batch)

    while numbers := await db.run(caller.workspace, issue_some):
        issued.add(_committed(numbers))
        told(len(numbers))
    return issued


def _committed(numbers: range) -> Issued:
    crash.point("invoices committed")
    return Issued(len(numbers), numbers[0], numbers[-1])


async def _issue_some_customs(connection: Connection, caller: Caller, as_of: datetime, limit: int) -> range:
    rows = await connection.fetch(custom_items.queries.lock_due_customs, caller.workspace, as_of, limit)
    if not rows:
        return range(0)
    headers = await store.headers(connection, caller.workspace, [row["key"] for row in rows])
    drawn = await draw_up_all(connection, caller.workspace, headers, take=True)
    return (await _issue(connection, caller, drawn))[1]


async def together(work: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Wait for all of it; where one fails, the others are stopped before whoever waits is told."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class _Run:
    """Batches of one bill run: while one is being written, the next is drawn up.

    They are written in the order in which they were chosen, so that numbers rise with due dates.
    """

    def __init__(self, caller: Caller, as_of: datetime, limit: int, *, alone: bool) -> None:
        self._caller = caller
        self._join = queries.await_runs if alone else queries.join_runs
        self._as_of = as_of
        self._limit = limit
        self._choosing = asyncio.Lock()
        self._written = asyncio.Event()
        self._written.set()
        self.failed: dict[int, str] = {}
        """Invoices that cannot be posted: keys and ids."""

    async def issue_some(self, connection: Connection) -> range:
        """Issue one batch; returns its numbers. An empty one says that nothing is left to do."""
        while True:
            async with self._choosing:
                keys = await self._choose(connection)
                before, self._written = self._written, asyncio.Event()
                written = self._written
            try:
                headers = await store.headers(connection, self._caller.workspace, keys)
                drawn = await draw_up_all(connection, self._caller.workspace, headers, take=True)
                good = [one for one in drawn if postable(one.content)]
                self.failed |= {one.header.key: one.header.id for one in drawn if not postable(one.content)}
                await before.wait()
                if good or not keys:
                    return await self._write(connection, good) if good else range(0)
            finally:
                # Before the commit, but behind the series, which whoever comes next waits for.
                written.set()

    async def _choose(self, connection: Connection) -> list[int]:
        await connection.execute(self._join, self._caller.workspace)
        rows = await connection.fetch(
            queries.lock_due, self._caller.workspace, self._as_of, list(self.failed), self._limit
        )
        return [row["key"] for row in rows]

    async def _write(self, connection: Connection, drawn: Sequence[Drawn]) -> range:
        """Issue a batch; returns its numbers."""
        _, numbers = await _issue(connection, self._caller, drawn)
        return numbers


async def issue(connection: Connection, caller: Caller, drawn: Sequence[Drawn]) -> list[Drawn]:
    """Issue invoices, whose rows the caller holds and whose content is `model.postable`; returns them with numbers.

    Their numbers are in the order given. The series is held until the transaction ends: do nothing slow after it.
    """
    return (await _issue(connection, caller, drawn))[0]


async def _issue(connection: Connection, caller: Caller, drawn: Sequence[Drawn]) -> tuple[list[Drawn], range]:
    """Let credits pay, post, number and freeze, and let wallets pay."""
    await license_refunds.refund(connection, caller, [(one.header, one.document) for one in drawn])
    # Credits are held first, then wallets, then other balances, whoever holds them.
    payable_by_credits = [one for one in drawn if one.header.uses_credits]
    documents = await use_credits(
        connection, caller, [(one.header.account, one.document) for one in payable_by_credits]
    )
    paid = {one.header.key: document for one, document in zip(payable_by_credits, documents, strict=True)}
    drawn = [Drawn(one.header, paid.get(one.header.key, one.document), one.content) for one in drawn]
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
    await note_taken(connection, caller.workspace, [(one.header.key, one.document) for one in issued])
    await defer(connection, caller, [(one.header.key, one.document) for one in issued])
    if payable := [one.header.key for one in issued if one.header.account in funds and one.header.uses_wallet]:
        await settlement.pay_from_wallets(connection, caller, payable)
    first, last = issued[0].document.sequence_id, issued[-1].document.sequence_id
    digest = hashlib.sha256(b"".join(hashes)).hexdigest()
    detail = {"count": len(issued), "first": first, "last": last, "digest": digest}
    await audit.record(connection, caller, "issue", "invoices", "", detail)
    crash.point("invoices issued")
    return issued, numbers


def _numbered(one: Drawn, number: int) -> Drawn:
    document = msgspec.structs.replace(one.document, sequence_id=sequence_id(number))
    return Drawn(one.header, document, one.content)
