"""Templates of the documents that statements will have: kept as they are given."""

from collections.abc import Mapping
from typing import Any

from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, TEXT, Column, Lister, Listing, Slice
from bursar.invoicing.statement_model import BLANK, Problem
from bursar.invoicing.statements import queries

TAKEN = "has already been taken"
FIELDS = ("name", "html_template")

TEMPLATES = Lister(
    queries,
    "list_templates",
    {
        "id": Column("i.yeti_id", BIGINT),
        "name": Column("i.name", TEXT),
        "html_template": Column("i.html_template", TEXT),
    },
)


async def list_templates(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """Templates by number, name or text."""
    return await TEMPLATES.fetch(connection, listing, workspace)


async def create_template(connection: Connection, caller: Caller, values: Mapping[str, Any]) -> int:
    """Keep a template; returns its number. Raises `Rejected` for a field that is blank or a name that is taken."""
    _check(values)
    number: int | None = await connection.fetchval(
        queries.insert_template, caller.workspace, values["name"], values["html_template"]
    )
    if number is None:
        raise Rejected([("name", TAKEN)])
    await audit.record(connection, caller, "create", "invoice_template", str(number))
    return number


async def update_template(connection: Connection, caller: Caller, number: int, values: Mapping[str, Any]) -> None:
    """Change what is given of a template. Raises `NotFound`, and `Rejected` as `create_template` does."""
    row = await _locked(connection, caller, number)
    changed = {name: values.get(name, row[name]) for name in FIELDS}
    _check(changed)
    if await connection.fetchval(queries.template_named, caller.workspace, changed["name"], number) is not None:
        raise Rejected([("name", TAKEN)])
    await connection.execute(queries.update_template, caller.workspace, row["key"], *changed.values())
    await audit.record(connection, caller, "update", "invoice_template", str(number))


async def delete_template(connection: Connection, caller: Caller, number: int) -> None:
    """Remove a template. Accounts that name it keep its number. Raises `NotFound`."""
    row = await _locked(connection, caller, number)
    await connection.execute(queries.delete_template, caller.workspace, row["key"])
    await audit.record(connection, caller, "delete", "invoice_template", str(number))


async def _locked(connection: Connection, caller: Caller, number: int) -> Row:
    row = await connection.fetchrow(queries.lock_template, caller.workspace, number)
    if row is None:
        raise NotFound("invoice template", str(number))
    return row


def _check(values: Mapping[str, Any]) -> None:
    problems: list[Problem] = [(name, BLANK) for name in FIELDS if not (values.get(name) or "").strip()]
    if problems:
        raise Rejected(problems)
