"""Logging in at the carrier's two doors: plain JSON, without JSON:API around it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from bursar.core.errors import Invalid, Unauthenticated
from bursar.http.decode import check
from bursar.http.door import Answer, Call
from bursar.http.encode import answer
from bursar.http.errors import failure
from bursar.http.yeti.authentication import Doorkeeper, admit_customer, real_sender, sender, set_cookie
from bursar.http.yeti.door import ADMIN, CUSTOMER, customer_door, door

_NO = (None, False, "", 0, "0", "false")

Handler = Callable[[Call, bytes], Awaitable[Response]]


class Token(Answer, kw_only=True):
    """What somebody who logged in sends from now on, as `Authorization` or, at the admin door, as `token`."""

    jwt: str


class Session(Answer, kw_only=True):
    """What somebody who is logged in may do beside reading."""

    allow_rec: bool = msgspec.field(name="allow-rec")
    """Whether recorded calls may be listened to; there are none here."""


def _plainly(handler: Handler) -> Handler:
    """The handler with its errors told as plain JSON."""

    async def answered(call: Call, body: bytes) -> Response:
        try:
            return await handler(call, body)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happens becomes an answer, and is logged there
            return _refusal(error)

    return answered


async def log_in_admin(call: Call, body: bytes) -> Response:
    """A token for a user."""
    given = _credentials(body)
    issued = await _doorkeeper(call).log_in_admin(
        _text(given, "username"), _text(given, "password"), sender(call.request), datetime.now(UTC)
    )
    return answer(Token(jwt=issued.text), 201)


async def log_in_customer(call: Call, body: bytes) -> Response:
    """A token for a customer's login, as such or as a cookie."""
    given = _credentials(body)
    issued = await _doorkeeper(call).log_in_customer(
        _text(given, "login"), _text(given, "password"), real_sender(call.request), datetime.now(UTC)
    )
    if given.get("cookie_auth") in _NO:
        return answer(Token(jwt=issued.text), 201)
    response = Response(status_code=201)
    set_cookie(call.request, response, issued.text, issued.expires_at)
    return response


def _doorkeeper(call: Call) -> Doorkeeper:
    found: Doorkeeper = call.services[Doorkeeper]
    return found


door.operation(
    "POST", f"{ADMIN}/auth", id="yeti-logIn", tag="auth", status=201, scope=None, body=bytes, answer=Token,
    summary='Log in with {"auth": {"username": ..., "password": ...}}',
)(_plainly(log_in_admin))  # fmt: skip
customer_door.operation(
    "POST", f"{CUSTOMER}/auth", id="yeti-customer-logIn", tag="auth", status=201, scope=None, body=bytes, answer=Token,
    summary='Log in with {"auth": {"login": ..., "password": ...}}; with "cookie_auth": true in it by cookie',
)(_plainly(log_in_customer))  # fmt: skip


@customer_door.operation(
    "GET", f"{CUSTOMER}/auth", id="yeti-customer-showSession", tag="auth", scope=None, answer=Session,
    summary="Ask whether one is logged in",
)  # fmt: skip
async def show_session(call: Call) -> Response:
    """Whether the request has a valid token."""
    try:
        await admit_customer(call.services, call.request, "read", datetime.now(UTC))
    except Unauthenticated:
        return answer(_error("Authorization failed", "Authorization token expired or incorrect.", 401), 401)
    return answer(Session(allow_rec=False))


@customer_door.operation(
    "DELETE", f"{CUSTOMER}/auth", id="yeti-customer-logOut", tag="auth", status=204, scope=None,
    summary="Let the browser forget its cookie",
)  # fmt: skip
async def log_out(call: Call) -> Response:
    """The end of a session by cookie."""
    response = Response(status_code=204)
    set_cookie(call.request, response, "logout", datetime.fromtimestamp(0, UTC))
    return response


def _refusal(error: Exception) -> Response:
    reason = failure(error)
    if reason.status == 401:
        return answer(_error("Authentication failed", reason.message, 401), 401)
    if reason.status == 429:
        response = answer(_error("Too many requests", reason.message, 429), 429)
    else:
        response = answer({"status": reason.status, "error": HTTPStatus(reason.status).phrase}, reason.status)
    if reason.retry_after is not None:
        response.headers["retry-after"] = str(reason.retry_after)
    return response


def _error(title: str, detail: str, status: int) -> dict[str, Any]:
    return {"errors": [{"title": title, "detail": detail, "code": str(status), "status": str(status)}]}


def _credentials(content: bytes) -> dict[str, Any]:
    """What stands under `auth`, or all of a flat body. Raises `Invalid` where nothing does."""
    try:
        body = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Invalid("", "the body is not JSON") from None
    given = body.get("auth", body) if isinstance(body, dict) else None
    if not isinstance(given, dict) or not given:
        raise Invalid("auth", "is missing")
    check(given, "")
    return given


def _text(given: dict[str, Any], name: str) -> str:
    """A member as text; what is none is nobody's name or password."""
    value = given.get(name)
    return value if isinstance(value, str) else ""
