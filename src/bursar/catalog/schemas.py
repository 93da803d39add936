"""Event schemas: making, activating and reading them."""

from dataclasses import dataclass
from datetime import datetime

from bursar.accounts import gate
from bursar.catalog.definitions import SchemaDefinition, from_text, to_text
from bursar.catalog.model import check_schema
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.page import Page
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.catalog")


@dataclass(frozen=True, slots=True)
class EventSchema:
    """A version of an event schema."""

    key: int
    version_key: int
    name: str
    status: str
    version: int
    definition: SchemaDefinition
    created_at: datetime
    updated_at: datetime
    meters: int = 0


async def create_schema(connection: Connection, caller: Caller, name: str, definition: SchemaDefinition) -> EventSchema:
    """A draft of an event schema. Raises `Taken` for a known name."""
    if not name.strip():
        raise Invalid("name", "must not be blank")
    check_schema(definition)
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
    if schema.status == "ARCHIVED":
        raise WrongState(f"event schema {name!r} is archived")
    if schema.status != "ACTIVE":
        await connection.execute(queries.set_schema_status, schema.key, "ACTIVE", caller.wall)
        await audit.record(connection, caller, "activate", "event_schema", name)
    return await get_schema(connection, caller.workspace, name)


async def get_schema(connection: Connection, workspace: int, name: str, version: int | None = None) -> EventSchema:
    """An event schema, in its newest version or the one that is asked for. Raises `NotFound`."""
    row = await connection.fetchrow(queries.schema, workspace, name, version)
    if row is None:
        raise NotFound("event schema", name if version is None else f"{name} version {version}")
    return _schema(row)


async def schema_at(connection: Connection, workspace: int, key: int) -> EventSchema:
    """An event schema by internal key."""
    row = await connection.fetchrow(queries.schema_at, workspace, key)
    if row is None:
        raise NotFound("event schema", str(key))
    return _schema(row)


async def list_schemas(
    connection: Connection, workspace: int, status: str | None, after: str | None, limit: int
) -> Page[EventSchema]:
    """Event schemas in the order of their making."""
    rows = await connection.fetch(queries.schemas, workspace, key_of(after), status, limit + 1)
    items = [_schema(row, row["meters"]) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


def key_of(after: str | None) -> int:
    """The key in a list's bookmark."""
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) < 10):
        raise Invalid("nextToken", "is not a token of this list")
    return int(after)


def _schema(row: Row, meters: int = 0) -> EventSchema:
    return EventSchema(
        key=row["key"],
        version_key=row["version_key"],
        name=row["name"],
        status=row["status"],
        version=row["version"],
        definition=from_text(row["definition"], SchemaDefinition),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        meters=meters,
    )


async def schema_names(connection: Connection, workspace: int) -> dict[int, str]:
    """The names of a workspace's event schemas by the internal key of each version."""
    return {row["key"]: row["name"] for row in await connection.fetch(queries.schema_names, workspace)}
