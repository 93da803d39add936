"""The trace of every write: who did what to which object, in the transaction that did it."""

from typing import Any

import msgspec

from bursar.core.caller import Caller
from bursar.db.database import Connection
from bursar.db.queries import Queries

queries = Queries("bursar.db")


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
