"""Decisions on entitled events that all draw one grant of an account; beside a row update per decision in the same run.

One server process; the load generator and PostgreSQL share the machine with it. The comparison is the guarded UPDATE of
one row through asyncpg, one commit each, by as many connections as a server has: without events, and without HTTP.
"""

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.ingest import serving
from benchmarks.world import TOKEN, USED_UNTIL, fill, postgres, say
from bursar.accounts.store import get_account
from bursar.catalog.definitions import AttributeDefinition, MeterDefinition, SchemaDefinition
from bursar.catalog.features import Association, create_feature
from bursar.catalog.meters import activate_meter, create_meter
from bursar.catalog.schemas import activate_schema, create_schema
from bursar.core.caller import Caller
from bursar.core.period import Period
from bursar.db.database import Connection, Database
from bursar.purchases.grants import NewGrant, give
from bursar.runtime.datadir import DataDir

NAME = "entitled"
CONNECTIONS = 64
SECONDS = 4.0
POOL = 12
ENOUGH = 60_000
"""Events made for one load: more than are decided on in its time, so that none is sent twice."""
UNITS = Decimal(10**12)

_numbers = itertools.count()


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Decisions per second of `rounds` interleaved rounds, and the latency at half of them."""
    say("entitled events: one grant")
    with postgres(folder) as dsn:
        asyncio.run(_prepare(dsn))
    rows: list[list[float]] = []
    updates: list[float] = []
    with serving(folder, "--workers", "1", "--rate-limit", "0") as url:
        for number in range(rounds):
            say(f"entitled events: round {number + 1} of {rounds}")
            rows.append(_load(url))
            updates.append(asyncio.run(_updates(DataDir(folder).dsn())))
        median = statistics.median(row[0] / row[1] for row in rows)
        half = _load(url, rate=median / 2)
    return {
        "connections": CONNECTIONS,
        "row_updates_per_second": round(statistics.median(updates)),
        "decisions_per_second": round(median),
        "rounds": [round(row[0] / row[1]) for row in rows],
        "p50_ms_at_half_load": round(half[2], 1),
        "p99_ms_at_half_load": round(half[3], 1),
    }


def _load(url: str, rate: float = 0) -> list[float]:
    """Events decided on, the seconds that took, and p50 and p99 in milliseconds."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    requests = []
    for number in itertools.islice(_numbers, ENOUGH):
        event = {
            "schemaName": "chat", "id": f"chat-{number}", "timestamp": "2024-01-20T12:00:00Z", "accountId": "a0",
            "attributes": [{"name": "tokens", "value": "12"}], "dimensions": {},
        }  # fmt: skip
        requests.append(["POST", "/entitled", json.dumps({"event": event})])
    headers = {"authorization": f"Bearer {TOKEN}-{NAME}", "content-type": "application/json"}
    work = json.dumps({"requests": requests, "headers": headers, "status": 200})
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.requester", host, port, str(CONNECTIONS), str(SECONDS), str(rate)],
        input=work,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(value) for value in json.loads(done.stdout)]


async def _prepare(dsn: str) -> None:
    db = await Database.open(dsn, size=1, timeout=300)
    try:
        caller = await fill(db, NAME, 1, wall=datetime.now(UTC))
        async with db.transaction(caller.workspace) as connection:
            await _sell(connection, caller)
    finally:
        await db.close()


async def _sell(connection: Connection, caller: Caller) -> None:
    """A feature whose events are measured by one meter, and a grant of it."""
    await create_schema(connection, caller, "chat", SchemaDefinition([AttributeDefinition("tokens")], []))
    await activate_schema(connection, caller, "chat")
    meter = await create_meter(connection, caller, "chats", "chat", MeterDefinition("COUNT"))
    await activate_meter(connection, caller, meter.id)
    feature = await create_feature(connection, caller, "Tokens", None, [Association("chat", "tokens")])
    effective = Period(USED_UNTIL - timedelta(days=1), USED_UNTIL + timedelta(days=1))
    account = await get_account(connection, caller.workspace, "a0")
    await give(connection, caller, account, [NewGrant(feature, "pack", "ENTITLEMENT", effective, UNITS)])


async def _updates(dsn: str) -> float:
    """Guarded updates of one row per second, each in a transaction of its own."""
    pool = await asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL)
    async with pool.acquire() as connection:
        await connection.execute(
            "create table if not exists bench_grant (key int primary key, available numeric(38, 12))"
        )
        await connection.execute("insert into bench_grant values (1, $1) on conflict do nothing", UNITS)
    done = 0
    until = time.perf_counter() + SECONDS / 2

    async def work() -> None:
        nonlocal done
        async with pool.acquire() as connection:
            while time.perf_counter() < until:
                await connection.execute(
                    "update bench_grant set available = available - 12 where key = 1 and available >= 12"
                )
                done += 1

    await asyncio.gather(*(work() for _ in range(POOL)))
    await pool.close()
    return done / (SECONDS / 2)
