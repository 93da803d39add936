"""Invoice groups and their composites with the official client."""

from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.invoice_groups_api import InvoiceGroupsApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.payments_api import PaymentsApi
from togai_client.api.wallet_api import WalletApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.create_custom_invoice_request import CreateCustomInvoiceRequest
from togai_client.models.create_invoice_group_request import CreateInvoiceGroupRequest
from togai_client.models.create_payment_request import CreatePaymentRequest
from togai_client.models.update_invoice_group_accounts import UpdateInvoiceGroupAccounts
from togai_client.models.update_invoice_request import UpdateInvoiceRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, expect
from tests.http.togai.test_invoices import run_bill, set_clock

GROUP: dict[str, Any] = {
    "name": "Invoice Group 1",
    "email": "acme@acme.example",
    "dailyInvoiceConsolidation": True,
    "accountIds": ["a", "b"],
    "netTermDays": 45,
    "address": {"line1": "2281 Broadway Street", "city": "Florence", "country": "US"},
}
LINE = [{"description": "Visit", "value": 10}]


@pytest.fixture
def shop(server: Server) -> tuple[Tenant, InvoiceGroupsApi]:
    tenant = server.workspace(clock=datetime(2024, 5, 10, 8, tzinfo=UTC))
    for name in ("a", "b", "c"):
        customer(tenant.http, name)
    return tenant, InvoiceGroupsApi(tenant.togai)


def new(**changes: Any) -> CreateInvoiceGroupRequest:
    return CreateInvoiceGroupRequest.from_dict({**GROUP, **changes})


def accounts(*names: str) -> UpdateInvoiceGroupAccounts:
    return UpdateInvoiceGroupAccounts.from_dict({"accountIds": list(names)})


def test_a_group_from_its_making_to_its_end(shop: tuple[Tenant, InvoiceGroupsApi]) -> None:
    tenant, api = shop
    made = api.create_invoice_group(new())
    assert made.id.startswith("inv_group.")
    assert (made.name, made.email, made.net_term_days, made.invoice_currency) == (
        "Invoice Group 1", "acme@acme.example", 45, "USD"
    )  # fmt: skip
    assert (made.daily_invoice_consolidation, made.accounts_count, made.billing_address.city) == (True, 2, "Florence")
    assert [entry.id for entry in api.list_invoice_groups().data] == [made.id]
    assert api.add_invoice_group_accounts(made.id, accounts("c")).accounts_count == 3
    shown = api.get_invoice_group(made.id)
    assert (shown.accounts, shown.accounts_count) == (["a", "b", "c"], 3)
    account = AccountsApi(tenant.togai)
    details = account.get_account("c", include_group_details=True).invoice_group_details
    assert (details.id, details.email, details.net_term_days) == (made.id, made.email, 45)
    assert account.get_account("c").invoice_group_details is None
    assert api.remove_invoice_group_accounts(made.id, accounts("b", "a")).success
    assert api.get_invoice_group(made.id).accounts == ["c"]
    assert api.remove_invoice_group_accounts(made.id, accounts("c")).success
    assert api.list_invoice_groups().data == []
    for call in (api.get_invoice_group, lambda one: api.add_invoice_group_accounts(one, accounts("a")),
                 lambda one: api.remove_invoice_group_accounts(one, accounts("a"))):  # fmt: skip
        with pytest.raises(NotFoundException):
            call(made.id)
    assert account.get_account("c", include_group_details=True).invoice_group_details is None


def test_a_composite_and_a_custom_invoice_to_the_group(shop: tuple[Tenant, InvoiceGroupsApi], server: Server) -> None:
    tenant, api = shop
    group = api.create_invoice_group(new())
    invoices = InvoicesApi(tenant.togai)
    body = {"startDate": "2024-04-01T00:00:00Z", "endDate": "2024-05-01T00:00:00Z", "status": "DUE", "lineItems": LINE}
    ids = [
        invoices.create_custom_invoice(CreateCustomInvoiceRequest.from_dict({**body, "accountId": name})).id
        for name in ("a", "b")
    ]
    to_group = CreateCustomInvoiceRequest.from_dict({**body, "accountId": group.id, "ownerType": "INVOICE_GROUP"})
    direct = invoices.create_custom_invoice(to_group)
    assert direct.owner_id == group.id
    assert direct.invoice_details.invoice_group.name == "Invoice Group 1"
    assert direct.invoice_details.account is None
    set_clock(tenant, datetime(2024, 5, 11, tzinfo=UTC))
    run_bill(server, tenant)
    assert [entry.id for entry in invoices.list_invoices(status="MERGED").data] == [direct.id, *ids[::-1]]
    (composite,) = invoices.list_invoices(owner_id=group.id, status="DUE").data
    assert (composite.invoice_type, composite.total_amount, composite.net_term_days) == ("COMPOSITE", 30, 45)
    assert composite.due_date == datetime(2024, 6, 24, 8, tzinfo=UTC)
    shown = invoices.get_invoice(composite.id)
    assert shown.invoice_details.invoice_group.daily_invoice_consolidation is True
    tree = expect(tenant.http.get(f"/invoices/{composite.id}"), 200)["revenueInfo"]
    assert (tree["type"], tree["value"]) == ("GRAND_TOTAL_AMOUNT", 30)
    assert [(item["type"], item["value"], item["id"]) for item in tree["lineItems"]] == [
        ("TOTAL_AMOUNT", 10, one) for one in (*ids, direct.id)
    ]


