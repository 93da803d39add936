"""Events without an id, whose schema gives them one: with the official client, on the running server."""

from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.event_management_api import EventManagementApi
from togai_client.api.event_schemas_api import EventSchemasApi
from togai_client.exceptions import NotFoundException
from togai_client.models.update_event_schema_request import UpdateEventSchemaRequest

from bursar.runtime.proof import prove
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, event, ingest, meter, schema, status_of

AT = "2024-05-01T10:00:00Z"


@pytest.fixture
def ready(server: Server) -> Tenant:
    tenant = server.workspace(clock=datetime(2024, 5, 2, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http, eventIdTemplate="{{accountId}}~{{model}}~{{timestamp}}")
    meter(tenant.http)
    return tenant


def update(tenant: Tenant, **change: Any) -> Any:
    body = UpdateEventSchemaRequest.from_dict(change)
    return EventSchemasApi(tenant.togai).event_schema_event_schema_name_patch("llm", body)


def test_an_event_without_id_gets_one_that_counts_it_once(server: Server, ready: Tenant) -> None:
    ingest(ready.http, event(None, AT, tokens=5))
    ingest(ready.http, event(None, "2024-05-01T12:00:00+02:00", tokens=5), event(None, AT, tokens=5, model="small"))
    ingest(ready.http, event(None, AT, tokens=6), event("acme~big~" + AT, AT, tokens=5))
    api = EventManagementApi(ready.togai)
    found = api.get_single_event(f"acme~big~{AT}").events
    assert [entry.event_payload.id for entry in found] == [f"acme~big~{AT}"] * 4
    assert [entry.ingestion_status.status.removeprefix("INGESTION_") for entry in found] == [
        "COMPLETED_EVENT_METERED", *["FAILED_DUPLICATE_EVENT"] * 3,
    ]  # fmt: skip
    # What says something else under the same id is told apart from a mere repeat.
    conflicts = [entry for entry in found if entry.ingestion_status.status_description == "Another event has this id"]
    assert [entry.event_payload.attributes[0].value for entry in conflicts] == ["6"]
    assert status_of(ready.http, f"acme~small~{AT}") == ["COMPLETED_EVENT_METERED"]
    listed = api.get_events(schema_name="llm").events
    assert {entry.event_payload.id for entry in listed} == {f"acme~big~{AT}", f"acme~small~{AT}"}
    proof = server.run(lambda db: prove(db, quiet=True))
    assert {name: problems for name, problems in proof.items() if problems} == {}


def test_a_new_template_names_new_events_and_leaves_the_old_ones(server: Server, ready: Tenant) -> None:
    ingest(ready.http, event(None, AT))
    changed = update(ready, eventIdTemplate="{model}-{tokens}")
    assert (changed.version, changed.event_id_template) == (2, "{model}-{tokens}")
    ingest(ready.http, event(None, AT), event(None, AT))
    assert status_of(ready.http, "big-1") == ["COMPLETED_EVENT_METERED", "FAILED_DUPLICATE_EVENT"]
    assert status_of(ready.http, f"acme~big~{AT}") == ["COMPLETED_EVENT_METERED"]
    removed = update(ready, eventIdTemplate="")
    assert (removed.version, removed.event_id_template) == (3, None)
    ingest(ready.http, event(None, AT, model="none"))
    with pytest.raises(NotFoundException):
        EventManagementApi(ready.togai).get_single_event("none-1")
    nameless = EventManagementApi(ready.togai).get_events(status="INGESTION_FAILED_NO_EVENT_ID").events
    assert [(entry.event_payload.id, entry.event_payload.dimensions["model"]) for entry in nameless] == [(None, "none")]
    proof = server.run(lambda db: prove(db, quiet=True))
    assert proof["I12 rollups equal the raw events"] == []


def test_what_the_template_lacks_is_told(ready: Tenant) -> None:
    ingest(ready.http, event(None, AT, dimensions={"region": "eu"}))
    (found,) = EventManagementApi(ready.togai).get_events(status="UNPROCESSED").events
    assert found.ingestion_status.status == "INGESTION_FAILED_NO_EVENT_ID"
    assert found.ingestion_status.status_description == "eventIdTemplate: dimensions.model is missing"


def test_a_refused_event_mends_under_the_id_that_it_was_given(ready: Tenant) -> None:
    ingest(ready.http, event(None, AT, account="late"))
    assert status_of(ready.http, f"late~big~{AT}") == ["FAILED_ACCOUNT_NOT_FOUND"]
    customer(ready.http, "late")
    ingest(ready.http, event(None, AT, account="late"))
    assert status_of(ready.http, f"late~big~{AT}") == ["COMPLETED_EVENT_METERED", "FAILED_ACCOUNT_NOT_FOUND"]
