"""What is light goes before heavy work: every request but those that bring events."""

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from starlette.requests import Request

from bursar.accounts.tokens import Access
from bursar.core.caller import Caller
from bursar.core.errors import Unavailable
from bursar.core.heavy import turn
from bursar.db.database import Database
from bursar.http.large import about, decoded
from bursar.http.native.cloud_events import BATCHED, CloudParsing
from bursar.http.native.ingest import cloud_events
from bursar.http.togai import ingest
from bursar.runtime.server import application
from bursar.usage.event import Parsing
from bursar.usage.pipeline import QUEUE, Pipeline
from tests.rounds import Rounds


async def _began_heavy_work(dsn: str, method: str, path: str) -> bool:
    """Whether heavy work that is asked for while a request is being answered begins meanwhile."""
    begun: list[bool] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            work = asyncio.create_task(turn())
            for _ in range(50):
                await asyncio.sleep(0)
            begun.append(work.done())
            work.cancel()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "http_version": "1.1", "scheme": "http", "server": None, "client": None,
    }  # fmt: skip
    async with application(dsn) as app:
        await app(scope, receive, send)
    (answer,) = begun
    return answer


@pytest.mark.parametrize(
    ("method", "path", "begins"),
    [
        ("GET", "/livez", False),
        ("GET", "/accounts/acme", False),
        ("GET", "/bursar/v1/nowhere", False),
        ("GET", "/api/rest/admin/accounts", False),
        ("GET", "/%00", False),
        ("POST", "/accounts/acme/purchases", False),
        ("POST", "/ingest", True),
        ("POST", "/ingestBatch", True),
        ("POST", "/bursar/v1/events", True),
    ],
)
async def test_only_requests_with_events_let_heavy_work_begin(
    dsn: str, monkeypatch: pytest.MonkeyPatch, method: str, path: str, begins: bool
) -> None:
    monkeypatch.setattr("bursar.core.heavy.LONGEST", 60 * 10**9)
    monkeypatch.setattr("bursar.core.heavy._lines", [])
    assert await _began_heavy_work(dsn, method, path) is begins


async def test_a_body_is_not_decoded_where_its_events_would_find_no_room(
    database: Database, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue may have filled while it was read, and while it waited for its turn."""
    asked: list[int] = []

    class Full(Pipeline):
        def admits(self, events: int = 0) -> None:
            asked.append(events)
            raise Unavailable

    def decode(_: Parsing) -> Iterator[None]:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(Parsing, "steps", decode)
    body = b'{"events":[%b]}' % b",".join([b'{"accountId":"acme","id":"0123456789"}'] * 1000)
    access = Access(caller, frozenset({"ingest"}), None, None)
    with pytest.raises(Unavailable):
        await ingest.batch(Full(database, lambda: caller.wall), access, body)
    assert asked == [1000]


def _cloud_event(number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"e{number}", "source": "gauge", "type": "call", "subject": "acme",
        "time": "2024-05-01T10:00:00Z", "data": {"seconds": 30, "city": "Kyiv"},
    }  # fmt: skip


_EVENT = {
    "schemaName": "call", "timestamp": "2024-05-01T10:00:00Z", "accountId": "acme", "attributes": [], "dimensions": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "each", "parsing"),
    [
        (json.dumps({"events": [_EVENT | {"id": f"e{n}"} for n in range(1000)]}), b'"accountId"', Parsing),
        (json.dumps([_cloud_event(number) for number in range(1000)]), b'"specversion"', CloudParsing),
    ],
)
async def test_a_large_body_is_decoded_in_several_rounds_and_keeps_its_room_for_all_of_them(
    database: Database, caller: Caller, body: str, each: bytes, parsing: type[Parsing | CloudParsing]
) -> None:
    rounds, room = Rounds(), set[bool]()
    pipeline = Pipeline(database, lambda: caller.wall)

    async def look() -> None:
        while not work.done():
            try:
                pipeline.admits(QUEUE - 10)
            except Unavailable:
                room.add(False)
            else:
                room.add(True)
            await asyncio.sleep(0)

    async with rounds.counted():
        first = rounds.number
        work = asyncio.create_task(decoded(pipeline, body.encode(), each, parsing(body.encode())))
        await asyncio.sleep(0)
        await look()
        parsed = await work
        took = rounds.number - first
    assert [event.id for _, event in parsed.events] == [f"e{number}" for number in range(1000)]
    assert took >= 8
    assert room == {False}


async def test_a_large_batch_of_cloud_events_waits_for_room_as_well(
    database: Database, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Pipeline):
        def admits(self, events: int = 0) -> None:
            raise Unavailable

    def decode(_: CloudParsing) -> Iterator[None]:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(CloudParsing, "steps", decode)
    request = Request({"type": "http", "headers": [(b"content-type", BATCHED.encode())]})
    access = Access(caller, frozenset({"ingest"}), None, None)
    body = json.dumps([_cloud_event(number) for number in range(1000)]).encode()
    with pytest.raises(Unavailable):
        await cloud_events(database, Full(database, lambda: caller.wall), request, access, body)


@pytest.mark.parametrize(
    ("sizes", "least", "most"),
    [
        ([100] * 600, 580, 620),  # alike: as many as there are, but for one in the thirty that are looked at
        ([100] * 3000, 1000, 1000),  # never more than a request may have
        ([9000, 100, 100, 15_000], 4, 4),  # the first one is longer than what is looked at, and names itself at its end
    ],
)
def test_events_of_a_body_are_told_from_its_beginning(sizes: list[int], least: int, most: int) -> None:
    events = [b'{"id":"%b","accountId":"acme"}' % (b"x" * size) for size in sizes]
    assert least <= about(b'{"events":[%b]}' % b",".join(events), b'"accountId"') <= most


def test_room_is_kept_for_what_waits_to_be_decoded(database: Database, caller: Caller) -> None:
    pipeline = Pipeline(database, lambda: caller.wall)
    with pipeline.expecting(QUEUE - 10):
        pipeline.admits(10)
        with pytest.raises(Unavailable):
            pipeline.admits(11)
        with pytest.raises(Unavailable), pipeline.expecting(11):
            raise AssertionError("there is no room")
        pipeline.admits(10)
    pipeline.admits(QUEUE)
