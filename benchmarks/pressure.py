"""More events than can be stored: what others wait for meanwhile, and how long recovery takes after minutes of it.

`python -m benchmarks.pressure HOST PORT TOKEN PREFIX SECONDS` sends batches of 1,000 over 64 connections, made as they
go, and at once again where it is told 503; it prints how many events were stored and how many requests were refused.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.ingest import TOKEN, _post, prepare, serving
from benchmarks.processor import memory_of
from benchmarks.sender import ACCOUNTS
from benchmarks.world import folder, say
from bursar.runtime.datadir import DataDir

SECONDS = 300.0
"""Of full load before the kill."""
CONNECTIONS = 64
BATCH = 1000
RATE = 20
"""Reads per second whose slowness is measured."""
READERS = "32"
"""Connections for them: so many that one that waits holds up no other."""
WATCH = 30.0
"""Seconds for which they are watched: their p99 is of the slowest six."""
SEVERAL = 32
"""Batches that differ: more than the server stores together, and so compresses together."""
LIMIT = 10_000
"""Events per second that are let in where reads are to be answered as if hardly anything else went on."""
_BATCH = "in-batch"
"""What stands for the number of a batch."""


def measure(rounds: int, seconds: float = SECONDS) -> dict[str, Any]:
    """Medians, and of recovery the worst, of rounds of `seconds` under more load than fits, each then killed."""
    found: list[dict[str, float]] = []
    with folder() as place:
        for number in range(rounds):
            say(f"pressure: round {number + 1} of {rounds}")
            bounded = _bounded(place, number, min(WATCH, seconds / 2))
            found.append({**bounded, **_round(place, number, seconds)})
    middle = {name: round(statistics.median(one[name] for one in found), 2) for name in found[0]}
    return {
        "connections": CONNECTIONS,
        "seconds_of_load": seconds,
        **middle,
        "recovery_seconds_worst": max(one["recovery_seconds"] for one in found),
        "recoveries": [one["recovery_seconds"] for one in found],
    }


def _bounded(place: Path, number: int, seconds: float) -> dict[str, float]:
    """What others wait for beside as many senders, where the events that are let in are bounded."""
    options = ("--workers", "1", "--rate-limit", "0", "--ingest-limit", str(LIMIT))
    with serving(place, *options) as url, contextlib.ExitStack() as stack:
        if number == 0:
            prepare(url)
        idle = _reads(url, seconds)
        flood = _flooding(url, f"bounded-{number}", seconds + 2, stack)
        flooded = _reads(url, seconds)
        stored, refused = json.loads(flood.communicate(timeout=60)[0])
    return {
        "bounded_to": float(LIMIT),
        "bounded_events_per_second": stored / (seconds + 2),
        "bounded_requests_refused_per_second": refused / (seconds + 2),
        "bounded_read_p99_ms_idle": idle,
        "bounded_read_p99_ms_flooded": flooded,
    }


def _flooding(url: str, prefix: str, seconds: float, stack: contextlib.ExitStack) -> "subprocess.Popen[str]":
    """A flood that has begun, for so many seconds; it ends with the stack at the latest."""
    flood = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.pressure", *_address(url), TOKEN, prefix, str(seconds)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    stack.callback(flood.kill)
    time.sleep(min(2.0, seconds / 4))
    return flood


def _round(place: Path, number: int, seconds: float) -> dict[str, float]:
    with serving(place, "--workers", "1", "--rate-limit", "0") as url, contextlib.ExitStack() as stack:
        idle = _reads(url, min(WATCH, seconds))
        flood = _flooding(url, f"round-{number}", seconds, stack)
        flooded = _reads(url, min(WATCH, seconds / 2))
        sizes = _sizes(flood, seconds)
        said, _ = flood.communicate(timeout=60)
        stored, refused = json.loads(said)
        memory = memory_of(os.getpid())
        postmaster = int((DataDir(place).cluster / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGKILL)
        _kill_parent(url, place)
    killed = time.monotonic()
    with serving(place, "--workers", "1", "--rate-limit", "0") as url:
        while True:
            try:
                _post(url, "/ingest", {"event": _event(f"after-{number}", 0, "2024-01-01T00:00:00Z")})
                break
            except urllib.error.HTTPError:
                time.sleep(0.02)
        recovered = time.monotonic() - killed
    stopped = time.monotonic()
    with serving(place, "--workers", "1", "--rate-limit", "0"):
        started = time.monotonic() - stopped
    return {
        "events_per_second": stored / seconds,
        "requests_refused_per_second": refused / seconds,
        "read_p99_ms_idle": idle,
        "read_p99_ms_flooded": flooded,
        "largest_server_mb": float(memory),
        "server_mb_at_a_quarter": float(sizes[len(sizes) // 4]),
        "server_mb_at_the_end": float(sizes[-1]),
        "recovery_seconds": round(recovered, 2),
        "of_it_redo_seconds": _redo(place),
        "start_after_a_clean_stop_seconds": round(started, 2),
    }


def _sizes(flood: subprocess.Popen[str], seconds: float) -> list[int]:
    """What the largest server has in megabytes, again and again until the flood ends."""
    sizes, deadline = [memory_of(os.getpid(), "VmRSS")], time.monotonic() + seconds + 60
    while flood.poll() is None and time.monotonic() < deadline:
        time.sleep(seconds / 40)
        sizes.append(memory_of(os.getpid(), "VmRSS"))
    return sizes


def _kill_parent(url: str, place: Path) -> None:
    """End `bursar serve` over a folder as by a power cut; its servers end with it."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace") if entry.name.isdigit() else ""
            if "bursar.runtime.cli" in command and str(place) in command:
                os.kill(int(entry.name), signal.SIGKILL)
    while True:
        try:
            _post(url, "/ingest", {})
        except urllib.error.HTTPError:
            time.sleep(0.01)
        except OSError:
            return


