"""The application: the raw ingest routes in front, the doors behind, the operator's pages beside."""

import importlib
import pkgutil
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from bursar.core.heavy import Light
from bursar.db.database import Database
from bursar.db.gathering import Gathered
from bursar.http import native, togai, yeti
from bursar.http.door import Door, Failure
from bursar.http.ingest import IngestRoutes
from bursar.http.limits import Limiter
from bursar.http.native.door import door as native_door
from bursar.http.observe import observe, operator_routes
from bursar.http.routing import Table, path_of, routes, unknown_path
from bursar.http.togai.door import door as togai_door
from bursar.http.tokens import Tokens
from bursar.http.yeti.authentication import Doorkeeper
from bursar.http.yeti.door import ADMIN, CUSTOMER
from bursar.http.yeti.door import customer_door as yeti_customer_door
from bursar.http.yeti.door import door as yeti_door
from bursar.purchases.entitled import Desk
from bursar.usage.pipeline import Pipeline

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

NATIVE = "/bursar/v1"
_NOSNIFF = (b"x-content-type-options", b"nosniff")


def load_doors() -> tuple[Door, Door, Door, Door]:
    """The doors with their tables filled: importing a dialect's modules is what registers its operations."""
    for package in (togai, native, yeti):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return togai_door, native_door, yeti_door, yeti_customer_door


class Application:
    """The ASGI application of one server process."""

    def __init__(self, db: Database, pipeline: Pipeline, services: Mapping[type, Any]) -> None:
        doors = load_doors()
        togai_table, native_table, admin_table, customer_table = doors
        shared = {**services, Database: db, Pipeline: pipeline}
        shared.setdefault(Limiter, Limiter())
        shared.setdefault(Gathered, Gathered())
        shared.setdefault(Doorkeeper, Doorkeeper(db))
        tokens = shared.setdefault(Tokens, Tokens())
        self._ingest = IngestRoutes(db, pipeline, shared[Desk], shared[Limiter], tokens)
        self._tables = {
            f"{ADMIN}/": Table(admin_table, db, shared),
            f"{CUSTOMER}/": Table(customer_table, db, shared),
        }
        self._router = Router(
            routes=[
                *operator_routes(db, doors),
                *routes(native_table, db, shared),
                Route(NATIVE + "/{rest:path}", unknown_path(native_table)),
                *routes(togai_table, db, shared),
            ],
            redirect_slashes=False,
            default=self._not_found,
        )
        self._unknown = unknown_path(togai_table)
        self._refusal = togai_table.failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._lifespan(receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def observed(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), _NOSNIFF]
            await send(message)

        try:
            handler = self._ingest.route(scope["method"], scope["path"])
            if handler is not None:
                await handler(scope, receive, observed)
            else:
                with Light():
                    await self._route(scope, receive, observed)
        finally:
            observe(scope["method"], status, time.perf_counter() - started)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope.get("raw_path") or scope["path"].encode())
        if path is None:
            await self._refusal(Failure(404, "the path cannot name anything"))(scope, receive, send)
            return
        # The decoded form keeps encoded slashes apart from real ones.
        scope["path"] = path
        scope["root_path"] = ""
        for start, table in self._tables.items():
            if path.startswith(start):
                await table(scope, receive, send)
                return
        await self._router(scope, receive, send)

    async def _not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise HTTPException(404)
        response: Response = await self._unknown(Request(scope, receive))
        await response(scope, receive, send)

    @staticmethod
    async def _lifespan(receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
