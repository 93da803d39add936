"""The revenue calculator with the official client, against sums made by hand and against an invoice."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from togai_client.api.price_experimentation_api import PriceExperimentationApi
from togai_client.exceptions import NotFoundException
from togai_client.models.calculate_revenue_request import CalculateRevenueRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import add_on, card, customer, event, expect, fixed_fee, ingest, meter, per_unit, schema

CYCLE = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}
NOBODY = {"mode": "CUSTOM", "custom": [{"licenseId": "l", "quantity": 1, "effectiveFrom": "2024-05-01T00:00:00Z"}]}


class Shop(NamedTuple):
    """Tokens at 1, from 10 on at packages of 3 for 5; support at 31 a month by the day, a set-up of 7 in the second."""

    tenant: Tenant
    tokens: str
    support: str
    details: dict[str, Any]
    plan: str


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    tenant = server.workspace(clock=datetime(2024, 5, 22, tzinfo=UTC))
    http = tenant.http
    schema(http)
    tokens = meter(http)
    support, setup = add_on(http, "Support"), add_on(http, "Set-up")
    slabs = [*per_unit(0), {"order": 2, "startAfter": 10, "priceType": "PACKAGE", "slabConfig": {"packageSize": "3"}}]
    fees = [
        fixed_fee(support, 31),
        fixed_fee(setup, 7, prorated=False, type="ONE_TIME", recurrenceConfig={"offset": 1}),
    ]
    details = {
        "supportedCurrencies": ["USD"],
        "pricingCycleConfig": CYCLE,
        "usageRateCards": [card(tokens, slabs, [1, 5])],
        "fixedFeeRateCards": fees,
    }
    body = {"name": "plan", "type": "BILLING", "pricePlanDetails": details}
    priced = expect(http.post("/price_plans", json=body), 200)["id"]
    expect(http.post(f"/price_plans/{priced}/activate", json={"currencies": ["USD"]}), 200)
    customer(http, "acme", invoiceCurrency="USD")
    body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(http, *(event(f"e{day}", f"2024-05-{day:02}T10:00:00Z", tokens=day) for day in (2, 5, 9)))
    customer(http, "idle", invoiceCurrency="EUR")
    return Shop(tenant, tokens, support, details, priced)


def request(shop: Shop, **change: Any) -> dict[str, Any]:
    return {
        "currencyConfig": {"mode": "CUSTOM", "currency": "USD"},
        "pricePlanDetailsConfig": {"mode": "PRICE_PLAN", "pricePlanId": shop.plan},
        "usageConfig": {"mode": "CUSTOM", "usageMap": {shop.tokens: 15}},
        "licenseEntriesConfig": NOBODY,
        **change,
    }


def ask(shop: Shop, **change: Any) -> Any:
    body = CalculateRevenueRequest.from_dict(request(shop, **change))
    return PriceExperimentationApi(shop.tenant.togai).calculate_revenue(body)


def slabs(answer: Any) -> list[tuple[int, Any, Any]]:
    (info,) = [entry for entry in answer.revenue_info if entry.usage_rate_card is not None]
    return [(slab.order, slab.usage, slab.revenue) for slab in info.slab_revenue_summaries]


def fees(answer: Any) -> list[Decimal]:
    return [
        Decimal(str(entry.fixed_fee_revenue_summary.revenue))
        for entry in answer.revenue_info
        if entry.fixed_fee_rate_card
    ]


def test_given_usage_by_a_plan(shop: Shop) -> None:
    answer = ask(shop)
    assert (answer.currency, answer.usage_lookup_range) == ("USD", None)
    # 10 at 1, and 5 more in two packages of 3.
    assert slabs(answer) == [(1, 10, 10), (2, 5, 10)]
    assert fees(answer) == [31, 0]
    assert answer.price_plan_details.active_currencies == ["USD"]
    (usage, support, _) = answer.revenue_info
    assert usage.usages == {shop.tokens: 15}
    assert usage.slab_revenue_summaries[1].metadata.package_quantity == 2
    assert support.fixed_fee_rate_card.id == shop.support
    assert slabs(ask(shop, usageConfig={"mode": "CUSTOM", "usageMap": {}})) == [(1, 0, 0), (2, 0, 0)]


@pytest.mark.parametrize(("ordinal", "expected"), [(None, [31, 0]), (1, [31, 0]), (2, [31, 7]), (3, [31, 0])])
def test_the_cycle_decides_which_fees_are_due(shop: Shop, ordinal: int | None, expected: list[int]) -> None:
    config = {"mode": "PRICE_PLAN", "pricePlanId": shop.plan, "pricingCycleOrdinal": ordinal}
    assert fees(ask(shop, pricePlanDetailsConfig=config)) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"mode": "CUSTOM", "customConfig": {
            "cycleStartDate": "2024-05-01T00:00:00Z", "cycleEndDate": "2024-06-01T00:00:00Z",
            "currentDate": "2024-05-22T00:00:00Z"}}, 10),
        ({"mode": "CUSTOM", "customConfig": {
            "cycleStartDate": "2024-05-01T00:00:00Z", "cycleEndDate": "2024-06-01T00:00:00Z",
            "currentDate": "2024-05-01T00:00:00Z"}}, 31),
        ({"mode": "LOOKUP_CYCLE", "lookupCycleConfig": {"accountId": "acme"}}, 10),
        ({"mode": "LOOKUP_CYCLE", "lookupCycleConfig": {
            "accountId": "acme", "cycleEffectiveOn": "2024-06-20T00:00:00Z",
            "currentDateTime": "2024-06-16T00:00:00Z"}}, Decimal("15.5")),
    ],
)  # fmt: skip
def test_fees_by_the_day(shop: Shop, config: dict[str, Any], expected: Any) -> None:
    assert fees(ask(shop, prorationConfig=config)) == [expected, 0]


def test_what_an_account_used_is_what_its_invoice_says(shop: Shop) -> None:
    own = {"mode": "ACCOUNT", "accountId": "acme"}
    answer = ask(
        shop,
        currencyConfig={"mode": "ACCOUNT_INVOICE", "accountId": "acme"},
        pricePlanDetailsConfig=own,
        usageConfig={"mode": "LOOKUP_CYCLE", "lookupCycle": {"accountId": "acme"}},
    )
    assert (answer.usage_lookup_range.start, answer.usage_lookup_range.end) == (
        datetime(2024, 5, 1, tzinfo=UTC),
        datetime(2024, 6, 1, tzinfo=UTC),
    )
    # 16 tokens: 10 at 1, and 6 in two packages.
    assert slabs(answer) == [(1, 10, 10), (2, 6, 10)]
    (draft,) = expect(shop.tenant.http.get("/invoices", params={"owner_id": "acme"}), 200)["data"]
    lines = expect(shop.tenant.http.get(f"/invoices/{draft['id']}"), 200)["lines"]
    assert [line["unrounded"] for line in lines] == [20, 31]
    second = ask(shop, pricePlanDetailsConfig={**own, "effectiveOn": "2024-06-15T00:00:00Z"})
    assert fees(second) == [31, 7], "the second cycle of the association"


def test_some_time_of_an_account(shop: Shop) -> None:
    wanted = {"start": "2024-05-05T00:00:00Z", "end": "2024-05-09T10:00:00Z", "accountId": "acme"}
    answer = ask(shop, usageConfig={"mode": "LOOKUP_RANGE", "lookupRange": wanted})
    assert slabs(answer) == [(1, 5, 5), (2, 0, 0)]
    assert answer.usage_lookup_range.end == datetime(2024, 5, 9, 10, tzinfo=UTC)
    idle = ask(shop, usageConfig={"mode": "LOOKUP_RANGE", "lookupRange": {**wanted, "accountId": "idle"}})
    assert slabs(idle) == [(1, 0, 0), (2, 0, 0)]


def test_prices_that_are_not_saved(shop: Shop) -> None:
    bounded = card(shop.tokens, per_unit(0), [2])
    bounded["rateValues"][0]["rateConfig"] = {"maximumRate": "25"}
    details = {**shop.details, "usageRateCards": [bounded], "fixedFeeRateCards": []}
    answer = ask(shop, pricePlanDetailsConfig={"mode": "CUSTOM", "pricePlanDetails": details})
    assert slabs(answer) == [(1, 15, 30), (0, 0, -5)]
    assert answer.revenue_info[0].slab_revenue_summaries[1].metadata.maximum_rate_applied is True
    assert answer.price_plan_details.active_currencies == []
    listed = expect(shop.tenant.http.get("/price_plans"), 200)["data"]
    assert [entry["id"] for entry in listed] == [shop.plan], "nothing is kept"


def _bad(shop: Shop) -> list[tuple[dict[str, Any], str]]:
    gap = [{"order": 1, "startAfter": 3, "priceType": "FLAT"}]
    custom = {"cycleStartDate": "2024-05-01T00:00:00Z", "cycleEndDate": "2024-06-01T00:00:00Z"}
    return [
        ({"currencyConfig": {"mode": "CUSTOM"}}, "currencyConfig.currency"),
        ({"currencyConfig": {"mode": "CUSTOM", "currency": "EUR"}}, "currencyConfig.currency"),
        ({"currencyConfig": {"mode": "ACCOUNT_INVOICE"}}, "currencyConfig.accountId"),
        ({"currencyConfig": {"mode": "ACCOUNT_INVOICE", "accountId": "idle"}}, "EUR"),
        ({"pricePlanDetailsConfig": {"mode": "CUSTOM"}}, "pricePlanDetails"),
        ({"pricePlanDetailsConfig": {"mode": "PRICE_PLAN"}}, "pricePlanId"),
        ({"pricePlanDetailsConfig": {"mode": "ACCOUNT"}}, "accountId"),
        ({"pricePlanDetailsConfig": {"mode": "ACCOUNT", "accountId": "idle"}}, "no price plan"),
        ({"pricePlanDetailsConfig": {"mode": "CUSTOM", "pricePlanDetails": {
            **shop.details, "usageRateCards": [card(shop.tokens, gap, [1])]}}}, "startAfter"),
        ({"pricePlanDetailsConfig": {
            "mode": "PRICE_PLAN", "pricePlanId": shop.plan, "pricingCycleOrdinal": 0}}, "pricingCycleOrdinal"),
        ({"usageConfig": {"mode": "CUSTOM"}}, "usageMap"),
        ({"usageConfig": {"mode": "CUSTOM", "usageMap": {"um.none": 1}}}, "um.none"),
        ({"usageConfig": {"mode": "CUSTOM", "usageMap": {shop.tokens: 1e30}}}, "usageMap"),
        ({"usageConfig": {"mode": "LOOKUP_RANGE"}}, "lookupRange"),
        ({"usageConfig": {"mode": "LOOKUP_RANGE", "lookupRange": {
            "start": "2024-05-05T00:00:00Z", "end": "2024-05-05T00:00:00Z", "accountId": "acme"}}}, "end"),
        ({"usageConfig": {"mode": "LOOKUP_CYCLE"}}, "lookupCycle"),
        ({"usageConfig": {"mode": "LOOKUP_CYCLE", "lookupCycle": {
            "accountId": "acme", "cycleEffectiveOn": "2024-04-30T00:00:00Z"}}}, "no price plan"),
        ({"prorationConfig": {"mode": "CUSTOM"}}, "customConfig"),
        ({"prorationConfig": {"mode": "CUSTOM", "customConfig": {
            **custom, "currentDate": "2024-06-01T00:00:00Z"}}}, "currentDate"),
        ({"prorationConfig": {"mode": "LOOKUP_CYCLE"}}, "lookupCycleConfig"),
        ({"licenseEntriesConfig": None}, "licenseEntriesConfig"),
    ]  # fmt: skip


def test_what_cannot_be_calculated_is_said(shop: Shop, server: Server) -> None:
    for change, word in _bad(shop):
        answer = shop.tenant.http.post("/revenue_calculator", json=request(shop, **change))
        assert answer.status_code == 400, (change, answer.text)
        assert word in answer.json()["message"], (change, answer.text)
    lookup = {"mode": "LOOKUP_CYCLE", "lookupCycle": {"accountId": "none"}}
    for change in (
        {"currencyConfig": {"mode": "ACCOUNT_INVOICE", "accountId": "none"}},
        {"pricePlanDetailsConfig": {"mode": "PRICE_PLAN", "pricePlanId": "pp.none"}},
        {"pricePlanDetailsConfig": {"mode": "ACCOUNT", "accountId": "none"}},
        {"usageConfig": lookup},
    ):
        with pytest.raises(NotFoundException):
            ask(shop, **change)
    stranger = server.workspace()
    with pytest.raises(NotFoundException):
        ask(shop._replace(tenant=stranger))
