"""Event schemas in the Togai dialect."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog import schemas
from bursar.catalog.definitions import (
    AttributeDefinition,
    DependencyDefinition,
    EnrichedField,
    EnrichmentDefinition,
    SchemaDefinition,
)
from bursar.catalog.schemas import EventSchema, SchemaChange
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.togai.door import PageQuery, PaginationOptions, Success, door, open_token, seal_token

TAG = "Event Schemas"

NameText = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[\sa-zA-Z0-9_-]*$")]
Description = Annotated[str, Meta(max_length=255)]
FilterFields = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=100)]
Template = Annotated[str, Meta(max_length=1000)]
Status = Literal["DRAFT", "ACTIVE", "INACTIVE", "ARCHIVED"]


class EventAttributeSchema(Body, kw_only=True, omit_defaults=True):
    """A number that events carry."""

    name: NameText
    default_unit: Annotated[str, Meta(max_length=10)] | None = None


class DimensionsSchema(Body, kw_only=True):
    """A text that events carry."""

    name: NameText


class DependencyShape(Body, kw_only=True):
    """A setting that rules read as `dependencies.<name>`."""

    type: Literal["SETTING"]
    key: Annotated[str, Meta(min_length=1, max_length=255)]
    name: NameText


class EnrichedFieldShape(Body, kw_only=True):
    """A field that is added to events."""

    name: NameText
    type: Literal["ATTRIBUTE", "DIMENSION"]
    enrichment_type: Literal["VALUE", "JSON_LOGIC", "JSON_LOGIC_FROM_DEPENDENCY"]
    value: Annotated[str, Meta(min_length=1, max_length=1500)]
    order: Annotated[int, Meta(ge=0, le=1000)]


class Enrichments(Body, kw_only=True):
    """What to add to an event before it is measured."""

    fields: Annotated[list[EnrichedFieldShape], Meta(max_length=20)]
    dependencies: Annotated[list[DependencyShape], Meta(max_length=20)] | None = None


class CreateEventSchemaRequest(Body, kw_only=True):
    """An event schema to make."""

    name: NameText
    attributes: Annotated[list[EventAttributeSchema], Meta(max_length=50)]
    dimensions: Annotated[list[DimensionsSchema], Meta(max_length=50)]
    description: Description | None = None
    enrichments: Enrichments | None = None
    filter_fields: FilterFields | None = None
    event_id_template: Template | None = None


class UpdateEventSchemaRequest(Body, kw_only=True):
    """What to change of an event schema; a list replaces the whole list."""

    description: Description | None = None
    attributes: Annotated[list[EventAttributeSchema], Meta(max_length=50)] | None = None
    dimensions: Annotated[list[DimensionsSchema], Meta(max_length=50)] | None = None
    enrichments: Enrichments | None = None
    filter_fields: FilterFields | None = None
    event_id_template: Template | None = None


class FeatureDetails(Answer, kw_only=True):
    """The feature whose units events of a schema draw, and the attribute that says how many."""

    feature_id: str
    attribute_name: str


class EventSchemaShape(Answer, kw_only=True):
    """An event schema."""

    name: str
    version: int
    status: str
    attributes: list[EventAttributeSchema]
    dimensions: list[DimensionsSchema]
    filter_fields: list[str]
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    feature_details: FeatureDetails | None = None
    enrichments: Enrichments | None = None
    event_id_template: str | None = None
    usage_meters_count: int | None = None


class EventSchemaListPaginatedResponse(Answer, kw_only=True):
    """A page of event schemas."""

    data: list[EventSchemaShape]
    next_token: str | None
    context: PaginationOptions


class EventSchemaVersionsResponse(Answer, kw_only=True):
    """All versions of an event schema."""

    data: list[EventSchemaShape]


class SchemaListQuery(PageQuery, kw_only=True):
    """How to cut and filter the list."""

    status: Status | None = None


class SchemaQuery(Query, kw_only=True):
    """Which version to show."""

    version: Annotated[int, Meta(ge=1, le=2_000_000_000)] | None = None


@door.operation(
    "POST",
    "/event_schema",
    id="createEventSchema",
    tag=TAG,
    summary="Create an event schema",
    status=201,
    scope="write",
    body=CreateEventSchemaRequest,
    answer=EventSchemaShape,
)
async def create_event_schema(call: Call, body: CreateEventSchemaRequest) -> EventSchemaShape:
    """Make a draft of an event schema."""
    enrichments = _enrichments_of(body.enrichments)
    definition = SchemaDefinition(
        attributes=[AttributeDefinition(a.name, a.default_unit) for a in body.attributes],
        dimensions=[dimension.name for dimension in body.dimensions],
        description=body.description,
        filter_fields=list(body.filter_fields or ()),
        enrichments=enrichments.or_none() if enrichments else None,
        id_template=body.event_id_template or None,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        return schema_shape(await schemas.create_schema(connection, call.caller, body.name, definition))


@door.operation(
    "GET",
    "/event_schema",
    id="listEventSchemas",
    tag=TAG,
    summary="List event schemas",
    query=SchemaListQuery,
    answer=EventSchemaListPaginatedResponse,
)
async def list_event_schemas(call: Call, query: SchemaListQuery) -> EventSchemaListPaginatedResponse:
    """List event schemas."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await schemas.list_schemas(connection, call.caller.workspace, query.status, after, size)
    return EventSchemaListPaginatedResponse(
        data=[schema_shape(schema, schema.meters) for schema in page.items],
        next_token=seal_token(query, page.after, size),
        context=PaginationOptions(page_size=size, sort_order="ASC"),
    )


