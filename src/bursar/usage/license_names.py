"""Names that have licences: what events say of them, kept beside the events."""

from collections.abc import Iterable
from datetime import datetime

from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage.event import uuid_of_digest
from bursar.usage.rows import EventRow

queries = Queries("bursar.usage", "license_names.sql")


async def store(connection: Connection, rows: Iterable[EventRow], wall: datetime) -> None:
    """Keep what events that are let in say of names, in the place of what was kept of their ids before."""
    ordered = sorted(rows, key=lambda row: row.id_digest)
    await connection.execute(queries.forget_names, [uuid_of_digest(row.id_digest) for row in ordered])
    saying = [(row, row.verdict.license) for row in ordered if row.verdict.license is not None]
    if saying:
        await connection.execute(
            queries.insert_names,
            wall,
            [row.workspace for row, _ in saying],
            [uuid_of_digest(row.id_digest) for row, _ in saying],
            [row.verdict.account for row, _ in saying],
            [license_.add_on for _, license_ in saying],
            [license_.name for _, license_ in saying],
            [license_.change for _, license_ in saying],
            [row.event.timestamp for row, _ in saying],
        )
