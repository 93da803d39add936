"""What flushes measured counts at once, and is folded into the rollups a moment later, once."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from bursar.db.database import Connection, Database, Session
from bursar.usage import folding, quantities, rows
from bursar.usage.event import parse_batch
from bursar.usage.flush import Submission
from bursar.usage.folding import Folding
from bursar.usage.pipeline import Pipeline
from bursar.usage.verify import CHECKS
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, meter, schema

START = datetime(2024, 5, 10, tzinfo=UTC)
NAMES = [f"account{number}" for number in range(10)]
BOUNDS = [START + timedelta(hours=hours) for hours in (0, 3, 30, 48, 96, 125, 130)]
"""Within a day, across one midnight, up to one, two whole days, a day and pieces of two."""
PLACES = range(len(BOUNDS) - 1)


@pytest.fixture
def tenant(server: Server) -> Tenant:
    """Ten accounts and two meters, of which one measures tokens and the other one counts events."""
    made = server.workspace(clock=START + timedelta(days=6))
    for name in NAMES:
        customer(made.http, name, aliases=[f"alias-{name}"])
    schema(made.http)
    meter(made.http)
    meter(made.http, "calls", computations=[{"computation": "1", "order": 1}], type="COUNTER")
    return made


@pytest.fixture
def unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is folded in before a pipeline stops."""
    monkeypatch.setattr(folding, "BEAT", timedelta(hours=1))


def happened(number: int) -> datetime:
    """When the event of a number did: over five days, twice as densely in the first hours."""
    return START + timedelta(minutes=number * 37 % (7200 if number % 3 else 300))


def some(tenant: Tenant, first: int, count: int) -> Submission:
    """Events of all accounts in turn."""
    body = [
        event(f"e{n}", (happened(n)).isoformat(), account=NAMES[n % 10], tokens=n % 7)
        for n in range(first, first + count)
    ]
    return Submission(tenant.caller.workspace, None, parse_batch(json.dumps({"events": body}).encode()))


async def admit(db: Database, tenant: Tenant, sizes: Sequence[int]) -> None:
    """A flush of each size."""
    async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
        first = 0
        for size in sizes:
            await pipeline.submit(some(tenant, first, size))
            first += size


def expected(count: int) -> dict[tuple[str, str, int], Decimal]:
    """By account, meter and place among the bounds: what the first `count` events come to."""
    found: dict[tuple[str, str, int], Decimal] = {}
    for n in range(count):
        place = sum(happened(n) >= bound for bound in BOUNDS) - 1
        for name, quantity in (("tokens", n % 7), ("calls", 1)):
            key = (NAMES[n % 10], name, place)
            found[key] = found.get(key, Decimal(0)) + quantity
    return {key: quantity for key, quantity in found.items() if quantity}


async def keys(connection: Connection, tenant: Tenant, statement: str) -> dict[str, int]:
    """Names and keys."""
    return {row["name"]: row["key"] for row in await connection.fetch(statement, tenant.caller.workspace)}


async def read(connection: Connection, tenant: Tenant) -> dict[tuple[str, str, int], Decimal]:
    """The same by the product, in three ways that must agree."""
    accounts = await keys(connection, tenant, "select togai_id as name, key from account where workspace = $1")
    meters = await keys(connection, tenant, "select name, key from usage_meter where workspace = $1")
    wanted = [
        (a, m, p, (accounts[a], meters[m], BOUNDS[p], BOUNDS[p + 1])) for a in NAMES for m in meters for p in PLACES
    ]
    workspace = tenant.caller.workspace
    totals = await quantities.sums(connection, workspace, [entry[3] for entry in wanted])
    by_key = {entry[:3]: total for entry, total in zip(wanted, totals, strict=True) if total}
    account_of, meter_of = ({key: name for name, key in found.items()} for found in (accounts, meters))
    for chosen in (None, list(accounts.values())):
        points = await quantities.series(connection, workspace, BOUNDS, chosen)
        by_series = {(account_of[p.account], meter_of[p.meter], p.place): p.quantity for p in points if p.quantity}
        assert by_series == by_key
    for name in NAMES[:3]:
        (one,) = await quantities.sums(connection, workspace, [(accounts[name], meters["calls"], START, BOUNDS[-1])])
        assert one == sum(quantity for key, quantity in by_key.items() if key[:2] == (name, "calls"))
        points = await quantities.series(
            connection, workspace, [START, BOUNDS[-1]], [accounts[name]], [meters["calls"]]
        )
        assert sum(point.quantity for point in points) == one
    return by_key


