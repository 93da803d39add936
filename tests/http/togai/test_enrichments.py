"""Enrichments with the official client: what is added, shown and measured, also again after settings have changed."""

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from togai_client.api.event_management_api import EventManagementApi
from togai_client.api.event_schemas_api import EventSchemasApi
from togai_client.api.settings_api import SettingsApi
from togai_client.models.create_event_schema_request import CreateEventSchemaRequest
from togai_client.models.setting import Setting
from togai_client.models.update_event_schema_request import UpdateEventSchemaRequest
from togai_client.models.update_setting_request import UpdateSettingRequest

from bursar.runtime.proof import prove
from bursar.usage import quantities
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, expect, ingest, meter, per_unit, plan, status_of

START = datetime(2024, 5, 1, tzinfo=UTC)
KEY_OF_ACCOUNT = "select key from account where workspace = $1 and togai_id = $2"
KEY_OF_METER = "select key from usage_meter where workspace = $1 and wire_id = $2"
AT = "2024-05-01T10:00:00Z"
KM: dict[str, Any] = {
    "name": "distanceInKM",
    "type": "ATTRIBUTE",
    "enrichmentType": "JSON_LOGIC",
    "value": '{"/":[{"var":["attribute.distance"]},{"var":["dependencies.meters_per_km"]}]}',
    "order": 1,
}
METERS = {"type": "SETTING", "key": "setting.user.meters_per_km", "name": "meters_per_km"}
LONG = {
    "name": "class",
    "type": "DIMENSION",
    "enrichmentType": "JSON_LOGIC",
    "value": '{"if":[{">":[{"var":"attributes.distanceInKM"},10]},"long","short"]}',
    "order": 2,
}
RIDE: dict[str, Any] = {
    "name": "ride_completed",
    "attributes": [{"name": "distance"}],
    "dimensions": [{"name": "city"}],
    "filterFields": ["city", "class"],
    "enrichments": {"dependencies": [METERS], "fields": [LONG, KM]},
}


def ride(identifier: str, meters: Any, account: str = "acme", **more: Any) -> dict[str, Any]:
    return {
        "schemaName": "ride_completed",
        "id": identifier,
        "timestamp": AT,
        "accountId": account,
        "attributes": [{"name": "distance", "value": str(meters)}],
        "dimensions": {"city": "Rome"},
        **more,
    }


def setting(tenant: Tenant, value: str, entity: str = "ORGANIZATION", entity_id: str | None = None) -> str:
    name = entity_id or tenant.name
    body = {
        "id": "meters_per_km", "value": value, "entityType": entity, "entityId": name, "namespace": "USER",
        "name": "Metres", "dataType": "NUMERIC",
    }  # fmt: skip
    SettingsApi(tenant.togai).insert_setting(Setting.from_dict(body))
    return f"setting.USER.meters_per_km.{entity}.{name}"


def change(tenant: Tenant, path: str, value: str) -> None:
    SettingsApi(tenant.togai).update_setting(path, UpdateSettingRequest(value=value))


def summed(tenant: Tenant, name: str = "km", **more: Any) -> str:
    computation = [{"computation": json.dumps({"var": "attributes.distanceInKM"}), "order": 1}]
    return meter(tenant.http, name, "ride_completed", computations=computation, **more)


@pytest.fixture
def ready(server: Server) -> Tenant:
    """A workspace with two accounts of two customers and the contract's schema, active."""
    tenant = server.workspace(clock=datetime(2024, 5, 2, tzinfo=UTC))
    customer(tenant.http)
    customer(tenant.http, "other")
    api = EventSchemasApi(tenant.togai)
    api.create_event_schema(CreateEventSchemaRequest.from_dict(RIDE))
    api.activate_event_schema("ride_completed")
    return tenant


def info(tenant: Tenant, identifier: str) -> Any:
    return EventManagementApi(tenant.togai).get_single_event(identifier).events[0].event_pipeline_info


def units(tenant: Tenant, identifier: str) -> list[float | None]:
    return [entry.units for entry in info(tenant, identifier).usage_meters]


def used(server: Server, tenant: Tenant, account: str, meter_id: str, start: datetime, end: datetime) -> Decimal:
    """What an account used in `[start, end)`; bounds off the 15-minute grid are measured again from what was sent."""

    async def work(db: Any) -> Decimal:
        async with db.reading(tenant.caller.workspace) as connection:
            workspace = tenant.caller.workspace
            key = await connection.fetchval(KEY_OF_ACCOUNT, workspace, account)
            metered = await connection.fetchval(KEY_OF_METER, workspace, meter_id)
            (found,) = await quantities.sums(connection, workspace, [(key, metered, start, end)])
            return found

    result: Decimal = server.run(work)
    return result


