"""Add-ons: the named things that rate cards charge for besides usage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bursar.accounts import gate
from bursar.catalog.schemas import offer_named_licenses
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.catalog", "add_ons.sql")

NAMED = "NAMED_LICENSE"
"""The type of licences that are counted by the names that have them."""


@dataclass(frozen=True, slots=True)
class AddOn:
    """An add-on."""

    key: int
    id: str
    name: str
    type: str
    """`LICENSE`, `FIXED_FEE`, `CREDIT_GRANT` or `NAMED_LICENSE`."""
    billable_name: str | None
    status: str
    created_at: datetime

    @property
    def display_name(self) -> str:
        """What invoices call it."""
        return self.billable_name or self.name


async def create_add_on(
    connection: Connection, caller: Caller, name: str, kind: str, billable_name: str | None
) -> AddOn:
    """An add-on, at once in use. Raises `Taken` for a known name."""
    _check_name(name)
    if kind == NAMED:
        # Admission knows these: before any row is held.
        await gate.change(connection, caller.workspace, "catalog")
        await offer_named_licenses(connection, caller)
    identifier = draw("addon")
    key = await connection.fetchval(
        queries.insert_add_on, caller.workspace, identifier, name, kind, billable_name or None, caller.wall
    )
    if key is None:
        raise _taken(name)
    await audit.record(connection, caller, "create", "add_on", identifier)
    return await get_add_on(connection, caller.workspace, identifier)


async def update_add_on(
    connection: Connection, caller: Caller, identifier: str, name: str | None, billable_name: str | None
) -> AddOn:
    """Rename an add-on; None leaves a name as it is, an empty billable name takes it away.

    Issued invoices keep what they say. Raises `Taken` for a known name, `WrongState` for an archived add-on.
    """
    add_on = await _enter(connection, caller, identifier)
    name = add_on.name if name is None else name
    _check_name(name)
    if await connection.fetchval(queries.add_on_name_taken, caller.workspace, name, add_on.key):
        raise _taken(name)
    billable = add_on.billable_name if billable_name is None else billable_name or None
    if (name, billable) != (add_on.name, add_on.billable_name):
        await connection.execute(queries.update_add_on, add_on.key, name, billable, caller.wall)
        await audit.record(connection, caller, "update", "add_on", identifier)
    return await get_add_on(connection, caller.workspace, identifier)


async def archive_add_on(connection: Connection, caller: Caller, identifier: str) -> None:
    """Take an add-on out of use; its name is free again. Raises `WrongState` while a price plan charges for it."""
    if (await get_add_on(connection, caller.workspace, identifier)).type == NAMED:
        await gate.change(connection, caller.workspace, "catalog")
    add_on = await _enter(connection, caller, identifier)
    plan = await connection.fetchval(queries.plan_with_add_on, caller.workspace, add_on.key)
    if plan is not None:
        raise WrongState(f"price plan {plan!r} charges for add-on {identifier!r}; archive the plan first")
    await connection.execute(queries.archive_add_on, add_on.key, caller.wall)
    await audit.record(connection, caller, "archive", "add_on", identifier)


async def get_add_on(connection: Connection, workspace: int, identifier: str) -> AddOn:
    """The add-on of an id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.add_on, workspace, identifier)
    if row is None:
        raise NotFound("add-on", identifier)
    return _add_on(row)


async def list_add_ons(
    connection: Connection, workspace: int, status: str | None, after: str | None, limit: int
) -> Page[AddOn]:
    """Add-ons in the order of their making, those in use where no status is asked for."""
    rows = await connection.fetch(queries.add_ons, workspace, key_of(after), status, limit + 1)
    items = [_add_on(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def use_add_ons(connection: Connection, workspace: int, identifiers: Sequence[str]) -> dict[str, AddOn]:
    """Add-ons by wire id, kept from being archived until the transaction ends; unknown ids are left out."""
    rows = await connection.fetch(queries.use_add_ons, workspace, list(identifiers)) if identifiers else []
    return {row["wire_id"]: _add_on(row) for row in rows}


async def display_names(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, str]:
    """What invoices call add-ons, by internal key."""
    if not keys:
        return {}
    rows = await connection.fetch(queries.add_on_names, workspace, list(keys))
    return {row["key"]: row["display_name"] for row in rows}


async def _enter(connection: Connection, caller: Caller, identifier: str) -> AddOn:
    await connection.execute(queries.lock_add_on, caller.workspace, identifier)
    add_on = await get_add_on(connection, caller.workspace, identifier)
    if add_on.status == "ARCHIVED":
        raise WrongState(f"add-on {identifier!r} is archived")
    return add_on


def _check_name(name: str) -> None:
    if not name.strip():
        raise Invalid("name", "must not be blank")


def _taken(name: str) -> Taken:
    return Taken("name", f"there is an add-on {name!r} already")


def _add_on(row: Row) -> AddOn:
    return AddOn(
        key=row["key"],
        id=row["wire_id"],
        name=row["name"],
        type=row["type"],
        billable_name=row["billable_name"],
        status=row["status"],
        created_at=row["created_at"],
    )
