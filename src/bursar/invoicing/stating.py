"""Statements are filled, and made by themselves as periods end; each exactly once, however many workers there are.

An account that is due is locked, its statement made, filled and, where its settings say so, approved, and the account
moved on to its next period: all in one transaction. What a worker leaves undone, because it was killed or because
another held it, the next round finds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bursar.accounts.invoice_terms import (
    InvoiceTerms,
    StatementSettings,
    advance,
    lock_invoice_terms,
    state_accounts,
    statement_settings,
    take_due,
)
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.invoice_periods import InvoiceType, period_before
from bursar.core.page import Page, key_of
from bursar.core.period import Period
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.invoicing.statement_model import REACHED, TYPES, next_window
from bursar.invoicing.statements import queries

BATCH = 200
"""Statements made or filled in one transaction."""


@dataclass(slots=True)
class StatementReport:
    """What became of statements that were due."""

    filled: int = 0
    """Those made by hand."""
    made: int = 0
    failed: set[int] = field(default_factory=set)
    """Internal keys of accounts whose next statement cannot be made."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An account whose next statement cannot be made as things stand."""

    account: str
    number: int
    """Its number at the carrier's door."""
    ends_at: datetime
    error: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class _Due:
    """An automatic statement that is to be made."""

    terms: InvoiceTerms
    type: InvoiceType
    window: Period


async def run_statements(db: Database, caller: Caller) -> StatementReport:
    """Fill what was asked for, and make what is due by the workspace's present. Safe to run twice, to race, to kill.

    An account that missed several periods gets one statement in each round, the oldest period first.
    """
    report = StatementReport(filled=await fill_new(db, caller))

    async def once(connection: Connection) -> int | None:
        return await _make_some(connection, caller, report.failed)

    while (made := await db.run(caller.workspace, once)) is not None:
        crash.point("statements committed")
        report.made += made
    return report


async def fill_new(db: Database, caller: Caller) -> int:
    """Fill the workspace's new statements; returns how many."""
    filled = 0

    async def once(connection: Connection) -> int:
        rows = await connection.fetch(queries.take_new, caller.workspace, BATCH)
        if rows:
            await lock_invoice_terms(connection, caller.workspace, [row["account"] for row in rows])
            await _fill(connection, caller, rows)
            await audit.record(connection, caller, "fill", "statements", "", _numbers(rows))
        return len(rows)

    while some := await db.run(caller.workspace, once):
        filled += some
    return filled


async def workspaces_to_fill(db: Database) -> list[int]:
    """Keys of workspaces that have new statements."""
    async with db.transaction(None) as connection:
        return [row["workspace"] for row in await connection.fetch(queries.workspaces_with_new)]


async def list_failures(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Failure]:
    """Accounts whose next statement cannot be made, in the order of their making."""
    rows = await connection.fetch(queries.list_failures, workspace, key_of(after), limit + 1)
    items = [
        Failure(row["togai_id"], row["yeti_id"], row["ends_at"], row["error"], row["recorded_at"])
        for row in rows[:limit]
    ]
    return Page(items, str(rows[limit - 1]["account"]) if len(rows) > limit else None)


async def _make_some(connection: Connection, caller: Caller, failed: set[int]) -> int | None:
    """One batch; None where nothing is left to do."""
    found = await take_due(connection, caller, list(failed), BATCH)
    if not found:
        return None
    accounts = [terms.account for terms, _, _ in found]
    rows = await connection.fetch(queries.last_ends, caller.workspace, accounts)
    ends = {row["account"]: row["ends_at"] for row in rows}
    due, late = [], []
    for terms, kind, coming in found:
        before = [ends[terms.account]] if terms.account in ends else []
        window = next_window(period_before(kind, coming.at, terms.zone), before)
        if window is None:
            late.append((terms.account, coming.at))
        else:
            due.append(_Due(terms, coming.type, window))
    await _keep_failures(connection, caller, late)
    failed.update(account for account, _ in late)
    if due:
        await _make(connection, caller, due)
    return len(due)


async def _make(connection: Connection, caller: Caller, due: Sequence[_Due]) -> None:
    settings = await statement_settings(connection, caller.workspace, [entry.terms.account for entry in due])
    rows = await connection.fetch(
        queries.insert_statements,
        caller.workspace,
        caller.now,
        [entry.terms.account for entry in due],
        [entry.terms.currency for entry in due],
        [settings[entry.terms.account].reference for entry in due],
        [TYPES[entry.type] for entry in due],
        [entry.window.start for entry in due],
        [entry.window.end for entry in due],
    )
    crash.point("statements made")
    await _fill(connection, caller, rows)
    approved = await _approve(connection, caller, rows, settings)
    await advance(connection, caller.workspace, [entry.terms for entry in due])
    await connection.execute(queries.drop_failures, caller.workspace, [entry.terms.account for entry in due])
    await audit.record(connection, caller, "create", "statements", "", {**_numbers(rows), "approved": approved})
    crash.point("statements advanced")


async def _fill(connection: Connection, caller: Caller, rows: Sequence[Row]) -> None:
    """Fill new statements, whose accounts' terms are locked.

    Charges under way hold the terms of their account until they commit, so they are all there now; those that come
    later are dated no earlier than what is stated.
    """
    keys = [row["key"] for row in rows]
    await state_accounts(connection, caller.workspace, [(row["account"], row["ends_at"]) for row in rows])
    await connection.execute(queries.insert_services, caller.workspace, keys)
    filled = await connection.fetch(queries.sum_statements, caller.workspace, keys)
    assert len(filled) == len(keys), "a statement is filled once"


async def _approve(
    connection: Connection, caller: Caller, rows: Sequence[Row], settings: Mapping[int, StatementSettings]
) -> int:
    keys = [row["key"] for row in rows if settings[row["account"]].auto_approve]
    if keys:
        await connection.execute(queries.approve_statements, caller.workspace, keys, caller.now)
    return len(keys)


async def _keep_failures(connection: Connection, caller: Caller, late: Sequence[tuple[int, datetime]]) -> None:
    if late:
        accounts, ends = [account for account, _ in late], [end for _, end in late]
        await connection.execute(queries.keep_failures, caller.workspace, caller.wall, REACHED, accounts, ends)


def _numbers(rows: Sequence[Row]) -> dict[str, int]:
    numbers = [row["yeti_id"] for row in rows]
    return {"count": len(numbers), "first": min(numbers), "last": max(numbers)}
