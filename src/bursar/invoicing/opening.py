"""Billing cycles open: each gets its invoice, a draft with an id, as soon as it begins."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from bursar.catalog import plans
from bursar.catalog.definitions import CreditGrantCard, EntitlementCard, FeeCard, LicenseCard, PlanDetails
from bursar.core import crash, ids
from bursar.core.caller import Caller
from bursar.core.period import Period
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.invoicing import orders
from bursar.invoicing.model import ADVANCED, STANDARD, charges_ahead
from bursar.invoicing.store import queries
from bursar.ledger.credit_service import take_back
from bursar.purchases import plan_credits, plan_grants
from bursar.purchases import store as schedules
from bursar.purchases.model import BillingPeriod, Segment, billing_periods, cycle_number, opens_cycle

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
    advances = await _advances(connection, caller, periods)
    made = await _insert(connection, caller, [*((s, p, STANDARD) for s, some in periods for p in some), *advances])
    withdrawn = await connection.execute(queries.withdraw_drafts, caller.workspace, gone) if gone else "DELETE 0"
    following = [(segment.key, _opens_at(segment, some)) for segment, some in periods]
    await schedules.set_opens_at(connection, caller.workspace, [*following, *((key, None) for key in gone)])
    await _grant(connection, caller, periods, gone=[segment.schedule for segment in found if segment.superseded])
    detail = {"count": made, "withdrawn": int(withdrawn.split()[-1])}
    if any(detail.values()):
        await audit.record(connection, caller, "open", "invoices", "", detail)
        crash.point("cycles opened")
    return made


async def _grant(
    connection: Connection,
    caller: Caller,
    periods: Sequence[tuple[Segment, Sequence[BillingPeriod]]],
    *,
    gone: Sequence[int],
) -> None:
    """Grant what plans give with each cycle, and take back credits of cycles that are not to be.

    `gone` are the associations, by key, of which something was changed.
    """
    rows = await connection.fetch(queries.uncharged_credits, caller.workspace, list(gone)) if gone else []
    if rows:
        # First: credits are held before any balance is.
        await take_back(connection, caller, [row["credit"] for row in rows])
    versions = await plans.versions(connection, caller.workspace, list({segment.version for segment, _ in periods}))
    details = {key: version.details for key, version in versions.items()}
    units = {one.account for one, _ in periods if details[one.version].entitlements or details[one.version].overages}
    if units:
        await plan_grants.follow(connection, caller, sorted(units))
    begun = [(one, period.period.start, details[one.version]) for one, some in periods for period in some]
    await plan_credits.give_with_cycles(connection, caller, begun)


def _next_periods(segment: Segment, until: datetime) -> Iterator[BillingPeriod]:
    return islice(billing_periods(segment, until, segment.opens_at), _PERIODS)


async def _advances(
    connection: Connection, caller: Caller, periods: Sequence[tuple[Segment, Sequence[BillingPeriod]]]
) -> list[tuple[Segment, BillingPeriod, str]]:
    """The invoices of what is charged in advance: due as their period begins, for days that none charges yet."""
    versions = await plans.versions(connection, caller.workspace, list({segment.version for segment, _ in periods}))
    charging = [
        (segment, period)
        for segment, some in periods
        if any(card.in_advance for card in _charged(versions[segment.version].details))
        for period in some
    ]
    if not charging:
        return []
    schedules = list({segment.schedule for segment, _ in charging})
    first = min(billing.period.start for _, billing in charging)
    charged: dict[int, datetime] = {}
    for row in await connection.fetch(queries.lock_advances, caller.workspace, schedules, first):
        if row["status"] != "DRAFT":
            charged[row["schedule"]] = max(row["ends_at"], charged.get(row["schedule"], row["ends_at"]))
    for row in await connection.fetch(orders.queries.ordered_advances, caller.workspace, schedules, first):
        charged[row["schedule"]] = max(row["ends_at"], charged.get(row["schedule"], row["ends_at"]))
    found = []
    for segment, billing in charging:
        start = max(billing.period.start, charged.get(segment.schedule, billing.period.start))
        if start < billing.period.end and charges_ahead(
            versions[segment.version],
            cycle_number(segment.calendar, segment.anchor, start),
            opens_cycle=opens_cycle(segment.calendar, segment.anchor, start),
        ):
            found.append((segment, BillingPeriod(Period(start, billing.period.end), billing.cycle, start), ADVANCED))
    return found


def _charged(details: PlanDetails) -> Sequence[FeeCard | LicenseCard | EntitlementCard | CreditGrantCard]:
    """The cards of a plan of which something may be charged in advance."""
    return [*details.fees, *details.licenses, *details.entitlements, *details.credits]


def _opens_at(segment: Segment, opened: Sequence[BillingPeriod]) -> datetime | None:
    """When the cycle after those opened begins; None where the segment ends with them."""
    end = opened[-1].period.end if opened else segment.opens_at
    return end if end is not None and end < segment.period.end else None


async def _insert(connection: Connection, caller: Caller, periods: Sequence[tuple[Segment, BillingPeriod, str]]) -> int:
    if not periods:
        return 0
    rows = await connection.fetch(
        queries.open_invoices,
        caller.workspace,
        caller.wall,
        [ids.draw("inv") for _ in periods],
        [segment.account for segment, _, _ in periods],
        [segment.schedule for segment, _, _ in periods],
        [segment.key for segment, _, _ in periods],
        [billing.period.start for _, billing, _ in periods],
        [billing.period.end for _, billing, _ in periods],
        [billing.due_at for _, billing, _ in periods],
        [kind for _, _, kind in periods],
    )
    return sum(row["made"] for row in rows)
