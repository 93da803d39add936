"""What flushers do between requests: when a second one sets out, and when they look which ids are taken."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from bursar.db.database import Database
from bursar.usage import at_once, repeats, rows
from bursar.usage import flush as flushes
from bursar.usage import flusher as flushers
from bursar.usage import pipeline as pipelines
from bursar.usage.event import parse_batch
from bursar.usage.flush import Submission
from bursar.usage.pipeline import Pipeline
from bursar.usage.rows import EventRow, Sums
from bursar.usage.states import State
from bursar.usage.verify import CHECKS
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, meter, schema
from tests.rounds import Rounds

AT = "2024-05-10T09:01:00Z"
NEW, REPEATED = State.COMPLETED_EVENT_METERED, State.FAILED_DUPLICATE_EVENT


def ready(server: Server) -> Tenant:
    tenant = server.workspace(clock=datetime(2024, 5, 10, 12, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    meter(tenant.http)
    return tenant


def sent(tenant: Tenant, *names: str) -> Submission:
    body = json.dumps({"events": [event(name, AT, tokens=1) for name in names]}).encode()
    return Submission(tenant.caller.workspace, None, parse_batch(body))


def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each flush from now on looks which ids are taken, as they come; one at once never does."""
    looked: list[bool] = []
    flush, at_once = flushers.__dict__["flush"], flushers.__dict__["flush_at_once"]

    async def watched(*arguments: object, look: bool = True) -> object:
        looked.append(look)
        return await flush(*arguments, look=look)

    async def watched_at_once(*arguments: object) -> object:
        looked.append(False)
        receipts = await at_once(*arguments)
        if receipts is None:
            looked.pop()
        return receipts

    monkeypatch.setattr(flushers, "flush", watched)
    monkeypatch.setattr(flushers, "flush_at_once", watched_at_once)
    return looked


