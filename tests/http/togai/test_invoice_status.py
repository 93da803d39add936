"""Moving an issued invoice with the official client, and the log of its pricing rules."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from togai_client.api.invoices_api import InvoicesApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.update_invoice_request import UpdateInvoiceRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema
from tests.http.togai.test_invoices import run_bill, set_clock

Shop = tuple[Tenant, InvoicesApi, Callable[[], str]]


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    """A workspace whose accounts each get an invoice of 10 for May 2024; the call makes one and names it."""
    tenant = server.workspace(clock=datetime(2024, 5, 10, tzinfo=UTC))
    schema(tenant.http)
    priced = plan(tenant.http, [card(meter(tenant.http), per_unit(0), [2])])
    for number in range(6):
        customer(tenant.http, f"a{number}")
        body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01"}
        expect(tenant.http.post(f"/accounts/a{number}/price_plans", json=body), 200)
        ingest(tenant.http, event(f"e{number}", "2024-05-02T10:00:00Z", account=f"a{number}", tokens=5))
    set_clock(tenant, datetime(2024, 6, 10, tzinfo=UTC))
    run_bill(server, tenant)
    due = iter(expect(tenant.http.get("/invoices", params={"status": "DUE"}), 200)["data"])
    return tenant, InvoicesApi(tenant.togai), lambda: str(next(due)["id"])


def to(status: str | None, **more: Any) -> UpdateInvoiceRequest:
    return UpdateInvoiceRequest.from_dict({"status": status, **more})


def refused(call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_paid_invoice_is_final(shop: Shop) -> None:
    _, api, fresh = shop
    identifier = fresh()
    paid = api.update_invoice(identifier, to("PAID"))
    assert (paid.id, paid.status, paid.paid_amount, paid.total_amount) == (identifier, "PAID", 10, 10)
    again = api.update_invoice(identifier, to("PAID"))
    assert again.updated_at == paid.updated_at
    for status in ("DUE", "VOID", "UN_COLLECTIBLE"):
        refused(partial(api.update_invoice, identifier, to(status)), identifier, "PAID", status)


def test_what_is_written_off_may_still_come_in(shop: Shop) -> None:
    _, api, fresh = shop
    identifier = fresh()
    states = []
    for status in ("UN_COLLECTIBLE", "DUE", "UN_COLLECTIBLE", "PAID"):
        moved = api.update_invoice(identifier, to(status))
        states.append((moved.status, moved.paid_amount))
    assert states == [("UN_COLLECTIBLE", 0), ("DUE", 0), ("UN_COLLECTIBLE", 0), ("PAID", 10)]


def test_a_voided_invoice_names_its_credit_note(shop: Shop) -> None:
    tenant, api, fresh = shop
    one, two = fresh(), fresh()
    for identifier in (one, two):
        assert api.update_invoice(identifier, to("VOID")).status == "VOID"
    shown = [expect(tenant.http.get(f"/invoices/{identifier}"), 200)["metadata"] for identifier in (one, two)]
    assert shown == [{"creditNote": "CN-000001"}, {"creditNote": "CN-000002"}]
    refused(lambda: api.update_invoice(one, to("DUE")), "VOID")
    assert [entry.id for entry in api.list_invoices(status="VOID").data] == [one, two]


def test_what_an_invoice_refuses(shop: Shop, server: Server) -> None:
    tenant, api, fresh = shop
    identifier = fresh()
    before = api.get_invoice(identifier).to_dict()
    line = {"type": "FIXED", "name": "x", "amount": 1}
    changes: list[tuple[dict[str, Any], str]] = [
        ({}, "status"),
        ({"status": "REFUND_INITIATED"}, "payment"),
        ({"status": "DRAFT"}, "status"),
        ({"status": "PAID", "startDate": "2024-05-01T00:00:00Z"}, "startDate"),
        ({"status": "PAID", "endDate": "2024-05-01T00:00:00Z"}, "endDate"),
        ({"status": "PAID", "lineItems": [line]}, "lineItems"),
        ({"status": "PAID", "autoAdvance": True}, "autoAdvance"),
        ({"status": "PAID", "colour": "red"}, "colour"),
    ]
    for change, word in changes:
        answer = tenant.http.patch(f"/invoices/{identifier}", json=change)
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["message"]
    with pytest.raises(NotFoundException):
        api.update_invoice("inv.unknown", to("PAID"))
    with pytest.raises(NotFoundException):
        InvoicesApi(server.workspace().togai).update_invoice(identifier, to("PAID"))
    assert api.get_invoice(identifier).to_dict() == before


def test_the_log_of_pricing_rules(shop: Shop, server: Server) -> None:
    _, api, fresh = shop
    identifier = fresh()
    assert api.list_pricing_rule_logs(identifier).data == []
    with pytest.raises(NotFoundException):
        api.list_pricing_rule_logs("inv.unknown")
    with pytest.raises(NotFoundException):
        InvoicesApi(server.workspace().togai).list_pricing_rule_logs(identifier)
