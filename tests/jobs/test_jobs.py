"""Jobs in a real database: states, workers that share them, workers that die."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, Unavailable, WrongState
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.jobs import service
from bursar.jobs.model import Counts, Job, Kind, Status, decide, outcome
from bursar.jobs.running import begin, finish, open_jobs, run_entries
from bursar.jobs.service import NewJob

NAMES = [f"object-{number}" for number in range(12)]


async def ask(db: Database, caller: Caller, names: list[str], *, confirm: bool = False) -> Job:
    async with db.transaction(caller.workspace) as connection:
        return await service.ask(connection, caller, NewJob(Kind.PRICE_PLAN, {"a": "b"}, names, confirm))


async def look(db: Database, caller: Caller, job: Job) -> Job:
    async with db.transaction(caller.workspace) as connection:
        return await service.find(connection, caller.workspace, job.id)


async def entries(db: Database, caller: Caller, job: Job) -> list[tuple[str, str, str | None]]:
    async with db.transaction(caller.workspace) as connection:
        page = await service.list_entries(connection, caller.workspace, job.id, None, 100)
    return [(entry.entity, entry.status, entry.reason) for entry in page.items]


async def effects(db: Database, caller: Caller) -> Counter[str]:
    """How often the work was done to each object: a row of the trail each time, in the work's own transaction."""
    async with db.transaction(caller.workspace) as connection:
        rows = await connection.fetch(
            "select object from audit where workspace = $1 and action = 'touch'", caller.workspace
        )
    return Counter(row["object"] for row in rows)


async def run(db: Database, caller: Caller, job: Job, work: Any) -> None:
    begun = await begin(db, caller, job.id)
    if begun.status is Status.IN_PROGRESS:
        await run_entries(db, caller, begun, work)
        await finish(db, caller, begun)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("confirmed", [True, False])
def test_only_what_waits_is_decided_on(status: Status, confirmed: bool) -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    job = Job(1, "job.x", Kind.BILL_RUN, status, {}, None, moment, moment, None, Counts(0, 0, 0, 0))
    if status is Status.WAITING_FOR_CONFIRMATION:
        assert decide(job, confirmed=confirmed) is (Status.PENDING if confirmed else Status.CANCELLED)
    else:
        with pytest.raises(WrongState, match=rf"job\.x.*{status}"):
            decide(job, confirmed=confirmed)


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        (Counts(0, 0, 0, 0), Status.COMPLETED),
        (Counts(0, 5, 0, 0), Status.COMPLETED),
        (Counts(0, 5, 0, 2), Status.COMPLETED),
        (Counts(0, 5, 1, 0), Status.FAILED),
        (Counts(0, 0, 3, 0), Status.FAILED),
    ],
)
def test_how_a_job_ends(counts: Counts, status: Status) -> None:
    assert outcome(counts) is status


async def test_from_asking_to_the_end(database: Database, caller: Caller) -> None:
    at_noon = replace(caller, now=datetime(2024, 5, 1, 12, tzinfo=UTC))
    job = await ask(database, at_noon, NAMES[:3])
    assert (job.status, job.moment, job.counts) == (Status.PENDING, at_noon.now, Counts(3, 0, 0, 0))
    assert (caller.workspace, job.id) in await open_jobs(database)

    async def work(connection: Connection, entity: str) -> None:
        await audit.record(connection, caller, "touch", "object", entity)
        if entity == NAMES[1]:
            raise WrongState("not this one")

    await run(database, caller, job, work)
    ended = await look(database, caller, job)
    assert (ended.status, ended.counts) == (Status.FAILED, Counts(0, 2, 1, 0))
    assert ended.settled_at is not None
    assert await entries(database, caller, job) == [
        (NAMES[0], "COMPLETED", None),
        (NAMES[1], "FAILED", "not this one"),
        (NAMES[2], "COMPLETED", None),
    ]
    assert await effects(database, caller) == {NAMES[0]: 1, NAMES[2]: 1}, "nothing is left of what was refused"
    assert (caller.workspace, job.id) not in await open_jobs(database)
    await run(database, caller, job, work)
    assert await look(database, caller, job) == ended, "what has ended is not run again"