def test_repeats_are_repeats_whether_or_not_anybody_looked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids at random, some new and some not, through flushes of which some look and some meet what is there."""
    monkeypatch.setattr(flushers, "CAUTION", 2)
    tenant, chance, seen = ready(server), random.Random(7), set[str]()
    told, expected = Counter[State](), Counter[State]()

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for number in range(60):
                fresh = [f"fresh-{number}-{n}" for n in range(chance.choice((1, 3, 150)))]
                again = chance.sample(sorted(seen), min(len(seen), 2)) if chance.random() < 0.3 else []
                receipt = await pipeline.submit(sent(tenant, *fresh, *again))
                told.update(receipt.states)
                expected.update({NEW: len(fresh), REPEATED: len(again)})
                assert receipt.states.get(REPEATED, 0) == len(again)
                seen.update(fresh)

    server.run(work)
    assert told == +expected
    assert told[REPEATED] > 10, "or nothing was tried"
    balance = expect(tenant.http.get("/bursar/v1/ingest/balance"), 200)
    assert (balance["metered"], balance["duplicate"]) == (expected[NEW], expected[REPEATED])


def test_a_flusher_looks_for_as_long_as_it_meets_repeats(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = looks(monkeypatch)
    monkeypatch.setattr(flushers, "CAUTION", 2)
    tenant = ready(server)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for name in ("a", "b", "a", "c", "a", "d", "e", "f"):
                await pipeline.submit(sent(tenant, name))

    server.run(work)
    # The third meets one unawares and begins anew; the fifth has looked; two more do, then no longer.
    assert looked == [False, False, False, True, True, True, True, True, False]


def test_events_do_not_wait_behind_those_of_another_workspace(server: Server) -> None:
    """They are too few for a second flusher, but the first one waits for a change of its workspace."""
    held, free = ready(server), ready(server)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC)) as pipeline:
            with psycopg.connect(server.dsn) as change:
                change.execute("select pg_advisory_xact_lock(7215002, %s)", [held.caller.workspace])
                waiting = asyncio.create_task(pipeline.submit(sent(held, "held")))
                await asyncio.sleep(0.1)
                receipt = await asyncio.wait_for(pipeline.submit(sent(free, "free")), 5)
                assert receipt.states == {NEW: 1}
                assert not waiting.done()
            assert (await asyncio.wait_for(waiting, 5)).states == {NEW: 1}

    server.run(work)


def test_an_import_looks_once_it_met_what_is_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = looks(monkeypatch)
    monkeypatch.setattr(flushers, "CAUTION", 1)
    tenant = ready(server)
    known = []

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for names in ("ab", "bc", "cd", "ef", "gh"):
                receipt = await pipeline.submit(replace(sent(tenant, *names), skip_known=True))
                known.append(receipt.known)

    server.run(work)
    assert known == [0, 1, 1, 0, 0]
    assert looked == [False, False, True, True, True, False]


@pytest.mark.parametrize(("requests", "size", "most"), [(30, 4, 12), (1, 120, 10), (3, 40, 10)])
def test_others_have_their_turn_while_a_large_flush_is_judged(
    server: Server, monkeypatch: pytest.MonkeyPatch, requests: int, size: int, most: int
) -> None:
    """A stretch is what fills it: requests whole, or parts of them."""
    rounds, judged = Rounds(), Counter[int]()
    judge = flushes.__dict__["judge"]

    def watched(*arguments: object, **options: object) -> object:
        judged[rounds.number] += 1
        return judge(*arguments, **options)

    monkeypatch.setattr(flushes, "judge", watched)
    monkeypatch.setattr(flushes, "STRETCH", 10)
    tenant = ready(server)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline, rounds.counted():
            some = [sent(tenant, *(f"{number}-{n}" for n in range(size))) for number in range(requests)]
            for receipt in await pipeline.submit_all(some):
                assert not isinstance(receipt, Exception)

    server.run(work)
    assert judged.total() == 120
    assert max(judged.values()) == most


@pytest.mark.parametrize("size", [64, 99, 100, 101, 150])
def test_what_is_stored_piece_by_piece_is_all_there(server: Server, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Also where one id turns out to be taken while other pieces are on their way."""
    monkeypatch.setattr(rows, "STRETCH", 50)
    tenant = ready(server)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            first = await pipeline.submit(sent(tenant, *(f"first-{n}" for n in range(size))))
            assert first.states == {NEW: size}
            names = [f"second-{n}" for n in range(size - 1)]
            second = await pipeline.submit(sent(tenant, *names, "first-0"))
            assert second.states == {NEW: size - 1, REPEATED: 1}

    server.run(work)
    balance = expect(tenant.http.get("/bursar/v1/ingest/balance"), 200)
    assert (balance["metered"], balance["duplicate"]) == (2 * size - 1, 1)
    for name in ("first-0", f"first-{size - 1}", f"second-{size - 2}"):
        events = expect(tenant.http.get(f"/events/{name}"), 200)["events"]
        assert {one["eventPayload"]["id"] for one in events} == {name}
    assert server.broken(tenant, CHECKS) == []


