"""A small flush in one statement stores what the long way stores, and nothing where anything has changed."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bursar.core.errors import Unauthenticated
from bursar.core.period import FIRST
from bursar.db.database import Database
from bursar.usage import at_once, bodies
from bursar.usage import flusher as flushers
from bursar.usage.event import parse_batch
from bursar.usage.flush import Submission
from bursar.usage.pipeline import Pipeline
from bursar.usage.states import State
from bursar.usage.verify import CHECKS
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, meter, schema

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)
ENDS = [FIRST, datetime(1999, 12, 31, 23, 59, 59, 999999, UTC), datetime(2000, 1, 1, tzinfo=UTC),
        datetime(9998, 12, 31, 23, 59, 59, 999999, UTC)]  # fmt: skip
NAMES = [f"account{number}" for number in range(5)]


@pytest.fixture
def tenant(server: Server) -> Tenant:
    """Accounts with aliases; a schema whose meter leaves some events out, and one without meters."""
    return made(server)


def made(server: Server) -> Tenant:
    tenant = server.workspace(clock=NOW)
    for name in NAMES:
        customer(tenant.http, name, aliases=[f"alias-{name}"])
    schema(tenant.http)
    schema(tenant.http, "idle")
    matcher = json.dumps({"==": [{"var": "dimensions.model"}, "large"]})
    computation = json.dumps({"var": "attributes.tokens"})
    meter(tenant.http, computations=[{"computation": computation, "order": 1, "matcher": matcher}])
    meter(tenant.http, "calls", computations=[{"computation": "1", "order": 1}])
    return tenant


def sent(tenant: Tenant, *events: dict[str, Any], token: int | None = None) -> Submission:
    """Events of any time."""
    body = json.dumps({"events": events}).encode()
    return Submission(tenant.caller.workspace, token, parse_batch(body), backfill=True)


def one(name: str, **more: Any) -> dict[str, Any]:
    return event(name, NOW.isoformat(), account=NAMES[0], tokens=1) | more


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool | None]]:
    """Which flushes are carried out at once: True, or None where that was tried in vain."""
    found: list[bool | None] = []
    carry_out: Callable[..., Awaitable[object]] = flushers.__dict__["flush_at_once"]

    async def noted(*arguments: object) -> object:
        receipts = await carry_out(*arguments)
        found.append(None if receipts is None else True)
        return receipts

    with monkeypatch.context() as patched:
        patched.setattr(flushers, "flush_at_once", noted)
        patched.setattr(flushers, "DETOUR", 0)
        yield found


def drawn(chance: random.Random, count: int, prefix: str) -> list[dict[str, Any]]:
    """Events of all kinds that are let in, at any time."""
    found = []
    for number in range(count):
        at = chance.choice([*ENDS, NOW - timedelta(microseconds=chance.randrange(10**14))])
        account = chance.choice([*NAMES, *(f"alias-{name}" for name in NAMES)])
        made = event(f"{prefix}-{number}", at.isoformat(), account=account, tokens=chance.choice((0, 1, "2.50", -3)))
        made |= {"schemaName": chance.choice(("llm", "llm", "idle"))}
        found.append(made | {"dimensions": {"model": chance.choice(("large", "small"))}})
    return found


async def stored(db: Database, tenant: Tenant) -> list[Any]:
    """Everything that flushes left of a workspace, without what differs from one to the next."""
    workspace = tenant.caller.workspace
    names = "(select n.value from account_name n where n.account = e.account order by n.value limit 1)"
    async with db.transaction(workspace) as connection:
        events = await connection.fetch(
            f"select {names} as account, e.body_hash, e.occurred_at, e.position, e.state, e.reason,"
            " s.name as schema, e.catalog_version, e.received_at, dense_rank() over (order by e.chunk) as chunk"
            " from event_key e join event_schema_version v on v.key = e.event_schema"
            " join event_schema s on s.key = v.event_schema where e.workspace = $1 order by chunk, position",
            workspace,
        )
        sums = await connection.fetch(
            f"select {names} as account, m.name, bucket, sum(events)::int as events, sum(quantity) as quantity"
            " from (select * from (select account, meter_version, bucket, events, quantity from usage_rollup"
            "  union all select account, meter_version, bucket, events, quantity from usage_delta_sum) r) e"
            " join usage_meter_version v on v.key = e.meter_version join usage_meter m on m.key = v.usage_meter"
            " where m.workspace = $1 group by 1, 2, 3 order by 1, 2, 3",
            workspace,
        )
        entries = await connection.fetch(
            f"select {names} as account, tick, count(*) as events, bool_and(exists (select from event_key k"
            "  where k.id_hash = e.id_hash and k.account = e.account"
            "  and k.chunk between e.first_chunk and e.last_chunk)) as found"
            " from event_entry e where e.workspace = $1 group by 1, 2 order by 1, 2",
            workspace,
        )
        counts = await connection.fetch(
            "select day, sum(received), sum(metered), sum(unmetered), sum(duplicate), sum(rejected), sum(pending)"
            " from usage_counter where workspace = $1 group by 1",
            workspace,
        )
        kept = await connection.fetch(
            "select received_at, events, content from event_body where workspace = $1 order by chunk", workspace
        )
    contents = [(row["received_at"], row["events"], bodies.unpack(row["content"])) for row in kept]
    return [[tuple(row) for row in rows] for rows in (events, sums, entries, counts)] + [contents]


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_store_the_same(server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    other, chance = made(server), random.Random(seed)
    known = [one(f"known-{name}", accountId=name) for name in (*NAMES, *(f"alias-{name}" for name in NAMES))]
    batches = [known, *(drawn(chance, size, f"{seed}-{place}") for place, size in enumerate((1, 2, 30, 200, 1)))]

    async def work(db: Database, tenant: Tenant) -> list[dict[State, int]]:
        async with Pipeline(db, lambda: NOW, flushers=1) as pipeline:
            return [dict((await pipeline.submit(sent(tenant, *batch))).states) for batch in batches]

    with watched(monkeypatch) as found:
        told = server.run(lambda db: work(db, tenant))
    assert found == [None, True, True, True, True, True], "the first one reads what the others know"
    monkeypatch.setattr(at_once, "MOST", 0)
    with watched(monkeypatch) as found:
        assert server.run(lambda db: work(db, other)) == told
    assert found == []
    mine, theirs = (server.run(lambda db, workspace=workspace: stored(db, workspace)) for workspace in (tenant, other))
    assert mine == theirs
    assert all(mine), "each of them has something to compare"
    for workspace in (tenant, other):
        assert server.broken(workspace, CHECKS) == []


def test_what_is_not_plain_goes_the_other_way(server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused events, unknown accounts, no id, one id twice, two workspaces, an import; and too many of them."""
    other, few = made(server), [one(f"e{number}") for number in range(3)]
    nameless = {name: value for name, value in one("").items() if name != "id"}
    strange = [
        [one("unknown", accountId="nobody")],
        [one("unfit", attributes=[])],
        [one("undefined", schemaName="nothing")],
        [nameless],
        [one("twice"), one("twice")],
    ]

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: NOW, flushers=1) as pipeline:
            await pipeline.submit(sent(tenant, one("first")))
            for events in strange:
                receipt = await pipeline.submit(sent(tenant, *events))
                assert sum(count for state, count in receipt.states.items() if state < 0) == 1, events
            both = await pipeline.submit_all([sent(tenant, *few), sent(other, *few)])
            assert [dict(receipt.states) for receipt in both if not isinstance(receipt, Exception)] == [
                {State.COMPLETED_EVENT_METERED: 3}
            ] * 2
            monkeypatch.setattr(at_once, "MOST", 2)
            await pipeline.submit(sent(tenant, *(one(f"many{number}") for number in range(3))))

    with watched(monkeypatch) as found:
        server.run(work)
    # A repeat makes the next flushes look which ids are taken, which is not done at once.
    assert found == [None] * 6
    assert server.broken(tenant, CHECKS) == []


