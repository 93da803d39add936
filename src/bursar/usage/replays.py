"""Replays: refused events are judged anew by the rules of now, and those that pass become ordinary events.

It is the same delivery, judged again: it stays where it lies with what was sent, counts as received once, and moves
from rejected to what it is now. So a replay done twice is a replay done once. What is refused again stays on the desk,
for the cause that holds it now.
"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import prometheus_client

from bursar.accounts import gate
from bursar.core.caller import Caller
from bursar.core.page import Page
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.db.queries import Queries
from bursar.usage import listings
from bursar.usage.admission import Tenant, judge, named
from bursar.usage.corrections import Moved, Refused, brought, place_of
from bursar.usage.dead_letters import REPLAYABLE, Wanted, kept_refused, read_kept
from bursar.usage.event import body_digest, id_digest, id_hash, number_of_digest, uuid_of_digest
from bursar.usage.events import KeptEvent
from bursar.usage.rows import EventRow, Tally, micros, summed
from bursar.usage.states import MEANING, TERM, State, Term
from bursar.usage.views import Views

queries = Queries("bursar.usage", "dead_letters.sql")
shared = Queries("bursar.usage")

REPLAYED = prometheus_client.Counter(
    "bursar_events_replayed_total", "Refused events judged again, by the term of the balance they are in now", ["term"]
)

AT_ONCE = 500
"""Events of one replay; where a filter matches more, a bookmark leads on."""
_SLOT = 32_767
"""Counter rows of replays: flushers draw lower numbers, corrections have the one below."""

Adjust = Callable[[Connection, Caller, KeptEvent, Sequence[Moved]], Awaitable[None]]
"""Adjusts what is invoiced by what an event that was let in adds to usage; raises `Refused` where that cannot be."""
Column = tuple[uuid.UUID, uuid.UUID, int, int | None, int, int | None, int, str]


@dataclass(frozen=True, slots=True)
class Replayed:
    """An event that was to be replayed, and what it is now."""

    reference: str | None
    """Where it lies; None where an id was asked for that no event holds."""
    event_id: str | None
    state: State | None
    """None where there is no such event."""
    done: bool
    """Whether this replay let it in."""
    reason: str


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a replay found."""

    outcome: Replayed
    key: uuid.UUID
    row: EventRow | None = None
    """The event with its new verdict; None where it stays as it is."""


async def replay_ids(
    db: Database, caller: Caller, ids: Sequence[str], *, backfill: bool, adjust: Adjust | None = None
) -> list[Replayed]:
    """Replay the events that hold ids, at most `AT_ONCE`; one outcome each, in their order.

    `backfill` lifts the grace period, never an issued invoice; `adjust` both: it sees to the invoice.
    """
    keys = [id_hash(caller.workspace, name) for name in ids]
    async with db.reading(caller.workspace) as connection:
        rows = await connection.fetch(queries.holders, caller.workspace, keys)
        found = {kept.key: kept for kept in await read_kept(connection, caller.workspace, rows)}
    outcomes = await _replay(db, caller, list(found.values()), backfill=backfill, adjust=adjust)
    return [
        outcomes[found[key].reference] if key in found else _absent(None, name)
        for key, name in zip(keys, ids, strict=True)
    ]


async def replay_references(
    db: Database, caller: Caller, references: Sequence[str], *, backfill: bool, adjust: Adjust | None = None
) -> list[Replayed]:
    """Replay the events that lie at places. As `replay_ids`."""
    places = {place for reference in references if (place := place_of(reference)) is not None}
    async with db.reading(caller.workspace) as connection:
        rows = await _at(connection, caller.workspace, places)
        found = await read_kept(connection, caller.workspace, rows)
    outcomes = await _replay(db, caller, found, backfill=backfill, adjust=adjust)
    return [outcomes.get(reference) or _absent(reference, None) for reference in references]


async def replay_matching(
    db: Database,
    caller: Caller,
    wanted: Wanted,
    after: str | None,
    limit: int,
    *,
    backfill: bool,
    adjust: Adjust | None = None,
) -> Page[Replayed]:
    """Replay events of the desk, newest first; follow the bookmark for those that are left, until there is none.

    Only those that a replay may let in. Raises `Invalid` for an `after` that is no bookmark.
    """
    states = [state for state in REPLAYABLE if wanted.states is None or state in wanted.states]
    async with db.reading(caller.workspace) as connection:
        page = await kept_refused(connection, caller.workspace, replace(wanted, states=states), after, limit)
    outcomes = await _replay(db, caller, page.items, backfill=backfill, adjust=adjust)
    return Page([outcomes[kept.reference] for kept in page.items], page.after)


async def _at(connection: Connection, workspace: int, places: set[tuple[int, int]]) -> list[Row]:
    """What lies at places, refused or not; a refused one is found at once, however many there are of the others."""
    rows = await connection.fetch(queries.refused_at, workspace, *_columns(places))
    others = places - {(row["chunk"], row["position"]) for row in rows}
    return rows + (await connection.fetch(queries.others_at, workspace, *_columns(others)) if others else [])


