"""Purchases with the official client: what is bought, what it costs, when it is granted, and what comes of it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.entitlements_api import EntitlementsApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.create_proposal_request import CreateProposalRequest
from togai_client.models.create_purchase_request import CreatePurchaseRequest
from togai_client.models.update_proposal_status import UpdateProposalStatus

from bursar.accounts.workspaces import set_clock
from bursar.db.database import Database
from bursar.ledger.model import TrialLine
from bursar.ledger.store import trial_balance
from bursar.runtime.proof import CHECKS
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import (
    add_on,
    card,
    customer,
    event,
    expect,
    fixed_fee,
    ingest,
    meter,
    per_unit,
    plan,
    schema,
)

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

    def propose(self, account: str = "acme", **body: Any) -> Any:
        sent = {"type": "ENTITLEMENT_GRANT", "paymentMode": "PREPAID", **body}
        return self.api.create_proposal(account, CreateProposalRequest.from_dict(sent))

    def answer(self, identifier: str, status: str) -> Any:
        return self.api.update_proposal_status(identifier, UpdateProposalStatus(status=status))

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
        return self.server.broken(self.tenant, CHECKS)


@pytest.fixture
def shop(server: Server) -> Store:
    tenant = server.workspace(clock=NOW)
    customer(tenant.http)
    made = expect(tenant.http.post("/features", json={"name": "Calls", "schemaAssociations": []}), 200)
    return Store(server, tenant, made["id"])


async def trial(db: Database, tenant: Tenant) -> list[TrialLine]:
    async with db.transaction(tenant.caller.workspace) as connection:
        return await trial_balance(connection, tenant.caller.workspace)


def refused(call: Any, *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_purchase_is_granted_once_its_order_is_paid(shop: Store) -> None:
    pack = purchase_plan(shop.tenant, entitlement(shop.feature, 100, 1))
    made = shop.buy(pricePlanId=pack, rateCardQuantities={shop.feature: 1.2})
    assert (made.status.value, made.type.value, made.price, made.invoice_currency) == (
        "PENDING",
        "ENTITLEMENT_GRANT",
        120,
        "USD",
    )
    assert (made.price_plan_id, made.price_plan_version, made.account_id) == (pack, 1, "acme")
    assert made.rate_card_quantities == {shop.feature: 1.2}
    assert shop.left() == 0
    order = shop.order(made)
    assert (order["status"], order["invoiceClass"], order["invoiceType"]) == ("DUE", "ORDER", "AD_HOC")
    assert (order["totalAmount"], order["paidAmount"], order["pricePlanId"]) == (120, 0, pack)
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
    pack = purchase_plan(shop.tenant, entitlement(shop.feature, 10, 4.99, kind="FLAT"))
    shop.top_up(9.97)
    waiting = shop.buy(pricePlanId=pack, quantity=2)
    assert (waiting.status.value, waiting.price) == ("PENDING", 9.98)
    assert shop.money() == 9.97, "a wallet that does not cover an order is left alone"
    shop.top_up(0.02)
    made = shop.buy(pricePlanId=pack, quantity=2)
    assert (made.status.value, made.price, made.quantity) == ("SUCCESS", 9.98, 2)
    assert (shop.money(), shop.left()) == (0.01, 20)
    assert shop.order(made)["status"] == "PAID"
    assert shop.status(waiting.id) == "PENDING"
    assert shop.problems() == []


def test_units_and_money_paid_ahead_are_drawn_down_by_usage(shop: Store) -> None:
    http = shop.tenant.http
    schema(http)
    tokens, calls = meter(http), meter(http, "calls", "llm", aggregation="COUNT", computations=[])
    base = plan(http, [card(tokens, per_unit(0, 100), [0.5, 0.333]), card(calls, per_unit(0), [2])], name="base")
    dates = {"effectiveFrom": date(2024, 5, 1), "effectiveUntil": date(2024, 6, 1)}
    units = shop.buy(type="PREPAID", pricePlanId=base, rateCardQuantities={tokens: 110.1}, **dates)
    assert (units.status.value, units.price) == ("PENDING", 53.36), "100 x 0.5 + 10.1 x 0.333, cut to cents"
    shop.pay(units.invoice_id)
    money = shop.buy(type="PREPAID", walletTopupDetails={"topupAmount": 7})
    shop.pay(money.invoice_id)
    assert (shop.status(units.id), shop.status(money.id), shop.money()) == ("SUCCESS", "SUCCESS", 0)
    start = {"mode": "ASSOCIATE", "pricePlanId": base, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(http.post("/accounts/acme/price_plans", json=start), 200)
    ingest(http, event("a", "2024-05-10T10:00:00Z", tokens=60), event("b", "2024-05-10T11:00:00Z", tokens=0),
           event("c", "2024-05-10T11:00:01Z", tokens=0), event("d", "2024-05-10T11:00:02Z", tokens=0),
           event("e", "2024-05-10T11:00:03Z", tokens=0))  # fmt: skip
    expect(http.post("/bursar/v1/clock", json={"now": "2024-06-10T00:00:00Z"}), 200)
    (invoice,) = expect(http.get("/invoices", params={"status": "DUE"}), 200)["data"]
    # 60 tokens at 0.5 are paid by the units; of 5 calls at 2, money pays 7.
    assert invoice["totalAmount"] == 3
    kinds = {line.kind.value: line.balance for line in shop.server.run(lambda db: trial(db, shop.tenant))}
    assert (kinds["revenue"], kinds["breakage"], kinds["receivable"]) == (-40, Decimal("-23.36"), 3)
    assert (kinds["credit"], kinds["deferred"], kinds["cash"]) == (0, 0, Decimal("60.36"))
    assert shop.problems() == []
    refused(lambda: shop.buy(type="PREPAID", pricePlanId=base), "rateCardQuantities")
    refused(lambda: shop.buy(type="PREPAID"), "pricePlanId")
    refused(lambda: shop.buy(type="PREPAID", pricePlanId=base, rateCardQuantities={"um.none": 1}), "um.none")
    uneven = {"topupAmount": 7, "purchaseAmount": 6}
    refused(lambda: shop.buy(type="PREPAID", walletTopupDetails=uneven), "purchaseAmount")


def test_the_seed_is_answered_as_it_says(shop: Store) -> None:
    pack = purchase_plan(shop.tenant, entitlement(shop.feature, 100, 1))
    # The seed's request, word for word but for the ids.
    seed = """{
  "pricePlanId": "pp.20txw0FrqjQ.byM8V",
  "type": "ENTITLEMENT_GRANT",
  "rateCardQuantities": {
    "feature.20txvOAhiIS.m3X3d": 1.2
  }
}"""
    sent = seed.replace("pp.20txw0FrqjQ.byM8V", pack).replace("feature.20txvOAhiIS.m3X3d", shop.feature)
    answer = shop.tenant.http.post(
        "/accounts/acme/purchases", content=sent, headers={"content-type": "application/json"}
    )
    made = expect(answer, 200)
    for required in ("accountId", "createdAt", "id", "status", "type"):
        assert made[required], required
    assert {*made} == {
        "accountId", "createdAt", "id", "status", "type", "invoiceCurrency", "invoiceId", "price", "pricePlanId",
        "pricePlanVersion", "rateCardQuantities", "updatedAt",
    }  # fmt: skip
    assert (made["price"], made["rateCardQuantities"]) == (120, {shop.feature: 1.2})


def test_fees_overrides_and_quantities_of_single_billables(shop: Store) -> None:
    fee = add_on(shop.tenant.http, "Setup")
    pack = purchase_plan(
        shop.tenant,
        entitlement(shop.feature, 100, 1),
        fees=[fixed_fee(fee, 7.5, prorated=False, type="ONE_TIME")],
    )
    own = entitlement(shop.feature, 30, 0.333333)
    own["featureConfigs"].append({"effectiveFrom": "P20D", "effectiveUntil": "P1M", "featureCreditLimit": 5.5})
    made = shop.buy(
        pricePlanId=pack,
        quantity=2,
        rateCardQuantities={fee: 3},
        purchasePlanOverride={"billingEntitlementRateCards": [own]},
    )
    # 3 x 7.5, and twice the price of 35.5 units, cut to cents: 22.5 + 2 x 35.5 x 0.333333 = 22.5 + 23.66
    assert made.price == 46.16
    assert made.purchase_plan_override.billing_entitlement_rate_cards[0].feature_configs[1].effective_until == "P1M"
    shop.pay(made.invoice_id)
    granted = shop.api.get_purchase(made.id).features
    assert [(one.credits_granted, one.effective_from.day, one.effective_until.month) for one in granted] == [
        (60, 10, 5), (11, 30, 6),
    ]  # fmt: skip
    assert shop.left() == 60
    assert shop.problems() == []


def test_a_wallet_gets_its_top_up_and_the_ledger_the_difference(shop: Store) -> None:
    cases = [(50, None, 50), (110, 100, 100), (90, 100, 100), (20, 0, 0)]
    held = 0
    for topup, price, expected in cases:
        details = {"topupAmount": topup, "purchaseAmount": price}
        made = shop.buy(
            type="WALLET_TOPUP",
            walletTopupDetails={name: value for name, value in details.items() if value is not None},
        )
        assert made.price == expected
        assert (made.wallet_topup_details.topup_amount, made.wallet_topup_details.purchase_amount) == (topup, expected)
        if expected:
            assert made.status.value == "PENDING", "money for a wallet does not come out of it"
            assert shop.money() == held
            shop.pay(made.invoice_id)
        held += topup
        assert (shop.status(made.id), shop.money()) == ("SUCCESS", held)
    kinds = {line.kind: line.balance for line in shop.server.run(lambda db: trial(db, shop.tenant))}
    # Discounts of 10 and 20, a fee of 10; 250 came in.
    assert {kind.value: balance for kind, balance in kinds.items() if balance} == {
        "cash": 250, "wallet": -270, "discount": 30, "revenue": -10,
    }  # fmt: skip
    assert shop.problems() == []


def test_an_association_charges_its_first_fees_in_advance_by_the_order(shop: Store) -> None:
    http = shop.tenant.http
    schema(http)
    fee = add_on(http, "Seat")
    fees = [fixed_fee(fee, 31, invoiceTiming="IN_ADVANCE", type="RECURRING")]
    base = plan(http, [card(meter(http), per_unit(0), [1])], name="base", fees=fees)
    shop.top_up(25)
    dates = {"effectiveFrom": date(2024, 5, 15), "effectiveUntil": date(2024, 7, 1)}
    rates = {"fixedFeeRateCards": [fixed_fee(fee, 62, invoiceTiming="IN_ADVANCE", type="RECURRING")]}
    made = shop.buy(type="ASSOCIATION", pricePlanId=base, associationOverride=rates, **dates)
    # 62 a month, 17 of 31 days
    assert (made.status.value, made.price) == ("PENDING", 34)
    assert (made.effective_from, made.effective_until) == (dates["effectiveFrom"], dates["effectiveUntil"])
    order = shop.order(made)
    assert (order["invoiceType"], order["startDate"], order["endDate"]) == (
        "ADHOC_ADVANCED", "2024-05-15T00:00:00Z", "2024-06-01T00:00:00Z",
    )  # fmt: skip
    schedules = "/accounts/acme/pricing_schedules"
    assert expect(http.get(schedules), 200)["data"] == []
    shop.pay(made.invoice_id)
    assert shop.status(made.id) == "SUCCESS"
    (schedule,) = expect(http.get(schedules), 200)["data"]
    assert (schedule["pricePlanId"], schedule["startDate"], schedule["endDate"], schedule["isOverriden"]) == (
        base, "2024-05-15T00:00:00Z", "2024-07-01T00:00:00Z", True,
    )  # fmt: skip
    expect(http.post("/bursar/v1/clock", json={"now": "2024-06-10T00:00:00Z"}), 200)
    found = expect(http.get("/invoices"), 200)["data"]
    advances = [(one["startDate"], one["totalAmount"]) for one in found if one["invoiceType"] == "STANDARD_ADVANCED"]
    assert advances == [("2024-06-01T00:00:00Z", 62)], "what the order charged is not charged again"
    assert shop.problems() == []
    refused(lambda: shop.buy(type="ASSOCIATION", pricePlanId=base, effectiveFrom=date(2024, 5, 1)), "invoiced until")


def test_what_is_paid_later_or_costs_nothing_is_granted_at_once(shop: Store) -> None:
    free = purchase_plan(shop.tenant, entitlement(shop.feature, 5, 0), name="free")
    made = shop.buy(pricePlanId=free)
    assert (made.status.value, made.price, shop.left()) == ("SUCCESS", 0, 5)
    assert shop.order(made)["status"] == "PAID"
    shop.setting("POSTPAID")
    paid = purchase_plan(shop.tenant, entitlement(shop.feature, 10, 2), name="paid")
    shop.top_up(5)
    made = shop.buy(pricePlanId=paid, expiryDate="2024-05-11T00:00:00Z")
    assert (made.status.value, made.price, shop.left()) == ("SUCCESS", 20, 15)
    assert shop.order(made)["status"] == "DUE"
    expect(shop.tenant.http.post("/bursar/v1/clock", json={"now": "2024-05-12T00:00:00Z"}), 200)
    assert (shop.status(made.id), shop.order(made)["status"]) == ("SUCCESS", "DUE"), "what was granted does not expire"
    answer = shop.tenant.http.patch(f"/invoices/{made.invoice_id}", json={"status": "VOID"})
    assert "has been granted" in expect(answer, 400)["message"]
    shop.pay(made.invoice_id)
    assert (shop.left(), shop.money()) == (15, 5)
    assert shop.problems() == []


def test_an_order_that_is_not_paid_in_time_fails(shop: Store) -> None:
    pack = purchase_plan(shop.tenant, entitlement(shop.feature, 10, 2))
    later = {"expiryDate": "2024-05-11T00:00:00Z"}
    read, listed, paid, voided = [shop.buy(pricePlanId=pack, **later) for _ in range(4)]
    expect(shop.tenant.http.patch(f"/invoices/{voided.invoice_id}", json={"status": "VOID"}), 200)
    assert shop.api.get_purchase(voided.id).status.value == "FAILURE"
    shop.pay(paid.invoice_id)

    async def passes(db: Database) -> None:
        # The clock alone: nothing that is due is run.
        async with db.transaction(None) as connection:
            await set_clock(connection, shop.tenant.caller, datetime(2024, 5, 11, tzinfo=UTC))

    shop.server.run(passes)
    found = shop.api.get_purchase(read.id)
    assert (found.status.value, found.comment) == ("FAILURE", "the order was not paid by its expiryDate")
    assert shop.order(read)["status"] == "VOID"
    statuses = {one.id: one.status.value for one in shop.api.list_account_purchases("acme").data}
    assert statuses == {read.id: "FAILURE", listed.id: "FAILURE", paid.id: "SUCCESS", voided.id: "FAILURE"}
    answer = shop.tenant.http.patch(f"/invoices/{read.invoice_id}", json={"status": "PAID"})
    assert "VOID" in expect(answer, 400)["message"]
    assert shop.left() == 10
    assert shop.problems() == []


def test_what_cannot_be_granted_any_more_leaves_its_money_in_the_wallet(shop: Store) -> None:
    http = shop.tenant.http
    schema(http)
    fees = [fixed_fee(add_on(http, "Seat"), 30, invoiceTiming="IN_ADVANCE", type="RECURRING")]
    base = plan(http, [card(meter(http), per_unit(0), [1])], name="base", fees=fees)
    made = shop.buy(type="ASSOCIATION", pricePlanId=base, effectiveFrom=date(2024, 6, 1))
    expect(http.delete(f"/price_plans/{base}"), 200)
    shop.pay(made.invoice_id)
    found = shop.api.get_purchase(made.id)
    assert (found.status.value, shop.money()) == ("FAILURE", 30)
    assert "ARCHIVED" in found.comment
    assert shop.problems() == []


def test_a_key_has_one_purchase(shop: Store) -> None:
    pack = purchase_plan(shop.tenant, entitlement(shop.feature, 10, 2))
    customer(shop.tenant.http, "other")
    first = shop.buy(pricePlanId=pack, idempotencyKey="k")
    assert first.idempotency_key == "k"
    assert shop.buy(pricePlanId=pack, idempotencyKey="k").id == first.id
    shop.pay(first.invoice_id)
    again = shop.buy(pricePlanId=pack, idempotencyKey="k")
    assert (again.id, again.status.value) == (first.id, "SUCCESS"), "as it stands now"
    refused(lambda: shop.buy(pricePlanId=pack, quantity=2, idempotencyKey="k"), "idempotencyKey", "'k'")
    refused(lambda: shop.propose(pricePlanId=pack, idempotencyKey="k"), "idempotencyKey", "'k'")
    body = CreatePurchaseRequest.from_dict({"pricePlanId": pack, "quantity": 2, "idempotencyKey": "k"})
    assert shop.api.initiate_one_time_entitlement_plan("other", body).id != first.id, "each account has keys of its own"
    assert len(shop.api.list_account_purchases("acme").data) == 1
    assert shop.left() == 10


def test_purchases_that_cannot_be(shop: Store) -> None:
    pack = purchase_plan(shop.tenant, entitlement(shop.feature, 10, 2))
    draft = {"name": "draft", "type": "PURCHASE", "pricePlanDetails": {
        "supportedCurrencies": ["USD"], "billingEntitlementRateCards": [entitlement(shop.feature, 1, 1)]}}  # fmt: skip
    unready = expect(shop.tenant.http.post("/price_plans", json=draft), 200)["id"]
    topup = {"type": "WALLET_TOPUP"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "pricePlanId: is required"),
        ({"type": "ASSOCIATION"}, "pricePlanId: is required"),
        ({"type": "ASSOCIATION", "pricePlanId": pack}, "PURCHASE plan"),
        ({"pricePlanId": unready}, "DRAFT"),
        ({"pricePlanId": pack, "quantity": 0}, "quantity"),
        ({"pricePlanId": pack, "rateCardQuantities": {"feature.none": 1}}, "rateCardQuantities.feature.none"),
        ({"pricePlanId": pack, "rateCardQuantities": {shop.feature: 0}}, "rateCardQuantities"),
        ({"pricePlanId": pack, "effectiveFrom": "2024-05-01"}, "effectiveFrom: must be left out"),
        ({"pricePlanId": pack, "expiryDate": "2024-05-10T12:00:00Z"}, "expiryDate"),
        ({"pricePlanId": pack, "associationOverride": {}}, "associationOverride"),
        ({"pricePlanId": pack, "walletTopupDetails": {"topupAmount": 1}}, "walletTopupDetails"),
        ({"pricePlanId": pack, "purchasePlanOverride": {"billingEntitlementRateCards": [
            entitlement("feature.none", 1, 1)]}}, "purchasePlanOverride.billingEntitlementRateCards[0].featureId"),
        ({"pricePlanId": pack, "purchasePlanOverride": {"billingEntitlementRateCards": [
            entitlement(shop.feature, -1, 1)]}}, "purchasePlanOverride.billingEntitlementRateCards[0].featureConfigs"),
        (topup, "walletTopupDetails: is required"),
        ({**topup, "walletTopupDetails": {"topupAmount": 0}}, "topupAmount"),
        ({**topup, "walletTopupDetails": {"topupAmount": 1.001}}, "2 decimals"),
        ({**topup, "walletTopupDetails": {"topupAmount": 1, "purchaseAmount": -1}}, "purchaseAmount"),
        ({**topup, "quantity": 1, "walletTopupDetails": {"topupAmount": 1}}, "quantity"),
        ({"type": "GIFT"}, "type"),
    ]  # fmt: skip
    for body, word in cases:
        answer = shop.tenant.http.post("/accounts/acme/purchases", json=body)
        assert word in expect(answer, 400)["message"], body
    assert shop.api.list_account_purchases("acme").data == []
    missing: list[Any] = [
        lambda: shop.buy(pricePlanId="pp.none"),
        lambda: shop.api.initiate_one_time_entitlement_plan("nobody", CreatePurchaseRequest(pricePlanId=pack)),
        lambda: shop.api.list_account_purchases("nobody"),
        lambda: shop.api.get_purchase("purchase.none"),
        lambda: shop.api.get_proposal("purchase.none"),
        lambda: shop.api.list_account_proposals("nobody"),
        lambda: shop.api.update_proposal_status("purchase.none", UpdateProposalStatus(status="APPROVE")),
        lambda: shop.propose(account="nobody", pricePlanId=pack),
    ]
    for call in missing:
        with pytest.raises(NotFoundException, match="was not found"):
            call()
    expect(shop.tenant.http.delete("/accounts/acme"), 200)
    refused(lambda: shop.buy(pricePlanId=pack), "archived")
    refused(lambda: shop.propose(pricePlanId=pack), "archived")


def test_a_proposal_becomes_one_purchase_when_it_is_approved(shop: Store) -> None:
    pack = purchase_plan(shop.tenant, entitlement(shop.feature, 10, 2))
    shop.top_up(20)
    made = shop.propose(pricePlanId=pack, paymentMode="PREPAID", expiryDate="2024-05-11T00:00:00Z")
    assert (made.status.value, made.payment_mode, made.price, made.invoice_id) == (
        "PROPOSAL_ACTIVE",
        "PREPAID",
        20,
        None,
    )
    assert shop.api.list_account_purchases("acme").data == []
    assert shop.status(made.id) == "PROPOSAL_ACTIVE"
    for _ in range(2):
        approved = shop.answer(made.id, "APPROVE")
        assert (approved.id, approved.status.value) == (made.id, "PROPOSAL_APPROVED")
        assert approved.proposal_response_date == NOW
    assert [one.status.value for one in shop.api.list_account_purchases("acme").data] == ["SUCCESS"]
    assert (shop.status(made.id), shop.left(), shop.money()) == ("SUCCESS", 10, 0)
    refused(lambda: shop.answer(made.id, "DECLINE"), "PROPOSAL_DECLINED")
    other = shop.propose(pricePlanId=pack, paymentMode="POSTPAID")
    assert shop.answer(other.id, "DECLINE").status.value == "PROPOSAL_DECLINED"
    refused(lambda: shop.answer(other.id, "APPROVE"), "PROPOSAL_DECLINED")
    later = shop.propose(pricePlanId=pack, paymentMode="POSTPAID", expiryDate="2024-05-11T00:00:00Z")
    expect(shop.tenant.http.post("/bursar/v1/clock", json={"now": "2024-05-11T00:00:00Z"}), 200)
    assert shop.api.get_proposal(later.id).status.value == "PROPOSAL_EXPIRED"
    refused(lambda: shop.answer(later.id, "APPROVE"), "PROPOSAL_EXPIRED")
    last = shop.propose(pricePlanId=pack, paymentMode="POSTPAID")
    shop.answer(last.id, "APPROVE")
    assert (shop.status(last.id), shop.left()) == ("SUCCESS", 20)
    found = {one.id: one.status.value for one in shop.api.list_account_proposals("acme").data}
    assert found == {
        made.id: "PROPOSAL_APPROVED", other.id: "PROPOSAL_DECLINED", later.id: "PROPOSAL_EXPIRED",
        last.id: "PROPOSAL_APPROVED",
    }  # fmt: skip
    assert shop.problems() == []


def test_lists_in_pages(shop: Store) -> None:
    made = [shop.buy(type="WALLET_TOPUP", walletTopupDetails={"topupAmount": n + 1}).id for n in range(5)]
    proposed = [
        shop.propose(type="WALLET_TOPUP", paymentMode="PREPAID", walletTopupDetails={"topupAmount": n + 1}).id
        for n in range(3)
    ]
    for path, expected in (("purchases", made[::-1]), ("purchase_proposals", proposed[::-1])):
        seen: list[str] = []
        query: dict[str, Any] = {"pageSize": 2}
        while query:
            page = expect(shop.tenant.http.get(f"/accounts/acme/{path}", params=query), 200)
            assert page["context"] == {"pageSize": 2, "sortOrder": "DESC"}
            seen += [one["id"] for one in page["data"]]
            query = {"nextToken": page["nextToken"]} if page["nextToken"] else {}
        assert seen == expected
