"""Licences over the wire: as updates say them, as plans price them, as invoices show and explain them."""

import asyncio
import copy
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from togai_client.api.licenses_api import LicensesApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.create_price_plan_request import CreatePricePlanRequest
from togai_client.models.license_entry_details_update_request import LicenseEntryDetailsUpdateRequest
from togai_client.models.license_update_request import LicenseUpdateRequest

from bursar.usage.verify import CHECKS
from tests.conftest import PLAIN, Server, Tenant
from tests.http.togai.catalog import (
    add_on,
    card,
    customer,
    event,
    expect,
    ingest,
    meter,
    per_unit,
    plan,
    schema,
    status_of,
)
from tests.http.togai.test_fixed_fees import body
from tests.http.togai.test_invoices import BROWSER, run_bill, set_clock

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)


def day(number: int, month: int = 5) -> datetime:
    return datetime(2024, month, number, tzinfo=UTC)


def seat_card(identifier: str, rate: Any = 10, **more: Any) -> dict[str, Any]:
    rates = [{"currency": "USD", "slabRates": [{"order": 1, "rate": rate}]}]
    rate_plan = {"pricingModel": "TIERED", "slabs": per_unit(0)}
    return {"id": identifier, "enableProration": True, "ratePlan": rate_plan, "rateValues": rates, **more}


@pytest.fixture(scope="module")
def shop(server: Server) -> tuple[Tenant, str]:
    """A workspace with an account `acme` and seats."""
    tenant = server.workspace(clock=NOW)
    customer(tenant.http, aliases=["acme-alias"])
    return tenant, add_on(tenant.http, "Seats", "LICENSE")


def update(tenant: Tenant, license_id: str, quantity: Any, kind: str = "ABSOLUTE", **more: Any) -> Any:
    sent = {"licenseId": license_id, "accountId": "acme", "updateType": kind, "quantity": quantity, **more}
    return LicensesApi(tenant.togai).add_license_update_entry(LicenseUpdateRequest.from_dict(sent))


def refused(call: Callable[[], object], *words: str, status: type[Exception] = BadRequestException) -> None:
    with pytest.raises(status) as caught:
        call()
    for word in words:
        assert word in str(caught.value.body), caught.value.body  # type: ignore[attr-defined]


def test_updates_are_absolute_in_answers(tenant: Tenant) -> None:
    customer(tenant.http, aliases=["acme-alias"])
    seats, other = add_on(tenant.http, "Seats", "LICENSE"), add_on(tenant.http, "Other", "LICENSE")
    api = LicensesApi(tenant.togai)
    made = update(tenant, seats, 5, effectiveFrom="2024-05-01T00:00:00Z", metadata={"order": "7"})
    assert (made.license_id, made.account_id, made.quantity, made.effective_from, made.metadata) == (
        seats, "acme", 5, day(1), {"order": "7"},
    )  # fmt: skip
    assert update(tenant, seats, 2, "RELATIVE", effectiveFrom="2024-05-05T00:00:00Z").quantity == 7
    assert update(tenant, seats, -0.5, "RELATIVE", effectiveFrom="2024-05-03T00:00:00Z").quantity == 4.5
    by_alias = {"licenseId": other, "accountId": "acme-alias", "updateType": "RELATIVE", "quantity": 1}
    assert api.add_license_update_entry(LicenseUpdateRequest.from_dict(by_alias)).account_id == "acme"
    found = api.get_license_updates(account_id="acme", license_id=seats).data
    assert [(one.quantity, one.effective_from.day) for one in found] == [(4.5, 3), (6.5, 5), (5, 1)]
    found = api.get_license_updates(license_id=seats, effective_from=day(3)).data
    assert [one.effective_from.day for one in found] == [3, 5]
    first = api.get_license_updates(page_size=3)
    second = api.get_license_updates(next_token=first.next_token)
    assert [one.license_id for one in [*first.data, *second.data]] == [other, seats, seats, seats]
    assert second.next_token is None
    assert api.get_license_updates(account_id="nobody").data == []


