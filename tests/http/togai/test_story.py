"""One story with the official client: a pack is bought, used up, more is bought, the month invoiced, paid, refunded.

Every amount is worked out by hand, and at the end the books are looked at as an accountant would: the trial balance.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.credits_api import CreditsApi
from togai_client.api.entitlements_api import EntitlementsApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.payments_api import PaymentsApi
from togai_client.api.wallet_api import WalletApi
from togai_client.exceptions import BadRequestException
from togai_client.models.create_credit_request import CreateCreditRequest
from togai_client.models.create_payment_request import CreatePaymentRequest
from togai_client.models.create_proposal_request import CreateProposalRequest
from togai_client.models.create_purchase_request import CreatePurchaseRequest
from togai_client.models.ingest_event_request import IngestEventRequest
from togai_client.models.update_invoice_request import UpdateInvoiceRequest
from togai_client.models.update_proposal_status import UpdateProposalStatus

from bursar.runtime.proof import prove
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import (
    add_on,
    card,
    customer,
    event,
    expect,
    fixed_fee,
    meter,
    per_unit,
    plan,
    schema,
)
from tests.http.togai.test_invoices import set_clock
from tests.http.togai.test_purchases import entitlement, purchase_plan

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)
JUNE = datetime(2024, 6, 10, tzinfo=UTC)


class Client:
    """A customer's product, which knows Bursar by the official client alone."""

    def __init__(self, tenant: Tenant) -> None:
        self.accounts = AccountsApi(tenant.togai)
        self.entitlements = EntitlementsApi(tenant.togai)
        self.invoices = InvoicesApi(tenant.togai)
        self.wallets = WalletApi(tenant.togai)
        self.payments = PaymentsApi(tenant.togai)
        self.credits = CreditsApi(tenant.togai)

    def buy(self, **body: Any) -> Any:
        return self.accounts.initiate_one_time_entitlement_plan("acme", CreatePurchaseRequest.from_dict(body))

    def use(self, name: str, tokens: Any) -> bool:
        sent = {"event": event(name, "2024-05-10T12:00:00Z", tokens=tokens)}
        return bool(self.entitlements.ingest_entitled_event(IngestEventRequest.from_dict(sent)).success)

    def left(self, feature: str) -> float:
        return float(self.entitlements.get_feature_credits("acme", feature).balance)

    def money(self) -> float:
        """What is in the wallet, of which the draft of the month holds what it may come to."""
        wallet = self.wallets.wallet_balance_for_account("acme")
        return float(wallet.balance + wallet.hold_amount)

    def pay(self, amount: float, invoice: str, towards: float) -> Any:
        line = {"type": "INVOICE", "togaiId": invoice, "amount": towards, "order": 1}
        body = {
            "accountId": "acme", "currency": "USD", "totalAmount": amount, "lineItemRecords": [line],
            "externalPaymentReference": {
                "sourceName": "A Bank", "sourceType": "BANK_TRANSFER", "transactionNumber": f"T{amount}",
            },
        }  # fmt: skip
        return self.payments.create_payments(CreatePaymentRequest.from_dict(body))

    def state(self, invoice: str) -> tuple[str, float, float]:
        found = self.invoices.get_invoice(invoice)
        return str(found.status.value), found.total_amount, found.paid_amount

    def move(self, invoice: str, status: str) -> str:
        return str(
            self.invoices.update_invoice(invoice, UpdateInvoiceRequest.from_dict({"status": status})).status.value
        )