def test_behind_one_in_vain_the_next_flushes_are_not_tried(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: NOW, flushers=1) as pipeline:
            for number in range(5):
                await pipeline.submit(sent(tenant, one(f"e{number}")))

    with watched(monkeypatch) as found:
        monkeypatch.setattr(flushers, "DETOUR", 2)
        server.run(work)
    assert found == [None, True, True]


def test_a_change_is_in_force_once_it_is_made(server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: NOW, flushers=1) as pipeline:
            for name in ("first", "second"):
                assert (await pipeline.submit(sent(tenant, one(name)))).states == {State.COMPLETED_EVENT_METERED: 1}
            await asyncio.to_thread(archive)
            for name in ("third", "fourth"):
                receipt = await pipeline.submit(sent(tenant, one(name)))
                assert receipt.states == {State.FAILED_ACCOUNT_NOT_FOUND: 1}
            # Of another account everything is known still.
            assert (await pipeline.submit(sent(tenant, one("fifth", accountId=NAMES[1])))).states
            assert (await pipeline.submit(sent(tenant, one("sixth", accountId=NAMES[1])))).states

    def archive() -> None:
        expect(tenant.http.delete(f"/accounts/{NAMES[0]}"), 200)

    with watched(monkeypatch) as found:
        server.run(work)
    assert found == [None, True, None, None, None, True]
    assert server.broken(tenant, CHECKS) == []


