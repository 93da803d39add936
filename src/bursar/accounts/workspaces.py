"""Workspaces: the tenants, live or sandbox, and the clock of each."""

from dataclasses import dataclass
from datetime import datetime

from bursar.accounts import gate
from bursar.core.caller import Caller
from bursar.core.currencies import EXPONENTS
from bursar.core.cycles import zone_rules
from bursar.core.errors import Invalid, NotFound, Taken, WrongState
from bursar.core.period import FIRST, FOREVER, show_instant
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "workspaces.sql")

NAME_LIMIT = 50
NET_TERM_DAYS = 0
GRACE_DAYS = 30
"""Days during which events are taken for instants at which an account has no plan."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant."""

    key: int
    name: str
    sandbox: bool
    currency: str
    timezone: str
    net_term_days: int
    grace_days: int
    clock_at: datetime | None
    """Where a sandbox's clock stands; None while it shows wall time."""
    created_at: datetime


def workspace_of(row: Row) -> Workspace:
    """The workspace of a row that has all its columns."""
    return Workspace(
        key=row["key"],
        name=row["name"],
        sandbox=row["sandbox"],
        currency=row["currency"],
        timezone=row["timezone"],
        net_term_days=row["net_term_days"],
        grace_days=row["grace_days"],
        clock_at=row["clock_at"],
        created_at=row["created_at"],
    )


def caller_of(workspace: Workspace, wall: datetime, actor: str) -> Caller:
    """The context of a command in a workspace."""
    return Caller(
        workspace=workspace.key,
        now=workspace.clock_at or wall,
        wall=wall,
        actor=actor,
        timezone=workspace.timezone,
        currency=workspace.currency,
        sandbox=workspace.sandbox,
    )


async def create_workspace(
    connection: Connection, wall: datetime, actor: str, name: str, *, sandbox: bool, currency: str, timezone: str
) -> Workspace:
    """A new workspace with the currencies of ISO 4217. Raises `Taken` for a known name, `Invalid` otherwise."""
    if not 1 <= len(name) <= NAME_LIMIT or name != name.strip() or not name.isprintable():
        raise Invalid("name", f"must be 1 to {NAME_LIMIT} printable characters without spaces at the ends")
    if currency not in EXPONENTS:
        raise Invalid("currency", f"{currency!r} is not a currency of ISO 4217")
    zone_rules(timezone, "timezone")
    row = await connection.fetchrow(
        queries.insert_workspace, name, sandbox, currency, timezone, NET_TERM_DAYS, GRACE_DAYS, wall
    )
    if row is None:
        raise Taken("name", f"there is a workspace {name!r} already")
    workspace = workspace_of(row)
    await connection.execute(
        queries.insert_currencies, workspace.key, list(EXPONENTS), list(EXPONENTS.values()), currency
    )
    for kind in ("customer", "account", "object"):
        await connection.execute(queries.create_sequence, sequence_of(kind, workspace.key))
    await audit.record(connection, caller_of(workspace, wall, actor), "create", "workspace", name)
    return workspace


def sequence_of(kind: str, workspace: int) -> str:
    """The sequence that numbers a workspace's customers, accounts or all other objects at the carrier's door."""
    return f"yeti_{kind}_{workspace}"


async def list_workspaces(connection: Connection) -> list[Workspace]:
    """All workspaces by age."""
    return [workspace_of(row) for row in await connection.fetch(queries.list_workspaces)]


async def find_workspace(connection: Connection, name: str) -> Workspace:
    """The workspace of a name. Raises `NotFound`."""
    row = await connection.fetchrow(queries.find_workspace, name)
    if row is None:
        raise NotFound("workspace", name)
    return workspace_of(row)


async def workspace_at(connection: Connection, key: int) -> Workspace:
    """The workspace of an internal key."""
    row = await connection.fetchrow(queries.workspace_at, key)
    if row is None:
        raise NotFound("workspace", str(key))
    return workspace_of(row)


async def set_clock(connection: Connection, caller: Caller, instant: datetime) -> Workspace:
    """Put a sandbox's clock to `instant`, where it then stands.

    Forward only; the first setting may also go back from wall time, as long as no account has a plan or an invoice.
    Raises `WrongState` for a live workspace, `Invalid` for an instant that lies before the clock.
    """
    await gate.change(connection, caller.workspace, "clock")
    workspace = await workspace_at(connection, caller.workspace)
    if not workspace.sandbox:
        raise WrongState("the clock of a live workspace shows wall time and cannot be set; use a sandbox")
    if not FIRST <= instant < FOREVER:
        raise Invalid("now", "must lie between the years 1970 and 9998")
    started = workspace.clock_at is not None or await connection.fetchval(queries.has_begun, caller.workspace)
    present = workspace.clock_at or caller.wall
    if started and instant < present:
        raise Invalid("now", f"the clock moves forward only; it shows {show_instant(present)}")
    await connection.execute(queries.set_clock, caller.workspace, instant)
    await audit.record(connection, caller, "set", "clock", workspace.name, {"now": show_instant(instant)})
    return await workspace_at(connection, caller.workspace)
