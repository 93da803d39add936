"""Entitlements and overage of plans: granted cycle by cycle, drawn by events, beyond them charged."""

from datetime import datetime
from typing import Any

import pytest
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.models.create_price_plan_request import CreatePricePlanRequest

from bursar.invoicing.verify import CHECKS as INVOICES
from bursar.ledger.verify import CHECKS as LEDGER
from bursar.purchases.verify import CHECKS as PURCHASES
from tests.conftest import Tenant
from tests.http.togai.catalog import expect, per_unit
from tests.http.togai.test_entitlements import Shop, day, refused
from tests.http.togai.test_entitlements import shop as shop  # noqa: PLC0414 - a fixture
from tests.http.togai.test_fixed_fees import body
from tests.http.togai.test_invoices import BROWSER, run_bill, set_clock


def priced(feature: str, slabs: list[dict[str, Any]], *rates: Any) -> dict[str, Any]:
    values = [{"order": n, "rate": rate} for n, rate in enumerate(rates, 1)]
    return {
        "featureId": feature,
        "ratePlan": {"pricingModel": "TIERED", "slabs": slabs},
        "rateValues": [{"currency": "USD", "slabRates": values}],
    }


def entitlement(
    feature: str, units: Any, until: str = "P1M", timing: str = "IN_ADVANCE", **more: Any
) -> dict[str, Any]:
    configs = [{"featureCreditLimit": units, "effectiveUntil": until}]
    flat = [{"order": 1, "startAfter": 0, "priceType": "FLAT"}]
    return {**priced(feature, flat, 20), "featureConfigs": configs, "invoiceTiming": timing, **more}


def make(tenant: Tenant, name: str = "plan", **cards: Any) -> str:
    made = expect(tenant.http.post("/price_plans", json={**body(**cards), "name": name}), 200)["id"]
    expect(tenant.http.post(f"/price_plans/{made}/activate", json={"currencies": ["USD"]}), 200)
    return str(made)


def associate(tenant: Tenant, plan: str, start: str, end: str = "9999-01-01") -> str:
    sent = {"mode": "ASSOCIATE", "pricePlanId": plan, "effectiveFrom": start, "effectiveUntil": end}
    made = expect(tenant.http.post("/accounts/acme/price_plans", json=sent), 200)["pricingSchedules"]
    return str(next(one["id"] for one in made if one["pricePlanId"] == plan))


def lines(tenant: Tenant) -> dict[tuple[str, str], list[tuple[str, Any, Any]]]:
    """Type, quantity and amount of the lines of all invoices, by kind and first day."""
    listed = expect(tenant.http.get("/invoices", headers=BROWSER), 200)["data"]
    found = [expect(tenant.http.get(f"/invoices/{one['id']}", headers=BROWSER), 200) for one in listed]
    return {
        (one["invoiceType"], one["startDate"][:10]): [
            (line["type"], line["quantity"], line["amount"]) for line in one["lines"]
        ]
        for one in found
    }


def problems(shop: Shop) -> list[str]:
    return shop.server.broken(shop.tenant, [*INVOICES, *LEDGER, *PURCHASES])


def day_of_year(moment: datetime) -> int:
    return moment.timetuple().tm_yday


def spans(shop: Shop) -> dict[str, tuple[str, Any, int, int]]:
    page = shop.api.list_feature_credit_entries("acme", shop.feature)
    return {
        one.id: (
            one.source,
            one.granted,
            one.effective_from.timetuple().tm_yday,
            one.effective_until.timetuple().tm_yday,
        )
        for one in page.data
        if one.status == "ACTIVE"
    }


def test_units_come_with_each_cycle_and_what_is_used_beyond_is_charged(shop: Shop) -> None:
    tenant = shop.tenant
    over = priced(shop.feature, per_unit(0, 3), 2, 1)
    plan = make(
        tenant,
        billingEntitlementRateCards=[entitlement(shop.feature, 10)],
        entitlementOverageRateCards=[{**over, "maxQuantity": 5}],
    )
    schedule = associate(tenant, plan, "2024-05-05")
    assert spans(shop) == {
        f"{schedule}#2024-05-05$PRICE_PLAN": ("PRICE_PLAN", 10, 126, 157),
        f"{schedule}#2024-05-05$OVERAGE": ("OVERAGE", 5, 126, 153),
        f"{schedule}#2024-06-01$PRICE_PLAN": ("PRICE_PLAN", 10, 153, 183),
        f"{schedule}#2024-06-01$OVERAGE": ("OVERAGE", 5, 153, 183),
    }, "the cycle that runs and the next one, each for a month; overage for its period"
    shop.use("a", 10)
    shop.use("b", 4)
    refused(lambda: shop.use("c", 2), "has 1 of feature")
    now = shop.api.get_feature_credits("acme", shop.feature)
    assert (now.granted, now.balance, now.overage_limit, now.used_overage) == (10, 0, 5, 4)
    set_clock(tenant, day(2, 6))
    shop.use("d", 3)
    run_bill(shop.server, tenant)
    set_clock(tenant, day(5, 6))
    run_bill(shop.server, tenant)
    assert lines(tenant) == {
        ("STANDARD_ADVANCED", "2024-05-05"): [("BILLING_ENTITLEMENT_RATE_CARD", 10, 20)],
        ("STANDARD", "2024-05-05"): [("ENTITLEMENT_OVERAGE_RATE_CARD", 4, 7)],
        ("STANDARD_ADVANCED", "2024-06-01"): [("BILLING_ENTITLEMENT_RATE_CARD", 10, 20)],
        ("STANDARD", "2024-06-01"): [("ENTITLEMENT_OVERAGE_RATE_CARD", 0, 0)],
    }
    assert f"{schedule}#2024-07-01$PRICE_PLAN" in spans(shop), "made with the cycle before"
    assert problems(shop) == []


