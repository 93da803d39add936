"""Corrections: what an event did is undone, and it may be admitted anew, as it was or with another content.

Nothing is erased. An undone event stays under its id, reverted; one that is admitted anew leaves its former self beside
it, as a refused attempt does. Usage follows in the same transaction, and with it every draft. What has been invoiced
stays: an event of a period that is closed is corrected only for who sees to its invoice, and is told what moved.
"""

import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from bursar.accounts import gate
from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, Invalid
from bursar.db import audit
from bursar.db.database import Connection, Row, part
from bursar.db.queries import Queries
from bursar.usage import bodies, license_names, listings, repeats
from bursar.usage.admission import Measure, Tenant, judge
from bursar.usage.event import Event, body_digest, id_digest
from bursar.usage.events import KeptEvent, kept_events
from bursar.usage.flush import Judged, Receipt, Sift
from bursar.usage.judged import Rules
from bursar.usage.rows import BUCKET_TICKS, EventRow, Tally, array, micros
from bursar.usage.states import MEANING, TERM, State, Term
from bursar.usage.views import Views

queries = Queries("bursar.usage", "corrections.sql")
shared = Queries("bursar.usage")

AT_ONCE = 30
"""Events that one request corrects; more are for a job."""
_TIES = 2_000
"""Events of one instant that are looked through for the first by id."""
_SLOT = 32_766
"""Counter rows of corrections: flushers draw lower numbers."""
_DONE = (State.COMPLETED_EVENT_METERED, State.COMPLETED_EVENT_NOT_METERED, State.COMPLETED_NO_MATCHING_METERS)


class Action(StrEnum):
    """What becomes of an event."""

    UNDO = "UNDO"
    """Its usage is taken back."""
    REDO = "REDO"
    """It is undone and admitted anew by the rules of now."""
    REDO_EVENT = "REDO_EVENT"
    """It is undone, and another content is admitted under its id."""


class Refused(BursarError):
    """The event cannot be corrected, and stays as it is."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events: one, by id or by where it lies, or those of an account and span of their own time."""

    account: int | None = None
    """Internal key."""
    event_id: str | None = None
    reference: tuple[int, int] | None = None
    """Chunk and position."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """`[start, end)`; None is open."""


class Moved(NamedTuple):
    """What a correction added to the usage of an account at an instant, or took away where it is below zero."""

    account: int
    occurred_at: datetime
    meter_version: int
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Corrected:
    """An event that was to be corrected: as it was, what it is now, and why where that is the same."""

    before: KeptEvent
    state: State
    done: bool
    reason: str
    moved: tuple[Moved, ...] = ()


GiveBack = Callable[[Connection, Caller, uuid.UUID], Awaitable[bool]]
"""Gives back what an event, by the hash of its id, took from anywhere; returns whether it took something."""


async def matching(connection: Connection, workspace: int, wanted: Selection, limit: int = AT_ONCE) -> list[KeptEvent]:
    """The events of a selection, the latest first and those of one instant by id.

    Of an account only those that were let in; one that is named is found whatever became of it.
    """
    if wanted.event_id is not None or wanted.reference is not None:
        digest = None if wanted.event_id is None else id_digest(workspace, wanted.event_id)
        rows = await connection.fetch(
            queries.event_named,
            workspace,
            None if digest is None else uuid.UUID(bytes=digest),
            *(wanted.reference or (None, None)),
            wanted.account,
            wanted.starts_at,
            wanted.ends_at,
        )
    else:
        rows = await _latest(connection, workspace, wanted, limit, _TIES)
    found = await kept_events(connection, workspace, rows)
    return sorted(found, key=lambda kept: (-micros(kept.event.timestamp), kept.event.id or ""))[:limit]


async def references_of(connection: Connection, workspace: int, wanted: Selection, limit: int) -> list[str]:
    """Where the events of a selection lie, at most `limit`, the latest first."""
    if wanted.event_id is not None or wanted.reference is not None:
        return [kept.reference for kept in await matching(connection, workspace, wanted)]
    rows = await _latest(connection, workspace, wanted, limit, limit)
    return [f"event.{row['chunk']}.{row['position']}" for row in rows]


async def _latest(connection: Connection, workspace: int, wanted: Selection, limit: int, most: int) -> list[Row]:
    """The latest events of the selection's account and span; a selection that names nothing has none."""
    if wanted.account is None:
        return []
    return await listings.latest(connection, workspace, wanted.account, wanted.starts_at, wanted.ends_at, limit, most)


def place_of(reference: str) -> tuple[int, int] | None:
    """Chunk and position of a reference; None where it is none."""
    kind, _, place = reference.partition(".")
    chunk, _, position = place.partition(".")
    numbers = chunk.isascii() and chunk.isdigit() and position.isascii() and position.isdigit()
    if kind != "event" or not numbers or len(chunk) > 18 or len(position) > 9:
        return None
    return int(chunk), int(position)


