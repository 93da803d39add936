"""Price plans with the official client, and what it is told when it errs."""

import copy
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.activate_price_plan_request import ActivatePricePlanRequest
from togai_client.models.create_price_plan_request import CreatePricePlanRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, expect, meter, per_unit, schema

CYCLE = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}


@pytest.fixture
def meter_id(tenant: Tenant) -> str:
    schema(tenant.http)
    return meter(tenant.http)


def body(meter_id: str, **change: Any) -> dict[str, Any]:
    details = {
        "supportedCurrencies": ["USD"],
        "pricingCycleConfig": CYCLE,
        "usageRateCards": [card(meter_id, per_unit(0, 1000), [0, 0.01])],
    }
    return {"name": "plan", "type": "BILLING", "pricePlanDetails": {**details, **change}}


def create(api: PricePlansApi, content: dict[str, Any], **options: Any) -> Any:
    return api.create_price_plan(CreatePricePlanRequest.from_dict(content), **options)


def activate(api: PricePlansApi, identifier: str, *currencies: str) -> Any:
    return api.activate_price_plan(identifier, ActivatePricePlanRequest(currencies=list(currencies)))


def refused(call: Any, *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def full(meter_id: str, other: str) -> dict[str, Any]:
    """A plan with everything that can be priced, in two currencies."""
    slabs = [
        {"order": 1, "startAfter": 0, "priceType": "FLAT"},
        {"order": 2, "startAfter": 1000.5, "priceType": "PACKAGE", "slabConfig": {"packageSize": "12.5"}},
        {"order": 3, "startAfter": 5000, "priceType": "PER_UNIT"},
    ]
    bounds = {"minimumRate": "0.0000001", "maximumRate": "1000"}
    rates = [
        {"order": 1, "rate": 9.99},
        {"order": 2, "rate": 0, "slabRateConfig": bounds},
        {"order": 3, "rate": 0.0001},
    ]
    both = ("USD", "EUR")
    cards = [
        {
            "name": "first",
            "displayName": "Tokens",
            "tag": "t",
            "usageMeterId": meter_id,
            "ratePlan": {"pricingModel": "TIERED", "slabs": slabs},
            "rateValues": [{"currency": code, "slabRates": rates} for code in both],
        },
        {
            "name": "second",
            "usageMeterId": other,
            "ratePlan": {"pricingModel": "VOLUME", "slabs": per_unit(0)},
            "rateValues": [
                {"currency": code, "slabRates": [{"order": 1, "rate": 2}], "rateConfig": {"minimumRate": "0.5"}}
                for code in both
            ],
        },
    ]
    details = {
        "supportedCurrencies": list(both),
        "pricingCycleConfig": {
            "interval": "QUARTERLY",
            "startOffset": {"dayOffset": "LAST", "monthOffset": "2"},
            "gracePeriod": 0,
            "anniversaryCycle": False,
        },
        "usageRateCards": cards,
        "minimumCommitment": {
            "displayName": "At least",
            "rateValues": [{"currency": code, "rate": 99.5} for code in both],
        },
        "allow_ongoing_cycle_updates": True,
    }
    return {"name": "full", "type": "BILLING", "description": "All of it", "pricePlanDetails": details}


def contains(given: Any, wanted: Any) -> bool:
    """Whether `given` says all that `wanted` says."""
    if isinstance(wanted, dict):
        return all(contains(given.get(key), value) for key, value in wanted.items() if value is not False)
    if isinstance(wanted, list):
        return len(given) == len(wanted) and all(map(contains, given, wanted))
    return bool(given == wanted)


def test_a_plan_comes_back_as_it_was_sent(tenant: Tenant, meter_id: str) -> None:
    api = PricePlansApi(tenant.togai)
    sent = full(meter_id, meter(tenant.http, "other"))
    made = create(api, sent)
    assert made.id.startswith("pp.")
    assert (made.name, made.type, made.status, made.description) == ("full", "BILLING", "DRAFT", "All of it")
    (schedule,) = made.pricing_schedule
    assert schedule.id.startswith("sch.")
    assert (schedule.version, schedule.is_overriden) == (1, False)
    assert (schedule.start_date, schedule.end_date) == (
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 1, 1, tzinfo=UTC),
    )
    details = schedule.price_plan_details
    assert contains(details.to_dict(), sent["pricePlanDetails"]), details.to_dict()
    assert (details.active_currencies, details.type) == ([], "BILLING")
    assert api.get_price_plan(made.id).to_dict() == made.to_dict()
    assert api.get_price_plan(made.id, version=1).to_dict() == made.to_dict()


