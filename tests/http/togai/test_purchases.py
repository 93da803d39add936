"""Purchases with the official client: what is bought, what it costs, when it is granted, and what comes of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.entitlements_api import EntitlementsApi
from togai_client.exceptions import BadRequestException
from togai_client.models.create_purchase_request import CreatePurchaseRequest

from bursar.runtime.proof import prove
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, expect

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)


def entitlement(feature: str, units: Any, rate: Any, *, kind: str = "PER_UNIT", **more: Any) -> dict[str, Any]:
    return {
        "featureId": feature,
        "featureConfigs": [{"featureCreditLimit": units, "effectiveUntil": "P20D"}],
        "invoiceTiming": "PREPAID",
        "ratePlan": {"pricingModel": "TIERED", "slabs": [{"order": 1, "startAfter": 0, "priceType": kind}]},
        "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": rate}]}],
        **more,
    }


def purchase_plan(tenant: Tenant, *cards: dict[str, Any], fees: list[Any] | None = None, name: str = "pack") -> str:
    details = {
        "supportedCurrencies": ["USD"],
        "billingEntitlementRateCards": list(cards),
        "fixedFeeRateCards": fees or [],
    }
    sent = {"name": name, "type": "PURCHASE", "pricePlanDetails": details}
    made = expect(tenant.http.post("/price_plans", json=sent), 200)["id"]
    expect(tenant.http.post(f"/price_plans/{made}/activate", json={"currencies": ["USD"]}), 200)
    return str(made)


@dataclass
class Store:
    """A workspace with one feature and plans to buy it by."""

    server: Server
    tenant: Tenant
    feature: str

    @property
    def api(self) -> AccountsApi:
        return AccountsApi(self.tenant.togai)

    def buy(self, **body: Any) -> Any:
        return self.api.initiate_one_time_entitlement_plan("acme", CreatePurchaseRequest.from_dict(body))

    def status(self, identifier: str) -> str:
        return str(self.api.get_purchase(identifier).status.value)

    def order(self, purchase: Any) -> Any:
        return expect(self.tenant.http.get(f"/invoices/{purchase.invoice_id}"), 200)

    def pay(self, invoice: str) -> None:
        expect(self.tenant.http.patch(f"/invoices/{invoice}", json={"status": "PAID"}), 200)

    def left(self) -> Any:
        return EntitlementsApi(self.tenant.togai).get_feature_credits("acme", self.feature).balance

    def money(self) -> Any:
        return expect(self.tenant.http.get("/accounts/acme/wallet"), 200)["balance"]

    def top_up(self, amount: Any) -> None:
        expect(self.tenant.http.post("/accounts/acme/wallet_topup", json={"topupAmount": amount}), 200)

    def setting(self, value: str) -> None:
        body = {
            "id": "paymentMode", "value": value, "namespace": "PURCHASE", "name": "Payment mode",
            "dataType": "STRING", "entityType": "ORGANIZATION", "entityId": self.tenant.name,
        }  # fmt: skip
        expect(self.tenant.http.post("/settings", json=body), 201)

    def problems(self) -> list[str]:
        found = self.server.run(lambda db: prove(db, quiet=True))
        return [problem for problems in found.values() for problem in problems]


@pytest.fixture
def shop(server: Server) -> Store:
    tenant = server.workspace(clock=NOW)
    customer(tenant.http)
    made = expect(tenant.http.post("/features", json={"name": "Calls", "schemaAssociations": []}), 200)
    return Store(server, tenant, made["id"])


def refused(call: Any, *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_purchase_is_granted_once_its_order_is_paid(shop: Store) -> None:
    plan = purchase_plan(shop.tenant, entitlement(shop.feature, 100, 1))
    made = shop.buy(pricePlanId=plan, rateCardQuantities={shop.feature: 1.2})
    assert (made.status.value, made.type.value, made.price, made.invoice_currency) == (
        "PENDING",
        "ENTITLEMENT_GRANT",
        120,
        "USD",
    )
    assert (made.price_plan_id, made.price_plan_version, made.account_id) == (plan, 1, "acme")
    assert made.rate_card_quantities == {shop.feature: 1.2}
    assert shop.left() == 0
    order = shop.order(made)
    assert (order["status"], order["invoiceClass"], order["invoiceType"]) == ("DUE", "ORDER", "AD_HOC")
    assert (order["totalAmount"], order["paidAmount"], order["pricePlanId"]) == (120, 0, plan)
    (line,) = order["lines"]
    assert (line["type"], line["quantity"], line["amount"]) == ("BILLING_ENTITLEMENT_RATE_CARD", 120, 120)
    assert line["formula"] == "100 x 1 = 100, x 1.2 = 120"
    shop.pay(made.invoice_id)
    bought = shop.api.get_purchase(made.id)
    assert bought.status.value == "SUCCESS"
    (granted,) = bought.features
    assert (granted.id, granted.name, granted.credits_granted, granted.credits_available) == (
        shop.feature,
        "Calls",
        120,
        120,
    )
    assert (granted.effective_from, granted.effective_until) == (NOW, datetime(2024, 5, 30, 12, tzinfo=UTC))
    assert bought.purchase_plan.billing_entitlement_rate_cards[0].feature_id == shop.feature
    assert shop.left() == 120
    entries = EntitlementsApi(shop.tenant.togai).list_feature_credit_entries("acme", shop.feature).data
    assert [(entry.id, entry.source, entry.granted) for entry in entries] == [
        (f"{made.id}#0$PURCHASE", "ENTITLEMENT", 120)
    ]
    assert shop.problems() == []


def test_a_pack_bought_twice_grants_twice_for_twice_the_price(shop: Store) -> None:
    plan = purchase_plan(shop.tenant, entitlement(shop.feature, 10, 4.99, kind="FLAT"))
    shop.top_up(9.97)
    waiting = shop.buy(pricePlanId=plan, quantity=2)
    assert (waiting.status.value, waiting.price) == ("PENDING", 9.98)
    assert shop.money() == 9.97, "a wallet that does not cover an order is left alone"
    shop.top_up(0.02)
    made = shop.buy(pricePlanId=plan, quantity=2)
    assert (made.status.value, made.price, made.quantity) == ("SUCCESS", 9.98, 2)
    assert (shop.money(), shop.left()) == (0.01, 20)
    assert shop.order(made)["status"] == "PAID"
    assert shop.status(waiting.id) == "PENDING"
    assert shop.problems() == []
