"""Behind a flush of many requests the next waits a moment for those who were answered; a lone sender never waits."""

import asyncio
from datetime import UTC, datetime

import pytest

from bursar.db.database import Database
from bursar.usage import pipeline as pipelines
from bursar.usage.flush import Receipt, Submission
from bursar.usage.flusher import Flusher
from bursar.usage.pipeline import MANY, Pipeline
from tests.conftest import Server, Tenant
from tests.http.test_flushers import ready, sent


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return ready(server)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many requests each flush has from now on, as they begin."""
    sizes: list[int] = []
    commit = Flusher.commit

    async def watched(self: Flusher, submissions: list[Submission]) -> list[Receipt]:
        sizes.append(len(submissions))
        return await commit(self, submissions)

    monkeypatch.setattr(Flusher, "commit", watched)
    monkeypatch.setattr(pipelines, "OVERDUE", 600.0)
    return sizes


async def first(pipeline: Pipeline, tenant: Tenant, count: int) -> None:
    """A flush of so many requests."""
    await asyncio.gather(*(pipeline.submit(sent(tenant, f"first{n}")) for n in range(count)))


def test_those_who_come_behind_many_are_stored_together(
    server: Server, tenant: Tenant, flushed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "LULL", 1.0)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC)) as pipeline:
            await first(pipeline, tenant, MANY)
            waiting = []
            for number in range(3):
                waiting.append(asyncio.create_task(pipeline.submit(sent(tenant, f"next{number}"))))
                await asyncio.sleep(0.05)
            assert flushed == [MANY], "they wait"
            await asyncio.wait_for(asyncio.gather(*waiting), 10)

    server.run(work)
    assert flushed == [MANY, 3]


@pytest.mark.parametrize(
    ("before", "events"),
    [(MANY - 1, 1), (MANY, 20)],
    ids=["behind few", "with many events"],
)
def test_others_do_not_wait(
    server: Server, tenant: Tenant, flushed: list[int], monkeypatch: pytest.MonkeyPatch, before: int, events: int
) -> None:
    monkeypatch.setattr(pipelines, "LULL", 600.0)
    monkeypatch.setattr(pipelines, "ENOUGH", 20)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC)) as pipeline:
            await first(pipeline, tenant, before)
            await asyncio.wait_for(pipeline.submit(sent(tenant, *(f"next{n}" for n in range(events)))), 10)

    server.run(work)
    assert flushed == [before, 1]


def test_a_pipeline_that_ends_waits_for_nobody(
    server: Server, tenant: Tenant, flushed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "LULL", 600.0)

    async def work(db: Database) -> None:
        async with Pipeline(db, lambda: datetime.now(UTC)) as pipeline:
            await first(pipeline, tenant, MANY)
            waiting = asyncio.create_task(pipeline.submit(sent(tenant, "last")))
            await asyncio.sleep(0.05)
        await asyncio.wait_for(waiting, 10)

    server.run(work)
    assert flushed == [MANY, 1]
