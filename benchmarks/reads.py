"""Single requests to a server, one after the other on one connection, and the machine's ceiling in the same run.

The ceiling of a request over HTTP is `/livez`, which asks nobody; that of the database is a row read by its key.
"""

import asyncio
import http.client
import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.ingest import serving
from benchmarks.stored import store_events
from benchmarks.world import TOKEN, fill, postgres, say
from bursar.accounts.store import get_account
from bursar.db.database import Database

NAME = "reads"
ACCOUNTS = 10_000
REQUESTS = 400
EVENTS = 10_000_000
"""Stored, and added up in rollups."""


def measure(
    folder: Path, rounds: int, accounts: int = ACCOUNTS, requests: int = REQUESTS, events: int = EVENTS
) -> dict[str, Any]:
    """p50 and p99 in milliseconds of every kind of request, over `rounds` interleaved rounds."""
    say(f"reads: {accounts} accounts, {events:,} events")
    with postgres(folder) as dsn:
        walls = asyncio.run(_prepare(dsn, accounts, events))
    marks: dict[str, list[float]] = {}
    with serving(folder) as url:
        client = _Client(url)
        drafts = client.drafts(accounts)
        kinds = _kinds(client, drafts, accounts)
        for number in range(rounds):
            say(f"reads: round {number + 1} of {rounds}")
            for name, ask in kinds.items():
                for index in range(requests):
                    began = time.perf_counter()
                    ask(number * requests + index)
                    marks.setdefault(name, []).append(1000 * (time.perf_counter() - began))
    return {
        "accounts": accounts,
        "events": events,
        **{name: _spread(found) for name, found in marks.items()},
        "row_level_security": walls,
    }


def _kinds(client: "_Client", drafts: list[str], accounts: int) -> dict[str, Callable[[int], None]]:
    chance = random.Random(1)

    def account(_index: int) -> None:
        client.ask("GET", f"/accounts/a{chance.randrange(accounts)}", 200)

    def create(index: int) -> None:
        client.ask("POST", "/accounts", 201, {"id": f"new-{index}", "name": "New", "customerId": "a0"})

    return {
        "ceiling_http": lambda _index: client.ask("GET", "/livez", 200),
        "read_account": account,
        "list_50_accounts": lambda _index: client.ask("GET", "/accounts?pageSize=50", 200),
        "create_account": create,
        "live_draft_of_ten_cards": lambda _index: client.ask("GET", f"/invoices/{chance.choice(drafts)}", 200),
    }


class _Client:
    """One connection that is kept."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self._connection = http.client.HTTPConnection(host, int(port), timeout=120)
        self._headers = {"authorization": f"Bearer {TOKEN}-{NAME}", "content-type": "application/json"}

    def ask(self, method: str, path: str, status: int, body: Any = None) -> Any:
        """The answer's text; anything but the status that is expected is an error."""
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == status, text
        return text

    def drafts(self, accounts: int) -> list[str]:
        """Ids of some drafts; asking for them opens the cycles of all accounts."""
        listed = json.loads(self.ask("GET", "/invoices?status=DRAFT&pageSize=50", 200))
        assert len(listed["data"]) == min(50, accounts)
        return [invoice["id"] for invoice in listed["data"]]


async def _prepare(dsn: str, accounts: int, events: int) -> dict[str, float]:
    """Fill the workspace; what a read of an account costs as the role of requests, and as the owner."""
    db = await Database.open(dsn, size=1, timeout=1800)
    try:
        caller = await fill(db, NAME, accounts, wall=datetime.now(UTC))
        await store_events(db, caller.workspace, events)
        chance = random.Random(2)
        marks: dict[str, list[float]] = {
            "requests_role_p50_ms": [],
            "owner_p50_ms": [],
            "ceiling_row_by_key_p50_ms": [],
        }
        for _ in range(600):
            for name, workspace in (("requests_role_p50_ms", caller.workspace), ("owner_p50_ms", None)):
                began = time.perf_counter()
                async with db.transaction(workspace) as connection:
                    await get_account(connection, caller.workspace, f"a{chance.randrange(accounts)}")
                marks[name].append(1000 * (time.perf_counter() - began))
            began = time.perf_counter()
            async with db.transaction(None) as connection:
                await connection.fetchrow("select * from account where key = $1", chance.randrange(accounts))
            marks["ceiling_row_by_key_p50_ms"].append(1000 * (time.perf_counter() - began))
        return {name: round(statistics.median(found), 3) for name, found in marks.items()}
    finally:
        await db.close()


def _spread(marks: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(marks, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}
