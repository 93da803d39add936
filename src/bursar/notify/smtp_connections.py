"""The servers over which e-mail goes out."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import asyncpg

from bursar.core.caller import Caller
from bursar.core.errors import NotFound, Rejected, WrongState
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, BOOLEAN, TEXT, Column, Lister, Listing, Slice
from bursar.notify.outbox import queries

PORT = 25
BLANK = "can't be blank"
_ADDRESS = re.compile(r"[^@\s<>,;:\"\x00-\x1f]+@([A-Za-z0-9-]+\.)+[A-Za-z]{2,}")
TEXT_LIMIT = 255
_LISTER = Lister(
    queries,
    "list_smtp_connections",
    {
        "id": Column("yeti_id", BIGINT),
        "name": Column("name", TEXT),
        "host": Column("host", TEXT),
        "port": Column("port", BIGINT),
        "from_address": Column("from_address", TEXT),
        "auth_user": Column("auth_user", TEXT),
        "auth_password": Column("auth_password", TEXT),
        "global": Column("global", BOOLEAN),
    },
)


@dataclass(frozen=True, slots=True)
class SmtpConnection:
    """A server, and as whom to send there."""

    name: str
    host: str
    from_address: str
    port: int = PORT
    auth_user: str | None = None
    """Where it is set, the conversation begins by logging in."""
    auth_password: str | None = None
    is_global: bool = True
    """Whether it sends for everybody without a connection of their own."""


def check(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Which rules the values of a connection break: `(field, rule)` in the order of the fields."""
    problems = [(field, BLANK) for field in ("name", "host") if not (values.get(field) or "").strip()]
    port = values.get("port")
    if port is None:
        problems.append(("port", BLANK))
    elif port < 1:
        problems.append(("port", "must be greater than 0"))
    elif port > 65535:
        problems.append(("port", "must be less than or equal to 65535"))
    address = values.get("from_address") or ""
    if not address.strip():
        problems.append(("from_address", BLANK))
    elif not _ADDRESS.fullmatch(address):
        problems.append(("from_address", "is invalid"))
    too_long = f"is too long (maximum is {TEXT_LIMIT} characters)"
    texts = ("name", "host", "from_address", "auth_user", "auth_password")
    return [*problems, *((field, too_long) for field in texts if len(values.get(field) or "") > TEXT_LIMIT)]


async def create_connection(connection: Connection, caller: Caller, values: Mapping[str, Any]) -> int:
    """A new connection from its values by field; returns its number. Raises `Rejected`."""
    wanted = {"port": PORT, "is_global": True, **values}
    problems = check(wanted)
    name = wanted.get("name") or ""
    if name and await connection.fetchval(queries.smtp_connection_named, caller.workspace, name) is not None:
        problems.insert(0, ("name", "has already been taken"))
    if problems:
        raise Rejected(problems)
    made = _made(wanted)
    number = await connection.fetchval(queries.insert_smtp_connection, caller.workspace, *_columns(made), caller.wall)
    if number is None:
        raise Rejected([("name", "has already been taken")])
    await audit.record(connection, caller, "create", "smtp_connection", str(number))
    return int(number)


async def update_connection(connection: Connection, caller: Caller, number: int, values: Mapping[str, Any]) -> None:
    """Change the values that are given. Raises `NotFound`, `Rejected`."""
    row = await connection.fetchrow(queries.lock_smtp_connection, caller.workspace, number)
    if row is None:
        raise NotFound("smtp connection", str(number))
    wanted = {**asdict(_of(row)), **values}
    problems = check(wanted)
    name = wanted["name"] or ""
    if name and await connection.fetchval(queries.smtp_connection_named, caller.workspace, name) not in (None, number):
        problems.insert(0, ("name", "has already been taken"))
    if problems:
        raise Rejected(problems)
    await connection.execute(queries.update_smtp_connection, caller.workspace, number, *_columns(_made(wanted)))
    await audit.record(connection, caller, "update", "smtp_connection", str(number))


async def delete_connection(connection: Connection, caller: Caller, number: int) -> None:
    """Remove a connection. Raises `NotFound`, or `WrongState` where a contractor has it: end the transaction then."""
    if await connection.fetchrow(queries.lock_smtp_connection, caller.workspace, number) is None:
        raise NotFound("smtp connection", str(number))
    try:
        await connection.execute(queries.delete_smtp_connection, caller.workspace, number)
    except asyncpg.ForeignKeyViolationError:
        raise WrongState("Cannot delete record because dependent contractors exist") from None
    await audit.record(connection, caller, "delete", "smtp_connection", str(number))


async def connection_at(connection: Connection, workspace: int, number: int | None) -> SmtpConnection | None:
    """The connection of a number; where it is gone, the oldest that is for everybody, or None."""
    row = await connection.fetchrow(queries.smtp_connection_at, workspace, number)
    return None if row is None else _of(row)


async def exists(connection: Connection, workspace: int, number: int) -> bool:
    """Whether there is a connection of a number, which then stays until the transaction ends."""
    return await connection.fetchval(queries.smtp_connection_exists, workspace, number) is not None


async def list_smtp_connections(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """The connections that a listing asks for; rows have the fields of `SmtpConnection`, and their number as `id`."""
    return await _LISTER.fetch(connection, listing, workspace)


def _made(values: Mapping[str, Any]) -> SmtpConnection:
    known = {name: value for name, value in values.items() if name in SmtpConnection.__slots__}
    made = SmtpConnection(**known)
    return replace(made, is_global=bool(made.is_global), auth_user=made.auth_user or None)


def _columns(made: SmtpConnection) -> tuple[object, ...]:
    return (made.name, made.host, made.port, made.from_address, made.auth_user, made.auth_password, made.is_global)


def _of(row: Row) -> SmtpConnection:
    return SmtpConnection(
        name=row["name"],
        host=row["host"],
        port=row["port"],
        from_address=row["from_address"],
        auth_user=row["auth_user"],
        auth_password=row["auth_password"],
        is_global=row["global"],
    )
