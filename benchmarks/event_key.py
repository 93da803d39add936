"""How fast `event_key` takes events at its size, just after a checkpoint and when warm.

`python -m benchmarks.event_key [--rows 50000000] [--minutes 20] [--dir DIR]` starts a PostgreSQL of its own in a folder that it
deletes, fills one large table and keeps a small one beside it, loads both in turn under several index designs, and prints
one JSON object. Nothing of the product runs in it: it tells what the table alone can do.
"""

import argparse
import asyncio
import itertools
import json
import math
import os
import random
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from benchmarks.throwaway import Server

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SMALL = 1_000_000
ACCOUNTS = 2_000
CHUNK = 4_000
FIRST_CHUNK = 1_000_000_000
"""Chunks from here on were loaded by a window and are deleted between designs."""
SLICE = 1_000_000
GROWN = 69
"""Per cent in which the leaves of a tree of random keys are filled in the long run (ln 2); the filled keys start so."""
MONTH_US = 30 * 86_400 * 1_000_000
HOURS_US = 2 * 3_600 * 1_000_000
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "off",
    "maintenance_work_mem": "1GB",
    "max_connections": "20",
}
ROOMY = "16GB"
"""max_wal_size of the windows that must meet no checkpoint of the server's own."""

COLUMNS = """
    id_hash uuid not null, body_hash bigint not null, account bigint not null, catalog_version bigint not null,
    occurred_at timestamptz not null, received_at timestamptz not null, chunk bigint not null, workspace int not null,
    schema_version int not null, state smallint not null, position smallint not null"""

# $1 first event, $2 last, $3 the moment of the run. Events arrived evenly over the month before it, one in twenty late.
FILL = f"""
    insert into {{table}}
    select md5(i::text)::uuid, i * 7919, 1 + (hashint8(i) & 2147483647) % {ACCOUNTS}, 1,
        arrived - make_interval(secs => case when random() < 0.05 then 2592000 else 7200 end * random()), arrived,
        i / {CHUNK}, 1, 1, 1, (i % {CHUNK})::smallint
    from (select i, $3::timestamptz - make_interval(secs => 2592000.0 * ($4 - i) / $4) as arrived
        from generate_series($1::bigint, $2::bigint) i) s"""

BUCKET = "date_bin('15 minutes', occurred_at, timestamptz '2000-01-01 00:00:00+00')"
PAGE = 100
PAGES = {
    "account_time": f"""
        select occurred_at, id_hash, chunk, position from {{table}}
        where account = $1 and occurred_at >= $2 and occurred_at < $3 and (occurred_at, id_hash) > ($2, $4)
        order by occurred_at, id_hash limit {PAGE}""",
    "account_bucket": f"""
        select occurred_at, id_hash, chunk, position from {{table}}
        where account = $1 and {BUCKET} >= date_bin('15 minutes', $2, timestamptz '2000-01-01 00:00:00+00')
            and {BUCKET} <= date_bin('15 minutes', $3, timestamptz '2000-01-01 00:00:00+00')
            and occurred_at >= $2 and occurred_at < $3 and (occurred_at, id_hash) > ($2, $4)
        order by {BUCKET}, occurred_at, id_hash limit {PAGE}""",
}


@dataclass(frozen=True, slots=True)
class Design:
    """One way to lay out the table."""

    name: str
    indexes: tuple[tuple[str, str], ...] = ()
    """Name and definition of what stands beside the primary key and the BRIN on `chunk`."""
    partitions: int = 0
    columns: str = COLUMNS
    key: str = "workspace, id_hash"


A = Design("A: primary key, BRIN(chunk)")
B = Design("B: A + btree(account, occurred_at)", (("account_time", "(account, occurred_at)"),))
C = Design("C: A in 16 hash partitions", partitions=16)
E = Design("E: A + btree(account, quarter of an hour)", (("account_bucket", f"(account, ({BUCKET}))"),))
NULLABLE = Design("A with one column that is null", columns=f"{COLUMNS}, reason text")
EMPTY = Design("A with one empty text", columns=f"{COLUMNS}, reason text not null default ''")
FOLDED = Design("A with the workspace inside the hash", key="id_hash")

