"""`Idempotency-Key`: one effect and one answer, at every door, however many twins come."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from bursar.core.caller import Caller
from bursar.db import audit
from bursar.db.database import Database
from bursar.db.idempotency import KEPT, Attempt, KeyReused, Outcome, once, once_repeatable, purge
from tests.conftest import PLAIN, Server, Tenant
from tests.http.togai.catalog import customer, event, expect, meter, schema

TWINS = 100
KEY = "Idempotency-Key"


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    made = server.workspace()
    schema(made.http)
    meter(made.http)
    return made


def body(identifier: str, name: str = "Customer") -> dict[str, Any]:
    return {"id": identifier, "name": name, "primaryEmail": "a@example.com", "address": {}}


def post(tenant: Tenant, path: str, content: Any, key: str, method: str = "POST") -> httpx.Response:
    return tenant.http.request(method, path, json=content, headers={KEY: key})


def audits(tenant: Tenant, **wanted: str) -> int:
    return len(expect(tenant.http.get("/bursar/v1/audit", params={**wanted, "limit": 200}), 200)["entries"])


def test_a_hundred_twins_have_one_effect_and_one_answer(tenant: Tenant) -> None:
    start = threading.Barrier(TWINS)

    def twin(_: int) -> tuple[int, str, str]:
        with httpx.Client(headers=tenant.http.headers, timeout=30, verify=PLAIN) as client:
            start.wait()
            answer = client.post(
                f"{tenant.url}/customers", json={"name": "Twin", "address": {}, **body("twin")}, headers={KEY: "twins"}
            )
            return answer.status_code, answer.text, answer.headers.get("idempotency-replayed", "")

    with ThreadPoolExecutor(TWINS) as pool:
        answers = list(pool.map(twin, range(TWINS)))
    assert {(status, text) for status, text, _ in answers} == {(answers[0][0], answers[0][1])}
    assert answers[0][0] in (200, 201), answers[0]
    assert sorted(replayed for _, _, replayed in answers) == [""] + ["true"] * (TWINS - 1)
    assert audits(tenant, kind="customer", object="twin") == 1


def test_a_repeated_token_is_the_same_token(tenant: Tenant, server: Server) -> None:
    """An answer that cannot be made again; it is kept where nobody can read it."""
    answers = [expect(post(tenant, "/bursar/v1/tokens", {"name": "again"}, "secret-key-1"), 201) for _ in range(3)]
    assert len({answer["token"] for answer in answers}) == 1
    listed = expect(tenant.http.get("/bursar/v1/tokens"), 200)["tokens"]
    assert [token["name"] for token in listed].count("again") == 1

    async def kept(db: Database) -> bytes:
        async with db.transaction(tenant.caller.workspace) as connection:
            rows = await connection.fetch("select t::text as text, answer from idempotency t")
            return b"".join(row["text"].encode() + row["answer"] for row in rows)

    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(server.run, kept).result()
    assert b"secret-key-1" not in text
    assert answers[0]["token"].encode() not in text
    assert answers[0]["token"].encode().hex().encode() not in text


def test_another_request_under_the_key_is_refused_in_the_dialects_form(tenant: Tenant) -> None:
    expect(post(tenant, "/customers", body("reused"), "reused"), 201)
    refusal = post(tenant, "/customers", body("reused", "Other name"), "reused")
    assert refusal.status_code == 422
    assert refusal.json() == {
        "message": "Idempotency-Key: belongs to another request with another body or path; use a new key"
    }
    expect(post(tenant, "/bursar/v1/tokens", {"name": "one"}, "reused"), 201)  # another operation's key
    problem = post(tenant, "/bursar/v1/tokens", {"name": "two"}, "reused")
    assert problem.status_code == 422
    assert problem.headers["content-type"] == "application/problem+json"
    assert tenant.http.get("/customers/reused").json()["name"] == "Customer"


def test_each_account_has_keys_of_its_own(tenant: Tenant) -> None:
    customer(tenant.http, "key-one")
    customer(tenant.http, "key-two")
    for account in ("key-one", "key-two"):
        for _ in range(2):
            answer = post(tenant, f"/accounts/{account}", {"name": f"Name of {account}"}, "rename", "PATCH")
            assert expect(answer, 200)["id"] == account
    assert audits(tenant, kind="account", object="key-one", action="update") == 1


def test_a_refused_request_may_be_sent_again_under_its_key(tenant: Tenant) -> None:
    missing = {"id": "later-account", "name": "Later", "customerId": "later"}
    assert post(tenant, "/customers", {"id": "later"}, "later").status_code == 400
    assert post(tenant, "/accounts", missing, "later").status_code == 400
    expect(post(tenant, "/customers", body("later"), "later"), 201)


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ümlaut".encode().decode("latin-1")])
def test_a_key_that_is_none_is_refused(tenant: Tenant, key: str) -> None:
    answer = tenant.http.post("/customers", json=body("badkey"), headers={KEY.encode(): key.encode("latin-1")})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Idempotency-Key: must be 1 to 255 printable ASCII characters")
    assert tenant.http.get("/customers/badkey").status_code == 404


def test_ingest_is_answered_as_it_was(tenant: Tenant) -> None:
    customer(tenant.http, "acme-keys")
    sent = {"events": [event("k1", "2026-01-01T00:00:00Z", account="acme-keys"), {"id": 5}]}
    first = post(tenant, "/ingestBatch", sent, "batch-1")
    again = post(tenant, "/ingestBatch", sent, "batch-1")
    assert (first.status_code, first.text) == (again.status_code, again.text) == (207, first.text)
    assert again.headers["idempotency-replayed"] == "true"
    assert expect(tenant.http.get("/bursar/v1/ingest/balance"), 200)["duplicate"] == 0
    assert post(tenant, "/ingestBatch", {"events": sent["events"][:1]}, "batch-1").status_code == 422


def test_a_clock_that_is_moved_again_stands_where_it_stood(server: Server) -> None:
    trial = server.workspace(sandbox=True)
    for now in ("2030-01-01T00:00:00Z", "2030-02-01T00:00:00Z"):
        answers = [post(trial, "/bursar/v1/clock", {"now": now}, f"to {now}") for _ in range(2)]
        assert answers[0].text == answers[1].text
    replay = expect(post(trial, "/bursar/v1/clock", {"now": "2030-01-01T00:00:00Z"}, "to 2030-01-01T00:00:00Z"), 200)
    assert replay["now"] == "2030-01-01T00:00:00Z"
    assert trial.http.get("/bursar/v1/clock").json()["now"] == "2030-02-01T00:00:00Z"


def _attempt(caller: Caller, key: str, request: bytes = b"r") -> Attempt:
    return Attempt(caller.workspace, "op", "", key, request)


async def _things(db: Database, caller: Caller, key: str) -> int:
    async with db.transaction(caller.workspace) as connection:
        return int(await connection.fetchval("select count(*) from audit where object = $1", key))


def _effect(caller: Caller, key: str, fail: type[BaseException] | None = None) -> Any:
    async def work(db: Database) -> Outcome:
        async with db.transaction(caller.workspace) as connection:
            await audit.record(connection, caller, "make", "thing", key)
        if fail is not None:
            raise fail("after the effect")
        async with db.reading(caller.workspace) as connection:  # sees what was written
            assert await connection.fetchval("select count(*) from audit where object = $1", key) == 1
        return Outcome(201, "text/plain", b"done")

    return work


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, asyncpg.DeadlockDetectedError])
async def test_effect_and_record_are_both_there_or_neither(
    database: Database, caller: Caller, error: type[BaseException]
) -> None:
    key = f"fails with {error.__name__}"
    with pytest.raises(error):
        await once(database, _attempt(caller, key), caller.wall, _effect(caller, key, error))
    assert await _things(database, caller, key) == 0
    outcome = await once(database, _attempt(caller, key, b"other"), caller.wall, _effect(caller, key))
    assert outcome == Outcome(201, "text/plain", b"done")
    assert await _things(database, caller, key) == 1
    assert await once(database, _attempt(caller, key, b"other"), caller.wall, _effect(caller, key)) == replace(
        outcome, replayed=True
    )
    with pytest.raises(KeyReused):
        await once(database, _attempt(caller, key), caller.wall, _effect(caller, key))


@pytest.mark.parametrize("way", [once, once_repeatable])
async def test_a_key_is_free_again_after_thirty_days(database: Database, caller: Caller, way: Any) -> None:
    key = f"ages {way.__name__}"
    for days, replayed in ((0, False), (29, True), (30, False), (31, True)):
        work = _effect(caller, f"{key} {days}") if not replayed else None  # work that must not run
        outcome = await way(database, _attempt(caller, key), caller.wall + timedelta(days=days), work)
        assert outcome.replayed is replayed
    async with database.transaction(None) as connection:
        await purge(connection, caller.wall + KEPT)  # the record is as old as its second use
        before = await connection.fetchval("select count(*) from idempotency where workspace = $1", caller.workspace)
        assert before == 1
        await purge(connection, caller.wall + 2 * KEPT)
        after = await connection.fetchval("select count(*) from idempotency where workspace = $1", caller.workspace)
        assert after == 0
