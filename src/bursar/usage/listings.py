"""Which events an account has: lists of their ids by account, each with the span of time and of chunks that it covers.

A flush writes what it stored as one row of `event_unlisted`; `Folding` makes lists of these a moment later. Both only
say where to look: what an event is, and whose, is read from `event_key`.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.usage.event import uuid_of_digest
from bursar.usage.rows import EventRow, columns, integers, micros, uuids

queries = Queries("bursar.usage", "listings.sql")

EVENTS_AT_ONCE = 64_000
ROWS_AT_ONCE = 1000
"""What is listed in one transaction: half a tenth of a second."""

LONG = 8
"""Events of an account in a flush, on average, from which on its lists are made at once."""
LONGEST = 1000
"""Events of a list."""
STEP = 1000
"""Events whose lists take a millisecond to make."""

FEW = 1000
"""Events that a search by lists looks at first; four times as many whenever it has not found what it wants."""
MOST = 64_000
_SCAN = 16_000
"""As `FEW`, where all of them are wanted."""
_EVER = 2**62

Columns = list[list[Any]]
"""Columns of rows that `admit` adds."""


class Entries:
    """Events of a flush that are to be listed. Those without an account have no list."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], list[EventRow]] = {}
        """By workspace and chunk."""
        self._unlisted: list[tuple[Any, ...]] = []
        self._listed: list[tuple[Any, ...]] = []

    def add(self, rows: Iterable[EventRow]) -> None:
        """Some more events."""
        groups = self._groups
        for row in rows:
            if row.verdict.account is not None:
                group = groups.get((row.workspace, row.chunk))
                if group is None:
                    group = groups[row.workspace, row.chunk] = []
                group.append(row)

    def steps(self) -> Iterator[None]:
        """Make the lists, a part in each step; all of them are to be gone."""
        for (workspace, chunk), group in self._groups.items():
            owners = [row.verdict.account or 0 for row in group]
            if len(group) < LONG * len(set(owners)):
                yield
                texts = integers(owners), integers([row.occurred for row in group])
                yield
                self._unlisted.append((workspace, chunk, len(group), *texts, uuids([row.id_digest for row in group])))
                continue
            yield
            made = 0
            for account, some in _by_account(group).items():
                for at in range(0, len(some), LONGEST):
                    part = some[at : at + LONGEST]
                    times = [row.occurred for row in part]
                    bounds = min(times), max(times), chunk
                    self._listed.append(
                        (
                            workspace,
                            account,
                            len(part),
                            *bounds,
                            integers(times),
                            uuids([row.id_digest for row in part]),
                        )
                    )
                    made += len(part)
                    if made >= STEP:
                        made = 0
                        yield

    def columns(self) -> Columns:
        """What the steps made: columns of `event_unlisted`, and those of `event_listing` for lists long enough."""
        return [*columns(self._unlisted, 6), *columns(self._listed, 8)]


def entries(rows: Iterable[EventRow]) -> Columns:
    """The columns of `Entries` of events."""
    found = Entries()
    found.add(rows)
    for _ in found.steps():
        pass
    return found.columns()


async def list_now(connection: Connection, workspace: int, rows: Iterable[EventRow]) -> None:
    """List a few events at once, in the transaction that stores or changes them."""
    listed = [row for row in rows if row.verdict.account is not None]
    if listed:
        await connection.execute(
            queries.list_now,
            workspace,
            [row.verdict.account for row in listed],
            [row.chunk for row in listed],
            [row.occurred for row in listed],
            [uuid_of_digest(row.id_digest) for row in listed],
        )


async def list_some(connection: Connection, workspace: int) -> bool:
    """Make lists of what waits for it, in a transaction that no other does this in; returns whether more may wait."""
    more: bool = await connection.fetchval(queries.list_events, workspace, ROWS_AT_ONCE, EVENTS_AT_ONCE, LONGEST)
    return more


async def arrived(
    connection: Connection,
    workspace: int,
    account: int,
    bookmark: tuple[int, int],
    states: list[int] | None,
    limit: int,
    few: int = FEW,
) -> tuple[list[Row], tuple[int, int] | None]:
    """Events of an account below a chunk and position, newest first, and the bookmark of those that follow, if any.

    They may be fewer than `limit` though others follow.
    """
    while True:
        reached = await connection.fetchval(queries.chunks_reached, workspace, account, bookmark[0], few)
        floor = -1 if reached is None else reached
        rows = await connection.fetch(
            queries.events_of_account, workspace, account, *bookmark, states, limit + 1, floor
        )
        if len(rows) > limit:
            return rows[:limit], (rows[limit - 1]["chunk"], rows[limit - 1]["position"])
        if reached is None:
            return list(rows), None
        bookmark, few = min(bookmark, (floor + 1, 0)), few * 4
        if rows:
            return list(rows), bookmark


async def latest(
    connection: Connection,
    workspace: int,
    account: int,
    start: datetime | None,
    end: datetime | None,
    wanted: int,
    most: int,
) -> list[Row]:
    """The latest `wanted` events of an account in `[start, end)` that were let in, latest first.

    With all that share the last one's instant, but never more than `most`.
    """
    first, last = _ticks(start, end)
    found: list[Row] = []
    few = FEW
    while True:
        reached = await connection.fetchval(queries.ticks_reached, workspace, account, first, last, few)
        low = first if reached is None else reached + 1
        if low <= last:
            found += await connection.fetch(
                queries.events_of_span,
                workspace,
                account,
                low,
                last,
                start,
                end,
                wanted - len(found),
                most - len(found),
            )
        if reached is None or len(found) >= wanted:
            return found
        last, few = min(last, reached), few * 4


async def metered(
    connection: Connection,
    workspace: int,
    account: int,
    start: datetime,
    end: datetime,
    bookmark: tuple[datetime, int, int],
    limit: int,
) -> list[Row]:
    """The metered events of an account in `[start, end)` by time, after a time, chunk and position; `limit` at most.

    Fewer than that are the last ones.
    """
    first, last = _ticks(max(start, bookmark[0]), end)
    found: list[Row] = []
    few = _SCAN
    while True:
        reached = await connection.fetchval(queries.ticks_begun, workspace, account, first, last, few)
        high = last if reached is None else min(last, reached - 1)
        if first <= high:
            found += await connection.fetch(
                queries.metered_events, workspace, account, first, high, start, end, *bookmark, limit - len(found)
            )
        if reached is None or len(found) >= limit:
            return found
        first, few = max(first, reached), few * 4


def _ticks(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The first and the last tick of `[start, end)`."""
    return (-_EVER if start is None else micros(start), _EVER if end is None else micros(end) - 1)


def _by_account(rows: Sequence[EventRow]) -> dict[int, list[EventRow]]:
    groups: dict[int, list[EventRow]] = {}
    for row in rows:
        account = row.verdict.account or 0
        group = groups.get(account)
        if group is None:
            group = groups[account] = []
        group.append(row)
    return groups