def test_numbers_keep_every_digit(tenant: Tenant, meter_id: str) -> None:
    content = body(meter_id)
    text = json.dumps(content).replace("0.01", "12345678901234567890.123456789012").replace("1000", "1E+3")
    identifier = expect(tenant.http.post("/price_plans", content=text), 200)["id"]
    shown = json.loads(tenant.http.get(f"/price_plans/{identifier}").text, parse_float=Decimal)
    shown_card = shown["pricingSchedule"][0]["pricePlanDetails"]["usageRateCards"][0]
    assert shown_card["rateValues"][0]["slabRates"][1]["rate"] == Decimal("12345678901234567890.123456789012")
    assert shown_card["ratePlan"]["slabs"][1]["startAfter"] == 1000


def test_a_card_without_a_name_gets_one(tenant: Tenant, meter_id: str) -> None:
    made = create(PricePlansApi(tenant.togai), body(meter_id))
    assert 1 <= len(made.pricing_schedule[0].price_plan_details.usage_rate_cards[0].name) <= 50


@pytest.mark.parametrize(
    ("cycle", "offset"),
    [
        ({"interval": "WEEKLY", "gracePeriod": 1}, ("1", "NIL")),
        ({"interval": "MONTHLY", "gracePeriod": 1, "startOffset": {"dayOffset": "31"}}, ("31", "NIL")),
        ({"interval": "ANNUALLY", "gracePeriod": 1, "startOffset": {"dayOffset": "29", "monthOffset": "2"}},
         ("29", "2")),
        ({"interval": "HALF_YEARLY", "gracePeriod": 1, "anniversaryCycle": True}, None),
    ],
)  # fmt: skip
def test_cycles_that_are_taken(
    tenant: Tenant, meter_id: str, cycle: dict[str, Any], offset: tuple[str, str] | None
) -> None:
    made = expect(tenant.http.post("/price_plans", json=body(meter_id, pricingCycleConfig=cycle)), 200)
    read = PricePlansApi(tenant.togai).get_price_plan(made["id"])
    config = read.pricing_schedule[0].price_plan_details.pricing_cycle_config
    assert (config.interval, config.grace_period, bool(config.anniversary_cycle)) == (
        cycle["interval"], 1, cycle.get("anniversaryCycle", False),
    )  # fmt: skip
    start = config.start_offset
    assert (None if start is None else (start.day_offset, start.month_offset)) == offset


def test_currencies_are_activated_one_by_one(tenant: Tenant, meter_id: str) -> None:
    api = PricePlansApi(tenant.togai)
    made = create(api, full(meter_id, meter(tenant.http, "other")))
    refused(lambda: activate(api, made.id, "USD", "JPY"), "currencies[1]", "JPY")
    refused(lambda: activate(api, made.id), "currencies")
    assert api.get_price_plan(made.id).status == "DRAFT"
    first = activate(api, made.id, "EUR")
    assert (first.status, first.pricing_schedule[0].price_plan_details.active_currencies) == ("ACTIVE", ["EUR"])
    assert activate(api, made.id, "EUR", "EUR").to_dict() == first.to_dict()
    both = activate(api, made.id, "USD")
    assert sorted(both.pricing_schedule[0].price_plan_details.active_currencies) == ["EUR", "USD"]
    assert both.pricing_schedule[0].id == made.pricing_schedule[0].id


def test_a_dry_run_makes_nothing(tenant: Tenant, meter_id: str) -> None:
    api = PricePlansApi(tenant.togai)
    tried = create(api, body(meter_id), dry_run=True)
    assert (tried.name, tried.status, tried.pricing_schedule[0].version) == ("plan", "DRAFT", 1)
    assert api.get_price_plans().data == []
    with pytest.raises(NotFoundException):
        api.get_price_plan(tried.id)
    refused(lambda: create(api, body(meter_id, supportedCurrencies=["XXQ"]), dry_run=True), "XXQ")
    assert create(api, body(meter_id), dry_run=False).id != tried.id
    refused(lambda: create(api, body(meter_id), dry_run=True), "name", "plan")


