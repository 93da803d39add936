"""Schedules: when which plan holds for an account, and how time falls into billing periods.

An account is on one plan at a time. A change over `[start, end)` cuts whatever held there: the parts of an older
association before and after the change go on under the same schedule.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from bursar.catalog.definitions import CycleDefinition
from bursar.catalog.plans import PlanChange, PlanVersion
from bursar.core.cycles import Calendar, Interval, anniversary, grace_end, local_date, local_midnight
from bursar.core.errors import Invalid, WrongState
from bursar.core.period import FIRST, FOREVER, Period, show_instant


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What a change of schedules needs to know of an account."""

    key: int
    togai_id: str
    name: str
    status: str
    currency: str
    zone: str
    """The account's own, else the workspace's."""
    closed_until: datetime | None
    """Everything before is invoiced."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A span of time in which a plan version holds for an account."""

    key: int
    schedule: int
    schedule_id: str
    anchor: datetime
    """When the association began, of which this is a part."""
    account: int
    price_plan_id: str
    price_plan_name: str
    version: int
    """Internal key of the plan version."""
    version_number: int
    period: Period
    calendar: Calendar
    grace_days: int
    superseded: bool
    opens_at: datetime | None
    """When invoicing looks at the segment next."""
    override: PlanChange | None = None
    """What holds otherwise than the plan's version says."""


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """A cycle as far as the segment covers it: what one invoice bills."""

    period: Period
    cycle: Period
    """The whole cycle of the calendar, of which `period` is a stub where the plan starts or ends inside it."""
    due_at: datetime
    """When grace has ended and the invoice may be issued."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is left of a segment beside a change."""

    segment: Segment
    period: Period


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A plan version that is to hold for an account in a period."""

    schedule: int
    account: int
    version: int
    """Internal key of the plan version."""
    period: Period
    calendar: Calendar
    grace_days: int


@dataclass(frozen=True, slots=True)
class Trim:
    """What a change does to the segments in force."""

    superseded: tuple[Segment, ...]
    pieces: tuple[Piece, ...]


def span(effective_from: date, effective_until: date, zone: str) -> Period:
    """The instants of `[effective_from, effective_until)`, local midnights; 1970-01-01 and 9999-01-01 are open ends."""
    if effective_until <= effective_from:
        raise Invalid("effectiveUntil", "must be later than effectiveFrom")
    start = FIRST if effective_from <= FIRST.date() else local_midnight(effective_from, zone)
    end = FOREVER if effective_until >= FOREVER.date() else local_midnight(effective_until, zone)
    if start >= end:
        raise Invalid("effectiveUntil", "must lie between 1970-01-01 and 9999-01-01, later than effectiveFrom")
    return Period(start, end)


def trim(segments: Sequence[Segment], change: Period, plan: str | None = None) -> Trim:
    """How segments in force make room for a change; with `plan` only those of that price plan."""
    hit = tuple(s for s in segments if s.period.overlap(change) and plan in {None, s.price_plan_id})
    pieces = [
        Piece(segment, rest)
        for segment in hit
        for rest in (_span(segment.period.start, change.start), _span(change.end, segment.period.end))
        if rest is not None
    ]
    return Trim(hit, tuple(pieces))


def refuse_invoiced(account: AccountFacts, change: Period) -> None:
    """Raises `WrongState` where a change reaches into time that is already invoiced."""
    if account.closed_until is not None and change.start < account.closed_until:
        raise WrongState(
            f"effectiveFrom: account '{account.togai_id}' is invoiced until {show_instant(account.closed_until)};"
            " a change may start then at the earliest"
        )


def refuse_plan(plan: PlanVersion, account: AccountFacts) -> None:
    """Raises `WrongState` or `Invalid` for a plan that cannot be associated with an account."""
    if plan.status != "ACTIVE":
        raise WrongState(f"pricePlanId: price plan '{plan.id}' is {plan.status}; only an ACTIVE one can be associated")
    if plan.type != "BILLING":
        raise Invalid("pricePlanId", f"price plan '{plan.id}' is a {plan.type} plan; only a BILLING one is associated")
    refuse_currency(plan, account)


def refuse_currency(plan: PlanVersion, account: AccountFacts) -> None:
    """Raises `Invalid` for a plan that has no prices for an account."""
    if account.currency not in plan.active_currencies:
        raise Invalid(
            "pricePlanId", f"price plan '{plan.id}' is not active in {account.currency}, the account's currency"
        )


def calendar_of(
    interval: str, day: str | None, month: str | None, *, anniversary_cycle: bool, start: datetime, zone: str
) -> Calendar:
    """The calendar of a plan's pricing cycle for an association that starts at `start`."""
    if anniversary_cycle:
        return anniversary(local_date(start, zone), Interval(interval), zone)
    return Calendar.parse(interval, day, month, zone)


def retained(segments: Sequence[Segment], start: datetime, interval: str) -> Calendar:
    """The calendar that runs at `start` and is to go on under another plan. Raises `Invalid` where it cannot."""
    ongoing = next((s for s in segments if start in s.period), None)
    if ongoing is None:
        raise Invalid("retainStartOffsets", "no price plan is associated on the date of effectiveFrom")
    if ongoing.calendar.interval != interval:
        raise Invalid(
            "retainStartOffsets",
            f"the interval of the plan in force is {ongoing.calendar.interval}, that of the new plan {interval}",
        )
    return ongoing.calendar


