"""From a door's table to Starlette routes, and paths whose segments may contain an encoded slash."""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bursar.accounts.tokens import Access
from bursar.core.errors import NotFound
from bursar.db.database import Database
from bursar.db.turns import Turns
from bursar.http.auth import count
from bursar.http.decode import decode_body, decode_query, read_body
from bursar.http.door import Call, Door, Failure, Operation
from bursar.http.encode import answer
from bursar.http.errors import failure
from bursar.http.limits import Limiter
from bursar.http.patience import lift, limited
from bursar.http.plain import PlainRequest
from bursar.http.repeat import METHODS, answer_once
from bursar.http.tokens import admit_kept

_SLASH = "\x00"
"""Stands for an encoded slash while a path is matched; a path cannot contain NUL itself."""

_PARAMETER = "\x00any"
_HERE = "\x00here"
"""Keys in the tree of a door's paths beside its segments: any segment, and what stands at the end of one."""

PATIENCE_SECONDS = 4.5
"""How long a request waits for others that change the same account."""
_turns = Turns()

Endpoint = Callable[[Request], Awaitable[Response]]


def path_of(raw_path: bytes) -> str | None:
    """The decoded path with encoded slashes kept apart from real ones; None where it cannot name anything."""
    if b"%" not in raw_path:
        try:
            plain = raw_path.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return None if _SLASH in plain else plain
    segments: list[str] = []
    for segment in raw_path.split(b"/"):
        try:
            text = unquote_to_bytes(segment).decode("utf-8")
        except UnicodeDecodeError:
            return None
        if _SLASH in text:
            return None
        segments.append(text.replace("/", _SLASH))
    return "/".join(segments)


