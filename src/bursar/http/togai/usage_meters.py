"""Usage meters in the Togai dialect."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog import meters, schemas
from bursar.catalog.definitions import Filter, MeterDefinition
from bursar.catalog.meters import UsageMeter
from bursar.core.errors import Invalid
from bursar.db.database import Connection
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.togai.door import PageQuery, PaginationOptions, Success, door, open_token, seal_token
from bursar.http.togai.event_schemas import Description, EventSchemaShape, NameText, schema_shape

TAG = "Usage Meters"

BillableName = Annotated[str, Meta(max_length=255)]


class Computation(Body, kw_only=True, omit_defaults=True):
    """What a meter makes of an event: jsonLogic as text."""

    computation: Annotated[str, Meta(min_length=1, max_length=500)]
    order: Annotated[int, Meta(ge=0, le=1000)]
    id: Annotated[str, Meta(max_length=50)] | None = None
    matcher: Annotated[str, Meta(max_length=1500)] | None = None


class UsageMeterFilterEntry(Body, kw_only=True):
    """A field that must equal a value."""

    field: Annotated[str, Meta(min_length=1, max_length=100)]
    value: Annotated[str, Meta(max_length=200)]


class CreateUsageMeterRequest(Body, kw_only=True):
    """A usage meter to make."""

    name: NameText
    type: Literal["COUNTER"]
    aggregation: Literal["COUNT", "SUM"]
    billable_name: BillableName | None = None
    description: Description | None = None
    filters: Annotated[list[UsageMeterFilterEntry], Meta(max_length=50)] | None = None
    computations: Annotated[list[Computation], Meta(max_length=1)] | None = None
    event_schema_name: Annotated[str, Meta(max_length=50)] | None = None


class UpdateUsageMeterRequest(Body, kw_only=True):
    """What to change of a usage meter; what is left out stays."""

    name: NameText | None = None
    type: Literal["COUNTER"] | None = None
    aggregation: Literal["COUNT", "SUM"] | None = None
    billable_name: BillableName | None = None
    description: Description | None = None
    filters: Annotated[list[UsageMeterFilterEntry], Meta(max_length=50)] | None = None
    computations: Annotated[list[Computation], Meta(max_length=1)] | None = None
    event_schema_name: Annotated[str, Meta(max_length=50)] | None = None


class UsageMeterShape(Answer, kw_only=True):
    """A usage meter."""

    id: str
    name: str
    display_name: str
    type: str
    aggregation: str
    status: str
    filters: list[UsageMeterFilterEntry]
    computations: list[Computation]
    created_at: datetime
    updated_at: datetime
    billable_name: str | None = None
    description: str | None = None
    last_activated_at: datetime | None = None
    event_schema: EventSchemaShape | None = None


class UsageMeterPaginatedResponse(Answer, kw_only=True):
    """A page of usage meters."""

    data: list[UsageMeterShape]
    next_token: str | None
    context: PaginationOptions


class MeterListQuery(PageQuery, kw_only=True):
    """How to cut and filter the list."""

    status: Annotated[str, Meta(max_length=100)] | None = None
    aggregations: Annotated[str, Meta(max_length=100)] | None = None


class MeterQuery(Query, kw_only=True):
    """How much to show."""

    include_schema: bool | None = None


@door.operation(
    "POST",
    "/usage_meters",
    id="createUsageMeter",
    tag=TAG,
    summary="Create a usage meter",
    status=201,
    scope="write",
    body=CreateUsageMeterRequest,
    answer=UsageMeterShape,
)
async def create_usage_meter(call: Call, body: CreateUsageMeterRequest) -> UsageMeterShape:
    """Make a draft of a usage meter."""
    if body.event_schema_name is None:
        raise Invalid("eventSchemaName", "is required")
    definition = MeterDefinition(
        aggregation=body.aggregation,
        filters=_filters(body.filters) or [],
        description=body.description,
        billable_name=body.billable_name,
        **(_computations(body.computations) or [meters.Computation()])[0].fields(),
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        meter = await meters.create_meter(connection, call.caller, body.name, body.event_schema_name, definition)
        return await _with_schema(call, connection, meter)


@door.operation(
    "GET",
    "/usage_meters",
    id="getUsageMetersForEventSchema",
    tag=TAG,
    summary="List usage meters",
    query=MeterListQuery,
    answer=UsageMeterPaginatedResponse,
)
async def list_usage_meters(call: Call, query: MeterListQuery) -> UsageMeterPaginatedResponse:
    """List usage meters."""
    query, after, size = open_token(query)
    statuses = _choices(query.status, ("DRAFT", "ACTIVE", "INACTIVE", "ARCHIVED"), "status")
    aggregations = _choices(query.aggregations, ("COUNT", "SUM"), "aggregations")
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await meters.list_meters(connection, call.caller.workspace, statuses, aggregations, after, size)
    return UsageMeterPaginatedResponse(
        data=[_shape(meter) for meter in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "GET",
    "/usage_meters/{usage_meter_id}",
    id="getUsageMeter",
    tag=TAG,
    summary="Get a usage meter",
    query=MeterQuery,
    answer=UsageMeterShape,
)
async def get_usage_meter(call: Call, query: MeterQuery) -> UsageMeterShape:
    """Read a usage meter."""
    async with call.db.transaction(call.caller.workspace) as connection:
        meter = await meters.get_meter(connection, call.caller.workspace, call.path["usage_meter_id"])
        return await _with_schema(call, connection, meter) if query.include_schema else _shape(meter)


@door.operation(
    "POST",
    "/usage_meters/{usage_meter_id}/activate",
    id="activateUsageMeter",
    tag=TAG,
    summary="Activate a usage meter",
    scope="write",
    answer=UsageMeterShape,
)
async def activate_usage_meter(call: Call) -> UsageMeterShape:
    """Let a meter measure."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await meters.activate_meter(connection, call.caller, call.path["usage_meter_id"]))


