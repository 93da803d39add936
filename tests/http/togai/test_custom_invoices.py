"""Custom invoices with the official client."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.invoices_api import InvoicesApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.create_custom_invoice_request import CreateCustomInvoiceRequest
from togai_client.models.update_invoice_request import UpdateInvoiceRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, expect

SAMPLE: dict[str, Any] = {
    "accountId": "acme",
    "startDate": "2020-06-04T12:00:00.000Z",
    "endDate": "2020-07-04T12:00:00.000Z",
    "status": "DRAFT",
    "lineItems": [{"description": "Payout IMPS", "valuePerQuantity": 0.001, "quantity": 32109}],
}


@pytest.fixture(scope="module")
def shop(server: Server) -> tuple[Tenant, InvoicesApi]:
    tenant = server.workspace(clock=datetime(2024, 5, 10, tzinfo=UTC))
    customer(tenant.http, "acme")
    return tenant, InvoicesApi(tenant.togai)


def new(**changes: Any) -> CreateCustomInvoiceRequest:
    return CreateCustomInvoiceRequest.from_dict({**SAMPLE, **changes})


def test_a_draft_from_its_making_to_its_payment(shop: tuple[Tenant, InvoicesApi]) -> None:
    tenant, api = shop
    made = api.create_custom_invoice(new(autoAdvance=False))
    assert (made.status, made.invoice_type, made.invoice_class, made.auto_advance) == (
        "DRAFT",
        "CUSTOM",
        "INVOICE",
        False,
    )
    assert (made.owner_id, made.price_plan_id, made.total_amount, made.paid_amount) == ("acme", None, 32.1, 0)
    assert (made.start_date, made.end_date) == (
        datetime(2020, 6, 4, 12, tzinfo=UTC), datetime(2020, 7, 4, 12, tzinfo=UTC)
    )  # fmt: skip
    tree = expect(tenant.http.get(f"/invoices/{made.id}"), 200)["revenueInfo"]
    for kind in ("GRAND_TOTAL_AMOUNT", "TOTAL_AMOUNT", "NET_AMOUNT", "GROSS_AMOUNT"):
        assert (tree["type"], tree["value"]) == (kind, 32.1)
        tree = tree["lineItems"][0]
    leaf = {"description": "Payout IMPS", "type": "CUSTOM_AMOUNT", "units": "USD", "value": 32.1,
            "valuePerQuantity": 0.001, "quantity": 32109}  # fmt: skip
    assert tree == leaf
    change = {"lineItems": [{"id": "x", "value": 12}], "endDate": "2020-06-05T00:00:00Z", "autoAdvance": True}
    changed = api.update_invoice(made.id, UpdateInvoiceRequest.from_dict(change))
    assert (changed.total_amount, changed.auto_advance, changed.end_date.day) == (12, True, 5)
    assert [entry.id for entry in api.list_invoices_for_bill_run().data] == [made.id]
    issued = api.update_invoice(made.id, UpdateInvoiceRequest.from_dict({"status": "DUE"}))
    assert (issued.status, issued.sequence_id, issued.invoice_date) == (
        "DUE",
        "INV-000001",
        datetime(2024, 5, 10, tzinfo=UTC),
    )
    assert api.update_invoice(made.id, UpdateInvoiceRequest.from_dict({"status": "PAID"})).paid_amount == 12
    with pytest.raises(BadRequestException, match="PAID"):
        api.delete_custom_invoice(made.id)
    with pytest.raises(BadRequestException, match="lineItems"):
        api.update_invoice(made.id, UpdateInvoiceRequest.from_dict({"lineItems": [{"value": 1}]}))


def test_made_as_due_or_paid_and_deleted_as_a_draft(shop: tuple[Tenant, InvoicesApi]) -> None:
    _, api = shop
    assert api.create_custom_invoice(new(status="DUE", ownerType="ACCOUNT")).status == "DUE"
    paid = api.create_custom_invoice(new(status="PAID", applyCredits=False, applyWalletBalance=False))
    assert (paid.status, paid.paid_amount) == ("PAID", 32.1)
    draft = api.create_custom_invoice(new())
    assert api.delete_custom_invoice(draft.id).success
    for call in (api.delete_custom_invoice, api.get_invoice):
        with pytest.raises(NotFoundException):
            call(draft.id)


def test_one_key_is_one_invoice(shop: tuple[Tenant, InvoicesApi]) -> None:
    tenant, api = shop
    body = {**SAMPLE, "idempotencyKey": "1234567890"}

    def send(_: int) -> dict[str, Any]:
        return dict(expect(tenant.http.post("/invoices", json=body), 201))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(16)))
    assert all(answer == answers[0] for answer in answers)
    twice = [api.create_custom_invoice(new(idempotencyKey="abc", status="DUE")).id for _ in range(2)]
    assert twice[0] == twice[1]
    with pytest.raises(BadRequestException, match="1234567890"):
        api.create_custom_invoice(new(idempotencyKey="1234567890", status="DUE"))
    customer(tenant.http, "other")
    elsewhere = api.create_custom_invoice(new(idempotencyKey="1234567890", accountId="other"))
    assert elsewhere.id != answers[0]["id"], "each account has keys of its own"
    header = {"Idempotency-Key": "1234567890"}
    assert expect(tenant.http.post("/invoices", json=body, headers=header), 201)["id"] == answers[0]["id"]
    # A refusal uses no key up.
    bad = {**body, "idempotencyKey": "2", "lineItems": [{"value": -1}]}
    expect(tenant.http.post("/invoices", json=bad), 400)
    expect(tenant.http.post("/invoices", json={**bad, "lineItems": [{"value": 1}]}), 201)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"status": "VOID"}, "status"),
    ({"endDate": SAMPLE["startDate"]}, "endDate"),
    ({"lineItems": []}, "lineItems"),
    ({"lineItems": [{"value": 1}] * 51}, "lineItems"),
    ({"lineItems": [{"description": "x"}]}, "lineItems[0].value"),
    ({"lineItems": [{"quantity": 2}]}, "lineItems[0].valuePerQuantity"),
    ({"lineItems": [{"quantity": 2, "valuePerQuantity": 2, "value": 5}]}, "lineItems[0].value"),
    ({"lineItems": [{"id": "a", "value": 1}, {"id": "a", "value": 1}]}, "lineItems[1].id"),
    ({"lineItems": [{"value": -1}]}, "lineItems"),
    ({"idempotencyKey": ""}, "idempotencyKey"),
    ({"idempotencyKey": "\u00e9"}, "idempotencyKey"),
    ({"autoAdvance": "yes"}, "autoAdvance"),
    ({"colour": "red"}, "colour"),
]


def test_what_is_refused(shop: tuple[Tenant, InvoicesApi]) -> None:
    tenant, api = shop
    before = len(api.list_invoices().data)
    for change, word in REFUSED:
        answer = tenant.http.post("/invoices", json={**SAMPLE, **change})
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["message"], answer.text
    with pytest.raises(NotFoundException):
        api.create_custom_invoice(new(accountId="nobody"))
    assert len(api.list_invoices().data) == before