def test_details_by_either_spelling_of_the_path(shop: tuple[Tenant, str]) -> None:
    tenant, _ = shop
    seats = add_on(tenant.http, "Noted", "LICENSE")
    at = "2024-05-02T00:00:00Z"
    update(tenant, seats, 1, effectiveFrom=at)
    update(tenant, seats, 3, effectiveFrom=at)
    sent = {"accountId": "acme", "effectiveFrom": at, "metadata": {"by": "client"}}
    api = LicensesApi(tenant.togai)
    changed = api.update_license_entry_details(seats, LicenseEntryDetailsUpdateRequest.from_dict(sent))
    assert (changed.quantity, changed.metadata) == (3, {"by": "client"}), "the last one of an instant"
    sent["metadata"] = {"by": "path"}
    assert expect(tenant.http.patch(f"/license_updates/{seats}", json=sent), 200)["metadata"] == {"by": "path"}
    listed = api.get_license_updates(license_id=seats).data
    assert [(one.quantity, one.metadata) for one in listed] == [(3, {"by": "path"}), (1, None)]
    answer = tenant.http.patch("/license_updates/%7Blicense_id%7D", json=sent)
    assert (answer.status_code, "licenseId" in answer.text) == (400, True)
    for wrong in ({**sent, "effectiveFrom": "2024-05-03T00:00:00Z"}, {**sent, "accountId": "nobody"}):
        refused(
            lambda wrong=wrong: api.update_license_entry_details(  # type: ignore[misc]
                seats, LicenseEntryDetailsUpdateRequest.from_dict(wrong)
            ),
            status=NotFoundException,
        )


def test_what_cannot_be_is_refused_by_field(shop: tuple[Tenant, str]) -> None:
    tenant, seats = shop
    fee, gone = add_on(tenant.http, "Fee"), add_on(tenant.http, "Gone", "LICENSE")
    expect(tenant.http.delete(f"/addons/{gone}"), 200)
    named = add_on(tenant.http, "Named", "NAMED_LICENSE")
    for identifier in ("addon.none", gone):
        refused(lambda identifier=identifier: update(tenant, identifier, 1), "licenseId: there is no add-on")  # type: ignore[misc]
    for identifier in (fee, named):
        refused(lambda identifier=identifier: update(tenant, identifier, 1), "licenseId", "is of type")  # type: ignore[misc]
    for sent, word in (
        ({"accountId": "nobody"}, "accountId"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": -100, "updateType": "RELATIVE"}, "quantity: takes away more"),
        ({"updateType": "MORE"}, "updateType"),
        ({"effectiveFrom": "1960-01-01T00:00:00Z"}, "effectiveFrom"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"seats": 1}, "seats"),
    ):
        whole = {"licenseId": seats, "accountId": "acme", "updateType": "ABSOLUTE", "quantity": 1, **sent}
        answer = tenant.http.post("/license_updates", json=whole)
        assert (answer.status_code, word in answer.json()["message"]) == (400, True), answer.text
    for wrong in ("pageSize=51", "effectiveFrom=soon", "nextToken=x"):
        assert tenant.http.get(f"/license_updates?{wrong}").status_code == 400


def test_a_key_is_one_update(shop: tuple[Tenant, str]) -> None:
    tenant, _ = shop
    seats = add_on(tenant.http, "Keyed", "LICENSE")
    first = update(tenant, seats, 2, "RELATIVE", idempotencyKey="k")
    again = update(tenant, seats, 2, "RELATIVE", idempotencyKey="k")
    assert (first.to_dict(), first.quantity) == (again.to_dict(), 2)
    refused(lambda: update(tenant, seats, 3, "RELATIVE", idempotencyKey="k"), "idempotencyKey", "'k'")
    assert update(tenant, seats, 2, "RELATIVE", idempotencyKey="l").quantity == 4


def test_all_at_once(server: Server, shop: tuple[Tenant, str]) -> None:
    """Forty updates at once, each of one more and half of them twins under one key: each counts once, in some order."""
    tenant, _ = shop
    seats = add_on(tenant.http, "Raced", "LICENSE")

    async def race() -> list[int]:
        async with httpx.AsyncClient(base_url=server.url, headers=dict(tenant.http.headers), verify=PLAIN) as http:
            sent = {"licenseId": seats, "accountId": "acme", "updateType": "RELATIVE", "quantity": 1,
                    "effectiveFrom": "2024-05-02T00:00:00Z"}  # fmt: skip
            bodies = [{**sent, "idempotencyKey": "twin"} if n % 2 else sent for n in range(40)]
            answers = await asyncio.gather(*(http.post("/license_updates", json=one) for one in bodies))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.json()["quantity"] for answer in answers[1::2]}) == 1
            return sorted(answer.json()["quantity"] for answer in [*answers[::2], answers[1]])

    assert asyncio.run(race()) == list(range(1, 22))
    assert len(expect(tenant.http.get("/license_updates", params={"licenseId": seats}), 200)["data"]) == 21


