"""Decisions on one grant and one wallet, one by one and in batches; beside a row update per decision in the same run.

One server process; the load generator and PostgreSQL share the machine with it. The comparison is the guarded UPDATE of
one row through asyncpg, one commit each, by as many connections as a server has: without events, and without HTTP.
CPU time is that of the server's and PostgreSQL's processes: on a busy machine it says more than the clock.
"""

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from benchmarks.ingest import serving
from benchmarks.pace import steadily
from benchmarks.processor import spent_by
from benchmarks.world import TOKEN, USED_UNTIL, fill, postgres, say
from bursar.accounts.store import get_account
from bursar.catalog.definitions import AttributeDefinition, MeterDefinition, SchemaDefinition
from bursar.catalog.features import Association, create_feature
from bursar.catalog.meters import activate_meter, create_meter
from bursar.catalog.schemas import activate_schema, create_schema
from bursar.core.caller import Caller
from bursar.core.period import Period
from bursar.db.database import Connection, Database
from bursar.ledger.account_wallets import top_up
from bursar.purchases.grants import NewGrant, give
from bursar.runtime.datadir import DataDir

NAME = "entitled"
CONNECTIONS = 64
SECONDS = 4.0
WINDOWS = 3
"""How often answers are timed at half load, in turn: a pause of the machine is a hundredth of a window."""
POOL = 12
ACCOUNTS = 200
ENOUGH = 60_000
"""Events made for one load: more than are decided on in its time, so that none is sent twice."""
UNITS = Decimal(10**12)
AIM = 8_000
"""Decisions a second that are to be made; how long they take is measured at half of it, or of what was reached."""

_numbers = itertools.count()


class Load(NamedTuple):
    """A way to ask for decisions."""

    path: str
    status: int
    batch: int
    """Decisions that one request asks for."""
    connections: int
    body: Callable[[int], Any]
    """The part of a body that asks for a decision, by its number."""
    wrap: Callable[[list[Any]], Any]
    """A body of such parts."""


def _event(number: int, account: int = 0) -> dict[str, Any]:
    return {
        "schemaName": "chat", "id": f"chat-{number}", "timestamp": "2024-01-20T12:00:00Z", "accountId": f"a{account}",
        "attributes": [{"name": "tokens", "value": "12"}], "dimensions": {},
    }  # fmt: skip


def _hold(_: int) -> dict[str, Any]:
    return {"accountId": "a0", "amount": 12, "expiresIn": 3600}


LOADS = {
    "grant": Load("/entitled", 200, 1, CONNECTIONS, _event, lambda parts: {"event": parts[0]}),
    "grant_in_batches_of_25": Load("/bursar/v1/entitled", 200, 25, 8, _event, lambda parts: {"events": parts}),
    "grant_in_batches": Load("/bursar/v1/entitled", 200, 100, 8, _event, lambda parts: {"events": parts}),
    "grants_of_200_accounts_in_batches": Load(
        "/bursar/v1/entitled",
        200,
        100,
        8,
        lambda number: _event(number, number % ACCOUNTS),
        lambda parts: {"events": parts},
    ),
    "wallet": Load("/bursar/v1/holds", 201, 1, CONNECTIONS, _hold, lambda parts: parts[0]),
    "wallet_in_batches_of_25": Load("/bursar/v1/holds/batch", 200, 25, 8, _hold, lambda parts: {"holds": parts}),
    "wallet_in_batches": Load("/bursar/v1/holds/batch", 200, 100, 8, _hold, lambda parts: {"holds": parts}),
}


