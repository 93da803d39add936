"""Price plans of an account with the official client, and what it is told when it errs."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.edit_pricing_schedule_request import EditPricingScheduleRequest
from togai_client.models.update_pricing_schedule_request_with_actions import UpdatePricingScheduleRequestWithActions

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, meter, per_unit, plan, schema

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@pytest.fixture
def shop(server: Server) -> tuple[Tenant, str, str]:
    """A sandbox on 10 May 2024 with an account and two plans."""
    tenant = server.workspace(clock=datetime(2024, 5, 10, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    cards = [card(meter(tenant.http), per_unit(0), [1])]
    return tenant, plan(tenant.http, cards, name="one"), plan(tenant.http, cards, name="two")


def change(tenant: Tenant, plan_id: str | None, start: str, end: str, mode: str | None = None, **more: Any) -> Any:
    body = {"mode": mode, "pricePlanId": plan_id, "effectiveFrom": start, "effectiveUntil": end, **more}
    request = UpdatePricingScheduleRequestWithActions.from_dict({k: v for k, v in body.items() if v is not None})
    return AccountsApi(tenant.togai).update_pricing_schedule("acme", request)


def spans(schedules: Any) -> list[tuple[str, date, date]]:
    return [(s.price_plan_name, s.start_date.date(), s.end_date.date()) for s in schedules]


def test_associate_and_disassociate(shop: tuple[Tenant, str, str]) -> None:
    tenant, one, two = shop
    made = change(tenant, one, "2024-05-01", "9999-01-01", "ASSOCIATE")
    assert (made.account_id, made.account_name) == ("acme", "ACME")
    assert made.pricing_schedules[0].id.startswith("sch.")
    assert made.pricing_schedules[0].price_plan_id == one
    assert made.pricing_schedules[0].end_date == FOREVER
    split = change(tenant, two, "2024-05-20", "2024-06-10")
    assert spans(split.pricing_schedules) == [
        ("one", date(2024, 5, 1), date(2024, 5, 20)),
        ("two", date(2024, 5, 20), date(2024, 6, 10)),
        ("one", date(2024, 6, 10), date(9999, 1, 1)),
    ]
    trimmed = change(tenant, None, "2024-06-01", "9999-01-01", "DISASSOCIATE")
    assert spans(trimmed.pricing_schedules) == [
        ("one", date(2024, 5, 1), date(2024, 5, 20)),
        ("two", date(2024, 5, 20), date(2024, 6, 1)),
    ]
    listed = AccountsApi(tenant.togai).get_pricing_schedules("acme", include_price_plan_info=True)
    assert spans(listed.data) == spans(trimmed.pricing_schedules)
    first = listed.data[0]
    assert (first.version, first.is_overriden, first.price_plan_id) == (1, False, one)
    assert first.price_plan_info.name == "one"
    assert first.price_plan_details.active_currencies == ["USD"]
    assert first.price_plan_details.pricing_cycle_config.interval == "MONTHLY"


def test_list_by_dates_compact_and_in_pages(shop: tuple[Tenant, str, str]) -> None:
    tenant, one, _ = shop
    api = AccountsApi(tenant.togai)
    for month in (5, 6, 7):
        change(tenant, one, f"2024-{month:02}-01", f"2024-{month:02}-20")
    found = api.get_pricing_schedules(
        "acme", start_date="2024-05-20T00:00:00.000000", end_date="2024-07-01T00:00:00", compact=True
    )
    assert spans(found.data) == [("one", date(2024, 6, 1), date(2024, 6, 20))]
    assert found.data[0].price_plan_details is None
    assert found.data[0].price_plan_info is None
    page = api.get_pricing_schedules("acme", page_size=2)
    rest = api.get_pricing_schedules("acme", next_token=page.next_token)
    assert [s.start_date.month for s in (*page.data, *rest.data)] == [5, 6, 7]
    assert rest.next_token is None
    assert api.get_pricing_schedules("acme", end_date="2024-01-01").data == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["effectiveFrom"]),
        ({"effectiveFrom": "2024-05-01", "effectiveUntil": "2024-05-01"}, ["effectiveUntil", "later"]),
        ({"effectiveFrom": "2024-05-02", "effectiveUntil": "2024-05-01"}, ["effectiveUntil", "later"]),
        ({"effectiveFrom": "2024-13-01"}, ["effectiveFrom"]),
        ({"effectiveFrom": "2024-05-01T00:00:00Z"}, ["effectiveFrom"]),
        ({"effectiveFrom": 5}, ["effectiveFrom"]),
        ({"mode": "MAYBE"}, ["mode"]),
        ({"pricePlanId": None}, ["pricePlanId", "required"]),
        ({"pricePlanId": "x" * 51}, ["pricePlanId"]),
        ({"pricePlanDetailsOverride": {"supportedCurrencies": ["EUR"]}}, ["pricePlanDetailsOverride", "'EUR'"]),
        ({"pricePlanDetailsOverride": {"supportedCurrencies": []}}, ["pricePlanDetailsOverride"]),
        ({"pricePlanDetailsOverride": {"surprise": 1}}, ["pricePlanDetailsOverride", "surprise"]),
        ({"pricePlanDetailsOverride": {"usageRateCards": []}}, ["pricePlanDetailsOverride"]),
        (
            {"pricePlanDetailsOverride": {"creditGrantRateCards": [{}]}},
            ["pricePlanDetailsOverride.creditGrantRateCards[0]", "'id'"],
        ),
        (
            {"pricePlanDetailsOverride": {"usageRateCards": [card("um.none", per_unit(0), [1])]}},
            ["pricePlanDetailsOverride.usageRateCards[0].usageMeterId", "um.none"],
        ),
        ({"mode": "DISASSOCIATE", "pricePlanDetailsOverride": {"supportedCurrencies": ["USD"]}}, ["left out"]),
        ({"pricingRulesOverride": [{"name": "x"}]}, ["pricingRulesOverride[0]", "order"]),
        ({"preActions": [{"type": "GRANT_LICENSE"}]}, ["preActions[0].config.licenseId", "is required"]),
        ({"retainStartOffsets": "yes"}, ["retainStartOffsets"]),
        ({"retainStartOffsets": True}, ["retainStartOffsets", "no price plan"]),
        ({"surprise": 1}, ["surprise"]),
    ],
)
def test_bad_bodies(shop: tuple[Tenant, str, str], body: dict[str, Any], words: list[str]) -> None:
    tenant, one, _ = shop
    whole = {"pricePlanId": one, "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01", **body}
    sent = {} if not body else {key: value for key, value in whole.items() if value is not None}
    answer = tenant.http.post("/accounts/acme/price_plans", json=sent)
    assert answer.status_code == 400, answer.text
    for word in words:
        assert word in answer.json()["message"]
    assert tenant.http.get("/accounts/acme/pricing_schedules").json()["data"] == [], "nothing half-written"


@pytest.mark.parametrize(
    "query",
    [
        "start_date=yesterday",
        "end_date=%00",
        "start_date=2024-05-02&end_date=2024-05-01",
        "pageSize=0",
        "pageSize=101",
        "nextToken=x",
        "compact=maybe",
    ],
)
def test_bad_queries(shop: tuple[Tenant, str, str], query: str) -> None:
    answer = shop[0].http.get(f"/accounts/acme/pricing_schedules?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]


def test_plans_that_cannot_be_associated(shop: tuple[Tenant, str, str]) -> None:
    tenant, _, _ = shop
    cards = [card(meter(tenant.http, "other"), per_unit(0), [1])]
    draft = plan(tenant.http, cards, name="draft", active=False)
    with pytest.raises(BadRequestException, match="DRAFT"):
        change(tenant, draft, "2024-05-01", "2024-06-01")
    with pytest.raises(NotFoundException):
        change(tenant, "pp.unknown", "2024-05-01", "2024-06-01")


def edits(tenant: Tenant, *entries: dict[str, Any], dry_run: bool | None = None) -> Any:
    request = EditPricingScheduleRequest.from_dict({"edits": list(entries)})
    return AccountsApi(tenant.togai).update_pricing_schedule_batch("acme", request, dry_run=dry_run)


def test_an_override_by_the_client(shop: tuple[Tenant, str, str]) -> None:
    tenant, one, _ = shop
    override = {
        "pricingCycleConfig": {
            "interval": "WEEKLY", "startOffset": {"dayOffset": "3", "monthOffset": "NIL"}, "gracePeriod": 5,
        },
        "minimumCommitment": {"displayName": "Floor", "rateValues": [{"currency": "USD", "rate": 12.5}]},
    }  # fmt: skip
    made = change(tenant, one, "2024-05-01", "9999-01-01", pricePlanDetailsOverride=override)
    shown = made.pricing_schedules[0].price_plan_details_override
    assert shown.minimum_commitment.rate_values[0].rate == 12.5
    assert (shown.pricing_cycle_config.interval, shown.usage_rate_cards) == ("WEEKLY", None)
    listed = AccountsApi(tenant.togai).get_pricing_schedules("acme").data[0]
    assert listed.is_overriden is True
    assert listed.price_plan_details.pricing_cycle_config.grace_period == 5
    assert listed.price_plan_details.minimum_commitment.display_name == "Floor"
    assert len(listed.price_plan_details.usage_rate_cards) == 1, "what is not overridden is the plan's"
    assert PricePlansApi(tenant.togai).get_price_plan(one).pricing_schedule[0].is_overriden is False
    plain = change(tenant, one, "2024-06-01", "9999-01-01").pricing_schedules
    assert [s.price_plan_details_override is None for s in plain] == [False, True]


def test_edits_by_the_client_tried_and_made(shop: tuple[Tenant, str, str]) -> None:
    tenant, one, two = shop
    entries: list[dict[str, Any]] = [
        {"mode": "ASSOCIATE", "pricePlanId": one, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"},
        {"pricePlanId": two, "effectiveFrom": "2024-06-01", "effectiveUntil": "2024-07-01"},
        {"mode": "DISASSOCIATE", "effectiveFrom": "2024-08-01", "effectiveUntil": "9999-01-01"},
    ]
    expected = [
        ("one", date(2024, 5, 1), date(2024, 6, 1)),
        ("two", date(2024, 6, 1), date(2024, 7, 1)),
        ("one", date(2024, 7, 1), date(2024, 8, 1)),
    ]
    would = edits(tenant, *entries, dry_run=True)
    assert spans(would.pricing_schedules) == expected
    assert {s.id for s in would.pricing_schedules} == {"sch.dry-run"}
    api = AccountsApi(tenant.togai)
    assert api.get_pricing_schedules("acme").data == []
    made = edits(tenant, *entries)
    assert spans(made.pricing_schedules) == expected
    assert [s.id for s in api.get_pricing_schedules("acme").data] == [s.id for s in made.pricing_schedules]
    with pytest.raises(BadRequestException, match=r"edits\[1\]\.effectiveUntil"):
        edits(tenant, entries[0], {**entries[1], "effectiveUntil": "2024-06-01"})
    with pytest.raises(NotFoundException):
        edits(tenant, {**entries[0], "pricePlanId": "pp.unknown"})
    bodies: list[Any] = [{}, {"edits": []}, {"edits": entries * 4}, {"edits": [{}]}, {"edits": entries, "more": 1}]
    for body in bodies:
        assert tenant.http.post("/accounts/acme/edit_schedules", json=body).status_code == 400
    assert tenant.http.post("/accounts/nobody/edit_schedules", json={"edits": entries}).status_code == 404


def test_unknown_accounts_and_other_workspaces(shop: tuple[Tenant, str, str], server: Server) -> None:
    tenant, one, _ = shop
    stranger = server.workspace()
    body = {"pricePlanId": one, "effectiveFrom": "2024-05-01", "effectiveUntil": "2024-06-01"}
    assert tenant.http.post("/accounts/nobody/price_plans", json=body).status_code == 404
    assert tenant.http.get("/accounts/nobody/pricing_schedules").status_code == 404
    customer(stranger.http, "theirs")
    assert stranger.http.post("/accounts/acme/price_plans", json=body).status_code == 404
    assert stranger.http.post("/accounts/theirs/price_plans", json=body).status_code == 404
    assert stranger.http.get("/accounts/acme/pricing_schedules").status_code == 404
    assert tenant.http.get("/accounts/acme/pricing_schedules", headers={"authorization": "x"}).status_code == 401