def test_a_plan_of_licences_comes_back_as_it_was_sent(tenant: Tenant) -> None:
    ids = [add_on(tenant.http, "a", "LICENSE"), add_on(tenant.http, "b", "LICENSE")]
    cards = [
        seat_card(
            ids[0], type="LICENSE", name="seat", displayName="Seat", tag="t", invoiceTiming="IN_ADVANCE",
            usageCycle="MONTHLY", config={"maxQuantity": 10, "maxQuantityBreachAction": "DO_NOTHING"},
            proratedRefundMode="CREDITS",
        ),
        seat_card(ids[1], 5, enableProration=False, config={"maxQuantity": 3}),
    ]  # fmt: skip
    api = PricePlansApi(tenant.togai)
    made = api.create_price_plan(CreatePricePlanRequest.from_dict(body(licenseRateCards=copy.deepcopy(cards))))
    shown = [one.to_dict() for one in made.pricing_schedule[0].price_plan_details.license_rate_cards]
    defaults = {"type": "LICENSE", "invoiceTiming": "IN_ARREARS", "proratedRefundMode": "NONE"}
    cards[1] |= {**defaults, "name": f"license-{ids[1]}"}
    assert shown == cards
    assert api.get_price_plan(made.id).to_dict() == made.to_dict()
    sent = {"currency": "EUR", "licenseRates": [{"id": one, "slabRates": [{"order": 1, "rate": 2}]} for one in ids]}
    answer = tenant.http.post(
        f"/price_plans/{made.id}/currencies", json={**sent, "licenseRates": sent["licenseRates"][:1]}
    )
    assert (answer.status_code, "licenseRates" in answer.text) == (400, True)
    more = expect(tenant.http.post(f"/price_plans/{made.id}/currencies", json=sent), 200)
    details = more["pricingSchedule"][0]["pricePlanDetails"]
    assert [rate["currency"] for rate in details["licenseRateCards"][1]["rateValues"]] == ["USD", "EUR"]
    expect(tenant.http.delete(f"/price_plans/{made.id}/currencies/EUR"), 200)
    answer = tenant.http.delete(f"/addons/{ids[0]}")
    assert (answer.status_code, "charges for add-on" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"id": "addon.none"}, "[0].id: there is no add-on"),
        ({"id": "fee"}, "[0].id: add-on"),
        ({"type": "NAMED_LICENSE"}, "[0].type: add-on"),
        ({"enableProration": None}, "enableProration"),
        ({"invoiceTiming": "PREPAID"}, "licenseRateCards[0].invoiceTiming"),
        ({"usageCycle": "WEEKLY"}, "licenseRateCards[0].usageCycle"),
        ({"usageCycle": "ANNUALLY"}, "licenseRateCards[0].usageCycle"),
        ({"config": {"maxQuantity": -1}}, "licenseRateCards[0].config.maxQuantity"),
        ({"config": {"maxQuantityBreachAction": "DO_NOTHING"}}, "licenseRateCards[0].config.maxQuantityBreachAction"),
        ({"proratedRefundMode": "WALLET"}, "licenseRateCards[0].proratedRefundMode"),
        ({"rateValues": []}, "licenseRateCards[0].rateValues"),
        ({"quantity": 2}, "quantity"),
    ],
)
def test_bad_cards_are_refused_by_field(shop: tuple[Tenant, str], change: dict[str, Any], word: str) -> None:
    tenant, seats = shop
    fee = next((one["id"] for one in tenant.http.get("/addons").json()["data"] if one["name"] == "Plain fee"), None)
    identifier = {"fee": fee or add_on(tenant.http, "Plain fee")}.get(change.get("id", ""), change.get("id", seats))
    answer = tenant.http.post(
        "/price_plans", json=body(licenseRateCards=[{**seat_card(seats), **change, "id": identifier}])
    )
    assert (answer.status_code, word in answer.json()["message"]) == (400, True), answer.text


