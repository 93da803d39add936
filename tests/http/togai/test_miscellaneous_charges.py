"""Miscellaneous charges with the official client: on an account, on a draft, and in the tree of the invoice."""

from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.invoices_api import InvoicesApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.manage_miscellaneous_charges_request import ManageMiscellaneousChargesRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema
from tests.http.togai.test_invoices import run_bill, set_clock

SAMPLE: list[dict[str, Any]] = [
    {"name": "charge 1", "value": "100"},
    {"name": "qty & rate charge", "rate": 20, "quantity": 10},
    {"name": "json logic charge", "value": '{"*": [{"var": "METER"}, 0.1]}', "considerForRevenue": True},
]


@pytest.fixture(scope="module")
def shop(server: Server) -> tuple[Tenant, InvoicesApi, str]:
    """A workspace in June 2024 whose account has a draft of 10 for May."""
    tenant = server.workspace(clock=datetime(2024, 5, 10, tzinfo=UTC))
    schema(tenant.http)
    metered = meter(tenant.http)
    priced = plan(tenant.http, [card(metered, per_unit(0), [2])])
    for name in ("acme", "later", "gone"):
        customer(tenant.http, name)
    body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(tenant.http, event("e1", "2024-05-02T10:00:00Z", account="acme", tokens=5))
    expect(tenant.http.delete("/accounts/gone"), 200)
    set_clock(tenant, datetime(2024, 6, 1, tzinfo=UTC))
    return tenant, InvoicesApi(tenant.togai), metered


def of(items: list[dict[str, Any]]) -> ManageMiscellaneousChargesRequest:
    return ManageMiscellaneousChargesRequest.from_dict({"items": items})


def kinds(item: dict[str, Any]) -> dict[str, Any]:
    """A tree of line items as types, values and what they are made of."""
    inner = [kinds(child) for child in item.get("lineItems", [])]
    return {item["type"]: item["value"], **({"of": inner} if inner else {})}


def test_charges_of_an_account_and_of_a_draft(shop: tuple[Tenant, InvoicesApi, str], server: Server) -> None:
    tenant, api, metered = shop
    items = [{**item, "value": item["value"].replace("METER", metered)} if "value" in item else item for item in SAMPLE]
    answer = api.manage_miscellaneous_charges_in_account("acme", of(items))
    assert [(one.name, one.rate, one.quantity, one.value, one.consider_for_revenue) for one in answer.data] == [
        ("charge 1", None, None, "100", False),
        ("qty & rate charge", 20, 10, "200", False),
        ("json logic charge", None, None, items[2]["value"], True),
    ]
    draft = api.list_invoices(status="DRAFT").data[0].id
    assert api.get_invoice(draft).total_amount == 311
    mine = api.manage_miscellaneous_charges_in_invoice(draft, of([{"name": "discount", "value": "-1.5"}]))
    assert [(one.name, one.value) for one in mine.data] == [("discount", "-1.5")]
    assert api.get_invoice(draft).total_amount == 309.5
    assert api.manage_miscellaneous_charges_in_account("acme", of(items[:1])).data[0].value == "100"
    assert api.manage_miscellaneous_charges_in_account("later", of([])).data == []
    set_clock(tenant, datetime(2024, 6, 10, tzinfo=UTC))
    run_bill(server, tenant)
    shown = expect(tenant.http.get(f"/invoices/{draft}"), 200)
    assert (shown["status"], shown["totalAmount"]) == ("DUE", 108.5)
    gross = shown["revenueInfo"]["lineItems"][0]["lineItems"][0]["lineItems"][0]
    assert kinds(gross) == {
        "GROSS_AMOUNT": 108.5,
        "of": [
            {"USAGE_RATE_CARD_AMOUNT": 10, "of": [{"USAGE_RATE_CARD_SLAB_AMOUNT": 10}]},
            {
                "TOTAL_MISCELLANEOUS_CHARGES": 98.5,
                "of": [{"MISCELLANEOUS_CHARGE": 100}, {"MISCELLANEOUS_CHARGE": -1.5}],
            },
        ],
    }
    explained = expect(tenant.http.get(f"/bursar/v1/invoices/{draft}/lines/2/explain"), 200)
    assert explained["line"]["charge"]["value"] == "100"
    assert explained["events"] == []
    with pytest.raises(BadRequestException, match="draft"):
        api.manage_miscellaneous_charges_in_invoice(draft, of(items))


REFUSED: list[tuple[Any, str]] = [
    (None, "items"),
    ({"items": [{"value": "1"}]}, "items[0]"),
    ({"items": [{"name": "x"}]}, "items[0].value"),
    ({"items": [{"name": "x", "value": 1}]}, "items[0].value"),
    ({"items": [{"name": "x", "rate": 1}]}, "items[0].quantity"),
    ({"items": [{"name": "x", "rate": 1, "quantity": 2, "value": "2"}]}, "items[0].value"),
    ({"items": [{"name": "x", "value": "1"}, {"name": "x", "value": "1"}]}, "items[1].name"),
    ({"items": [{"name": "x", "value": '{"pow": [1, 2]}'}]}, "items[0].value"),
    ({"items": [{"name": "x", "rate": 1e25, "quantity": 1e25}]}, "items[0].rate"),
    ({"items": [{"name": "x", "value": "1", "colour": "red"}]}, "colour"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED)
def test_what_is_refused(shop: tuple[Tenant, InvoicesApi, str], body: Any, field: str) -> None:
    tenant, _, _ = shop
    answer = tenant.http.put("/accounts/later/miscellaneous_charges", json=body)
    assert answer.status_code == 400, answer.text
    assert field in answer.json()["message"] or body is None


def test_for_what_there_is_not(shop: tuple[Tenant, InvoicesApi, str]) -> None:
    _, api, _ = shop
    items = of([{"name": "x", "value": "1"}])
    with pytest.raises(NotFoundException):
        api.manage_miscellaneous_charges_in_account("nobody", items)
    with pytest.raises(NotFoundException):
        api.manage_miscellaneous_charges_in_invoice("inv.unknown", items)
    with pytest.raises(BadRequestException, match="gone"):
        api.manage_miscellaneous_charges_in_account("gone", items)
