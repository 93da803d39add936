"""Reading events back: lists, everything under one id, and what each meter made of an event."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bursar.catalog import snapshot
from bursar.core.errors import Invalid, NotFound
from bursar.core.page import Page
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.usage import bodies, listings
from bursar.usage.event import Event, event_of, id_hash
from bursar.usage.event_ids import identified, template_of
from bursar.usage.judged import Judged, Rules
from bursar.usage.states import MEANING, State

queries = Queries("bursar.usage")
body_queries = Queries("bursar.usage", "bodies.sql")

_CHUNKS = 50
_ROUNDS = 40
_TOP = (2**62, 2**30)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose event it is, by the ids and names that the wire shows."""

    account_id: str
    account_name: str
    customer_id: str
    customer_name: str


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event with its state."""

    reference: str
    """Where it lies, as an id."""
    key: uuid.UUID
    """What stands for its id, or for where it lies if it has none."""
    event: Event
    """As it was sent; where it carried no id, with the one that its schema gave it."""
    state: State
    description: str
    received_at: datetime
    catalog_version: int | None
    """The version of the rules that judged it; None for repeats."""
    account: int | None
    """Internal key of its account."""
    owner: Owner | None
    schema: snapshot.SchemaVersion | None
    """The version of its schema that judged it; None where there was none."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one meter version made of an event; None where it left the event out."""

    meter: snapshot.MeterView
    quantity: Decimal | None


@dataclass(frozen=True, slots=True)
class Made:
    """What became of an event's content."""

    measurements: list[Measurement]
    enriched: Judged | None
    """With what its schema added; None where that is nothing."""


_MEASURED = (State.COMPLETED_EVENT_METERED, State.COMPLETED_EVENT_NOT_METERED)
_ENRICHED = (*_MEASURED, State.COMPLETED_NO_MATCHING_METERS, State.FAILED_UNITS_INVALID)


async def list_events(
    connection: Connection,
    workspace: int,
    *,
    account: int | None,
    schema_name: str | None,
    states: Sequence[State] | None,
    after: str | None,
    limit: int,
) -> Page[KeptEvent]:
    """Events as they came, newest first. A page may be short before the end of the list: follow its bookmark."""
    bookmark = _open(after)
    wanted = None if states is None else [int(state) for state in states]
    found: list[KeptEvent] = []
    for number in range(_ROUNDS):
        if account is not None:
            few = min(listings.FEW * 4**number, listings.MOST)
            rows, following = await listings.arrived(connection, workspace, account, bookmark, wanted, limit, few)
        else:
            rows, following = await _walk(connection, workspace, bookmark, wanted, limit)
        for kept in await kept_events(connection, workspace, rows):
            if schema_name is not None and kept.event.schema_name != schema_name:
                continue
            if len(found) == limit:
                return Page(found, _place(found[-1].reference))
            found.append(kept)
        if following is None:
            return Page(found)
        bookmark = following
        if len(found) == limit:
            break
    if len(found) == limit and found:
        return Page(found, _place(found[-1].reference))
    return Page(found, f"{bookmark[0]}|{bookmark[1]}")


async def events_under(connection: Connection, workspace: int, event_id: str) -> list[KeptEvent]:
    """Everything received under an id: the event that holds it, then repeats. Raises `NotFound` where nothing was."""
    rows = await connection.fetch(queries.events_of_id, workspace, id_hash(workspace, event_id))
    if not rows:
        raise NotFound("event", event_id)
    return await kept_events(connection, workspace, rows)


async def summarize(connection: Connection) -> int:
    """Index the pages of new events by their chunks, in a transaction of its own; returns how many ranges of pages.

    Raises `asyncpg.LockNotAvailableError` while PostgreSQL clears the table up, which does it as well.
    """
    await connection.execute(body_queries.wait_briefly)
    ranges: int = await connection.fetchval(queries.summarize_chunks)
    return ranges


async def owners(connection: Connection, workspace: int, accounts: Sequence[int]) -> dict[int, Owner]:
    """Whose accounts these are, by internal key."""
    return {
        row["key"]: Owner(row["account_id"], row["account_name"], row["customer_id"], row["customer_name"])
        for row in await connection.fetch(queries.owners, workspace, list(accounts))
    }


async def made_of(connection: Connection, workspace: int, kept: KeptEvent) -> Made:
    """What the rules in force at its admission made of an event."""
    if kept.catalog_version is None or kept.account is None or kept.schema is None or kept.state not in _ENRICHED:
        return Made([], None)
    rules = await Rules.load(connection, workspace, schema=kept.schema.key)
    await rules.prepare(connection, [kept.account])
    judged = rules.of(kept.event, kept.account, kept.catalog_version, kept.schema.key)
    measurements = []
    if kept.state in _MEASURED:
        measurements = [Measurement(view, meter.quantity(judged.data)) for view, meter in judged.meters]
    return Made(measurements, judged if judged.enrichment is not None else None)


async def _walk(
    connection: Connection, workspace: int, bookmark: tuple[int, int], states: list[int] | None, limit: int
) -> tuple[list[Row], tuple[int, int] | None]:
    chunks = await connection.fetch(body_queries.chunks_before, workspace, bookmark[0] + 1, _CHUNKS)
    numbers = [row["chunk"] for row in chunks]
    rows = await connection.fetch(queries.events_of_chunks, workspace, numbers, *bookmark, states, limit + 1)
    if len(rows) > limit:
        return rows[:limit], (rows[limit - 1]["chunk"], rows[limit - 1]["position"])
    return list(rows), (numbers[-1], 0) if len(numbers) == _CHUNKS else None


async def kept_events(connection: Connection, workspace: int, rows: Sequence[Row]) -> list[KeptEvent]:
    """Events of rows of `event_key` or `event_repeat`, with what was sent."""
    chunks = await bodies.read(connection, workspace, (row["chunk"] for row in rows))
    versions = await snapshot.schema_versions(
        connection, workspace, (row["event_schema"] for row in rows if row["event_schema"] is not None)
    )
    templates = {key: template_of(version.definition) for key, version in versions.items()}
    found = await owners(connection, workspace, sorted({row["account"] for row in rows if row["account"] is not None}))
    return [
        KeptEvent(
            reference=f"event.{row['chunk']}.{row['position']}",
            key=row["id_hash"],
            event=identified(event_of(chunks[row["chunk"]][row["position"]]), templates.get(row["event_schema"])),
            state=State(row["state"]),
            description=row["reason"] or MEANING[State(row["state"])],
            received_at=row["received_at"],
            catalog_version=row["catalog_version"],
            account=row["account"],
            owner=found.get(row["account"]),
            schema=versions.get(row["event_schema"]),
        )
        for row in rows
    ]


def _place(reference: str) -> str:
    _, chunk, position = reference.split(".")
    return f"{chunk}|{position}"


def _open(after: str | None) -> tuple[int, int]:
    if after is None:
        return _TOP
    chunk, _, position = after.partition("|")
    if not (chunk.isascii() and chunk.isdigit() and len(chunk) < 19 and position.isascii() and position.isdigit()):
        raise Invalid("nextToken", "is not a token of this list")
    return int(chunk), min(int(position[:10]), _TOP[1])
