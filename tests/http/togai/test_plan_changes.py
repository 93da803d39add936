"""Price plans changed, migrated, archived, with the official client; currencies, which it lacks, by raw HTTP."""

import copy
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.exceptions import BadRequestException, NotFoundException, UnauthorizedException
from togai_client.models.update_price_plan_request import UpdatePricePlanRequest

from tests.conftest import PLAIN, Server, Tenant
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
from tests.http.togai.test_invoices import BROWSER, run_bill, set_clock
from tests.http.togai.test_price_plans import activate, contains

MODES = ["IMMEDIATE", "NEXT_CYCLE"]


def update(api: PricePlansApi, identifier: str, **body: Any) -> Any:
    return api.update_price_plan(identifier, UpdatePricePlanRequest.from_dict(body))


def commitment(rate: Any, currency: str = "USD") -> dict[str, Any]:
    return {"displayName": "Least", "rateValues": [{"currency": currency, "rate": rate}]}


def details(made: Any) -> Any:
    return made.pricing_schedule[0].price_plan_details


@pytest.fixture
def shop(server: Server) -> tuple[Tenant, str, str]:
    """17 May 2024: an account on a plan since the 1st; its meter and its plan."""
    tenant = server.workspace(clock=datetime(2024, 5, 17, 9, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    identifier = meter(tenant.http)
    made = plan(tenant.http, [card(identifier, per_unit(0), [1])], commitment=5)
    associate(tenant, made)
    return tenant, identifier, made


def associate(tenant: Tenant, plan_id: str, account: str = "acme") -> None:
    sent = {"pricePlanId": plan_id, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post(f"/accounts/{account}/price_plans", json=sent), 200)


def schedule(tenant: Tenant) -> list[tuple[str, int]]:
    """When which version holds for the account."""
    found = expect(tenant.http.get("/accounts/acme/pricing_schedules"), 200)["data"]
    return [(entry["startDate"][:10], entry["version"]) for entry in found]


def test_a_draft_is_changed_as_it_stands(tenant: Tenant) -> None:
    schema(tenant.http)
    one, two = meter(tenant.http), meter(tenant.http, "other")
    made = plan(tenant.http, [card(one, per_unit(0), [1])], active=False)
    api = PricePlansApi(tenant.togai)
    first = api.get_price_plan(made)
    sent = {
        "usageRateCards": [card(two, per_unit(0, 10), [2, 1])],
        "minimumCommitment": commitment(7),
        "pricingCycleConfig": {"interval": "WEEKLY", "gracePeriod": 1},
        "fixedFeeRateCards": [fixed_fee(add_on(tenant.http), 3)],
    }
    changed = update(api, made, description="New", pricePlanDetails=copy.deepcopy(sent))
    assert (changed.status, changed.description, changed.pricing_schedule[0].version) == ("DRAFT", "New", 1)
    assert changed.pricing_schedule[0].id == first.pricing_schedule[0].id
    assert contains(details(changed).to_dict(), sent)
    again = update(api, made, pricePlanDetails={"usageRateCards": []})
    assert (details(again).usage_rate_cards, again.description) == ([], "New")
    assert details(again).minimum_commitment.rate_values[0].rate == 7, "what is left out stays"
    assert api.get_price_plan(made).to_dict() == api.get_price_plan(made, version=1).to_dict() == again.to_dict()
    assert activate(api, made, "USD").pricing_schedule[0].version == 1


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (None, [("2024-05-01", 1)]),
        ("NONE", [("2024-05-01", 1)]),
        ("IMMEDIATE", [("2024-05-01", 1), ("2024-05-17", 2)]),
        ("IMMEDIATE_IGNORE_OVERRIDE", [("2024-05-01", 1), ("2024-05-17", 2)]),
        ("NEXT_CYCLE", [("2024-05-01", 1), ("2024-06-01", 2)]),
        ("NEXT_CYCLE_IGNORE_OVERRIDE", [("2024-05-01", 1), ("2024-06-01", 2)]),
    ],
)
def test_a_plan_in_force_gets_a_version(
    shop: tuple[Tenant, str, str], mode: str | None, expected: list[tuple[str, int]]
) -> None:
    tenant, _, made = shop
    api = PricePlansApi(tenant.togai)
    before = api.get_price_plan(made)
    more = {} if mode is None else {"migrationMode": mode}
    changed = update(api, made, pricePlanDetails={"minimumCommitment": commitment(9)}, **more)
    assert (changed.status, changed.pricing_schedule[0].version) == ("ACTIVE", 2)
    assert details(changed).active_currencies == ["USD"]
    assert details(changed).usage_rate_cards == details(before).usage_rate_cards
    assert api.get_price_plan(made, version=1).to_dict() == before.to_dict()
    assert api.get_price_plan(made).to_dict() == changed.to_dict()
    (listed,) = api.get_price_plans().data
    assert listed.version == 2
    assert schedule(tenant) == expected
    customer(tenant.http, "newcomer")
    associate(tenant, made, "newcomer")
    found = expect(tenant.http.get("/accounts/newcomer/pricing_schedules"), 200)["data"]
    assert [entry["version"] for entry in found] == [2]