def test_the_schema_shows_what_it_adds(ready: Tenant) -> None:
    api = EventSchemasApi(ready.togai)
    shown = api.get_event_schema("ride_completed").to_dict()
    assert shown["enrichments"] == RIDE["enrichments"]
    (listed,) = api.list_event_schemas().data
    assert listed.enrichments.to_dict() == RIDE["enrichments"]
    bare = UpdateEventSchemaRequest.from_dict({"enrichments": {"fields": []}, "filterFields": []})
    assert api.event_schema_event_schema_name_patch("ride_completed", bare).enrichments is None
    old = api.get_event_schema("ride_completed", version=1)
    assert (old.status, old.enrichments.to_dict()) == ("ARCHIVED", RIDE["enrichments"])


def test_added_fields_are_measured_filtered_and_shown(ready: Tenant) -> None:
    setting(ready, "1000")
    summed(ready)
    summed(ready, "long", filters=[{"field": "class", "value": "long"}])
    ingest(ready.http, ride("near", 2500), ride("far", "12345.6"))
    assert units(ready, "near") == [2.5, None]
    assert units(ready, "far") == [12.3456, 12.3456]
    shown = info(ready, "far").enrichments.to_dict()
    assert shown == {
        "attributes": [{"name": "distanceInKM", "type": "ATTRIBUTE", "value": "12.3456"}],
        "dimensions": [{"name": "class", "type": "DIMENSION", "value": "long"}],
        "dependencies": [{**METERS, "value": "1000"}],
    }
    (sent,) = EventManagementApi(ready.togai).get_single_event("far").events
    assert [entry.name for entry in sent.event_payload.attributes] == ["distance"]


def test_what_fails_says_why_and_may_be_sent_again(ready: Tenant) -> None:
    ingest(ready.http, ride("a", 5000))
    (found,) = EventManagementApi(ready.togai).get_single_event("a").events
    assert found.ingestion_status.status == "INGESTION_FAILED_ENRICHMENT_FAILED"
    reason = 'distanceInKM: "/" needs numbers, not null (is a variable missing?); setting.user.meters_per_km is not set'
    assert found.ingestion_status.status_description == reason
    path = setting(ready, "0")
    ingest(ready.http, ride("b", 5000))
    (found,) = EventManagementApi(ready.togai).get_single_event("b").events
    assert found.ingestion_status.status_description == "distanceInKM: division by zero"
    change(ready, path, "1000")
    ingest(ready.http, ride("a", 5000), ride("b", 5000))
    assert status_of(ready.http, "a") == ["COMPLETED_NO_MATCHING_METERS", "FAILED_ENRICHMENT_FAILED"]
    assert status_of(ready.http, "b") == ["COMPLETED_NO_MATCHING_METERS", "FAILED_ENRICHMENT_FAILED"]


def test_the_nearest_setting_holds_and_the_past_stays_as_it_was(server: Server, ready: Tenant) -> None:
    everyone = setting(ready, "1000")
    meter_id = summed(ready)
    ingest(ready.http, ride("a1", 6000), ride("o1", 6000, "other"))
    setting(ready, "2000", "CUSTOMER", "acme")
    ingest(ready.http, ride("a2", 6000), ride("o2", 6000, "other"))
    own = setting(ready, "3000", "ACCOUNT", "acme")
    change(ready, everyone, "600")
    ingest(ready.http, ride("a3", 6000), ride("o3", 6000, "other"))
    change(ready, own, "500")
    change(ready, "setting.USER.meters_per_km.CUSTOMER.acme", "1")
    ingest(ready.http, ride("a4", 6000))
    expected = {"a1": 6, "a2": 3, "a3": 2, "a4": 12, "o1": 6, "o2": 6, "o3": 10}
    assert {name: units(ready, name) for name in expected} == {name: [value] for name, value in expected.items()}
    # From the rollups, and from the raw events between bounds off the grid.
    for end in (datetime(2024, 5, 2, tzinfo=UTC), datetime(2024, 5, 1, 10, 0, 1, tzinfo=UTC)):
        assert used(server, ready, "acme", meter_id, START, end) == 23
        assert used(server, ready, "other", meter_id, START, end) == 22
    update = {"enrichments": {"fields": [{**KM, "enrichmentType": "VALUE", "value": "7"}]}, "filterFields": []}
    EventSchemasApi(ready.togai).event_schema_event_schema_name_patch(
        "ride_completed", UpdateEventSchemaRequest.from_dict(update)
    )
    ingest(ready.http, ride("a5", 6000))
    assert (units(ready, "a5"), units(ready, "a4")) == ([7], [12])
    proof = server.run(lambda db: prove(db, quiet=True))
    assert proof["I12 rollups equal the raw events"] == []


