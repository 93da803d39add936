"""The worker's jobs: each is handed to the room that owns its work."""

import asyncio
from datetime import datetime

import structlog

from bursar.accounts.workspaces import caller_of, workspace_at
from bursar.core.caller import Caller
from bursar.core.errors import Unavailable
from bursar.db.database import Connection, Database, outage
from bursar.invoicing.bill_runs import run_bill_run
from bursar.invoicing.stating import fill_new, workspaces_to_fill
from bursar.jobs.model import Job, Kind, Status
from bursar.jobs.running import begin, finish, open_jobs, run_entries
from bursar.purchases.corrections import correct_entry
from bursar.purchases.migration import as_of, migrate_account
from bursar.runtime.hands import hands
from bursar.runtime.wall import wall

EVERY_SECONDS = 1.0
RETRY_SECONDS = 5.0

_log = structlog.get_logger()


async def keep_running(dsn: str, stopping: asyncio.Event) -> None:
    """Run jobs soon after they are asked for, until told to stop."""
    db = await Database.open(dsn, size=2, timeout=30)
    try:
        while not stopping.is_set():
            pause = EVERY_SECONDS
            try:
                await fill_statements(db, wall())
                if await run_jobs(db, wall()):
                    pause = RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - the worker outlives whatever one round meets, and says it
                _report("jobs_failed", error)
                pause = RETRY_SECONDS
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue
    finally:
        await db.close()


async def run_jobs(db: Database, wall: datetime) -> int:
    """Run every job that is to be done, of all workspaces; returns how many could not be ended.

    A job that meets something unexpected stays as it is, for the next round, and does not hold up the others.
    """
    left = 0
    for workspace, identifier in await open_jobs(db):
        try:
            async with db.transaction(None) as connection:
                caller = caller_of(await workspace_at(connection, workspace), wall, "worker")
            await _run(db, caller, identifier)
        except Exception as error:  # noqa: BLE001 - one job's trouble is not another's
            _report("job_failed", error, job=identifier)
            left += 1
    return left


async def fill_statements(db: Database, wall: datetime) -> None:
    """Fill the statements that were asked for, of all workspaces. One workspace's trouble does not hold up another."""
    for workspace in await workspaces_to_fill(db):
        try:
            async with db.transaction(None) as connection:
                caller = caller_of(await workspace_at(connection, workspace), wall, "worker")
            await fill_new(db, caller)
        except Exception as error:  # noqa: BLE001 - the others are filled, and this one again in the next round
            _report("statements_failed", error, workspace=str(workspace))


async def _run(db: Database, caller: Caller, identifier: str) -> None:
    job = await begin(db, caller, identifier)
    if job.status is not Status.IN_PROGRESS:
        return
    acting = as_of(caller, job)
    if job.kind is Kind.BILL_RUN:
        await run_bill_run(db, acting, job, hands)
    elif job.kind is Kind.EVENT_CORRECTIONS:
        await _correct(db, acting, job)
    else:
        await _migrate(db, acting, job)
    await finish(db, acting, job)


async def _migrate(db: Database, caller: Caller, job: Job) -> None:
    async def one(connection: Connection, account_id: str) -> None:
        await migrate_account(connection, caller, job, account_id)

    await run_entries(db, caller, job, one)


async def _correct(db: Database, caller: Caller, job: Job) -> None:
    async def one(connection: Connection, reference: str) -> None:
        await correct_entry(connection, caller, job, reference)

    await run_entries(db, caller, job, one, beyond=True)


def _report(event: str, error: Exception, **about: str) -> None:
    if not isinstance(error, Unavailable) and not outage(error):
        _log.error(event, error=repr(error), exc_info=error, **about)
