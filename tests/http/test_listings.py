"""The events of an account are found by lists of them: the right ones, in the right order, whatever became of them."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bursar.db.database import Connection, Database
from bursar.usage import events, folding, listings, metrics
from bursar.usage.event import parse_batch
from bursar.usage.flush import Submission
from bursar.usage.pipeline import Pipeline
from bursar.usage.states import State
from bursar.usage.verify import CHECKS
from tests.conftest import Server, Tenant, broken_after
from tests.http.togai.catalog import customer, event, expect, ingest, meter, schema

START = datetime(2024, 5, 10, tzinfo=UTC)
DAYS = 6
END = START + timedelta(days=DAYS)
NAMES = ["often", "now and then", "seldom", "never"]
SIZES = (3, 90, 1, 40, 64, 200, 5, 130)
"""Events of each flush: some go by COPY, some have enough of an account for lists of its own, some are listed later."""

Place = tuple[int, int]


@pytest.fixture
def tenant(server: Server, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """Accounts and a meter; lists are short, and searches look at few of them at first."""
    for name, value in (("FEW", 3), ("MOST", 50), ("_SCAN", 4), ("LONGEST", 7), ("LONG", 30), ("EVENTS_AT_ONCE", 60)):
        monkeypatch.setattr(listings, name, value)
    made = server.workspace(clock=END)
    for name in NAMES:
        customer(made.http, name)
    schema(made.http)
    meter(made.http)
    return made


def account_of(number: int) -> str:
    return "seldom" if number % 50 == 7 else "now and then" if number % 9 == 1 else "often"


def happened(number: int) -> datetime:
    """Many at the same instant or next to it, and in no order."""
    return START + timedelta(minutes=number * 7919 % (DAYS * 1440) // 1440 * 1440, microseconds=number % 11)


async def fill(db: Database, tenant: Tenant) -> None:
    """Flushes by one pipeline and another one, each of which ends with a fold."""
    first = 0
    for part in (SIZES[:5], SIZES[5:]):
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for size in part:
                numbers = range(first, first + size)
                body = [event(f"e{n}", happened(n).isoformat(), account=account_of(n), tokens=1) for n in numbers]
                sent = parse_batch(json.dumps({"events": body}).encode())
                await pipeline.submit(Submission(tenant.caller.workspace, None, sent))
                first += size


async def raw(connection: Connection, tenant: Tenant, name: str) -> tuple[int, list[Any]]:
    """An account's key, and its events as they lie in the table."""
    workspace = tenant.caller.workspace
    key = await connection.fetchval("select key from account where workspace = $1 and togai_id = $2", workspace, name)
    rows = await connection.fetch(
        "select chunk, position, occurred_at, state from event_key where workspace = $1 and account = $2"
        " union all select chunk, position, occurred_at, state from event_repeat where workspace = $1 and account = $2",
        workspace, key,
    )  # fmt: skip
    return key, list(rows)


async def arrived(connection: Connection, tenant: Tenant, key: int, limit: int, states: Any) -> list[Place]:
    """The places of an account's events by pages of the product."""
    found: list[Place] = []
    after = None
    while True:
        page = await events.list_events(
            connection, tenant.caller.workspace, account=key, schema_name=None, states=states, after=after, limit=limit
        )
        assert len(page.items) <= limit
        found += [tuple(map(int, kept.reference.split(".")[1:])) for kept in page.items]  # type: ignore[misc]
        after = page.after
        if after is None:
            return found


async def by_time(connection: Connection, tenant: Tenant, key: int, start: datetime, end: datetime, limit: int) -> Any:
    found: list[Any] = []
    bookmark = (start, -1, -1)
    while True:
        rows = await listings.metered(connection, tenant.caller.workspace, key, start, end, bookmark, limit)
        found += [(row["occurred_at"], row["chunk"], row["position"]) for row in rows]
        if len(rows) < limit:
            return found
        bookmark = found[-1]


async def check(db: Database, tenant: Tenant, draw: random.Random, names: Sequence[str] = NAMES) -> None:
    """Each way to read an account's events gives what the table has."""
    async with db.transaction(tenant.caller.workspace) as connection:
        for name in names:
            key, rows = await raw(connection, tenant, name)
            for states in (None, [State.COMPLETED_EVENT_METERED], [State.FAILED_DUPLICATE_EVENT]):
                expected = [(r["chunk"], r["position"]) for r in rows if states is None or r["state"] in states]
                assert await arrived(connection, tenant, key, draw.choice((1, 2, 10, 500)), states) == sorted(
                    expected, reverse=True
                )
            for _ in range(4):
                start, end = sorted(happened(draw.randrange(sum(SIZES))) for _ in range(2))
                await check_span(connection, tenant, key, rows, start, end, draw)


