"""The routes that events come in by, answered without a router: they are most of a billing server's requests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from bursar.accounts.tokens import Access
from bursar.core.errors import Forbidden, TooLarge, Unavailable
from bursar.db.database import Database
from bursar.http.auth import count
from bursar.http.decode import forget_body, read_body
from bursar.http.door import Failure
from bursar.http.errors import failure
from bursar.http.limits import Limiter
from bursar.http.native.ingest import CLOUD_EVENTS, cloud_events, problem
from bursar.http.patience import limited
from bursar.http.refusals import Spacing
from bursar.http.repeat import answer_once, answer_recorded, attempt_of
from bursar.http.togai.entitlements import decide, entitled_refusal
from bursar.http.togai.ingest import BODY_LIMIT, batch, refusal, single
from bursar.http.tokens import Tokens
from bursar.purchases.entitled import Desk, KnownEvent
from bursar.usage.pipeline import Pipeline

Handler = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Admission(NamedTuple):
    """How the events of one path are let in."""

    answer: Callable[[Request, Access, bytes], Awaitable[Response]]
    admits: Callable[[], None]
    """Raises `Unavailable` where so much waits that the request need not be read."""
    refuse: Callable[[Failure], Response]
    """The answer where they are not."""
    too_large: int = 422
    """The status of a body over the limit."""


ENTITLED = "ingestEntitledEvent"
HELD_LIMIT = 128_000_000
"""Bytes of the bodies that may be on their way into this process, or in it, at once."""


class IngestRoutes:
    """The raw handlers of one process."""

    def __init__(self, db: Database, pipeline: Pipeline, desk: Desk, limiter: Limiter, tokens: Tokens) -> None:
        self._db = db
        self._limiter = limiter
        self._tokens = tokens  # the end of one works at once all the same: the flush sees it
        self._refusals = Spacing()
        self._held = 0
        self._handlers: dict[str, Handler] = {
            "/ingest": self._handler(
                Admission(partial(self._admit, "ingest", partial(single, pipeline)), pipeline.admits, _told(refusal))
            ),
            "/ingestBatch": self._handler(
                Admission(
                    partial(self._admit, "ingestBatch", partial(batch, pipeline)), pipeline.admits, _told(refusal)
                )
            ),
            "/entitled": self._handler(Admission(partial(self._decide, desk), desk.admits, _told(entitled_refusal))),
            CLOUD_EVENTS: self._handler(
                Admission(partial(cloud_events, self._db, pipeline), pipeline.admits, problem, too_large=413)
            ),
        }

    def route(self, method: str, path: str) -> Handler | None:
        """The handler of a request, where it is one of these."""
        return self._handlers.get(path) if method == "POST" else None

    def _handler(self, admission: Admission) -> Handler:
        return partial(self._answer, admission)

    async def _answer(self, admission: Admission, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        headers: dict[str, str] = {}
        full = False
        try:
            access = self._tokens.kept(request)
            if access is not None:  # the pipeline's own limit is all that it waits for
                response = await self._admitted(admission, request, access, headers)
            else:
                with limited(request):
                    access = await self._tokens.looked_up(self._db, request)
                    response = await self._admitted(admission, request, access, headers)
        except TooLarge as error:
            response = admission.refuse(Failure(admission.too_large, error.message))
        except Exception as error:  # noqa: BLE001 - the edge: whatever happens becomes an answer, and is logged there
            reason = failure(error)
            full = isinstance(error, Unavailable)
            response = admission.refuse(reason)
            response.headers.update(reason.headers)
        response.headers.update(headers)
        if full:  # not in the block above, where the error holds on to the body as well
            forget_body(request)
            await asyncio.sleep(self._refusals.wait(asyncio.get_running_loop().time()))
        await response(scope, receive, send)

    async def _admitted(
        self, admission: Admission, request: Request, access: Access, headers: dict[str, str]
    ) -> Response:
        """The answer to a request whose token is known; puts into `headers` what is said of the token's limits."""
        if not access.allows("ingest"):
            raise Forbidden("the token lacks the scope 'ingest'")
        headers.update(count(self._limiter, access))
        admission.admits()
        with self._room(request):
            content = await read_body(request, BODY_LIMIT)
            return await admission.answer(request, access, content)

    @contextmanager
    def _room(self, request: Request) -> Iterator[None]:
        """Room for a body until it is answered. Raises `Unavailable` where there is none."""
        declared = request.headers.get("content-length", "")
        size = min(int(declared), BODY_LIMIT) if declared.isdigit() else BODY_LIMIT
        if self._held + size > HELD_LIMIT:
            raise Unavailable("too many events are on their way at once; send them again shortly")
        self._held += size
        try:
            yield
        finally:
            self._held -= size

    async def _admit(
        self,
        operation: str,
        admit: Callable[[Access, bytes], Awaitable[Response]],
        request: Request,
        access: Access,
        content: bytes,
    ) -> Response:
        async def run(_: Database) -> Response:
            return await admit(access, content)

        # Events have ids of their own: sent again they are duplicates, and only the answer needs a record.
        return await answer_once(self._db, request, access, operation, content, run, repeatable=True)

    async def _decide(self, desk: Desk, request: Request, access: Access, content: bytes) -> Response:
        attempt = attempt_of(request, access, ENTITLED, content)
        return await answer_recorded(
            self._db, attempt, access.caller.wall, partial(decide, desk, access, content), KnownEvent
        )


def _told(refuse: Callable[[int, str, int | None], Response]) -> Callable[[Failure], Response]:
    """A refusal by status, message, and after how many seconds to come again."""
    return lambda reason: refuse(reason.status, reason.message, reason.retry_after)
