"""One flush: the transaction in which queued events become admitted events.

It passes the gates of its workspaces, judges every event against the rules of that moment, looks up which ids are
taken, stores what is new, what that measured and the balance, and keeps the bodies. The unique key of the ids has the
last word: where another flush was faster, this one is run again. What it returns is committed or nothing is.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

from bursar.catalog.named_licenses import SCHEMA
from bursar.core import crash
from bursar.core.errors import BursarError, NotFound, Unauthenticated
from bursar.core.heavy import let_go, turn
from bursar.db.database import Connection
from bursar.db.idempotency import Attempt, Outcome
from bursar.db.queries import Queries
from bursar.usage import bodies, license_names, listings, repeats
from bursar.usage.admission import Tenant, judge, named
from bursar.usage.event import Event, Parsed, body_digest, id_digest
from bursar.usage.rows import COPY_FROM, Deltas, EventRow, Sums, Tally, copy, in_order, micros, summed
from bursar.usage.states import State
from bursar.usage.views import Views

queries = Queries("bursar.usage")
A = TypeVar("A")
B = TypeVar("B")

SETUP = (queries.probe_by_index,)
"""What prepares a session for flushes."""
STRETCH = 250
"""Events that are judged, or summed up and listed, in a millisecond, before others have their turn."""
LIGHT_STRETCH = 2000
"""Events that are settled, or counted, in as long."""
SAMPLE = 64
"""Ids that a large flush looks for: enough that hardly one with a repeat in every twentieth event misses them all."""
SAMPLED_FROM = 2000
"""Events from which on a flush is a large one."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One request's events on behalf of a workspace."""

    workspace: int
    token: int | None
    """Key of the token that sent them; one that was revoked or expired meanwhile admits nothing."""
    parsed: Parsed
    backfill: bool = False
    keyed: tuple[Attempt, Outcome] | None = None
    """For a sieve: the idempotency key that it came under, and the answer to record where it goes on."""
    skip_known: bool = False
    """Leave events that are already there, with the same content, out of everything: for imports run again."""


@dataclass(slots=True)
class Receipt:
    """What became of a submission: the number of events per state, and who is at fault where it was refused whole."""

    states: dict[State, int] = field(default_factory=lambda: defaultdict(int))
    verdicts: list[tuple[int, Event, State, str | None]] = field(default_factory=list)
    """Events that were not admitted: place, event, state, reason."""
    known: int = 0
    """Events left out because they were already there; those that were refused and still are stand among `verdicts`."""
    error: Exception | None = None
    sifted: dict[int, BursarError] = field(default_factory=dict)
    """Why a sieve kept events out, by their places."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The events of a flush with their verdicts, before any of them is stored."""

    tenants: dict[int, Tenant]
    rows: list[EventRow]
    receipts: list[Receipt]
    """By submission, as `EventRow.submission` counts them."""
    stored: dict[bytes, repeats.Stored]
    """The events that hold ids of `rows`, by `repeats.taken`. An id that is taken after this look fails the flush."""
    submissions: list[Submission] = field(default_factory=list)
    """Those that the receipts belong to; none where nobody sent anything."""
    looked: bool = True
    """Whether anybody looked for `stored`. Where not, an event that goes on and whose id is taken fails the flush."""


Sift = Callable[[Connection, Judged, datetime], Awaitable[list[EventRow]]]
"""Keeps events out of a flush at a wall time: returns those that go on, and says in `Receipt.sifted` why others do not.

Of what it keeps out nothing is stored or counted, unless as a part of a body that has others.
"""


