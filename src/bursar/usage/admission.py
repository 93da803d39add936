"""The decision on one event: its state, its account, what it measures. Pure: facts and `now` in, a verdict out."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from bursar.core.cycles import Calendar, bucket_start, grace_end
from bursar.core.errors import BursarError
from bursar.core.period import FIRST, FOREVER
from bursar.usage.event import Event
from bursar.usage.measure import Schema, data_of
from bursar.usage.states import State

_NEVER = (FOREVER, FIRST, False)
"""A period that holds no instant."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """What admission knows of an account."""

    key: int
    active: bool
    closed_from: datetime | None
    closed_until: datetime | None
    calendars: tuple[tuple[datetime, datetime, Calendar, int], ...]
    """From, until, calendar and days of grace; empty while no plan is associated."""

    def closes(self, at: datetime) -> bool:
        """Whether an instant lies in a period that is invoiced."""
        return (
            self.closed_from is not None
            and self.closed_until is not None
            and self.closed_from <= at < self.closed_until
        )


@dataclass(slots=True)
class Tenant:
    """What admission knows of a workspace, at one version of its rules."""

    key: int
    version: int
    now: datetime
    timezone: str
    grace_days: int
    schemas: dict[str, Schema] = field(default_factory=dict)
    names: dict[str, list[tuple[datetime | None, datetime | None, int]]] = field(default_factory=dict)
    accounts: dict[int, AccountView] = field(default_factory=dict)
    spans: dict[int, tuple[datetime, datetime, bool]] = field(default_factory=dict)
    """Per account, the billing period met last and whether its grace has ended; good for one `now`."""

    def account_of(self, name: str, at: datetime) -> AccountView | None:
        """The active account that `name` means at an instant."""
        for start, end, account in self.names.get(name, ()):
            if (start is None or start <= at) and (end is None or at < end):
                view = self.accounts.get(account)
                return view if view is not None and view.active else None
        return None


class Measure(msgspec.Struct, frozen=True, gc=False):
    """A quantity for a rollup."""

    meter_version: int
    bucket: datetime
    quantity: Decimal


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What becomes of an event, unless its id turns out to be taken."""

    state: State
    account: int | None = None
    schema: int | None = None
    measures: tuple[Measure, ...] = ()
    reason: str | None = None


def judge(tenant: Tenant, event: Event, *, backfill: bool) -> Verdict:
    """The verdict on `event`. `backfill` lifts the grace period, never an issued invoice."""
    at = event.timestamp
    schema = tenant.schemas.get(event.schema_name)
    account = tenant.account_of(event.account_id, at)
    account_key = account.key if account is not None else None
    if event.id is None:
        return Verdict(State.FAILED_NO_EVENT_ID, account_key, schema.version if schema else None)
    if schema is None:
        return Verdict(State.FAILED_SCHEMA_NOT_DEFINED, account_key)
    if account is None:
        return Verdict(State.FAILED_ACCOUNT_NOT_FOUND, None, schema.version)
    if late(tenant, account, at, backfill=backfill):
        return Verdict(State.FAILED_PAST_GRACE_PERIOD, account.key, schema.version)
    return _fitted(schema, event, account.key)


def late(tenant: Tenant, account: AccountView, at: datetime, *, backfill: bool) -> bool:
    """Whether the period of `at` no longer takes events: it is invoiced, or its grace has ended."""
    if account.closes(at):
        return True
    if backfill:
        return False
    start, end, shut = tenant.spans.get(account.key, _NEVER)
    if start <= at < end:
        return shut
    for start, end, calendar, grace_days in account.calendars:
        if start <= at < end:
            cycle = calendar.cycle_at(at)
            shut = tenant.now >= grace_end(min(cycle.end, end), grace_days, calendar.zone)
            tenant.spans[account.key] = (max(cycle.start, start), min(cycle.end, end), shut)
            return shut
    return at < FIRST or tenant.now - timedelta(days=tenant.grace_days) >= at


def misfit(schema: Schema, event: Event) -> str | None:
    """What keeps an event from fitting its schema; None where it fits."""
    if event.timestamp >= FOREVER:
        return "timestamp: must lie before the year 9999"
    given = {attribute.name for attribute in event.attributes}
    if len(given) < len(event.attributes):
        return "attributes: a name is given twice"
    if not schema.attributes <= given:
        return f"attributes: {min(schema.attributes - given)} is missing"
    if not schema.dimensions <= event.dimensions.keys():
        return f"dimensions: {min(schema.dimensions - event.dimensions.keys())} is missing"
    return None


def _fitted(schema: Schema, event: Event, account: int) -> Verdict:
    problem = misfit(schema, event)
    if problem is not None:
        return Verdict(State.FAILED, account, schema.version, reason=problem)
    if not schema.meters:
        return Verdict(State.COMPLETED_NO_MATCHING_METERS, account, schema.version)
    data = data_of(event)
    measures = []
    bucket = bucket_start(event.timestamp)
    try:
        for meter in schema.meters:
            quantity = meter.quantity(data)
            if quantity is not None:
                measures.append(Measure(meter.version, bucket, quantity))
    except BursarError as error:
        return Verdict(State.FAILED_UNITS_INVALID, account, schema.version, reason=error.message[:250])
    if not measures:
        return Verdict(State.COMPLETED_EVENT_NOT_METERED, account, schema.version)
    return Verdict(State.COMPLETED_EVENT_METERED, account, schema.version, tuple(measures))
