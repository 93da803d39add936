"""Credits as rows: found, listed, held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.decimals import plain
from bursar.core.errors import NotFound
from bursar.core.page import Page, key_of
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.ledger.credit_model import Credit

queries = Queries("bursar.ledger", "credits.sql")

EntryKind = Literal["CREDITED", "DEBITED", "EXPIRED", "VOIDED"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of what is left of a credit."""

    id: str
    kind: EntryKind
    amount: Decimal
    invoice_id: str | None
    recorded_at: datetime


async def get_credit(connection: Connection, workspace: int, identifier: str) -> Credit:
    """The credit of an id. Raises `NotFound`."""
    key = await connection.fetchval(queries.find_credit, workspace, identifier)
    if key is None:
        raise NotFound("credit", identifier)
    return (await credits_at(connection, workspace, [key]))[0]


async def credits_at(connection: Connection, workspace: int, keys: Sequence[int]) -> list[Credit]:
    """Credits by key, in the order of their keys."""
    return [_credit(row) for row in await connection.fetch(queries.credits_at, workspace, list(keys))]


async def list_credits(
    connection: Connection,
    caller: Caller,
    after: str | None,
    limit: int,
    *,
    account_id: str | None = None,
    identifier: str | None = None,
    status: str | None = None,
) -> Page[Credit]:
    """Credits, newest first; None does not filter."""
    before = key_of(after) or None
    rows = await connection.fetch(
        queries.list_credits, caller.workspace, account_id, identifier, status, caller.now, before, limit + 1
    )
    keys = [row["key"] for row in rows[:limit]]
    items = (await credits_at(connection, caller.workspace, keys))[::-1]
    return Page(items, str(keys[-1]) if len(rows) > limit else None)


async def entries_of(connection: Connection, workspace: int, credit: Credit) -> list[Entry]:
    """What came over a credit, in order."""
    return [
        Entry(
            ids.derive("cred_entry", credit.id, row["key"]),
            row["kind"],
            row["amount"],
            row["invoice_id"],
            row["recorded_at"],
        )
        for row in await connection.fetch(queries.entries_of_credit, workspace, credit.key)
    ]


async def open_credits(connection: Connection, workspace: int, accounts: Sequence[int]) -> list[Credit]:
    """The credits of accounts, by key, of which something is left, in the order in which they are used."""
    keys = [row["key"] for row in await connection.fetch(queries.open_credits, workspace, list(accounts))]
    return sorted(await credits_at(connection, workspace, keys), key=Credit.order) if keys else []


async def hold(connection: Connection, workspace: int, keys: Sequence[int]) -> list[Credit]:
    """Credits by key, which nobody else changes until the transaction ends, in the order of their keys."""
    await connection.fetch(queries.hold_credits, workspace, list(keys))
    return await credits_at(connection, workspace, keys)


async def hold_open(connection: Connection, workspace: int, accounts: Sequence[int]) -> list[Credit]:
    """As `open_credits`, held; one statement where there are none."""
    keys = [row["key"] for row in await connection.fetch(queries.open_credits, workspace, list(accounts))]
    held = await hold(connection, workspace, keys) if keys else []
    return sorted((credit for credit in held if credit.left), key=Credit.order)


async def movement_of(connection: Connection, workspace: int, key: int) -> int:
    """The key of the movement that granted a credit, by key."""
    posted: int = await connection.fetchval(queries.movement_of_credit, workspace, key)
    return posted


def _credit(row: Row) -> Credit:
    return Credit(
        key=row["key"],
        id=row["wire_id"],
        account=row["account"],
        account_id=row["account_id"],
        customer_id=row["customer_id"],
        currency=row["currency"],
        zone=row["zone"],
        purpose=row["purpose"],
        entities=tuple(row["entities"]),
        priority=row["priority"],
        effective_from=row["effective_from"],
        effective_until=row["effective_until"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        grantor_id=row["grantor_id"],
        idempotency_key=row["idempotency_key"],
        granted=plain(row["granted"]),
        paid=plain(row["paid"]),
        consumed=plain(row["consumed"]),
        lapsed=plain(row["lapsed"]),
        voided=row["voided_at"] is not None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