def _redo(place: Path) -> float:
    """How long PostgreSQL went through its log after the last kill; 0 where there was nothing to do."""
    logs = sorted((DataDir(place).cluster / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    found = re.findall(r"redo done at .* elapsed: ([0-9.]+) s", logs[-1].read_text(errors="replace")) if logs else []
    return float(found[-1]) if found else 0.0


def _address(url: str) -> list[str]:
    return url.removeprefix("http://").rsplit(":", 1)


def _reads(url: str, seconds: float) -> float:
    """p99 in milliseconds of reads of an account, each sent at its time.

    Whoever measures goes before everybody else, where that is allowed: a client has processors of its own.
    """
    headers = {"authorization": f"Bearer {TOKEN}"}
    work = {"requests": [["GET", "/accounts/account-1", ""]], "headers": headers, "status": 200}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.requester", *_address(url), READERS, str(seconds), str(RATE)],
        input=json.dumps(work), stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60,
        preexec_fn=_first,
    )  # fmt: skip
    return float(json.loads(done.stdout)[3])


def _first() -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _event(name: str, number: int, at: str) -> dict[str, Any]:
    return {
        "schemaName": "call", "id": f"{name}-{number}", "timestamp": at, "accountId": f"account-{number % ACCOUNTS}",
        "attributes": [{"name": "tokens", "value": f"{number % 997}.5"}], "dimensions": {"model": "large"},
    }  # fmt: skip


class _Flood:
    """What all connections count."""

    def __init__(self, prefix: str, seconds: float) -> None:
        self.prefix = prefix
        self.until = time.perf_counter() + seconds
        self.stored = 0
        self.refused = 0
        self.made = 0
        at = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
        events = [_event(f"{prefix}-{_BATCH}", number, at) for number in range(BATCH * SEVERAL)]
        parts = [events[first : first + BATCH] for first in range(0, len(events), BATCH)]
        self.batches = [json.dumps({"events": part}).encode() for part in parts]
        self.place = _BATCH.encode()

    def body(self) -> bytes:
        """The next batch: events of a former one under ids of its own, which takes little of the processors."""
        self.made += 1
        return self.batches[self.made % SEVERAL].replace(self.place, b"%d" % self.made)

    async def send(self, host: str, port: int, head: bytes) -> None:
        """Send batches over one connection, opened again where it was refused."""
        while time.perf_counter() < self.until:
            reader, writer = await asyncio.open_connection(host, port)
            try:
                while time.perf_counter() < self.until:
                    body = self.body()
                    writer.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
                    answer = await reader.readuntil(b"\r\n\r\n")
                    if not answer.startswith(b"HTTP/1.1 202"):
                        self.refused += 1
                        break
                    self.stored += BATCH
                    await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            except (OSError, asyncio.IncompleteReadError):
                self.refused += 1
            finally:
                writer.close()


async def main(host: str, port: int, token: str, prefix: str, seconds: float) -> None:
    """Flood a server."""
    flood = _Flood(prefix, seconds)
    head = f"POST /ingestBatch HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-length: ".encode()
    await asyncio.gather(*(flood.send(host, port, head) for _ in range(CONNECTIONS)))
    print(json.dumps([flood.stored, flood.refused]))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5])))
