"""`POST /metrics` of the Togai dialect."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from bursar.accounts import store
from bursar.catalog import meters, schemas
from bursar.core.errors import Invalid
from bursar.core.period import utc
from bursar.db.database import Connection
from bursar.http.door import Answer, Body, Call
from bursar.http.encode import number
from bursar.http.togai.door import door
from bursar.http.togai.events import GROUPS, states_of, status_name
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.revenue import cycle_revenue, cycle_usage, revenue
from bursar.purchases.named_licenses import Most, most_names
from bursar.usage import events, metrics, quantities
from bursar.usage.states import State

Field = Literal[
    "ACCOUNT_ID", "CUSTOMER_ID", "EVENT_STATUS", "RAW_EVENT_STATUS", "SCHEMA_NAME", "USAGE_METER_ID", "BILLABLE_ID"
]
Point = tuple[str | None, int, Decimal]

_EVENT_GROUPS = ("ACCOUNT_ID", "CUSTOMER_ID", "EVENT_STATUS", "RAW_EVENT_STATUS", "SCHEMA_NAME")
_EVENT_FILTERS = ("ACCOUNT_ID", "CUSTOMER_ID", "EVENT_STATUS", "SCHEMA_NAME")
_USAGE_FIELDS = ("ACCOUNT_ID", "CUSTOMER_ID", "USAGE_METER_ID", "BILLABLE_ID")
_BY_CYCLE = ("REVENUE", "USAGE_FOR_CYCLE", "REVENUE_FOR_CYCLE")
_MONEY = ("REVENUE", "REVENUE_FOR_CYCLE")


class MetricQueryFilterEntry(Body, kw_only=True):
    """A field and the values to keep."""

    field_name: Field
    field_values: Annotated[list[Annotated[str, Meta(max_length=512)]], Meta(min_length=1, max_length=100)]


class MetricQuery(Body, kw_only=True):
    """One metric to compute."""

    id: Annotated[str, Meta(max_length=255)]
    name: Literal[
        "EVENTS", "USAGE", "METER_USAGE", "NAMED_LICENSE_USAGE", "REVENUE", "USAGE_FOR_CYCLE", "REVENUE_FOR_CYCLE"
    ] = "EVENTS"
    aggregation_period: Literal["HOUR", "DAY", "WEEK", "MONTH"] = "DAY"
    group_by: Field | None = None
    configs: dict[str, str] | None = None
    filters: Annotated[list[MetricQueryFilterEntry], Meta(min_length=1, max_length=5)] | None = None


class GetMetricsRequest(Body, kw_only=True):
    """Metrics to compute over one time."""

    start_time: datetime
    end_time: datetime
    metric_queries: Annotated[list[MetricQuery], Meta(min_length=1, max_length=5)]


class GroupedBy(Answer, kw_only=True):
    """The group that data points belong to."""

    field_name: str
    field_value: str


class MetricDataPoints(Answer, kw_only=True):
    """Values over time."""

    timestamps: list[datetime]
    metric_values: list[Decimal]
    grouped_by: GroupedBy | None = None


class MetricQueryResponse(Answer, kw_only=True):
    """One metric."""

    id: str
    name: str
    data: list[MetricDataPoints]


class GetMetricsResponse(Answer, kw_only=True):
    """All metrics that were asked for."""

    results: list[MetricQueryResponse]


@door.operation(
    "POST",
    "/metrics",
    id="getMetrics",
    tag="Metrics",
    summary="Get metrics",
    body=GetMetricsRequest,
    answer=GetMetricsResponse,
)
async def get_metrics(call: Call, body: GetMetricsRequest) -> GetMetricsResponse:
    """Compute metrics."""
    start, end = utc(body.start_time), utc(body.end_time)
    if any(query.name in _BY_CYCLE for query in body.metric_queries):
        await open_cycles(call.db, call.caller, call.caller.now)
    async with call.db.reading(call.caller.workspace) as connection:
        results = []
        for index, query in enumerate(body.metric_queries):
            cuts = metrics.bounds(start, end, query.aggregation_period, call.caller.timezone)
            points = await _points(call, connection, query, cuts, f"metricQueries[{index}]")
            results.append(MetricQueryResponse(id=query.id, name=query.name, data=_data(query, cuts, points)))
    return GetMetricsResponse(results=results)


async def _points(
    call: Call, connection: Connection, query: MetricQuery, cuts: list[datetime], path: str
) -> list[Point]:
    filters = _checked(query, path)
    accounts = await _accounts(call, connection, filters)
    if query.name == "NAMED_LICENSE_USAGE":
        return await _named_points(call, connection, query, cuts, accounts, filters)
    if query.name == "EVENTS":
        return await _event_points(call, connection, query, cuts, accounts, filters, path)
    return await _usage_points(call, connection, query, cuts, accounts, filters, path)


def _checked(query: MetricQuery, path: str) -> dict[str, list[str]]:
    """The filters of a query, by field. Raises `Invalid` for what does not suit the metric."""
    events_only = query.name == "EVENTS"
    groups, fields = (_EVENT_GROUPS, _EVENT_FILTERS) if events_only else (_USAGE_FIELDS, _USAGE_FIELDS)
    if query.group_by is not None and query.group_by not in groups:
        raise Invalid(f"{path}.groupBy", f"must be one of {', '.join(groups)} for {query.name}")
    for key, value in (query.configs or {}).items():
        if query.name not in _MONEY or key != "CURRENCY":
            raise Invalid(f"{path}.configs", f"{query.name} has no {key!r}")
        if value not in ("BASE", "INVOICE"):
            raise Invalid(f"{path}.configs.CURRENCY", "must be BASE or INVOICE")
    filters: dict[str, list[str]] = {}
    for index, entry in enumerate(query.filters or ()):
        field = f"{path}.filters[{index}]"
        if entry.field_name not in fields:
            raise Invalid(f"{field}.fieldName", f"must be one of {', '.join(fields)} for {query.name}")
        if entry.field_name in filters:
            raise Invalid(f"{field}.fieldName", f"{entry.field_name} is given twice")
        if entry.field_name == "SCHEMA_NAME" and len(entry.field_values) > 1:
            raise Invalid(f"{field}.fieldValues", "must be one name")
        filters[entry.field_name] = entry.field_values
    return filters


async def _accounts(call: Call, connection: Connection, filters: dict[str, list[str]]) -> list[int] | None:
    """The accounts that filters leave; None for all."""
    chosen: set[int] | None = None
    if "ACCOUNT_ID" in filters:
        found = await store.account_keys(connection, call.caller.workspace, filters["ACCOUNT_ID"])
        chosen = set(found.values())
    if "CUSTOMER_ID" in filters:
        theirs = await store.account_keys_of_customers(connection, call.caller.workspace, filters["CUSTOMER_ID"])
        chosen = set(theirs) if chosen is None else chosen & set(theirs)
    return None if chosen is None else sorted(chosen)


async def _event_points(
    call: Call,
    connection: Connection,
    query: MetricQuery,
    cuts: list[datetime],
    accounts: list[int] | None,
    filters: dict[str, list[str]],
    path: str,
) -> list[Point]:
    names = filters.get("EVENT_STATUS", ["PROCESSED", "UNPROCESSED"])
    states = {state for name in names for state in states_of(name, f"{path}.filters")}
    schema_names = await schemas.schema_names(connection, call.caller.workspace)
    counts = [
        count
        for count in await metrics.event_counts(connection, call.caller.workspace, cuts, accounts)
        if count.state in states
        and ("SCHEMA_NAME" not in filters or schema_names.get(count.schema or 0) in filters["SCHEMA_NAME"])
    ]
    owners = await _owners(call, connection, {count.account for count in counts if count.account is not None})
    return [(_event_label(query, count, owners, schema_names), count.place, Decimal(count.events)) for count in counts]


def _event_label(
    query: MetricQuery, count: metrics.EventCount, owners: dict[int, events.Owner], schema_names: dict[int, str]
) -> str | None:
    match query.group_by:
        case "ACCOUNT_ID":
            return _account(owners, count.account)
        case "CUSTOMER_ID":
            return _customer(owners, count.account)
        case "SCHEMA_NAME":
            return schema_names.get(count.schema or 0, "")
        case "RAW_EVENT_STATUS":
            return status_name(count.state)
        case "EVENT_STATUS":
            return _group(count.state)
    return None


async def _usage_points(
    call: Call,
    connection: Connection,
    query: MetricQuery,
    cuts: list[datetime],
    accounts: list[int] | None,
    filters: dict[str, list[str]],
    path: str,
) -> list[Point]:
    rows = await _measured(call, connection, query, cuts, accounts, await _meters(call, connection, filters))
    owners = await _owners(call, connection, {row.account for row in rows})
    identifiers_of = await meters.meter_ids(connection, call.caller.workspace, sorted({row.meter for row in rows}))
    points: list[Point] = []
    units: dict[str | None, str] = {}
    for row in rows:
        label = None
        if query.group_by == "ACCOUNT_ID":
            label = _account(owners, row.account)
        elif query.group_by == "CUSTOMER_ID":
            label = _customer(owners, row.account)
        elif query.group_by is not None:
            label = identifiers_of[row.meter]
        if units.setdefault(label, row.unit) != row.unit:
            rule = "would add up different currencies; group by ACCOUNT_ID, or ask for the currency BASE"
            raise Invalid(f"{path}.groupBy", rule)
        points.append((label, row.place, row.value))
    return points


async def _named_points(
    call: Call,
    connection: Connection,
    query: MetricQuery,
    cuts: list[datetime],
    accounts: list[int] | None,
    filters: dict[str, list[str]],
) -> list[Point]:
    """The most names that had each licence; their billable is the licence, and no usage meter measures them."""
    if "USAGE_METER_ID" in filters:
        return []
    found = await most_names(connection, call.caller.workspace, cuts, accounts, filters.get("BILLABLE_ID"))
    owners = await _owners(call, connection, {one.account for one in found})
    labels: dict[str | None, Callable[[Most], str]] = {
        "ACCOUNT_ID": lambda one: _account(owners, one.account),
        "CUSTOMER_ID": lambda one: _customer(owners, one.account),
        "BILLABLE_ID": lambda one: one.license_id,
        "USAGE_METER_ID": lambda one: one.license_id,
    }
    label = labels.get(query.group_by)
    return [(None if label is None else label(one), one.place, one.names) for one in found]


class _Measured(NamedTuple):
    """A quantity or an amount of one account and meter between two bounds."""

    account: int
    meter: int
    place: int
    value: Decimal
    unit: str = ""
    """The currency of an amount."""


async def _measured(
    call: Call,
    connection: Connection,
    query: MetricQuery,
    cuts: list[datetime],
    accounts: list[int] | None,
    wanted: list[int] | None,
) -> list[_Measured]:
    caller = call.caller
    if query.name in _MONEY:
        by_invoice = (query.configs or {}).get("CURRENCY") == "INVOICE"
        compute = cycle_revenue if query.name == "REVENUE_FOR_CYCLE" else revenue
        found = await compute(
            connection, caller, cuts, accounts, wanted, currency=None if by_invoice else caller.currency
        )
        return [_Measured(entry.account, entry.meter, entry.place, entry.amount, entry.currency) for entry in found]
    if query.name == "USAGE_FOR_CYCLE":
        cycles = await cycle_usage(connection, caller, cuts, accounts, wanted)
        return [_Measured(entry.account, entry.meter, entry.place, entry.quantity) for entry in cycles]
    series = await quantities.series(connection, caller.workspace, cuts, accounts, wanted)
    return [_Measured(entry.account, entry.meter, entry.place, entry.quantity) for entry in series]


async def _meters(call: Call, connection: Connection, filters: dict[str, list[str]]) -> list[int] | None:
    """The usage meters that filters leave; None for all."""
    chosen: set[int] | None = None
    for field in ("USAGE_METER_ID", "BILLABLE_ID"):
        if field in filters:
            found = set(await meters.meters_called(connection, call.caller.workspace, filters[field]))
            chosen = found if chosen is None else chosen & found
    return None if chosen is None else sorted(chosen)


async def _owners(call: Call, connection: Connection, accounts: set[int]) -> dict[int, events.Owner]:
    return await events.owners(connection, call.caller.workspace, sorted(accounts))


def _account(owners: dict[int, events.Owner], key: int | None) -> str:
    return owners[key].account_id if key in owners else ""


def _customer(owners: dict[int, events.Owner], key: int | None) -> str:
    return owners[key].customer_id if key in owners else ""


def _group(state: State) -> str:
    return next(name for name, states in GROUPS.items() if state in states)


def _data(query: MetricQuery, cuts: Sequence[datetime], points: list[Point]) -> list[MetricDataPoints]:
    starts = list(cuts[:-1])
    groups = metrics.gather(points, len(starts))
    if query.group_by is None:
        groups.setdefault(None, [Decimal(0)] * len(starts))
    return [
        MetricDataPoints(
            timestamps=starts,
            metric_values=[number(value) for value in values],
            grouped_by=None
            if query.group_by is None
            else GroupedBy(field_name=query.group_by, field_value=group or ""),
        )
        for group, values in sorted(groups.items(), key=lambda entry: entry[0] or "")
    ]
