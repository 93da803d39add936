"""Users of the carrier's door. Their names are unique on the server, and each leads to one workspace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bursar.accounts.logins import Network, draw_subject, networks_of, parse_networks, shown
from bursar.accounts.workspaces import Workspace, workspace_of
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Taken
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "admins.sql")

NAME_LIMIT = 100


@dataclass(frozen=True, slots=True)
class AdminUser:
    """A user, without the password."""

    username: str
    enabled: bool
    allowed_ips: list[str] | None
    """Networks from which the user is served; None: from everywhere."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """What is needed to let a user in."""

    username: str
    subject: int
    """What its tokens name; another one with each password, which ends the tokens of the one before."""
    password_hash: str
    enabled: bool
    networks: tuple[Network, ...] | None
    workspace: Workspace


async def add_admin(
    connection: Connection, caller: Caller, username: str, password_hash: str, allowed_ips: Sequence[str] | None = None
) -> AdminUser:
    """A new user of the caller's workspace. Raises `Taken` for a name in use, on the whole server; `Invalid`."""
    if not 1 <= len(username) <= NAME_LIMIT or username != username.strip() or not username.isprintable():
        raise Invalid("username", f"must be 1 to {NAME_LIMIT} printable characters without spaces at the ends")
    networks = parse_networks(allowed_ips) if allowed_ips else None
    row = await connection.fetchrow(
        queries.insert_admin, caller.workspace, username, draw_subject(), password_hash, networks, caller.wall
    )
    if row is None:
        raise Taken("username", f"there is a user {username!r} already")
    await audit.record(connection, caller, "create", "admin", username, {"allowed_ips": networks})
    return _admin(row)


async def set_password(connection: Connection, caller: Caller, username: str, password_hash: str) -> AdminUser:
    """Another password; every token of the user ends. Raises `NotFound`."""
    row = await connection.fetchrow(
        queries.change_admin, caller.workspace, username, password_hash, draw_subject(), None, caller.wall
    )
    if row is None:
        raise NotFound("user", username)
    await audit.record(connection, caller, "password", "admin", username)
    return _admin(row)


async def set_enabled(connection: Connection, caller: Caller, username: str, *, enabled: bool) -> AdminUser:
    """Let a user in or out; whoever is out has no valid token. Raises `NotFound`."""
    row = await connection.fetchrow(queries.change_admin, caller.workspace, username, None, None, enabled, caller.wall)
    if row is None:
        raise NotFound("user", username)
    await audit.record(connection, caller, "enable" if enabled else "disable", "admin", username)
    return _admin(row)


async def list_admins(connection: Connection, caller: Caller) -> list[AdminUser]:
    """The workspace's users by name."""
    return [_admin(row) for row in await connection.fetch(queries.list_admins, caller.workspace)]


async def admin_by_name(db: Database, username: str) -> AdminLogin | None:
    """The user of a name."""
    return _login(await db.lookup(queries.admin_by_name, username))


async def admin_by_subject(db: Database, subject: int) -> AdminLogin | None:
    """The user whom a token names."""
    return _login(await db.shared_lookup(queries.admin_by_subject, subject))


def _admin(row: Row) -> AdminUser:
    return AdminUser(
        username=row["username"],
        enabled=row["enabled"],
        allowed_ips=None if row["allowed_ips"] is None else shown(row["allowed_ips"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _login(row: Row | None) -> AdminLogin | None:
    if row is None:
        return None
    return AdminLogin(
        username=row["username"],
        subject=row["subject"],
        password_hash=row["password_hash"],
        enabled=row["enabled"],
        networks=networks_of(row["allowed_ips"]),
        workspace=workspace_of(row),
    )