def test_plans_are_listed_in_pages(tenant: Tenant, meter_id: str) -> None:
    api = PricePlansApi(tenant.togai)
    made = [create(api, {**body(meter_id), "name": f"p{index}"}) for index in range(5)]
    activate(api, made[1].id, "USD")
    first = api.get_price_plans(page_size=2)
    second = api.get_price_plans(next_token=first.next_token)
    last = api.get_price_plans(next_token=second.next_token)
    listed = [entry for page in (first, second, last) for entry in page.data]
    assert [entry.id for entry in listed] == [plan.id for plan in made]
    assert last.next_token is None
    entry = listed[1]
    assert (entry.version, entry.status, entry.type, entry.usage_meters) == (1, "ACTIVE", "BILLING", [meter_id])
    assert entry.price_plan_details.active_currencies == ["USD"]
    for token in ("x", first.next_token[:-3]):
        refused(lambda token=token: api.get_price_plans(next_token=token), "nextToken")


def test_what_does_not_exist_is_not_found(server: Server, tenant: Tenant, meter_id: str) -> None:
    stranger = server.workspace()
    made = create(PricePlansApi(tenant.togai), body(meter_id))
    for api, identifier in ((PricePlansApi(tenant.togai), "pp.none"), (PricePlansApi(stranger.togai), made.id)):
        with pytest.raises(NotFoundException):
            api.get_price_plan(identifier)
        with pytest.raises(NotFoundException):
            activate(api, identifier, "USD")
    with pytest.raises(NotFoundException):
        PricePlansApi(tenant.togai).get_price_plan(made.id, version=2)
    assert PricePlansApi(stranger.togai).get_price_plans().data == []
    refused(lambda: create(PricePlansApi(stranger.togai), body(meter_id)), "usageRateCards[0].usageMeterId", meter_id)
    refused(lambda: create(PricePlansApi(tenant.togai), body(meter_id)), "name", "plan")