def test_any_member_pays_what_its_group_owes(shop: tuple[Tenant, InvoiceGroupsApi], server: Server) -> None:
    """Who pays sees the group for an owner, not which of its accounts owes it in the books."""
    tenant, api = shop
    group = api.create_invoice_group(new())
    invoices, payments = InvoicesApi(tenant.togai), PaymentsApi(tenant.togai)
    body = {"startDate": "2024-04-01T00:00:00Z", "endDate": "2024-05-01T00:00:00Z", "status": "DUE", "lineItems": LINE}
    for name in ("a", "b"):
        invoices.create_custom_invoice(CreateCustomInvoiceRequest.from_dict({**body, "accountId": name}))
    to_group = CreateCustomInvoiceRequest.from_dict({**body, "accountId": group.id, "ownerType": "INVOICE_GROUP"})
    reference = {"sourceName": "A Bank", "sourceType": "BANK_TRANSFER", "transactionNumber": "T-1"}

    def pay(name: str, invoice: str, amount: int) -> None:
        line = {"type": "INVOICE", "togaiId": invoice, "order": 1}
        sent = {"accountId": name, "currency": "USD", "totalAmount": amount, "lineItemRecords": [line]}
        payments.create_payments(CreatePaymentRequest.from_dict(sent | {"externalPaymentReference": reference}))

    set_clock(tenant, datetime(2024, 5, 11, tzinfo=UTC))
    run_bill(server, tenant)
    direct = invoices.create_custom_invoice(to_group)
    (composite,) = [one for one in invoices.list_invoices(owner_id=group.id).data if one.invoice_type == "COMPOSITE"]
    with pytest.raises(BadRequestException, match="account 'c' has no issued invoice"):
        pay("c", composite.id, 8)
    pay("b", composite.id, 8)
    pay("b", direct.id, 10)
    api.remove_invoice_group_accounts(group.id, accounts("b"))
    pay("b", composite.id, 15)
    assert invoices.get_invoice(composite.id).paid_amount == 20
    assert invoices.get_invoice(direct.id).status == "PAID"
    wallets = WalletApi(tenant.togai)
    assert [wallets.wallet_balance_for_account(name).balance for name in ("a", "b")] == [0, 3]
    with pytest.raises(BadRequestException, match="account 'b' has no issued invoice"):
        pay("b", direct.id, 1)
    invoices.update_invoice(composite.id, UpdateInvoiceRequest.from_dict({"status": "REFUND_INITIATED"}))
    pay("b", composite.id, -20)
    assert invoices.get_invoice(composite.id).status == "REFUND_COMPLETED"
    run_bill(server, tenant)  # and verify


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "name"),
    ({"email": "none"}, "email"),
    ({"accountIds": []}, "accountIds"),
    ({"accountIds": ["a", "nobody"]}, "accountIds[1]"),
    ({"accountIds": ["a", "a"]}, "accountIds[1]"),
    ({"accountIds": [f"x{n}" for n in range(101)]}, "accountIds"),
    ({"netTermDays": -1}, "netTermDays"),
    ({"dailyInvoiceConsolidation": "yes"}, "dailyInvoiceConsolidation"),
    ({"address": None}, "address"),
    ({"colour": "red"}, "colour"),
]


def test_what_is_refused(shop: tuple[Tenant, InvoiceGroupsApi]) -> None:
    tenant, api = shop
    for change, word in REFUSED:
        answer = tenant.http.post("/invoice_groups", json={**GROUP, **change})
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["message"], answer.text
    expect(tenant.http.patch("/accounts/c", json={"invoiceCurrency": "EUR"}), 200)
    with pytest.raises(BadRequestException, match="EUR"):
        api.create_invoice_group(new(accountIds=["a", "c"]))
    group = api.create_invoice_group(new())
    with pytest.raises(BadRequestException, match="another invoice group"):
        api.create_invoice_group(new(accountIds=["b"]))
    with pytest.raises(BadRequestException, match="is not in the group"):
        api.remove_invoice_group_accounts(group.id, accounts("c"))
    with pytest.raises(BadRequestException, match="was not found"):
        api.add_invoice_group_accounts(group.id, accounts("nobody"))
    expect(tenant.http.patch("/accounts/a", json={"invoiceCurrency": "EUR"}), 400)
