"""Units of features that plans give: an account has them for as long as it is on the plan, cycle by cycle.

Entitlements are granted with each cycle of an association in which they fall, overage with each billing period. Both
are made one cycle ahead, so that nobody has to be there as a cycle begins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from bursar.accounts.store import account_at
from bursar.catalog import plans
from bursar.catalog.definitions import PlanDetails
from bursar.catalog.features import feature_at
from bursar.core.caller import Caller
from bursar.core.cycles import local_date
from bursar.core.durations import parse_duration
from bursar.core.period import Period
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.purchases import store
from bursar.purchases.grant_model import OVERAGE, Source
from bursar.purchases.grants import Entry, NewGrant, enter, give
from bursar.purchases.grants import queries as grants
from bursar.purchases.model import Segment, billing_periods, cycle_number, opens_cycle
from bursar.rating.fees import falls_in

queries = Queries("bursar.purchases", "plan_grants.sql")

_INSTANT = timedelta(microseconds=1)
_ZERO = Decimal(0)
PLAN: Source = "PRICE_PLAN"


@dataclass(frozen=True, slots=True)
class Given:
    """Units that an association is to give."""

    schedule: int
    """Internal key."""
    feature: int
    """Internal key."""
    id: str
    """Of the grant, on the wire."""
    source: Source
    effective: Period
    units: Decimal | None
    """None: without limit."""


def given(segments: Sequence[Segment], details: dict[int, PlanDetails], until: datetime) -> list[Given]:
    """What segments in force, in the order of time, give with all cycles that begin by `until`, and with the next one.

    What an association gives ends with the time without a break that it is in force. `details` are those of the
    segments' plan versions. Pure.
    """
    found: list[Given] = []
    for place, segment in enumerate(segments):
        plan = details[segment.version]
        if not plan.entitlements and not plan.overages:
            continue
        end = segment.period.end
        for later in segments[place + 1 :]:
            if later.schedule == segment.schedule and later.period.start == end:
                end = later.period.end
        for period in _periods(segment, until):
            found += _of_period(segment, plan, period, end)
    return found


def _periods(segment: Segment, until: datetime) -> Iterator[Period]:
    """The billing periods of a segment that begin by an instant, and the next one."""
    for billing in billing_periods(segment, segment.period.end):
        yield billing.period
        if billing.period.start > until:
            return


def _of_period(segment: Segment, plan: PlanDetails, period: Period, end: datetime) -> Iterator[Given]:
    name = f"{segment.schedule_id}#{local_date(period.start, segment.calendar.zone)}"
    cycle = cycle_number(segment.calendar, segment.anchor, period.start)
    for card in plan.entitlements if opens_cycle(segment.calendar, segment.anchor, period.start) else ():
        if not falls_in(cycle, recurring=True, interval=card.interval, offset=card.offset):
            continue
        for place, config in enumerate(card.configs):
            zone = segment.calendar.zone
            start = parse_duration(config.start).after(period.start, zone)
            # A month may be shorter than the days that the other end is given in.
            stop = min(max(parse_duration(config.end).after(period.start, zone), start + _INSTANT), end)
            if start < stop:
                part = f".{place}" if place else ""
                yield Given(
                    segment.schedule, card.feature, f"{name}{part}$PRICE_PLAN", PLAN, Period(start, stop), config.limit
                )
    for over in plan.overages:
        yield Given(segment.schedule, over.feature, f"{name}$OVERAGE", OVERAGE, period, over.max_quantity)


async def follow(connection: Connection, caller: Caller, accounts: Sequence[int]) -> None:
    """Let the grants of accounts follow the plans that they are on: those that are missing are made.

    Those that have begun end with their association, and do not change otherwise; those that are yet to begin become
    what the plan says by now.
    """
    segments = await store.segments_of_accounts(connection, caller.workspace, accounts)
    versions = await plans.versions(connection, caller.workspace, list({one.version for one in segments}))
    details = {key: version.details for key, version in versions.items()}
    rows = await connection.fetch(queries.grants_of_plans, caller.workspace, list(accounts), caller.now)
    for account in accounts:
        own = [segment for segment in segments if segment.account == account]
        wanted = given(own, details, caller.now)
        await _cut(connection, caller, [row for row in rows if row["account"] == account], wanted)
        await _make(connection, caller, account, [one for one in wanted if one.effective.end > caller.now])


async def _cut(connection: Connection, caller: Caller, rows: Sequence[Row], wanted: Sequence[Given]) -> None:
    of = {(one.feature, one.id): one for one in wanted}
    for row in rows:
        one = of.get((row["feature"], row["wire_id"]))
        if row["effective_from"] > caller.now:
            await _change(connection, caller, row, one)
            continue
        end = caller.now if one is None else one.effective.end
        if end < row["effective_until"]:
            stop = max(end, row["effective_from"] + _INSTANT)
            await connection.execute(queries.cut_grant, caller.workspace, row["key"], stop)
            await audit.record(connection, caller, "end", "feature_credit", row["wire_id"])


async def _change(connection: Connection, caller: Caller, row: Row, one: Given | None) -> None:
    """Let what has not begun, of which nothing is used or held, be what it is to be; None: it is taken away."""
    if one is not None and (one.units, one.effective.end) == (row["granted"], row["effective_until"]):
        return
    if one is None:
        kind: Literal["VOID", "EDIT"] = "VOID"
        await connection.execute(grants.void_grant, caller.workspace, row["key"], caller.now)
    else:
        kind = "EDIT"
        await connection.execute(grants.change_grant, caller.workspace, row["key"], one.effective.end, one.units)
    more = ((one.units if one is not None else None) or _ZERO) - (row["granted"] or _ZERO)
    if more:
        entry = Entry(caller.workspace, row["key"], kind, more)
        await enter(connection, caller.wall, [entry], {row["feature_balance"]: more})
    await audit.record(connection, caller, kind.lower(), "feature_credit", row["wire_id"])


async def _make(connection: Connection, caller: Caller, account: int, wanted: Sequence[Given]) -> None:
    if not wanted:
        return
    rows = await connection.fetch(queries.known_grants, caller.workspace, account, [one.id for one in wanted])
    known = {(row["feature"], row["wire_id"]) for row in rows}
    missing = [one for one in wanted if (one.feature, one.id) not in known]
    if not missing:
        return
    features = {one.feature: await feature_at(connection, caller.workspace, one.feature) for one in missing}
    new = [
        NewGrant(features[one.feature], one.id, one.source, one.effective, one.units, schedule=one.schedule)
        for one in missing
    ]
    await give(connection, caller, await account_at(connection, caller.workspace, account), new)


async def overage_used(
    connection: Connection, workspace: int, wanted: Sequence[tuple[str, datetime, int]]
) -> list[Decimal]:
    """What was used beyond what was granted, by schedule id, beginning of the billing period, key of the feature."""
    found = [Decimal(0) for _ in wanted]
    for row in await connection.fetch(
        queries.overage_used,
        workspace,
        [schedule for schedule, _, _ in wanted],
        [start for _, start, _ in wanted],
        [feature for _, _, feature in wanted],
    ):
        found[row["place"] - 1] = row["used"]
    return found
