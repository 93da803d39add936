"""When Python looks for rubbish."""

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from bursar.core.heavy import turn
from bursar.db.database import Database
from bursar.runtime import collector
from bursar.usage.event import BATCH_LIMIT, parse_batch
from bursar.usage.flush import Submission
from bursar.usage.pipeline import QUEUE, Pipeline
from bursar.usage.states import State
from tests.conftest import Server
from tests.http.togai.catalog import customer, event, meter, schema


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@contextmanager
def looks() -> Iterator[list[int]]:
    """The sizes of those that begin in the block, with everything before it left alone."""
    begun: list[int] = []

    def heard(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            begun.append(gc.get_count()[0])

    gc.collect()
    collector.settle()
    gc.callbacks.append(heard)
    try:
        yield begun
    finally:
        gc.callbacks.remove(heard)


@pytest.mark.usefixtures("_as_it_was")
def test_events_that_wait_do_not_make_it_look() -> None:
    """It takes as long as there are of them, with everybody waiting, and finds nothing."""
    body = json.dumps({"events": [event(f"e{n}", "2024-05-10T09:01:00Z", tokens=1) for n in range(BATCH_LIMIT)]})
    with looks() as begun:
        waiting = [parse_batch(body.encode()) for _ in range(QUEUE // BATCH_LIMIT)]
    assert len(waiting) * BATCH_LIMIT == QUEUE
    assert begun == []


@pytest.mark.usefixtures("_as_it_was")
def test_nor_do_those_of_flushes_beside_them(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room to spare: a flood over 64 connections has more of them at once than this."""
    monkeypatch.setattr(collector, "WORTH", collector.WORTH * 2 // 3)
    tenant = server.workspace(clock=datetime(2024, 5, 10, 12, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    meter(tenant.http)
    meter(tenant.http, "calls", type="COUNTER", aggregation="COUNT", computations=[])

    def body(number: int) -> bytes:
        events = [event(f"{number}-{n}", "2024-05-10T09:01:00Z", tokens=1) for n in range(BATCH_LIMIT)]
        return json.dumps({"events": events}).encode()

    senders = QUEUE // BATCH_LIMIT
    bodies = [body(number) for number in range(2 * senders)]

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC)) as pipeline:

            async def send(one: int) -> None:
                for number in (one, one + senders):
                    await turn()
                    parsed = parse_batch(bodies[number])
                    receipt = await pipeline.submit(Submission(tenant.caller.workspace, None, parsed))
                    assert receipt.states == {State.COMPLETED_EVENT_METERED: BATCH_LIMIT}

            await asyncio.gather(*map(send, range(senders)))

    with looks() as begun:
        server.run(work)
    assert begun == []
