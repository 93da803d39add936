"""Payments with the official client: for invoices, credits and the wallet, in parts, and out again."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from togai_client import ApiClient, Configuration
from togai_client.api.credits_api import CreditsApi
from togai_client.api.payments_api import PaymentsApi
from togai_client.api.wallet_api import WalletApi
from togai_client.exceptions import ApiException
from togai_client.models.create_payment_request import CreatePaymentRequest
from togai_client.models.payment import Payment

from bursar.db.database import Database
from bursar.invoicing.remittances import erase_references
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema
from tests.http.togai.test_invoices import run_bill, set_clock

ACCOUNTS = 9
REFERENCE = {"sourceName": "A Bank", "sourceType": "BANK_TRANSFER", "transactionNumber": "T-1"}


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    """Each account owes 10 for May 2024."""
    made = server.workspace(clock=datetime(2024, 5, 10, tzinfo=UTC))
    schema(made.http)
    priced = plan(made.http, [card(meter(made.http), per_unit(0), [2])])
    for number in range(ACCOUNTS):
        customer(made.http, f"a{number}")
        body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01"}
        expect(made.http.post(f"/accounts/a{number}/price_plans", json=body), 200)
        ingest(made.http, event(f"e{number}", "2024-05-02T10:00:00Z", account=f"a{number}", tokens=5))
    set_clock(made, datetime(2024, 6, 10, tzinfo=UTC))
    run_bill(server, made)
    return made


@pytest.fixture(scope="module")
def api(tenant: Tenant) -> PaymentsApi:
    return PaymentsApi(tenant.togai)


_fresh = (f"a{number}" for number in range(ACCOUNTS))


@pytest.fixture
def account() -> str:
    return next(_fresh)


def due(tenant: Tenant, name: str) -> str:
    (invoice,) = expect(tenant.http.get("/invoices", params={"owner_id": name}), 200)["data"]
    return str(invoice["id"])


def state(tenant: Tenant, name: str) -> tuple[str, float]:
    (invoice,) = expect(tenant.http.get("/invoices", params={"owner_id": name}), 200)["data"]
    return invoice["status"], invoice["paidAmount"]


def body(name: str, total: float, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    records = [{"order": place, **line} for place, line in enumerate(lines, 1)]
    sent = {"accountId": name, "currency": "USD", "totalAmount": total, "lineItemRecords": records}
    return sent | {"externalPaymentReference": REFERENCE} | more


def pay(api: PaymentsApi, *arguments: Any, **more: Any) -> Payment:
    return api.create_payments(CreatePaymentRequest.from_dict(body(*arguments, **more)))


def lines(payment: Payment) -> list[tuple[str, str | None, float | None]]:
    return [(line.type, line.togai_id, line.amount) for line in payment.line_item_records]


def refused(call: Callable[[], Any], status: int, *words: str) -> None:
    with pytest.raises(ApiException) as caught:
        call()
    assert caught.value.status == status, caught.value.body
    for word in words:
        assert word in json.loads(caught.value.body)["message"], caught.value.body


def holds(server: Server, tenant: Tenant) -> None:
    assert server.broken(tenant, [*CHECKS, *ledger.CHECKS]) == []


def test_an_invoice_in_parts(tenant: Tenant, api: PaymentsApi, account: str, server: Server) -> None:
    invoice = due(tenant, account)
    first = pay(
        api, account, 4, {"type": "INVOICE", "togaiId": invoice, "amount": 4}, description="First", notes="A note",
        externalPaymentReference=REFERENCE | {"description": "wire", "metadata": {"branch": 7}},
    )  # fmt: skip
    assert first.id.startswith("payment.")
    assert (first.account_id, first.currency, first.total_amount, first.version) == (account, "USD", 4, 1)
    assert (first.description, first.notes) == ("First", "A note")
    assert first.created_by.startswith("token:")
    reference = first.external_payment_references
    assert (reference.source_name, reference.source_type, reference.transaction_number) == (
        "A Bank", "BANK_TRANSFER", "T-1",
    )  # fmt: skip
    assert (reference.description, reference.metadata) == ("wire", {"branch": 7})
    assert lines(first) == [("INVOICE", invoice, 4)]
    assert state(tenant, account) == ("PARTIALLY_PAID", 4)
    second = pay(api, account, 20, {"type": "INVOICE", "togaiId": invoice})
    wallet = WalletApi(tenant.togai).wallet_balance_for_account(account)
    assert lines(second) == [("INVOICE", invoice, 6), ("WALLET_CREDIT", wallet.id, 14)]
    assert (state(tenant, account), wallet.balance) == (("PAID", 10), 14)
    (entry,) = WalletApi(tenant.togai).wallet_entries_for_account(account).data
    assert (entry.entity_id, entry.amount) == (second.id, 14)
    assert api.get_payment(first.id) == first
    assert api.get_payment(first.id, version=1) == first
    refused(lambda: api.get_payment(first.id, version=2), 404, "version")
    assert [one.id for one in api.list_payments(page_size=2).data] == [second.id, first.id]
    holds(server, tenant)


def test_credits_and_the_wallet(tenant: Tenant, api: PaymentsApi, account: str, server: Server) -> None:
    credits_of = CreditsApi(tenant.togai)
    made = pay(api, account, 9, {"type": "CREDIT", "amount": 5}, {"type": "WALLET_CREDIT"}, description="Pack")
    (_, first, _), (_, wallet, _) = lines(made)
    assert [amount for _, _, amount in lines(made)] == [5, 4]
    assert first is not None
    credit = credits_of.get_credit_details(first)
    assert (credit.purpose, credit.credit_amount, credit.status, credit.effective_until) == ("Pack", 5, "ACTIVE", None)
    more = pay(api, account, 3, {"type": "CREDIT", "togaiId": first}, {"type": "WALLET_CREDIT", "togaiId": wallet})
    assert lines(more) == [("CREDIT", first, 3)]
    assert credits_of.get_credit_details(first).credit_amount == 8
    credits_of.void_credit(first)
    assert WalletApi(tenant.togai).wallet_balance_for_account(account).balance == 12
    refused(partial(pay, api, account, 3, {"type": "CREDIT", "togaiId": first}), 400, "VOIDED")
    out = pay(api, account, -2)
    assert lines(out) == [("WALLET_CREDIT", wallet, -2)]
    refused(partial(pay, api, account, -11), 400, "balance of 10")
    assert WalletApi(tenant.togai).wallet_balance_for_account(account).balance == 10
    holds(server, tenant)


def test_a_refund_is_completed_by_a_payment_out(tenant: Tenant, api: PaymentsApi, account: str, server: Server) -> None:
    invoice = due(tenant, account)
    pay(api, account, 10, {"type": "INVOICE", "togaiId": invoice})
    shown = expect(tenant.http.patch(f"/invoices/{invoice}", json={"status": "REFUND_INITIATED"}), 200)
    assert (shown["status"], shown["paidAmount"]) == ("REFUND_INITIATED", 10)
    assert shown["metadata"]["creditNote"].startswith("CN-")
    back = pay(api, account, -4, {"type": "INVOICE", "togaiId": invoice, "amount": -4})
    assert lines(back) == [("INVOICE", invoice, -4)]
    assert state(tenant, account) == ("REFUND_INITIATED", 6)
    too_much = {"type": "INVOICE", "togaiId": invoice, "amount": -7}
    refused(partial(pay, api, account, -7, too_much), 400, "lineItemRecords[0].amount", invoice)
    pay(api, account, -6, {"type": "INVOICE", "togaiId": invoice})
    assert state(tenant, account) == ("REFUND_COMPLETED", 0)
    for status in ("DUE", "PAID", "VOID", "UN_COLLECTIBLE"):
        answer = tenant.http.patch(f"/invoices/{invoice}", json={"status": status})
        assert answer.status_code == 400, answer.text
    holds(server, tenant)


def test_what_cannot_be_paid(tenant: Tenant, api: PaymentsApi, account: str, server: Server) -> None:
    invoice, other = due(tenant, account), due(tenant, "a0")
    towards = {"type": "INVOICE", "togaiId": invoice, "amount": 4}
    cases: list[tuple[dict[str, Any], str]] = [
        (body(account, 4, towards | {"togaiId": other}), "lineItemRecords[0].togaiId"),
        (body(account, 4, towards | {"togaiId": "inv.none"}), "lineItemRecords[0].togaiId"),
        (body(account, 4, {"type": "INVOICE"}), "lineItemRecords[0].togaiId"),
        (body(account, 4, {"type": "CREDIT", "togaiId": "cred.none"}), "lineItemRecords[0].togaiId"),
        (body(account, 4, {"type": "WALLET_CREDIT", "togaiId": "wallet.none"}), "lineItemRecords[0].togaiId"),
        (body(account, -4, {"type": "CREDIT"}), "lineItemRecords[0].type"),
        (body(account, 3, towards), "lineItemRecords[0].amount"),
        (body(account, 40, towards | {"amount": 11}), "lineItemRecords[0].amount"),
        (body(account, 40, towards, towards | {"amount": 7}), "lineItemRecords[1].amount"),
        (body(account, 40, towards, towards | {"order": 1}), "lineItemRecords[1].order"),
        (body(account, 40, towards | {"order": -1}), "lineItemRecords[0].order"),
        (body(account, 4, towards | {"amount": 0}), "lineItemRecords[0].amount"),
        (body(account, 4, towards | {"type": "GIFT"}), "type"),
        (body(account, 0), "totalAmount"),
        (body(account, 0.001), "totalAmount"),
        (body(account, 4, currency="EUR"), "currency"),
        (body("nobody", 4), "accountId"),
        (body(account, 4, externalPaymentReference=REFERENCE | {"sourceType": "BARTER"}), "sourceType"),
        (body(account, 4, externalPaymentReference={"sourceName": "x"}), "externalPaymentReference"),
        (body(account, 4, notes="x" * 513), "notes"),
        (body(account, 4, colour="red"), "colour"),
    ]
    before = [one.id for one in api.list_payments().data]
    for sent, word in cases:
        answer = tenant.http.post("/payments", json=sent)
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["message"], answer.text
    expect(tenant.http.patch(f"/accounts/{account}/wallet", json={"status": "INACTIVE"}), 200)
    refused(partial(pay, api, account, 5, towards), 400, "INACTIVE")
    assert [one.id for one in api.list_payments().data] == before
    assert state(tenant, account) == ("DUE", 0)
    holds(server, tenant)


def test_who_may_not(server: Server, tenant: Tenant, api: PaymentsApi, account: str) -> None:
    made = pay(api, account, 1)
    stranger = PaymentsApi(server.workspace().togai)
    invoice = {"type": "INVOICE", "togaiId": due(tenant, account), "amount": 2}
    expect(tenant.http.delete(f"/accounts/{account}"), 200)
    assert pay(api, account, 2, invoice).total_amount == 2, "what an archived account owes can be paid"
    refused(partial(pay, api, account, 3, invoice), 400, account, "archived")
    refused(partial(pay, api, account, 3, {"type": "CREDIT"}), 400, account, "archived")
    refused(lambda: api.get_payment("payment.none"), 404, "was not found")
    refused(lambda: stranger.get_payment(made.id), 404, "was not found")
    refused(partial(pay, stranger, account, 1), 400, "accountId")
    assert stranger.list_payments().data == []
    nobody = PaymentsApi(ApiClient(Configuration(host=tenant.url, access_token="nobody")))
    for call in (nobody.list_payments, partial(nobody.get_payment, made.id), partial(pay, nobody, account, 1)):
        refused(call, 401)
    for parameters in ({"pageSize": "51"}, {"nextToken": "xyz"}):
        assert tenant.http.get("/payments", params=parameters).status_code == 400


def test_a_payment_that_is_sent_again_is_one(tenant: Tenant, account: str) -> None:
    sent, key = body(account, 3, {"type": "INVOICE", "togaiId": due(tenant, account)}), {"idempotency-key": "p1"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: tenant.http.post("/payments", json=sent, headers=key), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert state(tenant, account) == ("PARTIALLY_PAID", 3)


def test_payments_at_once_never_pay_too_much(tenant: Tenant, account: str, server: Server) -> None:
    towards = {"type": "INVOICE", "togaiId": due(tenant, account), "amount": 1.5}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: tenant.http.post("/payments", json=body(account, 1.5, towards)), range(32)))
    assert sorted(answer.status_code for answer in answers) == [201] * 6 + [400] * 26
    assert state(tenant, account) == ("PARTIALLY_PAID", 9)
    holds(server, tenant)


def test_who_paid_is_forgotten_with_the_customer(
    server: Server, tenant: Tenant, api: PaymentsApi, account: str
) -> None:
    made = pay(api, account, 1, description="for Ann", notes="Ann")

    async def erase(db: Database) -> None:
        async with db.transaction(tenant.caller.workspace) as connection:
            await erase_references(connection, tenant.caller, account)

    server.run(erase)
    shown = api.get_payment(made.id)
    assert (shown.description, shown.notes, shown.total_amount) == (None, None, 1)
    reference = shown.external_payment_references
    assert (reference.source_name, reference.source_type, reference.transaction_number) == ("", "BANK_TRANSFER", "")
