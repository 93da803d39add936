"""The outbox: a business transaction leaves what is to be told, the worker makes deliveries of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog

from bursar.core import crash
from bursar.db.database import Connection, Database, outage
from bursar.db.queries import Queries
from bursar.notify.model import pause

_log = structlog.get_logger()
queries = Queries("bursar.notify")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened and is to be told. It names its objects by key: what they say is looked up when told."""

    key: int
    workspace: int
    topic: str
    payload: Mapping[str, Any]


Handler = Callable[[Connection, Entry], Awaitable[None]]
"""Makes the deliveries of an entry, or does what else follows, in the transaction that removes it."""


async def add(
    connection: Connection, workspace: int, wall: datetime, entries: Sequence[tuple[str, Mapping[str, Any]]]
) -> None:
    """Leave entries `(topic, payload)`, in the transaction of what they tell of. Nobody is woken: workers look."""
    if entries:
        payloads = [msgspec.json.encode(payload).decode() for _, payload in entries]
        await connection.execute(queries.add_entries, workspace, wall, [topic for topic, _ in entries], payloads)


async def dispatch(db: Database, wall: datetime, handlers: Mapping[str, Handler]) -> int:
    """Hand every entry that is due to the handler of its topic, each in a transaction of its own; returns how many.

    An entry that its handler fails on is tried again later and holds up no other. Several workers may do this at once.
    """
    done = 0
    while (taken := await _next(db, wall, handlers)) is not None:
        done += taken
    return done


async def _next(db: Database, wall: datetime, handlers: Mapping[str, Handler]) -> int | None:
    """Deal with one entry: 1, or 0 where it failed; None where there is none."""
    row = None
    try:
        async with db.transaction(None) as connection:
            row = await connection.fetchrow(queries.take_entry, wall)
            if row is None:
                return None
            entry = Entry(row["key"], row["workspace"], row["topic"], msgspec.json.decode(row["payload"]))
            await handlers[entry.topic](connection, entry)
            await connection.execute(queries.remove_entry, entry.key)
            crash.point("outbox entry done")
    except Exception as error:
        if row is None or outage(error):
            raise
        _log.error("outbox_entry_failed", entry=row["key"], topic=row["topic"], error=repr(error), exc_info=error)
        async with db.transaction(None) as connection:
            await connection.execute(queries.postpone_entry, row["key"], wall + pause(row["attempts"] + 1))
        return 0
    return 1
