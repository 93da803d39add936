"""Deliveries: made, claimed by a worker, settled, looked at, forgotten."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bursar.core.caller import Caller
from bursar.core.errors import NotFound, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import numbers
from bursar.notify.model import LEASE, Channel, Delivery, Message, Status, Verdict
from bursar.notify.outbox import Entry, queries

KEPT = timedelta(days=30)
"""For how long one that was settled can be looked at."""
PURGE_BATCH = 10_000


async def make(connection: Connection, entry: Entry, messages: Sequence[Message], wall: datetime) -> None:
    """Deliver what happened to each of its receivers, once; in the transaction that removes the outbox's entry."""
    await connection.execute(
        queries.insert_deliveries,
        entry.workspace,
        entry.key,
        wall,
        [draw("dlv") for _ in messages],
        [message.channel for message in messages],
        [message.receiver for message in messages],
        [numbers(message.customers) for message in messages],
        [message.sender for message in messages],
        [message.subject for message in messages],
        [message.body for message in messages],
    )


async def claim(connection: Connection, wall: datetime, limit: int, running: Sequence[int]) -> list[Delivery]:
    """Up to `limit` deliveries that are due, of all workspaces, one per receiver: theirs come one after the other.

    They are this worker's for `LEASE`, or longer where it renews that; then it is taken for dead. `running` are the
    keys of those that it is at already.
    """
    rows = await connection.fetch(queries.claim_deliveries, wall, wall + LEASE, limit, list(running))
    return [delivery_of(row) for row in rows]


async def renew(connection: Connection, wall: datetime, running: Sequence[int]) -> None:
    """Say that a worker is still at deliveries, by key."""
    await connection.execute(queries.renew_leases, wall + LEASE, list(running))


async def settle(connection: Connection, delivery: Delivery, verdict: Verdict, wall: datetime) -> None:
    """Record how an attempt ended."""
    await connection.execute(
        queries.settle_delivery,
        delivery.workspace,
        delivery.key,
        verdict.status,
        verdict.due_at,
        verdict.reason,
        wall,
    )


async def list_deliveries(
    connection: Connection, workspace: int, status: Status | None, after: str | None, limit: int
) -> Page[Delivery]:
    """The workspace's deliveries, newest first."""
    before = key_of(after, field="after") or None
    rows = await connection.fetch(queries.list_deliveries, workspace, before, status, limit + 1)
    items = [delivery_of(row) for row in rows[:limit]]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def retry(connection: Connection, caller: Caller, identifier: str) -> Delivery:
    """Try one that was given up again, with all its attempts. Raises `NotFound`, or `WrongState` for another one."""
    taken = await connection.fetchval(queries.retry_delivery, caller.workspace, identifier, caller.wall)
    row = await connection.fetchrow(queries.find_delivery, caller.workspace, identifier)
    if row is None:
        raise NotFound("delivery", identifier)
    if taken is None:
        raise WrongState(f"delivery {identifier!r} is {row['status']}; only one that was given up can be tried again")
    await audit.record(connection, caller, "retry", "delivery", identifier)
    return delivery_of(row)


async def erase(connection: Connection, caller: Caller, customer: int) -> None:
    """Forget what deliveries say of a customer, by key."""
    await connection.execute(queries.erase_deliveries, caller.workspace, customer, caller.wall)


async def purge(connection: Connection, wall: datetime) -> int:
    """Remove deliveries that were settled 30 days ago, up to `PURGE_BATCH`; returns how many."""
    return int((await connection.execute(queries.purge_deliveries, wall - KEPT, PURGE_BATCH)).split()[-1])


def delivery_of(row: Row) -> Delivery:
    """The delivery of a row."""
    return Delivery(
        key=row["key"],
        id=row["wire_id"],
        workspace=row["workspace"],
        message=Message(
            channel=Channel(row["channel"]),
            receiver=row["receiver"],
            subject=row["subject"],
            body=row["body"],
            customers=tuple(row["customers"]),
            sender=row["sender"],
        ),
        status=Status(row["status"]),
        attempts=row["attempts"],
        due_at=row["due_at"],
        reason=row["reason"],
        created_at=row["created_at"],
        settled_at=row["settled_at"],
    )
