"""Commands on the schedules of an account. Each runs in the transaction of its connection."""

from dataclasses import dataclass
from datetime import date, datetime

from bursar.accounts import gate
from bursar.accounts.model import may_change
from bursar.accounts.service import set_calendar
from bursar.catalog import plans
from bursar.catalog.plans import PlanVersion
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, WrongState
from bursar.core.page import Page
from bursar.core.period import FIRST, FOREVER, Period, parse_instant, show_instant
from bursar.db import audit
from bursar.db.database import Connection
from bursar.purchases import store
from bursar.purchases.model import (
    AccountFacts,
    Segment,
    Trim,
    calendar_of,
    refuse_invoiced,
    retained,
    span,
    trim,
)


@dataclass(frozen=True, slots=True)
class Associate:
    """Put an account on a plan over `[effective_from, effective_until)`, dates in the account's zone."""

    account_id: str
    price_plan_id: str
    effective_from: date
    effective_until: date
    retain_start_offsets: bool = False
    """Whether the cycles of the plan in force go on under the new one."""


@dataclass(frozen=True, slots=True)
class Disassociate:
    """Take an account off its plans over `[effective_from, effective_until)`; of one plan alone, where it is named."""

    account_id: str
    effective_from: date
    effective_until: date
    price_plan_id: str | None = None


@dataclass(frozen=True, slots=True)
class Schedules:
    """An account with its segments in force."""

    account: AccountFacts
    segments: list[Segment]


async def associate(connection: Connection, caller: Caller, command: Associate) -> Schedules:
    """Associate a plan. What was associated in that time gives way; its parts before and after go on.

    Raises `NotFound` for an account, `Invalid` for a plan that cannot be associated, `WrongState` for time that is
    already invoiced.
    """
    account = await _enter(connection, caller, command.account_id)
    change = span(command.effective_from, command.effective_until, account.zone)
    refuse_invoiced(account, change)
    plan = await _plan(connection, caller, command.price_plan_id, account)
    current = await store.segments_of(connection, caller.workspace, account.key)
    cycle = plan.details.cycle
    assert cycle is not None
    if command.retain_start_offsets:
        calendar = retained(current, change.start, cycle.interval)
    else:
        calendar = calendar_of(
            cycle.interval,
            cycle.day,
            cycle.month,
            anniversary_cycle=cycle.anniversary,
            start=change.start,
            zone=account.zone,
        )
    await _make_room(connection, caller, trim(current, change))
    schedule, wire_id = await store.insert_schedule(
        connection, caller.workspace, account.key, plan.plan, change.start, caller.wall
    )
    await store.insert_segment(
        connection,
        caller.workspace,
        caller.wall,
        schedule=schedule,
        account=account.key,
        version=plan.version_key,
        period=change,
        calendar=calendar,
        grace_days=cycle.grace_days,
    )
    detail = {"schedule": wire_id, "plan": plan.id, "version": plan.version, **_dates(change)}
    return await _settle(connection, caller, account, "associate", detail)


async def disassociate(connection: Connection, caller: Caller, command: Disassociate) -> Schedules:
    """Take an account off its plans. Where none is associated in that time, nothing changes.

    Raises as `associate` does.
    """
    account = await _enter(connection, caller, command.account_id)
    change = span(command.effective_from, command.effective_until, account.zone)
    refuse_invoiced(account, change)
    if command.price_plan_id is not None:
        await plans.find(connection, caller.workspace, command.price_plan_id)
    current = await store.segments_of(connection, caller.workspace, account.key)
    room = trim(current, change, command.price_plan_id)
    if not room.superseded:
        return Schedules(account, current)
    await _make_room(connection, caller, room)
    return await _settle(connection, caller, account, "disassociate", _dates(change))


async def list_segments(
    connection: Connection,
    caller: Caller,
    account_id: str,
    start: datetime | None,
    end: datetime | None,
    after: str | None,
    limit: int,
) -> Page[Segment]:
    """The segments in force of an account that overlap `[start, end)`, in the order of time."""
    account = await store.find_account(connection, caller.workspace, account_id)
    period = (max(start or FIRST, FIRST), min(end or FOREVER, FOREVER))
    if period[0] >= period[1]:
        raise Invalid("end_date", "must be later than start_date")
    found = await store.page(connection, caller.workspace, account.key, Period(*period), _bookmark(after), limit + 1)
    items = found[:limit]
    return Page(items, show_instant(items[-1].period.start) if len(found) > limit else None)


async def _enter(connection: Connection, caller: Caller, account_id: str) -> AccountFacts:
    """The account, with its gate closed: nobody closes its periods while its schedules change."""
    known = await store.find_account(connection, caller.workspace, account_id)
    await gate.change(connection, caller.workspace, "account", known.key)
    account = await store.find_account(connection, caller.workspace, account_id)
    may_change("account", account_id, account.status)
    return account


async def _plan(connection: Connection, caller: Caller, plan_id: str, account: AccountFacts) -> PlanVersion:
    plan = await plans.hold(connection, caller.workspace, plan_id)
    if plan.status != "ACTIVE":
        raise WrongState(f"pricePlanId: price plan '{plan_id}' is {plan.status}; only an ACTIVE one can be associated")
    if plan.type != "BILLING":
        raise Invalid("pricePlanId", f"price plan '{plan_id}' is a {plan.type} plan; only a BILLING one is associated")
    if account.currency not in plan.active_currencies:
        raise Invalid(
            "pricePlanId", f"price plan '{plan_id}' is not active in {account.currency}, the account's currency"
        )
    return plan


async def _make_room(connection: Connection, caller: Caller, room: Trim) -> None:
    await store.supersede(connection, caller.workspace, [s.key for s in room.superseded], caller.wall)
    for piece in room.pieces:
        old = piece.segment
        await store.insert_segment(
            connection,
            caller.workspace,
            caller.wall,
            schedule=old.schedule,
            account=old.account,
            version=old.version,
            period=piece.period,
            calendar=old.calendar,
            grace_days=old.grace_days,
        )


async def _settle(
    connection: Connection, caller: Caller, account: AccountFacts, action: str, detail: dict[str, object]
) -> Schedules:
    """Tell admission how the account's cycles run now, and leave a trace."""
    segments = await store.segments_of(connection, caller.workspace, account.key)
    entries = [(s.period.start, s.period.end, s.calendar, s.grace_days) for s in segments]
    await set_calendar(connection, caller, account.key, entries)
    await audit.record(connection, caller, action, "account", account.togai_id, detail)
    return Schedules(account, segments)


def _dates(change: Period) -> dict[str, object]:
    return {"from": show_instant(change.start), "until": show_instant(change.end)}


def _bookmark(after: str | None) -> datetime | None:
    if after is None:
        return None
    try:
        return parse_instant(after)
    except ValueError:
        raise Invalid("nextToken", "is not a token of this list") from None
