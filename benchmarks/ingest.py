"""Ingest at its limit: a server as it ships, and beside it, under the same load, one that only copies events.

The load generator, the server and PostgreSQL share the machine. The ceiling (`benchmarks.bare`) has the same processes,
HTTP, tokens, decoding, queue and flushers over the same PostgreSQL, and its flush is COPY into a table with the same
unique key. Rounds are interleaved, so that the machine's slow hours meet both.
"""

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from benchmarks import bare
from benchmarks.processor import memory_of, spent_by
from benchmarks.sender import ACCOUNTS
from benchmarks.world import postgres, say
from bursar.runtime.datadir import DataDir
from bursar.runtime.serve import listen

SECONDS = 3.0
PACED = 2.0
"""How many times as long answers are timed: their p99 is of the slowest of a few thousand."""
FASTEST = 140_000
"""Events per second that no load reaches here: so many are made ahead."""
FASTEST_SINGLE = 30_000
TOKEN = "bench-" + "x" * 20


class Sent(NamedTuple):
    """What came of sending events."""

    rate: float
    """Events per second."""
    p50: float
    p99: float
    """Of a request, in milliseconds."""
    events: int
    server: float = 0.0
    postgres: float = 0.0
    """Microseconds of CPU per event, where they were looked at."""


class Load(NamedTuple):
    """A way to send events."""

    batch: int
    connections: int
    workers: int = 2
    """Server processes."""
    duplicates: int = 0
    """Every how manieth event repeats one of before; 0: none."""


LOADS = {
    "batches_of_1000": Load(1000, 16),
    "batches_of_1000_5_percent_duplicates": Load(1000, 16, duplicates=20),
    "batches_of_1000_one_process": Load(1000, 16, workers=1),
    "batches_of_100": Load(100, 32),
    "single_64_connections": Load(1, 64),
    "single_256_connections": Load(1, 256),
}
REPEATED = ("batches_of_1000", "batches_of_1000_5_percent_duplicates")
"""Loads that differ by their duplicates alone."""
HALVED = "batches_of_100"
"""The load whose answers are timed at half of what goes through."""


def measure(rounds: int, seconds: float = SECONDS) -> dict[str, Any]:
    """Medians of `rounds` interleaved rounds per load: events/s of the server and of the bare one, and of their ratios.

    A ratio is of one round, whose parts follow each other: the machine's pace changes from one round to the next.
    """
    folder = Path(tempfile.mkdtemp(prefix="bursar-bench-"))
    folder.chmod(0o755)
    rates: dict[str, list[Sent]] = {name: [] for name in LOADS}
    ceilings: dict[str, list[Sent]] = {name: [] for name in LOADS}
    try:
        with postgres(folder):
            pass  # made, and its log with it
        with serving(folder, "--workers", "2", "--rate-limit", "0") as url, _alone(folder) as single:
            prepare(url)
            # Both bare servers wait all the time: what sleeps costs nothing, and a start would be measured.
            with _bare(folder, 1) as bare_single, _bare(folder, 2) as bare_double:
                for number in range(rounds):
                    for name, load in LOADS.items():
                        say(f"ingest: round {number + 1} of {rounds}, {name}")
                        own, other = (url, bare_double) if load.workers > 1 else (single, bare_single)
                        rates[name].append(weighed(own, load, f"{name}-{number}", seconds))
                        plain = load._replace(duplicates=0)
                        ceilings[name].append(weighed(other, plain, f"{name}-{number}", seconds))
            paced = _paced(url, statistics.median(sent.rate for sent in rates[HALVED]) / 2, rounds, PACED * seconds)
            memory = memory_of(os.getpid())
            kept = asyncio.run(_count(DataDir(folder).dsn()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found: dict[str, Any] = {name: _row(load, rates[name], ceilings[name]) for name, load in LOADS.items()}
    fresh, repeated = (rates[name] for name in REPEATED)
    found[REPEATED[1]]["of_the_figure_without"] = _of(repeated, fresh)
    found[HALVED] |= {
        "ack_p50_ms_at_half_load": round(statistics.median(sent.p50 for sent in paced), 1),
        "ack_p99_ms_at_half_load": round(statistics.median(sent.p99 for sent in paced), 1),
        "ack_p99_ms_of_rounds": [round(sent.p99, 1) for sent in paced],
    }
    return found | {"largest_server_mb": memory, **kept}


def _paced(url: str, rate: float, rounds: int, length: float) -> list[Sent]:
    """What comes of so many windows, one behind the other, at `rate` events per second.

    A window that does not count goes first: what full loads and bare ones have left to be written is not of this load.
    Its own checkpoints are: five windows of 6 s are as long as from one of them to the next.
    """
    load = LOADS[HALVED]
    windows = []
    for number in range(-1, rounds):
        say(f"ingest: answers at half load, {number + 1} of {rounds}")
        windows.append(send(url, load, f"half-{number}", length, rate / load.batch))
    return windows[1:]


def weighed(url: str, load: Load, prefix: str, length: float) -> Sent:
    """As `send`, with the CPU time of whatever runs under this process."""
    before = spent_by(os.getpid())
    sent = send(url, load, prefix, length)
    used = {name: 1e6 * (after - before[name]) / sent.events for name, after in spent_by(os.getpid()).items()}
    return sent._replace(server=used["server"], postgres=used["postgres"])


def _row(load: Load, rates: list[Sent], ceilings: list[Sent]) -> dict[str, Any]:
    rate, ceiling = (statistics.median(sent.rate for sent in rounds) for rounds in (rates, ceilings))
    used = {
        f"cpu_us_of_{name}": [
            round(statistics.median(getattr(sent, name) for sent in rounds), 1) for rounds in (rates, ceilings)
        ]
        for name in ("server", "postgres")
    }
    return {
        "connections": load.connections,
        "server_processes": load.workers,
        "events_per_second": round(rate),
        "rounds": [round(sent.rate) for sent in rates],
        "ceiling_events_per_second": round(ceiling),
        "ratio": _of(rates, ceilings),
        "ratios": [round(own.rate / other.rate, 3) for own, other in zip(rates, ceilings, strict=True)],
        **used,
    }


def _of(some: list[Sent], others: list[Sent]) -> float:
    """The median of the ratios of some rates to others of the same rounds."""
    return round(statistics.median(one.rate / other.rate for one, other in zip(some, others, strict=True)), 3)


@contextmanager
def _bare(folder: Path, processes: int) -> Iterator[str]:
    """Bare servers on a free port, over the PostgreSQL of a running server."""
    with _processes(folder, processes, "benchmarks.bare") as url:
        yield url


@contextmanager
def _alone(folder: Path) -> Iterator[str]:
    """A single server process on a free port, over the PostgreSQL of a running server."""
    with _processes(folder, 1, "bursar.runtime.server", "0", "0", "1", "600", "600") as url:
        yield url


@contextmanager
def _processes(folder: Path, count: int, module: str, *settings: str) -> Iterator[str]:
    dsn = DataDir(folder).dsn()
    asyncio.run(_make_table(dsn))
    listeners = listen("127.0.0.1", 0, count)
    children = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(listener.fileno()), *settings],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
        )
        for listener in listeners
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(f"{dsn}\n".encode())
        child.stdin.close()
    try:
        url = f"http://127.0.0.1:{listeners[0].getsockname()[1]}"
        for _ in children:
            with urllib.request.urlopen(f"{url}/readyz", timeout=30):
                pass
        yield url
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait(20)
        for listener in listeners:
            listener.close()


