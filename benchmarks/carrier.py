"""Requests at the carrier's door: how many one server process answers a second, and how long they take at half the aim.

Beside them, in the same run, what the database alone does for as many clients: a row by its key, and a row inserted.
"""

import asyncio
import itertools
import json
import random
import statistics
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from benchmarks.ingest import serving
from benchmarks.pace import steadily
from benchmarks.processor import spent_by
from benchmarks.requester import LEAD
from benchmarks.world import TOKEN, postgres, say
from bursar.accounts.admins import add_admin
from bursar.accounts.contractors import create_contractor
from bursar.accounts.passwords import hash_password
from bursar.accounts.terms import create_agreed
from bursar.accounts.workspaces import caller_of, create_workspace, sequence_of
from bursar.db.database import SESSION, Connection, Database
from bursar.runtime.datadir import DataDir

NAME = "carrier"
ACCOUNTS = 10_000
SECONDS = 4.0
CONNECTIONS = 16
"""Requests under way at once."""

_COPIES = (
    """insert into account (workspace, customer, togai_id, yeti_id, wire_id, currency, timezone, status, metadata, tags,
        created_at, updated_at)
    select workspace, customer, n::text, n, 'acc.' || n, currency, timezone, status, metadata, tags, created_at,
        updated_at
    from account, generate_series($2::int, $3::int) s (n) where workspace = $1 and yeti_id = 1 order by s.n""",
    """insert into account_profile (account, workspace, name) select key, workspace, 'Account ' || yeti_id
    from account where workspace = $1 and yeti_id between $2::int and $3::int""",
    """insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)
    select workspace, togai_id, key, 'ID', 'ali.' || togai_id, tstzrange(null, null), created_at, updated_at
    from account where workspace = $1 and yeti_id between $2::int and $3::int""",
    """insert into account_terms (account, workspace) select key, workspace
    from account where workspace = $1 and yeti_id between $2::int and $3::int""",
)
_TABLES = ("account", "account_profile", "account_name", "account_terms")
_COUNTING = "alter table account_terms enable {} trigger accounts_made"
"""How many accounts there are is kept by this trigger."""
_INDEXES = """
    select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
        format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as make
    from pg_constraint c where conrelid = any ($1::text[]::regclass[]) and contype in ('u', 'x')
        and not exists (select from pg_constraint f where f.contype = 'f' and f.conindid = c.conindid)
    union all
    select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid) from pg_index
    where indrelid = any ($1::text[]::regclass[])
        and not exists (select from pg_constraint where conindid = indexrelid)"""
_HEAD = "accept: application/vnd.api+json\r\ncontent-type: application/vnd.api+json\r\n"


@dataclass(slots=True)
class Kind:
    """A kind of request: what to send for each number, and what is answered."""

    aim: int
    """How many a second are to be answered."""
    method: str
    path: Callable[[int], str]
    body: Callable[[int], str] | None = None
    status: int = 200
    connections: int = CONNECTIONS


def _body(number: int) -> str:
    attributes = {"name": f"New {number}", "min-balance": -50, "max-balance": 1000, "vat": 20, "timezone": "UTC"}
    links = {"contractor": {"data": {"type": "contractors", "id": "1"}}}
    return json.dumps({"data": {"type": "accounts", "attributes": attributes, "relationships": links}})


def kinds(accounts: int) -> dict[str, Kind]:
    """The kinds of requests that are measured."""
    chance = random.Random(1)
    base = "/api/rest/admin/accounts"
    return {
        "get_account": Kind(4_000, "GET", lambda _: f"{base}/{chance.randint(1, accounts)}"),
        "list_50_accounts": Kind(800, "GET", lambda _: f"{base}?page%5Bsize%5D=50"),
        "create_account": Kind(1_500, "POST", lambda _: base, _body, 201),
        "create_account_64_connections": Kind(1_500, "POST", lambda _: base, _body, 201, 64),
    }


@dataclass(slots=True)
class Found:
    """What one window of a load came to: requests a second at full load, each one's microseconds of CPU there."""

    rate: float
    server: float = 0
    postgres: float = 0
    marks: list[float] = field(default_factory=list)
    """Milliseconds of each request at half of the aim."""


def measure(folder: Path, rounds: int, accounts: int = ACCOUNTS) -> dict[str, Any]:
    """Requests a second and latencies of every kind, medians of interleaved rounds; and the database's own ceilings."""
    say(f"carrier: {accounts} accounts")
    with postgres(folder) as dsn:
        asyncio.run(prepare(dsn, accounts))
    numbers = itertools.count(1)
    found: dict[str, list[Found]] = {}
    server = serving(folder, "--workers", "1")
    with server as url:
        token = log_in(url)
        dsn = DataDir(folder).dsn()
        for number in range(rounds):
            say(f"carrier: round {number + 1} of {rounds}")
            for name, kind in kinds(accounts).items():
                work = partial(load, url, token, kind, numbers, server.pid)
                found.setdefault(name, []).append(steadily(name, lambda: uvloop.run(work())))  # noqa: B023 - at once
            for name, rate in steadily("ceilings", lambda: uvloop.run(_ceilings(dsn, accounts))).items():
                found.setdefault(name, []).append(Found(rate))
    aims = {name: {"aim_per_second": kind.aim} for name, kind in kinds(accounts).items()}
    return {"accounts": accounts, **{name: aims.get(name, {}) | _figures(rounds) for name, rounds in found.items()}}