async def counts(connection: Connection, tenant: Tenant) -> tuple[int, int]:
    """Rows that wait to be folded in, and rollups."""
    row = await connection.fetchrow(
        "select (select count(*) from usage_delta where workspace = $1) as waiting,"
        " (select count(*) from usage_rollup where workspace = $1) as rollups",
        tenant.caller.workspace,
    )
    assert row is not None
    return row["waiting"], row["rollups"]


@pytest.mark.parametrize(("shared_from", "at_once"), [(1, 3), (1, 1000), (10_000, 1), (10_000, 2)])
def test_usage_is_the_same_before_and_after_it_is_folded_in(
    server: Server, tenant: Tenant, unfolded: None, monkeypatch: pytest.MonkeyPatch, shared_from: int, at_once: int
) -> None:
    monkeypatch.setattr(folding, "AT_ONCE", at_once)
    monkeypatch.setattr(rows, "SHARED_FROM", shared_from)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for first, size in ((0, 3), (3, 100), (103, 1), (104, 200)):
                await pipeline.submit(some(tenant, first, size))
            async with db.transaction(tenant.caller.workspace) as connection:
                waiting, rollups = await counts(connection, tenant)
                # The small ones have an account or several, the larger ones all ten: of each remainder but two by two.
                assert (waiting, rollups) == (3 + 8 + 1 + 8 if shared_from == 1 else 4, 0)
                assert await read(connection, tenant) == expected(304)
        async with db.transaction(tenant.caller.workspace) as connection:
            waiting, rollups = await counts(connection, tenant)
            assert waiting == 0
            assert rollups > 100
            assert await read(connection, tenant) == expected(304)

    server.run(work)
    assert server.broken(tenant, CHECKS) == []


def test_readers_see_what_is_being_folded_in_once(server: Server, tenant: Tenant, unfolded: None) -> None:
    """In the middle of it, and with what is corrected meanwhile."""

    async def work(db: Database) -> None:
        pipeline = Pipeline(db, lambda: datetime.now(UTC), flushers=1)
        await admit(db, tenant, [50])
        pipeline.start()
        try:
            await pipeline.submit(some(tenant, 50, 100))
            async with db.transaction(None) as folder:
                assert await folder.fetchval(folding.queries.fold, tenant.caller.workspace, 10) == 1
                assert (await counts(folder, tenant))[0] == 0
                async with db.transaction(tenant.caller.workspace) as reader:
                    assert (await counts(reader, tenant))[0] == 1
                    assert await read(reader, tenant) == expected(150)
            async with db.transaction(tenant.caller.workspace) as reader:
                assert await read(reader, tenant) == expected(150)
        finally:
            await pipeline.stop()

    server.run(work)


