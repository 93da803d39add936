"""The carrier's two doors: that of its own staff and programs, and that of its customers."""

import hashlib
import os
import re
import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bursar.accounts.logins import Issued
from bursar.http.door import Failure
from bursar.http.encode import answer
from bursar.http.yeti.authentication import admit, admit_customer, set_cookie
from bursar.http.yeti.jsonapi_errors import MEDIA_TYPE, fault, plain, refusal
from bursar.http.yeti.jsonapi_openapi import ErrorDocument, document
from bursar.http.yeti.jsonapi_routes import ResourceDoor

ADMIN = "/api/rest/admin"
CUSTOMER = "/api/rest/customer/v1"

_FRAME = (
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-xss-protection", b"0"),
    (b"x-permitted-cross-domain-policies", b"none"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"vary", b"Accept"),
)
_MAY_BE_KEPT = (b"cache-control", b"max-age=0, private, must-revalidate")
_NOT_KEPT = (b"cache-control", b"no-cache")
_REQUEST_ID = re.compile(r"[\w.@-]{1,255}", re.ASCII)
_EXPIRED = fault(401, "401", "Authorization failed", "Authorization token expired or incorrect.")


def _finish(request: Request, response: Response, started: float) -> Response:
    """The headers of the original, and 304 for a body that the client has."""
    # No answer has one of these yet, so there is none to look for and to replace.
    response.raw_headers.extend(_FRAME)
    if response.status_code == 201 and all(name != b"location" for name, _ in response.raw_headers):
        location = _location(bytes(response.body))
        if location:
            response.headers["location"] = location
    if response.status_code in (200, 201) and response.body:
        tag = f'W/"{hashlib.blake2b(response.body, digest_size=16).hexdigest()}"'
        known = request.headers.get("if-none-match")
        if known and response.status_code == 200 and request.method in ("GET", "HEAD") and _has(known, tag):
            response = Response(status_code=304, headers=_kept(response))
        response.raw_headers += ((b"etag", tag.encode()), _MAY_BE_KEPT)
    else:
        response.raw_headers.append(_NOT_KEPT)
    asked = request.headers.get("x-request-id", "")
    known_as = asked if asked and _REQUEST_ID.fullmatch(asked) else _drawn()
    response.raw_headers += (
        (b"x-request-id", known_as.encode()),
        (b"x-runtime", b"%.6f" % (time.perf_counter() - started)),
    )
    return response


def _drawn() -> str:
    """The text of a random UUID (version 4), without the object that it would be."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def _has(known: str, tag: str) -> bool:
    """Whether a client that has these entities has this one."""
    return any(entry.strip() in (tag, "*") for entry in known.split(","))


def _finish_customer(request: Request, response: Response, started: float) -> Response:
    """As at the other door; and whoever came by cookie gets a fresh one: a session ends when it is not used."""
    response = _finish(request, response, started)
    session: Issued | None = getattr(request.state, "session", None)
    if session is not None:
        set_cookie(request, response, session.text, session.expires_at)
    return response


def _kept(response: Response) -> dict[str, str]:
    """The headers that an answer without its body keeps."""
    return {name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")}


def _location(body: bytes) -> str | None:
    """Where what a recorded answer shows is to be found."""
    try:
        return str(msgspec.json.decode(body)["data"]["links"]["self"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


def _failure(reason: Failure) -> Response:
    return Response(status_code=401) if reason.status == 401 else plain(reason)


def _customer_failure(reason: Failure) -> Response:
    return answer({"errors": [_EXPIRED]}, 401, MEDIA_TYPE) if reason.status == 401 else plain(reason)


door = ResourceDoor(
    name="yeti",
    title="Bursar: Yeti admin API",
    description="The admin JSON:API of the Yeti switch, its billing half, served by Bursar.",
    base=ADMIN,
    failure=_failure,
    error=ErrorDocument,
    error_type=MEDIA_TYPE,
    hide_methods=True,
    admit=admit,
    refuse=refusal,
    finish=_finish,
    document=document,
)
customer_door = ResourceDoor(
    name="yeti-customer",
    title="Bursar: Yeti customer API",
    description="What a carrier's customer sees of its own accounts, served by Bursar.",
    base=CUSTOMER,
    failure=_customer_failure,
    error=ErrorDocument,
    error_type=MEDIA_TYPE,
    hide_methods=True,
    admit=admit_customer,
    refuse=refusal,
    finish=_finish_customer,
    document=document,
)