def test_from_a_pack_to_a_refund(server: Server) -> None:
    tenant = server.workspace(clock=NOW)
    feature, pack = _catalogue(tenant)
    client = Client(tenant)

    # A pack twice, 2 x 4.99 for 2 x 10 tokens, paid by a transfer of 10.00: two cents are over.
    bought = client.buy(pricePlanId=pack, quantity=2)
    assert (bought.status.value, bought.price, client.left(feature)) == ("PENDING", 9.98, 0)
    client.pay(10, bought.invoice_id, 9.98)
    assert client.accounts.get_purchase(bought.id).status.value == "SUCCESS"
    assert (client.left(feature), client.money()) == (20, 0.02)

    # Used until what is left does not do: 20 - 12.5 - 7 = 0.5.
    assert client.use("one", 12.5)
    assert client.use("two", 7)
    with pytest.raises(BadRequestException, match=r"0\.5 of feature .* left, the event needs 1"):
        client.use("three", 1)
    assert client.left(feature) == 0.5

    # A top-up of 25 at a discount, for 22.50; one and a half packs are proposed: 1.5 x 4.99 = 7.485, so 7.48.
    top_up = client.buy(type="WALLET_TOPUP", walletTopupDetails={"topupAmount": 25, "purchaseAmount": 22.5})
    assert client.move(top_up.invoice_id, "PAID") == "PAID"
    assert client.money() == 25.02
    body = {
        "type": "ENTITLEMENT_GRANT",
        "paymentMode": "PREPAID",
        "pricePlanId": pack,
        "rateCardQuantities": {feature: 1.5},
    }
    proposal = client.accounts.create_proposal("acme", CreateProposalRequest.from_dict(body))
    assert (proposal.status.value, proposal.price, client.money()) == ("PROPOSAL_ACTIVE", 7.48, 25.02)
    for _ in range(2):
        client.accounts.update_proposal_status(proposal.id, UpdateProposalStatus(status="APPROVE"))
    assert client.accounts.get_purchase(proposal.id).status.value == "SUCCESS"
    assert (client.left(feature), client.money()) == (15.5, 17.54)
    assert client.use("three", 1)
    assert client.use("four", 4.5)
    assert client.left(feature) == 10

    # The month: a seat for 30 and 25 tokens at a quarter, 36.25. A credit pays 5 of it, the wallet all it has.
    _credit(client, 5)
    set_clock(tenant, JUNE)
    (invoice,) = [one.id for one in client.invoices.list_invoices(status="PARTIALLY_PAID").data]
    assert client.state(invoice) == ("PARTIALLY_PAID", 31.25, 17.54)
    assert client.money() == 0
    # 31.25 - 17.54 = 13.71 are still to come.
    client.pay(13.71, invoice, 13.71)
    assert client.state(invoice) == ("PAID", 31.25, 31.25)

    # All of it goes back: to the credit and the wallet at once, the rest by a payment out.
    assert client.move(invoice, "REFUND_INITIATED") == "REFUND_INITIATED"
    assert client.state(invoice) == ("REFUND_INITIATED", 31.25, 13.71)
    client.pay(-13.71, invoice, -13.71)
    assert client.state(invoice) == ("REFUND_COMPLETED", 31.25, 0)
    assert _credit_left(client) == 5
    # June's seat is not paid by the credit, which is for usage, so its draft holds all that the wallet has again.
    wallet = client.wallets.wallet_balance_for_account("acme")
    assert (wallet.balance, wallet.hold_amount) == (0, 17.54)

    _books(server, tenant)


def _books(server: Server, tenant: Tenant) -> None:
    answer = tenant.http.get("/bursar/v1/ledger/trial_balance")
    lines = msgspec.json.Decoder(float_hook=Decimal).decode(answer.content)["lines"]
    shown = {line["kind"]: Decimal(line["balance"]) for line in lines if line["balance"]}
    assert {line["currency"] for line in lines} == {"USD"}
    assert shown == {
        "cash": Decimal("32.50"),  # 10.00 + 22.50 + 13.71 - 13.71
        "wallet": Decimal("-17.54"),  # 0.02 + 25.00 - 7.48, and what the invoice took is back
        "credit": Decimal(-5),
        "discount": Decimal("7.50"),  # 25.00 - 22.50, and the credit, which cost nothing
        "revenue": Decimal("-17.465"),  # 9.98 + 7.485; that of the month was taken back
        "rounding": Decimal("0.005"),
    }
    assert sum(shown.values()) == 0, answer.text
    assert all(line["debits"] >= 0 <= line["credits"] for line in lines), answer.text
    assert sum(line["debits"] for line in lines) == sum(line["credits"] for line in lines)
    assert [text for problems in server.run(lambda db: prove(db, quiet=True)).values() for text in problems] == []


def _catalogue(tenant: Tenant) -> tuple[str, str]:
    """An account whose month is a seat for 30 and tokens at a quarter; a feature that tokens draw; a pack of ten."""
    http = tenant.http
    customer(http, netTermDays=14)
    schema(http)
    seat = fixed_fee(add_on(http, "Seat"), 30)
    month = plan(http, [card(meter(http), per_unit(0), [0.25])], fees=[seat], name="month")
    body = {"pricePlanId": month, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(http.post("/accounts/acme/price_plans", json=body), 200)
    links = [{"schemaName": "llm", "attributeName": "tokens"}]
    feature = expect(http.post("/features", json={"name": "Tokens", "schemaAssociations": links}), 200)["id"]
    return feature, purchase_plan(tenant, entitlement(feature, 10, 4.99, kind="FLAT"))


def _credit(client: Client, amount: int) -> None:
    wanted = {
        "accountId": "acme", "purpose": "sorry", "effectiveFrom": "2024-05-01", "priority": 1, "creditAmount": amount,
        "applicableEntityIds": ["ALL_USAGE_METER_RATE_CARDS"],
    }  # fmt: skip
    client.credits.create_credit(CreateCreditRequest.from_dict({"creditRequests": [wanted]}))


def _credit_left(client: Client) -> float:
    (credit,) = client.credits.list_credits(account_id="acme").data
    return float(credit.credit_amount - credit.consumed_amount)