def test_a_flush_waits_for_a_change_under_way_and_goes_by_it(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is read behind the gate, and not when the statement began."""
    workspace = tenant.caller.workspace

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: NOW, flushers=1) as pipeline:
            await pipeline.submit(sent(tenant, one("first")))
            with psycopg.connect(server.dsn) as change:
                change.execute("select pg_advisory_xact_lock(7215002, %s)", [workspace])
                waiting = asyncio.create_task(pipeline.submit(sent(tenant, one("second"))))
                while not at_the_gate(change):
                    await asyncio.sleep(0.01)
                found = change.execute(
                    "update account set status = 'ARCHIVED' where key = (select account from account_name"
                    " where workspace = %s and value = %s) returning key", [workspace, NAMES[0]]
                ).fetchone()  # fmt: skip
                change.execute(
                    "with raised as (update workspace set version = version + 1 where key = %s returning version)"
                    " insert into change_log (workspace, version, kind, object)"
                    " select %s, version, 'account', %s from raised", [workspace, workspace, *(found or ())]
                )  # fmt: skip
            assert (await waiting).states == {State.FAILED_ACCOUNT_NOT_FOUND: 1}

    def at_the_gate(change: psycopg.Connection[Any]) -> bool:
        waits = (
            "select 1 from pg_locks where locktype = 'advisory' and classid = 7215002 and objid = %s and not granted"
        )
        return change.execute(waits, [workspace]).fetchone() is not None

    with watched(monkeypatch) as found:
        server.run(work)
    assert found == [None, None]


def test_a_token_that_has_ended_lets_nothing_in(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as other:
        (token,) = other.execute(
            "select key from token where workspace = %s order by key limit 1", [tenant.caller.workspace]
        ).fetchone() or (0,)

        async def work(db: Database) -> None:
            async with Pipeline(db, lambda: NOW, flushers=1) as pipeline:
                for name in ("first", "second"):
                    await pipeline.submit(sent(tenant, one(name), token=token))
                other.execute("update token set expires_at = %s where key = %s", [NOW, token])
                with pytest.raises(Unauthenticated):
                    await pipeline.submit(sent(tenant, one("third"), token=token))

        with watched(monkeypatch) as found:
            server.run(work)
    assert found == [None, True, None]
    assert len(server.run(lambda db: stored(db, tenant))[0]) == 2


def test_a_taken_id_is_a_repeat(server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement fails on it as a whole, and the flush is run again with a look."""

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: NOW, flushers=1) as pipeline:
            for name in ("first", "second"):
                await pipeline.submit(sent(tenant, one(name)))
            other = event("second", NOW.isoformat(), account=NAMES[0], tokens=2)
            receipt = await pipeline.submit(sent(tenant, one("third"), one("first"), other))
            assert receipt.states == {State.COMPLETED_EVENT_METERED: 1, State.FAILED_DUPLICATE_EVENT: 2}

    with watched(monkeypatch) as found:
        server.run(work)
    assert found == [None, True]
    assert len(server.run(lambda db: stored(db, tenant))[0]) == 3
    assert server.broken(tenant, CHECKS) == []