def _figures(rounds: list[Found]) -> dict[str, Any]:
    figures: dict[str, Any] = {"per_second": round(statistics.median(one.rate for one in rounds))}
    marks = sorted(mark for one in rounds for mark in one.marks)
    if marks:
        figures["cpu_us_of_server"] = round(statistics.median(one.server for one in rounds))
        figures["cpu_us_of_postgresql"] = round(statistics.median(one.postgres for one in rounds))
        figures["p50_ms_at_half_of_aim"] = round(marks[len(marks) // 2], 2)
        figures["p99_ms_at_half_of_aim"] = round(marks[len(marks) * 99 // 100], 2)
    return figures


async def prepare(dsn: str, accounts: int) -> None:
    """A workspace with a user, a contractor, an account, and copies of that."""
    db = await Database.open(dsn, size=1, timeout=1800)
    wall = datetime.now(UTC)
    try:
        async with db.transaction(None) as connection:
            workspace = await create_workspace(
                connection, wall, "bench", NAME, sandbox=False, currency="USD", timezone="UTC"
            )
            caller = caller_of(workspace, wall, "bench")
            await add_admin(connection, caller, NAME, await hash_password(TOKEN))
            owner = await create_contractor(connection, caller, {"name": "Bench", "vendor": True, "customer": True})
            await create_agreed(connection, caller, {"name": "First", "contractor": owner})
            if accounts > 1:
                await _copy(connection, workspace.key, accounts)
                sequence = sequence_of("account", workspace.key)
                await connection.execute("select setval($1::text::regclass, $2)", sequence, accounts)
        async with db.transaction(None) as connection:
            await connection.execute("analyze")
    finally:
        await db.close()


async def _copy(connection: Connection, workspace: int, accounts: int) -> None:
    """So many accounts, of the first one. Their indexes are built afterwards, and what they refer to is not looked at.

    A million would take half an hour otherwise, more than half of that for the index by which names exclude each other.
    """
    await connection.execute("set local maintenance_work_mem = '512MB'")
    indexes = await connection.fetch(_INDEXES, _TABLES)
    for index in indexes:
        await connection.execute(index["drop"])
    await connection.execute(f"{_COUNTING.format('always')}; set local session_replication_role = replica")
    for statement in _COPIES:
        await connection.execute(statement, workspace, 2, accounts, timeout=1800)
    await connection.execute(f"set local session_replication_role = origin; {_COUNTING.format('')}")
    for index in indexes:
        await connection.execute(index["make"], timeout=1800)


def log_in(url: str) -> str:
    """A token of the user."""
    body = json.dumps({"auth": {"username": NAME, "password": TOKEN}}).encode()
    request = urllib.request.Request(
        f"{url}/api/rest/admin/auth", body, {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["jwt"])


async def load(url: str, token: str, kind: Kind, numbers: Iterator[int], pid: int) -> Found:
    """What a server, by the pid of its parent, does with many requests under way, and with half of the aim a second."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    before = spent_by(pid)
    began = time.perf_counter()
    done = [0] * kind.connections

    async def busy(place: int) -> None:
        async with _Line(host, int(port), token) as line:
            while time.perf_counter() < began + SECONDS:
                await line.ask(kind, next(numbers))
                done[place] += 1

    await asyncio.gather(*(busy(place) for place in range(kind.connections)))
    rate = sum(done) / (time.perf_counter() - began)
    used = {name: 1e6 * (after - before[name]) / sum(done) for name, after in spent_by(pid).items()}
    marks: list[float] = []
    pace, started, sent = 2 / kind.aim, time.perf_counter(), itertools.count()

    async def paced() -> None:
        async with _Line(host, int(port), token) as line:
            while (due := started + pace * next(sent)) < started + SECONDS:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await line.ask(kind, next(numbers))
                if due >= started + LEAD:
                    marks.append(1000 * (time.perf_counter() - due))

    await asyncio.gather(*(paced() for _ in range(kind.connections)))
    return Found(rate, used["server"], used["postgres"], marks)


class _Line:
    """One connection that is kept."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._place = (host, port)
        self._head = f"host: {host}:{port}\r\nauthorization: {token}\r\n{_HEAD}"

    async def __aenter__(self) -> "_Line":
        self._reader, self._writer = await asyncio.open_connection(*self._place)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, kind: Kind, number: int) -> None:
        """One request; anything but the status that is expected is an error."""
        body = kind.body(number).encode() if kind.body else b""
        head = f"{kind.method} {kind.path(number)} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        text = await self._reader.readexactly(length)
        assert answer.startswith(f"HTTP/1.1 {kind.status}".encode()), text


async def _ceilings(dsn: str, accounts: int) -> dict[str, float]:
    """A row by its key, and a row inserted, as often as the driver gets them from the database."""
    pool = await asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, server_settings=SESSION)
    chance = random.Random(2)
    try:
        await pool.execute("create table if not exists bench_row (key bigint generated always as identity, text text)")

        async def select(connection: Any) -> None:
            await connection.fetchrow("select * from account where key = $1", chance.randint(1, accounts))

        async def insert(connection: Any) -> None:
            await connection.execute("insert into bench_row (text) values ($1)", "x" * 200)

        return {"ceiling_select": await _rate(pool, select), "ceiling_insert": await _rate(pool, insert)}
    finally:
        await pool.close()


async def _rate(pool: Any, work: Callable[[Any], Awaitable[None]]) -> float:
    began = time.perf_counter()
    done = [0] * CONNECTIONS

    async def busy(place: int) -> None:
        async with pool.acquire() as connection:
            while time.perf_counter() < began + SECONDS:
                await work(connection)
                done[place] += 1

    await asyncio.gather(*(busy(place) for place in range(CONNECTIONS)))
    return sum(done) / (time.perf_counter() - began)