@dataclass(slots=True)
class _Change:
    """One event on its way: its row, the measures that go, and the row that comes."""

    kept: KeptEvent
    row: Row
    gone: tuple[Measure, ...]
    new: EventRow | None = None
    refusal: str | None = None


async def correct(
    connection: Connection,
    caller: Caller,
    action: Action,
    events: Sequence[KeptEvent],
    payload: Event | None,
    give_back: GiveBack,
    sift: Sift,
    *,
    invoiced: bool = False,
) -> list[Corrected]:
    """Correct events, in the transaction of a connection over all workspaces; each wholly or not at all.

    `payload` is the content of `REDO_EVENT`, of one event. An event that took something, as `give_back` says, must be
    able to take it anew where it is admitted again: `sift` decides. `invoiced` corrects in closed periods too: the
    caller adjusts their invoices by what has moved. Raises `Invalid` for a payload of another id.
    """
    if payload is not None and any(payload.id not in (None, kept.event.id) for kept in events):
        raise Invalid("event.id", "must be that of the event to correct")
    await gate.enter(connection, [caller.workspace])
    views = Views()
    tenants, _ = await views.tenants(connection, [caller.workspace], [], caller.wall)
    tenant = tenants[caller.workspace]
    changes = await _changes(connection, tenant, events, invoiced=invoiced)
    if action is not Action.UNDO:
        await _admit_anew(connection, views, tenant, changes, payload, invoiced=invoiced)
    for change in changes:
        if change.refusal is None:
            try:
                async with part(connection):
                    await _settle_rights(connection, caller, tenant, change, give_back, sift)
            except BursarError as error:
                change.refusal = error.message
    done = [change for change in changes if change.refusal is None]
    if done:
        crash.point("units of events returned")
        await _store(connection, caller, tenant, done)
        crash.point("events corrected")
    for change in done:
        detail = {"id": change.kept.event.id or "", "action": action.value}
        await audit.record(connection, caller, "correct", "event", change.kept.reference, detail)
    outcomes = {change.kept.reference: _outcome(change) for change in changes}
    return [
        outcomes.get(kept.reference, Corrected(kept, kept.state, done=False, reason="The event is being corrected"))
        for kept in events
    ]


async def _changes(
    connection: Connection, tenant: Tenant, events: Sequence[KeptEvent], *, invoiced: bool
) -> list[_Change]:
    """The events, held, with what they measured; without those that were corrected since they were chosen."""
    hashes = {kept.reference: uuid.UUID(bytes=id_digest(tenant.key, _name(tenant.key, kept))) for kept in events}
    rows = await connection.fetch(shared.taken, list(hashes.values()))
    held = {row["id_hash"]: row for row in rows if row["workspace"] == tenant.key}
    accounts = sorted({row["account"] for row in rows if row["account"] is not None})
    shut = {row["key"]: row for row in await connection.fetch(shared.accounts, tenant.key, accounts)}
    rules = await Rules.load(connection, tenant.key)
    await rules.prepare(connection, accounts)
    changes = []
    for kept in events:
        row = held.get(hashes[kept.reference])
        if row is None or (row["chunk"], row["position"]) != place_of(kept.reference):
            continue
        refusal = _refusal(row, None if invoiced else shut.get(row["account"]))
        gone: tuple[Measure, ...] = ()
        if refusal is None and row["state"] == State.COMPLETED_EVENT_METERED:
            judged = rules.of(kept.event, row["account"], row["catalog_version"], row["event_schema"])
            found = ((view.version, meter.quantity(judged.data)) for view, meter in judged.meters)
            gone = tuple((version, quantity) for version, quantity in found if quantity is not None)
        changes.append(_Change(kept, row, gone, None, refusal))
    return changes


def _name(workspace: int, kept: KeptEvent) -> str:
    """What an event's key stands for: its id, or where it lies."""
    if kept.event.id is not None:
        return kept.event.id
    _, chunk, position = kept.reference.split(".")
    return f"\x00{workspace}:{chunk}:{position}"


def _refusal(row: Row, account: Row | None) -> str | None:
    state = State(row["state"])
    if state is State.REVERTED:
        return "The event was undone before"
    if state not in _DONE:
        return f"The event was not let in: {row['reason'] or MEANING[state]}"
    closed = account is not None and account["closed_from"] is not None
    if closed and account["closed_from"] <= row["occurred_at"] < account["closed_until"]:  # type: ignore[index]
        return "Event was ingested in past pricing cycle"
    return None


async def _admit_anew(
    connection: Connection,
    views: Views,
    tenant: Tenant,
    changes: Sequence[_Change],
    payload: Event | None,
    *,
    invoiced: bool,
) -> None:
    """Judge the events by the rules of now; what they would not let in stays as it is."""
    wanted = {(payload or change.kept.event).account_id for change in changes}
    await views.resolve(connection, tenant, wanted)
    position = 0
    for change in changes:
        if change.refusal is not None:
            continue
        old = change.kept.event
        event = old if payload is None else msgspec.structs.replace(payload, id=old.id)
        verdict = judge(tenant, event, backfill=True, invoiced=invoiced)
        if verdict.state < 0:
            change.refusal = f"It would not be let in again: {verdict.reason or MEANING[verdict.state]}"
            continue
        digest = id_digest(tenant.key, event.id or "")
        change.new = EventRow(
            tenant.key, digest, body_digest(event), micros(event.timestamp), tenant.version, tenant.chunk, position,
            0, position, event, verdict,
        )  # fmt: skip
        position += 1


