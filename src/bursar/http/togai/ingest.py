"""Ingest in the Togai dialect: what a body of events becomes, and what its sender is told."""

from typing import Any

from starlette.responses import Response

from bursar.accounts.tokens import Access
from bursar.http.decode import read_body
from bursar.http.door import Answer, Body, Call
from bursar.http.encode import answer
from bursar.http.large import HEAVY, decoded
from bursar.http.togai.door import MESSAGE_LIMIT, door
from bursar.usage.event import Event, Parsed, Parsing, Refused, parse_batch, parse_single
from bursar.usage.flush import Submission
from bursar.usage.pipeline import Pipeline

BODY_LIMIT = 8_000_000
"""Bytes of a request with events; larger ones are answered 422, as the contract has it."""
_EACH = b'"accountId"'
"""What every event has."""


class IngestEventRequest(Body):
    """One event."""

    event: Event


class IngestBatchEventRequest(Body):
    """Up to 1,000 events."""

    events: list[Event]


class IngestEventResponse(Answer):
    """What became of the request. `details.rejected` lists events of the wrong shape, which were not stored."""

    success: bool
    status_code: int | None = None
    message: str | None = None
    details: dict[str, Any] | None = None


_ACCEPTED = b'{"success":true}'


async def single(pipeline: Pipeline, access: Access, body: bytes) -> Response:
    """Admit one event."""
    return await _admit(pipeline, access, parse_single(body))


async def batch(pipeline: Pipeline, access: Access, body: bytes) -> Response:
    """Admit a batch; 207 where some of its events have the wrong shape."""
    large = len(body) > HEAVY
    parsed = await decoded(pipeline, body, _EACH, Parsing(body)) if large else parse_batch(body)
    return await _admit(pipeline, access, parsed)


def refusal(status: int, message: str, retry_after: int | None = None) -> Response:
    """A request that was refused whole."""
    content = IngestEventResponse(success=False, status_code=status, message=message[:MESSAGE_LIMIT])
    return refused(content, status, retry_after)


def refused(content: Answer, status: int, retry_after: int | None) -> Response:
    """An answer that says no, with the headers that belong to its status."""
    response = answer(content, status)
    if retry_after is not None:
        response.headers["retry-after"] = str(retry_after)
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


async def _admit(pipeline: Pipeline, access: Access, parsed: Parsed) -> Response:
    await pipeline.submit(Submission(access.caller.workspace, access.token, parsed))
    if not parsed.refused:
        return Response(_ACCEPTED, 202, media_type="application/json")
    return answer(
        IngestEventResponse(
            success=False,
            status_code=207,
            message="Some events have the wrong shape and were not stored; the others were accepted",
            details={"rejected": [_refused(refused) for refused in parsed.refused]},
        ),
        207,
    )


def _refused(refused: Refused) -> dict[str, Any]:
    return {"index": refused.index, "id": refused.id, "message": refused.message}


# The application answers these paths before any router sees them; the table documents them and catches odd spellings.
@door.operation(
    "POST",
    "/ingest",
    id="ingest",
    tag="Event Ingestion",
    summary="Ingest one event",
    status=202,
    scope="ingest",
    repeatable=True,
    answer=IngestEventResponse,
)
async def ingest(call: Call) -> Response:
    """Admit one event."""
    access = Access(call.caller, call.scopes, call.token, None)
    return await single(call.services[Pipeline], access, await read_body(call.request, BODY_LIMIT))


@door.operation(
    "POST",
    "/ingestBatch",
    id="ingestBatch",
    tag="Event Ingestion",
    summary="Ingest up to 1,000 events",
    status=202,
    scope="ingest",
    repeatable=True,
    answer=IngestEventResponse,
)
async def ingest_batch(call: Call) -> Response:
    """Admit a batch of events."""
    access = Access(call.caller, call.scopes, call.token, None)
    return await batch(call.services[Pipeline], access, await read_body(call.request, BODY_LIMIT))
