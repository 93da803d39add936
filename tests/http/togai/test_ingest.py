"""Events through the wire: accepted, kept with a state, counted once."""

import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from togai_client.api.event_ingestion_api import EventIngestionApi
from togai_client.api.event_management_api import EventManagementApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.ingest_batch_event_request import IngestBatchEventRequest
from togai_client.models.ingest_event_request import IngestEventRequest

from bursar.accounts.tokens import revoke_token, rotate_token
from bursar.db.database import Connection, Database
from bursar.usage.quantities import events_of, sums
from bursar.usage.verify import CHECKS
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, ingest, meter, schema, status_of
from tests.rollups import WHOLE, measured

NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
AT = "2024-05-10T09:01:00Z"


@pytest.fixture
def ready(server: Server) -> Tenant:
    """A sandbox on 10 May 2024 with an account, a schema and a meter."""
    tenant = server.workspace(clock=NOON)
    customer(tenant.http)
    schema(tenant.http)
    meter(tenant.http)
    return tenant


def usage(server: Server, tenant: Tenant) -> list[tuple[str, int]]:
    """What was measured, as text."""
    return [(f"{quantity.normalize():f}", events) for quantity, events in measured(server, tenant)]


def problems(server: Server, tenant: Tenant) -> list[str]:
    """What `verify` finds of usage."""
    return server.broken(tenant, CHECKS)


def balance(server: Server, tenant: Tenant) -> dict[str, int]:
    async def read(db: Database) -> dict[str, int]:
        async with db.transaction(None) as connection:
            row = await connection.fetchrow(
                "select sum(received)::int as received, sum(metered)::int as metered, sum(unmetered)::int as unmetered,"
                " sum(duplicate)::int as duplicate, sum(rejected)::int as rejected"
                " from usage_counter where workspace = $1",
                tenant.caller.workspace,
            )
            return dict(row) if row else {}

    result: dict[str, int] = server.run(read)
    return result


def test_the_client_ingests_and_reads_back(ready: Tenant) -> None:
    api = EventIngestionApi(ready.togai)
    assert api.ingest(IngestEventRequest.from_dict({"event": event("one", AT, tokens=3)})).success
    batch = {"events": [event("two", AT, tokens="2.5"), event("three", AT, model="small")]}
    assert api.ingest_batch(IngestBatchEventRequest.from_dict(batch)).success
    reading = EventManagementApi(ready.togai)
    listed = reading.get_events().events
    assert [entry.event_payload.id for entry in listed] == ["three", "two", "one"]
    single = reading.get_single_event("two").events[0]
    assert single.ingestion_status.status == "INGESTION_COMPLETED_EVENT_METERED"
    assert single.event_pipeline_info.usage_meters[0].units == 2.5
    assert single.event_pipeline_info.customer.id == "acme"
    assert reading.get_events(account_id="acme", status="PROCESSED", schema_name="llm").events[0].customer_id == "acme"
    assert reading.get_events(status="UNPROCESSED") is None
    assert ready.http.get("/events", params={"status": "UNPROCESSED"}).json() == {"events": [], "nextToken": None}
    with pytest.raises(NotFoundException):
        reading.get_single_event("never")
    with pytest.raises(NotFoundException):
        reading.get_events(account_id="nobody")
    with pytest.raises(BadRequestException):
        reading.get_events(status="WRONG")
    with pytest.raises(BadRequestException):
        api.ingest(IngestEventRequest.from_dict({"event": event("", AT)}))


def test_events_are_paged(ready: Tenant) -> None:
    for start in range(0, 25, 5):
        ingest(ready.http, *(event(f"e{i:02}", AT) for i in range(start, start + 5)))
    for extra in ({}, {"account_id": "acme"}, {"status": "INGESTION_COMPLETED_EVENT_METERED"}, {"schema_name": "llm"}):
        seen: list[str] = []
        token: Any = None
        while True:
            parameters = {"pageSize": "7", **extra} if token is None else {"nextToken": token}
            page = ready.http.get("/events", params=parameters).json()
            seen += [entry["eventPayload"]["id"] for entry in page["events"]]
            token = page["nextToken"]
            if token is None:
                break
        assert seen == [f"e{i:02}" for i in reversed(range(25))]


