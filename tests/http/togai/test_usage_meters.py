"""Usage meters with the official client, and what it is told when it errs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from togai_client.api.usage_meters_api import UsageMetersApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.create_usage_meter_request import CreateUsageMeterRequest
from togai_client.models.update_usage_meter_request import UpdateUsageMeterRequest

from bursar.usage.verify import CHECKS
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import (
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

TOKENS = '{"var":"attribute.tokens"}'
BIG = '{"==":[{"var":"dimension.model"},"big"]}'
METER: dict[str, Any] = {
    "name": "big tokens",
    "billableName": "Tokens of the big model",
    "description": "What the big model made",
    "type": "COUNTER",
    "aggregation": "SUM",
    "eventSchemaName": "llm",
    "computations": [{"id": "only", "matcher": BIG, "computation": TOKENS, "order": 7}],
    "filters": [{"field": "model", "value": "big"}],
}


def create(api: UsageMetersApi, **change: Any) -> Any:
    return api.create_usage_meter(CreateUsageMeterRequest.from_dict({**METER, **change}))


def refused(call: Any, *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_meter_is_made_read_and_activated(tenant: Tenant) -> None:
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    made = create(api)
    assert len(made.id) <= 20
    assert made.id.startswith("um.")
    sent = made.to_dict()
    for name in ("name", "billableName", "description", "type", "aggregation", "computations", "filters"):
        assert sent[name] == METER[name], name
    assert (made.display_name, made.status, made.last_activated_at) == (METER["billableName"], "DRAFT", None)
    assert api.get_usage_meter(made.id).event_schema is None
    assert api.get_usage_meter(made.id, include_schema=True).event_schema.name == "llm"
    active = api.activate_usage_meter(made.id)
    assert active.status == "ACTIVE"
    assert active.last_activated_at == active.updated_at > made.updated_at
    assert api.activate_usage_meter(made.id).to_dict() == active.to_dict()
    assert api.get_usage_meter(made.id).to_dict() == active.to_dict()


def test_a_meter_without_billable_name_goes_by_its_name(tenant: Tenant) -> None:
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    made = api.create_usage_meter(
        CreateUsageMeterRequest.from_dict(
            {"name": "requests", "type": "COUNTER", "aggregation": "COUNT", "eventSchemaName": "llm"}
        )
    )
    assert (made.display_name, made.computations, made.filters) == ("requests", [], [])
    counted = create(api, aggregation="COUNT", computations=[{"computation": "1", "order": 0}], filters=None)
    assert [entry.to_dict() for entry in counted.computations] == [{"computation": "1", "order": 0}]


def test_what_does_not_exist_is_not_found(server: Server) -> None:
    one, two = server.workspace(), server.workspace()
    schema(one.http)
    schema(two.http)
    made = create(UsageMetersApi(one.togai))
    for api, identifier in ((UsageMetersApi(one.togai), "um.none"), (UsageMetersApi(two.togai), made.id)):
        for call in (
            api.get_usage_meter,
            api.activate_usage_meter,
            api.deactivate_usage_meter,
            api.delete_usage_meter,
            lambda one, api=api: api.update_usage_meter(one, UpdateUsageMeterRequest.from_dict({"name": "x"})),
        ):
            with pytest.raises(NotFoundException):
                call(identifier)
    assert UsageMetersApi(two.togai).get_usage_meters_for_event_schema().data == []
    refused(lambda: create(UsageMetersApi(one.togai)), "name", "big tokens")
    assert create(UsageMetersApi(two.togai)).id != made.id


def test_a_draft_of_a_schema_holds_its_meters_back(tenant: Tenant) -> None:
    schema(tenant.http, active=False)
    api = UsageMetersApi(tenant.togai)
    made = create(api)
    refused(lambda: api.activate_usage_meter(made.id), "llm", "not active")
    assert api.get_usage_meter(made.id).status == "DRAFT"
    expect(tenant.http.post("/event_schema/llm/activate"), 200)
    assert api.activate_usage_meter(made.id).status == "ACTIVE"


def test_meters_are_listed_in_pages(tenant: Tenant) -> None:
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    count: dict[str, Any] = {"aggregation": "COUNT", "computations": None}
    for index in range(5):
        more = count if index == 2 else {}
        meter(tenant.http, f"m{index}", active=index != 1, **more)
    listed = api.get_usage_meters_for_event_schema

    def names(page: Any) -> list[str]:
        return [entry.name for entry in page.data]

    assert names(listed()) == ["m0", "m1", "m2", "m3", "m4"]
    assert names(listed(status="DRAFT")) == ["m1"]
    assert names(listed(aggregations="COUNT")) == ["m2"]
    assert names(listed(status="ARCHIVED")) == []
    assert names(listed(status="ACTIVE,DRAFT", aggregations="SUM,COUNT")) == ["m0", "m1", "m2", "m3", "m4"]
    first = listed(status="ACTIVE", aggregations="SUM", page_size=2)
    rest = listed(next_token=first.next_token)
    assert (names(first), names(rest), rest.next_token) == (["m0", "m3"], ["m4"], None)
    refused(lambda: listed(status="RUNNING"), "status")
    refused(lambda: listed(aggregations="MAX"), "aggregations")
    refused(lambda: listed(next_token="e30"), "nextToken")


def test_filters_and_matchers_choose_what_is_measured(tenant: Tenant) -> None:
    customer(tenant.http)
    schema(tenant.http, filterFields=["dimension.model", "tokens"])
    now = expect(tenant.http.get("/bursar/v1/clock"), 200)["now"]
    computations = [{"computation": '{"*":[{"var":"attributes.tokens"},2]}', "matcher": BIG, "order": 1}]
    meter(tenant.http, "matched", computations=computations, filters=[{"field": "model", "value": "big"}])
    meter(tenant.http, "sized", computations=[{"computation": "1", "order": 1}], aggregation="COUNT",
          filters=[{"field": "attributes.tokens", "value": "5.0"}])  # fmt: skip
    events = {"both": ("big", 5), "first": ("big", 6), "second": ("small", 5), "none": ("small", 6)}
    ingest(tenant.http, *(event(name, now, model=model, tokens=n) for name, (model, n) in events.items()))
    measured = {}
    for name in events:
        found = expect(tenant.http.get(f"/events/{name}"), 200)["events"][0]
        used = (found.get("eventPipelineInfo") or {}).get("usageMeters") or []
        measured[name] = {entry["name"]: entry["units"] for entry in used if "units" in entry}
    assert measured == {
        "both": {"matched": 10, "sized": 1},
        "first": {"matched": 12},
        "second": {"sized": 1},
        "none": {},
    }
    assert status_of(tenant.http, "none") == ["COMPLETED_EVENT_NOT_METERED"]


def one(**computation: Any) -> dict[str, Any]:
    return {"computations": [{"computation": TOKENS, "order": 1, **computation}]}


DEEP = '{"!":' * 200 + "1" + "}" * 200
BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": " "}, "name"),
    ({"name": "x" * 51}, "name"),
    ({"name": "a.b"}, "name"),
    ({"billableName": "x" * 256}, "billableName"),
    ({"description": "x" * 256}, "description"),
    ({"type": "GAUGE"}, "type"),
    ({"type": None}, "type"),
    ({"aggregation": "MAX"}, "aggregation"),
    ({"aggregation": "COUNT"}, "computations[0].computation"),
    ({"eventSchemaName": None}, "eventSchemaName"),
    ({"eventSchemaName": "nothing"}, "eventSchemaName"),
    ({"computations": None}, "computations"),
    ({"computations": []}, "computations"),
    ({"computations": one()["computations"] * 2}, "computations"),
    (one(order=None), "computations[0].order"),
    (one(order=-1), "computations[0].order"),
    (one(computation=None), "computations[0].computation"),
    (one(computation={"var": "x"}), "computations[0].computation"),
    (one(computation=""), "computations[0].computation"),
    (one(computation="x" * 501), "computations[0].computation"),
    (one(computation="not json"), "computations[0].computation"),
    (one(computation='{"eval":["1"]}'), "computations[0].computation"),
    (one(computation='{"var":"attributes.words"}'), "attributes.words"),
    (one(computation='{"+":[1e999]}'), "computations[0].computation"),
    (one(computation="NaN"), "computations[0].computation"),
    (one(matcher="x" * 1501), "computations[0].matcher"),
    (one(matcher=DEEP), "computations[0].matcher"),
    (one(matcher='{"var":"dimensions.city"}'), "dimensions.city"),
    (one(matcher='{"==":["\\u0000",1]}'), "computations[0].matcher"),
    ({"filters": [{"field": "city", "value": "x"}]}, "filters[0].field"),
    ({"filters": [{"field": "model"}]}, "filters[0]"),
    ({"filters": [{"field": "model", "value": 1}]}, "filters[0].value"),
    ({"filters": [{"field": "model", "value": "x" * 201}]}, "filters[0].value"),
    ({"filters": [{"field": "tokens", "value": "many"}]}, "filters[0].field"),
    ({"colour": "red"}, "colour"),
]


@pytest.fixture(scope="module")
def empty(server: Server) -> Tenant:
    """One workspace for everything that is refused: no meter is left in it."""
    tenant = server.workspace()
    schema(tenant.http)
    return tenant


@pytest.mark.parametrize(("change", "word"), BAD)
def test_bad_meters_are_refused_by_name(empty: Tenant, change: dict[str, Any], word: str) -> None:
    answer = empty.http.post("/usage_meters", content=json.dumps({**METER, **change}))
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["message"]
    assert word in answer.json()["message"]
    assert empty.http.get("/usage_meters").json()["data"] == []


def units(tenant: Tenant, identifier: str, name: str) -> Any:
    """What a meter made of an event; None where it left it out."""
    found = expect(tenant.http.get(f"/events/{identifier}"), 200)["events"][0]
    used = (found.get("eventPipelineInfo") or {}).get("usageMeters") or []
    return {entry["name"]: entry.get("units") for entry in used}.get(name)


def test_everything_about_a_draft_can_change(tenant: Tenant) -> None:
    schema(tenant.http)
    schema(tenant.http, "gpu", attributes=[{"name": "hours"}], dimensions=[], filterFields=[])
    api = UsageMetersApi(tenant.togai)
    made = create(api)
    change: dict[str, Any] = {
        "name": "hours",
        "billableName": "GPU hours",
        "description": "How long",
        "type": "COUNTER",
        "aggregation": "SUM",
        "eventSchemaName": "gpu",
        "computations": [{"computation": '{"var":"attributes.hours"}', "order": 1}],
        "filters": [],
    }
    changed = api.update_usage_meter(made.id, UpdateUsageMeterRequest.from_dict(change))
    shown = changed.to_dict()
    assert {name: shown[name] for name in change if name != "eventSchemaName"} == {
        name: value for name, value in change.items() if name != "eventSchemaName"
    }
    assert (changed.id, changed.status, changed.event_schema.name) == (made.id, "DRAFT", "gpu")
    assert changed.updated_at > made.updated_at
    again = api.update_usage_meter(made.id, UpdateUsageMeterRequest.from_dict(change))
    assert again.updated_at == changed.updated_at
    bare = {"billableName": "", "description": "", "aggregation": "COUNT", "computations": []}
    counted = api.update_usage_meter(made.id, UpdateUsageMeterRequest.from_dict(bare))
    assert (counted.display_name, counted.billable_name, counted.description) == ("hours", None, None)
    assert (counted.aggregation, counted.computations) == ("COUNT", [])


def test_an_active_meter_measures_by_its_new_version_from_the_change_on(tenant: Tenant, server: Server) -> None:
    customer(tenant.http)
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    identifier = meter(tenant.http, "tokens")
    now = expect(tenant.http.get("/bursar/v1/clock"), 200)["now"]
    twice = {"computations": [{"computation": '{"*":[{"var":"attributes.tokens"},2]}', "order": 1}]}
    steps: list[tuple[str, Any, Any]] = [
        ("before", None, 3),
        ("renamed", lambda: api.update_usage_meter(identifier, UpdateUsageMeterRequest.from_dict({"name": "t"})), 3),
        ("doubled", lambda: api.update_usage_meter(identifier, UpdateUsageMeterRequest.from_dict(twice)), 6),
        ("off", lambda: api.deactivate_usage_meter(identifier), None),
        ("off-again", lambda: api.deactivate_usage_meter(identifier), None),
        ("on", lambda: api.activate_usage_meter(identifier), 6),
        ("small", lambda: api.update_usage_meter(
            identifier,
            UpdateUsageMeterRequest.from_dict({"filters": [{"field": "model", "value": "small"}]})), None),
    ]  # fmt: skip
    for name, change, _ in steps:
        if change is not None:
            change()
        ingest(tenant.http, event(name, now, tokens=3))
    assert {name: units(tenant, name, "t") for name, _, _ in steps} == {name: quantity for name, _, quantity in steps}
    assert status_of(tenant.http, "off") == ["COMPLETED_NO_MATCHING_METERS"]
    body = {
        "startTime": now,
        "endTime": (datetime.fromisoformat(now) + timedelta(days=1)).isoformat(),
        "metricQueries": [{"id": "q", "name": "USAGE", "aggregationPeriod": "MONTH"}],
    }
    (result,) = expect(tenant.http.post("/metrics", json=body), 200)["results"]
    assert sum(result["data"][0]["metricValues"]) == 3 + 3 + 6 + 6
    # Every rollup is recomputed from its events by the versions that judged them.
    assert server.broken(tenant, CHECKS) == []


def test_an_inactive_meter_takes_changes_and_applies_them_when_active_again(tenant: Tenant) -> None:
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    identifier = meter(tenant.http)
    first = api.get_usage_meter(identifier)
    off = api.deactivate_usage_meter(identifier)
    assert (off.status, off.last_activated_at) == ("INACTIVE", first.last_activated_at)
    assert [entry.id for entry in api.get_usage_meters_for_event_schema(status="INACTIVE").data] == [identifier]
    changed = api.update_usage_meter(identifier, UpdateUsageMeterRequest.from_dict({"description": "later"}))
    assert (changed.status, changed.description) == ("INACTIVE", "later")
    on = api.activate_usage_meter(identifier)
    assert (on.status, on.description) == ("ACTIVE", "later")
    assert on.last_activated_at > first.last_activated_at


def test_a_deactivated_meter_stays_in_its_plan_and_keeps_what_it_measured(server: Server) -> None:
    tenant = server.workspace(clock=datetime(2024, 5, 2, tzinfo=UTC))
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    identifier = meter(tenant.http)
    priced = plan(tenant.http, [card(identifier, per_unit(0), [2])])
    customer(tenant.http, "acme")
    body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(tenant.http, event("a", "2024-05-01T12:00:00Z", tokens=5))
    assert api.deactivate_usage_meter(identifier).status == "INACTIVE"
    ingest(tenant.http, event("b", "2024-05-01T13:00:00Z", tokens=7))
    (invoice,) = expect(tenant.http.get("/invoices"), 200)["data"]
    assert invoice["totalAmount"] == 10
    refused(lambda: api.delete_usage_meter(identifier), "price plan", priced)


def test_an_archived_meter_is_gone_but_can_be_read(tenant: Tenant) -> None:
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    identifier = meter(tenant.http)
    refused(lambda: api.delete_usage_meter(identifier), "active", "deactivate")
    api.deactivate_usage_meter(identifier)
    assert api.delete_usage_meter(identifier).success is True
    assert api.get_usage_meter(identifier).status == "ARCHIVED"
    assert api.get_usage_meters_for_event_schema().data == []
    assert [entry.id for entry in api.get_usage_meters_for_event_schema(status="ARCHIVED").data] == [identifier]
    for call in (
        api.activate_usage_meter,
        api.deactivate_usage_meter,
        api.delete_usage_meter,
        lambda one: api.update_usage_meter(one, UpdateUsageMeterRequest.from_dict({"name": "other"})),
    ):
        refused(lambda call=call: call(identifier), "archived")
    draft = meter(tenant.http, "tokens", active=False)
    assert draft != identifier
    assert api.delete_usage_meter(draft).success is True
    body = {
        "name": "late", "type": "BILLING", "pricePlanDetails": {
            "supportedCurrencies": ["USD"],
            "pricingCycleConfig": {
                "interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3},
            "usageRateCards": [card(identifier, per_unit(0), [1])]},
    }  # fmt: skip
    assert "usageMeterId" in tenant.http.post("/price_plans", json=body).json()["message"]


REFUSED_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"name": "other"}, "other"),
    ({"name": " "}, "name"),
    ({"name": "a.b"}, "name"),
    ({"type": "GAUGE"}, "type"),
    ({"aggregation": "COUNT", "computations": []}, "aggregation"),
    ({"aggregation": "MAX"}, "aggregation"),
    ({"eventSchemaName": "second"}, "event schema"),
    ({"eventSchemaName": "none"}, "event schema"),
    ({"computations": []}, "computations"),
    (one(matcher='{"var":"dimensions.city"}'), "dimensions.city"),
    ({"filters": [{"field": "city", "value": "x"}]}, "filters[0].field"),
    ({"colour": "red"}, "colour"),
]


@pytest.fixture(scope="module")
def running(server: Server) -> tuple[Tenant, str]:
    """An active meter that no refused change may touch."""
    tenant = server.workspace()
    schema(tenant.http)
    schema(tenant.http, "second")
    meter(tenant.http, "other", active=False)
    return tenant, meter(tenant.http)


@pytest.mark.parametrize(("change", "word"), REFUSED_CHANGES)
def test_what_an_active_meter_may_not_change(running: tuple[Tenant, str], change: dict[str, Any], word: str) -> None:
    tenant, identifier = running
    before = tenant.http.get(f"/usage_meters/{identifier}").json()
    answer = tenant.http.patch(f"/usage_meters/{identifier}", json=change)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    assert tenant.http.get(f"/usage_meters/{identifier}").json() == before


def test_a_draft_is_not_deactivated_nor_sent_to_an_unknown_schema(tenant: Tenant) -> None:
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    made = create(api)
    refused(lambda: api.deactivate_usage_meter(made.id), "draft")
    change = UpdateUsageMeterRequest.from_dict({"eventSchemaName": "none"})
    refused(lambda: api.update_usage_meter(made.id, change), "eventSchemaName")


def test_an_active_meter_holds_its_schema_and_lets_it_go(tenant: Tenant) -> None:
    schema(tenant.http)
    api = UsageMetersApi(tenant.togai)
    identifier = meter(tenant.http)
    assert tenant.http.post("/event_schema/llm/deactivate").status_code == 400
    api.deactivate_usage_meter(identifier)
    expect(tenant.http.post("/event_schema/llm/deactivate"), 200)
    refused(lambda: api.activate_usage_meter(identifier), "llm", "not active")
