"""Many entitled events in one request, each decided for itself; one at a time they come in at the Togai door."""

from typing import Annotated

import msgspec
from msgspec import Meta

from bursar.core.errors import BursarError
from bursar.http.decode import read_body
from bursar.http.door import Answer, Call
from bursar.http.errors import failure
from bursar.http.native.door import door
from bursar.purchases.entitled import Desk
from bursar.usage.event import BATCH_LIMIT, Event, parsed
from bursar.usage.flush import Submission

TAG = "Entitlements"


class EntitledEvents(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Events to let in against what their accounts are entitled to."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=BATCH_LIMIT)]


class EntitledOutcome(Answer, kw_only=True):
    """Whether an event was let in; else the status that it would have got alone, and why."""

    success: bool
    status: int | None = None
    detail: str | None = None


class EntitledOutcomes(Answer, kw_only=True):
    """What became of each, in the order of the request."""

    outcomes: list[EntitledOutcome]


_LET_IN = EntitledOutcome(success=True)


@door.operation(
    "POST", "/bursar/v1/entitled", id="ingestEntitledEvents", tag=TAG,
    summary="Ingest up to 1,000 events, each if its account is entitled to what it uses", scope="ingest",
    repeatable=True, sees_tokens_end=True, body=EntitledEvents, answer=EntitledOutcomes,
)  # fmt: skip
async def ingest_entitled_events(call: Call, body: EntitledEvents) -> EntitledOutcomes:
    """Decide on events in their order."""
    desk: Desk = call.services[Desk]
    sent = parsed(await read_body(call.request), body.events)
    told = await desk.submit(Submission(call.caller.workspace, call.token, sent))
    sifted = told.sifted
    return EntitledOutcomes(
        outcomes=[_outcome(sifted[place]) if place in sifted else _LET_IN for place in range(len(body.events))]
    )


def _outcome(error: BursarError) -> EntitledOutcome:
    reason = failure(error)
    return EntitledOutcome(success=False, status=reason.status, detail=reason.message)