CARD = "usageRateCards.0"
SLAB = f"{CARD}.ratePlan.slabs"
RATE = f"{CARD}.rateValues.0"
PACKAGE = {"order": 1, "startAfter": 0, "priceType": "PACKAGE"}
BAD: list[tuple[str, Any, str]] = [
    ("supportedCurrencies", None, "supportedCurrencies"),
    ("supportedCurrencies", [], "supportedCurrencies"),
    ("supportedCurrencies", ["USD", "USD"], "supportedCurrencies"),
    ("supportedCurrencies", ["usd"], "supportedCurrencies[0]"),
    ("supportedCurrencies", ["USD", "XXQ"], "supportedCurrencies[1]: 'XXQ'"),
    ("supportedCurrencies", ["EUR"], "usageRateCards[0].rateValues[0].currency"),
    ("supportedCurrencies", ["USD", "EUR"], "usageRateCards[0].rateValues: has no rates in EUR"),
    ("supportedCurrencies", ["x" * 11], "supportedCurrencies[0]"),
    ("pricingCycleConfig", None, "pricingCycleConfig"),
    ("pricingCycleConfig.interval", "DAILY", "pricingCycleConfig.interval"),
    ("pricingCycleConfig.gracePeriod", -1, "pricingCycleConfig.gracePeriod"),
    ("pricingCycleConfig.gracePeriod", 1.5, "pricingCycleConfig.gracePeriod"),
    ("pricingCycleConfig.gracePeriod", "3", "pricingCycleConfig.gracePeriod"),
    ("pricingCycleConfig.gracePeriod", 10**30, "gracePeriod"),
    ("pricingCycleConfig.startOffset.dayOffset", "32", "pricingCycleConfig.startOffset.dayOffset"),
    ("pricingCycleConfig.startOffset.dayOffset", 1, "pricingCycleConfig.startOffset.dayOffset"),
    ("pricingCycleConfig.startOffset.monthOffset", "2", "pricingCycleConfig.startOffset.monthOffset"),
    ("pricingCycleConfig.anniversaryCycle", True, "pricingCycleConfig.startOffset"),
    ("usageRateCards", None, "needs at least one rate card"),
    ("usageRateCards", [], "needs at least one rate card"),
    (f"{CARD}.usageMeterId", "um.none", "usageRateCards[0].usageMeterId"),
    (f"{CARD}.usageMeterId", "x" * 51, "usageRateCards[0].usageMeterId"),
    (f"{CARD}.name", "x" * 51, "usageRateCards[0].name"),
    (f"{CARD}.ratePlan.pricingModel", "GRADUATED", "usageRateCards[0].ratePlan.pricingModel"),
    (SLAB, [], "usageRateCards[0].ratePlan.slabs"),
    (f"{SLAB}.0.startAfter", 1, "pricePlanDetails.usageRateCards[0].ratePlan.slabs[0].startAfter"),
    (f"{SLAB}.0.startAfter", "none", "pricePlanDetails.usageRateCards[0].ratePlan.slabs[0].startAfter"),
    (f"{SLAB}.1.startAfter", 0, "pricePlanDetails.usageRateCards[0].ratePlan.slabs[1].startAfter"),
    (f"{SLAB}.1.startAfter", -5, "usageRateCards[0].ratePlan.slabs[1].startAfter"),
    (f"{SLAB}.1.startAfter", 1e30, "usageRateCards[0].ratePlan.slabs[1].startAfter"),
    (f"{SLAB}.1.startAfter", float("nan"), "JSON"),
    (f"{SLAB}.1.startAfter", float("inf"), "JSON"),
    (f"{SLAB}.1.order", 3, "usageRateCards[0].ratePlan.slabs[1].order"),
    (f"{SLAB}.1.order", 11, "usageRateCards[0].ratePlan.slabs[1].order"),
    (f"{SLAB}.1.order", True, "usageRateCards[0].ratePlan.slabs[1].order"),
    (f"{SLAB}.1.priceType", "STEP", "usageRateCards[0].ratePlan.slabs[1].priceType"),
    (f"{SLAB}.0", PACKAGE, "usageRateCards[0].ratePlan.slabs[0].slabConfig"),
    (f"{SLAB}.0.slabConfig", {"packageSize": "5"}, "usageRateCards[0].ratePlan.slabs[0].slabConfig"),
    (f"{SLAB}.0.slabConfig", {"size": "5"}, "'size'"),
    *((f"{SLAB}.0", {**PACKAGE, "slabConfig": {"packageSize": size}}, "slabs[0].slabConfig.packageSize")
      for size in ("0", "-1", "", "ten", "NaN", "sNaN", "Infinity", "1e3", "1_000", " 1", "\u0661", "9" * 27,
                   "0.0000000000001", "9" * 100)),
    (f"{SLAB}.0.slabConfig", {"packageSize": "9" * 101}, "slabs[0].slabConfig"),
    (f"{SLAB}.0.slabConfig", {"k" * 51: "9"}, "slabs[0].slabConfig"),
    (f"{SLAB}.0", {**PACKAGE, "slabConfig": {"packageSize": 5}}, "usageRateCards[0].ratePlan.slabs[0].slabConfig"),
    (f"{RATE}.currency", "EUR", "usageRateCards[0].rateValues[0].currency"),
    (f"{RATE}.rateConfig", {"minimumRate": "-5"}, "usageRateCards[0].rateValues[0].rateConfig.minimumRate"),
    (f"{RATE}.rateConfig", {"maximumRate": "NaN"}, "usageRateCards[0].rateValues[0].rateConfig.maximumRate"),
    (f"{RATE}.rateConfig", {"minimumRate": "2", "maximumRate": "1"}, "rateValues[0].rateConfig: minimumRate"),
    (f"{RATE}.rateConfig", {"floor": "2"}, "rateValues[0].rateConfig: has no 'floor'"),
    (f"{RATE}.rateConfig", {"minimumRate": 5}, "usageRateCards[0].rateValues[0].rateConfig"),
    (f"{RATE}.slabRates", [], "usageRateCards[0].rateValues[0].slabRates"),
    (f"{RATE}.slabRates", [{"order": 1, "rate": 1}], "usageRateCards[0].rateValues[0].slabRates"),
    (f"{RATE}.slabRates.1.order", 1, "usageRateCards[0].rateValues[0].slabRates"),
    (f"{RATE}.slabRates.1.rate", -0.01, "usageRateCards[0].rateValues[0].slabRates[1].rate"),
    (f"{RATE}.slabRates.1.rate", "NaN", "usageRateCards[0].rateValues[0].slabRates[1].rate"),
    (f"{RATE}.slabRates.1.rate", 1e-13, "usageRateCards[0].rateValues[0].slabRates[1].rate"),
    (f"{RATE}.slabRates.1.slabRateConfig", {"minimumRate": "2", "maximumRate": "1"}, "slabRates[1].slabRateConfig"),
    (f"{RATE}.slabRates.1.slabRateConfig", {"minimumRate": "-2"}, "slabRates[1].slabRateConfig.minimumRate"),
    (f"{RATE}.slabRates.1.slabRateConfig", {"cap": "1"}, "'cap'"),
    ("minimumCommitment", {"displayName": "c", "rateValues": []}, "minimumCommitment.rateValues"),
    ("minimumCommitment", {"displayName": "c", "rateValues": [{"currency": "EUR", "rate": 1}]},
     "minimumCommitment.rateValues[0].currency"),
    ("minimumCommitment", {"displayName": "c", "rateValues": [{"currency": "USD", "rate": -1}]},
     "minimumCommitment.rateValues[0].rate"),
    ("deferredRevenue", "yes", "deferredRevenue"),
    *((name, [{"id": "x"}], f"{name}: are not supported yet")
      for name in ("creditGrantRateCards",
                   "entitlementOverageRateCards")),
    ("surprise", 1, "surprise"),
]  # fmt: skip


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    result = copy.deepcopy(content)
    *parents, last = path.split(".")
    place: Any = result["pricePlanDetails"]
    for step in parents:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return result


