"""People to reach at a customer."""

from dataclasses import dataclass
from datetime import datetime

from bursar.accounts.model import may_change
from bursar.accounts.store import get_customer, queries
from bursar.core.caller import Caller
from bursar.core.errors import Taken
from bursar.core.ids import draw
from bursar.db import audit
from bursar.db.database import Connection


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