def measure(folder: Path, rounds: int, seconds: float = SECONDS) -> dict[str, Any]:
    """Decisions per second of `rounds` interleaved rounds, and the latency at half of the aim."""
    say("decisions: one grant, one wallet")
    with postgres(folder) as dsn:
        asyncio.run(_prepare(dsn))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in LOADS}
    updates: list[float] = []
    server = serving(folder, "--workers", "1", "--rate-limit", "0")
    with server as url:
        for number in range(rounds):
            say(f"decisions: round {number + 1} of {rounds}")
            for name, load in LOADS.items():
                found[name].append(steadily(name, partial(_load, url, load, server.pid, seconds)))
            updates.append(steadily("updates", lambda: asyncio.run(_updates(DataDir(folder).dsn(), seconds))))
        half: dict[str, list[dict[str, float]]] = {name: [] for name in LOADS}
        for _ in range(WINDOWS):
            for name, load in LOADS.items():
                work = partial(_load, url, load, server.pid, 0.75 * seconds, _half(found[name]))
                half[name].append(steadily(f"{name}, half", work))
    return {
        "row_updates_per_second": round(statistics.median(updates)),
        **{
            name: {
                "connections": load.connections,
                "decisions_per_request": load.batch,
                "decisions_per_second": round(statistics.median(_rates(found[name]))),
                "rounds": [round(rate) for rate in _rates(found[name])],
                "half_load": round(_half(found[name])),
                "cpu_us_of_server": round(statistics.median(row["server"] for row in found[name])),
                "cpu_us_of_postgresql": round(statistics.median(row["postgres"] for row in found[name])),
                "p50_ms_at_half_load": round(statistics.median(window["p50"] for window in half[name]), 1),
                "p99_ms_at_half_load": round(statistics.median(window["p99"] for window in half[name]), 1),
                "p99_ms_of_windows": [round(window["p99"], 1) for window in half[name]],
            }
            for name, load in LOADS.items()
        },
    }


def _half(rounds: list[dict[str, float]]) -> float:
    return min(AIM, statistics.median(_rates(rounds))) / 2


def _rates(rounds: list[dict[str, float]]) -> list[float]:
    return [found["per_second"] for found in rounds]


def _load(url: str, load: Load, pid: int, length: float, rate: float = 0) -> dict[str, float]:
    """Decisions per second, microseconds of CPU for each, and p50 and p99 of requests in milliseconds."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    requests = []
    for _ in range(ENOUGH // load.batch):
        parts = [load.body(number) for number in itertools.islice(_numbers, load.batch)]
        requests.append(["POST", load.path, json.dumps(load.wrap(parts))])
    headers = {"authorization": f"Bearer {TOKEN}-{NAME}", "content-type": "application/json"}
    work = json.dumps({"requests": requests, "headers": headers, "status": load.status})
    arguments = [host, port, str(load.connections), str(length), str(rate / load.batch)]
    before = spent_by(pid)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.requester", *arguments],
        input=work,
        capture_output=True,
        text=True,
        check=True,
    )
    count, seconds, p50, p99 = (float(value) for value in json.loads(done.stdout))
    decisions = count * load.batch
    spent = {name: 1e6 * (after - before[name]) / decisions for name, after in spent_by(pid).items()}
    return {"per_second": decisions / seconds, "p50": p50, "p99": p99, **spent}


async def _prepare(dsn: str) -> None:
    db = await Database.open(dsn, size=1, timeout=300)
    try:
        caller = await fill(db, NAME, ACCOUNTS, wall=datetime.now(UTC))
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
    await top_up(connection, caller, "a0", UNITS)
    for number in range(ACCOUNTS):
        account = await get_account(connection, caller.workspace, f"a{number}")
        await give(connection, caller, account, [NewGrant(feature, "pack", "ENTITLEMENT", effective, UNITS)])


async def _updates(dsn: str, seconds: float) -> float:
    """Guarded updates of one row per second, each in a transaction of its own."""
    pool = await asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL)
    async with pool.acquire() as connection:
        await connection.execute(
            "create table if not exists bench_grant (key int primary key, available numeric(38, 12))"
        )
        await connection.execute("insert into bench_grant values (1, $1) on conflict do nothing", UNITS)
    done = 0
    until = time.perf_counter() + seconds / 2

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
    return done / (seconds / 2)
