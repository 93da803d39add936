"""Billing cycles open: each gets its invoice, a draft with an id, as soon as it begins."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from bursar.core import ids
from bursar.core.caller import Caller
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.invoicing.store import queries
from bursar.purchases import store as schedules
from bursar.purchases.model import BillingPeriod, Segment, billing_periods

_SEGMENTS = 200
_PERIODS = 500
"""At most so many segments, and periods of each, are opened in one transaction."""


async def open_cycles(db: Database, caller: Caller, until: datetime, account: int | None = None) -> int:
    """Make the drafts of all cycles that began by `until`, of one account or of the whole workspace; returns how many.

    Drafts follow a change of schedules: those whose period changed are kept under their id, those whose period is gone
    are withdrawn. Safe to run twice and to race.
    """
    made = 0

    async def once(connection: Connection) -> int | None:
        return await _open_some(connection, caller, until, account)

    async with db.transaction(caller.workspace) as connection:
        if not await schedules.some_due(connection, caller.workspace, account, until):
            return 0
    while (opened := await db.run(caller.workspace, once)) is not None:
        made += opened
    return made


async def _open_some(connection: Connection, caller: Caller, until: datetime, account: int | None) -> int | None:
    """One batch; None where nothing is left to do."""
    found = await schedules.take_due(connection, caller.workspace, account, until, _SEGMENTS)
    if not found:
        return None
    live = [segment for segment in found if not segment.superseded]
    gone = [segment.key for segment in found if segment.superseded]
    periods = [(segment, list(_next_periods(segment, until))) for segment in live]
    # Drafts move to the segments that go on with them before those of superseded ones are taken away.
    made = await _insert(connection, caller, [(s, p) for s, some in periods for p in some])
    withdrawn = await connection.execute(queries.withdraw_drafts, caller.workspace, gone) if gone else "DELETE 0"
    following = [(segment.key, _opens_at(segment, some)) for segment, some in periods]
    await schedules.set_opens_at(connection, caller.workspace, [*following, *((key, None) for key in gone)])
    detail = {"count": made, "withdrawn": int(withdrawn.split()[-1])}
    if any(detail.values()):
        await audit.record(connection, caller, "open", "invoices", "", detail)
    return made


def _next_periods(segment: Segment, until: datetime) -> Iterator[BillingPeriod]:
    return islice(billing_periods(segment, until, segment.opens_at), _PERIODS)


def _opens_at(segment: Segment, opened: Sequence[BillingPeriod]) -> datetime | None:
    """When the cycle after those opened begins; None where the segment ends with them."""
    end = opened[-1].period.end if opened else segment.opens_at
    return end if end is not None and end < segment.period.end else None


async def _insert(connection: Connection, caller: Caller, periods: Sequence[tuple[Segment, BillingPeriod]]) -> int:
    if not periods:
        return 0
    rows = await connection.fetch(
        queries.open_invoices,
        caller.workspace,
        caller.wall,
        [ids.draw("inv") for _ in periods],
        [segment.account for segment, _ in periods],
        [segment.schedule for segment, _ in periods],
        [segment.key for segment, _ in periods],
        [billing.period.start for _, billing in periods],
        [billing.period.end for _, billing in periods],
        [billing.due_at for _, billing in periods],
    )
    return sum(row["made"] for row in rows)