def test_grants_end_with_their_association(shop: Shop) -> None:
    tenant = shop.tenant
    first = make(tenant, billingEntitlementRateCards=[entitlement(shop.feature, 10, "P2M", "IN_ARREARS")])
    second = make(
        tenant, "second", billingEntitlementRateCards=[entitlement(shop.feature, 3, recurrenceConfig={"interval": 2})],
    )  # fmt: skip
    schedule = associate(tenant, first, "2024-05-01")
    assert spans(shop) == {
        f"{schedule}#2024-05-01$PRICE_PLAN": ("PRICE_PLAN", 10, 122, 183),
        f"{schedule}#2024-06-01$PRICE_PLAN": ("PRICE_PLAN", 10, 153, 214),
    }
    shop.use("a", 4)
    other = associate(tenant, second, "2024-05-20")
    # The second begins in the cycle of May: its next grant is that of July.
    assert spans(shop) == {
        f"{schedule}#2024-05-01$PRICE_PLAN": ("PRICE_PLAN", 10, 122, 141),
        f"{other}#2024-05-20$PRICE_PLAN": ("PRICE_PLAN", 3, 141, 172),
    }
    shop.use("b", 6)
    refused(lambda: shop.use("c", 1), "has 0 of feature")
    sent = {"mode": "DISASSOCIATE", "effectiveFrom": "2024-05-12", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=sent), 200)
    assert spans(shop) == {f"{schedule}#2024-05-01$PRICE_PLAN": ("PRICE_PLAN", 10, 122, 133)}
    set_clock(tenant, day(20))
    assert spans(shop) == {}
    set_clock(tenant, day(20, 6))
    run_bill(shop.server, tenant)
    assert lines(tenant) == {("STANDARD", "2024-05-01"): [("BILLING_ENTITLEMENT_RATE_CARD", 10, 20)]}
    assert problems(shop) == []


def test_a_new_version_changes_what_is_yet_to_begin(shop: Shop) -> None:
    tenant = shop.tenant
    cards: dict[str, Any] = {
        "billingEntitlementRateCards": [entitlement(shop.feature, 10)],
        "entitlementOverageRateCards": [priced(shop.feature, per_unit(0), 1)],
    }
    plan = make(tenant, **cards)
    schedule = associate(tenant, plan, "2024-05-01")
    shop.use("a", 13)
    cards["billingEntitlementRateCards"] = [entitlement(shop.feature, 20)]
    cards["entitlementOverageRateCards"] = [{**priced(shop.feature, per_unit(0), 5), "maxQuantity": 7}]
    sent = {"pricePlanDetails": cards, "migrationMode": "IMMEDIATE"}
    expect(tenant.http.patch(f"/price_plans/{plan}", json=sent), 200)
    assert spans(shop) == {
        f"{schedule}#2024-05-01$PRICE_PLAN": ("PRICE_PLAN", 10, 122, 153),
        f"{schedule}#2024-05-10$OVERAGE": ("OVERAGE", 7, 131, 153),
        f"{schedule}#2024-06-01$PRICE_PLAN": ("PRICE_PLAN", 20, 153, 183),
        f"{schedule}#2024-06-01$OVERAGE": ("OVERAGE", 7, 153, 183),
    }, "what has begun stays; the period of the overage is cut"
    shop.use("b", 2)
    set_clock(tenant, day(5, 6))
    run_bill(shop.server, tenant)
    found = lines(tenant)
    assert found["STANDARD", "2024-05-01"] == [("ENTITLEMENT_OVERAGE_RATE_CARD", 3, 3)]
    assert found["STANDARD", "2024-05-10"] == [("ENTITLEMENT_OVERAGE_RATE_CARD", 2, 10)]
    assert shop.left() == 20
    assert problems(shop) == []


