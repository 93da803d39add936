"""Events whose id was already taken: repeats, conflicts, and second attempts at what was refused.

The first acknowledged event of an id keeps it. Where that one was refused for a cause that can be removed, an attempt
that passes takes its place; the refused attempt is kept beside it. Everything else is a duplicate.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.usage.event import number_of_digest, uuid_of_digest, uuids_of_digests
from bursar.usage.rows import EventRow
from bursar.usage.states import MENDABLE, State

queries = Queries("bursar.usage")

Repeat = tuple[int, uuid.UUID, int, int | None, datetime, datetime, int, int | None, int, int, bool, str | None]


@dataclass(frozen=True, slots=True)
class Stored:
    """The event that held an id before this flush."""

    state: State
    body_hash: int
    row: Row | None
    """All of it, where it was refused."""


@dataclass(slots=True)
class Settled:
    """What a flush does with its events."""

    fresh: dict[bytes, EventRow] = field(default_factory=dict)
    """Events whose ids are new."""
    revived: dict[bytes, EventRow] = field(default_factory=dict)
    """Attempts that take the place of a refused event."""
    replaced: list[Stored | EventRow] = field(default_factory=list)
    """Refused attempts that lost their place, to be kept beside."""
    repeats: list[tuple[EventRow, bool]] = field(default_factory=list)
    """Duplicates, and whether they say something else than the event that holds their id."""
    known: list[EventRow] = field(default_factory=list)
    """Exact repeats that count as nothing."""
    refused: list[tuple[EventRow, State]] = field(default_factory=list)
    """Those among them of events that were refused, and with which state they stay so."""


def settle(
    rows: Sequence[EventRow], stored: dict[bytes, Stored], skip: set[int], settled: Settled | None = None
) -> Settled:
    """Decide, in their order, which events take their ids. Pure.

    `stored` holds the ids taken before; `skip` the submissions whose exact repeats count as nothing; `settled` what was
    decided about the events of this flush that came before these, which are added.
    """
    settled = settled or Settled()
    fresh = settled.fresh
    ids = {row.id_digest: row for row in rows}
    if len(ids) == len(rows) and fresh.keys().isdisjoint(ids):  # nearly always: nothing comes twice
        for digest in [digest for digest in ids if digest in stored] if stored else ():
            _settle_taken(settled, digest, ids.pop(digest), stored[digest], skip)
        fresh.update(ids)
        return settled
    for row in rows:
        digest = row.id_digest
        if digest not in fresh and digest not in stored:
            fresh[digest] = row
        else:
            _settle_taken(settled, digest, row, stored.get(digest), skip)
    return settled


def _settle_taken(settled: Settled, digest: bytes, row: EventRow, before: Stored | None, skip: set[int]) -> None:
    holder = settled.revived.get(digest) or settled.fresh.get(digest)
    if holder is not None:
        state, same = holder.verdict.state, holder.body_digest == row.body_digest
    else:
        assert before is not None
        state, same = before.state, before.body_hash == number_of_digest(row.body_digest)
    if state in MENDABLE and row.verdict.state > 0:
        if holder is not None:
            settled.replaced.append(holder)
            settled.fresh[digest] = row
        else:
            assert before is not None
            settled.replaced.append(before)
            settled.revived[digest] = row
    elif same and row.submission in skip:
        settled.known.append(row)
        if state < 0:
            settled.refused.append((row, row.verdict.state if row.verdict.state < 0 else state))
    else:
        settled.repeats.append((row, not same))


async def taken(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, Stored]:
    """The events that hold ids already, which are given in their order: PostgreSQL takes a tenth less time for them so.

    Those that were refused, whose places may be taken, are locked until the transaction ends. The others keep their ids
    whatever becomes of them, so that what comes under these is a repeat.
    """
    stored: dict[bytes, Stored] = {}
    refused: list[uuid.UUID] = []
    for row in await connection.fetch(queries.states_of_ids, uuids_of_digests(digests)):
        if row["state"] < 0:
            refused.append(row["id_hash"])
        else:
            stored[row["id_hash"].bytes] = Stored(State(row["state"]), row["body_hash"], None)
    if refused:
        for row in await connection.fetch(queries.taken, refused):
            stored[row["id_hash"].bytes] = Stored(State(row["state"]), row["body_hash"], row)
    return stored


async def states_of(connection: Connection, rows: Iterable[EventRow]) -> dict[bytes, State]:
    """The states of the events that hold ids of `rows` already; nothing is locked."""
    found = await connection.fetch(queries.states_of_ids, uuids_of_digests({row.id_digest for row in rows}))
    return {row["id_hash"].bytes: State(row["state"]) for row in found}


async def store(connection: Connection, settled: Settled, wall: datetime) -> None:
    """Put revived events in the place of refused ones, and keep repeats and the refused attempts."""
    for row in settled.revived.values():
        await connection.execute(queries.revive, *revival(row, wall))
    repeats = [_kept(entry, wall) for entry in settled.replaced]
    repeats += [
        _repeat(row, wall, State.FAILED_DUPLICATE_EVENT, conflict=conflict) for row, conflict in settled.repeats
    ]
    if repeats:
        await connection.execute(queries.insert_repeats, *[list(column) for column in zip(*repeats, strict=True)])


def revival(row: EventRow, wall: datetime) -> list[object]:
    """The arguments of `revive`: a row that takes the place of the one under its id."""
    return [
        uuid_of_digest(row.id_digest),
        number_of_digest(row.body_digest),
        row.verdict.account,
        row.catalog_version,
        row.event.timestamp,
        wall,
        row.chunk,
        row.verdict.schema,
        row.position,
        int(row.verdict.state),
        row.verdict.reason or "",
    ]


def _kept(entry: Stored | EventRow, wall: datetime) -> Repeat:
    """The refused attempt, as it was."""
    if isinstance(entry, EventRow):
        return _repeat(entry, wall, entry.verdict.state, conflict=False)
    assert entry.row is not None
    return former(entry.row, entry.state)


def former(stored: Row, state: State) -> Repeat:
    """A row of `event_key` that loses its place, as it is kept beside."""
    return (
        stored["workspace"],
        stored["id_hash"],
        stored["body_hash"],
        stored["account"],
        stored["occurred_at"],
        stored["received_at"],
        stored["chunk"],
        stored["event_schema"],
        stored["position"],
        int(state),
        False,
        stored["reason"] or None,
    )


def _repeat(row: EventRow, wall: datetime, state: State, *, conflict: bool) -> Repeat:
    return (
        row.workspace,
        uuid_of_digest(row.id_digest),
        number_of_digest(row.body_digest),
        row.verdict.account,
        row.event.timestamp,
        wall,
        row.chunk,
        row.verdict.schema,
        row.position,
        int(state),
        conflict,
        "Another event has this id" if conflict else row.verdict.reason if state in MENDABLE else None,
    )
