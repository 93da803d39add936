"""How fast `event_key` takes events at its size, just after a checkpoint and when warm, and how fast it pages them.

`python -m benchmarks.event_key [--rows 50000000] [--dir DIR]` starts the embedded PostgreSQL with the settings it ships
with in a folder that it deletes again, makes two databases with the real schema, fills `event_key` with a million rows
in one and `--rows` in the other, and loads both in turn as a flush does: look the ids up, COPY, commit. Prints one JSON
object. Takes about twenty minutes and 15 GB for 50 million rows.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import psycopg
from asyncpg.pgproto.pgproto import UUID

from benchmarks.stored import GROWN
from bursar.db.database import SESSION
from bursar.db.migrate import migrate
from bursar.db.queries import Queries
from bursar.runtime.datadir import DataDir
from bursar.runtime.postgres import Cluster
from bursar.usage.flush import SETUP
from bursar.usage.rows import micros

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

queries = Queries("bursar.usage")
ACCOUNTS = 2_000
SMALL = 1_000_000
STEP = 500_000
BATCH = 4_000
MONTH, HOURS, LATE = 30 * 86_400, 2 * 3_600, 0.05
COLUMNS = ["id_hash", "body_hash", "account", "catalog_version", "occurred_at", "received_at", "chunk", "workspace",
           "event_schema", "position", "state", "reason"]  # fmt: skip
ROW = struct.Struct(">h i16s iq iq iq iq iq iq ii ii ii ih i".replace(" ", ""))

FILL = f"""
    insert into event_key (id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, workspace,
        event_schema, position, state)
    select md5(i::text)::uuid, i * 7919, 1 + (hashint8(i) & 2147483647) % {ACCOUNTS}, 1,
        arrived - make_interval(secs => case when random() < {LATE} then {MONTH} else {HOURS} end * random()), arrived,
        i / {BATCH}, 1, 1, i % {BATCH}, 1
    from (select i, $3::timestamptz - make_interval(secs => {MONTH} * ($4::float8 - i) / $4) as arrived
        from generate_series($1::bigint, $2::bigint) i) s"""
OTHERS = """
    select indexname, indexdef from pg_indexes where tablename = 'event_key' and indexname <> 'event_key_pkey'"""
SIZES = """
    select relname as part, pg_relation_size(oid) as bytes from pg_class
    where relname like 'event\\_key%' and relkind in ('r', 'i') order by 1"""
PAGE = """
    select id_hash, occurred_at, chunk, position from event_key where workspace = 1 and account = $1 and state = 1
        and occurred_at >= $2 and occurred_at < $3 and (occurred_at, chunk, position) > ($2, -1, -1)
    order by occurred_at, chunk, position limit 100"""


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


class Events:
    """New events under random ids, as the bytes of a binary COPY; making them costs little."""

    def __init__(self, now: datetime) -> None:
        self._random = random.Random(6)
        self._now = micros(now)
        self._chunk = 1_000_000_000

    def batch(self) -> tuple[list[UUID], bytes]:
        """The ids of a flush and its rows, both in the order of the ids."""
        self._chunk += 1
        noise = self._random.random
        noisy = os.urandom(16 * BATCH)
        ids = sorted(noisy[16 * i : 16 * i + 16] for i in range(BATCH))
        parts = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
        for position, digest in enumerate(ids):
            occurred = self._now - int(noise() * 1_000_000 * (MONTH if noise() < LATE else HOURS))
            parts.append(
                ROW.pack(12, 16, digest, 8, position, 8, 1 + int(noise() * ACCOUNTS), 8, 1, 8, occurred, 8, self._now,
                         8, self._chunk, 4, 1, 4, 1, 4, position, 2, 1, 0)
            )  # fmt: skip
        return [UUID(digest) for digest in ids], b"".join([*parts, b"\xff\xff"])


class Bench:
    """Two databases of one server, `small` and `large`, and what loading them showed."""

    def __init__(self, dsns: dict[str, str], rows: int) -> None:
        self._dsns = dsns
        self._rows = {"small": SMALL, "large": rows}
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._events = Events(self._now)
        self.windows: list[dict[str, Any]] = []

    @asynccontextmanager
    async def connect(self, size: str) -> AsyncIterator[Connection]:
        """A connection as a flusher has it."""
        connection: Connection = await asyncpg.connect(self._dsns[size], server_settings=SESSION, timeout=60)
        try:
            yield connection
        finally:
            await connection.close()

    async def fill(self, size: str) -> None:
        """Fill the table in the order of arrival without its indexes, then make them as the schema has them."""
        rows = self._rows[size]
        async with self.connect(size) as connection:
            others = await connection.fetch(OTHERS)
            await connection.execute("alter table event_key drop constraint event_key_pkey")
            await connection.execute("alter table event_key set (autovacuum_enabled = off)")
            for row in others:
                await connection.execute(f"drop index {row['indexname']}")
        firsts = iter(range(1, rows + 1, STEP))

        async def work() -> None:
            async with self.connect(size) as connection:
                for first in firsts:
                    await connection.execute(FILL, first, min(first + STEP - 1, rows), self._now, rows, timeout=900)
                    if first % (10 * STEP) == 1:
                        say(f"  {size}: {first - 1:,} of {rows:,}")

        await asyncio.gather(work(), work())
        async with self.connect(size) as connection:
            await connection.execute("set maintenance_work_mem = '1GB'")
            say(f"  {size}: indexes")
            await connection.execute(
                f"alter table event_key add primary key (id_hash) with (fillfactor = {GROWN})", timeout=3000
            )
            for row in others:
                await connection.execute(row["indexdef"], timeout=3000)
            await connection.execute("vacuum analyze event_key", timeout=3000)

    async def sizes(self, size: str) -> dict[str, float]:
        """Bytes per row of the table and its indexes."""
        async with self.connect(size) as connection:
            return {row["part"]: round(row["bytes"] / self._rows[size], 1) for row in await connection.fetch(SIZES)}

    async def _load(self, size: str, until: float, marks: list[float]) -> None:
        async with self.connect(size) as connection:
            for statement in SETUP:
                await connection.execute(statement)

            async def once(content: bytes) -> AsyncIterator[bytes]:
                yield content

            while time.perf_counter() < until:
                ids, content = self._events.batch()
                began = time.perf_counter()
                async with connection.transaction():
                    assert not await connection.fetch(queries.taken, ids, timeout=120)
                    await connection.copy_to_table("event_key", source=once(content), columns=COLUMNS, format="binary")
                marks.append(time.perf_counter() - began)

    async def _wal(self) -> tuple[int, int, int]:
        async with self.connect("small") as connection:
            row = await connection.fetchrow(
                "select pg_current_wal_lsn() - '0/0'::pg_lsn, (select wal_fpi from pg_stat_wal), "
                "(select num_timed + num_requested from pg_stat_checkpointer)"
            )
        assert row is not None
        return int(row[0]), int(row[1]), int(row[2])

    async def window(self, size: str, phase: str, seconds: float, *, index: bool = True) -> dict[str, Any]:
        """Load one table by two connections for a while."""
        before, marks = await self._wal(), list[float]()
        began = time.perf_counter()
        await asyncio.gather(*(self._load(size, began + seconds, marks) for _ in range(2)))
        taken = time.perf_counter() - began
        wal, pages, checkpoints = (now - then for now, then in zip(await self._wal(), before, strict=True))
        rows = BATCH * len(marks)
        cuts = statistics.quantiles([1000 * mark for mark in marks], n=100, method="inclusive")
        shown = {
            "rows": self._rows[size], "account_index": index, "phase": phase, "rows_per_s": round(rows / taken),
            "wal_bytes_per_row": wal // rows, "full_pages_per_row": round(pages / rows, 3),
            "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1), "checkpoints": checkpoints,
        }  # fmt: skip
        say(f"  {shown}")
        self.windows.append(shown)
        return shown

    async def checkpoint(self) -> None:
        """A checkpoint, done when this returns."""
        async with self.connect("small") as connection:
            await connection.execute("checkpoint", timeout=600)

    async def compare(self, rounds: int, *, index: bool) -> None:
        """Both tables in turn, each just after a checkpoint, then both warm."""
        for _ in range(rounds):
            for size in ("small", "large"):
                await self.checkpoint()
                await self.window(size, "cold", 8, index=index)
        for _ in range(10):
            if (await self.window("large", "warming", 10, index=index))["full_pages_per_row"] < 0.05:
                break
        for _ in range(rounds):
            for size in ("small", "large"):
                await self.window(size, "warm", 8, index=index)

    async def pages(self, count: int) -> dict[str, float]:
        """Milliseconds of a page of 100 events of a random account from a random moment of the month on."""
        chance, marks = random.Random(1), []
        async with self.connect("large") as connection:
            for _ in range(count):
                start = self._now - timedelta(seconds=chance.uniform(HOURS, MONTH))
                began = time.perf_counter()
                await connection.fetch(PAGE, chance.randint(1, ACCOUNTS), start, self._now)
                marks.append(1000 * (time.perf_counter() - began))
        cuts = statistics.quantiles(marks, n=100, method="inclusive")
        return {"p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}

    async def run(self) -> dict[str, Any]:
        """Everything, in order."""
        for size in ("small", "large"):
            await self.fill(size)
            async with self.connect(size) as connection:  # as the schema had it before there were lists
                await connection.execute(
                    "create index event_key_account on event_key (account, occurred_at)", timeout=3000
                )
        sizes = await self.sizes("large")
        await self.compare(3, index=True)
        await self.checkpoint()
        await self.window("large", "60 s from a checkpoint", 60)
        page = await self.pages(300)
        for size in ("small", "large"):
            async with self.connect(size) as connection:
                await connection.execute("drop index event_key_account")
        await self.compare(2, index=False)
        return {"bytes_per_row": sizes, "page_of_100": page, "windows": self.windows}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--dir", type=Path, default=None)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="event-key-", dir=arguments.dir))
    folder.chmod(0o755)
    place = DataDir(folder)
    place.prepare()
    assert place.acquire()
    cluster = Cluster(place, say)
    try:
        dsn = cluster.start()
        dsns = {}
        for size in ("small", "large"):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(f"create database {size}")
            head, _, query = dsn.partition("?")
            dsns[size] = f"{head.rpartition('/')[0]}/{size}" + (f"?{query}" if query else "")
            migrate(dsns[size])
        result = asyncio.run(Bench(dsns, arguments.rows).run())
        print(json.dumps({"date": datetime.now(UTC).isoformat(timespec="seconds"), **result}, indent=2))
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
