"""Fixed fees over the wire: as a plan says them, as an invoice shows and explains them."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.exceptions import BadRequestException
from togai_client.models.create_price_plan_request import CreatePricePlanRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import add_on, card, customer, event, expect, fixed_fee, ingest, meter, per_unit, plan
from tests.http.togai.catalog import schema as make_schema
from tests.http.togai.test_invoices import BROWSER, run_bill, set_clock

CYCLE = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}


def body(*fees: dict[str, Any], **change: Any) -> dict[str, Any]:
    details = {"supportedCurrencies": ["USD"], "pricingCycleConfig": CYCLE, "fixedFeeRateCards": list(fees), **change}
    return {"name": "plan", "type": "BILLING", "pricePlanDetails": details}


def test_a_plan_of_fees_comes_back_as_it_was_sent(tenant: Tenant) -> None:
    ids = [add_on(tenant.http, f"a{n}") for n in range(4)]
    both = [{"currency": "USD", "rate": 9.99}, {"currency": "EUR", "rate": 0}]
    fees = [
        {"id": ids[0], "rateValues": both, "enableProration": True, "name": "seat", "displayName": "Seat", "tag": "t",
         "invoiceTiming": "IN_ADVANCE", "type": "RECURRING", "recurrenceConfig": {"interval": 2, "offset": 1}},
        {"id": ids[1], "rateValues": both, "enableProration": False, "type": "ONE_TIME"},
        {"id": ids[2], "rateValues": both, "enableProration": False, "type": "ONE_TIME",
         "recurrenceConfig": {"offset": 3}},
        {"id": ids[3], "rateValues": both, "enableProration": False},
    ]  # fmt: skip
    api = PricePlansApi(tenant.togai)
    sent = body(*fees, supportedCurrencies=["USD", "EUR"])
    made = api.create_price_plan(CreatePricePlanRequest.from_dict(sent))
    shown = [one.to_dict() for one in made.pricing_schedule[0].price_plan_details.fixed_fee_rate_cards]
    defaults = {"invoiceTiming": "IN_ARREARS", "type": "RECURRING"}
    expected = [{**defaults, **fee} for fee in copy.deepcopy(fees)]
    expected[1]["name"] = f"fixed-fee-{ids[1]}"
    expected[2] |= {"name": f"fixed-fee-{ids[2]}", "recurrenceConfig": {"interval": 1, "offset": 3}}
    expected[3] |= {"name": f"fixed-fee-{ids[3]}", "recurrenceConfig": {"interval": 1, "offset": 0}}
    assert shown == expected
    assert api.get_price_plan(made.id).to_dict() == made.to_dict()


@pytest.fixture(scope="module")
def shop(server: Server) -> tuple[Tenant, dict[str, str]]:
    """One workspace for everything that is refused: no plan is left in it."""
    tenant = server.workspace()
    make_schema(tenant.http)
    ids = {
        "fee": add_on(tenant.http, "fee"),
        "other": add_on(tenant.http, "other"),
        "licence": add_on(tenant.http, "licence", "LICENSE"),
        "gone": add_on(tenant.http, "gone"),
        "meter": meter(tenant.http),
    }
    expect(tenant.http.delete(f"/addons/{ids['gone']}"), 200)
    return tenant, ids


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"id": "addon.none"}, "[0].id: there is no add-on"),
        ({"id": "gone"}, "[0].id: there is no add-on"),
        ({"id": "licence"}, "[0].id: add-on"),
        ({"id": ""}, "fixedFeeRateCards[0].id"),
        ({"id": "x" * 51}, "fixedFeeRateCards[0].id"),
        ({"enableProration": None}, "enableProration"),
        ({"enableProration": "yes"}, "enableProration"),
        ({"invoiceTiming": "PREPAID"}, "fixedFeeRateCards[0].invoiceTiming"),
        ({"invoiceTiming": "LATER"}, "fixedFeeRateCards[0].invoiceTiming"),
        ({"type": "YEARLY"}, "fixedFeeRateCards[0].type"),
        ({"rateValues": []}, "fixedFeeRateCards[0].rateValues"),
        ({"rateValues": [{"currency": "USD", "rate": -1}]}, "fixedFeeRateCards[0].rateValues[0].rate"),
        ({"rateValues": [{"currency": "USD", "rate": 1e-13}]}, "fixedFeeRateCards[0].rateValues[0].rate"),
        ({"rateValues": [{"currency": "EUR", "rate": 1}]}, "fixedFeeRateCards[0].rateValues[0].currency"),
        ({"recurrenceConfig": {"interval": 0}}, "fixedFeeRateCards[0].recurrenceConfig.interval"),
        ({"recurrenceConfig": {"interval": 10**30}}, "fixedFeeRateCards[0].recurrenceConfig.interval"),
        ({"recurrenceConfig": {"offset": -1}}, "fixedFeeRateCards[0].recurrenceConfig.offset"),
        ({"recurrenceConfig": {"interval": 2}, "type": "ONE_TIME"}, "recurrenceConfig.interval"),
        ({"recurrenceConfig": {"every": 2}}, "every"),
        ({"name": ""}, "fixedFeeRateCards[0].name"),
        ({"name": "x" * 51}, "fixedFeeRateCards[0].name"),
        ({"quantity": 2}, "quantity"),
    ],
)
def test_bad_fees_are_refused_by_field(shop: tuple[Tenant, dict[str, str]], change: dict[str, Any], word: str) -> None:
    tenant, ids = shop
    change = {**change, "id": ids.get(change.get("id", "fee"), change.get("id"))}
    answer = tenant.http.post("/price_plans", json=body({**fixed_fee("", 30), **change}))
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    assert tenant.http.get("/price_plans").json()["data"] == []


def test_an_add_on_and_a_name_are_used_once_in_a_plan(shop: tuple[Tenant, dict[str, str]]) -> None:
    tenant, ids = shop
    usage = [{**card(ids["meter"], per_unit(0), [1]), "name": "same"}]
    for wrong, word in (
        (body(fixed_fee(ids["fee"], 1), fixed_fee(ids["fee"], 2)), "fixedFeeRateCards[1].id"),
        (body(fixed_fee(ids["fee"], 1, name="a"), fixed_fee(ids["other"], 2, name="a")), "fixedFeeRateCards[1].name"),
        (body(fixed_fee(ids["fee"], 1, name="same"), usageRateCards=usage), "fixedFeeRateCards[0].name"),
    ):
        answer = tenant.http.post("/price_plans", json=wrong)
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["message"]
    dry = tenant.http.post("/price_plans", params={"dry_run": "true"}, json=body(fixed_fee(ids["fee"], 1)))
    assert expect(dry, 200)["id"] == "pp.dry-run"


def test_an_add_on_that_is_charged_for_cannot_be_archived(tenant: Tenant) -> None:
    identifier = add_on(tenant.http)
    made = plan(tenant.http, [], fees=[fixed_fee(identifier, 5)])
    with pytest.raises(BadRequestException, match=made):
        AddOnsApi(tenant.togai).delete_add_on(identifier)


@pytest.fixture
def billed(server: Server) -> Tenant:
    """From 11 May 2024 on: tokens at a cent, 31 a month in advance, 10 a month in arrears, a setup fee of 50."""
    tenant = server.workspace(clock=datetime(2024, 5, 20, tzinfo=UTC))
    customer(tenant.http)
    make_schema(tenant.http)
    seat, report, setup = (add_on(tenant.http, n, billableName=n.title()) for n in ("seat", "report", "setup"))
    fees = [
        fixed_fee(seat, 31, invoiceTiming="IN_ADVANCE"),
        fixed_fee(report, 10, displayName="Monthly report"),
        fixed_fee(setup, 50, prorated=False, type="ONE_TIME", invoiceTiming="IN_ARREARS"),
    ]
    made = plan(tenant.http, [card(meter(tenant.http), per_unit(0), [0.01])], fees=fees)
    sent = {"pricePlanId": made, "effectiveFrom": "2024-05-11", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=sent), 200)
    ingest(tenant.http, event("e1", "2024-05-12T10:00:00Z", tokens=150))
    return tenant


def tree(tenant: Tenant, invoice: str) -> list[tuple[str, Any]]:
    kinds: list[tuple[str, Any]] = []

    def walk(item: dict[str, Any]) -> None:
        kinds.append((item["type"], item["value"]))
        for inner in item.get("lineItems", ()):
            walk(inner)

    walk(expect(tenant.http.get(f"/invoices/{invoice}", headers=BROWSER), 200)["revenueInfo"])
    return kinds


def test_fees_on_invoices_and_explained(billed: Tenant, server: Server) -> None:
    api = InvoicesApi(billed.togai)
    run_bill(server, billed)
    set_clock(billed, datetime(2024, 6, 4, tzinfo=UTC))
    run_bill(server, billed)
    found = {(i.invoice_type, i.start_date.month): i for i in api.list_invoices().data}
    assert {key: (i.status, i.total_amount) for key, i in found.items()} == {
        ("STANDARD", 5): ("DUE", 58.27),
        ("STANDARD_ADVANCED", 5): ("DUE", 21),
        ("STANDARD", 6): ("DRAFT", 10),
        ("STANDARD_ADVANCED", 6): ("DUE", 31),
    }
    ahead, usage = found["STANDARD_ADVANCED", 5], found["STANDARD", 5]
    assert tree(billed, ahead.id) == [
        ("GRAND_TOTAL_AMOUNT", 21),
        ("TOTAL_AMOUNT", 21),
        ("NET_AMOUNT", 21),
        ("GROSS_AMOUNT", 21),
        ("TOTAL_ADVANCED_FEES", 21),
        ("ADVANCED_FIXED_FEE", 21),
    ]
    assert tree(billed, usage.id)[4:] == [
        ("USAGE_RATE_CARD_AMOUNT", 1.5),
        ("USAGE_RATE_CARD_SLAB_AMOUNT", 1.5),
        ("FIXED_FEE_RATE_CARD_AMOUNT", 6.77),
        ("FIXED_FEE_RATE_CARD_AMOUNT", 50),
    ]
    first = expect(billed.http.get(f"/bursar/v1/invoices/{ahead.id}/lines/1/explain"), 200)
    assert (first["line"]["description"], first["line"]["formula"]) == ("Seat", "fee 31 x 21/31 days = 21")
    assert first["events"] == []
    second = expect(billed.http.get(f"/bursar/v1/invoices/{usage.id}/lines/2/explain"), 200)["line"]
    assert second["type"] == "FIXED_FEE_RATE_CARD"
    assert second["description"] == "Monthly report"
    assert second["formula"] == "fee 10 x 21/31 days = 6.774193548387, rounded toward zero to 2 decimals = 6.77"
    assert {key: second["fee"][key] for key in ("type", "invoiceTiming", "rate", "days", "ofDays", "cycle")} == {
        "type": "RECURRING", "invoiceTiming": "IN_ARREARS", "rate": 10, "days": 21, "ofDays": 31, "cycle": 0,
    }  # fmt: skip
    third = expect(billed.http.get(f"/bursar/v1/invoices/{usage.id}/lines/3/explain"), 200)["line"]
    assert (third["fee"]["type"], third["formula"]) == ("ONE_TIME", "fee 50 = 50")