def _columns(places: set[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [chunk for chunk, _ in places], [position for _, position in places]


def _absent(reference: str | None, event_id: str | None) -> Replayed:
    return Replayed(reference, event_id, None, done=False, reason="There is no such event")


async def _replay(
    db: Database, caller: Caller, found: Sequence[KeptEvent], *, backfill: bool, adjust: Adjust | None
) -> dict[str, Replayed]:
    """The outcomes of events by where they lie."""
    outcomes = {kept.reference: _as_it_is(kept.reference, kept.event.id, kept.state) for kept in found}
    refused = [kept for kept in found if kept.state in REPLAYABLE]
    if not refused:
        return outcomes
    # Where invoices are adjusted each event is by itself: one whose invoice was taken back holds nobody up.
    groups = [refused] if adjust is None else [[kept] for kept in refused]
    judged: list[_Judged] = []
    for group in groups:
        work = partial(_judge_anew, caller, group, backfill, adjust)
        try:
            judged += await db.run(None, work)
        except Refused as error:
            judged += [
                _Judged(Replayed(kept.reference, kept.event.id, kept.state, done=False, reason=error.message), kept.key)
                for kept in group
            ]
    for one in judged:
        if one.row is not None:
            REPLAYED.labels(TERM[one.row.verdict.state]).inc()
    return outcomes | {one.outcome.reference or "": one.outcome for one in judged}


def _as_it_is(reference: str, event_id: str | None, state: State) -> Replayed:
    if state > 0:
        return Replayed(reference, event_id, state, done=False, reason="The event is not refused")
    return Replayed(reference, event_id, state, done=False, reason=f"A replay does not mend this: {MEANING[state]}")


async def _judge_anew(
    caller: Caller, refused: Sequence[KeptEvent], backfill: bool, adjust: Adjust | None, connection: Connection
) -> list[_Judged]:
    """Judge refused events and store what has become of them, in a transaction over all workspaces."""
    await gate.enter(connection, [caller.workspace])
    views = Views()
    tenants, _ = await views.tenants(connection, [caller.workspace], [], caller.wall)
    tenant = tenants[caller.workspace]
    await views.resolve(connection, tenant, {kept.event.account_id for kept in refused})
    # One without an id may get one by now: the ids that events would have are held with those that they have.
    events = [replace(kept, event=named(tenant, kept.event)) for kept in refused]
    wanted = {kept.key for kept in events} | {_key(tenant, kept) for kept in events}
    held = {row["id_hash"]: row for row in await connection.fetch(shared.taken, list(wanted))}
    taken = set(held)
    judged = []
    for kept in events:
        one = _judge(tenant, kept, held.get(kept.key), taken, backfill=backfill, invoiced=adjust is not None)
        if one.row is not None:
            taken.add(uuid_of_digest(one.row.id_digest))
        judged.append(one)
    changed = [one for one in judged if one.row is not None]
    if changed:
        await _store(connection, caller, changed)
    if adjust is not None:
        for kept, one in zip(events, judged, strict=True):
            if one.row is not None:
                await adjust(connection, caller, kept, brought(one.row))
    return judged


def _key(tenant: Tenant, kept: KeptEvent) -> uuid.UUID:
    """What stands for an event in keys: its id, or where it lies."""
    return kept.key if kept.event.id is None else uuid_of_digest(id_digest(tenant.key, kept.event.id))


def _judge(
    tenant: Tenant, kept: KeptEvent, row: Row | None, taken: set[uuid.UUID], *, backfill: bool, invoiced: bool
) -> _Judged:
    """What becomes of an event, whose row is held. `taken` are the ids that events have."""
    event, reference = kept.event, kept.reference
    here = row is not None and row["workspace"] == tenant.key and f"event.{row['chunk']}.{row['position']}" == reference
    if row is None or not here or row["state"] not in REPLAYABLE:
        state = State(row["state"]) if row is not None and here else kept.state
        return _Judged(
            Replayed(reference, event.id, state, done=False, reason="The event was replayed before"), kept.key
        )
    key = _key(tenant, kept)
    if key != kept.key and key in taken:
        reason = f"An event with the id {event.id!r}, which its event schema gives it, was already received"
        return _Judged(Replayed(reference, None, State(row["state"]), done=False, reason=reason), kept.key)
    verdict = judge(tenant, event, backfill=backfill, invoiced=invoiced)
    done = verdict.state > 0
    outcome = Replayed(reference, event.id, verdict.state, done, verdict.reason or MEANING[verdict.state])
    anew = EventRow(
        tenant.key, key.bytes, body_digest(event), micros(event.timestamp), tenant.version, row["chunk"],
        row["position"], 0, row["position"], event, verdict,
    )  # fmt: skip
    return _Judged(outcome, kept.key, anew)


async def _store(connection: Connection, caller: Caller, changed: Sequence[_Judged]) -> None:
    """Write verdicts, rollups in key order, the balance of events, and one audit row."""
    rows = [one.row for one in changed if one.row is not None]
    columns = [_values(one.key, row) for one, row in zip(changed, rows, strict=True)]
    await connection.execute(queries.rejudge, *[list(column) for column in zip(*columns, strict=True)])
    await listings.list_now(connection, caller.workspace, rows)
    sums = summed(rows).rollups()
    if sums:
        await connection.execute(shared.add_rollups, *sums)
    terms = Counter(TERM[row.verdict.state] for row in rows)
    tally = Tally()
    tally.received[caller.workspace] = 0
    tally.terms[caller.workspace].update(terms)
    tally.terms[caller.workspace][Term.REJECTED] -= len(rows)
    await connection.execute(shared.count, *tally.arguments(caller.wall.date(), _SLOT))
    references = sorted(one.outcome.reference or "" for one in changed)
    detail = {
        "count": len(rows),
        "digest": hashlib.sha256("\n".join(references).encode()).hexdigest(),
        **{term.value: count for term, count in sorted(terms.items())},
    }
    await audit.record(connection, caller, "replay", "event", references[0] if len(rows) == 1 else "", detail)


def _values(key: uuid.UUID, row: EventRow) -> Column:
    """The arguments of `rejudge`."""
    verdict = row.verdict
    return (
        key,
        uuid_of_digest(row.id_digest),
        number_of_digest(row.body_digest),
        verdict.account,
        row.catalog_version,
        verdict.schema,
        int(verdict.state),
        verdict.reason or "",
    )