def routes(door: Door, db: Database, services: Mapping[type, Any]) -> list[Route]:
    """One route per path, fixed ones before those with ids.

    Each dispatches by method and answers 405 in the dialect's form.
    """
    paths: dict[str, dict[str, Endpoint]] = {}
    for operation in door.operations:
        paths.setdefault(operation.path, {})[operation.method] = _endpoint(door, operation, db, services)
    return [
        Route(path, _dispatch(door, methods), methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        for path, methods in sorted(paths.items(), key=_fixed_first)
    ]


class Table:
    """A door's paths as a tree of their segments: a hundred resources are found as fast as one."""

    def __init__(self, door: Door, db: Database, services: Mapping[type, Any]) -> None:
        methods: dict[str, dict[str, Endpoint]] = {}
        for operation in door.operations:
            methods.setdefault(operation.path, {})[operation.method] = _endpoint(door, operation, db, services)
        self._unknown = unknown_path(door)
        self._tree: dict[str, Any] = {}
        for path, endpoints in methods.items():
            segments, node = path.split("/")[1:], self._tree
            for segment in segments:
                node = node.setdefault(_PARAMETER if segment.startswith("{") else segment, {})
            names = [segment[1:-1] for segment in segments if segment.startswith("{")]
            node[_HERE] = (names, _dispatch(door, endpoints))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request, of which the path is decoded as `path_of` does."""
        found, parameters = self._find(self._tree, scope["path"].split("/")[1:], 0)
        if found is None:
            response = await self._unknown(PlainRequest(scope, receive))
        else:
            names, endpoint = found
            scope["path_params"] = dict(zip(names, parameters, strict=True))
            response = await endpoint(PlainRequest(scope, receive))
        await response(scope, receive, send)

    def _find(self, node: dict[str, Any], segments: list[str], place: int) -> tuple[Any, list[str]]:
        """What stands at a path, and its parameters; a fixed segment goes before a parameter."""
        if place == len(segments):
            return node.get(_HERE), []
        segment = segments[place]
        if segment and segment in node:
            found, parameters = self._find(node[segment], segments, place + 1)
            if found is not None:
                return found, parameters
        if segment and _PARAMETER in node:
            found, parameters = self._find(node[_PARAMETER], segments, place + 1)
            if found is not None:
                return found, [segment, *parameters]
        return None, []


def _fixed_first(entry: tuple[str, object]) -> list[bool]:
    return ["{" in segment for segment in entry[0].split("/")]


def _dispatch(door: Door, methods: dict[str, Endpoint]) -> Endpoint:
    allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)

    async def dispatch(request: Request) -> Response:
        endpoint = methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is not None:
            return await endpoint(request)
        if door.hide_methods:
            return await unknown_path(door)(request)
        response = door.failure(Failure(405, f"{request.method} is not possible here, only {', '.join(allowed)}"))
        response.headers["allow"] = ", ".join(allowed)
        return response

    return dispatch


def _endpoint(door: Door, operation: Operation, db: Database, services: Mapping[type, Any]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        headers: dict[str, str] = {}
        started = time.perf_counter()
        try:
            with limited(request):
                response = await _perform(door, operation, db, services, request, headers)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happens becomes an answer, and is logged there
            response = door.refuse(error) or _failed(door, failure(error))
        # No answer has one of these yet, so there is none to look for and to replace.
        response.raw_headers += [(name.encode(), value.encode()) for name, value in headers.items()]
        return door.finish(request, response, started)

    return endpoint


def _failed(door: Door, reason: Failure) -> Response:
    response = door.failure(reason)
    response.headers.update(reason.headers)
    if reason.retry_after is not None:
        response.headers["retry-after"] = str(reason.retry_after)
    if reason.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


async def _perform(
    door: Door,
    operation: Operation,
    db: Database,
    services: Mapping[type, Any],
    request: Request,
    headers: dict[str, str],
) -> Response:
    """Answer one request; puts into `headers` what belongs to its answer however it ends."""
    arguments: dict[str, Any] = {}
    wall = datetime.now(UTC)
    access = None
    if operation.scope and operation.sees_tokens_end:
        access = await admit_kept(services, request, operation.scope)
    elif operation.scope:
        access = await door.admit(services, request, operation.scope, wall)
    if access is not None:
        headers.update(count(services[Limiter], access))
    path = {name: value.replace(_SLASH, "/") for name, value in request.path_params.items()}
    if operation.query is not None:
        unknown = door.refuse_unknown_query
        arguments["query"] = decode_query(request.query_params, operation.query, refuse_unknown=unknown)
    content = b""
    if operation.body is not None:
        content = await read_body(request)
        if not content and operation.may_be_empty:
            content = b"null"
        arguments["body"] = content if operation.body is bytes else decode_body(content, operation.body)

    async def run(joined: Database) -> Response:
        call = Call(
            db=joined,
            caller=access.caller if access else None,  # type: ignore[arg-type]  # open operations do not read it
            scopes=access.scopes if access else frozenset(),
            token=access.token if access else None,
            path=path,
            request=request,
            services=services,
            access=access,
        )
        result = await operation.handler(call, **arguments)
        return result if isinstance(result, Response) else answer(result, operation.status)

    if operation.repeatable:
        lift(request)  # it has limits of its own, and what it did until one is reached stays
    if access is None or not writes(operation):
        return await run(db)
    async with _turn(access, path):
        return await answer_once(db, request, access, operation.id, content, run, repeatable=operation.repeatable)


def _turn(access: Access, path: Mapping[str, str]) -> AbstractAsyncContextManager[None]:
    """What changes an account locks it: many at once would hold the connections that others need."""
    account = path.get("account_id")
    return nullcontext() if account is None else _turns.of((access.caller.workspace, account), PATIENCE_SECONDS)


def writes(operation: Operation) -> bool:
    """Whether an operation takes an idempotency key: one that only reads needs none."""
    return operation.method in METHODS and operation.scope not in (None, "read")


def unknown_path(door: Door) -> Endpoint:
    """The answer for a path that no table has."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        return door.finish(request, _failed(door, failure(NotFound("path", request.url.path))), started)

    return endpoint