async def flush(
    connection: Connection,
    views: Views,
    submissions: list[Submission],
    wall: datetime,
    flusher: int,
    sift: Sift | None = None,
    *,
    look: bool = True,
) -> list[Receipt]:
    """Admit `submissions` in the transaction of `connection`; one receipt each, in their order.

    The transaction has begun by passing the gates of their workspaces (`gate.passing`), in a session set up with
    `SETUP`. What `sift` does belongs to it.
    Raises `asyncpg.UniqueViolationError` where another flush has stored one of the ids since this one looked: run
    again, it finds that one. Where it is not to `look`, which spares most flushes a statement, any taken id does that.
    """
    workspaces = sorted({submission.workspace for submission in submissions})
    tokens = {submission.token for submission in submissions if submission.token is not None}
    tenants, ended = await views.tenants(connection, workspaces, tokens, wall)
    receipts = [Receipt() for _ in submissions]
    for submission, receipt in zip(submissions, receipts, strict=True):
        if submission.workspace not in tenants:
            receipt.error = NotFound("workspace", str(submission.workspace))
        elif submission.token in ended:
            receipt.error = Unauthenticated()
    accepted = [index for index, receipt in enumerate(receipts) if receipt.error is None]
    names: dict[int, set[str]] = defaultdict(set)
    for index in accepted:
        names[submissions[index].workspace] |= submissions[index].parsed.accounts
    for workspace, wanted in names.items():
        await views.resolve(connection, tenants[workspace], wanted)
    rows, chunks = await judged(tenants, submissions, accepted)
    rows = _identified(rows, submissions, receipts)
    order, stored = await _taken(connection, rows, look=look)
    if sift is not None:
        rows = await sift(connection, Judged(tenants, rows, receipts, stored, submissions, order is not None), wall)
        kept = {row.workspace for row in rows}
        chunks = [chunk for chunk in chunks if chunk.workspace in kept]
    if rows:
        licensed = any(SCHEMA in tenant.schemas for tenant in tenants.values())
        settled = await _settled(rows, stored, {n for n, one in enumerate(submissions) if one.skip_known})
        tally = await _report(settled, receipts)
        chunks = _with_events(chunks, settled)
        counts = tally.arguments(wall.date(), flusher)
        await _admit(connection, settled, chunks, wall, counts, names=licensed, order=order)
        crash.point("events counted")
        if len(rows) > STRETCH:
            let_go(rows)
    return receipts


async def judged(
    tenants: dict[int, Tenant], submissions: Sequence[Submission], accepted: Collection[int]
) -> tuple[list[EventRow], list[bodies.Chunk]]:
    """Every event with its verdict, and the bodies of each workspace; others may do something in between."""
    rows: list[EventRow] = []
    chunks: dict[int, bodies.Chunk] = {}
    stretch = 0
    if sum(len(submissions[index].parsed.events) for index in accepted) > STRETCH:
        await turn()
    for index in accepted:
        submission = submissions[index]
        tenant = tenants[submission.workspace]
        chunk = chunks.setdefault(tenant.key, bodies.Chunk(tenant.chunk, tenant.key, 0, []))
        events = submission.parsed.events
        for at in range(0, len(events), STRETCH):
            if len(rows) - stretch >= STRETCH:
                stretch = len(rows)
                await turn()
            _judge(rows, tenant, submission, index, chunk.events, events[at : at + STRETCH])
        chunk.bodies.append(submission.parsed.body)
        chunk.events += submission.parsed.size
    crash.point("events judged")
    return rows, list(chunks.values())


def _judge(
    rows: list[EventRow],
    tenant: Tenant,
    submission: Submission,
    index: int,
    first: int,
    events: Sequence[tuple[int, Event]],
) -> None:
    """Add some events of a submission to `rows`; `first`: where its body begins in the chunk."""
    workspace, version, number, backfill = tenant.key, tenant.version, tenant.chunk, submission.backfill
    add = rows.append
    for place, sent in events:
        event = sent if sent.id is not None else named(tenant, sent)
        verdict = judge(tenant, event, backfill=backfill)
        position = first + place
        # An event without an id gets one of its own, from where it lies, so that it can be kept and found.
        name = event.id if event.id is not None else f"\x00{workspace}:{number}:{position}"
        add(
            EventRow(workspace, id_digest(workspace, name), body_digest(event), micros(event.timestamp), version,
                     number, position, index, place, event, verdict)
        )  # fmt: skip