GRID = [(1, 1_000), (1, 4_000), (2, 1_000), (2, 4_000)]
MAIN = [(2, 4_000)]


@dataclass(slots=True)
class Window:
    """What one stretch of loading showed. Times in milliseconds, of a whole batch from BEGIN to the answer of COMMIT."""

    design: str
    table: str
    phase: str
    connections: int
    batch: int
    wal_compression: str
    max_wal_size: str
    rows_before: int
    rows: int = 0
    seconds: float = 0.0
    rows_per_second: int = 0
    wal_bytes_per_row: int = 0
    full_pages_per_row: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    checkpoints: int = 0
    loader_core: float = 0.0
    """Share of one core that the loading program used."""
    slowest_second: int = 0
    latencies: list[float] = field(default_factory=list, repr=False)
    marks: list[tuple[float, int]] = field(default_factory=list, repr=False)


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


class Events:
    """New events as the bytes of a binary COPY, so that making them costs the loader little."""

    _ROW = struct.Struct(">h i16s iq iq iq iq iq iq ii ii ih ih")

    def __init__(self, now: datetime) -> None:
        self._random = random.Random(6)
        self._now = int((now - POSTGRES_EPOCH).total_seconds()) * 1_000_000
        self._chunk = itertools.count(FIRST_CHUNK)

    def batch(self, size: int) -> bytes:
        """`size` events with fresh random ids, one in twenty up to a month late."""
        noise = self._random.random
        hashes = os.urandom(16 * size)
        bodies = struct.unpack(f">{size}q", os.urandom(8 * size))
        accounts = self._random.choices(range(1, ACCOUNTS + 1), k=size)
        chunk = next(self._chunk)
        now, pack = self._now, self._ROW.pack
        rows = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
        for i in range(size):
            occurred = now - int(noise() * (MONTH_US if noise() < 0.05 else HOURS_US))
            rows.append(
                pack(11, 16, hashes[16 * i : 16 * i + 16], 8, bodies[i], 8, accounts[i], 8, 1, 8, occurred, 8, now,
                     8, chunk, 4, 1, 4, 1, 2, 1, 2, i)
            )  # fmt: skip
        rows.append(b"\xff\xff")
        return b"".join(rows)


class Bytes:
    """Bytes as the file that COPY reads."""

    def __init__(self, content: bytes) -> None:
        self._content: Iterator[bytes] = iter((content,))

    def __aiter__(self) -> "Bytes":
        return self

    async def __anext__(self) -> bytes:
        for part in self._content:
            return part
        raise StopAsyncIteration


