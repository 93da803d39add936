"""Commands on the schedules of an account. Each runs in the transaction of its connection."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime

from bursar.accounts import gate
from bursar.accounts.model import may_change
from bursar.accounts.service import set_calendar
from bursar.catalog import plans
from bursar.catalog.overrides import keep, overridden
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.core.page import Page
from bursar.core.period import FIRST, FOREVER, Period, parse_instant, show_instant
from bursar.db import audit
from bursar.db.database import Connection
from bursar.purchases import plan_grants, store
from bursar.purchases.edits import UNWRITTEN, Off, On, edited
from bursar.purchases.model import (
    AccountFacts,
    NewSegment,
    Segment,
    refuse_currency,
    refuse_invoiced,
    refuse_plan,
    span,
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
    override: PlanChange | None = None
    """What is to hold for this association otherwise than the plan says."""


@dataclass(frozen=True, slots=True)
class Disassociate:
    """Take an account off its plans over `[effective_from, effective_until)`; of one plan alone, where it is named."""

    account_id: str
    effective_from: date
    effective_until: date
    price_plan_id: str | None = None


Edit = Associate | Disassociate


@dataclass(frozen=True, slots=True)
class Schedules:
    """An account with its segments in force, or as they would be."""

    account: AccountFacts
    segments: list[Segment]


async def associate(connection: Connection, caller: Caller, command: Associate) -> Schedules:
    """Associate a plan. What was associated in that time gives way; its parts before and after go on.

    Raises `NotFound` for an account or plan, `Invalid` for a plan that cannot be associated, `WrongState` for time
    that is already invoiced.
    """
    return await _edit(connection, caller, command.account_id, [("", command)], dry_run=False)


async def associate_version(
    connection: Connection, caller: Caller, account: AccountFacts, plan: PlanVersion, period: Period
) -> tuple[int, str]:
    """Associate a version of a plan as it was bought, over instants; returns key and id of the schedule.

    The caller has entered the account. Raises `WrongState` for time that is already invoiced.
    """
    refuse_invoiced(account, period)
    current = await store.segments_of(connection, caller.workspace, account.key)
    # The version is kept already, with its override: none of its own is to be kept for the association.
    bought = replace(plan, override=None)
    edit = On(period, bought, retain=False)
    ids = await write(connection, caller, current, edited(account, current, edit, 1), {-1: bought})
    await _trace(connection, caller, account, edit, ids[-1])
    segments = await tell_admission(connection, caller, account.key)
    return next(segment.schedule for segment in segments if segment.schedule_id == ids[-1]), ids[-1]


async def disassociate(connection: Connection, caller: Caller, command: Disassociate) -> Schedules:
    """Take an account off its plans. Where none is associated in that time, nothing changes.

    Raises as `associate` does.
    """
    return await _edit(connection, caller, command.account_id, [("", command)], dry_run=False)


async def edit_schedules(
    connection: Connection, caller: Caller, account_id: str, edits: Sequence[Edit], *, dry_run: bool
) -> Schedules:
    """Edits of one account, one after the other: all of them or none.

    With `dry_run` nothing is written: the answer shows what would be, and associations that are yet to be made have
    the id `sch.dry-run`. Raises as `associate` does, with the place of the edit.
    """
    placed = [(f"edits[{index}].", edit) for index, edit in enumerate(edits)]
    return await _edit(connection, caller, account_id, placed, dry_run=dry_run)


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


async def plan_of_schedule(connection: Connection, caller: Caller, price_plan_id: str, schedule_id: str) -> PlanVersion:
    """What a plan says at a pricing schedule: a version's own id, or that of an association with it.

    Of an association it is what holds now, or else what comes first or was last. Raises `NotFound`.
    """
    key = await store.version_of_schedule(connection, caller.workspace, price_plan_id, schedule_id, caller.now)
    if key is None:
        await plans.find(connection, caller.workspace, price_plan_id)
        raise NotFound(f"pricing schedule of price plan {price_plan_id!r}", schedule_id)
    return await plans.version(connection, caller.workspace, key)


async def _edit(
    connection: Connection, caller: Caller, account_id: str, edits: Sequence[tuple[str, Edit]], *, dry_run: bool
) -> Schedules:
    account = await (_look if dry_run else enter)(connection, caller, account_id)
    current = await store.segments_of(connection, caller.workspace, account.key)
    after, made, traces = current, {}, []
    for number, (place, command) in enumerate(edits, 1):
        with _placed(place):
            change = span(command.effective_from, command.effective_until, account.zone)
            refuse_invoiced(account, change)
            edit = await _resolve(connection, caller, account, command, change)
            after = edited(account, after, edit, number)
        if isinstance(edit, On):
            made[-number] = edit.plan
        traces.append((-number, edit))
    if dry_run:
        return Schedules(account, after)
    if all(segment.key for segment in after) and len(after) == len(current):
        return Schedules(account, current)
    ids = await write(connection, caller, current, after, made)
    for number, edit in traces:
        await _trace(connection, caller, account, edit, ids.get(number))
    return Schedules(account, await tell_admission(connection, caller, account.key))


async def _resolve(
    connection: Connection, caller: Caller, account: AccountFacts, command: Edit, change: Period
) -> On | Off:
    if isinstance(command, Disassociate):
        if command.price_plan_id is not None:
            await plans.find(connection, caller.workspace, command.price_plan_id)
        return Off(change, command.price_plan_id)
    plan = await plans.hold(connection, caller.workspace, command.price_plan_id)
    refuse_plan(plan, account)
    if command.override is not None:
        plan = overridden(plan, command.override)
        refuse_currency(plan, account)
    return On(change, plan, command.retain_start_offsets)


async def _look(connection: Connection, caller: Caller, account_id: str) -> AccountFacts:
    account = await store.find_account(connection, caller.workspace, account_id)
    may_change("account", account_id, account.status)
    return account


async def enter(connection: Connection, caller: Caller, account_id: str) -> AccountFacts:
    """The account, with its gate closed: nobody closes its periods while its schedules change."""
    known = await store.find_account(connection, caller.workspace, account_id)
    await gate.change(connection, caller.workspace, "account", known.key)
    return await _look(connection, caller, account_id)


async def write(
    connection: Connection,
    caller: Caller,
    current: Sequence[Segment],
    after: Sequence[Segment],
    made: Mapping[int, PlanVersion],
) -> dict[int, str]:
    """Write segments as they are to be in place of those in force; superseded ones are kept.

    `made` are the plans behind negative numbers, of associations that are yet to be made and of overrides that are
    yet to be kept. Returns the ids that the associations got.
    """
    stay = {segment.key for segment in after}
    gone = [segment.key for segment in current if segment.key not in stay]
    await store.supersede(connection, caller.workspace, gone, caller.wall)
    schedules: dict[int, int] = {}
    versions: dict[int, int] = {}
    ids: dict[int, str] = {}
    rows = []
    for one in after:
        if one.key != UNWRITTEN:
            continue
        if one.schedule < 0 and one.schedule not in schedules:
            schedules[one.schedule], ids[one.schedule] = await store.insert_schedule(
                connection, caller.workspace, one.account, made[one.schedule].plan, one.anchor, caller.wall
            )
        if one.version < 0 and one.version not in versions:
            versions[one.version] = (await keep(connection, caller, made[one.version])).version_key
        schedule = schedules.get(one.schedule, one.schedule)
        version = versions.get(one.version, one.version)
        rows.append(NewSegment(schedule, one.account, version, one.period, one.calendar, one.grace_days))
    await store.insert_segments(connection, caller.workspace, caller.wall, rows)
    return ids


async def tell_admission(connection: Connection, caller: Caller, account: int) -> list[Segment]:
    """Tell admission how the account's cycles run now, and let grants follow; returns the segments in force."""
    segments = await store.segments_of(connection, caller.workspace, account)
    entries = [(s.period.start, s.period.end, s.calendar, s.grace_days) for s in segments]
    await set_calendar(connection, caller, account, entries)
    await plan_grants.follow(connection, caller, [account])
    return segments


async def _trace(
    connection: Connection, caller: Caller, account: AccountFacts, edit: On | Off, schedule: str | None
) -> None:
    detail: dict[str, object] = {"from": show_instant(edit.period.start), "until": show_instant(edit.period.end)}
    if isinstance(edit, Off):
        await audit.record(connection, caller, "disassociate", "account", account.togai_id, detail)
        return
    # An association that a later edit of the same request took away was never made.
    detail |= {"schedule": schedule, "plan": edit.plan.id, "version": edit.plan.version}
    if edit.plan.override is not None:
        detail["overridden"] = True
    await audit.record(connection, caller, "associate", "account", account.togai_id, detail)


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Errors within name the place of the edit that they are about."""
    try:
        yield
    except Invalid as error:
        raise Invalid(place + error.field, error.rule) from None
    except WrongState as error:
        raise WrongState(place + error.message) from None


def _bookmark(after: str | None) -> datetime | None:
    if after is None:
        return None
    try:
        return parse_instant(after)
    except ValueError:
        raise Invalid("nextToken", "is not a token of this list") from None
