"""Imports of files against batches of 1,000 over HTTP: the same events, the same server's database, in turn.

The import is the command, from its start to its end; its rate is that of a file large enough for the start to matter
little. The CPU seconds are those of the command alone and of PostgreSQL alone.
"""

import csv
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.entitled import _cpu
from benchmarks.ingest import LOADS, SECONDS, prepare, send, serving
from benchmarks.sender import ACCOUNTS

ROWS = 200_000
_COLUMNS = ("id", "at", "account", "tokens", "model")
_MAPPED = (
    "--schema", "call", "--id", "id", "--timestamp", "at", "--account", "account", "--attribute", "tokens=tokens",
    "--dimension", "model=model",
)  # fmt: skip


def measure(rounds: int) -> dict[str, Any]:
    """Medians of `rounds` interleaved rounds: events/s over HTTP and of each format, their ratios, and CPU times."""
    folder = Path(tempfile.mkdtemp(prefix="bursar-bench-"))
    folder.chmod(0o755)
    found: dict[str, list[dict[str, float]]] = {"http": [], "csv": [], "ndjson": []}
    try:
        running = serving(folder, "--rate-limit", "0")
        with running as url:
            prepare(url)
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr)
                for kind, rows in found.items():
                    rows.append(_measured(running.pid, folder, url, kind, number))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {
        kind: {name: statistics.median(row[name] for row in rows) for name in rows[0]} for kind, rows in found.items()
    }
    return {
        "rows": ROWS,
        "events_per_second": {kind: round(row["rate"]) for kind, row in medians.items()},
        "rounds": {kind: [round(row["rate"]) for row in rows] for kind, rows in found.items()},
        "ratio": {kind: round(row["rate"] / medians["http"]["rate"], 2) for kind, row in medians.items()},
        "cpu_us_per_event": {
            kind: {name: round(row[name], 1) for name in ("python", "postgres")} for kind, row in medians.items()
        },
    }


def _measured(pid: int, folder: Path, url: str, kind: str, number: int) -> dict[str, float]:
    """Events per second of one way in, and CPU in us per event: of Python, which are the servers or the command."""
    before = _cpu(pid)
    if kind == "http":
        rate = send(url, LOADS["batches_of_1000"], f"beside-{number}", SECONDS)[0]
        events, python = rate * SECONDS, 0.0
    else:
        events, (rate, python) = ROWS, _import(folder, kind)
    spent = {name: after - before[name] for name, after in _cpu(pid).items()}
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
    """Events per second of an import, and the CPU seconds of the command."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"usage.{kind}"
        _write(path, kind)
        command = [sys.executable, "-m", "bursar.runtime.cli", "import", "events", str(path), "--json"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        done = subprocess.run(
            [*command, "--data-dir", str(folder), *(_MAPPED if kind == "csv" else ())],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert json.loads(done.stdout)["accepted"] == ROWS, done.stdout
    return ROWS / seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