def billing_periods(segment: Segment, until: datetime, since: datetime | None = None) -> Iterator[BillingPeriod]:
    """The billing periods of a segment that begin at or before `until`, in order; they tile the segment.

    `since`, the start of one of them, leaves out those before.
    """
    start = max(since or segment.period.start, segment.period.start)
    if start >= segment.period.end:
        return
    for period in segment.calendar.cycles(Period(start, segment.period.end)):
        if period.start > until:
            return
        yield billing_period(segment.calendar, segment.grace_days, period)


def billing_period(calendar: Calendar, grace_days: int, period: Period) -> BillingPeriod:
    """A period that lies in one cycle, with that cycle and the end of its grace."""
    return BillingPeriod(period, calendar.cycle_at(period.start), grace_end(period.end, grace_days, calendar.zone))


class MigrationMode(StrEnum):
    """How accounts take over a new version of their plan."""

    NONE = "NONE"
    """Not at all: they stay on theirs."""
    IMMEDIATE = "IMMEDIATE"
    """From the beginning of the present day, in the account's zone."""
    IMMEDIATE_IGNORE_OVERRIDE = "IMMEDIATE_IGNORE_OVERRIDE"
    NEXT_CYCLE = "NEXT_CYCLE"
    """From the end of the present cycle."""
    NEXT_CYCLE_IGNORE_OVERRIDE = "NEXT_CYCLE_IGNORE_OVERRIDE"
    START_OF_CURRENT_CYCLE = "START_OF_CURRENT_CYCLE"
    """From the beginning of the present cycle."""

    @property
    def ignores_overrides(self) -> bool:
        """Whether what an association has of its own ends with the version that it was made over."""
        return self in {MigrationMode.IMMEDIATE_IGNORE_OVERRIDE, MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE}


@dataclass(frozen=True, slots=True)
class Takeover:
    """How a new version of a plan takes over a segment."""

    segment: Segment
    before: Period | None
    """What stays with the old version; None: nothing."""
    after: Period
    calendar: Calendar
    grace_days: int
    """How the cycles run from then on."""


def may_migrate(mode: MigrationMode, *, reopens: bool) -> None:
    """Raise `WrongState` where the plan does not allow a version to take over time that has passed."""
    if mode is MigrationMode.START_OF_CURRENT_CYCLE and not reopens:
        rule = "START_OF_CURRENT_CYCLE needs a price plan with allow_ongoing_cycle_updates or deferredRevenue"
        raise WrongState(f"migrationMode: {rule}")


def take_over(
    segment: Segment,
    mode: MigrationMode,
    now: datetime,
    closed_until: datetime | None,
    old: CycleDefinition | None,
    new: CycleDefinition,
) -> Takeover | None:
    """How a version of a plan takes over a segment; None where it does not reach it.

    One that has ended is reached by START_OF_CURRENT_CYCLE, if a part of the present cycle is in it. What is
    invoiced (`closed_until`) stays. The cycles go on as they are, unless the version says how they run anew; then they
    do so from the moment on.
    """
    zone = segment.calendar.zone
    start = segment.period.start
    if segment.period.start <= now:
        cycle = segment.calendar.cycle_at(now)
        if mode is MigrationMode.START_OF_CURRENT_CYCLE:
            moment = cycle.start
        elif mode in {MigrationMode.NEXT_CYCLE, MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE}:
            moment = cycle.end
        else:
            moment = local_midnight(local_date(now, zone), zone)
        start = max(moment, start, closed_until or start)
    if mode is MigrationMode.NONE or start >= segment.period.end:
        return None
    calendar = segment.calendar
    if old is None or (old.interval, old.day, old.month, old.anniversary) != (
        new.interval, new.day, new.month, new.anniversary,
    ):  # fmt: skip
        calendar = calendar_of(
            new.interval, new.day, new.month, anniversary_cycle=new.anniversary, start=start, zone=zone
        )
    before = _span(segment.period.start, start)
    return Takeover(segment, before, Period(start, segment.period.end), calendar, new.grace_days)


def joined(segments: Sequence[NewSegment]) -> list[NewSegment]:
    """Segments with those made one that follow each other under the same terms, so that no cycle is cut for nothing."""
    found: list[NewSegment] = []
    for segment in sorted(segments, key=lambda one: (one.schedule, one.period.start)):
        last = found[-1] if found else None
        if (
            last is not None
            and replace(segment, period=last.period) == last
            and last.period.end == segment.period.start
        ):
            found[-1] = replace(last, period=Period(last.period.start, segment.period.end))
        else:
            found.append(segment)
    return found


def cycle_number(calendar: Calendar, anchor: datetime, instant: datetime) -> int:
    """Which cycle of an association holds `instant`: 0 for the one in which it began at `anchor`."""
    return calendar.number_at(instant) - calendar.number_at(anchor)


def opens_cycle(calendar: Calendar, anchor: datetime, start: datetime) -> bool:
    """Whether a period from `start` on is how its cycle begins for an association that began at `anchor`."""
    return start == max(calendar.cycle_at(start).start, anchor)


def _span(start: datetime, end: datetime) -> Period | None:
    return Period(start, end) if start < end else None
