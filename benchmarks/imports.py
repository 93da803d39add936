"""Imports of files against batches of 1,000 over HTTP: the same events, the same server's database, in turn.

The rate of an import is that of its work, without the second that a command takes to start. Python's CPU time is that
of the servers, or of the import.
"""

import csv
import json
import os
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.ingest import LOADS, SECONDS, prepare, send, serving
from benchmarks.processor import spent_by
from benchmarks.sender import ACCOUNTS
from benchmarks.world import say
from bursar.core.caller import DEFAULT
from bursar.db.database import Database
from bursar.runtime import collector
from bursar.runtime.datadir import DataDir
from bursar.runtime.import_hands import count_for
from bursar.runtime.import_mapping import Columns
from bursar.runtime.import_sources import Format, open_source
from bursar.runtime.imports import Import, Rejects, identity
from bursar.runtime.session import caller_in

ROWS = 300_000
_COLUMNS = ("id", "at", "account", "tokens", "model")
_MAPPING = Columns(
    schema="=call",
    id="id",
    timestamp="at",
    account="account",
    attributes={"tokens": "tokens"},
    dimensions={"model": "model"},
)


def measure(rounds: int) -> dict[str, Any]:
    """Medians of `rounds` rounds: events/s over HTTP and of each format, ratios within each round, and CPU times.

    Each way is the first of a round in its turn: a machine that has rested is faster for some seconds. The tables are
    not empty when the first one begins.
    """
    folder = Path(tempfile.mkdtemp(prefix="bursar-bench-"))
    folder.chmod(0o755)
    found: dict[str, list[dict[str, float]]] = {"http": [], "csv": [], "ndjson": []}
    try:
        running = serving(folder, "--rate-limit", "0")
        with running as url:
            prepare(url)
            send(url, LOADS["batches_of_1000"], "before", SECONDS)
            for number in range(rounds):
                say(f"imports: round {number + 1} of {rounds}")
                kinds = list(found)
                for kind in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
                    found[kind].append(_measured(running.pid, folder, url, kind, number))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {
        kind: {name: statistics.median(row[name] for row in rows) for name in rows[0]} for kind, rows in found.items()
    }
    return {
        "rows": ROWS,
        "events_per_second": {kind: round(row["rate"]) for kind, row in medians.items()},
        "rounds": {kind: [round(row["rate"]) for row in rows] for kind, rows in found.items()},
        "ratio": {kind: round(statistics.median(_ratios(rows, found["http"])), 2) for kind, rows in found.items()},
        "ratios": {kind: [round(ratio, 2) for ratio in _ratios(rows, found["http"])] for kind, rows in found.items()},
        "cpu_us_per_event": {
            kind: {name: round(row[name], 1) for name in ("python", "postgres")} for kind, row in medians.items()
        },
    }


def _ratios(rows: list[dict[str, float]], others: list[dict[str, float]]) -> list[float]:
    return [row["rate"] / other["rate"] for row, other in zip(rows, others, strict=True)]


def _measured(pid: int, folder: Path, url: str, kind: str, number: int) -> dict[str, float]:
    """Events per second of one way in, and CPU in us per event: of Python, which are the servers or the command."""
    before = spent_by(pid)
    if kind == "http":
        sent = send(url, LOADS["batches_of_1000"], f"beside-{number}", SECONDS)
        rate, events, python = sent.rate, sent.events, 0.0
    else:
        events, (rate, python) = ROWS, _import(folder, kind)
    spent = {name: after - before[name] for name, after in spent_by(pid).items()}
    python += spent["server"] if kind == "http" else 0.0
    return {"rate": rate, "python": python / events * 1e6, "postgres": spent["postgres"] / events * 1e6}


def _rows() -> Iterator[tuple[str, datetime, str, str, str]]:
    start = datetime.now(UTC) - timedelta(hours=2)
    for index in range(ROWS):
        at = start + timedelta(seconds=index % 7200)
        yield str(uuid.uuid4()), at, f"account-{index * 31 % ACCOUNTS}", str(index % 1000), "large"


def _write(path: Path, kind: str) -> None:
    with path.open("w", newline="") as handle:
        if kind == "csv":
            writer = csv.writer(handle)
            writer.writerow(_COLUMNS)
            writer.writerows(_rows())
            return
        for identifier, at, account, tokens, model in _rows():
            event = {
                "schemaName": "call",
                "id": identifier,
                "timestamp": at.isoformat(),
                "accountId": account,
                "attributes": [{"name": "tokens", "value": tokens}],
                "dimensions": {"model": model},
            }
            handle.write(json.dumps(event) + "\n")


def _import(folder: Path, kind: str) -> tuple[float, float]:
    """Events per second of an import, and its CPU seconds in Python."""
    collector.settle()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"usage.{kind}"
        _write(path, kind)
        return uvloop.run(_imported(DataDir(folder).dsn(), path, Format(kind)))


def _used() -> float:
    """CPU seconds of this process and of what it has started and ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


async def _imported(dsn: str, path: Path, kind: Format) -> tuple[float, float]:
    db = await Database.open(dsn, size=4, timeout=300)
    try:
        caller = await caller_in(db, DEFAULT)
        mapping = _MAPPING if kind is Format.CSV else None
        began, used = time.perf_counter(), _used()
        source = open_source(path, kind, mapping)
        name = identity(path, kind, mapping, backfill=False)
        rejects = Rejects(path.with_suffix(".rejects"), source.columns)
        hands = count_for(path)
        report = await Import(db, caller.workspace, source, name, rejects, False, lambda _: None, hands).run()
        seconds, used = time.perf_counter() - began, _used() - used
        assert report.accepted == ROWS, report
        return ROWS / seconds, used
    finally:
        await db.close()
