"""What ingest and reads of usage lose to what is stored: a server with 50 million events beside one with a million.

Both servers run all the time and are loaded in turn, so that the machine's slow minutes meet both. The events stored
lie anywhere in a month, under random ids; new ones come as in `benchmarks.ingest`, in batches of 1,000. Bodies of the
stored ones are not there: a new event does not look at them, nor does a read of usage. Both have had the keys of their
events in memory before they were started anew, as after any stop.

A load of the large one takes two checkpoints' time: right behind a checkpoint events cost it most, and then less and
less. To the other it makes little difference, and so much load would soon make it a large one.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.ingest import LOADS, TOKEN, Sent, prepare, send, serving
from benchmarks.sender import ACCOUNTS
from benchmarks.stored import MONTH, store_events
from benchmarks.world import folder, postgres, say
from bursar.db.database import Database
from bursar.runtime.datadir import DataDir

EVENTS = 50_000_000
FEW = 1_000_000
SECONDS = 15.0
"""Of a load of the small one."""
LARGE_SECONDS = 60.0
"""Of a load of the large one."""
READS = 20
"""Reads per second, over as many connections."""


def measure(
    rounds: int,
    events: int = EVENTS,
    few: int = FEW,
    seconds: float = SECONDS,
    large_seconds: float = LARGE_SECONDS,
) -> dict[str, Any]:
    """Medians of `rounds` rounds for both: events/s, and p50 and p99 in milliseconds of usage by account and month.

    Before the first round both are loaded once without being measured, and have a checkpoint behind them.
    """
    lengths = {few: seconds, events: large_seconds}
    with contextlib.ExitStack() as stack:
        places = {count: stack.enter_context(folder()) for count in (few, events)}
        for count, place in places.items():
            _fill(place, count)
        urls = {
            count: stack.enter_context(serving(place, "--workers", "2", "--rate-limit", "0"))
            for count, place in places.items()
        }
        rates: dict[int, list[Sent]] = {count: [] for count in places}
        reads: dict[int, list[list[float]]] = {count: [] for count in places}
        checkpoints: list[int] = []
        for number in range(rounds + 1):
            say(f"stored events: round {number} of {rounds}" if number else "stored events: warming")
            for count, url in urls.items():
                length = lengths[count] if number else seconds
                rates[count].append(send(url, LOADS["batches_of_1000"], f"round-{number}", length))
                reads[count].append(_reads(url, seconds / 3))
                say(
                    f"  {count:,} stored: {rates[count][-1].rate:,.0f} events/s, usage p99 {reads[count][-1][3]:.1f} ms"
                )
            checkpoints.append(asyncio.run(_checkpoints(DataDir(places[events]).dsn())))
        ratios = [large.rate / small.rate for large, small in zip(rates[events][1:], rates[few][1:], strict=True)]
    return {
        "seconds_of_a_load": [seconds, large_seconds],
        **{f"{count}_events": _row(rates[count][1:], reads[count][1:]) for count in places},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "checkpoints_meanwhile": checkpoints[-1] - checkpoints[0],
    }


def _row(rates: list[Sent], reads: list[list[float]]) -> dict[str, Any]:
    return {
        "events_per_second": round(statistics.median(sent.rate for sent in rates)),
        "rounds": [round(sent.rate) for sent in rates],
        "usage_p50_ms": round(statistics.median(read[2] for read in reads), 1),
        "usage_p99_ms": round(statistics.median(read[3] for read in reads), 1),
        "usage_p99_ms_of_rounds": [round(read[3], 1) for read in reads],
    }


def _fill(place: Path, events: int) -> None:
    """A server's folder with the catalogue, the accounts and so many events of January 2024."""
    with postgres(place):
        pass  # made, and its log with it
    with serving(place, "--workers", "1", "--rate-limit", "0") as url:
        prepare(url)
    with postgres(place) as dsn:
        asyncio.run(_store(dsn, events))


async def _store(dsn: str, events: int) -> None:
    db = await Database.open(dsn, size=1, timeout=1800)
    try:
        async with db.transaction(None) as connection:
            workspace = await connection.fetchval("select min(workspace) from event_schema")
        await store_events(db, workspace, events, MONTH, datetime.fromisoformat("2024-02-01T00:00:00Z"))
        await _vacuum(dsn)
        async with db.transaction(None) as connection:
            await connection.execute("checkpoint", timeout=600)
            # A stop takes note of what is in memory, and the next start fetches it.
            await connection.execute("create extension pg_prewarm schema bursar_local")
            await connection.execute("select bursar_local.pg_prewarm('event_key_pkey')", timeout=600)
            await connection.execute("drop extension pg_prewarm")
    finally:
        await db.close()


async def _vacuum(dsn: str) -> None:
    """Do what PostgreSQL does by itself whenever a table has grown by a fifth, and else would do for all in round 1."""
    say("  events: vacuum")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("vacuum event_key", timeout=1800)
    finally:
        await connection.close()


async def _checkpoints(dsn: str) -> int:
    """How many checkpoints a server has had, after one more."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("checkpoint", timeout=600)
        return int(await connection.fetchval("select num_timed + num_requested from pg_stat_checkpointer"))
    finally:
        await connection.close()


def _reads(url: str, seconds: float) -> list[float]:
    """Answered, seconds, p50 and p99 in milliseconds of usage of one account in the month, each asked at its time."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    bodies = [json.dumps(_asked(f"account-{number}")) for number in range(ACCOUNTS)]
    work = {
        "requests": [["POST", "/metrics", body] for body in bodies],
        "headers": {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
        "status": 200,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.requester", host, port, str(READS), str(seconds), str(READS)],
        input=json.dumps(work), stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60,
    )  # fmt: skip
    found: list[float] = json.loads(done.stdout)
    return found


def _asked(account: str) -> dict[str, Any]:
    """The usage of one account in January, of all meters, by the month."""
    query = {
        "id": "usage", "name": "USAGE", "aggregationPeriod": "MONTH", "groupBy": "USAGE_METER_ID",
        "filters": [{"fieldName": "ACCOUNT_ID", "fieldValues": [account]}],
    }  # fmt: skip
    return {"startTime": "2024-01-01T00:00:00Z", "endTime": "2024-02-01T00:00:00Z", "metricQueries": [query]}
