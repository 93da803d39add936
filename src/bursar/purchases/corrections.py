"""Corrections of events with what they took: units of features go back to the grants that they came from."""

import uuid
from decimal import Decimal

import msgspec

from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound
from bursar.db.database import Connection, Database
from bursar.jobs import service as jobs
from bursar.jobs.model import Job, Kind
from bursar.jobs.service import NewJob
from bursar.purchases import grants
from bursar.purchases.entitled import sift
from bursar.purchases.grants import Entry
from bursar.usage import corrections
from bursar.usage.corrections import Action, Corrected, Refused, Selection, matching, place_of
from bursar.usage.event import Event

AT_MOST = 100_000
"""Events of one job."""


async def correct_events(
    db: Database, caller: Caller, action: Action, wanted: Selection, payload: Event | None
) -> list[Corrected]:
    """Correct the first events of a selection, each wholly or not at all. Raises `NotFound` where there is none."""

    async def work(connection: Connection) -> list[Corrected]:
        events = await matching(connection, caller.workspace, wanted)
        if not events:
            raise NotFound("event", wanted.event_id or "that matches")
        if payload is not None and len(events) > 1:
            raise Invalid("event", "is the content of a single event; several match")
        return await corrections.correct(connection, caller, action, events, payload, give_back, sift)

    return await db.run(None, work)


async def ask_correction(
    db: Database, caller: Caller, action: Action, wanted: Selection, payload: Event | None, *, confirm: bool
) -> Job:
    """A job that corrects every event of a selection. Raises as `correct_events` does."""
    async with db.transaction(caller.workspace) as connection:
        places = await corrections.references_of(connection, caller.workspace, wanted, AT_MOST + 1)
        if not places:
            raise NotFound("event", wanted.event_id or "that matches")
        if payload is not None and len(places) > 1:
            raise Invalid("event", "is the content of a single event; several match")
        if len(places) > AT_MOST:
            raise Invalid("event_source_time", f"more than {AT_MOST:,} events match; choose a shorter span of time")
        parameters = {"action": action.value}
        if payload is not None:
            parameters["event"] = msgspec.json.encode(payload).decode()
        return await jobs.ask(connection, caller, NewJob(Kind.EVENT_CORRECTIONS, parameters, places, confirm))


async def correct_entry(connection: Connection, caller: Caller, job: Job, reference: str) -> None:
    """Correct one event of a job. Raises `Refused` where that cannot be done."""
    wanted = Selection(reference=place_of(reference))
    payload = msgspec.json.decode(job.parameters["event"], type=Event) if "event" in job.parameters else None
    events = await matching(connection, caller.workspace, wanted)
    action = Action(job.parameters["action"])
    for outcome in await corrections.correct(connection, caller, action, events, payload, give_back, sift):
        if outcome.done:
            return
        raise Refused(outcome.reason)
    raise Refused("The event was corrected since")


async def give_back(connection: Connection, caller: Caller, event: uuid.UUID) -> bool:
    """Return the units that an event drew to their grants; returns whether there were any.

    What was voided since stays void: the units come back and are taken away in the same breath.
    """
    rows = await connection.fetch(grants.queries.draws_of_event, caller.workspace, event)
    if not rows:
        return False
    await connection.fetch(grants.queries.hold_balances, sorted({row["feature_balance"] for row in rows}))
    # Read again behind the balances: what happened to the grants meanwhile is seen.
    rows = await connection.fetch(grants.queries.draws_of_event, caller.workspace, event)
    entries: list[Entry] = []
    moves: dict[int, Decimal] = {}
    for row in rows:
        entries.append(Entry(caller.workspace, row["feature_grant"], "RETURN", row["drawn"], event))
        if row["voided"]:
            entries.append(Entry(caller.workspace, row["feature_grant"], "VOID", -row["drawn"]))
        elif row["limited"]:
            moves[row["feature_balance"]] = moves.get(row["feature_balance"], Decimal(0)) + row["drawn"]
    keys, drawn = [row["feature_grant"] for row in rows], [row["drawn"] for row in rows]
    await connection.execute(grants.queries.return_units, keys, drawn)
    await grants.enter(connection, caller.wall, entries, moves)
    return bool(rows)
