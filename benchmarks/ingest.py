"""Ingest in batches of 1,000: a server as it ships, and the machine's ceiling in the same run.

The load generator, the server and PostgreSQL share the machine. The ceiling is COPY of rows into a bare table with a
unique key, over the same PostgreSQL, without HTTP, decoding, rules or rollups.
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
import time
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from bursar.runtime.datadir import DataDir

BATCH = 1000
ACCOUNTS = 200
CONNECTIONS = 16
SECONDS = 8.0
TOKEN = "bench-" + "x" * 20


def measure(rounds: int) -> dict[str, Any]:
    """Medians of `rounds` interleaved rounds: events/s of the server, rows/s of the ceiling, their ratio."""
    folder = Path(tempfile.mkdtemp(prefix="bursar-bench-"))
    folder.chmod(0o755)
    try:
        with serving(folder) as url:
            _prepare(url)
            served, ceiling = [], []
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr)
                served.append(_load(url, number))
                ceiling.append(asyncio.run(_ceiling(DataDir(folder).dsn())))
            verified = asyncio.run(_count(DataDir(folder).dsn()))
        return {
            "batch": BATCH,
            "connections": CONNECTIONS,
            "events_per_second": round(statistics.median(served)),
            "rounds": [round(value) for value in served],
            "ceiling_rows_per_second": round(statistics.median(ceiling)),
            "ratio": round(statistics.median(served) / statistics.median(ceiling), 3),
            **verified,
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _prepare(url: str) -> None:
    for number in range(ACCOUNTS):
        body = {"id": f"account-{number}", "name": "Bench", "primaryEmail": "b@example.com", "address": {}}
        _post(url, "/customers", body)
    schema = {"name": "call", "attributes": [{"name": "tokens"}], "dimensions": [{"name": "model"}]}
    _post(url, "/event_schema", schema)
    _post(url, "/event_schema/call/activate", {})
    for name, aggregation, computation in (("calls", "COUNT", "1"), ("tokens", "SUM", '{"var":"attributes.tokens"}')):
        meter = {
            "name": name, "type": "COUNTER", "aggregation": aggregation, "eventSchemaName": "call",
            "computations": [{"computation": computation, "order": 1}],
        }  # fmt: skip
        _post(url, f"/usage_meters/{_post(url, '/usage_meters', meter)['id']}/activate", {})


def _bodies(count: int, number: int) -> list[bytes]:
    start = datetime.now(UTC) - timedelta(hours=2)
    bodies = []
    for index in range(count):
        events = [
            {
                "schemaName": "call",
                "id": str(uuid.uuid4()),
                "timestamp": (start + timedelta(seconds=(index * BATCH + place) % 7200)).isoformat(),
                "accountId": f"account-{(index * 31 + place) % ACCOUNTS}",
                "attributes": [{"name": "tokens", "value": str(place)}],
                "dimensions": {"model": "large"},
            }
            for place in range(BATCH)
        ]
        bodies.append(json.dumps({"events": events}).encode())
    return bodies


def _load(url: str, number: int) -> float:
    """Events per second over about eight seconds, sent by a process of its own from bodies made before."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bodies"
        bodies = _bodies(600, number)
        path.write_bytes(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.sender", host, port, TOKEN, str(path), str(CONNECTIONS), str(SECONDS)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    sent, seconds = json.loads(done.stdout)
    return float(sent) * BATCH / float(seconds)


async def _ceiling(dsn: str) -> float:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("drop table if exists bench; create table bench (id uuid primary key, n bigint)")
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS / 2:
            rows = [(uuid.uuid4(), n) for n in range(4000)]
            await connection.copy_records_to_table("bench", records=rows)
            done += len(rows)
        seconds = time.perf_counter() - began
        await connection.execute("drop table bench")
        return done / seconds
    finally:
        await connection.close()


async def _count(dsn: str) -> dict[str, Any]:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "bursar"})
    try:
        events = await connection.fetchval("select count(*) from event_key")
        rolled = await connection.fetchval("select sum(events) from usage_rollup")
        return {"events_kept": events, "measures_rolled_up": int(rolled)}
    finally:
        await connection.close()
