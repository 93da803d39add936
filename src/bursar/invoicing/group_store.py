"""Groups of accounts as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from bursar.accounts.model import Address
from bursar.core.errors import NotFound
from bursar.core.page import Page, key_of
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.invoicing", "groups.sql")


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts that are billed together."""

    key: int
    id: str
    name: str
    email: str
    address: Address
    secret: bytes | None
    """What frozen documents hold of the group is sealed under it; None where it was erased."""
    consolidates: bool
    """Whether what falls due on one day is merged into one invoice."""
    net_term_days: int | None
    """None: as the workspace has it."""
    currency: str
    accounts_count: int
    created_at: datetime
    updated_at: datetime


async def get_group(connection: Connection, workspace: int, identifier: str) -> Group:
    """A group by its id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.group_by_id, workspace, identifier)
    if row is None:
        raise NotFound("invoice group", identifier)
    return _group(row)


async def groups_at(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, Group]:
    """Groups by key, deleted ones too."""
    rows = await connection.fetch(queries.groups_at, workspace, list(keys))
    return {row["key"]: _group(row) for row in rows}


async def group_of_account(connection: Connection, workspace: int, account: int) -> Group | None:
    """The group that an account, by key, is in."""
    row = await connection.fetchrow(queries.group_of_account, workspace, account)
    return None if row is None else _group(row)


async def list_groups(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Group]:
    """Groups in the order of their making."""
    rows = await connection.fetch(queries.groups, workspace, key_of(after), limit + 1)
    items = [_group(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def members_of(connection: Connection, workspace: int, group: int) -> dict[str, int]:
    """The accounts of a group, ids with keys, those that have been in it longest first."""
    rows = await connection.fetch(queries.members, workspace, group)
    return {row["togai_id"]: row["account"] for row in rows}


def _group(row: Row) -> Group:
    return Group(
        key=row["key"],
        id=row["wire_id"],
        name=row["name"],
        email=row["email"],
        address=msgspec.json.decode(row["address"], type=Address),
        secret=row["secret"],
        consolidates=row["consolidates"],
        net_term_days=row["net_term_days"],
        currency=row["currency"],
        accounts_count=row["accounts_count"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
