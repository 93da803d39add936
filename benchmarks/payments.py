"""Payments at the carrier's door: over many accounts, and on one; beside plain inserts in the same run.

One server process; the load generator and PostgreSQL share the machine with it. Who pays has logged in, and the
workspace is live. The ceiling is an INSERT of a row of the same size through asyncpg, one commit each, by as many
connections as the server has.
"""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import carrier
from benchmarks.ingest import serving
from benchmarks.pace import steadily
from benchmarks.processor import spent_by
from benchmarks.world import postgres, say
from bursar.accounts.workspaces import caller_of, find_workspace
from bursar.db.database import Database
from bursar.invoicing.payments import Pay, pay_all
from bursar.runtime.datadir import DataDir

ACCOUNTS = 10_000
CONNECTIONS = 64
SECONDS = 6.0
POOL = 12
BATCH = 200
AIMS = {"many_accounts": 2_000, "one_hot_account": 1_500}
"""Payments a second that are to be answered."""
FIRST = 1
"""The carrier's number of the first account; the others follow."""


def measure(folder: Path, rounds: int, accounts: int = ACCOUNTS) -> dict[str, Any]:
    """Payments per second of `rounds` interleaved rounds, and the latency at half of the aim."""
    say(f"payments: {accounts} accounts")
    with postgres(folder) as dsn:
        asyncio.run(_prepare(dsn, accounts))
    found: dict[str, list[list[float]]] = {}
    ceilings: list[float] = []
    targets = {"many_accounts": accounts, "one_hot_account": 1}
    server = serving(folder, "--workers", "1", "--rate-limit", "0")
    with server as url:
        token = carrier.log_in(url)
        for number in range(rounds):
            say(f"payments: round {number + 1} of {rounds}")
            for name, count in targets.items():
                work = partial(_load, url, token, server.pid, count)
                found.setdefault(name, []).append(steadily(name, work))
            ceilings.append(steadily("ceiling", lambda: asyncio.run(_ceiling(DataDir(folder).dsn()))))
        at_half = {
            name: steadily(f"{name}, half", partial(_load, url, token, server.pid, count, rate=AIMS[name] / 2))
            for name, count in targets.items()
        }
    ceiling = statistics.median(ceilings)
    return {
        "accounts": accounts,
        "connections": CONNECTIONS,
        "ceiling_inserts_per_second": round(ceiling),
        **{
            name: {
                "aim_per_second": AIMS[name],
                "per_second": round(_median(rows)),
                "rounds": [round(row[0] / row[1]) for row in rows],
                "cpu_us_of_server": round(statistics.median(row[4] for row in rows)),
                "cpu_us_of_postgresql": round(statistics.median(row[5] for row in rows)),
                "of_ceiling": round(_median(rows) / ceiling, 2),
                "p50_ms_at_half_of_aim": round(at_half[name][2], 1),
                "p99_ms_at_half_of_aim": round(at_half[name][3], 1),
            }
            for name, rows in found.items()
        },
    }


def _median(rows: list[list[float]]) -> float:
    return statistics.median(row[0] / row[1] for row in rows)


def _load(url: str, token: str, pid: int, targets: int, rate: float = 0) -> list[float]:
    """Requests answered, the seconds that took, p50 and p99 in ms, and us of CPU of server and PostgreSQL for each."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    chance = random.Random(targets)
    requests = []
    for number in range(5_000):
        account = str(FIRST + chance.randrange(targets))
        data = {
            "type": "payments",
            "attributes": {"amount": f"{number % 90 + 1}.25", "notes": "by wire"},
            "relationships": {"account": {"data": {"type": "accounts", "id": account}}},
        }
        requests.append(["POST", "/api/rest/admin/payments", json.dumps({"data": data})])
    headers = {"authorization": token, "content-type": "application/vnd.api+json"}
    work = json.dumps({"requests": requests, "headers": headers, "status": 201})
    arguments = [host, port, str(CONNECTIONS), str(SECONDS), str(rate)]
    before = spent_by(pid)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.requester", *arguments],
        input=work,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [float(value) for value in json.loads(done.stdout)]
    return [*found, *(1e6 * (after - before[name]) / found[0] for name, after in spent_by(pid).items())]


async def _prepare(dsn: str, accounts: int) -> None:
    """The accounts of a carrier, each with something in its wallet."""
    await carrier.prepare(dsn, accounts)
    db = await Database.open(dsn, size=1, timeout=300)
    wall = datetime.now(UTC)
    try:
        async with db.transaction(None) as connection:
            caller = caller_of(await find_workspace(connection, carrier.NAME), wall, "bench")
        for start in range(FIRST, FIRST + accounts, BATCH):
            some = [(caller, Pay(number, Decimal(100))) for number in range(start, start + BATCH)]
            async with db.transaction(caller.workspace) as connection:
                await pay_all(connection, some)
        async with db.transaction(None) as connection:
            await connection.execute("analyze", timeout=600)
    finally:
        await db.close()


async def _ceiling(dsn: str) -> float:
    """Inserts per second into a bare table, each in a transaction of its own."""
    pool = await asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL)
    async with pool.acquire() as connection:
        await connection.execute(
            "create table if not exists bench_payment (key bigint generated always as identity primary key,"
            " account bigint, amount numeric(38, 12), notes text, created_at timestamptz)"
        )
    done = 0
    until = time.perf_counter() + SECONDS / 2

    async def work() -> None:
        nonlocal done
        moment = datetime.now(UTC)
        async with pool.acquire() as connection:
            while time.perf_counter() < until:
                await connection.execute(
                    "insert into bench_payment (account, amount, notes, created_at) values ($1, $2, $3, $4)",
                    done, done, "by wire", moment,
                )  # fmt: skip
                done += 1

    await asyncio.gather(*(work() for _ in range(POOL)))
    await pool.close()
    return done / (SECONDS / 2)