@pytest.mark.parametrize("others", [0, 200], ids=["few", "many, which come by COPY"])
def test_states(ready: Tenant, server: Server, others: int) -> None:
    schema(ready.http, "bare")
    schema(ready.http, "draft", active=False)
    division = {
        "computation": '{"/":[1,{"var":"attributes.tokens"}]}',
        "matcher": '{"==":[{"var":"dimensions.model"},"divide"]}',
        "order": 1,
    }
    meter(ready.http, "division", computations=[division])
    meter(
        ready.http,
        "never",
        "bare",
        computations=[{"computation": "1", "order": 1, "matcher": "false"}],
        aggregation="COUNT",
    )
    cases = {
        "metered": event("metered", AT, tokens=1),
        "filtered": event("filtered", AT, schemaName="bare"),
        "unknown-schema": event("unknown-schema", AT, schemaName="nope"),
        "draft-schema": event("draft-schema", AT, schemaName="draft"),
        "unknown-account": event("unknown-account", AT, account="nobody"),
        "too-old": event("too-old", "2024-04-01T00:00:00Z"),
        "old-enough": event("old-enough", "2024-04-10T12:00:01Z", tokens=1),
        "missing-attribute": event("missing-attribute", AT, attributes=[]),
        "missing-dimension": event("missing-dimension", AT, dimensions={}),
        "not-evaluable": event("not-evaluable", AT, tokens=0, model="divide"),
        "out-of-range": event("out-of-range", AT, tokens="9" * 30),
        "future": event("future", "2031-01-01T00:00:00Z", tokens=1),
        "far-future": event("far-future", "9999-12-31T23:59:59Z", tokens=1),
        "ancient": event("ancient", "0001-01-01T00:00:00Z"),
    }
    ingest(ready.http, *cases.values(), *(event(f"other-{i}", AT, tokens=1) for i in range(others)))
    expected = {
        "metered": "COMPLETED_EVENT_METERED",
        "filtered": "COMPLETED_EVENT_NOT_METERED",
        "unknown-schema": "FAILED_SCHEMA_NOT_DEFINED",
        "draft-schema": "FAILED_SCHEMA_NOT_DEFINED",
        "unknown-account": "FAILED_ACCOUNT_NOT_FOUND",
        "too-old": "FAILED_PAST_GRACE_PERIOD",
        "old-enough": "COMPLETED_EVENT_METERED",
        "missing-attribute": "FAILED",
        "missing-dimension": "FAILED",
        "not-evaluable": "FAILED_UNITS_INVALID",
        "out-of-range": "FAILED_UNITS_INVALID",
        "future": "COMPLETED_EVENT_METERED",
        "far-future": "FAILED",
        "ancient": "FAILED_PAST_GRACE_PERIOD",
    }
    assert {name: status_of(ready.http, name)[0] for name in cases} == expected
    assert balance(server, ready) == {
        "received": 14 + others, "metered": 3 + others, "unmetered": 1, "duplicate": 0, "rejected": 10,
    }  # fmt: skip
    ingest(ready.http, event(None, AT))
    assert ready.http.get("/events", params={"status": "INGESTION_FAILED_NO_EVENT_ID"}).json()["events"]
    assert not problems(server, ready)


def test_a_schema_without_meters_has_its_own_state(server: Server) -> None:
    tenant = server.workspace(clock=NOON)
    customer(tenant.http)
    schema(tenant.http)
    ingest(tenant.http, event("e", AT))
    assert status_of(tenant.http, "e") == ["COMPLETED_NO_MATCHING_METERS"]
    meter(tenant.http)
    ingest(tenant.http, event("f", AT))
    assert status_of(tenant.http, "f") == ["COMPLETED_EVENT_METERED"]
    assert usage(server, tenant) == [("1", 1)]


