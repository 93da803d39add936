"""Usage meters: making, activating and reading them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bursar.accounts import gate
from bursar.catalog.definitions import MeterDefinition, from_text, to_text
from bursar.catalog.model import check_meter
from bursar.catalog.schemas import get_schema, key_of, queries, schema_at
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page
from bursar.db import audit
from bursar.db.database import Connection, Row


@dataclass(frozen=True, slots=True)
class UsageMeter:
    """A usage meter in its newest version."""

    key: int
    version_key: int
    id: str
    name: str
    schema: int
    """Internal key of the event schema."""
    status: str
    version: int
    definition: MeterDefinition
    last_activated_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def display_name(self) -> str:
        """What invoices call it."""
        return self.definition.billable_name or self.name


async def create_meter(
    connection: Connection, caller: Caller, name: str, schema_name: str, definition: MeterDefinition
) -> UsageMeter:
    """A draft of a usage meter. Raises `Taken` for a known name, `Invalid` for rules that do not suit the schema."""
    if not name.strip():
        raise Invalid("name", "must not be blank")
    try:
        schema = await get_schema(connection, caller.workspace, schema_name)
    except NotFound:
        raise Invalid("eventSchemaName", f"there is no event schema {schema_name!r}") from None
    check_meter(definition, schema.definition)
    identifier = draw("um")
    key = await connection.fetchval(queries.insert_meter, caller.workspace, identifier, name, schema.key, caller.wall)
    if key is None:
        raise Taken("name", f"there is a usage meter {name!r} already")
    await connection.execute(queries.insert_meter_version, caller.workspace, key, 1, to_text(definition), caller.wall)
    await audit.record(connection, caller, "create", "usage_meter", identifier)
    return await get_meter(connection, caller.workspace, identifier)


async def activate_meter(connection: Connection, caller: Caller, identifier: str) -> UsageMeter:
    """Let a meter measure what is received from now on. Of an active one, nothing changes."""
    version = await gate.change(connection, caller.workspace, "catalog")
    meter = await get_meter(connection, caller.workspace, identifier)
    if meter.status == "ARCHIVED":
        raise WrongState(f"usage meter {identifier!r} is archived")
    schema = await schema_at(connection, caller.workspace, meter.schema)
    if schema.status != "ACTIVE":
        raise WrongState(f"event schema {schema.name!r} is not active; activate it first")
    if meter.status != "ACTIVE":
        await connection.execute(queries.start_meter_version, meter.version_key, version)
        await connection.execute(queries.activate_meter, meter.key, caller.wall)
        await audit.record(connection, caller, "activate", "usage_meter", identifier)
    return await get_meter(connection, caller.workspace, identifier)


async def get_meter(connection: Connection, workspace: int, identifier: str) -> UsageMeter:
    """The usage meter of an id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.meter, workspace, identifier)
    if row is None:
        raise NotFound("usage meter", identifier)
    return _meter(row)


async def list_meters(
    connection: Connection,
    workspace: int,
    statuses: Sequence[str] | None,
    aggregations: Sequence[str] | None,
    after: str | None,
    limit: int,
) -> Page[UsageMeter]:
    """Usage meters in the order of their making."""
    rows = await connection.fetch(queries.meters, workspace, key_of(after), statuses, aggregations, limit + 1)
    items = [_meter(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def meter_keys(
    connection: Connection, workspace: int, identifiers: Sequence[str], *, archived: bool = True
) -> dict[str, int]:
    """Internal keys by wire id; unknown ids are left out, and so are archived meters where they are not wanted."""
    rows = await connection.fetch(queries.meter_keys, workspace, list(identifiers), archived)
    return {row["wire_id"]: row["key"] for row in rows}


async def meter_ids(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, str]:
    """Wire ids by internal key."""
    return {row["key"]: row["wire_id"] for row in await connection.fetch(queries.meters_by_key, workspace, list(keys))}


def _meter(row: Row) -> UsageMeter:
    return UsageMeter(
        key=row["key"],
        version_key=row["version_key"],
        id=row["wire_id"],
        name=row["name"],
        schema=row["event_schema"],
        status=row["status"],
        version=row["version"],
        definition=from_text(row["definition"], MeterDefinition),
        last_activated_at=row["last_activated_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
