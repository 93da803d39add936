"""A balance passes its thresholds at the carrier's door: a subscriber and contacts hear of it, for real."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest

from bursar.runtime.deliveries import keep_delivering
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import expect
from tests.http.yeti.carrier import contractor, document, get, make, send
from tests.notify.receivers import Post, hearing

CLOCK = datetime(2026, 1, 2, 12, 46, tzinfo=UTC)
PATIENCE = 100.0


@contextmanager
def delivering(dsn: str) -> Iterator[None]:
    """The worker's deliveries, in a thread."""
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def work() -> None:
        stopping = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stopping))
        await keep_delivering(dsn, stopping, private=True)

    thread = Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield
    finally:
        loop, stopping = loops[0]
        loop.call_soon_threadsafe(stopping.set)
        thread.join(20)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    made.port = made.start()
    yield made
    made.stop()


def subscribe(tenant: Tenant, url: str | None, contacts: list[int]) -> None:
    events = [f"Account{level}Theshold{what}" for level in ("Low", "High") for what in ("Reached", "Cleared")]
    wanted = [{"event": event, "url": url, "contacts": contacts} for event in events]
    answer = expect(tenant.http.put("/bursar/v1/event_subscriptions", json={"subscriptions": wanted}), 200)
    assert sorted(one["event"] for one in answer["subscriptions"]) == sorted(events)
    assert expect(tenant.http.get("/bursar/v1/event_subscriptions"), 200) == answer


def contact(tenant: Tenant, owner: str, email: str) -> int:
    sent = document("contacts", {"email": email}, contractor=("contractors", owner))
    return int(make(tenant, "contacts", sent)["id"])


def test_a_balance_passes_its_thresholds(server: Server, post: Post) -> None:
    tenant = server.workspace(clock=CLOCK)
    told: list[tuple[str, str]] = []
    everybody = {"name": "everybody", "host": "127.0.0.1", "port": post.port, "from-address": "bill@carrier.example"}
    make(tenant, "smtp-connections", document("smtp-connections", everybody))
    own = {**everybody, "name": "own", "from-address": "own@acme.example", "global": False}
    connection = make(tenant, "smtp-connections", document("smtp-connections", own))["id"]
    acme, staff = contractor(tenant, "acme"), contractor(tenant, "staff")
    link = document("contractors", {}, acme, smtp_connection=("smtp-connections", connection))
    assert send(tenant, "PATCH", f"contractors/{acme}", link).status_code == 200
    first, second = contact(tenant, acme, "a@acme.example"), contact(tenant, staff, "b@staff.example")
    subscribe(tenant, hearing(told), [second, 999_999])
    terms = {"name": "main", "balance-low-threshold": 10, "balance-high-threshold": 100, "min-balance": "-5"}
    sent = document("accounts", {**terms, "send-balance-notifications-to": [first]}, contractor=("contractors", acme))
    with delivering(server.dsn):
        account = make(tenant, "accounts", sent)["id"]
        until(lambda: len(told) == 1)
        pay = {"type": "payments", "relationships": {"account": {"data": {"type": "accounts", "id": account}}}}
        for amount in (9, 1, 40, "50.000000000001", -95, -5, 200):
            make(tenant, "payments", {"data": {**pay, "attributes": {"amount": amount}}})
        correct = document("balance-correction", {"correction": "-150"}, account)
        assert send(tenant, "PUT", f"accounts/{account}/balance-correction", correct).status_code == 200
        charge = document("transactions", {"amount": "45"}, account=("accounts", account))
        make(tenant, "transactions", charge)
        lower = document("accounts", {"balance-low-threshold": "-1"}, account)
        assert send(tenant, "PATCH", f"accounts/{account}", lower).status_code == 200
        # 0 9 10 50 100.000000000001 5.000000000001 0.000000000001 200.000000000001 50.000000000001 5.000000000001
        expected = [
            ("AccountLowThesholdReached", "0.0"),
            ("AccountLowThesholdCleared", "50.0"),
            ("AccountHighThesholdReached", "100.000000000001"),
            ("AccountHighThesholdCleared", "5.000000000001"),
            ("AccountLowThesholdReached", "5.000000000001"),
            ("AccountLowThesholdCleared", "200.000000000001"),
            ("AccountHighThesholdReached", "200.000000000001"),
            ("AccountHighThesholdCleared", "50.000000000001"),
            ("AccountLowThesholdReached", "5.000000000001"),
            ("AccountLowThesholdCleared", "5.000000000001"),
        ]
        until(lambda: len(told) >= len(expected) and len(post.mails) >= 2 * len(expected))
        time.sleep(0.3)
    bodies = [json.loads(body) for _, body in told]
    assert [(body["event_type"], body["event_data"]["balance"]) for body in bodies] == expected
    assert len({name for name, _ in told}) == len(told) == len(expected), "each once"
    _check(tenant, bodies[1], account, acme, first)
    assert len(post.mails) == 2 * len(expected)
    assert sorted({(address, mail["from"]) for address, mail in post.mails}) == [
        ("a@acme.example", "own@acme.example"), ("b@staff.example", "bill@carrier.example"),
    ]  # fmt: skip
    subjects = [mail["subject"] for address, mail in post.mails if address == "a@acme.example"]
    names = {"LowThesholdReached": "low balance", "LowThesholdCleared": "low balance cleared",
             "HighThesholdReached": "high balance", "HighThesholdCleared": "high balance cleared"}  # fmt: skip
    assert subjects == [f"Account with id {account} {names[event.removeprefix('Account')]}" for event, _ in expected]
    payload = post.mails[0][1].get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert json.loads(payload) == bodies[0]["event_data"]
    listed = expect(tenant.http.get("/bursar/v1/deliveries", params={"status": "DELIVERED", "limit": 100}), 200)
    assert len(listed["deliveries"]) == 3 * len(expected)