@door.operation(
    "GET",
    "/event_schema/{event_schema_name}",
    id="getEventSchema",
    tag=TAG,
    summary="Get an event schema",
    query=SchemaQuery,
    answer=EventSchemaShape,
)
async def get_event_schema(call: Call, query: SchemaQuery) -> EventSchemaShape:
    """Read an event schema."""
    async with call.db.transaction(call.caller.workspace) as connection:
        name = call.path["event_schema_name"]
        return schema_shape(await schemas.get_schema(connection, call.caller.workspace, name, query.version))


@door.operation(
    "POST",
    "/event_schema/{event_schema_name}/activate",
    id="activateEventSchema",
    tag=TAG,
    summary="Activate an event schema",
    scope="write",
    answer=EventSchemaShape,
)
async def activate_event_schema(call: Call) -> EventSchemaShape:
    """Let events of a schema in."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return schema_shape(await schemas.activate_schema(connection, call.caller, call.path["event_schema_name"]))


@door.operation(
    "PATCH",
    "/event_schema/{event_schema_name}",
    id="updateEventSchema",
    tag=TAG,
    summary="Update an event schema",
    scope="write",
    body=UpdateEventSchemaRequest,
    answer=EventSchemaShape,
)
async def update_event_schema(call: Call, body: UpdateEventSchemaRequest) -> EventSchemaShape:
    """Make a new version of an event schema."""
    change = SchemaChange(
        description=body.description,
        attributes=None
        if body.attributes is None
        else [AttributeDefinition(a.name, a.default_unit) for a in body.attributes],
        dimensions=None if body.dimensions is None else [dimension.name for dimension in body.dimensions],
        filter_fields=body.filter_fields,
        enrichments=_enrichments_of(body.enrichments),
        id_template=body.event_id_template,
    )
    async with call.db.transaction(call.caller.workspace) as connection:
        name = call.path["event_schema_name"]
        return schema_shape(await schemas.update_schema(connection, call.caller, name, change))


@door.operation(
    "DELETE",
    "/event_schema/{event_schema_name}",
    id="deleteEventSchema",
    tag=TAG,
    summary="Delete an event schema",
    scope="write",
    answer=Success,
)
async def delete_event_schema(call: Call) -> Success:
    """Archive an event schema."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await schemas.archive_schema(connection, call.caller, call.path["event_schema_name"])
    return Success(success=True)


@door.operation(
    "POST",
    "/event_schema/{event_schema_name}/deactivate",
    id="deactivateEventSchema",
    tag=TAG,
    summary="Deactivate an event schema",
    scope="write",
    answer=EventSchemaShape,
)
async def deactivate_event_schema(call: Call) -> EventSchemaShape:
    """Let no more events of a schema in."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return schema_shape(await schemas.deactivate_schema(connection, call.caller, call.path["event_schema_name"]))


@door.operation(
    "GET",
    "/event_schema/{event_schema_name}/versions",
    id="listEventSchemaVersions",
    tag=TAG,
    summary="List all versions of an event schema",
    answer=EventSchemaVersionsResponse,
)
async def list_event_schema_versions(call: Call) -> EventSchemaVersionsResponse:
    """List the versions of an event schema, newest first."""
    async with call.db.transaction(call.caller.workspace) as connection:
        found = await schemas.list_versions(connection, call.caller.workspace, call.path["event_schema_name"])
    return EventSchemaVersionsResponse(data=[schema_shape(schema) for schema in found])


def _enrichments_of(shape: Enrichments | None) -> EnrichmentDefinition | None:
    if shape is None:
        return None
    return EnrichmentDefinition(
        fields=[EnrichedField(f.name, f.type, f.enrichment_type, f.value, f.order) for f in shape.fields],
        dependencies=[DependencyDefinition(entry.key, entry.name) for entry in shape.dependencies or ()],
    )


def _enrichments_shape(definition: EnrichmentDefinition | None) -> Enrichments | None:
    if definition is None:
        return None
    return Enrichments(
        fields=[
            EnrichedFieldShape(name=f.name, type=f.type, enrichment_type=f.source, value=f.value, order=f.order)
            for f in definition.fields
        ],
        dependencies=[DependencyShape(type="SETTING", key=e.key, name=e.name) for e in definition.dependencies],
    )


def schema_shape(schema: EventSchema, meters: int | None = None) -> EventSchemaShape:
    """An event schema as the wire shows it."""
    definition = schema.definition
    return EventSchemaShape(
        name=schema.name,
        version=schema.version,
        status=schema.status,
        attributes=[EventAttributeSchema(name=a.name, default_unit=a.default_unit) for a in definition.attributes],
        dimensions=[DimensionsSchema(name=name) for name in definition.dimensions],
        filter_fields=definition.filter_fields,
        created_at=schema.created_at,
        updated_at=schema.updated_at,
        description=definition.description,
        feature_details=None
        if schema.feature is None or schema.feature_attribute is None
        else FeatureDetails(feature_id=schema.feature, attribute_name=schema.feature_attribute),
        enrichments=_enrichments_shape(definition.enrichments),
        event_id_template=definition.id_template,
        usage_meters_count=meters,
    )
