"""Which status a business error has. The mapping is data; a dialect adds only its own form."""

import asyncpg
import structlog
from starlette.requests import ClientDisconnect

from bursar.core.errors import (
    BursarError,
    Forbidden,
    Invalid,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
    WrongState,
)
from bursar.db.database import outage
from bursar.db.idempotency import KeyReused, KeyTaken
from bursar.http.door import Failure
from bursar.http.limits import TooMany
from bursar.purchases.entitled import KnownEvent

_log = structlog.get_logger()

STATUS: dict[type[BaseException], int] = {
    Invalid: 400,
    WrongState: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    TooLarge: 413,
    Unavailable: 503,
    KnownEvent: 409,
    KeyReused: 422,
    KeyTaken: 503,
    TooMany: 429,
    BursarError: 400,
    # Nobody reads the answer to a request that ended before its body did.
    ClientDisconnect: 400,
    # The last wall behind validation: what PostgreSQL itself refuses is still the request's fault.
    asyncpg.DataError: 400,
    asyncpg.IntegrityConstraintViolationError: 409,
    asyncpg.DeadlockDetectedError: 503,
}
RETRY_AFTER = 1


def failure(error: BaseException) -> Failure:
    """The status and message for `error`. Unexpected ones are logged and answered without detail."""
    for kind in type(error).__mro__:
        status = STATUS.get(kind)
        if status is not None:
            break
    else:
        status = 503 if outage(error) else 500
    if isinstance(error, BursarError):
        retry = RETRY_AFTER if status == 503 else None
        if isinstance(error, Unavailable):
            retry = error.retry_after
        if isinstance(error, TooMany):
            return Failure(status, error.message, None, error.retry_after, error.headers)
        return Failure(status, error.message, error.field if isinstance(error, Invalid) else None, retry)
    if status == 503:
        return Failure(503, Unavailable().message, retry_after=RETRY_AFTER)
    if not isinstance(error, ClientDisconnect):
        _log.error("request_failed", error=repr(error), exc_info=error)
    if status == 409:
        return Failure(409, "another request changed the same object at the same time; read it again and retry")
    if status == 400:
        return Failure(400, "a value cannot be stored")
    return Failure(500, "an unexpected error; it has been logged")