def test_the_current_cycle_needs_leave(shop: tuple[Tenant, str, str]) -> None:
    tenant, identifier, made = shop
    api = PricePlansApi(tenant.togai)
    change = {"pricePlanDetails": {"minimumCommitment": commitment(9)}, "migrationMode": "START_OF_CURRENT_CYCLE"}
    with pytest.raises(BadRequestException, match="allow_ongoing_cycle_updates"):
        update(api, made, **change)
    assert api.get_price_plan(made).pricing_schedule[0].version == 1
    body = {
        "supportedCurrencies": ["USD"],
        "pricingCycleConfig": {"interval": "MONTHLY", "gracePeriod": 3},
        "usageRateCards": [card(identifier, per_unit(0), [1])],
        "allow_ongoing_cycle_updates": True,
    }
    other = expect(tenant.http.post("/price_plans", json={"name": "open", "pricePlanDetails": body}), 200)["id"]
    activate(api, other, "USD")
    associate(tenant, other)
    update(api, other, **change)
    assert schedule(tenant) == [("2024-05-01", 2)]


def test_all_versions_or_the_latest(shop: tuple[Tenant, str, str]) -> None:
    tenant, _, made = shop
    api = PricePlansApi(tenant.togai)
    update(api, made, pricePlanDetails={"minimumCommitment": commitment(6)})
    latest = {"migrationMode": "NEXT_CYCLE", "versionsToMigrate": "LATEST_VERSION"}
    update(api, made, pricePlanDetails={"minimumCommitment": commitment(7)}, **latest)
    assert schedule(tenant) == [("2024-05-01", 1)]
    everyone = {"migrationMode": "NEXT_CYCLE", "versionsToMigrate": "ALL_VERSION"}
    update(api, made, pricePlanDetails={"minimumCommitment": commitment(8)}, **everyone)
    assert schedule(tenant) == [("2024-05-01", 1), ("2024-06-01", 4)]


