"""The balance of events: what came in, and what became of it."""

from bursar.http.door import Answer, Call
from bursar.http.native.door import door
from bursar.usage.metrics import balance


class EventBalance(Answer, kw_only=True):
    """received = metered + unmetered + duplicate + rejected + pending + reverted."""

    received: int
    metered: int
    unmetered: int
    duplicate: int
    rejected: int
    pending: int
    reverted: int


@door.operation(
    "GET",
    "/bursar/v1/ingest/balance",
    id="getEventBalance",
    tag="Ingest",
    summary="Count the workspace's events by what became of them",
    answer=EventBalance,
)
async def get_balance(call: Call) -> EventBalance:
    """Sum up."""
    async with call.db.reading(call.caller.workspace) as connection:
        return EventBalance(**await balance(connection, call.caller.workspace))
