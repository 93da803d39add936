"""`Idempotency-Key`: a request that is sent again is answered as it was, and does nothing more."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from bursar.accounts.tokens import Access
from bursar.core.errors import BursarError, Invalid
from bursar.db.database import Database
from bursar.db.idempotency import Attempt, KeyReused, Outcome, check_key, once, once_recorded, once_repeatable
from bursar.http.door import Call
from bursar.http.encode import to_json

HEADER = "idempotency-key"
REPLAYED = "idempotency-replayed"
METHODS = frozenset(("POST", "PUT", "PATCH"))

Run = Callable[[Database], Awaitable[Response]]


async def answer_once(
    db: Database, request: Request, access: Access, operation: str, content: bytes, run: Run, *, repeatable: bool
) -> Response:
    """The answer of `run`, or the one that the same request got under its key before.

    `content` is the request's body. Without the header `run` is simply run.
    """
    attempt = attempt_of(request, access, operation, content)
    if attempt is None:
        return await run(db)

    async def work(joined: Database) -> Outcome:
        response = await run(joined)
        return Outcome(response.status_code, response.media_type or "application/json", bytes(response.body))

    return _response(await (once_repeatable if repeatable else once)(db, attempt, access.caller.wall, work))


async def answer_recorded(
    db: Database,
    attempt: Attempt | None,
    wall: datetime,
    run: Callable[[Attempt | None], Awaitable[Outcome]],
    again: type[BursarError],
) -> Response:
    """As `answer_once`, for what records its answer itself, and says by an `again` that it was done before."""
    if attempt is None:
        return _response(await run(None))
    return _response(await once_recorded(db, attempt, wall, lambda: run(attempt), again))


def attempt_of(request: Request, access: Access, operation: str, content: bytes) -> Attempt | None:
    """The key of a request, and what it asks for; None where it has no key. Raises `Invalid`."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    check_key(key)
    account = request.path_params.get("account_id", "")
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.url.path.encode(), _asked(request), content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return Attempt(access.caller.workspace, operation, account, key, digest.digest())


def _response(outcome: Outcome) -> Response:
    response = Response(outcome.body, outcome.status, media_type=outcome.media_type)
    if outcome.replayed:
        response.headers[REPLAYED] = "true"
    return response


async def answer_once_by_body(
    call: Call, operation: str, account: str, key: str | None, body: object, run: Run
) -> Response:
    """As `answer_once`, for a key that stands in the body, which is what makes the request what it is.

    Raises `Invalid` naming the key where it belongs to another body.
    """
    if key is None:
        return await run(call.db)
    attempt = Attempt(call.caller.workspace, operation, account, key, hashlib.sha256(to_json(body)).digest())

    async def work(joined: Database) -> Outcome:
        response = await run(joined)
        return Outcome(response.status_code, response.media_type or "application/json", bytes(response.body))

    try:
        outcome = await once(call.db, attempt, call.caller.wall, work)
    except KeyReused:
        raise Invalid("idempotencyKey", f"{key!r} belongs to another request; use a new key") from None
    response = Response(outcome.body, outcome.status, media_type=outcome.media_type)
    if outcome.replayed:
        response.headers[REPLAYED] = "true"
    return response


def _asked(request: Request) -> bytes:
    """The query without the token in it: sent again after its end, a request comes with another one."""
    return "&".join(part for part in request.url.query.split("&") if not part.startswith("token=")).encode()