def test_a_changed_setting_holds_for_the_next_event(server: Server, ready: Tenant) -> None:
    """As it was counted at admission: an event that is shown is computed anew, and would hide an old value there."""
    everyone = setting(ready, "1000")
    meter_id = summed(ready)
    rolled = {"acme": Decimal(0), "other": Decimal(0)}

    def counted(name: str) -> list[Decimal]:
        ingest(ready.http, *(ride(f"{name}-{account}", 60_000, account) for account in rolled))
        before = dict(rolled)
        for account in rolled:
            rolled[account] = used(server, ready, account, meter_id, START, datetime(2024, 5, 2, tzinfo=UTC))
        return [rolled[account] - before[account] for account in rolled]

    for number in range(4):  # so that every flusher remembers both accounts
        assert counted(f"before-{number}") == [60, 60]
    own = setting(ready, "2000", "ACCOUNT", "acme")
    for number in range(4):
        assert counted(f"own-{number}") == [30, 60]
    change(ready, own, "3000")
    assert counted("own") == [20, 60]
    theirs = setting(ready, "4000", "CUSTOMER", "other")
    assert counted("customer") == [20, 15]
    change(ready, theirs, "5000")
    assert counted("customers") == [20, 12]
    change(ready, everyone, "1")
    assert counted("everyone") == [20, 12]
    customer(ready.http, "third")
    ingest(ready.http, ride("third", 6000, "third"))
    assert used(server, ready, "third", meter_id, START, datetime(2024, 5, 2, tzinfo=UTC)) == 6000


def test_a_rule_may_come_from_a_setting(ready: Tenant) -> None:
    body = {
        **RIDE,
        "name": "tariff",
        "filterFields": [],
        "enrichments": {
            "dependencies": [{"type": "SETTING", "key": "setting.USER.rule.ACCOUNT.acme", "name": "rule"}],
            "fields": [{**KM, "enrichmentType": "JSON_LOGIC_FROM_DEPENDENCY", "value": "dependencies.rule"}],
        },
    }
    api = EventSchemasApi(ready.togai)
    made = api.create_event_schema(CreateEventSchemaRequest.from_dict(body))
    assert made.enrichments.to_dict() == body["enrichments"]
    api.activate_event_schema("tariff")
    rule = {
        "id": "rule", "value": '{"+":[{"var":"attributes.distance"},1]}', "entityType": "ACCOUNT", "entityId": "acme",
        "namespace": "USER", "name": "Rule", "dataType": "JSON_LOGIC",
    }  # fmt: skip
    SettingsApi(ready.togai).insert_setting(Setting.from_dict(rule))
    # A setting that is named in full holds for every account.
    for account in ("acme", "other"):
        ingest(ready.http, ride(account, 5, account, schemaName="tariff"))
        (added,) = info(ready, account).enrichments.attributes
        assert added.value == "6"


def test_an_invoice_explains_itself_by_what_was_added(ready: Tenant) -> None:
    setting(ready, "1000")
    priced = plan(ready.http, [card(summed(ready), per_unit(0), [2])])
    body = {"pricePlanId": priced, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(ready.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(ready.http, ride("a", 1500), ride("b", 30000))
    expect(ready.http.post("/bursar/v1/clock", json={"now": "2024-06-10T00:00:00Z"}), 200)
    (invoice,) = expect(ready.http.get("/invoices", params={"status": "DUE", "owner_id": "acme"}), 200)["data"]
    assert invoice["totalAmount"] == 63
    found = expect(ready.http.get(f"/bursar/v1/invoices/{invoice['id']}/lines/1/explain"), 200)
    assert [(event["quantity"], event["dimensions"]) for event in found["events"]] == [
        (1.5, {"city": "Rome", "class": "short"}),
        (30, {"city": "Rome", "class": "long"}),
    ]


def test_every_event_is_judged_by_one_value_of_a_setting_that_changes_all_the_while(
    server: Server, ready: Tenant
) -> None:
    """Each change raises the value; batches go on meanwhile. What each event shows must be what was counted."""
    path = setting(ready, "1")
    meter_id = summed(ready)
    done = threading.Event()

    def keep_changing() -> None:
        for value in range(2, 26):
            change(ready, path, str(value))
        done.set()

    changer = threading.Thread(target=keep_changing)
    changer.start()
    batches, accounts = 0, ("other", "acme")
    while not done.is_set() or batches < 5:
        ingest(ready.http, *(ride(f"{batches}-{place}", 5_405_400, accounts[place % 2]) for place in range(6)))
        batches += 1
    changer.join()
    seen, totals = [], {"acme": Decimal(0), "other": Decimal(0)}
    for batch in range(batches):
        values = set()
        for place in range(6):
            found = info(ready, f"{batch}-{place}")
            (dependency,) = found.enrichments.dependencies
            values.add(int(dependency.value))
            exact = (Decimal(5_405_400) / Decimal(dependency.value)).quantize(Decimal("1e-12"))
            assert found.usage_meters[0].units == pytest.approx(float(exact))
            totals[accounts[place % 2]] += exact
        assert len(values) == 1, "one request is judged by one version"
        seen.append(values.pop())
    assert seen == sorted(seen)
    assert len(set(seen)) > 2, "the changes and the events did not meet"
    for account, total in totals.items():
        assert used(server, ready, account, meter_id, START, datetime(2024, 5, 2, tzinfo=UTC)) == total
        assert used(server, ready, account, meter_id, START, datetime(2024, 5, 1, 10, 0, 1, tzinfo=UTC)) == total