def test_twice_deferred_and_purchase_plans(shop: tuple[Tenant, str]) -> None:
    tenant, seats = shop
    ahead = seat_card(seats, invoiceTiming="IN_ADVANCE")
    for sent, word in (
        (body(licenseRateCards=[seat_card(seats), seat_card(seats)]), "licenseRateCards[1].id"),
        (body(licenseRateCards=[ahead], deferredRevenue=True), "licenseRateCards[0].invoiceTiming"),
        ({**body(licenseRateCards=[ahead], pricingCycleConfig=None), "type": "PURCHASE"}, "licenseRateCards"),
    ):
        answer = tenant.http.post("/price_plans", json=sent)
        assert (answer.status_code, word in answer.json()["message"]) == (400, True), answer.text


def test_an_invoice_shows_and_explains_licences(server: Server) -> None:
    tenant = server.workspace(clock=day(1))
    customer(tenant.http)
    schema(tenant.http)
    tokens, seats = meter(tenant.http), add_on(tenant.http, "Seats", "LICENSE", billableName="Seat")
    ahead = add_on(tenant.http, "Ahead", "LICENSE")
    identifier = plan(tenant.http, [card(tokens, per_unit(0), [1])], active=False)
    cards = [seat_card(seats, 31), seat_card(ahead, 62, invoiceTiming="IN_ADVANCE")]
    expect(tenant.http.patch(f"/price_plans/{identifier}", json={"pricePlanDetails": {"licenseRateCards": cards}}), 200)
    expect(tenant.http.post(f"/price_plans/{identifier}/activate", json={"currencies": ["USD"]}), 200)
    config = {"licenseId": ahead, "updateType": "ABSOLUTE", "quantity": "2", "effectiveFrom": "2024-05-01"}
    sent = {
        "mode": "ASSOCIATE", "pricePlanId": identifier, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01",
        "preActions": [{"type": "GRANT_LICENSE", "config": config}],
    }  # fmt: skip
    expect(tenant.http.post("/accounts/acme/price_plans", json=sent), 200)
    for wrong, word in (
        ({"licenseId": ahead, "updateType": "MORE", "quantity": "2"}, "preActions[0].config.updateType"),
        ({"licenseId": ahead, "updateType": "RELATIVE", "quantity": "x"}, "preActions[0].config.quantity"),
        ({"licenseId": "addon.none", "updateType": "RELATIVE", "quantity": "1"}, "preActions[0].config.licenseId"),
        ({"licenseId": ahead, "updateType": "RELATIVE", "quantity": "1", "a": "b"}, "preActions[0].config"),
        (
            {"licenseId": ahead, "updateType": "RELATIVE", "quantity": "1", "effectiveFrom": "x"},
            "preActions[0].config.effectiveFrom",
        ),
    ):
        bad = {**sent, "preActions": [{"type": "GRANT_LICENSE", "config": wrong}]}
        answer = tenant.http.post("/accounts/acme/price_plans", json=bad)
        assert (answer.status_code, word in answer.json()["message"]) == (400, True), answer.text
    update(tenant, seats, 1, effectiveFrom="2024-05-02T00:00:00Z")
    ingest(tenant.http, event("e", "2024-05-01T10:00:00Z", tokens=3))
    run_bill(server, tenant)
    set_clock(tenant, day(20))
    update(tenant, seats, 2, "RELATIVE", effectiveFrom="2024-05-20T08:00:00Z")
    update(tenant, ahead, 1, "RELATIVE", effectiveFrom="2024-05-31T08:00:00Z")
    set_clock(tenant, day(10, 6))
    run_bill(server, tenant)
    found = expect(tenant.http.get("/invoices", params={"status": "DUE"}, headers=BROWSER), 200)["data"]
    invoices = {(one["invoiceType"], one["startDate"][:10]): one["id"] for one in found}
    shown = expect(tenant.http.get(f"/invoices/{invoices['STANDARD_ADVANCED', '2024-05-01']}", headers=BROWSER), 200)
    fees = _inner(shown, "TOTAL_ADVANCED_FEES")["lineItems"]
    assert [(fee["type"], fee["id"], fee["value"]) for fee in fees] == [
        ("ADVANCED_LICENSE_RATE_CARD_AMOUNT", ahead, 124)
    ]
    shown = expect(tenant.http.get(f"/invoices/{invoices['STANDARD', '2024-05-01']}", headers=BROWSER), 200)
    items = _inner(shown, "GROSS_AMOUNT")["lineItems"]
    assert [(item["type"], item["value"]) for item in items] == [
        ("USAGE_RATE_CARD_AMOUNT", 3),
        ("LICENSE_RATE_CARD_AMOUNT", 18 + 12 * 3),
        ("LICENSE_RATE_CARD_AMOUNT", 2),
    ]
    assert [part["quantity"] for part in items[1]["lineItems"]] == [0, 1, 3]
    line = shown["lines"][1]
    assert (line["description"], line["license"]["addOnId"], line["quantity"]) == ("Seat", seats, 3)
    assert line["formula"].endswith("3 x 31 = 93, x 12/31 days = 36; together 54")


