"""Names that have licences: from the event that gives one to the event that takes it away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.page import Page, key_of
from bursar.core.period import Period
from bursar.db.database import Connection
from bursar.db.queries import Queries

queries = Queries("bursar.purchases", "named_licenses.sql")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose licences of what, in which time."""

    account: int
    add_on: int
    """Both internal keys."""
    named: bool
    """Whether they are counted by names."""
    time: Period


@dataclass(frozen=True, slots=True)
class NamedEntry:
    """A name that has a licence, or had one."""

    id: str
    license_id: str
    account_id: str
    name: str
    effective_from: datetime
    effective_until: datetime | None
    created_at: datetime
    updated_at: datetime


async def list_named(connection: Connection, caller: Caller, after: str | None, limit: int) -> Page[NamedEntry]:
    """Names that have or had licences, those that were told last before the others."""
    rows = await connection.fetch(queries.list_named, caller.workspace, key_of(after) or None, limit + 1)
    items = [
        NamedEntry(
            id=ids.derive("named_license_entry", row["event"]),
            license_id=row["license_id"],
            account_id=row["account_id"],
            name=row["name"],
            effective_from=row["occurred_at"],
            effective_until=row["until"],
            created_at=row["received_at"],
            updated_at=max(row["received_at"], row["ended_at"] or row["received_at"]),
        )
        for row in rows[:limit]
    ]
    return Page(items, str(rows[limit - 1]["key"]) if len(rows) > limit else None)


async def name_histories(
    connection: Connection, workspace: int, wanted: Sequence[Wanted]
) -> list[list[tuple[datetime, Decimal]]]:
    """For each, how many names have the licence from which instants on."""
    found: list[list[tuple[datetime, Decimal]]] = [[] for _ in wanted]
    rows = await connection.fetch(
        queries.name_history,
        workspace,
        [one.account for one in wanted],
        [one.add_on for one in wanted],
        [one.time.end for one in wanted],
    )
    for row in rows:
        found[row["place"] - 1].append((row["effective_from"], row["quantity"]))
    return found
