"""Composites: what falls due in a group on one day becomes one invoice, as soon as the day has ended.

The parts stay as they were issued, and are MERGED. What their accounts owed of them moves to the account that has been
in the group longest: from then on the composite is what is owed and paid. Where it is taken back, its parts are DUE
again.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec

from bursar.core import crash, ids
from bursar.core.caller import Caller
from bursar.core.cycles import local_date, local_midnight
from bursar.core.decimals import plain
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.invoicing import store
from bursar.invoicing.content import draw_up_all
from bursar.invoicing.document import Document
from bursar.invoicing.group_store import members_of, queries
from bursar.invoicing.model import sequence_id
from bursar.ledger.model import Kind, LedgerAccount, Transaction, side
from bursar.ledger.service import post

CAUSE = "merge"
_DAY = timedelta(days=1)
_ZERO = Decimal(0)


async def merge_due(db: Database, caller: Caller, as_of: datetime) -> int:
    """Make the composites of all days that have ended by `as_of`; returns how many. Safe to run twice, race and kill.

    A day waits for drafts of the group that fell due on it. What is issued after its day was merged goes along with
    the day before the present one.
    """
    until = local_midnight(local_date(as_of, caller.timezone), caller.timezone)
    async with db.transaction(caller.workspace) as connection:
        rows = await connection.fetch(queries.groups_to_merge, caller.workspace, until)
    made = 0
    for row in rows:

        async def once(connection: Connection, group: str = row["wire_id"]) -> int:
            return await _merge_group(connection, caller, group, until)

        made += await db.run(caller.workspace, once)
    return made


def split(document: Document, account: int, parts: Sequence[Row], kind: Kind) -> dict[LedgerAccount, Decimal]:
    """What moves as a composite is made: from the accounts of its parts to `account`, which owes it as `kind`."""
    moved: defaultdict[LedgerAccount, Decimal] = defaultdict(Decimal)
    owner = account if kind is Kind.RECEIVABLE else None
    moved[LedgerAccount(kind, document.currency, owner)] += document.total
    for part in parts:
        moved[LedgerAccount(Kind.RECEIVABLE, document.currency, part["account"])] -= part["total"]
    return moved


async def part(
    connection: Connection, caller: Caller, document: Document, key: int, account: int, kind: Kind, cause: str
) -> None:
    """Take a composite apart: what it was of is owed by the accounts of its parts again, which are DUE."""
    parts = await connection.fetch(queries.parts_of, caller.workspace, [key])
    postings = tuple(p for name, amount in split(document, account, parts, kind).items() for p in side(name, -amount))
    if postings:
        day = local_date(caller.now, document.timezone)
        await post(connection, caller, Transaction(cause, key, day, f"credit note of invoice {document.id}", postings))
    await connection.execute(queries.part_invoices, caller.workspace, key, caller.wall)


async def _merge_group(connection: Connection, caller: Caller, identifier: str, until: datetime) -> int:
    group = await connection.fetchval(queries.lock_group, caller.workspace, identifier)
    if group is None:
        return 0
    rows = await connection.fetch(queries.hold_to_merge, caller.workspace, group, until)
    drafts = await connection.fetch(queries.still_drafts, caller.workspace, group, until)
    waiting = {local_date(row["due_at"], caller.timezone) for row in drafts}
    merged = {row["merged_on"] for row in await connection.fetch(queries.days_merged, caller.workspace, group)}
    yesterday = local_date(until, caller.timezone) - _DAY
    days: defaultdict[date, list[Row]] = defaultdict(list)
    for row in rows:
        day = local_date(row["invoice_date"], caller.timezone)
        days[yesterday if day in merged else day].append(row)
    # A group that is not deleted has accounts.
    lead = next(iter((await members_of(connection, caller.workspace, group)).values()))
    ready = sorted(day for day in days if day not in waiting and day not in merged)
    for day in ready:
        await _make(connection, caller, group, lead, day, days[day])
    if ready:
        detail = {"composites": len(ready), "invoices": sum(len(days[day]) for day in ready)}
        await audit.record(connection, caller, "merge", "invoice_group", identifier, detail)
    return len(ready)


async def _make(
    connection: Connection, caller: Caller, group: int, lead: int, day: date, invoices: Sequence[Row]
) -> None:
    key: int = await connection.fetchval(
        queries.insert_composite,
        caller.workspace,
        ids.draw("inv"),
        lead,
        group,
        day,
        min(row["starts_at"] for row in invoices),
        max(row["ends_at"] for row in invoices),
        max(row["invoice_date"] for row in invoices),
        caller.wall,
    )
    await connection.execute(
        queries.merge_invoices, caller.workspace, [row["key"] for row in invoices], key, caller.wall
    )
    crash.point("invoices merged")
    headers = await store.headers(connection, caller.workspace, [key])
    (drawn,) = await draw_up_all(connection, caller.workspace, headers)
    parts = await connection.fetch(queries.parts_of, caller.workspace, [key])
    moved = split(drawn.document, lead, parts, Kind.RECEIVABLE)
    postings = tuple(p for name, amount in moved.items() for p in side(name, amount))
    if postings:
        await post(connection, caller, Transaction(CAUSE, key, day, f"composite {drawn.document.id}", postings))
    (number,) = await store.draw_numbers(connection, caller.workspace, 1)
    document = msgspec.structs.replace(drawn.document, sequence_id=sequence_id(number))
    assert document.total == plain(sum((row["total"] for row in invoices), _ZERO)), "a composite is its parts"
    await store.freeze(connection, caller.workspace, caller.now, [(drawn.header, number, document)])
    crash.point("composite frozen")
