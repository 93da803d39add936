"""A migration whose worker is killed again and again: every account moves once, and none is forgotten."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from bursar.accounts.model import Address, NewAccount, NewCustomer
from bursar.accounts.service import create_account, create_customer
from bursar.catalog.definitions import Commitment, CurrencyRate, CycleDefinition, PlanDetails
from bursar.catalog.plans import NewPlan, PlanVersion, activate_plan, create_plan
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.jobs import service as jobs
from bursar.jobs.model import Status
from bursar.purchases.migration import Migration, ask_migration
from bursar.purchases.model import MigrationMode
from bursar.purchases.service import Associate, associate
from bursar.runtime.jobs import run_jobs

ACCOUNTS = 60
KILLS = 3
SEEN_BEFORE_KILL = 5


async def main(dsn: str) -> None:
    """A worker's round, in a process of its own: `python -m tests.runtime.test_jobs DSN`."""
    db = await Database.open(dsn, size=2)
    await run_jobs(db, datetime.now(UTC))
    await db.close()


async def plan(db: Database, caller: Caller, name: str) -> PlanVersion:
    least = Commitment("Least", [CurrencyRate("USD", Decimal(1))])
    details = PlanDetails(["USD"], CycleDefinition("MONTHLY", 3), [], least)
    async with db.transaction(caller.workspace) as connection:
        made = await create_plan(connection, caller, NewPlan(name, "BILLING", None, details))
        return await activate_plan(connection, caller, made.id, ["USD"])


async def count_left(db: Database, caller: Caller, job_id: str) -> int:
    async with db.transaction(caller.workspace) as connection:
        return (await jobs.find(connection, caller.workspace, job_id)).counts.pending


async def test_killed_workers_leave_every_account_moved_once(dsn: str, database: Database, caller: Caller) -> None:
    caller = replace(caller, now=datetime(2024, 5, 10, tzinfo=UTC))
    one, two = await plan(database, caller, "one"), await plan(database, caller, "two")
    async with database.transaction(caller.workspace) as connection:
        await create_customer(connection, caller, NewCustomer("c", "A Customer", "c@example.com", Address()))
        for number in range(ACCOUNTS):
            await create_account(connection, caller, "c", NewAccount(f"account-{number}", "An Account"))
            begin = Associate(f"account-{number}", one.id, date(2024, 5, 1), date(9999, 1, 1))
            await associate(connection, caller, begin)
        job = await ask_migration(connection, caller, Migration(one.id, 1, two.id, None, MigrationMode.NEXT_CYCLE))
    left = ACCOUNTS
    for number in range(1, KILLS + 1):
        async with database.transaction(None) as holder:
            # The worker comes no further than here.
            await holder.execute(
                "select from account where workspace = $1 and togai_id = $2 for update",
                caller.workspace, f"account-{number * ACCOUNTS // (KILLS + 1)}",
            )  # fmt: skip
            worker = subprocess.Popen([sys.executable, "-m", "tests.runtime.test_jobs", dsn])
            deadline = time.monotonic() + 120
            while await count_left(database, caller, job.id) > left - SEEN_BEFORE_KILL:
                assert time.monotonic() < deadline, "the worker does nothing"
                await asyncio.sleep(0.002)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        left = await count_left(database, caller, job.id)
    assert 0 < left < ACCOUNTS, "killed in the middle"
    assert await asyncio.gather(*(run_jobs(database, datetime.now(UTC)) for _ in range(2))) == [0, 0]
    async with database.transaction(caller.workspace) as connection:
        ended = await jobs.find(connection, caller.workspace, job.id)
        rows = await connection.fetch(
            "select s.account, p.wire_id, s.starts_at from schedule_segment s join schedule h on h.key = s.schedule"
            " join price_plan p on p.key = h.price_plan where s.workspace = $1 and s.superseded_at is null",
            caller.workspace,
        )
        traces = await connection.fetch(
            "select object from audit where workspace = $1 and action = 'migrate'", caller.workspace
        )
    assert (ended.status, ended.counts.completed) == (Status.COMPLETED, ACCOUNTS)
    assert Counter(row["object"] for row in traces) == {f"account-{n}": 1 for n in range(ACCOUNTS)}
    held = Counter((row["wire_id"], row["starts_at"].date()) for row in rows)
    assert held == {(one.id, date(2024, 5, 1)): ACCOUNTS, (two.id, date(2024, 6, 1)): ACCOUNTS}


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
