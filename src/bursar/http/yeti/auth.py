"""Logging in at the carrier's two doors: plain JSON, without JSON:API around it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bursar.accounts.logins import Issued
from bursar.core.errors import Invalid, Unauthenticated
from bursar.http.decode import check, read_body
from bursar.http.encode import answer
from bursar.http.errors import failure
from bursar.http.yeti.authentication import COOKIE, Doorkeeper, Visitor, real_sender, sender

ADMIN_PATH = "/api/rest/admin/auth"
CUSTOMER_PATH = "/api/rest/customer/v1/auth"
FAILED = "Authentication failed"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(doorkeeper: Doorkeeper) -> list[Route]:
    """The paths that need no token."""

    async def admin(request: Request) -> Response:
        given = _credentials(await read_body(request))
        wall = datetime.now(UTC)
        issued = await doorkeeper.log_in_admin(
            _text(given, "username"), _text(given, "password"), sender(request), wall
        )
        return _no_store(answer({"jwt": issued.text}, 201))

    async def log_in(request: Request) -> Response:
        given = _credentials(await read_body(request))
        wall = datetime.now(UTC)
        issued = await doorkeeper.log_in_customer(
            _text(given, "login"), _text(given, "password"), real_sender(request), wall
        )
        if given.get("cookie_auth") in (None, False, "", 0, "0", "false"):
            return _no_store(answer({"jwt": issued.text}, 201))
        response = Response(status_code=201)
        set_cookie(request, response, issued)
        return _no_store(response)

    async def show(request: Request) -> Response:
        wall = datetime.now(UTC)
        try:
            visitor = await doorkeeper.admit_customer(request, wall)
        except Unauthenticated:
            return unauthorized("application/json")
        # Calls are not recorded here, so there is nothing to listen to.
        response = answer({"allow-rec": False})
        await renew_cookie(doorkeeper, request, response, visitor, wall)
        return response

    async def log_out(request: Request) -> Response:
        response = Response(status_code=204)
        response.headers["set-cookie"] = _cookie(request, "logout", datetime.fromtimestamp(0, UTC))
        return response

    return [
        Route(ADMIN_PATH, _dispatch({"POST": admin}), methods=_METHODS),
        Route(
            CUSTOMER_PATH, _dispatch({"POST": log_in, "GET": show, "HEAD": show, "DELETE": log_out}), methods=_METHODS
        ),
    ]


def set_cookie(request: Request, response: Response, issued: Issued) -> None:
    """Let the browser keep a token as long as it works."""
    response.headers["set-cookie"] = _cookie(request, issued.text, issued.expires_at)


async def renew_cookie(
    doorkeeper: Doorkeeper, request: Request, response: Response, visitor: Visitor, wall: datetime
) -> None:
    """With each answer, whoever came by cookie gets a fresh one: a session ends only when it is not used."""
    if visitor.by_cookie:
        set_cookie(request, response, await doorkeeper.renew(visitor.portal, wall))


def unauthorized(media_type: str) -> Response:
    """What somebody without a valid token hears at the customers' door."""
    error = _error("Authorization failed", "Authorization token expired or incorrect.", 401)
    return answer(error, 401, media_type)


def plain_error(status: int) -> Response:
    """An answer to what never reached a resource."""
    return answer({"status": status, "error": HTTPStatus(status).phrase}, status)


def _dispatch(methods: dict[str, Endpoint]) -> Endpoint:
    async def dispatch(request: Request) -> Response:
        endpoint = methods.get(request.method)
        if endpoint is None:
            return plain_error(404)
        try:
            return await endpoint(request)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happens becomes an answer, and is logged there
            return _refusal(error)

    return dispatch


def _refusal(error: Exception) -> Response:
    reason = failure(error)
    if reason.status == 401:
        return answer(_error(FAILED, reason.message, 401), 401)
    if reason.status == 429:
        response = answer(_error("Too many requests", reason.message, 429), 429)
    else:
        response = plain_error(reason.status)
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


def _cookie(request: Request, value: str, expires: datetime | None) -> str:
    parts = [f"{COOKIE}={value}", "path=/"]
    if expires is not None:
        parts.append(f"expires={format_datetime(expires, usegmt=True)}")
    parts += ["httponly", "samesite=lax"]
    # Rails leaves this to the proxy; a cookie that was given under TLS has no business outside of it.
    return "; ".join([*parts, "secure"] if request.url.scheme == "https" else parts)


def _no_store(response: Response) -> Response:
    response.headers["cache-control"] = "no-store"
    return response
