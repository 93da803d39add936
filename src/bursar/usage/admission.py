"""The decision on one event: its state, its account, what it measures. Pure: facts and `now` in, a verdict out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum

import msgspec

from bursar.accounts.setting_values import Reference, Settings
from bursar.catalog.named_licenses import ACTION, LICENSE, NAME
from bursar.core.cycles import Calendar, grace_end
from bursar.core.errors import BursarError
from bursar.core.period import FIRST, FOREVER
from bursar.usage.enrichment import EnrichmentFailed
from bursar.usage.event import Event
from bursar.usage.event_ids import NoId, compose, identified
from bursar.usage.measure import Schema, data_of
from bursar.usage.states import State

NAME_LIMIT = 50
"""Characters of a name that has a licence: what a list can show."""

_MEASURED, _LEFT_OUT = State.COMPLETED_EVENT_METERED, State.COMPLETED_EVENT_NOT_METERED
_START = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_WHILE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AccountView:
    """What admission knows of an account."""

    key: int
    active: bool
    closed_from: datetime | None
    closed_until: datetime | None
    calendars: tuple[tuple[datetime, datetime, Calendar, int], ...]
    """From, until, calendar and days of grace; empty while no plan is associated."""


class Shut(IntEnum):
    """Whether a period still takes events."""

    OPEN = 0
    GRACE_OVER = 1
    INVOICED = 2


class Route(msgspec.Struct, frozen=True, gc=False):
    """What holds for every event of an account name in `[start, end)`."""

    start: datetime
    end: datetime
    account: int | None
    """The active account that the name means; None where it means none."""
    shut: Shut
    until: datetime
    """The last `now` for which this holds."""


@dataclass(slots=True)
class Tenant:
    """What admission knows of a workspace, at one version of its rules."""

    key: int
    version: int
    now: datetime
    timezone: str
    grace_days: int
    clock: datetime | None = None
    """Where its own clock stands; None where it has none and `now` is the wall time."""
    chunk: int = 0
    """The number under which the flush at hand keeps the workspace's bodies."""
    schemas: dict[str, Schema] = field(default_factory=dict)
    names: dict[str, list[tuple[datetime | None, datetime | None, int]]] = field(default_factory=dict)
    accounts: dict[int, AccountView] = field(default_factory=dict)
    wanted: frozenset[Reference] = frozenset()
    """The settings that the schemas depend on."""
    settings: Settings = field(default_factory=Settings)
    resolved: set[str] = field(default_factory=set)
    """The names of which everything is known: where they lead, those accounts and their settings."""
    routes: dict[str, Route] = field(default_factory=dict)
    """The route found last for each name, dropped with the copies that it was found by."""


Measure = tuple[int, Decimal]
"""The key of a meter version, and the quantity that it found in an event."""


class NameChange(msgspec.Struct, frozen=True, gc=False):
    """A name that gets a licence, or loses it."""

    add_on: int
    """Internal key."""
    name: str
    change: int
    """1 or -1."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What becomes of an event, unless its id turns out to be taken."""

    state: State
    account: int | None = None
    schema: int | None = None
    measures: tuple[Measure, ...] = ()
    reason: str | None = None
    license: NameChange | None = None


def judge(tenant: Tenant, event: Event, *, backfill: bool, invoiced: bool = False) -> Verdict:
    """The verdict on an event as `named` gives it.

    `backfill` lifts the grace period, never an issued invoice; `invoiced` both, for who sees to the invoice.
    """
    at = event.timestamp
    route = tenant.routes.get(event.account_id)
    if route is None or not route.start <= at < route.end or tenant.now > route.until:
        route = find_route(tenant, event.account_id, at)
        if route.account is not None:  # a name that leads nowhere is looked up anew by every flush
            tenant.routes[event.account_id] = route
    schema = tenant.schemas.get(event.schema_name)
    plain = None if schema is None else schema.plain
    if plain is not None and route.account is not None and route.shut is Shut.OPEN and event.id is not None:
        # Nearly every event: nothing is wrong with it, and what it measures is known.
        measures = plain.measures(event)
        if measures is not None and schema is not None:
            return Verdict(_MEASURED if measures else _LEFT_OUT, route.account, schema.version, measures)
    limit = Shut.INVOICED if invoiced else Shut.GRACE_OVER if backfill else Shut.OPEN
    return _ruled(tenant, schema, event, route, limit)


def _ruled(tenant: Tenant, schema: Schema | None, event: Event, route: Route, limit: Shut) -> Verdict:
    """The verdict by the rules, one after the other; `limit`: how far its period may be shut."""
    if event.id is None:
        return _nameless(schema, event, route.account)
    if schema is None:
        return Verdict(State.FAILED_SCHEMA_NOT_DEFINED, route.account)
    if route.account is None:
        return Verdict(State.FAILED_ACCOUNT_NOT_FOUND, None, schema.version)
    if route.shut > limit:
        return Verdict(State.FAILED_PAST_GRACE_PERIOD, route.account, schema.version)
    verdict = _fitted(tenant, schema, event, route.account)
    if schema.licenses is not None and verdict.state > 0:
        return _licensed(schema.licenses, event, verdict)
    return verdict


