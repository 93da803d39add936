"""A line explained down to its events."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema
from tests.http.togai.test_invoices import run_bill, set_clock

NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
EVENTS = [(f"e{n}", NOON - timedelta(hours=n), n + 1) for n in range(30)]


@pytest.fixture
def shop(server: Server) -> tuple[Tenant, str]:
    """Thirty events of 1 to 30 tokens, half of them of the model that is metered, and a draft."""
    tenant = server.workspace(clock=NOON)
    customer(tenant.http)
    schema(tenant.http)
    filtered = meter(tenant.http, filters=[{"field": "model", "value": "big"}])
    made = plan(tenant.http, [card(filtered, per_unit(0, 100), [1, 0.333])], commitment=1000)
    body = {"pricePlanId": made, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(
        tenant.http,
        *(event(i, at.isoformat(), tokens=n, model="big" if n % 2 else "small") for i, at, n in EVENTS),
    )
    return tenant, expect(tenant.http.get("/invoices"), 200)["data"][0]["id"]


def exact(answer: Any) -> Any:
    """An answer with its numbers as decimals."""
    assert answer.status_code == 200, answer.text
    return msgspec.json.Decoder(float_hook=Decimal).decode(answer.content)


def test_an_invoice_with_its_lines(shop: tuple[Tenant, str]) -> None:
    tenant, invoice = shop
    found = exact(tenant.http.get(f"/bursar/v1/invoices/{invoice}"))
    assert (found["status"], found["frozen"], found["paidAmount"]) == ("DRAFT", False, 0)
    document = found["document"]
    assert (document["id"], document["account"]["id"], document["currency"]) == (invoice, "acme", "USD")
    # 1 + 3 + ... + 29 = 225: 100 at 1 and 125 at 0.333
    assert [line["unrounded"] for line in document["lines"]] == [Decimal("141.625"), Decimal("858.38")]
    assert document["total"] == 1000
    assert found["steps"] == [
        {"step": "LINES", "amount": Decimal("141.62"), "result": Decimal("141.62")},
        {"step": "COMMITMENT", "amount": Decimal("858.38"), "result": 1000},
        {"step": "PAID", "amount": 0, "result": 1000},
    ]
    assert found["payments"] == []


def test_every_step_of_an_invoice(server: Server) -> None:
    """10 of tokens and 2 by a rule, at least 15; 4 of a credit, 3 out of the wallet, 1 by a payment."""
    tenant = server.workspace(clock=NOON)
    customer(tenant.http)
    schema(tenant.http)
    identifier = meter(tenant.http)
    rule = {"name": "extra", "order": 1, "computation": "2", "action": {"type": "ADD", "id": "extra"}}
    made = plan(tenant.http, [card(identifier, per_unit(0), [2])], commitment=15, active=False)
    expect(tenant.http.patch(f"/price_plans/{made}", json={"pricingRules": [rule]}), 200)
    expect(tenant.http.post(f"/price_plans/{made}/activate", json={"currencies": ["USD"]}), 200)
    body: dict[str, Any] = {"pricePlanId": made, "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(tenant.http, event("e1", "2024-05-02T10:00:00Z", tokens=5))
    gift = {"accountId": "acme", "purpose": "p", "effectiveFrom": "2024-05-01", "priority": 1, "creditAmount": 4}
    credit = expect(tenant.http.post("/credits", json={"creditRequests": [gift]}), 200)["credits"][0]["id"]
    expect(tenant.http.post("/accounts/acme/wallet_topup", json={"topupAmount": 3}), 200)
    set_clock(tenant, datetime(2024, 6, 10, tzinfo=UTC))
    run_bill(server, tenant)
    invoice = expect(tenant.http.get("/invoices"), 200)["data"][0]["id"]
    body = {
        "accountId": "acme", "currency": "USD", "totalAmount": 1,
        "lineItemRecords": [{"type": "INVOICE", "togaiId": invoice, "order": 1}],
        "externalPaymentReference": {"sourceName": "x", "sourceType": "CARD", "transactionNumber": "1"},
    }  # fmt: skip
    payment = expect(tenant.http.post("/payments", json=body), 201)["id"]
    found = exact(tenant.http.get(f"/bursar/v1/invoices/{invoice}"))
    assert [(one["step"], one["amount"], one["result"]) for one in found["steps"]] == [
        ("LINES", 10, 10), ("PRICING_RULES", 2, 12), ("COMMITMENT", 5, 17), ("CREDITS", -4, 13), ("PAID", -4, 9),
    ]  # fmt: skip
    assert [(one["id"], one["amount"], one["lines"]) for one in found["document"]["credits"]] == [
        (credit, 4, [{"number": 1, "amount": 4}])
    ]
    assert [(one["source"], one["amount"], one.get("paymentId")) for one in found["payments"]] == [
        ("WALLET", 3, None), ("PAYMENT", 1, payment),
    ]  # fmt: skip
    assert (found["status"], found["document"]["total"], found["paidAmount"]) == ("PARTIALLY_PAID", 13, 4)


def test_a_line_slab_by_slab_down_to_its_events(shop: tuple[Tenant, str]) -> None:
    tenant, invoice = shop
    path = f"/bursar/v1/invoices/{invoice}/lines/1/explain"
    found = exact(tenant.http.get(path))
    line = found["line"]
    assert (found["invoiceId"], found["accountId"], found["status"]) == (invoice, "acme", "DRAFT")
    assert line["meter"]["filters"] == [{"field": "model", "value": "big"}]
    assert line["meter"]["computation"] == '{"var": "attributes.tokens"}'
    assert line["quantity"] == 225
    assert [slab["formula"] for slab in line["slabs"]] == ["100 x 1 = 100", "125 x 0.333 = 41.625"]
    assert line["formula"] == "100 + 41.625 = 141.625, rounded toward zero to 2 decimals = 141.62"
    assert line["rounding"] == Decimal("0.005")
    assert line["priceVersion"]["version"] == 1
    seen: list[Any] = []
    after = None
    while True:
        page = exact(tenant.http.get(path, params={"limit": 4, **({"after": after} if after else {})}))
        assert len(page["events"]) <= 4
        seen += page["events"]
        after = page["next"]
        if after is None:
            break
    expected = [(i, at, n) for i, at, n in reversed(EVENTS) if n % 2]
    assert [(e["id"], datetime.fromisoformat(e["occurredAt"]), e["quantity"]) for e in seen] == expected
    assert sum(e["quantity"] for e in seen) == line["quantity"]
    assert seen[0]["dimensions"] == {"model": "big"}


def test_a_line_without_events(shop: tuple[Tenant, str]) -> None:
    tenant, invoice = shop
    found = exact(tenant.http.get(f"/bursar/v1/invoices/{invoice}/lines/2/explain"))
    assert (found["line"]["type"], found["events"], found["next"]) == ("TRUE_UP", [], None)
    assert found["line"]["formula"] == "commitment 1000, less 141.62 = 858.38"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/bursar/v1/invoices/inv.unknown", 404),
        ("/bursar/v1/invoices/inv.unknown/lines/1/explain", 404),
        ("/bursar/v1/invoices/{}/lines/3/explain", 404),
        ("/bursar/v1/invoices/{}/lines/0/explain", 404),
        ("/bursar/v1/invoices/{}/lines/one/explain", 404),
        ("/bursar/v1/invoices/{}/lines/-1/explain", 404),
        ("/bursar/v1/invoices/{}/lines/99999999999999999999/explain", 404),
        ("/bursar/v1/invoices/{}/lines/%C2%B2/explain", 404),
        ("/bursar/v1/invoices/{}/lines/1/explain?limit=0", 400),
        ("/bursar/v1/invoices/{}/lines/1/explain?limit=101", 400),
        ("/bursar/v1/invoices/{}/lines/1/explain?after=x", 400),
        ("/bursar/v1/invoices/{}/lines/1/explain?after=a|b|c", 400),
        ("/bursar/v1/invoices/{}/lines/1/explain?surprise=1", 400),
    ],
)
def test_failures_are_problems(shop: tuple[Tenant, str], path: str, status: int) -> None:
    tenant, invoice = shop
    answer = tenant.http.get(path.format(invoice))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_another_workspace_sees_nothing(shop: tuple[Tenant, str], server: Server) -> None:
    stranger = server.workspace()
    for path in ("", "/lines/1/explain"):
        assert stranger.http.get(f"/bursar/v1/invoices/{shop[1]}{path}").status_code == 404
