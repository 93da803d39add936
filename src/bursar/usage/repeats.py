"""Events whose id was already taken: repeats, conflicts, and second attempts at what was refused.

The first acknowledged event of an id keeps it. Where that one was refused for a cause that can be removed, an attempt
that passes takes its place; the refused attempt is kept beside it. Everything else is a duplicate.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.usage.rows import EventRow, rollup_arguments
from bursar.usage.states import MENDABLE, State

queries = Queries("bursar.usage")

Repeat = tuple[int, uuid.UUID, int, int | None, datetime, datetime, int, int | None, int, int, bool, str | None]


@dataclass(slots=True)
class _Holder:
    """What holds an id while the repeats of one flush are settled, in their order."""

    state: State
    body_hash: int
    stored: Row | None
    """The row to keep beside when it is replaced; None once it is of this flush."""


async def settle(
    connection: Connection, rows: list[EventRow], skip: set[int], wall: datetime
) -> list[tuple[EventRow, State | None]]:
    """Decide on events that `admit` found taken. `skip`: submissions whose exact repeats count as nothing (None)."""
    found = await connection.fetch(queries.taken, [row.workspace for row in rows], [row.id_hash for row in rows])
    holders = {(row["workspace"], row["id_hash"]): _Holder(State(row["state"]), row["body_hash"], row) for row in found}
    outcomes: list[tuple[EventRow, State | None]] = []
    repeats: list[Repeat] = []
    revived: list[EventRow] = []
    for row in rows:
        holder = holders[(row.workspace, row.id_hash)]
        same = holder.body_hash == row.body_hash
        if holder.state in MENDABLE and row.verdict.state > 0:
            assert holder.stored is not None, "an attempt that passes is never replaced"
            repeats.append(_kept(holder.stored))
            revived.append(row)
            holders[(row.workspace, row.id_hash)] = _Holder(row.verdict.state, row.body_hash, None)
            outcomes.append((row, row.verdict.state))
        elif same and row.submission in skip:
            outcomes.append((row, None))
        else:
            repeats.append(_repeat(row, wall, conflict=not same))
            outcomes.append((row, State.FAILED_DUPLICATE_EVENT))
    for row in revived:
        await connection.execute(queries.revive, *_revival(row, wall))
    if revived:
        await connection.execute(queries.add_rollups, *rollup_arguments(revived))
    if repeats:
        await connection.execute(queries.insert_repeats, *[list(column) for column in zip(*repeats, strict=True)])
    return outcomes


def _revival(row: EventRow, wall: datetime) -> list[object]:
    return [
        row.workspace,
        row.id_hash,
        row.body_hash,
        row.verdict.account,
        row.catalog_version,
        row.event.timestamp,
        wall,
        row.chunk,
        row.verdict.schema,
        row.position,
        int(row.verdict.state),
        row.verdict.reason,
    ]


def _kept(stored: Row) -> Repeat:
    """The refused attempt, as it was."""
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
        stored["state"],
        False,
        stored["reason"],
    )


def _repeat(row: EventRow, wall: datetime, *, conflict: bool) -> Repeat:
    return (
        row.workspace,
        row.id_hash,
        row.body_hash,
        row.verdict.account,
        row.event.timestamp,
        wall,
        row.chunk,
        row.verdict.schema,
        row.position,
        int(State.FAILED_DUPLICATE_EVENT),
        conflict,
        "Another event has this id" if conflict else None,
    )