def test_a_description_makes_no_version(shop: tuple[Tenant, str, str]) -> None:
    tenant, _, made = shop
    api = PricePlansApi(tenant.togai)
    changed = update(api, made, description="Better words", migrationMode="IMMEDIATE")
    assert (changed.description, changed.pricing_schedule[0].version) == ("Better words", 1)
    assert update(api, made).to_dict() == changed.to_dict()
    assert schedule(tenant) == [("2024-05-01", 1)]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"migrationMode": "LATER"}, "migrationMode"),
        ({"versionsToMigrate": "SOME"}, "versionsToMigrate"),
        ({"description": "x" * 256}, "description"),
        ({"name": "other"}, "name"),
        ({"pricingRules": [{"name": "r"}]}, "pricingRules"),
        ({"pricePlanDetails": {"supportedCurrencies": []}}, "supportedCurrencies"),
        ({"pricePlanDetails": {"supportedCurrencies": ["EUR"]}}, "'USD' is active"),
        ({"pricePlanDetails": {"supportedCurrencies": ["USD", "EUR"]}}, "has no rates in EUR"),
        ({"pricePlanDetails": {"supportedCurrencies": ["USD", "XXQ"]}}, "supportedCurrencies[1]"),
        (
            {"pricePlanDetails": {"usageRateCards": [card("um.none", per_unit(0), [1])]}},
            "usageRateCards[0].usageMeterId",
        ),
        ({"pricePlanDetails": {"fixedFeeRateCards": [fixed_fee("addon.none", 1)]}}, "fixedFeeRateCards[0].id"),
        ({"pricePlanDetails": {"creditGrantRateCards": [{}]}}, "creditGrantRateCards: are not supported yet"),
        ({"pricePlanDetails": {"minimumCommitment": commitment(-1)}}, "minimumCommitment.rateValues[0].rate"),
        ({"pricePlanDetails": {"pricingCycleConfig": {"interval": "DAILY", "gracePeriod": 1}}}, "interval"),
        ({"pricePlanDetails": {"deferredRevenue": True}}, "deferredRevenue"),
    ],
)
def test_bad_changes_are_refused_by_field(shop: tuple[Tenant, str, str], body: dict[str, Any], word: str) -> None:
    tenant, _, made = shop
    answer = tenant.http.patch(f"/price_plans/{made}", json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    assert PricePlansApi(tenant.togai).get_price_plan(made).pricing_schedule[0].version == 1


def test_a_plan_is_archived_when_nobody_is_on_it(shop: tuple[Tenant, str, str]) -> None:
    tenant, identifier, made = shop
    api = PricePlansApi(tenant.togai)
    with pytest.raises(BadRequestException, match="'acme'"):
        api.archive_price_plan(made)
    off = {"mode": "DISASSOCIATE", "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=off), 200)
    assert api.archive_price_plan(made).success is True
    assert api.get_price_plan(made).status == "ARCHIVED"
    assert api.get_price_plans().data == []
    calls: list[Callable[[], object]] = [
        lambda: api.archive_price_plan(made),
        lambda: update(api, made, description="x"),
        lambda: activate(api, made, "USD"),
    ]
    for call in calls:
        with pytest.raises(BadRequestException, match="archived"):
            call()
    assert plan(tenant.http, [card(identifier, per_unit(0), [1])]) != made, "its name is free again"


def test_what_does_not_exist_and_who_may_not(shop: tuple[Tenant, str, str]) -> None:
    tenant, _, made = shop
    api = PricePlansApi(tenant.togai)
    calls: list[Callable[[], object]] = [
        lambda: api.archive_price_plan("pp.none"),
        lambda: update(api, "pp.none", description="x"),
        lambda: update(api, "pp.none", migrationMode="IMMEDIATE"),
    ]
    for call in calls:
        with pytest.raises(NotFoundException):
            call()
    tenant.togai.configuration.access_token = "nobody"
    with pytest.raises(UnauthorizedException):
        update(api, made, description="x")


@pytest.fixture
def priced(tenant: Tenant) -> tuple[Tenant, str, dict[str, Any]]:
    """A plan of everything in dollars, and what it costs in euros."""
    schema(tenant.http)
    identifier, fee = meter(tenant.http), add_on(tenant.http)
    made = plan(tenant.http, [card(identifier, per_unit(0), [1])], commitment=5, fees=[fixed_fee(fee, 3)])
    euros = {
        "currency": "EUR",
        "usageRates": [
            {"usageMeterId": identifier, "slabRates": [{"order": 1, "rate": 0.9}], "rateConfig": {"minimumRate": "2"}}
        ],
        "fixedFeeRates": [{"id": fee, "rate": 2.5}],
        "minimumCommitmentRate": 4.5,
    }
    return tenant, made, euros


def test_a_currency_is_added_activated_and_kept(priced: tuple[Tenant, str, dict[str, Any]]) -> None:
    tenant, made, euros = priced
    path = f"/price_plans/{made}/currencies"
    added = expect(tenant.http.post(path, json=euros), 200)["pricingSchedule"][0]
    assert (added["version"], added["pricePlanDetails"]["activeCurrencies"]) == (1, ["USD"])
    shown = added["pricePlanDetails"]
    assert shown["supportedCurrencies"] == ["USD", "EUR"]
    assert shown["usageRateCards"][0]["rateValues"][1] == {
        "currency": "EUR", "slabRates": [{"order": 1, "rate": 0.9}], "rateConfig": {"minimumRate": "2"},
    }  # fmt: skip
    assert shown["fixedFeeRateCards"][0]["rateValues"][1] == {"currency": "EUR", "rate": 2.5}
    assert shown["minimumCommitment"]["rateValues"][1] == {"currency": "EUR", "rate": 4.5}
    assert "currency: 'EUR'" in expect(tenant.http.post(path, json=euros), 400)["message"]
    removed = expect(tenant.http.delete(f"{path}/EUR"), 200)["pricingSchedule"][0]["pricePlanDetails"]
    assert removed["supportedCurrencies"] == ["USD"]
    expect(tenant.http.delete(f"{path}/EUR"), 404)
    expect(tenant.http.post(path, json=euros), 200)
    api = PricePlansApi(tenant.togai)
    assert sorted(details(activate(api, made, "EUR")).active_currencies) == ["EUR", "USD"]
    assert "EUR is active" in expect(tenant.http.delete(f"{path}/EUR"), 400)["message"]
    assert api.get_price_plan(made).pricing_schedule[0].id == added["id"], "currencies make no version"
    customer(tenant.http, "euro", invoiceCurrency="EUR")
    associate(tenant, made, "euro")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"currency": "XXQ"}, "'XXQ' is not a currency"),
        ({"currency": None}, "currency"),
        ({"usageRates": None}, "usageRates: has no rates of usage meter"),
        ({"usageRates": [{"usageMeterId": "um.none", "slabRates": [{"order": 1, "rate": 1}]}]}, "usageRates: the plan"),
        ({"fixedFeeRates": []}, "fixedFeeRates: has no rates of add-on"),
        ({"fixedFeeRates": [{"id": "addon.none", "rate": 1}]}, "fixedFeeRates: the plan has no"),
        ({"minimumCommitmentRate": None}, "minimumCommitmentRate"),
        ({"minimumCommitmentRate": -1}, "minimumCommitment"),
        ({"licenseRates": [{}]}, "licenseRates"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_currencies_are_refused_by_field(
    priced: tuple[Tenant, str, dict[str, Any]], change: dict[str, Any], word: str
) -> None:
    tenant, made, euros = priced
    answer = tenant.http.post(f"/price_plans/{made}/currencies", json={**euros, **change})
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]


