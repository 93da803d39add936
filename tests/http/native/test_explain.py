"""A line explained down to its events."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema

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
