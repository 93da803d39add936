"""Every kill point in one story: wherever a process dies, all goes on by itself, and nothing is lost or doubled."""

import asyncio
import json
import os
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bursar.accounts.terms import THRESHOLDS
from bursar.core import crash
from bursar.db.database import SESSION
from bursar.notify import outbox
from bursar.runtime.datadir import DataDir
from tests.http.togai.catalog import card, per_unit
from tests.http.yeti.carrier import ADMIN, JSON_API
from tests.notify.receivers import hearing
from tests.postgres import open_folder
from tests.runtime.story import Story, until
from tests.runtime.test_crash_money import OF_MONEY

SOURCE = Path(crash.__file__).parents[1]
ACCOUNTS = 3


def test_every_point_is_one_place_in_the_code() -> None:
    used = [
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r'crash\.point\(\s*"([^"]+)"\s*\)', path.read_text())
    ]
    assert sorted(used) == sorted(crash.POINTS)


def test_off_nothing_happens_and_on_it_is_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, _: killed.append(pid))
    crash.point("key taken")
    assert killed == []
    crash.arm(str(tmp_path))
    try:
        for _ in range(3):
            crash.point("key taken")
    finally:
        crash.arm(None)
    assert killed == [os.getpid()]


def test_every_point_recovers_by_itself(tmp_path: Path) -> None:
    with open_folder() as folder:
        story = Story(folder, tmp_path / "marks", crash.POINTS.keys() - OF_MONEY)
        story.command("workspace", "create", "trial", "--sandbox")
        story.token = story.command("token", "create", "--workspace", "trial")["token"]
        story.send("POST", "/bursar/v1/clock", {"now": "2024-05-01T00:00:00Z"}, "clock")
        plan = _catalogue(story)
        for number in range(ACCOUNTS):
            _account(story, number, plan)
        service = _service(story)
        told = _thresholds(story)
        for batch in range(4):
            events = [_event(f"{batch}-{n}", f"a{n % ACCOUNTS}") for n in range(30)]
            story.send("POST", "/ingestBatch", {"events": events}, f"batch {batch}")
        _import(story, tmp_path / "usage.ndjson")
        feature, lapsing = _purchases(story)
        _invoice_monthly(story)
        for month in (6, 7):
            story.send("POST", "/bursar/v1/clock", {"now": f"2024-{month:02}-10T00:00:00Z"}, f"month {month}")
        _jobs(story, plan)
        until(lambda: {one["status"] for one in _deliveries(story)} == {"DELIVERED"})
        assert story.command("erase", "customer", "a0", "--workspace", "trial")["customer"] == "a0"
        story.command("bill", "--workspace", "trial")
        until(story.died_everywhere)
        assert sorted({json.loads(body)["event_data"]["id"] for _, body in told}) == [1, 2, 3]
        assert len({name for name, _ in told}) == ACCOUNTS == len(_deliveries(story)), "once for each account"
        assert len(told) <= ACCOUNTS + 1, "twice where it was killed before it could note that it had been there"
        balance = story.send("GET", "/bursar/v1/ingest/balance")
        assert balance["metered"] == 120
        assert balance["received"] == balance["metered"] + balance["duplicate"]
        due = story.send("GET", "/invoices?status=DUE&pageSize=50")["data"]
        may = [invoice for invoice in due if invoice["startDate"].startswith("2024-05-01")]
        assert len(may) == ACCOUNTS
        for invoice in may:
            document = story.send("GET", f"/bursar/v1/invoices/{invoice['id']}")["document"]
            assert Decimal(str(document["total"])) == 4  # 40 units at 0.1
        bought = story.send("GET", "/accounts/a1/purchases")["data"]
        assert [one["status"] for one in bought] == ["SUCCESS"], "bought once, however often it was asked for"
        granted = story.send("GET", f"/purchases/{bought[0]['id']}")["features"]
        assert [(one["id"], one["creditsGranted"]) for one in granted] == [(feature, 20)]
        assert story.send("GET", f"/purchase_proposals/{lapsing}")["status"] == "PROPOSAL_EXPIRED"
        charged = story.send("GET", f"{ADMIN}/services/{service}/transactions")["data"]
        assert [row["attributes"]["amount"] for row in charged] == ["5.0", "3.0", "3.0"], (
            "made, renewed in June and July"
        )
        customers = story.send("GET", "/customers?pageSize=50")["data"]
        assert sorted(customer["id"] for customer in customers) == [f"a{n}" for n in range(1, ACCOUNTS)]
        stated = [
            row["attributes"] for row in story.send("GET", f"{ADMIN}/invoices?sort=start-date,amount-spent")["data"]
        ]
        assert [(row["start-date"][:7], row["amount-spent"]) for row in stated] == [
            *[("2024-05", "0.0")] * (ACCOUNTS - 1), ("2024-05", "5.0"),
            *[("2024-06", "0.0")] * (ACCOUNTS - 1), ("2024-06", "3.0"),
        ]  # fmt: skip
        assert story.command("verify")["holds"] is True
        assert story.starts == 2, "the migration's point kills the parent itself; the others heal under it"
        story.running.terminate()