async def check_span(
    connection: Connection,
    tenant: Tenant,
    key: int,
    rows: Sequence[Any],
    start: datetime,
    end: datetime,
    draw: random.Random,
) -> None:
    within = [r for r in rows if start <= r["occurred_at"] < end]
    metered = sorted((r["occurred_at"], r["chunk"], r["position"]) for r in within if r["state"] == 1)
    assert await by_time(connection, tenant, key, start, end, draw.choice((1, 5, 500))) == metered
    wanted = draw.choice((1, 10, 1000))
    latest = await listings.latest(connection, tenant.caller.workspace, key, start, end, wanted, 1000)
    ordered = sorted((r["occurred_at"], r["chunk"], r["position"]) for r in within if r["state"] in (1, 2, 3))[::-1]
    least = ordered[min(wanted, len(ordered)) - 1][0] if ordered else end
    assert [(r["occurred_at"], r["chunk"], r["position"]) for r in latest] == [o for o in ordered if o[0] >= least]
    if start < end:
        counts = await metrics.event_counts(connection, tenant.caller.workspace, [start, end], [key])
        assert sum(count.events for count in counts) == len(within)


@pytest.mark.parametrize("seed", [1, 2])
def test_reads_by_account_give_what_is_there(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async def work(db: Database) -> None:
        with monkeypatch.context() as hurried:
            hurried.setattr(folding.Folding, "_fold", nothing)
            await fill(db, tenant)
        await check(db, tenant, random.Random(seed))  # before anything but the longest lists is made
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1):
            pass
        async with db.transaction(None) as connection:
            left = "select count(*) from event_unlisted where workspace = $1"
            assert await connection.fetchval(left, tenant.caller.workspace) == 0
        await check(db, tenant, random.Random(seed))

    server.run(work)
    assert server.broken(tenant, CHECKS) == []


async def nothing(_: folding.Folding) -> None:
    """Fold nothing in."""


def test_events_that_change_are_found_where_they_are(server: Server, tenant: Tenant) -> None:
    """Corrected ones, which may be of another account or time then, repeats, and refused ones that are let in later."""
    server.run(lambda db: fill(db, tenant))
    draw = random.Random(5)
    for number in draw.sample(range(sum(SIZES)), 12):
        action = draw.choice(("UNDO", "REDO", "REDO_EVENT"))
        body = {"event": event(f"e{number}", happened(number + 1).isoformat(), account=draw.choice(NAMES), tokens=2)}
        sent: Any = {"json": body} if action == "REDO_EVENT" else {}
        expect(tenant.http.post("/events/correction", params={"action": action, "event_id": f"e{number}"}, **sent), 200)
    strangers = [event(f"s{n}", happened(n).isoformat(), account="stranger", tokens=1) for n in range(9)]
    again = [event(f"e{n}", happened(n).isoformat(), account=account_of(n), tokens=1) for n in range(9)]
    ingest(tenant.http, *strangers, *again)
    customer(tenant.http, "stranger")
    # One comes again, which takes its place; the others are judged anew where they lie.
    ingest(tenant.http, strangers[0])
    answer = tenant.http.post("/bursar/v1/ingest/rejected/replay", json={"ids": [one["id"] for one in strangers]})
    assert {one["replayed"] for one in expect(answer, 200)["outcomes"][1:]} == {True}

    async def work(db: Database) -> None:
        await check(db, tenant, draw, [*NAMES, "stranger"])
        async with db.transaction(tenant.caller.workspace) as connection:
            _, rows = await raw(connection, tenant, "stranger")
            assert sorted(row["state"] for row in rows) == [1] * 9

    server.run(work)
    assert server.broken(tenant, CHECKS) == []


@pytest.mark.parametrize(
    "damage",
    [
        "delete from event_listing where workspace = $1 and first_chunk % 2 = 0",
        "update event_listing set account = -1 where workspace = $1",
        "update event_listing set first_tick = last_tick + 1 where workspace = $1",
        "update event_listing set last_chunk = 0 where workspace = $1",
        "update event_listing set ticks[1] = ticks[1] + 1 where workspace = $1",
    ],
)
def test_verify_tells_of_events_that_no_list_has(server: Server, tenant: Tenant, damage: str) -> None:
    async def work(db: Database) -> None:
        await fill(db, tenant)
        (listed,) = [one for one in CHECKS if one.name == "every event is found by its account"]
        found = await broken_after(db, tenant.caller, [listed], damage, tenant.caller.workspace)
        assert "lists of their accounts lack" in found[listed][0]

    server.run(work)