async def _make_table(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "bursar"})
    try:
        for statement in bare.MAKE:
            await connection.execute(statement)
    finally:
        await connection.close()


class serving:  # noqa: N801 - used as a with statement
    """A server of its own on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "bursar.runtime.cli", "serve", "--port", "0", "--data-dir", str(self._folder)]
        self._process = subprocess.Popen(
            [*command, *self._options], stdout=subprocess.PIPE, text=True, env={**os.environ, "BURSAR_TOKEN": TOKEN}
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if " ready at " in line:
                return line.rsplit(" ", 1)[1].strip()
        raise RuntimeError("the server did not start")

    @property
    def pid(self) -> int:
        """Of the process whose children are the servers and PostgreSQL."""
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)


def _post(url: str, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        url + path,
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def prepare(url: str) -> None:
    """Accounts with aliases, a schema and two meters."""
    for number in range(ACCOUNTS):
        person = {"name": "Bench", "primaryEmail": "b@example.com", "address": {}}
        account = f"account-{number}"
        _post(url, "/customers", {"id": account, **person})
        _post(url, f"/accounts/{account}/add_aliases", {"aliases": [f"alias-{number}"]})
    schema = {"name": "call", "attributes": [{"name": "tokens"}], "dimensions": [{"name": "model"}]}
    _post(url, "/event_schema", schema)
    _post(url, "/event_schema/call/activate", {})
    for name, aggregation, computation in (("calls", "COUNT", "1"), ("tokens", "SUM", '{"var":"attributes.tokens"}')):
        meter = {
            "name": name, "type": "COUNTER", "aggregation": aggregation, "eventSchemaName": "call",
            "computations": [{
                "computation": computation, "order": 1, "matcher": '{"==":[{"var":"dimensions.model"},"large"]}',
            }],
        }  # fmt: skip
        _post(url, f"/usage_meters/{_post(url, '/usage_meters', meter)['id']}/activate", {})


def send(url: str, load: Load, prefix: str, length: float, rate: float = 0) -> Sent:
    """What comes of events from a process that only sends."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    events = int(length * (rate * load.batch or (FASTEST if load.batch > 1 else FASTEST_SINGLE)))
    settings = [load.batch, load.connections, length, rate, load.duplicates, prefix, events]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sender", host, port, TOKEN, *map(str, settings)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60 + 10 * length,
    )
    count, seconds, p50, p99 = (float(value) for value in json.loads(done.stdout))
    return Sent(count * load.batch / seconds, p50, p99, int(count) * load.batch)


async def _count(dsn: str) -> dict[str, Any]:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "bursar"})
    try:
        events = await connection.fetchval("select count(*) from event_key")
        rolled = await connection.fetchval(
            "select sum(events) from (select events from usage_rollup union all select events from usage_delta_sum) s"
        )
        return {"events_kept": events, "measures_rolled_up": int(rolled)}
    finally:
        await connection.close()
