"""Reading events in the Togai dialect."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from bursar.accounts import store
from bursar.core.decimals import show
from bursar.core.errors import Invalid, NotFound
from bursar.http.door import Answer, Call
from bursar.http.encode import answer, number
from bursar.http.togai.door import MixedPageQuery, door, open_token, seal_token
from bursar.usage import events
from bursar.usage.events import KeptEvent, Made
from bursar.usage.judged import Judged
from bursar.usage.states import TERM, State, Term

TAG = "Event Management"

CLIENT = re.compile(r"^OpenAPI-Generator/1\.0\.\d+/python$")
"""The one published client: it cannot read an empty list of events, nor the lines of an invoice."""

GROUPS: dict[str, tuple[State, ...]] = {
    "PROCESSED": tuple(s for s in State if TERM[s] in (Term.METERED, Term.UNMETERED)),
    "UNPROCESSED": tuple(s for s in State if TERM[s] in (Term.REJECTED, Term.DUPLICATE, Term.REVERTED)),
    "IN_PROGRESS": (State.IN_PROGRESS,),
}
"""The groups of states that the contract filters by."""


class EventsQuery(MixedPageQuery, kw_only=True, rename=None):
    """Which events to list."""

    pageSize: Annotated[int, Meta(ge=1, le=50)] | None = None  # noqa: N815
    status: Annotated[str, Meta(max_length=100)] | None = None
    account_id: Annotated[str, Meta(max_length=512)] | None = None
    schema_name: Annotated[str, Meta(max_length=50)] | None = None


class AttributeShape(Answer, kw_only=True):
    """A number of an event."""

    name: str
    value: str
    unit: str | None = None


class EventShape(Answer, kw_only=True):
    """An event as it was sent."""

    schema_name: str
    timestamp: datetime
    account_id: str
    attributes: list[AttributeShape]
    dimensions: dict[str, str]
    id: str | None = None


class IngestionStatus(Answer, kw_only=True):
    """What became of an event."""

    status: str
    status_description: str


class EventWithStatus(Answer, kw_only=True):
    """An event and what became of it."""

    reference_id: str
    event_payload: EventShape
    ingestion_status: IngestionStatus
    created_at: datetime
    customer_id: str | None = None
    event_pipeline_info: dict[str, Any] | UnsetType = UNSET


class GetEventsResponse(Answer, kw_only=True):
    """A page of events."""

    events: list[EventWithStatus]
    next_token: str | None


class GetEventResponse(Answer, kw_only=True):
    """Everything that was received under an id."""

    events: list[EventWithStatus]


def status_name(state: State) -> str:
    """A state as the contract spells it."""
    return state.name if state is State.REVERTED else f"INGESTION_{state.name}"


def states_of(name: str, field: str) -> tuple[State, ...]:
    """The states that a group or a status of the contract names."""
    if name in GROUPS:
        return GROUPS[name]
    for state in State:
        if status_name(state) == name:
            return (state,)
    raise Invalid(field, f"{name!r} is not PROCESSED, UNPROCESSED, IN_PROGRESS or an ingestion status")


@door.operation(
    "GET", "/events", id="getEvents", tag=TAG, summary="List events", query=EventsQuery, answer=GetEventsResponse
)
async def get_events(call: Call, query: EventsQuery) -> Response:
    """List events, newest first."""
    query, after, size = open_token(query, default=50)
    states = None if query.status is None else states_of(query.status, "status")
    async with call.db.reading(call.caller.workspace) as connection:
        account = None
        if query.account_id is not None:
            keys = await store.account_keys(connection, call.caller.workspace, [query.account_id])
            if query.account_id not in keys:
                raise NotFound("account", query.account_id)
            account = keys[query.account_id]
        page = await events.list_events(
            connection,
            call.caller.workspace,
            account=account,
            schema_name=query.schema_name,
            states=states,
            after=after,
            limit=size,
        )
    body = GetEventsResponse(
        events=[event_shape(kept) for kept in page.items], next_token=seal_token(query, page.after, size)
    )
    empty = not page.items and CLIENT.match(call.request.headers.get("user-agent", ""))
    response = answer(None if empty else body)
    response.headers["vary"] = "User-Agent"
    return response


@door.operation(
    "GET", "/events/{event_id}", id="getSingleEvent", tag=TAG, summary="Get an event by its id", answer=GetEventResponse
)
async def get_single_event(call: Call) -> GetEventResponse:
    """Everything under an id, with what each meter made of it."""
    async with call.db.reading(call.caller.workspace) as connection:
        found = await events.events_under(connection, call.caller.workspace, call.path["event_id"])
        shapes = [
            event_shape(kept, _pipeline(kept, await events.made_of(connection, call.caller.workspace, kept)))
            for kept in found
        ]
    return GetEventResponse(events=shapes)


def event_shape(kept: KeptEvent, pipeline: dict[str, Any] | UnsetType = UNSET) -> EventWithStatus:
    """An event with its state."""
    event = kept.event
    return EventWithStatus(
        reference_id=kept.reference,
        event_payload=EventShape(
            schema_name=event.schema_name,
            timestamp=event.timestamp,
            account_id=event.account_id,
            attributes=[AttributeShape(name=a.name, value=a.value, unit=a.unit) for a in event.attributes],
            dimensions=event.dimensions,
            id=event.id,
        ),
        ingestion_status=IngestionStatus(status=status_name(kept.state), status_description=kept.description[:250]),
        created_at=kept.received_at,
        customer_id=kept.owner.customer_id if kept.owner else None,
        event_pipeline_info=pipeline,
    )


def _pipeline(kept: KeptEvent, made: Made) -> dict[str, Any]:
    info: dict[str, Any] = {
        "usageMeters": [
            {
                "id": measurement.meter.id,
                "name": measurement.meter.name,
                "version": measurement.meter.number,
                **_units(measurement.quantity),
            }
            for measurement in made.measurements
        ],
    }
    if kept.schema is not None:
        info["eventSchema"] = {"name": kept.schema.name, "version": kept.schema.number}
    if made.enriched is not None:
        info["enrichments"] = _enrichments(made.enriched)
    if kept.owner is not None:
        info["account"] = {"id": kept.owner.account_id, "name": kept.owner.account_name}
        if kept.event.account_id != kept.owner.account_id:
            info["account"]["alias"] = kept.event.account_id
        info["customer"] = {"id": kept.owner.customer_id, "name": kept.owner.customer_name}
    return info


def _enrichments(judged: Judged) -> dict[str, Any]:
    enrichment, data = judged.enrichment, judged.data
    assert enrichment is not None
    return {
        "attributes": [
            {"name": field.name, "type": "ATTRIBUTE", "value": show(data["attributes"][field.name])}
            for field in enrichment.fields
            if field.attribute
        ],
        "dimensions": [
            {"name": field.name, "type": "DIMENSION", "value": data["dimensions"][field.name]}
            for field in enrichment.fields
            if not field.attribute
        ],
        "dependencies": [
            {"key": entry.key, "type": "SETTING", "name": entry.name, "value": judged.settings[entry.name].text}
            for entry in enrichment.dependencies
            if entry.name in judged.settings
        ],
    }


def _units(quantity: Decimal | None) -> dict[str, Any]:
    if quantity is None:
        return {"status": "PROCESSED_FILTERED_OUT"}
    return {"status": "PROCESSED_UNITS_COMPUTED", "units": number(quantity)}