def test_rates_that_do_not_fit_the_slabs(priced: tuple[Tenant, str, dict[str, Any]]) -> None:
    tenant, made, euros = priced
    path = f"/price_plans/{made}/currencies"
    twice = {**euros, "usageRates": euros["usageRates"] * 2}
    assert "usageRates[1].usageMeterId" in expect(tenant.http.post(path, json=twice), 400)["message"]
    twice = {**euros, "fixedFeeRates": euros["fixedFeeRates"] * 2}
    assert "fixedFeeRates[1].id" in expect(tenant.http.post(path, json=twice), 400)["message"]
    euros["usageRates"][0]["slabRates"] = [{"order": 2, "rate": 1}]
    assert "slabRates" in expect(tenant.http.post(path, json=euros), 400)["message"]
    expect(tenant.http.post("/price_plans/pp.none/currencies", json=euros), 404)
    expect(tenant.http.delete("/price_plans/pp.none/currencies/USD"), 404)
    assert "USD is active" in expect(tenant.http.delete(f"{path}/USD"), 400)["message"]


def test_events_that_arrive_while_a_plan_is_edited(shop: tuple[Tenant, str, str], server: Server) -> None:
    """Each event is billed by exactly one version: what the invoices measure is what was sent, and verify agrees."""
    tenant, identifier, _ = shop
    cycle = {"interval": "MONTHLY", "gracePeriod": 30}
    made = plan(tenant.http, [card(identifier, per_unit(0), [1])], name="patient", cycle=cycle, commitment=5)
    associate(tenant, made)
    sent = 0
    done = threading.Event()

    def send() -> None:
        nonlocal sent
        with httpx.Client(
            base_url=tenant.url, headers={"authorization": f"Bearer {tenant.token}"}, verify=PLAIN
        ) as http:
            while not done.is_set():
                some = [
                    event(f"e{sent + n}", f"2024-05-{1 + (sent + n) % 31:02d}T{n % 24:02d}:30:00Z", tokens=3)
                    for n in range(50)
                ]
                ingest(http, *some)
                sent += len(some)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for n in range(8):
            body = {"pricePlanDetails": {"minimumCommitment": commitment(10 + n)}, "migrationMode": MODES[n % 2]}
            expect(tenant.http.patch(f"/price_plans/{made}", json=body), 200)
            set_clock(tenant, datetime(2024, 5, 18 + n, 9, tzinfo=UTC))
    finally:
        done.set()
        thread.join()
    assert sent > 0
    set_clock(tenant, datetime(2024, 7, 10, tzinfo=UTC))
    run_bill(server, tenant)
    may = [i["id"] for i in expect(tenant.http.get("/invoices", params={"status": "DUE"}), 200)["data"]]
    assert len(may) > 3, "a part of the month for each version"
    lines = [expect(tenant.http.get(f"/invoices/{i}", headers=BROWSER), 200)["lines"][0] for i in may]
    assert sum(line["quantity"] for line in lines) == 3 * sent
    assert len({line["priceVersion"]["version"] for line in lines}) > 3