def _inner(invoice: dict[str, Any], kind: str) -> dict[str, Any]:
    """The item of a type, looked for from the grand total down."""
    items = [invoice["revenueInfo"]]
    while items:
        item = items.pop(0)
        if item["type"] == kind:
            return item  # type: ignore[no-any-return]
        items += item.get("lineItems") or []
    raise AssertionError(f"no {kind}")


def naming(identifier: str, license_id: str, name: str, action: Any, at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "schemaName": "togai-named-license",
        "id": identifier,
        "timestamp": at.isoformat(),
        "accountId": "acme",
        "attributes": [{"name": "action", "value": str(action)}],
        "dimensions": {"license_id": license_id, "name": name},
        **more,
    }


def intervals(told: list[tuple[datetime, str, int]]) -> list[tuple[str, datetime, datetime | None]]:
    """Who has a licence from when until when, by what was told in the order of time; worked through name by name."""
    found: list[tuple[str, datetime, datetime | None]] = []
    for name in {name for _, name, _ in told}:
        since: datetime | None = None
        for moment, _, action in sorted(entry for entry in told if entry[1] == name):
            if action == 1 and since is None:
                since = moment
            elif action == -1 and since is not None:
                found.append((name, since, moment))
                since = None
        if since is not None:
            found.append((name, since, None))
    return sorted(found, key=str)


def test_names_come_and_go_by_events(server: Server) -> None:
    tenant = server.workspace(clock=day(28))
    customer(tenant.http)
    assert LicensesApi(tenant.togai).get_named_license_updates().data == []
    seats = add_on(tenant.http, "Seats", "NAMED_LICENSE")
    identifier = plan(tenant.http, [], fees=[], commitment=1, active=False)
    details = {"licenseRateCards": [seat_card(seats, 31)]}
    expect(tenant.http.patch(f"/price_plans/{identifier}", json={"pricePlanDetails": details}), 200)
    expect(tenant.http.post(f"/price_plans/{identifier}/activate", json={"currencies": ["USD"]}), 200)
    sent = {"pricePlanId": identifier, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=sent), 200)
    drawn = random.Random(7)
    moments = drawn.sample([day(1) + timedelta(hours=n) for n in range(26 * 24)], 60)
    told = [(moment, drawn.choice("abcde"), drawn.choice((1, 1, -1))) for moment in moments]
    ingest(tenant.http, *(naming(f"e{n}", seats, name, action, at) for n, (at, name, action) in enumerate(told)))
    listed = LicensesApi(tenant.togai).get_named_license_updates().data
    assert sorted(((one.name, one.effective_from, one.effective_until) for one in listed), key=str) == intervals(told)
    assert {(one.license_id, one.account_id) for one in listed} == {(seats, "acme")}
    (undone,) = drawn.sample(range(len(told)), 1)
    undo = {"event": naming(f"e{undone}", seats, "x", 1, day(1))}
    answer = tenant.http.post("/events/correction", params={"action": "UNDO"}, json=undo)
    assert answer.status_code == 200, answer.text
    del told[undone]
    rest = intervals(told)
    found: list[Any] = []
    after = None
    while after is not None or not found:
        query = {"pageSize": "7"} | ({} if after is None else {"nextToken": after})
        page = expect(tenant.http.get("/named_license_updates", params=query), 200)
        found += [(one["name"], one["effectiveFrom"], one.get("effectiveUntil")) for one in page["data"]]
        after = page["nextToken"]
    assert len(found) == len(rest)
    assert sorted((name for name, _, _ in found)) == sorted(name for name, _, _ in rest)
    (draft,) = expect(tenant.http.get("/invoices", params={"status": "DRAFT"}, headers=BROWSER), 200)["data"]
    shown = expect(tenant.http.get(f"/invoices/{draft['id']}", headers=BROWSER), 200)
    line = next(line for line in shown["lines"] if line["type"] == "LICENSE_RATE_CARD")
    assert line["license"]["named"] is True
    days = [part["quantity"] for part in line["license"]["stretches"] for _ in range(part["days"])]
    assert days == [at_once(rest, day(n)) for n in range(1, 32)]
    assert used(tenant, "ACCOUNT_ID") == {"acme": days}
    assert used(tenant, "BILLABLE_ID") == {seats: days}
    assert used(tenant, "BILLABLE_ID", {"fieldName": "BILLABLE_ID", "fieldValues": ["addon.none"]}) == {}
    assert server.broken(tenant, CHECKS) == []


