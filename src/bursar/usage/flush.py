"""One flush: the transaction in which queued events become admitted events.

It passes the gates of its workspaces, judges every event against the rules of that moment, lets the database decide
which ids are new, feeds the rollups and the balance, and keeps the bodies. What it returns is committed or nothing is.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from bursar.accounts import gate
from bursar.core.errors import NotFound, Unauthenticated
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage import bodies, repeats
from bursar.usage.admission import Verdict, judge
from bursar.usage.event import Event, Parsed, body_hash, id_hash
from bursar.usage.rows import EventRow, Tally, stage
from bursar.usage.states import State
from bursar.usage.views import Views

queries = Queries("bursar.usage")

SETUP = (queries.stage_events, queries.stage_measures)
"""What makes the temporary tables that a flush stages its rows in."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One request's events on behalf of a workspace."""

    workspace: int
    token: int | None
    """Key of the token that sent them; a token revoked meanwhile admits nothing."""
    parsed: Parsed
    backfill: bool = False
    skip_known: bool = False
    """Leave events that are already there, with the same content, out of everything: for imports run again."""


@dataclass(slots=True)
class Receipt:
    """What became of a submission: the number of events per state, and who is at fault where it was refused whole."""

    states: dict[State, int] = field(default_factory=lambda: defaultdict(int))
    verdicts: list[tuple[int, Event, State, str | None]] = field(default_factory=list)
    """Events that were not admitted: place, event, state, reason."""
    known: int = 0
    """Events left out because they were already there."""
    error: Exception | None = None


async def flush(
    connection: Connection, views: Views, submissions: list[Submission], wall: datetime, flusher: int
) -> list[Receipt]:
    """Admit `submissions` in the transaction of `connection`; one receipt each, in their order.

    The connection is one of a session that was set up with `SETUP`.
    """
    workspaces = sorted({submission.workspace for submission in submissions})
    await gate.enter(connection, workspaces)
    tokens = {submission.token for submission in submissions if submission.token is not None}
    tenants, revoked = await views.tenants(connection, workspaces, tokens, wall)
    receipts = [Receipt() for _ in submissions]
    for submission, receipt in zip(submissions, receipts, strict=True):
        if submission.workspace not in tenants:
            receipt.error = NotFound("workspace", str(submission.workspace))
        elif submission.token in revoked:
            receipt.error = Unauthenticated()
    accepted = [index for index, receipt in enumerate(receipts) if receipt.error is None]
    names: dict[int, set[str]] = defaultdict(set)
    for index in accepted:
        names[submissions[index].workspace].update(event.account_id for _, event in submissions[index].parsed.events)
    for workspace, wanted in names.items():
        await views.resolve(connection, tenants[workspace], wanted)
    numbers = dict(zip(names, await _chunk_numbers(connection, len(names)), strict=True))
    rows: list[EventRow] = []
    chunks: dict[int, bodies.Chunk] = {}
    for index in accepted:
        submission = submissions[index]
        tenant = tenants[submission.workspace]
        number = numbers[tenant.key]
        chunk = chunks.get(tenant.key) or bodies.Chunk(number, tenant.key, 0, [])
        for place, event in submission.parsed.events:
            verdict = judge(tenant, event, backfill=submission.backfill)
            rows.append(_row(tenant.key, tenant.version, number, chunk.events + place, index, place, event, verdict))
        chunk.bodies.append(submission.parsed.body)
        chunks[tenant.key] = bodies.Chunk(number, tenant.key, chunk.events + submission.parsed.size, chunk.bodies)
    if rows:
        tally = await _admit(connection, rows, submissions, receipts, wall)
        await bodies.append(connection, wall, list(chunks.values()))
        await connection.execute(queries.count, *tally.arguments(wall.date(), flusher))
    return receipts


async def _chunk_numbers(connection: Connection, count: int) -> list[int]:
    return [row[0] for row in await connection.fetch(queries.next_chunks, count)] if count else []


def _row(
    workspace: int, version: int, chunk: int, position: int, submission: int, place: int, event: Event, verdict: Verdict
) -> EventRow:
    # An event without an id gets one of its own, from where it lies, so that it can be kept and found.
    name = event.id if event.id is not None else f"\x00{workspace}:{chunk}:{position}"
    return EventRow(
        workspace, id_hash(name), body_hash(event), version, chunk, position, submission, place, event, verdict
    )


async def _admit(
    connection: Connection, rows: list[EventRow], submissions: list[Submission], receipts: list[Receipt], wall: datetime
) -> Tally:
    """Insert what is new, settle the rest, and sum up."""
    await stage(connection, rows)
    places = await connection.fetch(queries.admit, wall)
    taken = [rows[row["place"]] for row in places]
    tally = Tally()
    outcomes: list[tuple[EventRow, State | None]]
    if taken:
        repeated = {id(row) for row in taken}
        outcomes = [(row, row.verdict.state) for row in rows if id(row) not in repeated]
        skip = {index for index, submission in enumerate(submissions) if submission.skip_known}
        outcomes += await repeats.settle(connection, taken, skip, wall)
    else:
        outcomes = [(row, row.verdict.state) for row in rows]
    for row, state in outcomes:
        receipt = receipts[row.submission]
        if state is None:
            receipt.known += 1
            continue
        tally.add(row.workspace, state)
        receipt.states[state] += 1
        if state < 0:
            receipt.verdicts.append((row.place, row.event, state, row.verdict.reason))
    return tally
