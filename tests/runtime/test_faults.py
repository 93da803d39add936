"""PostgreSQL hangs, the server is told to stop: a clear answer in time, nothing lost, nothing doubled."""

import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import open_folder
from tests.runtime.program import Program, command, postmaster, program
from tests.runtime.test_kill import prepare

STANDSTILL = float(os.environ.get("BURSAR_STANDSTILL", "0"))
"""Seconds for which PostgreSQL hangs at least; never shorter than it takes to ask for everything twice."""
LIMIT = 5.0
"""Seconds within which every request ends, whatever PostgreSQL does."""


def event(identifier: str) -> dict[str, Any]:
    return {
        "schemaName": "call",
        "id": identifier,
        "timestamp": "2024-05-01T10:00:00Z",
        "accountId": "acme",
        "attributes": [{"name": "units", "value": "1"}],
        "dimensions": {},
    }


def family(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def hung(folder: Path) -> Iterator[None]:
    """PostgreSQL stands still while the block runs."""
    processes = family(postmaster(folder))
    try:
        _send(processes, signal.SIGSTOP)
        yield
    finally:
        _send(processes, signal.SIGCONT)


def _send(processes: list[int], number: signal.Signals) -> None:
    """Send a signal to those of them that have not ended."""
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def outcome(running: Program, token: str, method: str, path: str, body: Any = None) -> tuple[int, float]:
    """Status and seconds of a request."""
    began = time.monotonic()
    try:
        running.call(method, path, body, token=token)
        status = 200
    except urllib.error.HTTPError as error:
        status = error.code
    return status, time.monotonic() - began


REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/customers", None),
    ("POST", "/customers", {"id": "other", "name": "Other", "primaryEmail": "o@example.com", "address": {}}),
    ("POST", "/ingestBatch", {"events": [event(f"hung-{n}") for n in range(200)]}),
    ("GET", "/readyz", None),
    ("GET", "/invoices", None),
]


def test_a_hung_postgres_is_503_in_time_and_heals_by_itself() -> None:
    with open_folder() as folder, open_folder() as power_cut, program(folder) as running:
        token = prepare(running, folder)
        for request in REQUESTS:
            if request[0] == "GET":
                assert outcome(running, token, *request)[0] == 200
        kept = [event(f"kept-{n}") for n in range(50)]
        assert outcome(running, token, "POST", "/ingestBatch", {"events": kept})[0] == 200
        with hung(folder):
            until = time.monotonic() + STANDSTILL
            subprocess.run(["cp", "-a", f"{folder}/.", power_cut], check=True)
            rounds = 0
            while rounds < 2 or time.monotonic() < until:
                rounds += 1
                with ThreadPoolExecutor(len(REQUESTS)) as pool:
                    answers = list(pool.map(lambda request: outcome(running, token, *request), REQUESTS))
                results = {
                    f"{method} {path}": answer for (method, path, _), answer in zip(REQUESTS, answers, strict=True)
                }
                assert {name: status for name, (status, _) in results.items()} == dict.fromkeys(results, 503)
                late = {name: seconds for name, (_, seconds) in results.items() if seconds > LIMIT}
                assert not late
                assert outcome(running, token, "GET", "/livez")[0] == 200
        deadline = time.monotonic() + 10
        for request in REQUESTS:
            while outcome(running, token, *request)[0] not in (200, 409):
                assert time.monotonic() < deadline, request
                time.sleep(0.1)
        balance = running.call("GET", "/bursar/v1/ingest/balance", token=token)
        assert balance["metered"] == len(kept) + 200, "once, although it was sent again"
        assert command("verify", "--data-dir", str(folder))["holds"] is True
        # What lay on disk while everything stood still is what a power cut would have left.
        for lock in (power_cut / "postgresql" / "postmaster.pid", *(power_cut / "run").glob(".s.*")):
            lock.unlink()  # they name processes that would be gone
        with program(power_cut) as again:
            balance = again.call("GET", "/bursar/v1/ingest/balance", token=token)
            assert balance["metered"] == len(kept), "what was acknowledged, and no more"
            assert command("verify", "--data-dir", str(power_cut))["holds"] is True


@contextlib.contextmanager
def stuttering(folder: Path) -> Iterator[None]:
    """PostgreSQL does something for a moment every two seconds while the block runs: within each limit of ours."""
    over = threading.Event()

    def stutter() -> None:
        while not over.is_set():
            with hung(folder):
                over.wait(2.0)
            over.wait(0.02)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_waits_that_are_short_enough_by_themselves_are_so_together() -> None:
    with open_folder() as folder, program(folder) as running:
        token = prepare(running, folder)
        contact = {"name": "Other", "primaryEmail": "o@example.com", "address": {}}

        def asked(number: int) -> tuple[str, int, float]:
            time.sleep(number % 16 * 0.25)
            requests: list[tuple[str, str, Any]] = [
                ("GET", "/customers", None),
                ("POST", "/customers", {"id": f"c{number}", **contact}),
                ("POST", "/ingest", {"event": event(f"e{number}")}),
                ("GET", "/accounts/acme", None),
            ]
            method, path, body = requests[number % len(requests)]
            return path, *outcome(running, token, method, path, body)

        with stuttering(folder), ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(asked, range(128)))
        assert {status for _, status, _ in answers} <= {200, 503}
        assert [answer for answer in answers if answer[2] > LIMIT] == []


@pytest.mark.parametrize("connections", [8])
def test_no_request_in_flight_fails_when_the_server_is_told_to_stop(connections: int) -> None:
    with open_folder() as folder:
        running = Program(folder)
        running.ready()
        token = prepare(running, folder)
        acknowledged: list[str] = []
        cut: list[str] = []
        stopping = threading.Event()

        def send(sender: int) -> None:
            for number in range(10_000):
                ids = [f"{sender}-{number}-{place}" for place in range(100)]
                try:
                    running.call("POST", "/ingestBatch", {"events": [event(name) for name in ids]}, token=token)
                except urllib.error.HTTPError as error:
                    if not (stopping.is_set() and error.code == 503):
                        cut.append(f"{error.code}")
                    return
                except (HTTPException, OSError, ValueError) as error:
                    # Who comes when nobody is there any more is refused; whoever came before gets an answer.
                    if not (stopping.is_set() and "refused" in str(error)):
                        cut.append(repr(error))
                    return
                acknowledged.extend(ids)

        senders = [threading.Thread(target=send, args=(number,)) for number in range(connections)]
        for sender in senders:
            sender.start()
        time.sleep(1.0)
        stopping.set()
        assert running.terminate() < 10
        for sender in senders:
            sender.join(20)
        assert acknowledged
        assert not cut
        with program(folder) as following:
            balance = following.call("GET", "/bursar/v1/ingest/balance", token=token)
            assert balance["metered"] == len(acknowledged)