def used(tenant: Tenant, group: str, *filters: dict[str, Any]) -> dict[str, list[Any]]:
    """How many names had licences on the days of May, by groups."""
    query = {"id": "q", "name": "NAMED_LICENSE_USAGE", "aggregationPeriod": "DAY", "groupBy": group}
    if filters:
        query["filters"] = list(filters)  # type: ignore[assignment]
    body = {"startTime": day(1).isoformat(), "endTime": day(1, 6).isoformat(), "metricQueries": [query]}
    (result,) = expect(tenant.http.post("/metrics", json=body), 200)["results"]
    return {entry["groupedBy"]["fieldValue"]: entry["metricValues"] for entry in result["data"]}


def at_once(entries: list[tuple[str, datetime, datetime | None]], start: datetime) -> int:
    """The most names that have one at any hour of a day."""
    hours = [start + timedelta(hours=n) for n in range(24)]
    return max(sum(since <= hour and (until is None or until > hour) for _, since, until in entries) for hour in hours)


def test_events_that_name_nobody_are_kept_as_such(server: Server) -> None:
    tenant = server.workspace(clock=day(10))
    customer(tenant.http)
    at = day(2)
    ingest(tenant.http, naming("early", "addon.none", "a", 1, at))
    assert status_of(tenant.http, "early") == ["FAILED_SCHEMA_NOT_DEFINED"]
    seats, plain = add_on(tenant.http, "Named", "NAMED_LICENSE"), add_on(tenant.http, "Plain", "LICENSE")
    add_on(tenant.http, "Second", "NAMED_LICENSE")
    sent = {
        "two": naming("two", seats, "a", 2, at),
        "none": naming("none", "addon.none", "a", 1, at),
        "plain": naming("plain", plain, "a", 1, at),
        "long": naming("long", seats, "a" * 51, 1, at),
        "good": naming("good", seats, "a", "1.0", at),
        "again": naming("good", seats, "b", 1, at),
    }
    ingest(tenant.http, *sent.values())
    for name in ("two", "none", "plain", "long"):
        assert status_of(tenant.http, name) == ["FAILED_INVALID_NAMED_LICENSE_EVENT"], name
    assert set(status_of(tenant.http, "good")) == {"COMPLETED_NO_MATCHING_METERS", "FAILED_DUPLICATE_EVENT"}
    assert [one.name for one in LicensesApi(tenant.togai).get_named_license_updates().data] == ["a"]
    expect(tenant.http.delete(f"/addons/{seats}"), 200)
    ingest(tenant.http, naming("late", seats, "b", 1, at))
    assert status_of(tenant.http, "late") == ["FAILED_INVALID_NAMED_LICENSE_EVENT"]
    answer = tenant.http.post("/event_schema", json={"name": "togai-named-license", "attributes": [], "dimensions": []})
    assert (answer.status_code, "name" in answer.text) == (400, True)
    assert server.broken(tenant, CHECKS) == []
