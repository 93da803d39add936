"""What admission loads of a workspace's catalogue, and the history by which it is recomputed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bursar.catalog import named_licenses
from bursar.catalog.definitions import MeterDefinition, SchemaDefinition, from_text
from bursar.catalog.schemas import queries
from bursar.db.database import Connection


@dataclass(frozen=True, slots=True)
class MeterView:
    """A version of a usage meter."""

    meter: int
    """Internal key of the meter."""
    version: int
    """Internal key of its version."""
    number: int
    """The version's number, for people."""
    id: str
    name: str
    schema_name: str
    aggregation: str
    filters: tuple[tuple[str, str], ...]
    matcher: str | None
    computation: str | None
    active_from: int
    active_until: int | None
    """Catalogue versions `[from, until)` at which admission applies it."""


@dataclass(frozen=True, slots=True)
class SchemaView:
    """An active event schema with the meters in force."""

    version: int
    """Internal key of the schema version."""
    name: str
    attributes: frozenset[str]
    dimensions: frozenset[str]
    meters: tuple[MeterView, ...]
    definition: SchemaDefinition
    """All that the version says."""
    licenses: Mapping[str, int] | None = None
    """Of the schema by which names get and lose licences: internal keys of the add-ons in use, by wire id."""


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """A version of an event schema, whatever has become of it since."""

    key: int
    """Its internal key."""
    name: str
    number: int
    """The version's number, for people."""
    definition: SchemaDefinition


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalogue as it is in force."""

    schemas: tuple[SchemaView, ...]


async def load(connection: Connection, workspace: int) -> Catalog:
    """The catalogue in force. Read it behind the gate."""
    meters = [view for view in await history(connection, workspace) if view.active_until is None]
    schemas = []
    for row in await connection.fetch(queries.active_schemas, workspace):
        definition = from_text(row["definition"], SchemaDefinition)
        schemas.append(
            SchemaView(
                version=row["version_key"],
                name=row["name"],
                attributes=frozenset(attribute.name for attribute in definition.attributes),
                dimensions=frozenset(definition.dimensions),
                meters=tuple(view for view in meters if view.schema_name == row["name"]),
                definition=definition,
                licenses=await _named(connection, workspace) if row["name"] == named_licenses.SCHEMA else None,
            )
        )
    return Catalog(tuple(schemas))


async def _named(connection: Connection, workspace: int) -> dict[str, int]:
    return {row["wire_id"]: row["key"] for row in await connection.fetch(queries.named_licenses, workspace)}


async def schema_versions(
    connection: Connection, workspace: int, keys: Iterable[int] | None = None
) -> dict[int, SchemaVersion]:
    """The versions of event schemas that events name, by internal key; all of them where `keys` is None."""
    rows = await connection.fetch(queries.judging_schemas, workspace, None if keys is None else sorted(set(keys)))
    versions = (
        SchemaVersion(row["key"], row["name"], row["version"], from_text(row["definition"], SchemaDefinition))
        for row in rows
    )
    return {version.key: version for version in versions}


async def history(connection: Connection, workspace: int) -> list[MeterView]:
    """Every meter version that was ever in force."""
    views = []
    for row in await connection.fetch(queries.meter_history, workspace):
        definition = from_text(row["definition"], MeterDefinition)
        views.append(
            MeterView(
                meter=row["key"],
                version=row["version_key"],
                number=row["version"],
                id=row["wire_id"],
                name=row["name"],
                schema_name=row["schema_name"],
                aggregation=definition.aggregation,
                filters=tuple((entry.field, entry.value) for entry in definition.filters),
                matcher=definition.matcher,
                computation=definition.computation,
                active_from=row["active_from"],
                active_until=row["active_until"],
            )
        )
    return views