def test_others_have_their_turn_while_a_large_flush_is_stored(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds()
    settled, packed, summed, written = Counter[int](), Counter[int](), Counter[int](), Counter[int]()
    settle, pack, add, array = repeats.settle, rows.__dict__["_Packer"].packed, Sums.add, rows.array

    def settling(some: Sequence[EventRow], *rest: Any) -> repeats.Settled:
        settled[rounds.number] += len(some)
        return settle(some, *rest)

    def packing(packer: object, some: Sequence[EventRow]) -> bytes:
        packed[rounds.number] += len(some)
        made: bytes = pack(packer, some)
        return made

    def adding(sums: Sums, some: Sequence[EventRow]) -> None:
        summed[rounds.number] += len(some)
        add(sums, some)

    def writing(values: list[Any]) -> str:
        written[rounds.number] += len(values)
        return array(values)

    monkeypatch.setattr(repeats, "settle", settling)
    monkeypatch.setattr(rows.__dict__["_Packer"], "packed", packing)
    monkeypatch.setattr(Sums, "add", adding)
    monkeypatch.setattr(rows, "array", writing)
    monkeypatch.setattr(rows, "integers", writing)
    monkeypatch.setattr(rows, "STRETCH", 10)
    monkeypatch.setattr(rows, "SORTED", 20)
    monkeypatch.setattr(rows, "CELLS", 5)
    monkeypatch.setattr(rows, "SHARED_FROM", 1)
    monkeypatch.setattr(flushes, "STRETCH", 10)
    monkeypatch.setattr(flushes, "LIGHT_STRETCH", 20)
    tenant = ready(server)
    for number in range(40):
        customer(tenant.http, f"customer-{number}", id=f"account-{number}")
    events = [event(f"e{n}", AT, tokens=1) | {"accountId": f"account-{n % 40}"} for n in range(120)]
    submission = Submission(tenant.caller.workspace, None, parse_batch(json.dumps({"events": events}).encode()))

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline, rounds.counted():
            assert (await pipeline.submit(submission)).states == {NEW: 120}

    server.run(work)
    assert settled.total() == packed.total() == summed.total() == 120
    assert max(settled.values()) == 20
    assert max(packed.values()) == max(summed.values()) == 10
    assert written.total() == 5 * 40, "five columns of a cell for each account"
    assert max(written.values()) == 5 * 5, "those of one of the eight rows into which the sums are shared out"


def test_the_events_of_a_large_request_are_let_go_of_behind_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, after = ready(server), list[int]()
    monkeypatch.setattr(pipelines, "FEW", 100)
    monkeypatch.setattr("bursar.core.heavy.PIECE", 10)
    large = sent(tenant, *(f"large-{number}" for number in range(700)))
    small = sent(tenant, *(f"small-{number}" for number in range(100)))

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            receipts = await asyncio.gather(pipeline.submit(large), pipeline.submit(small))
            assert [dict(receipt.states) for receipt in receipts] == [{NEW: 700}, {NEW: 100}]
            after.append(len(large.parsed.events))
            for _ in range(400):
                await asyncio.sleep(0)
            after.append(len(large.parsed.events))

    server.run(work)
    assert after[0] > 500, "not all of them in the round of the answer"
    assert after[1] == 0
    assert len(small.parsed.events) == 100, "few are freed with the request"


def test_a_repeat_waits_for_nobody_who_holds_the_event_of_its_id(server: Server) -> None:
    """Only what was refused may lose its place to another attempt, so only that is held."""
    tenant = ready(server)
    lost = json.dumps({"events": [event("lost", AT, tokens=1) | {"accountId": "nobody"}]}).encode()
    refused = Submission(tenant.caller.workspace, None, parse_batch(lost))

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=2) as pipeline:
            assert (await pipeline.submit(sent(tenant, "let in"))).states == {NEW: 1}
            assert (await pipeline.submit(refused)).states == {State.FAILED_ACCOUNT_NOT_FOUND: 1}
            with psycopg.connect(server.dsn, options="-c search_path=bursar") as holder:
                held = holder.execute(
                    "select from event_key where workspace = %s for update", (tenant.caller.workspace,)
                )
                assert held.rowcount == 2
                again = await asyncio.wait_for(pipeline.submit(sent(tenant, "let in", "new")), 20)
                assert again.states == {REPEATED: 1, NEW: 1}
                attempt = asyncio.create_task(pipeline.submit(refused))
                done, _ = await asyncio.wait([attempt], timeout=0.5)
                assert not done, "somebody may be about to change it"
                holder.rollback()
            assert (await attempt).states == {REPEATED: 1}

    server.run(work)
    assert server.broken(tenant, CHECKS) == []


def test_a_large_flush_asks_for_a_few_ids_before_it_relies_on_none_being_taken(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flushes, "SAMPLED_FROM", 100)
    monkeypatch.setattr(at_once, "MOST", 99)
    monkeypatch.setattr(flushes, "SAMPLE", 20)
    tenant, looked, runs = ready(server), looks(monkeypatch), list[int]()
    names = [f"e{number}" for number in range(100)]

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC), flushers=1) as pipeline:
            for batch, known in (
                (names, 0),
                (names, 100),  # every fifth is asked for: known before anything is stored twice
                ([f"new-{name}" for name in names], 0),
            ):
                pipeline.__dict__["_caution"].flushes = 0
                receipt = await pipeline.submit(sent(tenant, *batch))
                assert receipt.states.get(REPEATED, 0) == known
                runs.append(len(looked))
            # A repeat that is not among those is met by its unique key: run again, with a look.
            pipeline.__dict__["_caution"].flushes = 0
            receipt = await pipeline.submit(sent(tenant, *(f"last-{name}" for name in names[:99]), "e7"))
            assert receipt.states == {NEW: 99, REPEATED: 1}

    server.run(work)
    assert runs == [1, 2, 3]
    assert looked == [False, False, False, False, True]
