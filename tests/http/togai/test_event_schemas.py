"""Event schemas with the official client, and what it is told when it errs."""

import json
from typing import Any

import pytest
from togai_client.api.event_management_api import EventManagementApi
from togai_client.api.event_schemas_api import EventSchemasApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.create_event_schema_request import CreateEventSchemaRequest
from togai_client.models.update_event_schema_request import UpdateEventSchemaRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, expect, ingest, meter, schema, status_of

RIDE: dict[str, Any] = {
    "name": "ride_completed",
    "description": "A ride has ended",
    "attributes": [{"name": "distance", "defaultUnit": "Miles"}, {"name": "minutes"}],
    "dimensions": [{"name": "city"}],
    "filterFields": ["city", "attribute.minutes"],
}


def create(api: EventSchemasApi, **change: Any) -> Any:
    return api.create_event_schema(CreateEventSchemaRequest.from_dict({**RIDE, **change}))


def update(api: EventSchemasApi, name: str = "ride_completed", **change: Any) -> Any:
    return api.event_schema_event_schema_name_patch(name, UpdateEventSchemaRequest.from_dict(change))


def refused(call: Any, *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_schema_is_made_read_and_activated(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    made = create(api)
    assert (made.name, made.version, made.status, made.description) == (RIDE["name"], 1, "DRAFT", RIDE["description"])
    assert [(entry.name, entry.default_unit) for entry in made.attributes] == [("distance", "Miles"), ("minutes", None)]
    assert [entry.name for entry in made.dimensions] == ["city"]
    assert made.filter_fields == ["city", "attribute.minutes"]
    assert made.created_at.tzinfo is not None
    assert api.get_event_schema("ride_completed").to_dict() == made.to_dict()
    assert api.get_event_schema("ride_completed", version=1).to_dict() == made.to_dict()
    active = api.activate_event_schema("ride_completed")
    assert (active.status, active.version, active.created_at) == ("ACTIVE", 1, made.created_at)
    assert active.updated_at > made.updated_at
    assert api.activate_event_schema("ride_completed").to_dict() == active.to_dict()
    assert api.get_event_schema("ride_completed").status == "ACTIVE"


def test_what_does_not_exist_is_not_found(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    create(api)
    for name, version in (("nothing", None), ("ride_completed", 2), ("Ride_completed", None)):
        with pytest.raises(NotFoundException):
            api.get_event_schema(name, version=version)
    with pytest.raises(NotFoundException):
        api.activate_event_schema("nothing")
    for call in (api.deactivate_event_schema, api.delete_event_schema, api.list_event_schema_versions):
        with pytest.raises(NotFoundException):
            call("nothing")
    with pytest.raises(NotFoundException):
        update(api, "nothing", description="x")
    refused(lambda: api.get_event_schema("ride_completed", version=0), "version")
    refused(lambda: api.get_event_schema("ride_completed", version=10**12), "version")


def test_a_name_is_taken_once_in_a_workspace(server: Server) -> None:
    one, two = (EventSchemasApi(server.workspace().togai) for _ in range(2))
    create(one)
    refused(lambda: create(one), "name", "ride_completed")
    with pytest.raises(NotFoundException):
        two.get_event_schema("ride_completed")
    with pytest.raises(NotFoundException):
        two.activate_event_schema("ride_completed")
    assert two.list_event_schemas().data == []
    assert create(two, description="other").description == "other"
    assert one.get_event_schema("ride_completed").description == RIDE["description"]


def test_schemas_are_listed_in_pages_with_the_number_of_their_meters(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    names = [f"s{index}" for index in range(5)]
    for name in names:
        schema(tenant.http, name, active=name in ("s1", "s2", "s4"))
    meter(tenant.http, "one", "s1")
    meter(tenant.http, "two", "s1", active=False)
    assert {entry.name: entry.usage_meters_count for entry in api.list_event_schemas().data} == {
        "s0": 0, "s1": 2, "s2": 0, "s3": 0, "s4": 0,
    }  # fmt: skip
    assert [entry.name for entry in api.list_event_schemas(status="DRAFT").data] == ["s0", "s3"]
    first = api.list_event_schemas(status="ACTIVE", page_size=2)
    assert ([entry.name for entry in first.data], first.context.page_size) == (["s1", "s2"], 2)
    rest = api.list_event_schemas(next_token=first.next_token)
    assert ([entry.name for entry in rest.data], rest.next_token) == (["s4"], None)
    exact = api.list_event_schemas(page_size=5)
    assert ([entry.name for entry in exact.data], exact.next_token) == (names, None)
    refused(lambda: api.list_event_schemas(status="BROKEN"), "status")
    for token in ("x", first.next_token[:-3], first.next_token + "A"):
        refused(lambda token=token: api.list_event_schemas(next_token=token), "nextToken")


DISTANCE, MINUTES = {"name": "distance", "defaultUnit": "Miles"}, {"name": "minutes"}


def test_every_change_is_a_version(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    first = create(api)
    second = update(api, attributes=[DISTANCE], filterFields=[], description="Shorter")
    assert (second.version, second.status, second.description) == (2, "DRAFT", "Shorter")
    assert [entry.name for entry in second.attributes] == ["distance"]
    assert [entry.name for entry in second.dimensions] == ["city"]
    active = api.activate_event_schema("ride_completed")
    third = update(api, dimensions=[{"name": "city"}, {"name": "driver"}])
    assert (third.version, third.status, third.created_at) == (3, "ACTIVE", first.created_at)
    assert update(api, description="Shorter").to_dict() == third.to_dict()
    assert update(api).to_dict() == third.to_dict()
    assert third.updated_at > active.updated_at
    versions = api.list_event_schema_versions("ride_completed").data
    assert [(entry.version, entry.status) for entry in versions] == [(3, "ACTIVE"), (2, "ARCHIVED"), (1, "ARCHIVED")]
    assert versions[0].to_dict() == third.to_dict() == api.get_event_schema("ride_completed").to_dict()
    assert {**versions[2].to_dict(), "status": "DRAFT"} == first.to_dict()
    assert api.get_event_schema("ride_completed", version=2).to_dict() == versions[1].to_dict()
    (listed,) = api.list_event_schemas().data
    assert (listed.version, listed.status) == (3, "ACTIVE")


def test_what_has_been_active_only_grows(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    create(api, attributes=[DISTANCE, MINUTES], dimensions=[{"name": "city"}])
    api.activate_event_schema("ride_completed")
    for change, words in (
        ({"attributes": [DISTANCE]}, ("attributes", "'minutes'", "removed")),
        ({"attributes": [DISTANCE, {**MINUTES, "defaultUnit": "min"}]}, ("attributes", "'minutes'", "changed")),
        ({"dimensions": []}, ("dimensions", "'city'", "removed")),
        ({"dimensions": [], "filterFields": []}, ("dimensions", "'city'", "removed")),
        ({"dimensions": [{"name": "town"}]}, ("dimensions", "'city'", "removed")),
        ({"filterFields": ["town"]}, ("filterFields[0]",)),
        ({"attributes": [DISTANCE, MINUTES, DISTANCE]}, ("attributes[2]", "twice")),
    ):
        refused(lambda change=change: update(api, **change), *words)
    api.deactivate_event_schema("ride_completed")
    refused(lambda: update(api, attributes=[DISTANCE]), "attributes", "'minutes'")
    assert update(api, attributes=[MINUTES, DISTANCE, {"name": "tip"}], filterFields=["city"]).version == 2


def test_a_schema_goes_on_suiting_its_meters(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    schema(tenant.http, active=False)
    meter(tenant.http, active=False, filters=[{"field": "model", "value": "big"}])
    refused(lambda: update(api, "llm", attributes=[]), "usage meter 'tokens'", "attributes.tokens")
    refused(lambda: update(api, "llm", filterFields=[]), "usage meter 'tokens'", "'model'")
    assert update(api, "llm", filterFields=["dimension.model"]).version == 2


def test_events_name_the_version_that_judged_them(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    customer(tenant.http)
    schema(tenant.http)
    now = expect(tenant.http.get("/bursar/v1/clock"), 200)["now"]
    ingest(tenant.http, event("before", now))
    update(api, "llm", dimensions=[{"name": "model"}, {"name": "region"}])
    ingest(tenant.http, event("after", now, dimensions={"model": "big", "region": "eu"}), event("short", now))
    ingest(tenant.http, event("none", now, schemaName="other"))
    events = EventManagementApi(tenant.togai)

    def judged(identifier: str) -> tuple[int | None, str]:
        (found,) = events.get_single_event(identifier).events
        schema_of = found.event_pipeline_info.event_schema
        return schema_of.version if schema_of else None, found.ingestion_status.status

    assert judged("before") == (1, "INGESTION_COMPLETED_NO_MATCHING_METERS")
    assert judged("after") == (2, "INGESTION_COMPLETED_NO_MATCHING_METERS")
    assert judged("short") == (2, "INGESTION_FAILED")
    assert judged("none") == (None, "INGESTION_FAILED_SCHEMA_NOT_DEFINED")


def test_a_schema_is_deactivated_once_no_meter_is_active(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    customer(tenant.http)
    create(api)
    refused(lambda: api.deactivate_event_schema("ride_completed"), "is a draft")
    schema(tenant.http)
    meter(tenant.http, "idle", active=False)
    now = expect(tenant.http.get("/bursar/v1/clock"), 200)["now"]
    assert api.deactivate_event_schema("llm").status == "INACTIVE"
    assert api.deactivate_event_schema("llm").status == "INACTIVE"
    ingest(tenant.http, event("shut", now))
    assert status_of(tenant.http, "shut") == ["FAILED_SCHEMA_NOT_DEFINED"]
    assert api.activate_event_schema("llm").status == "ACTIVE"
    ingest(tenant.http, event("shut", now))
    assert status_of(tenant.http, "shut") == ["COMPLETED_NO_MATCHING_METERS", "FAILED_SCHEMA_NOT_DEFINED"]
    meter(tenant.http)
    refused(lambda: api.deactivate_event_schema("llm"), "'tokens' is active")
    assert api.get_event_schema("llm").status == "ACTIVE"


def test_an_archived_schema_is_kept_and_does_nothing_more(tenant: Tenant) -> None:
    api = EventSchemasApi(tenant.togai)
    customer(tenant.http)
    schema(tenant.http)
    schema(tenant.http, "other")
    meter(tenant.http, schema_name="other")
    refused(lambda: api.delete_event_schema("other"), "'tokens' is active")
    assert api.delete_event_schema("llm").success
    assert (api.get_event_schema("llm").status, api.get_event_schema("llm").version) == ("ARCHIVED", 1)
    assert [entry.name for entry in api.list_event_schemas().data] == ["other"]
    assert [entry.name for entry in api.list_event_schemas(status="ARCHIVED").data] == ["llm"]
    for call in (api.activate_event_schema, api.deactivate_event_schema, api.delete_event_schema):
        refused(lambda call=call: call("llm"), "archived")
    refused(lambda: update(api, "llm", description="x"), "archived")
    answer = tenant.http.post("/event_schema", json={"name": "llm", "attributes": [], "dimensions": []})
    assert (answer.status_code, "already" in answer.text) == (400, True)
    now = expect(tenant.http.get("/bursar/v1/clock"), 200)["now"]
    ingest(tenant.http, event("late", now))
    assert status_of(tenant.http, "late") == ["FAILED_SCHEMA_NOT_DEFINED"]


def test_events_of_a_draft_are_kept_but_not_measured(tenant: Tenant) -> None:
    customer(tenant.http)
    schema(tenant.http, active=False)
    now = expect(tenant.http.get("/bursar/v1/clock"), 200)["now"]
    ingest(tenant.http, event("early", now))
    assert status_of(tenant.http, "early") == ["FAILED_SCHEMA_NOT_DEFINED"]
    EventSchemasApi(tenant.togai).activate_event_schema("llm")
    ingest(tenant.http, event("late", now))
    assert status_of(tenant.http, "late") == ["COMPLETED_NO_MATCHING_METERS"]


LONG = "x" * 51
BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name"),
    ({"name": ""}, "name"),
    ({"name": " "}, "name"),
    ({"name": LONG}, "name"),
    ({"name": "a/b"}, "name"),
    ({"name": "é"}, "name"),
    ({"name": 7}, "name"),
    ({"description": "x" * 256}, "description"),
    ({"attributes": None}, "attributes"),
    ({"attributes": {}}, "attributes"),
    ({"attributes": [{"name": f"a{i}"} for i in range(51)]}, "attributes"),
    ({"attributes": [{"name": LONG}]}, "attributes[0].name"),
    ({"attributes": [{"name": "distance"}, {"name": "a.b"}]}, "attributes[1].name"),
    ({"attributes": [{"name": "a"}, {"name": "a"}]}, "attributes[1].name"),
    ({"attributes": [{"name": "a", "defaultUnit": "x" * 11}]}, "attributes[0].defaultUnit"),
    ({"attributes": [{"name": "a", "unit": "x"}]}, "unit"),
    ({"attributes": ["a"]}, "attributes[0]"),
    ({"dimensions": [{"name": f"d{i}"} for i in range(51)]}, "dimensions"),
    ({"dimensions": [{"name": "d"}, {"name": "d"}]}, "dimensions[1].name"),
    ({"dimensions": [{}]}, "dimensions[0]"),
    ({"filterFields": ["country"]}, "filterFields[0]"),
    ({"filterFields": ["city", "dimension.city"]}, "filterFields[1]"),
    ({"filterFields": ["c" * 101]}, "filterFields[0]"),
    ({"filterFields": "city"}, "filterFields"),
    ({"eventIdTemplate": "{{id}}"}, "eventIdTemplate: events of the schema carry no 'id'"),
    ({"eventIdTemplate": "{{city}} }"}, "eventIdTemplate: has a brace"),
    ({"eventIdTemplate": "ride-{{schemaName}}"}, "eventIdTemplate: must read a field"),
    ({"eventIdTemplate": "x" * 1001}, "eventIdTemplate"),
    (
        {
            "filterFields": ["class"],
            "enrichments": {
                "fields": [{"name": "class", "type": "DIMENSION", "enrichmentType": "VALUE", "value": "a", "order": 1}]
            },
            "eventIdTemplate": "{{class}}",
        },
        "eventIdTemplate: events of the schema carry no 'class'",
    ),
    ({"enrichments": {"fields": [{"name": "km"}]}}, "enrichments.fields[0]"),
    ({"enrichments": {"fields": [], "dependencies": [{}]}}, "enrichments.dependencies[0]"),
    ({"enrichments": {"fields": [], "dependencies": [{"type": "SETTING", "key": "x", "name": "x"}]}}, "setting."),
    ({"enrichments": {}}, "fields"),
    ({"enrichments": {"fields": [], "more": 1}}, "more"),
    ({"planet": "Mars"}, "planet"),
    ({"description": "a\x00b"}, "NUL"),
]


@pytest.fixture(scope="module")
def empty(server: Server) -> Tenant:
    """One workspace for everything that is refused: nothing is left in it."""
    return server.workspace()


@pytest.mark.parametrize(("change", "word"), BAD)
def test_bad_schemas_are_refused_by_name(empty: Tenant, change: dict[str, Any], word: str) -> None:
    answer = empty.http.post("/event_schema", content=json.dumps({**RIDE, **change}))
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["message"]
    assert word in answer.json()["message"]
    assert empty.http.get("/event_schema").json()["data"] == []


def test_the_limits_themselves_are_taken(tenant: Tenant) -> None:
    body = {
        "name": "x" * 50,
        "description": "é" * 255,
        "attributes": [{"name": f"{i:050}", "defaultUnit": "u" * 10} for i in range(50)],
        "dimensions": [{"name": f"d {i:048}"} for i in range(50)],
        "enrichments": {"fields": []},
    }
    made = EventSchemasApi(tenant.togai).create_event_schema(CreateEventSchemaRequest.from_dict(body))
    assert (len(made.attributes), len(made.dimensions), made.filter_fields) == (50, 50, [])
