"""How far imports of files came, so that one that was cut off goes on where it was.

A mark is noted after the events before it are on disk, in the same database: one that is restored from a backup has
marks that are true of it. It says nothing of what may be admitted; a mark that is lost costs time alone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from bursar.db.database import Connection
from bursar.db.queries import Queries

queries = Queries("bursar.usage", "import_marks.sql")


class Place(NamedTuple):
    """A place in a file."""

    position: int
    """What lies before it, in whatever the file counts."""
    line: int
    """How many lines that is."""
    digest: bytes
    """Of all before it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an import came, and what became of the rows before."""

    place: Place
    rows: int
    known: int
    rejected: int
    rejects_size: int
    """Bytes of the file of refused rows by then."""


async def find_mark(connection: Connection, workspace: int, source: bytes) -> Mark | None:
    """The mark of an import, by what stands for it."""
    row = await connection.fetchrow(queries.find_mark, workspace, source)
    if row is None:
        return None
    place = Place(row["position"], row["line"], row["digest"])
    return Mark(place, row["rows"], row["known"], row["rejected"], row["rejects_size"])


async def keep_mark(connection: Connection, workspace: int, source: bytes, mark: Mark, wall: datetime) -> None:
    """Note how far an import came, in the place of its earlier mark."""
    await connection.execute(
        queries.keep_mark, workspace, source, *mark.place, mark.rows, mark.known, mark.rejected, mark.rejects_size, wall
    )


async def drop_mark(connection: Connection, workspace: int, source: bytes) -> None:
    """Forget an import that has come to its end: run again, it looks at every row."""
    await connection.execute(queries.drop_mark, workspace, source)