def _invoice_monthly(story: Story) -> None:
    """Every account gets its statement of a month by itself."""
    for number in range(1, ACCOUNTS + 1):
        data = {"type": "accounts", "id": str(number), "attributes": {"invoice-period-id": 4}}
        story.send("PATCH", f"{ADMIN}/accounts/{number}", {"data": data}, f"monthly {number}", JSON_API)


def _purchases(story: Story) -> tuple[str, str]:
    """A pack is bought that costs nothing, and one proposed until June; returns ids of its feature and the proposal."""
    sent: dict[str, Any] = {"name": "calls", "schemaAssociations": []}
    feature = story.send("POST", "/features", sent, "feature")["id"]
    pack = {
        "featureId": feature, "invoiceTiming": "PREPAID",
        "featureConfigs": [{"featureCreditLimit": 10, "effectiveUntil": "P1Y"}],
        "ratePlan": {"pricingModel": "TIERED", "slabs": per_unit(0)},
        "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": 0}]}],
    }  # fmt: skip
    details = {"supportedCurrencies": ["USD"], "billingEntitlementRateCards": [pack]}
    body = {"name": "pack", "type": "PURCHASE", "pricePlanDetails": details}
    plan = story.send("POST", "/price_plans", body, "pack")["id"]
    story.send("POST", f"/price_plans/{plan}/activate", {"currencies": ["USD"]}, "pack on")
    # The key in the body does what the key in the header does.
    story.send("POST", "/accounts/a1/purchases", {"pricePlanId": plan, "quantity": 2, "idempotencyKey": "pack"})
    body = {
        "type": "ENTITLEMENT_GRANT", "pricePlanId": plan, "paymentMode": "PREPAID",
        "expiryDate": "2024-06-01T00:00:00Z",
    }  # fmt: skip
    return feature, story.send("POST", "/accounts/a1/purchase_proposals", body, "propose")["id"]


def _jobs(story: Story, plan: str) -> None:
    """Every account moves to another plan, and a bill run is asked for."""
    other = _plan(story, "other", story.meter)
    body = {"sourceId": plan, "sourceVersion": 1, "targetId": other, "migrationMode": "NEXT_CYCLE"}
    story.send("POST", "/price_plans/migration", body, "move")
    story.send("POST", "/invoices/bill_runs", key="run")

    def jobs() -> list[tuple[str, str]]:
        return [(job["type"], job["status"]) for job in story.send("GET", "/jobs")["data"]]

    until(lambda: jobs() == [("BILL_RUN", "COMPLETED"), ("PRICE_PLAN", "COMPLETED")])


def _thresholds(story: Story) -> list[tuple[str, str]]:
    """Balances of nothing come to lie below thresholds, of which a subscriber hears; returns ids and bodies of that."""
    told: list[tuple[str, str]] = []
    url = hearing(told)
    body = {"subscriptions": [{"event": "AccountLowThesholdReached", "url": url}]}
    story.send("PUT", "/bursar/v1/event_subscriptions", body, "subscribe")
    asyncio.run(_bound(DataDir(story.folder).dsn()))
    return told


