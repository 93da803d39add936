"""When PostgreSQL is to write a checkpoint before it would by itself, so that a recovery has less of the log to repeat.

What a recovery takes is decided by how many rows were added since the last checkpoint, each to a page of its key that
has to be found, and by how many records the log has had. PostgreSQL counts time, of which it takes half a minute at
least, or bytes, most of which may be whole pages: where many events are stored, each checkpoint is followed by nearly
one of them for each new event. These take little to repeat, and are the more the more checkpoints there are.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from bursar.db.database import Connection
from bursar.db.queries import Queries

queries = Queries("bursar.db", "checkpoints.sql")

MOST_ROWS = 1_300_000
"""Rows behind a checkpoint that were added: PostgreSQL repeats those of a large load, in random places, at some 0.8 to
1.4 million a second."""
MOST_RECORDS = 3_000_000
"""Records behind a checkpoint. Where a row comes with several they are of pages that were just met, and take less."""
WHOLE = 0.12
"""Whole pages per record from which on checkpoints cost more than they are worth."""
SOON = timedelta(seconds=27)
"""The age of a checkpoint behind which PostgreSQL is about to begin the next one, or has."""


@dataclass(frozen=True, slots=True)
class Log:
    """How far the log has come at an instant."""

    at: datetime
    rows: int
    records: int
    pages: int
    """Those of the records that are whole pages, or hold one."""
    checkpoint: datetime
    """When the last finished checkpoint began, to the second."""


class Watch:
    """What is known of the log since the last checkpoint."""

    def __init__(self) -> None:
        self._seen: deque[Log] = deque()

    def due(self, log: Log) -> bool:
        """Whether a checkpoint is due. `log`: how far it has come, later than when this was last asked."""
        seen = self._seen
        if seen and log.records < seen[-1].records:
            seen.clear()  # PostgreSQL began anew, and counts anew
        seen.append(log)
        while len(seen) > 1 and seen[1].at <= log.checkpoint:
            seen.popleft()
        rows = log.rows - seen[0].rows
        records = log.records - seen[0].records
        pages = log.pages - seen[0].pages
        much = rows >= MOST_ROWS or records >= MOST_RECORDS
        return much and pages <= WHOLE * records and log.at - log.checkpoint < SOON


async def read(connection: Connection, now: datetime) -> Log:
    """How far the log has come. `connection` is of one who may read PostgreSQL's statistics."""
    row = await connection.fetchrow(queries.log_written)
    assert row is not None
    return Log(now, row["rows"], row["records"], row["pages"], row["checkpoint"])


async def write(connection: Connection) -> None:
    """Have a checkpoint written, which takes seconds. `connection` has no transaction, and is of one who may."""
    await connection.execute(queries.checkpoint, timeout=60)
