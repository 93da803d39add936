"""The demonstration: a server of its own, a month of usage through the real API, an invoice explained to its events."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bursar.accounts.tokens import create_token
from bursar.accounts.workspaces import caller_of, create_workspace
from bursar.core.errors import BursarError
from bursar.db.database import Database
from bursar.runtime import usage_play
from bursar.runtime.datadir import DataDir
from bursar.runtime.output import note, progress
from bursar.runtime.proof import prove
from bursar.runtime.wall import wall

SENDERS = 4
_encoder = msgspec.json.Encoder(decimal_format="number")


class DemoFailed(BursarError):
    """The demonstration did not come out as it should."""


def play(events: int, *, quiet: bool) -> dict[str, Any]:
    """Play about `events` events and show what becomes of them; returns the figures. Takes some seconds."""
    say = (lambda _: None) if quiet else note
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="bursar-demo-"))
    folder.chmod(0o755)
    try:
        with _server(folder, say) as url:
            token = asyncio.run(_sandbox(folder))
            api = Api(url, token)
            say("a sandbox whose clock stands at 1 May 2024, three customers, two meters, three price plans")
            accounts = usage_play.prepare(api.call)
            with progress("events", events, quiet=quiet) as advance, ThreadPoolExecutor(SENDERS) as pool:
                for clock, batches in usage_play.weeks(events):
                    api.call("POST", "/bursar/v1/clock", {"now": clock})
                    for sent in pool.map(api.ingest, batches):
                        advance(sent)
            balance = api.call("GET", "/bursar/v1/ingest/balance")
            say(_balance(balance))
            say("the clock moves past the month's end and its grace: what is due is issued")
            api.call("POST", "/bursar/v1/clock", {"now": "2024-06-04T00:00:00Z"})
            invoice, explained = _read(api, accounts[0])
            say(_invoice(invoice) + "\n" + _explained(explained))
            problems = asyncio.run(_verify(folder))
            say("verify: all invariants hold" if not problems else "\n".join(problems))
        if problems:
            raise DemoFailed("verify found what does not hold: " + "; ".join(problems))
        seconds = round(time.monotonic() - began, 1)
        say(f"\nThat took {seconds} s. To go on: `bursar serve`, then the tour in README.md; the API is at /docs.")
        return {"balance": balance, "invoice": invoice, "explained": explained, "verify": "holds", "seconds": seconds}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Api:
    """The demonstration's client: plain HTTP with a bearer token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request. Raises `DemoFailed` for one that is refused."""
        data = None if body is None else _encoder.encode(body)
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own address
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise DemoFailed(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from None

    def ingest(self, events: list[dict[str, Any]]) -> int:
        """Send a batch; returns how many events it had."""
        self.call("POST", "/ingestBatch", {"events": events})
        return len(events)


@contextmanager
def _server(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    environment = {**os.environ, "BURSAR_TOKEN": secrets.token_urlsafe(24)}
    environment.pop("DATABASE_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "bursar.runtime.cli", "serve", "--port", "0", "--data-dir", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            say(line.rstrip())
            if " is ready at " in line:
                yield line.rsplit(" ", 1)[1].strip()
                break
        else:
            raise DemoFailed("the server did not start")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


async def _sandbox(folder: Path) -> str:
    db = await Database.open(DataDir(folder).dsn(), size=1)
    try:
        async with db.transaction(None) as connection:
            workspace = await create_workspace(
                connection, wall(), "demo", "demo", sandbox=True, currency="USD", timezone="America/New_York"
            )
            token, _ = await create_token(connection, caller_of(workspace, wall(), "demo"), "demo")
            return token
    finally:
        await db.close()


async def _verify(folder: Path) -> list[str]:
    db = await Database.open(DataDir(folder).dsn(), size=2, timeout=120)
    try:
        found = await prove(db, quiet=True)
    finally:
        await db.close()
    return [f"{name}: {problem}" for name, problems in found.items() for problem in problems]


def _read(api: Api, account: str) -> tuple[Any, Any]:
    listed = api.call("GET", f"/invoices?owner_id={account}&status=DUE")["data"]
    if len(listed) != 1:
        raise DemoFailed(f"account {account} has {len(listed)} due invoices instead of one")
    invoice = api.call("GET", f"/bursar/v1/invoices/{listed[0]['id']}")
    explained = api.call("GET", f"/bursar/v1/invoices/{listed[0]['id']}/lines/1/explain?limit=3")
    return invoice, explained


def _balance(balance: dict[str, int]) -> str:
    parts = [f"{balance[name]:,} {name}" for name in ("metered", "unmetered", "duplicate", "rejected")]
    return f"events in: {balance['received']:,} = {' + '.join(parts)}"


def _invoice(invoice: dict[str, Any]) -> str:
    document = invoice["document"]
    lines = [
        f"  {line['number']}. {line['description']:<34} {_quantity(line):>14} {line['amount']:>12,.2f}"
        for line in document["lines"]
    ]
    head = f"invoice {document['sequenceId']} for {document['customer']['name']}, {invoice['status']}"
    period = f"{document['startDate'][:10]} to {document['endDate'][:10]}, {document['pricePlanName']}"
    total = f"  {'total':<51} {document['total']:>12,.2f} {document['currency']}"
    return "\n".join(["", head, f"  {period}", *lines, total])


def _quantity(line: dict[str, Any]) -> str:
    return "" if line["quantity"] is None else f"{line['quantity']:,}"


def _explained(explained: dict[str, Any]) -> str:
    line = explained["line"]
    slabs = [f"  slab {slab['order']}: {slab['formula']}" for slab in line["slabs"]]
    events = [f"  event {event['id']} at {event['occurredAt']}: {event['quantity']}" for event in explained["events"]]
    meter = line["meter"]
    return "\n".join(
        [
            "",
            f"line 1 explained: {meter['name']} ({meter['aggregation']}) measured {line['quantity']:,}",
            *slabs,
            f"  {line['unrounded']} rounds toward zero to {line['amount']}",
            *events,
            "  ... and so on, page by page",
            "",
        ]
    )