async def _bound(dsn: str) -> None:
    """Set a threshold for every account."""
    connection = await asyncpg.connect(dsn, server_settings=SESSION)
    async with connection.transaction():
        rows = await connection.fetch(
            "update account_terms set balance_low_threshold = 10 returning account, workspace"
        )
        for row in rows:
            entry = (THRESHOLDS, {"account": row["account"]})
            await outbox.add(connection, row["workspace"], datetime.now(UTC), [entry])
    await connection.close()


def _deliveries(story: Story) -> list[dict[str, Any]]:
    return list(story.send("GET", "/bursar/v1/deliveries")["deliveries"])


def _import(story: Story, path: Path) -> None:
    """A file of events that were sent, whose import is cut off behind them: run again, it has nothing left to do."""
    path.write_text("\n".join(json.dumps(_event(f"0-{number}", f"a{number}")) for number in range(ACCOUNTS)))
    told = story.command("import", "events", str(path), "--workspace", "trial")
    assert (told["rows"], told["known"], told["resumed"]) == (ACCOUNTS, ACCOUNTS, ACCOUNTS)


def _catalogue(story: Story) -> str:
    story.send("POST", "/event_schema", {"name": "call", "attributes": [{"name": "units"}], "dimensions": []}, "schema")
    story.send("POST", "/event_schema/call/activate", key="schema on")
    meter = {
        "name": "units", "type": "COUNTER", "aggregation": "SUM", "eventSchemaName": "call",
        "computations": [{"computation": '{"var":"attributes.units"}', "order": 1}],
    }  # fmt: skip
    story.meter = story.send("POST", "/usage_meters", meter, "meter")["id"]
    story.send("POST", f"/usage_meters/{story.meter}/activate", key="meter on")
    return _plan(story, "plan", story.meter)


def _plan(story: Story, name: str, meter_id: str) -> str:
    details = {
        "supportedCurrencies": ["USD"],
        "pricingCycleConfig": {
            "interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3,
        },
        "usageRateCards": [card(meter_id, per_unit(0), ["0.1"])],
    }  # fmt: skip
    body = {"name": name, "type": "BILLING", "pricePlanDetails": details}
    plan = str(story.send("POST", "/price_plans", body, name)["id"])
    story.send("POST", f"/price_plans/{plan}/activate", {"currencies": ["USD"]}, f"{name} on")
    return plan


def _account(story: Story, number: int, plan: str) -> None:
    name = f"a{number}"
    customer = {"id": name, "name": f"Customer {number}", "primaryEmail": "a@example.com", "address": {}}
    assert story.send("POST", "/customers", customer, f"customer {number}")["id"] == name
    body = {"mode": "ASSOCIATE", "pricePlanId": plan, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    story.send("POST", f"/accounts/{name}/price_plans", body, "associate")


def _service(story: Story) -> str:
    """A service that is renewed each month, of the second account: accounts are numbered from 1."""

    def make(kind: str, attributes: dict[str, Any], **links: tuple[str, str]) -> str:
        related = {name.replace("_", "-"): {"data": {"type": type_, "id": key}} for name, (type_, key) in links.items()}
        document = {"data": {"type": kind, "attributes": attributes, "relationships": related}}
        made = story.send("POST", f"{ADMIN}/{kind}", document, kind, JSON_API)
        return str(made["data"]["id"])

    logging = {"name": "numbers", "force-renew": True, "provisioning-class": "Billing::Provisioning::Logging"}
    prices = {"initial-price": 5, "renew-price": 3, "renew-period": "Month", "renew-at": "2024-06-01T00:00:00Z"}
    links = {"account": ("accounts", "2"), "service_type": ("service-types", make("service-types", logging))}
    return make("services", prices, **links)


def _event(identifier: str, account: str) -> dict[str, Any]:
    return {
        "schemaName": "call", "id": identifier, "timestamp": "2024-05-02T10:00:00Z", "accountId": account,
        "attributes": [{"name": "units", "value": "1"}], "dimensions": {},
    }  # fmt: skip