def test_an_id_counts_once(ready: Tenant, server: Server) -> None:
    ingest(ready.http, event("e", AT, tokens=5), event("e", AT, tokens=7))
    ingest(ready.http, event("e", AT, tokens=5))
    assert usage(server, ready) == [("5", 1)]
    assert status_of(ready.http, "e") == ["COMPLETED_EVENT_METERED", "FAILED_DUPLICATE_EVENT", "FAILED_DUPLICATE_EVENT"]
    assert balance(server, ready) == {"received": 3, "metered": 1, "unmetered": 0, "duplicate": 2, "rejected": 0}
    assert not problems(server, ready)


def test_a_refused_event_may_be_sent_again_once_its_cause_is_gone(ready: Tenant, server: Server) -> None:
    late = event("e", AT, account="newcomer", tokens=4)
    ingest(ready.http, late)
    ingest(ready.http, late)
    assert status_of(ready.http, "e") == ["FAILED_ACCOUNT_NOT_FOUND", "FAILED_DUPLICATE_EVENT"]
    answer = ready.http.post("/accounts/acme/add_aliases", json={"aliases": ["newcomer"]})
    assert answer.status_code == 200
    ingest(ready.http, late, late)
    assert status_of(ready.http, "e")[0] == "COMPLETED_EVENT_METERED"
    assert usage(server, ready) == [("4", 1)]
    assert balance(server, ready) == {"received": 4, "metered": 1, "unmetered": 0, "duplicate": 2, "rejected": 1}
    assert not problems(server, ready)


def test_what_changes_is_seen_by_the_next_event(ready: Tenant) -> None:
    ingest(ready.http, event("a", AT, account="acme"))
    ready.http.post("/accounts/acme/add_aliases", json={"aliases": ["alias-1"]})
    ingest(ready.http, event("b", AT, account="alias-1"))
    ready.http.post(
        "/accounts/acme/remove_aliases", json={"accountAliases": [{"id": "alias-1", "from": "2024-05-01T00:00:00Z"}]}
    )
    ingest(ready.http, event("c", AT, account="alias-1"), event("d", "2024-04-30T23:59:59Z", account="alias-1"))
    assert ready.http.delete("/accounts/acme").status_code == 200
    ingest(ready.http, event("e", AT, account="acme"))
    states = {name: status_of(ready.http, name)[0] for name in "abcde"}
    assert states == {
        "a": "COMPLETED_EVENT_METERED",
        "b": "COMPLETED_EVENT_METERED",
        "c": "FAILED_ACCOUNT_NOT_FOUND",
        "d": "COMPLETED_EVENT_METERED",
        "e": "FAILED_ACCOUNT_NOT_FOUND",
    }


def test_a_batch_with_ill_formed_events_keeps_the_others(ready: Tenant) -> None:
    bad = {**event("bad", AT), "timestamp": "soon"}
    answer = ingest(ready.http, event("good", AT), bad, {"id": 7}, status=207)
    assert [(entry["index"], entry["id"]) for entry in answer["details"]["rejected"]] == [(1, "bad"), (2, None)]
    assert "timestamp" in answer["details"]["rejected"][0]["message"]
    assert status_of(ready.http, "good") == ["COMPLETED_EVENT_METERED"]
    assert ready.http.get("/events/bad").status_code == 404
    ingest(ready.http, bad, status=400)


def test_requests_that_are_no_ingest_are_refused(ready: Tenant) -> None:
    for content in (
        b"",
        b"{",
        b"[]",
        b'{"events":[]}',
        b'{"event":{}}',
        b"[" * 50_000,
        b'{"events":[{"id":"\\u0000"}]}',
    ):
        for path in ("/ingest", "/ingestBatch"):
            answer = ready.http.post(path, content=content)
            assert answer.status_code == 400, (path, content[:20], answer.text)
            assert answer.json()["message"]
    assert ready.http.post("/ingest", content=b" " * 9_000_000).status_code == 422
    stranger = ready.http.post("/ingest", json={"event": event("x", AT)}, headers={"authorization": "Bearer nope"})
    assert stranger.status_code == 401
    assert ready.http.get("/ingest").status_code == 405


