"""Customers as a carrier knows them: contractors, who buy, sell or both.

The same rows as the customers of `service`; what is unique and required here is so by the carrier's rules.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from bursar.accounts import service
from bursar.accounts.model import SECRET_BYTES
from bursar.accounts.store import to_text
from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected
from bursar.core.ids import draw
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, BOOLEAN, TEXT, Column, Condition, Lister, Listing, Slice
from bursar.db.queries import Queries
from bursar.notify import smtp_connections

queries = Queries("bursar.accounts", "contractors.sql")

TEXT_LIMIT = 255
BLANK = "can't be blank"
TAKEN = "has already been taken"
NEITHER = "Must be customer and/or vendor"
TOO_LONG = f"is too long (maximum is {TEXT_LIMIT} characters)"
DEPENDENT = "Cannot delete record because dependent accounts exist"

Problems = list[tuple[str, str]]

LISTER = Lister(
    queries,
    "list_contractors",
    {
        "id": Column("c.yeti_id", BIGINT),
        "name": Column("p.name", TEXT),
        "enabled": Column("c.enabled", BOOLEAN),
        "vendor": Column("c.vendor", BOOLEAN),
        "customer": Column("c.buyer", BOOLEAN),
        "description": Column("p.description", TEXT),
        "address": Column("p.address ->> 'line1'", TEXT),
        "phones": Column("p.phones", TEXT),
        "external_id": Column("c.external_id", BIGINT),
        "smtp_connection_id": Column("c.smtp_connection", BIGINT),
    },
)
_DEFAULTS: Mapping[str, Any] = {
    "name": None, "enabled": True, "vendor": False, "customer": False, "description": None, "address": None,
    "phones": None, "external_id": None, "smtp_connection": None,
}  # fmt: skip
_FLAGS = ("enabled", "vendor", "customer")


async def list_contractors(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """Contractors that are not deleted. Rows have `id`, which is the carrier's number, and all that is said of them."""
    return await LISTER.fetch(connection, listing, workspace)


async def get_contractor(connection: Connection, workspace: int, number: int) -> Row:
    """The contractor of a number. Raises `NotFound`."""
    found = await list_contractors(connection, workspace, Listing((Condition("id", "eq", (number,)),), counted=False))
    if not found.rows:
        raise NotFound("contractor", str(number))
    return found.rows[0]


def check_contractor(values: Mapping[str, Any], taken: Mapping[str, bool]) -> Problems:
    """What breaks the rules, in the order of the fields. `taken` tells which of its unique values another has."""
    problems: Problems = []
    if not (values["name"] or "").strip():
        problems.append(("name", BLANK))
    elif taken["name"]:
        problems.append(("name", TAKEN))
    problems += [(field, BLANK) for field in _FLAGS if values[field] is None]
    if not values["vendor"] and not values["customer"]:
        problems += [("vendor", NEITHER), ("customer", NEITHER)]
    for field in ("name", "description", "address", "phones"):
        if len(values[field] or "") > TEXT_LIMIT:
            problems.append((field, TOO_LONG))
    if taken["external_id"]:
        problems.append(("external_id", TAKEN))
    return problems


async def create_contractor(connection: Connection, caller: Caller, given: Mapping[str, Any]) -> int:
    """A new contractor of the values `given`; returns its number. Its id at the other door is the text of that.

    Raises `Rejected`.
    """
    sent = {name: value for name, value in given.items() if value is not None or name not in _FLAGS}
    values = {**_DEFAULTS, **sent}
    await _check(connection, caller, values, None)
    number = await service.customer_number(connection, caller)
    await _store(
        connection.execute(
            queries.insert_contractor, caller.workspace, number, draw("customer"), values["enabled"],
            values["vendor"], values["customer"], values["external_id"], values["smtp_connection"], caller.wall,
            values["name"], to_text({"line1": values["address"]} if values["address"] else {}), values["description"],
            values["phones"], secrets.token_bytes(SECRET_BYTES),
        )
    )  # fmt: skip
    await audit.record(connection, caller, "create", "customer", str(number))
    return number


async def update_contractor(connection: Connection, caller: Caller, number: int, given: Mapping[str, Any]) -> int:
    """Change a contractor. Raises `NotFound` or `Rejected`."""
    await connection.execute(queries.lock_contractor, caller.workspace, number)
    row = await get_contractor(connection, caller.workspace, number)
    before = {name: row["smtp_connection_id" if name == "smtp_connection" else name] for name in _DEFAULTS}
    values = {**before, **given}
    await _check(connection, caller, values, number)
    await _store(
        connection.execute(
            queries.update_contractor, caller.workspace, row["key"], values["enabled"], values["vendor"],
            values["customer"], values["external_id"], values["smtp_connection"], caller.wall, values["name"],
            values["address"] or None, values["description"], values["phones"],
        )
    )  # fmt: skip
    await audit.record(connection, caller, "update", "customer", row["togai_id"])
    return number


async def delete_contractor(connection: Connection, caller: Caller, number: int) -> None:
    """Hide a contractor from the carrier and archive it at the other door. Raises `Rejected` while it has accounts."""
    row = await get_contractor(connection, caller.workspace, number)
    if not row["archived"]:
        # Before the check: it takes the gate, which must come before any row.
        await service.archive_customer(connection, caller, row["togai_id"])
    await connection.execute(queries.lock_contractor, caller.workspace, number)
    if await connection.fetchval(queries.has_accounts, caller.workspace, row["key"]):
        raise Rejected([("", DEPENDENT)])
    await connection.execute(queries.hide_contractor, caller.workspace, row["key"], caller.wall)
    await audit.record(connection, caller, "delete", "customer", row["togai_id"])


async def _check(connection: Connection, caller: Caller, values: Mapping[str, Any], number: int | None) -> None:
    """Raise `Rejected` for all that is wrong with values; keep what is unique among them from others."""
    names = _names(values)
    if names:
        await connection.execute(queries.hold_carrier_names, caller.workspace, names)
    taken = await connection.fetchrow(
        queries.contractor_taken, caller.workspace, values["name"], values["external_id"], number
    )
    assert taken is not None
    problems = check_contractor(values, dict(taken))
    sender = values["smtp_connection"]
    if sender is not None and not await smtp_connections.exists(connection, caller.workspace, sender):
        problems.append(("smtp_connection", "must exist"))
    if problems:
        raise Rejected(problems)


def _names(values: Mapping[str, Any]) -> Sequence[str]:
    return [f"contractor {field} {values[field]}" for field in ("name", "external_id") if values[field] is not None]


async def _store(statement: Any) -> None:
    try:
        await statement
    except asyncpg.UniqueViolationError:
        # The last wall: numbers are held before they are written.
        raise Rejected([("external_id", TAKEN)]) from None
