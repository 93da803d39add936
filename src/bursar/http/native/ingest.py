"""CloudEvents as a way in: the same pipeline as at the other doors."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bursar.accounts.tokens import Access
from bursar.db.database import Database
from bursar.http.decode import read_body
from bursar.http.door import Answer, Call, Failure
from bursar.http.encode import answer
from bursar.http.large import HEAVY, decoded
from bursar.http.native.cloud_events import BATCHED, STRUCTURED, CloudEvent, CloudParsing, identity, media_of, parse
from bursar.http.native.door import door
from bursar.http.repeat import answer_once
from bursar.usage.flush import Submission
from bursar.usage.pipeline import Pipeline

TAG = "Ingest"
CLOUD_EVENTS = "/bursar/v1/events"
OPERATION = "ingestCloudEvents"
BODY_LIMIT = 8_000_000
"""Bytes of a request with events."""
_EACH = b'"specversion"'
"""What every event of a batch has."""


class RejectedCloudEvent(Answer, kw_only=True, omit_defaults=False):
    """An event of a batch that has the wrong shape: where it stood, its id if it can be read, and why."""

    index: int
    id: str | None
    message: str


class RejectedCloudEvents(Answer, kw_only=True):
    """Events that were not stored."""

    rejected: list[RejectedCloudEvent]


class CloudEventsAnswer(Answer, kw_only=True):
    """What became of the request; with the status 207 `details` lists the events that were not stored."""

    success: bool
    status_code: int | None = None
    message: str | None = None
    details: RejectedCloudEvents | None = None


_ACCEPTED = b'{"success":true}'


async def cloud_events(db: Database, pipeline: Pipeline, request: Request, access: Access, content: bytes) -> Response:
    """Admit the events of a request; 207 where some of a batch have the wrong shape."""

    async def run(_: Database) -> Response:
        return await _admit(pipeline, request, access, content)

    # Events have ids of their own: sent again they are duplicates, and only the answer needs a record.
    said = identity(request.headers, content)
    return await answer_once(db, request, access, OPERATION, said, run, repeatable=True)


async def _admit(pipeline: Pipeline, request: Request, access: Access, content: bytes) -> Response:
    if len(content) > HEAVY and media_of(request.headers) == BATCHED:
        parsed = await decoded(pipeline, content, _EACH, CloudParsing(content))
    else:
        parsed = parse(request.headers, content)
    if parsed.events:
        await pipeline.submit(Submission(access.caller.workspace, access.token, parsed))
    if not parsed.refused:
        return Response(_ACCEPTED, 202, media_type="application/json")
    rejected = [RejectedCloudEvent(index=one.index, id=one.id, message=one.message) for one in parsed.refused]
    told = CloudEventsAnswer(
        success=False,
        status_code=207,
        message="Some events have the wrong shape and were not stored; the others were accepted",
        details=RejectedCloudEvents(rejected=rejected),
    )
    return answer(told, 207)


def problem(reason: Failure) -> Response:
    """A request that was refused whole."""
    response = door.failure(reason)
    if reason.retry_after is not None:
        response.headers["retry-after"] = str(reason.retry_after)
    if reason.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


# The application answers this path before any router sees it; the table documents it and catches odd spellings.
@door.operation(
    "POST", CLOUD_EVENTS, id=OPERATION, tag=TAG,
    summary="Ingest CloudEvents 1.0: one, up to 1,000 in a batch, or one whose context is in the headers", status=202,
    scope="ingest", repeatable=True, answer=CloudEventsAnswer,
    media={STRUCTURED: CloudEvent, BATCHED: list[CloudEvent], "application/json": dict[str, Any]},
)  # fmt: skip
async def ingest_cloud_events(call: Call) -> Response:
    """Admit events."""
    access = Access(call.caller, call.scopes, call.token, None)
    content = await read_body(call.request, BODY_LIMIT)
    return await _admit(call.services[Pipeline], call.request, access, content)
