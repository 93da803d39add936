"""Corrections of events in the Togai dialect."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from bursar.accounts import store
from bursar.core.errors import Invalid, NotFound
from bursar.core.period import parse_instant
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.togai.door import door
from bursar.http.togai.events import TAG, EventShape, IngestionStatus, event_shape, status_name
from bursar.jobs.model import Job
from bursar.purchases.corrections import ask_correction, correct_events
from bursar.usage.corrections import Action, Corrected, Selection, matching, place_of
from bursar.usage.event import Event, settled
from bursar.usage.states import MEANING

_DONE = {Action.UNDO: "REVERTED", Action.REDO: "REVERTED_AND_REINGESTED", Action.REDO_EVENT: "REVERTED_AND_REINGESTED"}


class CorrectionQuery(Query, kw_only=True, rename=None):
    """What to do, to which events, and how."""

    action: Literal["UNDO", "REDO", "REDO_EVENT"]
    require_confirmation: bool | None = None
    asynchronous: bool | None = field(default=None, name="async")
    account_id: Annotated[str, Meta(max_length=512)] | None = None
    id: Annotated[str, Meta(max_length=100)] | None = None
    event_id: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    event_source_time: Annotated[str, Meta(max_length=100)] | None = None


class EventCorrectionRequest(Body, kw_only=True):
    """The event: with `REDO_EVENT` its new content; else its id says which one is meant."""

    event: Event | None = None


class EventCorrectionInfo(Answer, kw_only=True):
    """An event and what became of its correction."""

    reference_id: str
    event_payload: EventShape
    ingestion_status: IngestionStatus
    created_at: datetime
    status: str
    reason: str
    customer_id: str | None = None


class EventsCorrectionResponse(Answer, kw_only=True):
    """The events, the latest first."""

    data: list[EventCorrectionInfo]


@door.operation(
    "POST",
    "/events/correction",
    id="eventCorrection",
    tag=TAG,
    summary="Undo events, or let them in anew",
    scope="write",
    # Events belong to no workspace's own role, so that the effect is in a transaction beside the key's.
    repeatable=True,
    query=CorrectionQuery,
    body=EventCorrectionRequest | None,
    answer=EventsCorrectionResponse,
)
async def event_correction(
    call: Call, query: CorrectionQuery, body: EventCorrectionRequest | None
) -> EventsCorrectionResponse:
    """Correct up to thirty events at once, or any number by a job."""
    action = Action(query.action)
    payload = None if body is None or body.event is None else settled(body.event)
    if action is Action.REDO_EVENT and payload is None:
        raise Invalid("event", "must be given with REDO_EVENT")
    wanted = await _selection(call, query, payload)
    content = payload if action is Action.REDO_EVENT else None
    if query.asynchronous or query.require_confirmation:
        job = await ask_correction(
            call.db, call.caller, action, wanted, content, confirm=bool(query.require_confirmation)
        )
        async with call.db.reading(call.caller.workspace) as connection:
            events = await matching(connection, call.caller.workspace, wanted)
        waiting = [Corrected(kept, kept.state, done=True, reason=_waits(job)) for kept in events]
        return EventsCorrectionResponse(data=[_info(one, action) for one in waiting])
    outcomes = await correct_events(call.db, call.caller, action, wanted, content)
    return EventsCorrectionResponse(data=[_info(one, action) for one in outcomes])


async def _selection(call: Call, query: CorrectionQuery, payload: Event | None) -> Selection:
    """The events that the query names; where it names none, the one of the body's id."""
    event_id, reference, account = query.event_id, None, None
    if query.id is not None:
        reference = place_of(query.id)
        if reference is None:
            raise NotFound("event", query.id)
    if event_id is None and reference is None and query.account_id is None:
        if payload is None or payload.id is None:
            raise Invalid("event_id", "must be given, or account_id, id, or an event with an id in the body")
        event_id = payload.id
    if query.account_id is not None:
        async with call.db.reading(call.caller.workspace) as connection:
            keys = await store.account_keys(connection, call.caller.workspace, [query.account_id])
        if query.account_id not in keys:
            raise NotFound("account", query.account_id)
        account = keys[query.account_id]
    starts_at, ends_at = _span(query.event_source_time)
    return Selection(account, event_id, reference, starts_at, ends_at)


def _span(text: str | None) -> tuple[datetime | None, datetime | None]:
    """`from,until`: either side may be left out."""
    if text is None:
        return None, None
    first, comma, last = text.partition(",")
    if not comma:
        raise Invalid("event_source_time", "must be two instants with a comma between them; one may be left out")
    try:
        starts_at, ends_at = (parse_instant(part) if part else None for part in (first, last))
    except ValueError as error:
        raise Invalid("event_source_time", str(error)) from None
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise Invalid("event_source_time", "must begin before it ends")
    return starts_at, ends_at


def _waits(job: Job) -> str:
    return f"Will be done by job {job.id}" + (", once it is confirmed" if job.moment is None else "")


def _info(one: Corrected, action: Action) -> EventCorrectionInfo:
    shape = event_shape(one.before)
    description = shape.ingestion_status.status_description if one.state is one.before.state else MEANING[one.state]
    return EventCorrectionInfo(
        reference_id=shape.reference_id,
        event_payload=shape.event_payload,
        ingestion_status=IngestionStatus(status=status_name(one.state), status_description=description),
        created_at=shape.created_at,
        status=_DONE[action] if one.done else "FAILED",
        reason=one.reason,
        customer_id=shape.customer_id,
    )
