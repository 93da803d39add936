"""The desk of dead letters: events that were not let in, each with what was sent, why, and what would mend it.

On it are the refused events that hold their ids, and deliveries that say something else than the event that holds
theirs. An event leaves the desk when it is let in: replayed (`replays.py`), or sent again under its id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from bursar.core.errors import Invalid
from bursar.core.page import Page
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.usage.corrections import place_of
from bursar.usage.events import KeptEvent, kept_events
from bursar.usage.states import MENDABLE, State

queries = Queries("bursar.usage", "dead_letters.sql")
shared = Queries("bursar.usage")

REPLAYABLE = MENDABLE | {State.FAILED_NO_EVENT_ID}
"""Refusals that a replay may undo."""

FIX: dict[State, str] = {
    State.FAILED: "Send it again under its id with a content that fits its event schema",
    State.FAILED_SCHEMA_NOT_DEFINED: "Activate an event schema of this name, then replay the event",
    State.FAILED_UNITS_INVALID: "Mend the computation of the usage meter, then replay the event; "
    "or send it again under its id with values that can be computed",
    State.FAILED_ENRICHMENT_FAILED: "Set what the enrichment reads, or mend the enrichment, then replay the event",
    State.FAILED_PAST_GRACE_PERIOD: "Replay the event with backfill: its period is not invoiced",
    State.FAILED_ACCOUNT_NOT_FOUND: "Give the name to an account as an alias that is in force at the event's time, "
    "or make the account, then replay the event",
    State.FAILED_NO_EVENT_ID: "Give the event schema an eventIdTemplate whose fields the event carries, then replay "
    "the event; or send it again with an id",
    State.FAILED_INVALID_NAMED_LICENSE_EVENT: "Send a change of licences that is possible, under an id of its own",
    State.FAILED_INSUFFICIENT_CREDITS: "Give the account credits, then send the event again under an id of its own",
    State.FAILED_DUPLICATE_EVENT: "Send it under an id of its own if it is another event; "
    "if it was to replace the one that holds the id, correct that one",
}
"""What would mend a refusal."""
INVOICED = "Its period is invoiced: replay the event with adjust, and the account's next invoice has the difference"
"""What would mend one whose period no longer takes events."""

_SCAN = 2_000
"""Events that one look goes through."""
_LOOKS = 20
"""Looks for one page; then it is short, and its bookmark leads on."""
_AT_ONCE = 20
"""Chunks of bodies that are open at a time."""
_TOP = (2**62, 2**30)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events of the desk; what is None does not matter."""

    states: Sequence[State] | None = None
    account: str | None = None
    """The account id that was sent, or an id or alias that leads to the event's account."""
    schema: str | None = None
    """The name of the event schema that was sent."""
    received_from: datetime | None = None
    received_until: datetime | None = None
    """`[from, until)` of when they were received."""
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None
    """`[from, until)` of their own time."""


class DeadLetter(NamedTuple):
    """An event on the desk."""

    kept: KeptEvent
    fix: str
    replayable: bool


async def list_refused(
    connection: Connection, workspace: int, wanted: Wanted, after: str | None, limit: int
) -> Page[DeadLetter]:
    """Events of the desk, newest first. A page may be short before the end of the list: follow its bookmark.

    Raises `Invalid` for an `after` that is no bookmark.
    """
    page = await kept_refused(connection, workspace, wanted, after, limit)
    late = {kept.account for kept in page.items if kept.state is State.FAILED_PAST_GRACE_PERIOD}
    rows = await connection.fetch(shared.accounts, workspace, [key for key in late if key is not None]) if late else []
    closed = {row["key"]: row for row in rows}
    return Page([_letter(kept, closed.get(kept.account)) for kept in page.items], page.after)


async def kept_refused(
    connection: Connection, workspace: int, wanted: Wanted, after: str | None, limit: int
) -> Page[KeptEvent]:
    """As `list_refused`, without what would mend them."""
    place = _open(after)
    states = None if wanted.states is None else [int(state) for state in wanted.states]
    found: list[KeptEvent] = []
    for _ in range(_LOOKS):
        asked = limit + 1 - len(found)
        rows = await connection.fetch(
            queries.refused, workspace, *place, _SCAN, states, wanted.received_from, wanted.received_until,
            wanted.occurred_from, wanted.occurred_until, wanted.account, wanted.schema, asked,
        )  # fmt: skip
        if not rows:
            return Page(found)
        hits = [row for row in rows if row["chunk"] is not None]
        found += [kept for kept in await read_kept(connection, workspace, hits) if _fits(wanted, kept)]
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].reference)
        if len(hits) == asked:
            place = hits[-1]["chunk"], hits[-1]["position"]
        elif rows[0]["looked"] < _SCAN:
            return Page(found)
        else:
            place = rows[0]["last_chunk"], rows[0]["last_position"]
    return Page(found, f"event.{place[0]}.{place[1]}")


async def read_kept(connection: Connection, workspace: int, rows: Sequence[Row]) -> list[KeptEvent]:
    """As `kept_events`, a few chunks at a time, since each holds thousands."""
    found: list[KeptEvent] = []
    for start in range(0, len(rows), _AT_ONCE):
        found += await kept_events(connection, workspace, rows[start : start + _AT_ONCE])
    return found


def _fits(wanted: Wanted, kept: KeptEvent) -> bool:
    """What is only known from what was sent."""
    if wanted.schema is not None and kept.event.schema_name != wanted.schema:
        return False
    return wanted.account is None or kept.account is not None or kept.event.account_id == wanted.account


def _letter(kept: KeptEvent, account: Row | None) -> DeadLetter:
    shut = account is not None and account["closed_from"] is not None
    if shut and account["closed_from"] <= kept.event.timestamp < account["closed_until"]:  # type: ignore[index]
        return DeadLetter(kept, INVOICED, kept.state in REPLAYABLE)
    return DeadLetter(kept, FIX[kept.state], kept.state in REPLAYABLE)


def _open(after: str | None) -> tuple[int, int]:
    place = _TOP if after is None else place_of(after)
    if place is None or place[1] > _TOP[1]:
        raise Invalid("after", "is not a bookmark of this list")
    return place