async def _taken(
    connection: Connection, rows: list[EventRow], *, look: bool
) -> tuple[list[bytes] | None, dict[bytes, repeats.Stored]]:
    """The ids of events in their order, and the events that hold some of them already; None where nobody looked.

    A large flush that is not to looks for a few of its ids and, where those are taken, for all: to fail costs as much
    as many looks.
    """
    if not look and len(rows) >= SAMPLED_FROM:
        look = bool(await repeats.states_of(connection, rows[:: len(rows) // SAMPLE]))
    if not look or not rows:
        return None, {}
    order = await in_order({row.id_digest for row in rows})
    return order, await repeats.taken(connection, order)


def _identified(rows: list[EventRow], submissions: list[Submission], receipts: list[Receipt]) -> list[EventRow]:
    """The events without those of imports that have no id: run again, an import could not know them."""
    if not any(submission.skip_known for submission in submissions):
        return rows
    kept = []
    for row in rows:
        if row.verdict.state is State.FAILED_NO_EVENT_ID and submissions[row.submission].skip_known:
            receipts[row.submission].verdicts.append((row.place, row.event, row.verdict.state, row.verdict.reason))
        else:
            kept.append(row)
    return kept


async def _settled(rows: list[EventRow], stored: dict[bytes, repeats.Stored], skip: set[int]) -> repeats.Settled:
    """Which events take their ids; others may do something in between."""
    settled = repeats.Settled()
    for at in range(0, len(rows), LIGHT_STRETCH):
        if len(rows) > STRETCH:
            await turn()
        repeats.settle(rows[at : at + LIGHT_STRETCH], stored, skip, settled)
    return settled


def _with_events(chunks: list[bodies.Chunk], settled: repeats.Settled) -> list[bodies.Chunk]:
    """The chunks without those of which every event was there before."""
    if not settled.known:
        return chunks
    replaced = (row for row in settled.replaced if isinstance(row, EventRow))
    stored = chain(settled.fresh.values(), settled.revived.values(), replaced, (row for row, _ in settled.repeats))
    kept = {row.workspace for row in stored}
    return [chunk for chunk in chunks if chunk.workspace in kept]


async def _admit(
    connection: Connection,
    settled: repeats.Settled,
    chunks: list[bodies.Chunk],
    wall: datetime,
    counts: Sequence[Any],
    *,
    names: bool,
    order: Sequence[bytes] | None,
) -> None:
    """Store what is new and the rest; `names`: some of it may be about names that have licences.

    `order`: as for `copy`. Refused rows that hold ids are locked already, now ids are inserted in their order: two
    flushes that meet never wait for each other in a circle.
    """
    if settled.repeats or settled.replaced:
        await repeats.store(connection, settled, wall)
    let_in = [*settled.fresh.values(), *settled.revived.values()]
    contents: list[bytes] | None = None
    if len(settled.fresh) < COPY_FROM:
        few = await copy(connection, settled.fresh, wall, order)
        sums, entries = summed(let_in).deltas(), listings.entries(let_in)
    else:
        made, few = await _beside(_prepared(let_in, chunks), copy(connection, settled.fresh, wall, order))
        sums, entries, contents = made
    crash.point("events stored")
    if names:
        await license_names.store(connection, [row for row in let_in if row.verdict.license], wall)
    kept = bodies.columns(chunks, contents)
    await connection.execute(queries.admit, wall, *few, *counts, *sums, *entries, *kept)


class _Prepared(NamedTuple):
    """What of a large flush is made beside the COPY of its events."""

    sums: Deltas
    entries: listings.Columns
    contents: list[bytes]
    """The bodies as they are kept."""


async def _prepared(rows: list[EventRow], chunks: list[bodies.Chunk]) -> _Prepared:
    sums, entries = Sums(), listings.Entries()
    for at in range(0, len(rows), STRETCH):
        await turn()
        part = rows[at : at + STRETCH]
        sums.add(part)
        entries.add(part)
    for _ in chain(sums.steps(), entries.steps()):
        await turn()
    await turn()
    return _Prepared(sums.columns(), entries.columns(), bodies.compressed(chunks))


async def _beside(work: Coroutine[Any, Any, A], waits: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both outcomes, of `work` done while the other one waits for PostgreSQL. Raises what that raises."""
    task = asyncio.create_task(work)
    try:
        waited = await waits
        return await task, waited
    except BaseException:
        task.cancel()
        raise


async def _report(settled: repeats.Settled, receipts: list[Receipt]) -> Tally:
    """Write every event into its receipt, and sum up; others may do something in between."""
    counts: dict[tuple[int, int, State], int] = defaultdict(int)
    refused: list[tuple[EventRow, State]] = [(row, State.FAILED_DUPLICATE_EVENT) for row, _ in settled.repeats]
    replaced = (row for row in settled.replaced if isinstance(row, EventRow))
    rows = chain(settled.fresh.values(), settled.revived.values(), replaced)
    while stretch := list(islice(rows, LIGHT_STRETCH)):
        if len(settled.fresh) > STRETCH:
            await turn()
        for row in stretch:
            state = row.verdict.state
            if state > 0:
                counts[row.submission, row.workspace, state] += 1
            else:
                refused.append((row, state))
    for row, state in refused:
        counts[row.submission, row.workspace, state] += 1
        receipts[row.submission].verdicts.append((row.place, row.event, state, row.verdict.reason))
    for row in settled.known:
        receipts[row.submission].known += 1
    for row, state in settled.refused:
        receipts[row.submission].known -= 1
        receipts[row.submission].verdicts.append((row.place, row.event, state, row.verdict.reason))
    tally = Tally()
    for (submission, workspace, state), count in counts.items():
        receipts[submission].states[state] += count
        tally.add(workspace, state, count)
    return tally