async def _settle_rights(
    connection: Connection, caller: Caller, tenant: Tenant, change: _Change, give_back: GiveBack, sift: Sift
) -> None:
    """Give back what the event took, and take it anew where it is let in again. Raises what refuses that."""
    took = await give_back(connection, caller, change.row["id_hash"])
    if took and change.new is not None:
        receipt = Receipt()
        await sift(connection, Judged({tenant.key: tenant}, [change.new], [receipt], {}), caller.wall)
        for error in receipt.sifted.values():
            raise Refused(f"It would not be let in again: {error.message}")


async def _store(connection: Connection, caller: Caller, tenant: Tenant, changes: Sequence[_Change]) -> None:
    """Write it all: states, former selves, rollups in key order, bodies, the balance of events."""
    undone = [change.row["id_hash"] for change in changes if change.new is None]
    await connection.execute(queries.revert, undone)
    anew = [change for change in changes if change.new is not None]
    former = [repeats.former(change.row, State.REVERTED) for change in anew]
    if former:
        await connection.execute(shared.insert_repeats, *[list(column) for column in zip(*former, strict=True)])
    # Positions follow what is kept: one that was refused after it was judged leaves no gap.
    rows = [
        msgspec.structs.replace(change.new, position=position)
        for position, change in enumerate(anew)
        if change.new is not None
    ]
    for row in rows:
        await connection.execute(shared.revive, *repeats.revival(row, caller.wall))
    await listings.list_now(connection, tenant.key, rows)
    await license_names.store(connection, rows, caller.wall)
    sums = _rollups(changes)
    if sums:
        await connection.execute(shared.add_rollups, *sums)
    if rows:
        body = msgspec.json.encode({"events": [_sent(row.event) for row in rows]})
        chunk = bodies.Chunk(tenant.chunk, tenant.key, len(rows), [body])
        await bodies.append(connection, caller.wall, [chunk])
    tally = Tally()
    tally.received[tenant.key] += len(rows)
    terms = tally.terms[tenant.key]
    for change in changes:
        terms[TERM[State(change.row["state"])]] -= 1
        terms[Term.REVERTED] += 1
    for row in rows:
        terms[TERM[row.verdict.state]] += 1
    await connection.execute(shared.count, *tally.arguments(caller.wall.date(), _SLOT))


def _moved(change: _Change) -> tuple[Moved, ...]:
    moved = [Moved(change.row["account"], change.row["occurred_at"], version, -q) for version, q in change.gone]
    return tuple(moved) if change.new is None else (*moved, *brought(change.new))


def brought(row: EventRow) -> list[Moved]:
    """What an event that was let in adds to usage."""
    verdict = row.verdict
    if verdict.account is None:
        return []
    return [Moved(verdict.account, row.event.timestamp, version, quantity) for version, quantity in verdict.measures]


def _sent(event: Event) -> dict[str, object]:
    """An event as somebody would send it: without what it does not have."""
    return {name: value for name, value in msgspec.to_builtins(event).items() if value is not None}


def _rollups(changes: Sequence[_Change]) -> list[str]:
    """The arguments of `add_rollups` for what goes and what comes."""
    cells: dict[tuple[int, int, int, int], tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))

    def add(workspace: int, account: int, occurred: int, measures: Sequence[Measure], sign: int) -> None:
        for version, quantity in measures:
            key = (workspace, account, version, occurred // BUCKET_TICKS)
            events, total = cells[key]
            cells[key] = (events + sign, total + sign * quantity)

    for change in changes:
        add(change.row["workspace"], change.row["account"], micros(change.row["occurred_at"]), change.gone, -1)
        if change.new is not None and change.new.verdict.account is not None:
            add(change.new.workspace, change.new.verdict.account, change.new.occurred, change.new.verdict.measures, 1)
    ordered = sorted((key, total) for key, total in cells.items() if any(total))
    if not ordered:
        return []
    keys, totals = zip(*ordered, strict=True)
    return [array(column) for column in (*zip(*keys, strict=True), *zip(*totals, strict=True))]


def _outcome(change: _Change) -> Corrected:
    if change.refusal is not None:
        return Corrected(change.kept, State(change.row["state"]), done=False, reason=change.refusal)
    if change.new is None:
        return Corrected(change.kept, State.REVERTED, done=True, reason="The event was undone", moved=_moved(change))
    reason = "The event was undone and let in again"
    return Corrected(change.kept, change.new.verdict.state, done=True, reason=reason, moved=_moved(change))
