"""What the carrier's door says where a handler meets something that nobody thought of."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
from starlette.requests import Request

from bursar.accounts.tokens import FULL, Access
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.db.gathering import Gathered
from bursar.http.limits import Limiter
from bursar.http.routing import Table
from bursar.http.yeti.door import ADMIN, door
from bursar.http.yeti.jsonapi import Listing, Resource, Slice, Turn
from tests.http.yeti.carrier import JSON_API


async def _fails(turn: Turn, listing: Listing) -> Slice[Any]:
    await turn.connection.fetch("select 1")
    raise RuntimeError("a bug with a secret in it")


async def test_an_unexpected_error_is_told_in_the_contracts_words(database: Database, caller: Caller) -> None:
    async def admit(_: Mapping[type, Any], request: Request, scope: str, wall: datetime) -> Access:
        return Access(caller, FULL, None, None)

    broken = dataclasses.replace(door, operations=[], resources={}, made={}, queries={}, admit=admit)
    broken.add(Resource("broken", (), list=_fails))
    broken.add(Resource("gathered", (), list=_fails, alike=True))
    table = Table(broken, database, {Limiter: Limiter(), Gathered: Gathered()})
    transport = httpx.ASGITransport(table)
    async with httpx.AsyncClient(transport=transport, base_url="http://carrier") as client:
        for path in ("broken", "broken/1", "gathered/1"):
            answer = await client.get(f"{ADMIN}/{path}", headers={"accept": JSON_API})
            assert answer.status_code == 500
            assert answer.headers["content-type"] == JSON_API
            words = "Internal Server Error"
            assert answer.json() == {"errors": [{"title": words, "detail": words, "code": "500", "status": "500"}]}