def test_an_association_that_is_bought_grants_once_it_is_paid(shop: Shop) -> None:
    tenant = shop.tenant
    plan = make(tenant, billingEntitlementRateCards=[entitlement(shop.feature, 10)])
    sent = {"type": "ASSOCIATION", "pricePlanId": plan, "effectiveFrom": "2024-05-10", "effectiveUntil": "9999-01-01"}
    bought = expect(tenant.http.post("/accounts/acme/purchases", json=sent), 200)
    assert (bought["status"], spans(shop)) == ("PENDING", {})
    expect(tenant.http.post("/accounts/acme/wallet_topup", json={"topupAmount": 30}), 200)
    again = expect(tenant.http.post("/accounts/acme/purchases", json=sent), 200)
    assert again["status"] == "SUCCESS"
    assert sorted(granted for _, granted, _, _ in spans(shop).values()) == [10, 10]
    order = [line for (kind, _), found in lines(tenant).items() if kind == "ADHOC_ADVANCED" for line in found]
    assert order == [("BILLING_ENTITLEMENT_RATE_CARD", 10, 20)]
    set_clock(tenant, day(5, 6))
    run_bill(shop.server, tenant)
    assert lines(tenant)["STANDARD_ADVANCED", "2024-06-01"] == [("BILLING_ENTITLEMENT_RATE_CARD", 10, 20)]
    assert ("STANDARD_ADVANCED", "2024-05-10") not in lines(tenant)
    assert problems(shop) == []


def test_a_plan_that_grants_comes_back_as_it_was_sent(shop: Shop) -> None:
    api = PricePlansApi(shop.tenant.togai)
    over = {**priced(shop.feature, per_unit(0), 2), "maxQuantity": 5, "name": "o", "displayName": "Over", "tag": "t"}
    cards = {
        "billingEntitlementRateCards": [entitlement(shop.feature, 10, name="e", recurrenceConfig={"interval": 2})],
        "entitlementOverageRateCards": [over],
    }
    made = api.create_price_plan(CreatePricePlanRequest.from_dict(body(**cards)))
    details = made.pricing_schedule[0].price_plan_details
    assert details.entitlement_overage_rate_cards[0].to_dict() == over
    assert details.billing_entitlement_rate_cards[0].recurrence_config.interval == 2
    rate = {"id": shop.feature, "slabRates": [{"order": 1, "rate": 2}]}
    more = {"currency": "EUR", "billingEntitlementRates": [rate], "entitlementOverageRates": [rate]}
    answer = shop.tenant.http.post(f"/price_plans/{made.id}/currencies", json={**more, "entitlementOverageRates": []})
    assert (answer.status_code, "entitlementOverageRates" in answer.text) == (400, True)
    shown = expect(shop.tenant.http.post(f"/price_plans/{made.id}/currencies", json=more), 200)
    details = shown["pricingSchedule"][0]["pricePlanDetails"]
    for name in ("billingEntitlementRateCards", "entitlementOverageRateCards"):
        assert [rate["currency"] for rate in details[name][0]["rateValues"]] == ["USD", "EUR"]


@pytest.mark.parametrize(
    ("cards", "word"),
    [
        ({"invoiceTiming": "PREPAID"}, "billingEntitlementRateCards[0].invoiceTiming"),
        ({"recurrenceConfig": {"interval": 0}}, "billingEntitlementRateCards[0].recurrenceConfig.interval"),
        ({"recurrenceConfig": {"offset": -1}}, "billingEntitlementRateCards[0].recurrenceConfig.offset"),
        ({"featureId": "feature.none"}, "billingEntitlementRateCards[0].featureId"),
        ({"over": {"featureId": "feature.none"}}, "entitlementOverageRateCards[0].featureId"),
        ({"over": {"maxQuantity": -1}}, "entitlementOverageRateCards[0].maxQuantity"),
        ({"over": {"billingConfig": {"interval": 2}}}, "entitlementOverageRateCards[0].billingConfig"),
        ({"over": {"rateValues": []}}, "entitlementOverageRateCards[0].rateValues"),
        ({"over": {"name": "e"}, "name": "e"}, "entitlementOverageRateCards[0].name"),
        ({"deferred": True}, "billingEntitlementRateCards"),
    ],
)
def test_what_cannot_be_is_refused_by_field(shop: Shop, cards: dict[str, Any], word: str) -> None:
    cards = dict(cards)
    over = {**priced(shop.feature, per_unit(0), 2), **cards.pop("over", {})}
    more = {"deferredRevenue": True} if cards.pop("deferred", False) else {}
    sent = body(
        billingEntitlementRateCards=[{**entitlement(shop.feature, 10), **cards}],
        entitlementOverageRateCards=[over],
        **more,
    )
    answer = shop.tenant.http.post("/price_plans", json=sent)
    assert (answer.status_code, word in answer.json()["message"]) == (400, True), answer.text