def test_numbers_stay_exact(ready: Tenant, server: Server) -> None:
    values = ["0.1", "0.2", "0.0000000000005", "-0.3", "12345678901234567890123456.000000000001", "0.0000000000015"]
    ingest(ready.http, *(event(f"e{i}", AT, tokens=value) for i, value in enumerate(values)))
    # Half-even at 12 decimals, event by event: 0.5 of the last digit becomes 0, 1.5 becomes 2.
    assert usage(server, ready) == [("12345678901234567890123456.000000000003", 6)]


def test_edges_are_counted_from_the_events_themselves(ready: Tenant, server: Server) -> None:
    ingest(ready.http, *(event(f"m{i}", f"2024-05-10T09:{i:02}:00Z", tokens=i) for i in range(60)))

    async def read(db: Database) -> list[tuple[int, str, int]]:
        async with db.transaction(None) as connection:
            return await quantities(connection)

    async def quantities(connection: Connection) -> list[tuple[int, str, int]]:
        key = await connection.fetchrow(
            f"select r.account, v.usage_meter from {WHOLE} r join usage_meter_version v on v.key = r.meter_version"
            " where r.workspace = $1 limit 1",
            ready.caller.workspace,
        )
        assert key is not None
        result = []
        for first, last in ((0, 60), (7, 52), (7, 9), (14, 16), (15, 30), (59, 60)):
            start = datetime(2024, 5, 10, 9, first, tzinfo=UTC)
            end = datetime(2024, 5, 10, 9 + last // 60, last % 60, tzinfo=UTC)
            (total,) = await sums(connection, ready.caller.workspace, [(key[0], key[1], start, end)])
            page = await events_of(connection, ready.caller.workspace, key[0], key[1], start, end, None, 1000)
            assert sum(entry.quantity for entry in page.items) == total == sum(range(first, last))
            result.append((first, str(total), len(page.items)))
        return result

    found = server.run(read)
    assert [count for _, _, count in found] == [60, 45, 2, 2, 15, 1]


@pytest.mark.parametrize("end", [revoke_token, partial(rotate_token, overlap=timedelta(0))], ids=["revoked", "rotated"])
def test_a_token_that_has_ended_ingests_nothing_more(server: Server, end: Callable[..., Awaitable[object]]) -> None:
    """At once, although the server remembers who sent events just now."""
    tenant = server.workspace(clock=NOON)
    key = {"Idempotency-Key": "sent again"}
    customer(tenant.http)
    schema(tenant.http)
    ingest(tenant.http, event("before", AT))
    expect(tenant.http.post("/bursar/v1/entitled", json={"events": [event("not entitled", AT)]}), 200)
    again = {"events": [event("again", AT)]}
    assert tenant.http.post("/ingestBatch", json=again, headers=key).status_code == 202

    async def finish(db: Database) -> None:
        async with db.transaction(None) as connection:
            await end(connection, replace(tenant.caller, wall=datetime.now(UTC)), "test")

    server.run(finish)
    assert tenant.http.post("/ingestBatch", json={"events": [event("after", AT)]}).status_code == 401
    assert tenant.http.post("/entitled", json={"event": event("after", AT)}).status_code == 401
    assert tenant.http.post("/bursar/v1/entitled", json={"events": [event("after", AT)]}).status_code == 401
    assert tenant.http.post("/ingestBatch", json=again, headers=key).status_code == 401, "nor is it answered as before"
    assert tenant.http.get("/customers").status_code == 401
    assert balance(server, tenant)["received"] == 2


def test_many_senders_of_the_same_ids_count_each_once(ready: Tenant, server: Server) -> None:
    def send(seed: int) -> int:
        order = sorted(range(300), key=lambda i: (i * 7919 + seed * 104729) % 3001)
        content = json.dumps({"events": [event(f"e{i}", AT, tokens=1) for i in order]})
        return ready.http.post("/ingestBatch", content=content).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(24))) == {202}
    assert usage(server, ready) == [("300", 300)]
    assert balance(server, ready) == {
        "received": 7200, "metered": 300, "unmetered": 0, "duplicate": 6900, "rejected": 0,
    }  # fmt: skip
    assert not problems(server, ready)
