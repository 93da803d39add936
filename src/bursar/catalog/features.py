"""Features: what a customer is entitled to use, in units that events of associated schemas draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bursar.accounts import gate
from bursar.catalog.definitions import SchemaDefinition, from_text
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.catalog", "features.sql")


@dataclass(frozen=True, slots=True)
class Association:
    """Each event of a schema draws as many units as an attribute of it says."""

    schema_name: str
    attribute: str


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature without its associations."""

    key: int
    id: str
    name: str
    billable_name: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def display_name(self) -> str:
        """What invoices call it."""
        return self.billable_name or self.name


async def create_feature(
    connection: Connection, caller: Caller, name: str, billable_name: str | None, associations: Sequence[Association]
) -> Feature:
    """A feature with its event schemas, whose events draw its units from now on.

    Raises `Taken` for a known name, `Invalid` for associations that cannot be.
    """
    _check_name(name)
    if associations:
        await gate.change(connection, caller.workspace, "catalog")
    identifier = draw("feature")
    key = await connection.fetchval(
        queries.insert_feature, caller.workspace, identifier, name, billable_name or None, caller.wall
    )
    if key is None:
        raise _taken(name)
    await _associate(connection, caller.workspace, key, associations)
    await audit.record(connection, caller, "create", "feature", identifier)
    return await get_feature(connection, caller.workspace, identifier)


async def update_feature(
    connection: Connection,
    caller: Caller,
    identifier: str,
    *,
    name: str | None = None,
    billable_name: str | None = None,
    associations: Sequence[Association] | None = None,
) -> Feature:
    """Change a feature; None leaves a part as it is, an empty billable name takes it away, a list replaces the list.

    Raises `NotFound`, `Taken` for a known name, `Invalid` for associations that cannot be.
    """
    if associations is not None:
        await gate.change(connection, caller.workspace, "catalog")
    await connection.execute(queries.lock_feature, caller.workspace, identifier)
    feature = await get_feature(connection, caller.workspace, identifier)
    name = feature.name if name is None else name
    _check_name(name)
    if await connection.fetchval(queries.feature_name_taken, caller.workspace, name, feature.key):
        raise _taken(name)
    billable = feature.billable_name if billable_name is None else billable_name or None
    replaced = associations is not None and list(associations) != await associations_of(connection, feature)
    if associations is not None and replaced:
        await _associate(connection, caller.workspace, feature.key, associations)
    if replaced or (name, billable) != (feature.name, feature.billable_name):
        await connection.execute(queries.update_feature, feature.key, name, billable, caller.wall)
        await audit.record(connection, caller, "update", "feature", identifier)
    return await get_feature(connection, caller.workspace, identifier)


async def get_feature(connection: Connection, workspace: int, identifier: str) -> Feature:
    """The feature of an id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.feature, workspace, identifier)
    if row is None:
        raise NotFound("feature", identifier)
    return _feature(row)


async def feature_at(connection: Connection, workspace: int, key: int) -> Feature:
    """The feature of an internal key."""
    (row,) = await connection.fetch(queries.features_at, workspace, [key])
    return _feature(row)


async def names_of_features(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, str]:
    """What invoices call features, by internal key."""
    rows = await connection.fetch(queries.features_at, workspace, list(keys)) if keys else []
    return {row["key"]: _feature(row).display_name for row in rows}


async def feature_keys(connection: Connection, workspace: int, identifiers: Sequence[str]) -> dict[str, int]:
    """Internal keys by wire id; unknown ids are left out."""
    rows = await connection.fetch(queries.feature_keys, workspace, list(identifiers)) if identifiers else []
    return {row["wire_id"]: row["key"] for row in rows}


async def features_named(connection: Connection, workspace: int, identifiers: Sequence[str]) -> dict[str, Feature]:
    """Features by wire id; unknown ids are left out."""
    rows = await connection.fetch(queries.features_named, workspace, list(identifiers)) if identifiers else []
    return {row["wire_id"]: _feature(row) for row in rows}


async def associations_of(connection: Connection, feature: Feature) -> list[Association]:
    """The event schemas whose events draw a feature's units, in the order in which they were given."""
    rows = await connection.fetch(queries.associations, feature.key)
    return [Association(row["schema_name"], row["attribute"]) for row in rows]


async def list_features(
    connection: Connection, workspace: int, after: str | None, limit: int
) -> Page[tuple[Feature, int]]:
    """Features in the order of their making, each with the number of its event schemas."""
    rows = await connection.fetch(queries.features, workspace, key_of(after), limit + 1)
    items = [(_feature(row), int(row["schemas"])) for row in rows[:limit]]
    return Page(items, str(items[-1][0].key) if len(rows) > limit else None)


async def _associate(connection: Connection, workspace: int, feature: int, wanted: Sequence[Association]) -> None:
    names = [association.schema_name for association in wanted]
    rows = await connection.fetch(queries.schemas_to_associate, workspace, names) if names else []
    found = {row["name"]: row for row in rows}
    for index, association in enumerate(wanted):
        field = f"schemaAssociations[{index}]"
        if association.schema_name in names[:index]:
            raise Invalid(f"{field}.schemaName", f"{association.schema_name!r} is given twice")
        _check_association(association, found.get(association.schema_name), feature, field)
    await connection.execute(queries.drop_associations, feature)
    keys = [found[name]["key"] for name in names]
    attributes = [association.attribute for association in wanted]
    await connection.execute(queries.insert_associations, workspace, feature, keys, attributes)


def _check_association(association: Association, schema: Row | None, feature: int, field: str) -> None:
    name = association.schema_name
    if schema is None or schema["status"] == "ARCHIVED":
        raise Invalid(f"{field}.schemaName", f"there is no event schema {name!r}")
    if schema["feature"] not in (None, feature):
        raise Invalid(f"{field}.schemaName", f"{name!r} is associated with feature {schema['feature_id']!r} already")
    definition = from_text(schema["definition"], SchemaDefinition)
    if association.attribute not in [attribute.name for attribute in definition.attributes]:
        raise Invalid(f"{field}.attributeName", f"event schema {name!r} has no attribute {association.attribute!r}")


def _check_name(name: str) -> None:
    if not name.strip():
        raise Invalid("name", "must not be blank")


def _taken(name: str) -> Taken:
    return Taken("name", f"there is a feature {name!r} already")


def _feature(row: Row) -> Feature:
    return Feature(
        key=row["key"],
        id=row["wire_id"],
        name=row["name"],
        billable_name=row["billable_name"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
