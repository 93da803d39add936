"""Names that have licences: from the event that gives one to the event that takes it away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

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


@dataclass(frozen=True, slots=True)
class Most:
    """The most names that had a licence of an account at any moment of a piece of time."""

    account: int
    license_id: str
    place: int
    """Index of the piece's lower bound."""
    names: Decimal


async def most_names(
    connection: Connection,
    workspace: int,
    cuts: Sequence[datetime],
    accounts: Sequence[int] | None,
    licenses: Sequence[str] | None,
) -> list[Most]:
    """The most names of each account and licence between consecutive cuts; pieces without any are left out."""
    rows = await connection.fetch(queries.names_of, workspace, accounts, licenses)
    time = Period(cuts[0], cuts[-1])
    histories = await name_histories(
        connection, workspace, [Wanted(row["account"], row["add_on"], True, time) for row in rows]
    )
    return [
        Most(row["account"], row["license_id"], place, names)
        for row, history in zip(rows, histories, strict=True)
        for place, names in enumerate(highest(history, cuts))
        if names
    ]


def highest(changes: Sequence[tuple[datetime, Decimal]], cuts: Sequence[datetime]) -> list[Decimal]:
    """The highest level between consecutive cuts, of levels from instants on, in their order; the last of one instant
    holds."""
    levels = sorted(dict(changes).items())
    found = []
    position, level = 0, Decimal(0)
    for start, end in pairwise(cuts):
        while position < len(levels) and levels[position][0] <= start:
            level = levels[position][1]
            position += 1
        most = level
        while position < len(levels) and levels[position][0] < end:
            level = levels[position][1]
            most = max(most, level)
            position += 1
        found.append(most)
    return found