def test_many_fold_at_once(server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes would: each flushes and folds without a pause, and each sum arrives once."""
    monkeypatch.setattr(folding, "BEAT", timedelta(0))

    async def work(db: Database) -> None:
        async with (
            Pipeline(db, lambda: datetime.now(UTC)) as one,
            Pipeline(db, lambda: datetime.now(UTC)) as two,
            Pipeline(db, lambda: datetime.now(UTC)) as three,
        ):
            await asyncio.gather(
                *((one, two, three)[n % 3].submit(some(tenant, n * 20, 20)) for n in range(60)),
            )
        async with db.transaction(tenant.caller.workspace) as connection:
            assert (await counts(connection, tenant))[0] == 0
            assert await read(connection, tenant) == expected(1200)

    server.run(work)
    assert server.broken(tenant, CHECKS) == []


def test_what_a_killed_process_left_is_folded_in_by_the_next(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "BEAT", timedelta(milliseconds=10))

    async def work(db: Database) -> None:
        with monkeypatch.context() as killed:
            killed.setattr(Folding, "_fold", nothing)
            await admit(db, tenant, [30])
        async with db.transaction(tenant.caller.workspace) as connection:
            assert await counts(connection, tenant) == (1, 0)
        async with Pipeline(db, lambda: datetime.now(UTC)):
            await folded(db, tenant)

    async def nothing(_: Folding) -> None: ...

    server.run(work)
    assert server.broken(tenant, CHECKS) == []


async def folded(db: Database, tenant: Tenant) -> None:
    """Wait until nothing waits."""
    for _ in range(1000):
        async with db.transaction(tenant.caller.workspace) as connection:
            waiting, rollups = await counts(connection, tenant)
        if not waiting:
            assert rollups
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was folded in")


def test_a_fold_that_fails_is_tried_again(server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is cut while it waits for its turn."""
    monkeypatch.setattr(folding, "BEAT", timedelta(milliseconds=10))
    cut = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = %s and not granted"

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            with psycopg.connect(server.dsn, autocommit=True) as other:
                other.execute("select pg_advisory_lock(7215006, %s)", [tenant.caller.workspace])
                await pipeline.submit(some(tenant, 0, 30))
                for _ in range(1000):
                    if other.execute(cut, [tenant.caller.workspace]).rowcount:
                        break
                    await asyncio.sleep(0.01)
                else:
                    raise AssertionError("nobody tried to fold")
                assert await waiting_of(db, tenant) == 1
            await folded(db, tenant)

    server.run(work)
    assert server.broken(tenant, CHECKS) == []


def test_what_takes_long_beside_others_is_done_at_their_cost_for_a_while(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By which sessions it is done: gently at first, and again a while later."""
    monkeypatch.setattr(folding, "BEAT", timedelta(milliseconds=10))
    monkeypatch.setattr(folding, "HURRY", 2)
    gentle: list[bool] = []
    made = Database.session

    def session(db: Database, *setup: str, gentle: bool = False) -> Session:
        found = made(db, *setup, gentle=gentle)
        if folding.LAZILY in setup:
            monkeypatch.setattr(found, "transaction", noted(found.transaction, gentle))
        return found

    def noted(transaction: Callable[[str], AbstractAsyncContextManager[Connection]], kind: bool) -> object:
        def begun(first: str = "") -> AbstractAsyncContextManager[Connection]:
            if first:
                gentle.append(kind)
            return transaction(first)

        return begun

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for n in range(4):
                with psycopg.connect(server.dsn, autocommit=True) as other:
                    if n == 1:
                        other.execute("select pg_advisory_lock(7215006, %s)", [tenant.caller.workspace])
                    await pipeline.submit(some(tenant, n * 20, 20))
                    await asyncio.sleep(folding.SLOW + 0.2 if n == 1 else 0)
                await folded(db, tenant)
                while len(gentle) < 2 * n + 2:  # to fold and to list
                    await asyncio.sleep(0.01)
                await asyncio.sleep(folding.HURRY + 0.1 if n == 2 else 0.05)

    monkeypatch.setattr(Database, "session", session)
    server.run(work)
    assert [set(gentle[at : at + 2]) for at in range(0, 8, 2)] == [{True}, {True}, {False}, {True}]


async def waiting_of(db: Database, tenant: Tenant) -> int:
    """Rows that wait to be folded in."""
    async with db.transaction(tenant.caller.workspace) as connection:
        return (await counts(connection, tenant))[0]


def test_a_repeat_adds_nothing(server: Server, tenant: Tenant) -> None:
    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for _ in range(3):
                await pipeline.submit(replace(some(tenant, 0, 20), skip_known=True))
        async with db.transaction(tenant.caller.workspace) as connection:
            assert await read(connection, tenant) == expected(20)

    server.run(work)
    found = expect(tenant.http.get("/bursar/v1/ingest/balance"), 200)
    assert (found["metered"], found["duplicate"]) == (20, 0)


def test_a_day_that_is_not_what_its_quarters_say_is_found(server: Server, tenant: Tenant) -> None:
    server.run(lambda db: admit(db, tenant, [40]))
    assert server.broken(tenant, CHECKS) == []
    with psycopg.connect(server.dsn, options="-c search_path=bursar") as connection:
        change = "update usage_day set quantity = quantity + %s where workspace = %s and quantity > 0"
        changed = connection.execute(change, [1, tenant.caller.workspace]).rowcount
        connection.commit()
        found = server.broken(tenant, CHECKS)
        assert len(found) == min(changed, 20)
        connection.execute(change, [-1, tenant.caller.workspace])
    assert server.broken(tenant, CHECKS) == []


def test_the_trouble_of_one_workspace_is_not_another_s(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "BEAT", timedelta(milliseconds=10))
    other = server.workspace(clock=START + timedelta(days=6))
    customer(other.http, NAMES[0])
    schema(other.http)
    meter(other.http)
    fold, troubles = Folding.__dict__["_folded"], [ZeroDivisionError("odd"), ZeroDivisionError("odder")]

    async def troubled(self: Folding, workspace: int) -> object:
        if workspace == tenant.caller.workspace and troubles:
            raise troubles.pop()
        return await fold(self, workspace)

    monkeypatch.setattr(Folding, "_folded", troubled)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            await asyncio.gather(pipeline.submit(some(tenant, 0, 20)), pipeline.submit(some(other, 0, 20)))
            await folded(db, other)
            await folded(db, tenant)

    server.run(work)
    assert not troubles
    assert server.broken(tenant, CHECKS) == []
    assert server.broken(other, CHECKS) == []