def _licensed(licenses: Mapping[str, int], event: Event, verdict: Verdict) -> Verdict:
    """The verdict on an event of a name that gets or loses a licence, with that; or why it says no such thing."""
    change = next(Decimal(attribute.value) for attribute in event.attributes if attribute.name == ACTION)
    identifier, name = event.dimensions[LICENSE], event.dimensions[NAME]
    reason = None
    if change not in (1, -1):
        reason = f"{ACTION}: must be 1 or -1"
    elif identifier not in licenses:
        reason = f"{LICENSE}: there is no add-on of type NAMED_LICENSE with this id"
    elif not name.strip() or len(name) > NAME_LIMIT:
        reason = f"{NAME}: must have 1 to {NAME_LIMIT} characters and not be blank"
    if reason is not None:
        state = State.FAILED_INVALID_NAMED_LICENSE_EVENT
        return Verdict(state, verdict.account, verdict.schema, (), reason)
    return msgspec.structs.replace(verdict, license=NameChange(licenses[identifier], name, int(change)))


def named(tenant: Tenant, event: Event) -> Event:
    """The event with its own id or, where it has none, the one that its schema gives it; without where none does."""
    if event.id is not None:
        return event
    schema = tenant.schemas.get(event.schema_name)
    return event if schema is None else identified(event, schema.template)


def _nameless(schema: Schema | None, event: Event, account: int | None) -> Verdict:
    reason = None
    if schema is not None and schema.template is not None:
        try:
            compose(schema.template, event)
        except NoId as error:
            reason = error.message[:250]
    return Verdict(State.FAILED_NO_EVENT_ID, account, schema.version if schema else None, (), reason)


@dataclass(slots=True)
class _Span:
    """An instant, and the span around it in which every question asked so far has the same answer."""

    at: datetime
    start: datetime = _START
    end: datetime = _END

    def within(self, start: datetime, end: datetime) -> bool:
        """Whether the instant lies in `[start, end)`."""
        if self.at < start:
            self.end = min(self.end, start)
            return False
        if self.at >= end:
            self.start = max(self.start, end)
            return False
        self.start, self.end = max(self.start, start), min(self.end, end)
        return True


def find_route(tenant: Tenant, name: str, at: datetime) -> Route:
    """Where `name` leads at an instant, in which span around it the same holds, and until when."""
    span = _Span(at)
    account = _account_of(tenant, name, span)
    if account is None:
        return Route(span.start, span.end, None, Shut.OPEN, _END)
    shut, until = _shut(tenant, account, span)
    return Route(span.start, span.end, account.key, shut, until)


def _account_of(tenant: Tenant, name: str, span: _Span) -> AccountView | None:
    for start, end, key in tenant.names.get(name, ()):
        if span.within(start or _START, end or _END):
            account = tenant.accounts.get(key)
            return account if account is not None and account.active else None
    return None


def _shut(tenant: Tenant, account: AccountView, span: _Span) -> tuple[Shut, datetime]:
    """Whether the period around the instant is shut, and the last `now` for which that holds."""
    closed = account.closed_from is not None and account.closed_until is not None
    if closed and span.within(account.closed_from or _START, account.closed_until or _END):
        return Shut.INVOICED, _END
    for start, end, calendar, grace_days in account.calendars:
        if span.within(start, end):
            cycle = calendar.cycle_at(span.at)
            span.within(cycle.start, cycle.end)
            over = grace_end(min(cycle.end, end), grace_days, calendar.zone)
            return (Shut.GRACE_OVER, _END) if tenant.now >= over else (Shut.OPEN, over - _TICK)
    # No plan, no period: events are taken for as long as the grace of a period that ends with them would last.
    oldest = tenant.now - timedelta(days=tenant.grace_days) + _TICK
    if not span.within(max(FIRST, oldest), _END):
        return Shut.GRACE_OVER, _END
    # What is not about to become too old is good for a while; the rest is asked again at the next instant.
    lasting = span.within(max(FIRST, oldest + _WHILE), _END)
    return Shut.OPEN, tenant.now + _WHILE if lasting else tenant.now


def misfit(schema: Schema, event: Event, attributes: dict[str, Decimal]) -> str | None:
    """What keeps an event from fitting its schema; None where it fits. `attributes`: what it carries, by name."""
    if event.timestamp >= FOREVER:
        return "timestamp: must lie before the year 9999"
    if len(attributes) < len(event.attributes):
        return "attributes: a name is given twice"
    if not schema.attributes <= attributes.keys():
        return f"attributes: {min(schema.attributes - attributes.keys())} is missing"
    if not schema.dimensions <= event.dimensions.keys():
        return f"dimensions: {min(schema.dimensions - event.dimensions.keys())} is missing"
    return None


def _fitted(tenant: Tenant, schema: Schema, event: Event, account: int) -> Verdict:
    data = data_of(event)
    problem = misfit(schema, event, data["attributes"])
    if problem is not None:
        return Verdict(State.FAILED, account, schema.version, (), problem)
    if schema.enrichment is not None:
        try:
            data = schema.enrichment.apply(data, schema.enrichment.settings(tenant.settings, account, tenant.version))
        except EnrichmentFailed as error:
            return Verdict(State.FAILED_ENRICHMENT_FAILED, account, schema.version, (), error.message)
    if not schema.meters:
        return Verdict(State.COMPLETED_NO_MATCHING_METERS, account, schema.version)
    try:
        found = [(meter.version, meter.quantity(data)) for meter in schema.meters]
    except BursarError as error:
        return Verdict(State.FAILED_UNITS_INVALID, account, schema.version, (), error.message[:250])
    measures = tuple([(version, value) for version, value in found if value is not None])
    return Verdict(_MEASURED if measures else _LEFT_OUT, account, schema.version, measures)