@door.operation(
    "PATCH",
    "/usage_meters/{usage_meter_id}",
    id="updateUsageMeter",
    tag=TAG,
    summary="Update a usage meter",
    scope="write",
    body=UpdateUsageMeterRequest,
    answer=UsageMeterShape,
)
async def update_usage_meter(call: Call, body: UpdateUsageMeterRequest) -> UsageMeterShape:
    """Change a usage meter."""
    change = meters.MeterChange(
        name=body.name,
        schema_name=body.event_schema_name,
        aggregation=body.aggregation,
        filters=_filters(body.filters),
        computations=_computations(body.computations),
        description=body.description,
        billable_name=body.billable_name,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        meter = await meters.update_meter(connection, call.caller, call.path["usage_meter_id"], change)
        return await _with_schema(call, connection, meter)


@door.operation(
    "DELETE",
    "/usage_meters/{usage_meter_id}",
    id="deleteUsageMeter",
    tag=TAG,
    summary="Delete a usage meter",
    scope="write",
    answer=Success,
)
async def delete_usage_meter(call: Call) -> Success:
    """Archive a usage meter."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await meters.archive_meter(connection, call.caller, call.path["usage_meter_id"])
    return Success(success=True)


@door.operation(
    "POST",
    "/usage_meters/{usage_meter_id}/deactivate",
    id="deactivateUsageMeter",
    tag=TAG,
    summary="Deactivate a usage meter",
    scope="write",
    answer=UsageMeterShape,
)
async def deactivate_usage_meter(call: Call) -> UsageMeterShape:
    """Let a meter measure nothing more."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await meters.deactivate_meter(connection, call.caller, call.path["usage_meter_id"]))


def _filters(entries: list[UsageMeterFilterEntry] | None) -> list[Filter] | None:
    return None if entries is None else [Filter(entry.field, entry.value) for entry in entries]


def _computations(entries: list[Computation] | None) -> list[meters.Computation] | None:
    if entries is None:
        return None
    return [meters.Computation(entry.computation, entry.matcher, entry.id, entry.order) for entry in entries]


async def _with_schema(call: Call, connection: Connection, meter: UsageMeter) -> UsageMeterShape:
    schema = await schemas.schema_at(connection, call.caller.workspace, meter.schema)
    return _shape(meter, schema_shape(schema))


def _choices(text: str | None, known: tuple[str, ...], field: str) -> list[str] | None:
    if text is None:
        return None
    values = text.split(",")
    if any(value not in known for value in values):
        raise Invalid(field, f"must be one of {', '.join(known)}")
    return values


def _shape(meter: UsageMeter, schema: EventSchemaShape | None = None) -> UsageMeterShape:
    definition = meter.definition
    computations = []
    if definition.computation is not None:
        computations = [
            Computation(
                computation=definition.computation,
                order=definition.computation_order,
                id=definition.computation_id,
                matcher=definition.matcher,
            )
        ]
    return UsageMeterShape(
        id=meter.id,
        name=meter.name,
        display_name=meter.display_name,
        type="COUNTER",
        aggregation=definition.aggregation,
        status=meter.status,
        filters=[UsageMeterFilterEntry(field=entry.field, value=entry.value) for entry in definition.filters],
        computations=computations,
        created_at=meter.created_at,
        updated_at=meter.updated_at,
        billable_name=definition.billable_name,
        description=definition.description,
        last_activated_at=meter.last_activated_at,
        event_schema=schema,
    )
