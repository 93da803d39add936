"""Payments at the carrier's door: over many accounts, and on one; beside plain inserts in the same run.

One server process; the load generator and PostgreSQL share the machine with it. The ceiling is an INSERT of a row of
the same size through asyncpg, one commit each, by as many connections as the server has.
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
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.ingest import serving
from benchmarks.world import TOKEN, fill, postgres, say
from bursar.db.database import Database, Row
from bursar.invoicing.payments import Pay, pay_all
from bursar.runtime.datadir import DataDir

NAME = "payments"
ACCOUNTS = 10_000
CONNECTIONS = 64
SECONDS = 6.0
POOL = 12
BATCH = 200
FIRST = 1_000_001
"""The carrier's number of the second account; the others follow."""


def measure(folder: Path, rounds: int, accounts: int = ACCOUNTS) -> dict[str, Any]:
    """Payments per second of `rounds` interleaved rounds, and the latency at half of them."""
    say(f"payments: {accounts} accounts")
    with postgres(folder) as dsn:
        asyncio.run(_prepare(dsn, accounts))
    found: dict[str, list[list[float]]] = {}
    ceilings: list[float] = []
    with serving(folder, "--workers", "1", "--rate-limit", "0") as url:
        for number in range(rounds):
            say(f"payments: round {number + 1} of {rounds}")
            for name, targets in (("many_accounts", accounts - 1), ("one_hot_account", 1)):
                found.setdefault(name, []).append(_load(url, targets))
            ceilings.append(asyncio.run(_ceiling(DataDir(folder).dsn())))
        at_half = {
            name: _load(url, accounts - 1 if name == "many_accounts" else 1, rate=_median(rows) / 2)
            for name, rows in found.items()
        }
    ceiling = statistics.median(ceilings)
    return {
        "accounts": accounts,
        "connections": CONNECTIONS,
        "ceiling_inserts_per_second": round(ceiling),
        **{
            name: {
                "per_second": round(_median(rows)),
                "rounds": [round(row[0] / row[1]) for row in rows],
                "of_ceiling": round(_median(rows) / ceiling, 2),
                "p50_ms_at_half_load": round(at_half[name][2], 1),
                "p99_ms_at_half_load": round(at_half[name][3], 1),
            }
            for name, rows in found.items()
        },
    }


def _median(rows: list[list[float]]) -> float:
    return statistics.median(row[0] / row[1] for row in rows)


def _load(url: str, targets: int, rate: float = 0) -> list[float]:
    """Requests answered, the seconds that took, and p50 and p99 in milliseconds."""
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
    headers = {"authorization": f"Bearer {TOKEN}-{NAME}", "content-type": "application/vnd.api+json"}
    work = json.dumps({"requests": requests, "headers": headers, "status": 201})
    arguments = [host, port, str(CONNECTIONS), str(SECONDS), str(rate)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.requester", *arguments],
        input=work,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(value) for value in json.loads(done.stdout)]


async def _prepare(dsn: str, accounts: int) -> None:
    db = await Database.open(dsn, size=1, timeout=300)
    try:
        caller = await fill(db, NAME, accounts, wall=datetime.now(UTC))
        numbers = [row["yeti_id"] for row in await _accounts(db)]
        for start in range(0, len(numbers), BATCH):
            some = [(caller, Pay(number, Decimal(100))) for number in numbers[start : start + BATCH]]
            async with db.transaction(caller.workspace) as connection:
                await pay_all(connection, some)
        async with db.transaction(None) as connection:
            await connection.execute("analyze", timeout=600)
    finally:
        await db.close()


async def _accounts(db: Database) -> list[Row]:
    async with db.transaction(None) as connection:
        return await connection.fetch("select yeti_id from account order by key")


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
