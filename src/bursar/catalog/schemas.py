"""Event schemas: making, changing, activating, archiving and reading them.

Every change makes a new version. Events are judged by the version in force when they are received, and name it.
"""

from dataclasses import dataclass
from datetime import datetime

from bursar.accounts import gate
from bursar.catalog import named_licenses
from bursar.catalog.definitions import (
    AttributeDefinition,
    EnrichmentDefinition,
    MeterDefinition,
    SchemaDefinition,
    from_text,
    to_text,
)
from bursar.catalog.model import check_meter, check_schema, check_widened
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.catalog")


@dataclass(frozen=True, slots=True)
class EventSchema:
    """A version of an event schema. Versions that another has replaced are ARCHIVED."""

    key: int
    version_key: int
    name: str
    status: str
    version: int
    definition: SchemaDefinition
    created_at: datetime
    updated_at: datetime
    meters: int = 0
    feature: str | None = None
    """Wire id of the feature whose units its events draw."""
    feature_attribute: str | None = None
    """The attribute that says how many."""


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What to change of an event schema; None leaves a part as it is."""

    description: str | None = None
    attributes: list[AttributeDefinition] | None = None
    dimensions: list[str] | None = None
    filter_fields: list[str] | None = None
    enrichments: EnrichmentDefinition | None = None
    """One without fields and dependencies takes them away."""
    id_template: str | None = None
    """Empty text takes it away."""

    def applied(self, old: SchemaDefinition) -> SchemaDefinition:
        """The definition with the change."""
        return SchemaDefinition(
            attributes=old.attributes if self.attributes is None else self.attributes,
            dimensions=old.dimensions if self.dimensions is None else self.dimensions,
            description=old.description if self.description is None else self.description,
            filter_fields=old.filter_fields if self.filter_fields is None else self.filter_fields,
            enrichments=old.enrichments if self.enrichments is None else self.enrichments.or_none(),
            id_template=old.id_template if self.id_template is None else self.id_template or None,
        )


async def create_schema(connection: Connection, caller: Caller, name: str, definition: SchemaDefinition) -> EventSchema:
    """A draft of an event schema. Raises `Taken` for a known name."""
    if not name.strip():
        raise Invalid("name", "must not be blank")
    if name == named_licenses.SCHEMA:
        raise Invalid("name", f"{name!r} is made with the first add-on of type NAMED_LICENSE")
    check_schema(definition)
    return await _create(connection, caller, name, definition)


async def offer_named_licenses(connection: Connection, caller: Caller) -> None:
    """Let the events in by which names get and lose licences. The caller holds the gate."""
    try:
        schema = await get_schema(connection, caller.workspace, named_licenses.SCHEMA)
    except NotFound:
        schema = await _create(connection, caller, named_licenses.SCHEMA, named_licenses.DEFINITION)
        await activate_schema(connection, caller, schema.name)


async def _create(connection: Connection, caller: Caller, name: str, definition: SchemaDefinition) -> EventSchema:
    key = await connection.fetchval(queries.insert_schema, caller.workspace, name, caller.wall)
    if key is None:
        raise Taken("name", f"there is an event schema {name!r} already")
    version = await connection.fetchval(queries.workspace_version, caller.workspace)
    await connection.execute(
        queries.insert_schema_version, caller.workspace, key, 1, to_text(definition), version, caller.wall
    )
    await audit.record(connection, caller, "create", "event_schema", name)
    return await get_schema(connection, caller.workspace, name)


async def activate_schema(connection: Connection, caller: Caller, name: str) -> EventSchema:
    """Let events of a schema in. Of an active one, nothing changes."""
    await gate.change(connection, caller.workspace, "catalog")
    schema = await get_schema(connection, caller.workspace, name)
    _not_archived(schema)
    if schema.status != "ACTIVE":
        await connection.execute(queries.set_schema_status, schema.key, "ACTIVE", caller.wall)
        await audit.record(connection, caller, "activate", "event_schema", name)
    return await get_schema(connection, caller.workspace, name)


async def update_schema(connection: Connection, caller: Caller, name: str, change: SchemaChange) -> EventSchema:
    """A new version of an event schema; events received from now on are judged by it. No change, no version.

    Raises `WrongState` for an archived schema or where a meter or its feature would no longer suit it, `Invalid` for
    what no schema may say and for attributes and dimensions taken away or changed after the first activation.
    """
    version = await gate.change(connection, caller.workspace, "catalog")
    schema = await get_schema(connection, caller.workspace, name)
    _not_archived(schema)
    definition = change.applied(schema.definition)
    if definition == schema.definition:
        return schema
    if schema.status != "DRAFT":
        check_widened(schema.definition, definition)
    check_schema(definition)
    if schema.feature_attribute not in (None, *(attribute.name for attribute in definition.attributes)):
        raise WrongState(f"feature {schema.feature!r} draws by attribute {schema.feature_attribute!r} of the schema")
    for row in await _meters(connection, caller.workspace, schema):
        try:
            check_meter(from_text(row["definition"], MeterDefinition), definition)
        except Invalid as error:
            raise WrongState(f"usage meter {row['name']!r} would not suit the schema: {error.message}") from None
    await connection.execute(
        queries.insert_schema_version,
        caller.workspace,
        schema.key,
        schema.version + 1,
        to_text(definition),
        version,
        caller.wall,
    )
    await connection.execute(queries.touch_schema, schema.key, caller.wall)
    await audit.record(connection, caller, "update", "event_schema", name, {"version": schema.version + 1})
    return await get_schema(connection, caller.workspace, name)


async def deactivate_schema(connection: Connection, caller: Caller, name: str) -> EventSchema:
    """Let no more events of an active schema in. Of an inactive one, nothing changes.

    Raises `WrongState` for a draft, an archived schema, and while a usage meter is active.
    """
    await gate.change(connection, caller.workspace, "catalog")
    schema = await get_schema(connection, caller.workspace, name)
    _not_archived(schema)
    if schema.status == "DRAFT":
        raise WrongState(f"event schema {name!r} is a draft; only an active one can be deactivated")
    if schema.status == "ACTIVE":
        await _no_active_meter(connection, caller, schema, "deactivate")
        await connection.execute(queries.set_schema_status, schema.key, "INACTIVE", caller.wall)
        await audit.record(connection, caller, "deactivate", "event_schema", name)
    return await get_schema(connection, caller.workspace, name)


async def archive_schema(connection: Connection, caller: Caller, name: str) -> None:
    """Archive an event schema for ever; its name stays taken.

    Raises `WrongState` while a usage meter of it is active or a feature is associated with it.
    """
    await gate.change(connection, caller.workspace, "catalog")
    schema = await get_schema(connection, caller.workspace, name)
    _not_archived(schema)
    await _no_active_meter(connection, caller, schema, "archive")
    if schema.feature is not None:
        raise WrongState(f"event schema {name!r} belongs to feature {schema.feature!r}; take it out of there first")
    await connection.execute(queries.set_schema_status, schema.key, "ARCHIVED", caller.wall)
    await audit.record(connection, caller, "archive", "event_schema", name)


async def get_schema(connection: Connection, workspace: int, name: str, version: int | None = None) -> EventSchema:
    """An event schema, in its newest version or the one that is asked for. Raises `NotFound`."""
    row = await connection.fetchrow(queries.schema, workspace, name, version)
    if row is None:
        raise NotFound("event schema", name if version is None else f"{name} version {version}")
    return _schema(row)


async def list_versions(connection: Connection, workspace: int, name: str) -> list[EventSchema]:
    """All versions of an event schema, newest first. Raises `NotFound`."""
    rows = await connection.fetch(queries.schema_versions, workspace, name)
    if not rows:
        raise NotFound("event schema", name)
    return [_schema(row) for row in rows]


async def schema_at(connection: Connection, workspace: int, key: int) -> EventSchema:
    """An event schema by internal key."""
    row = await connection.fetchrow(queries.schema_at, workspace, key)
    if row is None:
        raise NotFound("event schema", str(key))
    return _schema(row)


async def list_schemas(
    connection: Connection, workspace: int, status: str | None, after: str | None, limit: int
) -> Page[EventSchema]:
    """Event schemas in the order of their making; archived ones only where their status is asked for."""
    rows = await connection.fetch(queries.schemas, workspace, key_of(after, digits=9), status, limit + 1)
    items = [_schema(row, row["meters"]) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def schema_names(connection: Connection, workspace: int) -> dict[int, str]:
    """The names of a workspace's event schemas by the internal key of each version."""
    return {row["key"]: row["name"] for row in await connection.fetch(queries.schema_names, workspace)}


def _not_archived(schema: EventSchema) -> None:
    if schema.status == "ARCHIVED":
        raise WrongState(f"event schema {schema.name!r} is archived")


async def _meters(connection: Connection, workspace: int, schema: EventSchema) -> list[Row]:
    return await connection.fetch(queries.meters_of_schema, workspace, schema.key)


async def _no_active_meter(connection: Connection, caller: Caller, schema: EventSchema, verb: str) -> None:
    active = [row["name"] for row in await _meters(connection, caller.workspace, schema) if row["status"] == "ACTIVE"]
    if active:
        raise WrongState(f"usage meter {active[0]!r} is active; deactivate it before you {verb} its event schema")


def _schema(row: Row, meters: int = 0) -> EventSchema:
    newest = row["version"] == row["newest"]
    return EventSchema(
        key=row["key"],
        version_key=row["version_key"],
        name=row["name"],
        status=row["status"] if newest else "ARCHIVED",
        version=row["version"],
        definition=from_text(row["definition"], SchemaDefinition),
        created_at=row["created_at"],
        updated_at=row["updated_at"] if newest else row["made_at"],
        meters=meters,
        feature=row["feature"],
        feature_attribute=row["feature_attribute"],
    )
