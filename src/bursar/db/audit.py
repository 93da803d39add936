"""The trace of every write: who did what to which object, in the transaction that did it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from bursar.core.caller import Caller
from bursar.core.page import Page, key_of
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries, texts

queries = Queries("bursar.db")

ROWS = queries.audit_rows
"""How a part of another room's statement begins that adds audit rows for what the statement does, in its round trip.

A query follows: workspace, instant, actor, action, kind, object and detail.
"""


Trace = tuple[Caller, str, str, str, dict[str, Any]]
"""An audit row to add: who asked, action, kind, object_id, detail."""


async def record(
    connection: Connection, caller: Caller, action: str, kind: str, object_id: str, detail: dict[str, Any] | None = None
) -> None:
    """Add one audit row.

    `action` is the command (`create`, `update`, `archive`, `activate`, `issue` ...), `object_id` the id on the wire.
    `detail` holds what changed, without personal data; bulk work gives a count and a digest.
    """
    text = msgspec.json.encode(detail or {}).decode()
    await connection.execute(
        queries.insert_audit, caller.workspace, caller.wall, caller.actor, action, kind, object_id, text
    )


async def record_all(connection: Connection, entries: Sequence[Trace]) -> None:
    """Add audit rows, in one statement."""
    if entries:
        await connection.execute(
            queries.insert_audits,
            [entry[0].workspace for entry in entries],
            [entry[0].wall for entry in entries],
            *columns(entries),
        )


def columns(entries: Sequence[Trace]) -> list[str]:
    """What audit rows say, as a statement takes it: actors, actions, kinds, objects, details."""
    return [
        texts(entry[0].actor for entry in entries),
        texts(entry[1] for entry in entries),
        texts(entry[2] for entry in entries),
        texts(entry[3] for entry in entries),
        texts(msgspec.json.encode(entry[4]).decode() for entry in entries),
    ]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the trail; `number` and `hash` are its link in the chain, None for the second until it is sealed."""

    recorded_at: datetime
    actor: str
    action: str
    kind: str
    object: str
    detail: dict[str, Any]
    number: int | None
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries to list: each given member must match; recorded in `[since, until)`."""

    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_entries(
    connection: Connection, caller: Caller, wanted: Filter, after: str | None, limit: int
) -> Page[Entry]:
    """The workspace's entries, newest first, `limit` of them after the bookmark `after`."""
    before = key_of(after, field="after") or None
    rows = await connection.fetch(
        queries.list_audit, caller.workspace, before, wanted.actor, wanted.action, wanted.kind,
        wanted.object, wanted.since, wanted.until, limit + 1,
    )  # fmt: skip
    return Page([_entry(row) for row in rows[:limit]], str(rows[limit - 1]["key"]) if len(rows) > limit else None)


def _entry(row: Row) -> Entry:
    return Entry(
        recorded_at=row["recorded_at"],
        actor=row["actor"],
        action=row["action"],
        kind=row["kind"],
        object=row["object"],
        detail=msgspec.json.decode(row["detail"]),
        number=row["number"],
        hash=row["hash"],
    )