@pytest.fixture(scope="module")
def shop(server: Server) -> tuple[Tenant, str]:
    """One workspace for everything that is refused: nothing is left in it."""
    tenant = server.workspace()
    schema(tenant.http)
    return tenant, meter(tenant.http)


@pytest.mark.parametrize(("path", "value", "word"), BAD)
def test_bad_plans_are_refused_by_field(shop: tuple[Tenant, str], path: str, value: Any, word: str) -> None:
    tenant, meter_id = shop
    answer = tenant.http.post("/price_plans", content=json.dumps(changed(body(meter_id), path, value)))
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["message"]
    assert word in answer.json()["message"]
    assert tenant.http.get("/price_plans").json()["data"] == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "a\x00"}, "NUL"),
        ({"description": "x" * 256}, "description"),
        ({"type": "GIFT"}, "type"),
        ({"type": "PURCHASE"}, "pricingCycleConfig"),
        ({"pricingRules": [{"name": "r", "order": 1, "computation": "1", "action": {}}]}, "pricingRules"),
        ({"pricePlanDetails": None}, "pricePlanDetails"),
        ({"pricePlanDetails": []}, "pricePlanDetails"),
        ({"status": "ACTIVE"}, "status"),
    ],
)
def test_bad_heads_are_refused_by_field(shop: tuple[Tenant, str], change: dict[str, Any], word: str) -> None:
    tenant, meter_id = shop
    answer = tenant.http.post("/price_plans", json={**body(meter_id), **change})
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    assert tenant.http.get("/price_plans").json()["data"] == []


@pytest.mark.parametrize("cards", [2, 3])
def test_a_meter_is_priced_once_in_a_plan(shop: tuple[Tenant, str], cards: int) -> None:
    tenant, meter_id = shop
    same = [{**card(meter_id, per_unit(0), [1]), "name": f"c{index}"} for index in range(cards)]
    answer = tenant.http.post("/price_plans", json=body(meter_id, usageRateCards=same))
    assert answer.status_code == 400
    assert "usageRateCards[1].usageMeterId" in answer.json()["message"]
