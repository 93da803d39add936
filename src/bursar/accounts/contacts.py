"""People to reach at a customer. One table for both doors; the carrier's shows those of customers that it sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bursar.accounts.model import may_change
from bursar.accounts.store import get_customer, queries
from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected, Taken
from bursar.core.ids import draw
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, TEXT, Column, Condition, Lister, Listing, Slice
from bursar.db.queries import Queries
from bursar.notify import subscriptions

statements = Queries("bursar.accounts", "contacts.sql")

EMAIL_LIMIT = 255
_LISTER = Lister(
    statements,
    "list_contacts",
    {
        "id": Column("k.yeti_id", BIGINT),
        "email": Column("k.email", TEXT),
        "notes": Column("k.notes", TEXT),
        "contractor_id": Column("c.yeti_id", BIGINT),
    },
)


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact to make. `password_hash` is the result of a password hash, never a password."""

    name: str
    email: str
    preferred_username: str | None = None
    phone: str | None = None
    password_hash: str | None = None
    login_access: bool = False
    verified: bool = False


async def create_contact(
    connection: Connection, caller: Caller, customer_id: str, new: NewContact
) -> tuple[str, datetime]:
    """Add a contact; returns its user name and when it was made. Preferred user names are unique on the server."""
    customer = await get_customer(connection, caller.workspace, customer_id)
    may_change("customer", customer_id, customer.status)
    username = draw("contact")
    made = await connection.fetchval(
        queries.insert_contact,
        caller.workspace,
        customer.key,
        username,
        new.preferred_username,
        new.name,
        new.email,
        new.phone,
        new.password_hash,
        new.login_access,
        new.verified,
        caller.actor,
        caller.wall,
    )
    if made is None:
        raise Taken("preferredUsername", f"{new.preferred_username!r} belongs to somebody else")
    await audit.record(connection, caller, "create", "contact", username)
    return username, caller.wall


async def list_contacts(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """Contacts of customers that the carrier sees; rows have `id`, `contractor_id`, `email` and `notes`."""
    return await _LISTER.fetch(connection, listing, workspace)


def check_contact(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with what a carrier says of a contact."""
    email = values.get("email") or ""
    problems = [] if email.strip() else [("email", "can't be blank")]
    if len(email) > EMAIL_LIMIT:
        problems.append(("email", f"is too long (maximum is {EMAIL_LIMIT} characters)"))
    return problems if values.get("contractor") is not None else [*problems, _NOBODY]


async def add_contact(connection: Connection, caller: Caller, values: Mapping[str, Any]) -> int:
    """A contact of the carrier's making: `email`, `notes`, `contractor` by number; returns its number.

    Raises `Rejected`.
    """
    problems, number, username = check_contact(values), None, draw("contact")
    if not problems:
        number = await connection.fetchval(
            statements.add_contact, caller.workspace, values["contractor"], username, values["email"],
            values.get("notes"), caller.actor, caller.wall,
        )  # fmt: skip
    if number is None:
        raise Rejected(problems or [_NOBODY])
    await audit.record(connection, caller, "create", "contact", username)
    return int(number)


async def change_contact(connection: Connection, caller: Caller, number: int, given: Mapping[str, Any]) -> int:
    """Change what is given of a contact. Raises `NotFound` or `Rejected`."""
    await connection.execute(statements.lock_contact, caller.workspace, number)
    row = await _contact(connection, caller, number)
    values = {"email": row["email"], "notes": row["notes"], "contractor": row["contractor_id"], **given}
    problems, changed = check_contact(values), None
    if not problems:
        changed = await connection.fetchval(
            statements.change_contact, caller.workspace, row["key"], values["contractor"], values["email"],
            values["notes"],
        )  # fmt: skip
    if changed is None:
        raise Rejected(problems or [_NOBODY])
    await audit.record(connection, caller, "update", "contact", row["username"], {"changed": sorted(given)})
    return number


async def delete_contact(connection: Connection, caller: Caller, number: int) -> None:
    """Remove a contact, and its number from the lists of whom accounts and events tell. Raises `NotFound`."""
    row = await _contact(connection, caller, number)
    await connection.execute(statements.forget_contact, caller.workspace, number)
    await connection.execute(statements.delete_contact, caller.workspace, row["key"])
    await subscriptions.remove_contact(connection, caller, number)
    await audit.record(connection, caller, "delete", "contact", row["username"])


_NOBODY = ("contractor", "must exist")


async def _contact(connection: Connection, caller: Caller, number: int) -> Row:
    one = Listing((Condition("id", "eq", (number,)),), counted=False)
    found = (await list_contacts(connection, caller.workspace, one)).rows
    if not found:
        raise NotFound("contact", str(number))
    return found[0]