def _check(tenant: Tenant, body: Any, account: str, owner: str, first: int) -> None:
    """What is said of an account is what the door shows of it."""
    shown = get(tenant, f"accounts/{account}")["data"]["attributes"]
    data = body["event_data"]
    assert body["event_time"] == "2026-01-02 12:46:00 UTC"
    assert list(body) == ["event_type", "event_data", "event_time"]
    assert (data["id"], data["contractor_id"]) == (int(account), int(owner))
    for name in ("name", "min-balance", "max-balance", "vat", "uuid", "external-id", "currency", "timezone"):
        assert data[name.replace("-", "_")] == shown[name], name
    assert (data["balance_low_threshold"], data["balance_high_threshold"]) == ("10.0", "100.0")
    assert data["send_balance_notifications_to"] == ["a@acme.example"]
    assert shown["send-balance-notifications-to"] == [first]


@pytest.mark.parametrize(
    "wanted",
    [
        [{"event": "AccountLowThresholdReached"}],
        [{"event": "AccountLowThesholdReached", "url": "ftp://x.example"}],
        [{"event": "AccountLowThesholdReached", "url": "/relative"}],
        [{"event": "AccountLowThesholdReached", "url": "http://"}],
        [{"event": "AccountLowThesholdReached", "url": "http://x.example:99999/"}],
        [{"event": "AccountLowThesholdReached", "url": "http://x.example/\nhost: y"}],
        [{"event": "AccountLowThesholdReached", "url": "http://x.example/" + 1990 * "y"}],
        [{"event": "AccountLowThesholdReached", "url": "http://ü.example/"}],
        [{"event": "AccountLowThesholdReached", "contacts": [0]}],
        [{"event": "AccountLowThesholdReached"}] * 2,
    ],
)
def test_subscriptions_that_are_refused(tenant: Tenant, wanted: Any) -> None:
    answer = tenant.http.put("/bursar/v1/event_subscriptions", json={"subscriptions": wanted})
    assert answer.status_code == 400, answer.text
    assert "subscriptions[" in answer.json()["field"]


def test_nobody_hears_where_nobody_listens(server: Server) -> None:
    tenant = server.workspace()
    owner = contractor(tenant, "quiet")
    email = contact(tenant, owner, "a@quiet.example")
    terms = {"name": "quiet", "balance-low-threshold": 10, "send-balance-notifications-to": [email]}
    make(tenant, "accounts", document("accounts", terms, contractor=("contractors", owner)))
    with delivering(server.dsn):
        time.sleep(1.5)
    assert expect(tenant.http.get("/bursar/v1/deliveries"), 200)["deliveries"] == [], "there is no server for e-mail"