class Bench:
    """The tables, the windows of loading over them, and what they showed."""

    def __init__(self, server: Server, rows: int, deadline: float) -> None:
        self._server = server
        self.rows = rows
        self._deadline = deadline
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._events = Events(self._now)
        self.windows: list[Window] = []
        self.sizes: list[dict[str, Any]] = []
        self.pages: list[dict[str, Any]] = []
        self.skipped: list[str] = []

    def late(self, what: str) -> bool:
        """Whether the time is up; then `what` is left out and named in the result."""
        if time.monotonic() < self._deadline:
            return False
        self.skipped.append(what)
        say(f"out of time: {what} left out")
        return True

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection of its own; it may run for minutes."""
        connection: Connection = await asyncpg.connect(
            host=str(self._server.socket), port=self._server.port, user="bench", database="postgres", timeout=30
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def run(self, *statements: str) -> None:
        """Run statements, each in its own transaction."""
        async with self.connect() as connection:
            for statement in statements:
                await connection.execute(statement, timeout=900)

    async def setting(self, name: str, value: str) -> None:
        """Change one setting of the running server."""
        await self.run(f"alter system set {name} = '{value}'", "select pg_reload_conf()")

    async def create(self, table: str, design: Design) -> None:
        """An empty table of `design`, without any index yet."""
        partitioned = f"partition by hash ({design.key.split(', ')[-1]})" if design.partitions else ""
        stored = "" if design.partitions else "with (autovacuum_enabled = off)"
        await self.run(
            f"drop table if exists {table}", f"create table {table} ({design.columns}) {partitioned} {stored}"
        )
        for part in range(design.partitions):
            bounds = f"with (modulus {design.partitions}, remainder {part})"
            await self.run(
                f"create table {table}_{part} partition of {table} for values {bounds} with (autovacuum_enabled = off)"
            )

    async def fill(self, table: str, rows: int) -> None:
        """Add events 1 to `rows`, in the order of their arrival."""
        slices = iter([(first, min(first + SLICE - 1, rows)) for first in range(1, rows + 1, SLICE)])

        async def work() -> None:
            async with self.connect() as connection:
                await connection.execute("set synchronous_commit = off")
                for first, last in slices:
                    names = "id_hash, body_hash, account, catalog_version, occurred_at, received_at, chunk, workspace, "
                    into = f"{table} ({names} schema_version, state, position)"
                    await connection.execute(FILL.format(table=into), first, last, self._now, rows, timeout=900)
                    if rows > 5 * SLICE and first // SLICE % 5 == 0:
                        say(f"  filled to {last:,}")

        await asyncio.gather(work(), work())

    async def finish(self, table: str, design: Design) -> None:
        """The indexes of a filled table, with leaves as full as those of a tree that has grown."""
        await self.run(
            f"alter table {table} add constraint {table}_key primary key ({design.key}) with (fillfactor = {GROWN})",
            f"create index {table}_chunk on {table} using brin (chunk) with (pages_per_range = 16, autosummarize = on)",
            *(f"create index {table}_{name} on {table} {columns}" for name, columns in design.indexes),
            f"analyze {table}",
        )

    async def small(self, design: Design) -> None:
        """A fresh small table of `design`."""
        await self.create("small", design)
        await self.fill("small", SMALL)
        await self.finish("small", design)

    async def reset(self) -> None:
        """Take what windows added out of the large table again, so that each design starts from the same one."""
        started = time.monotonic()
        await self.setting("full_page_writes", "off")
        await self.run(
            f"delete from large where chunk >= {FIRST_CHUNK}", "vacuum (index_cleanup on) large", "analyze large"
        )
        await self.setting("full_page_writes", "on")
        say(f"large table reset in {time.monotonic() - started:.0f} s")

    async def count(self, table: str) -> int:
        """Rows of `table` now: the filled ones and those of windows since."""
        filled = SMALL if table == "small" else self.rows
        async with self.connect() as connection:
            added = await connection.fetchval(f"select count(*) from {table} where chunk >= {FIRST_CHUNK}", timeout=120)
        return filled + int(added)

    async def measure_size(self, table: str, design: Design) -> None:
        """Bytes per row of table and indexes, as they stand."""
        async with self.connect() as connection:
            rows = await connection.fetchval(f"select count(*) from {table}", timeout=300)
            found = await connection.fetch(
                "select relation.relname as name, pg_relation_size(relation.oid) as bytes from pg_class relation "
                "where relation.oid in (select relid from pg_partition_tree($1::regclass) union "
                "select indexrelid from pg_index where indrelid in (select relid from pg_partition_tree($1::regclass)))",
                table,
            )
        parts: dict[str, float] = {}
        for row in found:
            name = row["name"].removeprefix(table).strip("_") or "table"
            label = "parts" if design.partitions else name
            parts[label] = parts.get(label, 0) + row["bytes"] / rows
        sizes = {name: round(value, 1) for name, value in sorted(parts.items())}
        self.sizes.append({"design": design.name, "table": table, "rows": rows, "bytes_per_row": sizes})
        say(f"  sizes {design.name}, {table}: {sizes}")