async def test_confirmed_and_rejected(database: Database, caller: Caller) -> None:
    waiting = [await ask(database, caller, NAMES[:2], confirm=True) for _ in range(2)]
    assert [(job.status, job.moment) for job in waiting] == [(Status.WAITING_FOR_CONFIRMATION, None)] * 2
    assert not {(caller.workspace, job.id) for job in waiting} & set(await open_jobs(database))
    later = replace(caller, now=datetime(2030, 1, 1, tzinfo=UTC))
    async with database.transaction(caller.workspace) as connection:
        confirmed = await service.confirm(connection, later, waiting[0].id)
        rejected = await service.reject(connection, later, waiting[1].id)
    assert (confirmed.status, confirmed.moment) == (Status.PENDING, later.now), "as of when it was confirmed"
    assert (rejected.status, rejected.counts) == (Status.CANCELLED, Counts(0, 0, 0, 2))
    assert rejected.settled_at is not None
    for decided in (confirmed, rejected):
        for verb in (service.confirm, service.reject):
            with pytest.raises(WrongState):
                async with database.transaction(caller.workspace) as connection:
                    await verb(connection, later, decided.id)
    with pytest.raises(NotFound):
        async with database.transaction(caller.workspace) as connection:
            await service.confirm(connection, later, "job.none")

    async def work(_connection: Connection, _entity: str) -> None:
        return None

    await run(database, caller, confirmed, work)
    assert (await look(database, caller, confirmed)).status is Status.COMPLETED


async def test_many_workers_do_each_entry_once(database: Database, caller: Caller) -> None:
    job = await ask(database, caller, NAMES)

    async def work(connection: Connection, entity: str) -> None:
        await asyncio.sleep(0.002)
        await audit.record(connection, caller, "touch", "object", entity)

    await asyncio.gather(*(run(database, caller, job, work) for _ in range(5)))
    assert await effects(database, caller) == dict.fromkeys(NAMES, 1)
    ended = await look(database, caller, job)
    assert (ended.status, ended.counts) == (Status.COMPLETED, Counts(0, len(NAMES), 0, 0))
    async with database.transaction(caller.workspace) as connection:
        finished = await connection.fetchval(
            "select count(*) from audit where workspace = $1 and action = 'finish'", caller.workspace
        )
    assert finished == 1


@pytest.mark.parametrize("blow", [Unavailable("away"), asyncpg.UniqueViolationError("odd"), RuntimeError("bug")])
async def test_what_is_no_business_rule_fails_no_entry(database: Database, caller: Caller, blow: Exception) -> None:
    """The worker stops in the middle, as if it died; the next one goes on where it stopped."""
    job = await ask(database, caller, NAMES[:4])
    blows = [blow]

    async def work(connection: Connection, entity: str) -> None:
        await audit.record(connection, caller, "touch", "object", entity)
        if entity == NAMES[2] and blows:
            raise blows.pop()

    with pytest.raises(type(blow)):
        await run(database, caller, job, work)
    stopped = await look(database, caller, job)
    assert (stopped.status, stopped.counts) == (Status.IN_PROGRESS, Counts(2, 2, 0, 0))
    await run(database, caller, job, work)
    assert (await look(database, caller, job)).status is Status.COMPLETED
    assert await effects(database, caller) == dict.fromkeys(NAMES[:4], 1)


async def test_lists_in_pages(database: Database, caller: Caller) -> None:
    jobs = [await ask(database, caller, NAMES[:5], confirm=True) for _ in range(3)]
    async with database.transaction(caller.workspace) as connection:
        first = await service.list_jobs(connection, caller.workspace, None, 2)
        rest = await service.list_jobs(connection, caller.workspace, first.after, 2)
        assert [job.id for job in (*first.items, *rest.items)] == [job.id for job in reversed(jobs)]
        assert rest.after is None
        page = await service.list_entries(connection, caller.workspace, jobs[0].id, None, 3)
        more = await service.list_entries(connection, caller.workspace, jobs[0].id, page.after, 3)
        assert [entry.entity for entry in (*page.items, *more.items)] == NAMES[:5]
        for verb in (service.list_jobs(connection, caller.workspace, "x", 2),):
            with pytest.raises(Invalid):
                await verb
