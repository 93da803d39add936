"""Usage meters: making, changing, activating, archiving and reading them.

A version is in force for one span of the workspace's rules: a change of an active meter ends one and begins the next,
and activating a meter again begins another. What a version measured stays measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from bursar.accounts import gate
from bursar.catalog.definitions import Filter, MeterDefinition, from_text, to_text
from bursar.catalog.model import check_meter
from bursar.catalog.schemas import EventSchema, get_schema, queries, schema_at
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
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
    """None: it has never measured anything."""
    version_started: bool
    """Whether the newest version is or was in force."""
    created_at: datetime
    updated_at: datetime

    @property
    def display_name(self) -> str:
        """What invoices call it."""
        return self.definition.billable_name or self.name


@dataclass(frozen=True, slots=True)
class Computation:
    """What a meter makes of the events that a matcher chooses: jsonLogic as text."""

    computation: str | None = None
    matcher: str | None = None
    id: str | None = None
    order: int = 1

    def fields(self) -> dict[str, Any]:
        """The fields of a `MeterDefinition` that it stands for."""
        return {
            "computation": self.computation,
            "matcher": self.matcher or None,
            "computation_id": self.id,
            "computation_order": self.order,
        }


@dataclass(frozen=True, slots=True)
class MeterChange:
    """What to change of a usage meter; None leaves a part as it is, an empty text takes one away."""

    name: str | None = None
    schema_name: str | None = None
    aggregation: Literal["COUNT", "SUM"] | None = None
    filters: list[Filter] | None = None
    computations: list[Computation] | None = None
    """None or one of them."""
    description: str | None = None
    billable_name: str | None = None

    def applied(self, old: MeterDefinition) -> MeterDefinition:
        """The definition with the change."""
        found: dict[str, Any] = {
            "aggregation": self.aggregation,
            "filters": self.filters,
            "description": self.description,
            "billable_name": self.billable_name,
        }
        found = {name: value for name, value in found.items() if value is not None}
        for name in ("description", "billable_name"):
            if name in found:
                found[name] = found[name] or None
        if self.computations is not None:
            found |= (self.computations[0] if self.computations else Computation()).fields()
        return msgspec.structs.replace(old, **found)


async def create_meter(
    connection: Connection, caller: Caller, name: str, schema_name: str, definition: MeterDefinition
) -> UsageMeter:
    """A draft of a usage meter. Raises `Taken` for a known name, `Invalid` for rules that do not suit the schema."""
    if not name.strip():
        raise Invalid("name", "must not be blank")
    schema = await _named_schema(connection, caller, schema_name)
    check_meter(definition, schema.definition)
    identifier = draw("um")
    key = await connection.fetchval(queries.insert_meter, caller.workspace, identifier, name, schema.key, caller.wall)
    if key is None:
        raise Taken("name", f"there is a usage meter {name!r} already")
    await _insert_version(connection, caller, key, 1, definition, None)
    await audit.record(connection, caller, "create", "usage_meter", identifier)
    return await get_meter(connection, caller.workspace, identifier)


async def activate_meter(connection: Connection, caller: Caller, identifier: str) -> UsageMeter:
    """Let a meter measure what is received from now on. Of an active one, nothing changes.

    Raises `WrongState` for an archived meter and where its event schema is not active.
    """
    version = await gate.change(connection, caller.workspace, "catalog")
    meter = await _living(connection, caller, identifier)
    schema = await schema_at(connection, caller.workspace, meter.schema)
    if schema.status != "ACTIVE":
        raise WrongState(f"event schema {schema.name!r} is not active; activate it first")
    if meter.status == "ACTIVE":
        return meter
    # Meters are made without the gate, so the schema may have changed at the same moment.
    check_meter(meter.definition, schema.definition)
    if meter.version_started:
        await _insert_version(connection, caller, meter.key, meter.version + 1, meter.definition, version)
    else:
        await connection.execute(queries.start_meter_version, meter.version_key, version)
    await connection.execute(queries.activate_meter, meter.key, caller.wall)
    await audit.record(connection, caller, "activate", "usage_meter", identifier)
    return await get_meter(connection, caller.workspace, identifier)


async def update_meter(connection: Connection, caller: Caller, identifier: str, change: MeterChange) -> UsageMeter:
    """Change a meter; an active one measures by the new version what is received from now on. No change, no version.

    Raises `WrongState` for an archived meter, and where one that has measured would get another event schema or another
    aggregation; `Taken` for another meter's name; `Invalid` for rules that do not suit the schema.
    """
    version = await gate.change(connection, caller.workspace, "catalog")
    meter = await _living(connection, caller, identifier)
    name = meter.name if change.name is None else change.name
    if not name.strip():
        raise Invalid("name", "must not be blank")
    schema = await schema_at(connection, caller.workspace, meter.schema)
    if change.schema_name not in (None, schema.name):
        _never_measured(meter, "event schema")
        schema = await _named_schema(connection, caller, change.schema_name or "")
    definition = change.applied(meter.definition)
    if definition.aggregation != meter.definition.aggregation:
        _never_measured(meter, "aggregation")
    if (name, schema.key, definition) == (meter.name, meter.schema, meter.definition):
        return meter
    check_meter(definition, schema.definition)
    if await connection.fetchval(
        queries.change_meter, caller.workspace, meter.key, name, schema.key, caller.wall
    ) is None:  # fmt: skip
        raise Taken("name", f"there is a usage meter {name!r} already")
    if definition != meter.definition:
        active = meter.status == "ACTIVE"
        if active:
            await connection.execute(queries.end_meter_version, meter.key, version)
        await _insert_version(connection, caller, meter.key, meter.version + 1, definition, version if active else None)
    made = await get_meter(connection, caller.workspace, identifier)
    await audit.record(connection, caller, "update", "usage_meter", identifier, {"version": made.version})
    return made


async def deactivate_meter(connection: Connection, caller: Caller, identifier: str) -> UsageMeter:
    """Let an active meter measure nothing more, whether or not plans price it. Of an inactive one, nothing changes.

    Raises `WrongState` for a draft and an archived meter.
    """
    version = await gate.change(connection, caller.workspace, "catalog")
    meter = await _living(connection, caller, identifier)
    if meter.status == "DRAFT":
        raise WrongState(f"usage meter {identifier!r} is a draft; only an active one can be deactivated")
    if meter.status == "ACTIVE":
        await connection.execute(queries.end_meter_version, meter.key, version)
        await connection.execute(queries.set_meter_status, meter.key, "INACTIVE", caller.wall)
        await audit.record(connection, caller, "deactivate", "usage_meter", identifier)
    return await get_meter(connection, caller.workspace, identifier)


async def archive_meter(connection: Connection, caller: Caller, identifier: str) -> None:
    """Archive a meter for ever; its name is free again, its id is not.

    Raises `WrongState` while it is active and while a price plan in use has a rate card of it.
    """
    await gate.change(connection, caller.workspace, "catalog")
    meter = await _living(connection, caller, identifier)
    if meter.status == "ACTIVE":
        raise WrongState(f"usage meter {identifier!r} is active; deactivate it before you archive it")
    await connection.execute(queries.lock_meter, meter.key)
    plan = await connection.fetchval(queries.plan_with_meter, caller.workspace, meter.key)
    if plan is not None:
        raise WrongState(f"price plan {plan!r} has a rate card of usage meter {identifier!r}; archive the plan first")
    await connection.execute(queries.set_meter_status, meter.key, "ARCHIVED", caller.wall)
    await audit.record(connection, caller, "archive", "usage_meter", identifier)


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
    rows = await connection.fetch(queries.meters, workspace, key_of(after, digits=9), statuses, aggregations, limit + 1)
    items = [_meter(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def meter_keys(
    connection: Connection, workspace: int, identifiers: Sequence[str], *, archived: bool = True
) -> dict[str, int]:
    """Internal keys by wire id; unknown ids are left out.

    Where archived meters are not wanted, those found are kept from being archived until the transaction ends.
    """
    statement = queries.meter_keys if archived else queries.use_meters
    rows = await connection.fetch(statement, workspace, list(identifiers))
    return {row["wire_id"]: row["key"] for row in rows}


async def meters_called(connection: Connection, workspace: int, texts: Sequence[str]) -> list[int]:
    """Internal keys of the usage meters that go by some wire ids or names; no name is an id. Unknown ones are left out.

    An archived meter goes by its id alone.
    """
    return [row["key"] for row in await connection.fetch(queries.meters_called, workspace, list(texts))]


async def meter_ids(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, str]:
    """Wire ids by internal key."""
    return {row["key"]: row["wire_id"] for row in await connection.fetch(queries.meters_by_key, workspace, list(keys))}


async def _living(connection: Connection, caller: Caller, identifier: str) -> UsageMeter:
    meter = await get_meter(connection, caller.workspace, identifier)
    if meter.status == "ARCHIVED":
        raise WrongState(f"usage meter {identifier!r} is archived")
    return meter


def _never_measured(meter: UsageMeter, what: str) -> None:
    if meter.last_activated_at is not None:
        raise WrongState(f"the {what} of usage meter {meter.id!r} cannot change once it has been active")


async def _named_schema(connection: Connection, caller: Caller, name: str) -> EventSchema:
    try:
        return await get_schema(connection, caller.workspace, name)
    except NotFound:
        raise Invalid("eventSchemaName", f"there is no event schema {name!r}") from None


async def _insert_version(
    connection: Connection, caller: Caller, key: int, number: int, definition: MeterDefinition, active_from: int | None
) -> None:
    await connection.execute(
        queries.insert_meter_version,
        caller.workspace,
        key,
        number,
        to_text(definition),
        active_from,
        caller.wall,
    )


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
        version_started=row["active_from"] is not None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
