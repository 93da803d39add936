"""Plans with deferred revenue by the official client: what they exclude, and when their cycles become revenue."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from togai_client.api.metrics_api import MetricsApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.models.create_price_plan_request import CreatePricePlanRequest
from togai_client.models.get_metrics_request import GetMetricsRequest

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
from tests.http.togai.test_invoices import run_bill, set_clock
from tests.http.togai.test_purchases import entitlement


def wanted(meter_id: str, **details: Any) -> dict[str, Any]:
    """The request for a plan of 2 a token with deferred revenue and three days of grace."""
    return {
        "name": "later",
        "type": "BILLING",
        "pricePlanDetails": {
            "supportedCurrencies": ["USD"],
            "pricingCycleConfig": {
                "interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3,
            },
            "usageRateCards": [card(meter_id, per_unit(0), [2])],
            "deferredRevenue": True,
            **details,
        },
    }  # fmt: skip


@pytest.fixture
def shop(server: Server) -> tuple[Tenant, str, str]:
    """Two accounts with the same usage, one on a plan with deferred revenue; the tenant, the meter, and that plan."""
    tenant = server.workspace(clock=datetime(2024, 5, 20, tzinfo=UTC))
    schema(tenant.http)
    meter_id = meter(tenant.http)
    made = PricePlansApi(tenant.togai).create_price_plan(CreatePricePlanRequest.from_dict(wanted(meter_id)))
    expect(tenant.http.post(f"/price_plans/{made.id}/activate", json={"currencies": ["USD"]}), 200)
    plans = {"now": plan(tenant.http, [card(meter_id, per_unit(0), [2])]), "later": made.id}
    for name, identifier in plans.items():
        customer(tenant.http, name)
        body = {"pricePlanId": identifier, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
        expect(tenant.http.post(f"/accounts/{name}/price_plans", json=body), 200)
        ingest(
            tenant.http,
            event(f"{name}-1", "2024-05-05T10:00:00Z", account=name, tokens=3),
            event(f"{name}-2", "2024-05-06T10:00:00Z", account=name, tokens=4),
        )
    return tenant, meter_id, made.id


def metric(tenant: Tenant, name: str, start: str = "2024-05-05", end: str = "2024-05-07") -> dict[str, list[Decimal]]:
    """The values of a metric by account, those that are zero throughout left out."""
    body = {
        "startTime": f"{start}T00:00:00Z",
        "endTime": f"{end}T00:00:00Z",
        "metricQueries": [{"id": "q", "name": name, "aggregationPeriod": "DAY", "groupBy": "ACCOUNT_ID"}],
    }
    (result,) = MetricsApi(tenant.togai).get_metrics(GetMetricsRequest.from_dict(body)).results
    values = {
        points.grouped_by.field_value if points.grouped_by else "": [Decimal(str(v)) for v in points.metric_values]
        for points in result.data
    }
    return {account: some for account, some in values.items() if any(some)}


def test_a_cycle_is_revenue_once_its_grace_has_ended(server: Server, shop: tuple[Tenant, str, str]) -> None:
    tenant, _, _ = shop
    at_once, by_cycle = {"now": [6, 8]}, {"now": [14, 0]}
    both, both_by_cycle = {**at_once, "later": [6, 8]}, {**by_cycle, "later": [14, 0]}
    first = ("2024-05-01", "2024-05-03")
    for moment in (datetime(2024, 5, 20), datetime(2024, 6, 1), datetime(2024, 6, 3, 23, 59, 59)):
        set_clock(tenant, moment.replace(tzinfo=UTC))
        assert metric(tenant, "REVENUE") == at_once, moment
        assert metric(tenant, "REVENUE_FOR_CYCLE", *first) == by_cycle, moment
        assert metric(tenant, "USAGE") == {"now": [3, 4], "later": [3, 4]}
        assert metric(tenant, "USAGE_FOR_CYCLE", *first) == {"now": [7, 0], "later": [7, 0]}
    set_clock(tenant, datetime(2024, 6, 4, tzinfo=UTC))
    for _ in range(2):
        assert metric(tenant, "REVENUE") == both
        assert metric(tenant, "REVENUE_FOR_CYCLE", *first) == both_by_cycle
        run_bill(server, tenant)
    due = expect(tenant.http.get("/invoices", params={"status": "DUE"}), 200)["data"]
    assert sorted((invoice["ownerId"], invoice["totalAmount"]) for invoice in due) == [("later", 14), ("now", 14)]
    ingest(tenant.http, event("june", "2024-06-02T10:00:00Z", account="later"))
    assert metric(tenant, "REVENUE", "2024-05-01", "2024-07-01")["later"] == [0] * 4 + [6, 8] + [0] * 55


def test_it_is_shown_and_stays(shop: tuple[Tenant, str, str]) -> None:
    tenant, meter_id, identifier = shop

    def said(identifier: str) -> list[bool]:
        found = expect(tenant.http.get(f"/price_plans/{identifier}"), 200)["pricingSchedule"]
        return [version["pricePlanDetails"]["deferredRevenue"] for version in found]

    assert said(identifier) == [True]
    shown = PricePlansApi(tenant.togai).get_price_plan(identifier)
    assert [version.price_plan_details.deferred_revenue for version in shown.pricing_schedule] == [True]
    for value in (False, True):
        answer = tenant.http.patch(f"/price_plans/{identifier}", json={"pricePlanDetails": {"deferredRevenue": value}})
        assert answer.status_code == 400
        assert "deferredRevenue" in answer.json()["message"]
    dearer = {"pricePlanDetails": {"usageRateCards": [card(meter_id, per_unit(0), [5])]}}
    expect(tenant.http.patch(f"/price_plans/{identifier}", json={**dearer, "migrationMode": "NONE"}), 200)
    assert set(said(identifier)) == {True}
    plain = {**wanted(meter_id, deferredRevenue=False), "name": "plain"}
    assert said(expect(tenant.http.post("/price_plans", json=plain), 200)["id"]) == [False]
    dry = expect(tenant.http.post("/price_plans", params={"dry_run": "true"}, json={**plain, "name": "none"}), 200)
    assert dry["pricingSchedule"][0]["pricePlanDetails"]["deferredRevenue"] is False


def test_its_open_cycle_may_be_priced_anew(shop: tuple[Tenant, str, str]) -> None:
    tenant, meter_id, identifier = shop
    dearer = {"pricePlanDetails": {"usageRateCards": [card(meter_id, per_unit(0), [5])]}}
    change = {**dearer, "migrationMode": "START_OF_CURRENT_CYCLE"}
    expect(tenant.http.patch(f"/price_plans/{identifier}", json=change), 200)
    set_clock(tenant, datetime(2024, 6, 4, tzinfo=UTC))
    assert metric(tenant, "REVENUE") == {"now": [6, 8], "later": [15, 20]}


def test_what_it_excludes(shop: tuple[Tenant, str, str]) -> None:
    tenant, meter_id, identifier = shop
    fee = fixed_fee(add_on(tenant.http), 10)
    linked = [{"schemaName": "llm", "attributeName": "tokens"}]
    feature = expect(tenant.http.post("/features", json={"name": "Tokens", "schemaAssociations": linked}), 200)["id"]
    advance, arrears = {**fee, "invoiceTiming": "IN_ADVANCE"}, {**fee, "invoiceTiming": "IN_ARREARS"}
    over = {name: part for name, part in entitlement(feature, 1, 1).items()
            if name in ("featureId", "ratePlan", "rateValues")}  # fmt: skip
    cases: list[tuple[str, Any, str]] = [
        ("fixedFeeRateCards", [advance], "[0].invoiceTiming: must be IN_ARREARS"),
        ("creditGrantRateCards", [{"id": "x"}], ": cannot be on a plan with deferredRevenue"),
        ("billingEntitlementRateCards", [entitlement(feature, 1, 1)], ": cannot be on a plan with deferredRevenue"),
        ("entitlementOverageRateCards", [over], ": cannot be on a plan with deferredRevenue"),
    ]
    for name, cards, rule in cases:
        body = {**wanted(meter_id, **{name: cards}), "name": "refused"}
        answer = tenant.http.post("/price_plans", json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["message"].startswith(f"pricePlanDetails.{name}{rule}")
    change = {"pricePlanDetails": {"fixedFeeRateCards": [advance]}, "migrationMode": "NONE"}
    answer = tenant.http.patch(f"/price_plans/{identifier}", json=change)
    assert (answer.status_code, "invoiceTiming" in answer.text) == (400, True)
    edit: dict[str, Any] = {
        "mode": "ASSOCIATE",
        "pricePlanId": identifier,
        "effectiveFrom": "2024-06-01",
        "effectiveUntil": "9999-01-01",
    }
    edit["pricePlanDetailsOverride"] = {"fixedFeeRateCards": [advance]}
    answer = tenant.http.post("/accounts/later/price_plans", json=edit)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"].startswith("pricePlanDetailsOverride.fixedFeeRateCards[0].invoiceTiming")
    expect(
        tenant.http.post("/price_plans", json={**wanted(meter_id, fixedFeeRateCards=[arrears]), "name": "fees"}), 200
    )
