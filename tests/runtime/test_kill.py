"""kill -9 of server and PostgreSQL in the middle of ingest: what was acknowledged is there once, and all holds."""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bursar.runtime.datadir import DataDir
from tests.conftest import PLAIN
from tests.http.togai import catalog
from tests.postgres import open_folder
from tests.runtime.program import Program, alive, command, postmaster, program

KILLS = int(os.environ.get("BURSAR_KILLS", "10"))
MORE = 8
"""Kills more at most, where those met no request."""
WAYS = [signal.SIGKILL, signal.SIGINT, signal.SIGQUIT]
"""How PostgreSQL ends: as by a power cut, as when somebody restarts it, as when it is told not to wait."""
PATIENCE = 60.0
MANY = 100
"""Kills from which on their recovery is measured by its worst."""
RECOVERED_WITHIN = 5.0
"""Seconds from a kill until every sender is served again, in 95 of 100."""
SENDERS = 3
BATCH = 100


class Sender(threading.Thread):
    """Sends batches, each until it is acknowledged, with the same ids."""

    def __init__(self, number: int, target: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.target = target
        self.acknowledged = 0
        self.retries = 0

    def run(self) -> None:
        batch = 0
        while not self.target["stop"]:
            events = [
                {
                    "schemaName": "call",
                    "id": f"{self.number}-{batch}-{place}",
                    "timestamp": "2024-05-01T10:00:00Z",
                    "accountId": "acme",
                    "attributes": [{"name": "units", "value": "1"}],
                    "dimensions": {},
                }
                for place in range(BATCH)
            ]
            while True:
                try:
                    self.target["program"].call("POST", "/ingestBatch", {"events": events}, token=self.target["token"])
                    break
                except (HTTPException, OSError, ValueError):  # killed at any byte of the answer
                    self.retries += 1
                    time.sleep(0.05)
            self.acknowledged += BATCH
            batch += 1


def prepare(running: Program, folder: Path) -> str:
    command("workspace", "create", "trial", "--sandbox", "--data-dir", str(folder))
    token = str(command("token", "create", "--workspace", "trial", "--data-dir", str(folder))["token"])

    def call(path: str, body: Any = None) -> Any:
        return running.call("POST", path, body, token=token)

    call("/bursar/v1/clock", {"now": "2024-05-01T12:00:00Z"})
    call("/customers", {"id": "acme", "name": "ACME", "primaryEmail": "a@example.com", "address": {}})
    call("/event_schema", {"name": "call", "attributes": [{"name": "units"}], "dimensions": []})
    call("/event_schema/call/activate")
    meter = {
        "name": "units", "type": "COUNTER", "aggregation": "SUM", "eventSchemaName": "call",
        "computations": [{"computation": '{"var":"attributes.units"}', "order": 1}],
    }  # fmt: skip
    call(f"/usage_meters/{call('/usage_meters', meter)['id']}/activate")
    return token


def backends(folder: Path) -> list[int]:
    """The processes of PostgreSQL that serve a connection."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(postmaster(folder))], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 1) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, title in rows if "[local]" in title]


def end(pid: int, reason: signal.Signals) -> None:
    """Send a process a signal and wait for its end: until then it may go on answering."""
    os.kill(pid, reason)
    deadline = time.monotonic() + PATIENCE
    while alive(pid):
        assert time.monotonic() < deadline, "it has not ended"
        time.sleep(0.005)


def any_backend(folder: Path, chance: random.Random) -> int:
    """A process of PostgreSQL that serves a connection, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE
    while not (some := backends(folder)):
        assert time.monotonic() < deadline, "PostgreSQL serves nobody"
        time.sleep(0.02)
    return chance.choice(some)


def until_all_are_acknowledged(senders: list[Sender]) -> None:
    """Wait until every sender got something acknowledged that it has sent from now on: its second answer is of that."""
    before = [sender.acknowledged for sender in senders]
    deadline = time.monotonic() + PATIENCE
    while any(sender.acknowledged <= count + BATCH for sender, count in zip(senders, before, strict=True)):
        assert time.monotonic() < deadline, "somebody gets no answer"
        time.sleep(0.02)


def started(folder: Path, *options: str) -> tuple[dict[str, Any], list[Sender]]:
    """A server with an account and a meter, and senders that have just begun."""
    running = Program(folder, *options)
    running.ready()
    target: dict[str, Any] = {"program": running, "token": prepare(running, folder), "stop": False}
    senders = [Sender(number, target) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    return target, senders


def nothing_lost_or_doubled(target: dict[str, Any], senders: list[Sender], others: int = 0) -> None:
    """End the senders; what they got acknowledged is there, once, with `others` that were sent beside, and no more."""
    target["stop"] = True
    for sender in senders:
        sender.join(30)
        assert not sender.is_alive()
    acknowledged = sum(sender.acknowledged for sender in senders)
    assert acknowledged > 0
    balance = target["program"].call("GET", "/bursar/v1/ingest/balance", token=target["token"])
    assert balance["metered"] == acknowledged + others
    assert balance["received"] == balance["metered"] + balance["duplicate"]


def test_nothing_acknowledged_is_lost_or_doubled() -> None:
    chance = random.Random(7)
    with open_folder() as folder:
        target, senders = started(folder, "--workers", "2")
        recoveries: list[float] = []
        killed = None
        for number in range(KILLS + MORE):
            until_all_are_acknowledged(senders)
            if killed is not None:
                recoveries.append(time.monotonic() - killed)
            if number >= KILLS and any(sender.retries for sender in senders):
                break
            time.sleep(chance.uniform(0, 0.5))
            killed = time.monotonic()
            if number % 4 == 0:
                end(postmaster(folder), WAYS[number // 4 % len(WAYS)])
                continue  # the parent starts it again
            if number % 4 == 1:
                end(any_backend(folder, chance), signal.SIGKILL)
                continue  # PostgreSQL ends all others and recovers
            if number % 4 == 2:
                os.kill(postmaster(folder), signal.SIGKILL)
            target["program"].kill()
            following = Program(folder, "--workers", "2")
            following.ready()
            target["program"] = following
        until_all_are_acknowledged(senders)
        assert sum(sender.retries for sender in senders) > 0, "no kill met a request"
        nothing_lost_or_doubled(target, senders)
        assert target["program"].terminate() < 10
        assert command("verify", "--data-dir", str(folder))["holds"] is True
        assert target["program"].failures() == []
        recoveries.sort()
        slow = recoveries[-(-len(recoveries) * 95 // 100) - 1]
        print(f"{len(recoveries)} kills; everybody is served again within {slow:.2f} s in 95 of 100")
        assert len(recoveries) < MANY or slow < RECOVERED_WITHIN, recoveries
        with program(folder, "--no-worker") as last:
            assert last.call("GET", "/readyz") == {"status": "ready"}


ACCOUNTS = 120


def books(running: Program, folder: Path) -> str:
    """A sandbox with accounts that all have a plan; returns its token."""
    command("workspace", "create", "books", "--sandbox", "--data-dir", str(folder))
    token = str(command("token", "create", "--workspace", "books", "--data-dir", str(folder))["token"])
    running.call("POST", "/bursar/v1/clock", {"now": "2024-05-01T00:00:00Z"}, token=token)
    with httpx.Client(
        base_url=running.url, headers={"authorization": f"Bearer {token}"}, timeout=30, verify=PLAIN
    ) as http:
        catalog.schema(http)
        card = catalog.card(catalog.meter(http), catalog.per_unit(0), ["0.1"])
        plan = catalog.plan(http, [card])
        for number in range(ACCOUNTS):
            catalog.customer(http, f"a{number}")
            body = {
                "mode": "ASSOCIATE",
                "pricePlanId": plan,
                "effectiveFrom": "2024-05-01",
                "effectiveUntil": "9999-01-01",
            }
            catalog.expect(http.post(f"/accounts/a{number}/price_plans", json=body), 200)
    return token


def use(running: Program, token: str, at: str) -> None:
    """Every account uses something."""
    with httpx.Client(
        base_url=running.url, headers={"authorization": f"Bearer {token}"}, timeout=30, verify=PLAIN
    ) as http:
        catalog.ingest(http, *(catalog.event(f"{at}-{n}", at, account=f"a{n}", tokens=n + 1) for n in range(ACCOUNTS)))


def invoices(running: Program, token: str) -> Counter[str]:
    """How many due invoices begin at each instant."""
    found: Counter[str] = Counter()
    query = "status=DUE&pageSize=50"
    while True:
        page = running.call("GET", f"/invoices?{query}", token=token)
        found.update(invoice["startDate"] for invoice in page["data"])
        if not page.get("nextToken"):
            return found
        query = f"status=DUE&pageSize=50&nextToken={page['nextToken']}"


STAGES = ("ledger_balance", "invoice_series", "invoice_document")
"""Tables that a run writes one after the other: the run of each month is killed while it waits for one of them."""


def test_a_bill_run_that_is_killed_is_finished_by_the_next() -> None:
    """Each month's run is cut off: PostgreSQL is killed, then the server with it; `bursar bill` does the rest."""
    with open_folder() as folder:
        running = Program(folder)
        running.ready()
        token = books(running, folder)
        for round_, table in enumerate(STAGES, start=1):
            use(running, token, f"2024-{round_ + 4:02}-05T00:00:00Z")
            now = f"2024-{round_ + 5:02}-05"
            killed = postmaster(folder)
            with _standing_before(folder, table) as waiting:
                moving = threading.Thread(target=_move, args=(running, token, f"{now}T00:00:00Z"))
                moving.start()
                waiting()
                os.kill(killed, signal.SIGKILL)
            if round_ % 2 == 0:
                running.kill()
            moving.join(30)
            if round_ % 2 == 0:
                running = Program(folder)
                running.ready()
            _until_recovered(running, folder, killed)
            assert running.failures() == [], "an outage answers 503, and is no failure of ours"
            running.call("POST", "/bursar/v1/clock", {"now": f"{now}T00:00:00Z"}, token=token)
            command("bill", "--workspace", "books", "--data-dir", str(folder))
            counts = invoices(running, token)
            assert len(counts) == round_
            assert set(counts.values()) == {ACCOUNTS}, "one invoice per account and month"
        assert command("verify", "--data-dir", str(folder))["holds"] is True
        assert running.terminate() < 10


@contextlib.contextmanager
def _standing_before(folder: Path, table: str) -> Iterator[Callable[[], None]]:
    """Whoever writes a table stands still before it. Yields what waits for somebody; PostgreSQL may be killed."""
    dsn = DataDir(folder).dsn()
    waits = "select count(*) from pg_locks where relation = %s::regclass and not granted"
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn) as holder:
        holder.execute(f"lock table bursar.{table} in share mode")

        def until_waiting() -> None:
            deadline = time.monotonic() + PATIENCE
            with psycopg.connect(dsn, autocommit=True) as onlooker:
                while onlooker.execute(waits, [f"bursar.{table}"]).fetchone() == (0,):
                    assert time.monotonic() < deadline, "nobody came to the table"
                    time.sleep(0.01)

        yield until_waiting


def _move(running: Program, token: str, now: str) -> None:
    with contextlib.suppress(HTTPException, OSError, ValueError):  # killed under way
        running.call("POST", "/bursar/v1/clock", {"now": now}, token=token)


def _until_recovered(running: Program, folder: Path, killed: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(HTTPException, OSError, IndexError, ValueError):
            if postmaster(folder) != killed and running.call("GET", "/readyz"):
                return
        assert time.monotonic() < deadline, "it did not recover"
        time.sleep(0.05)
