"""Settings with the official client, and what it is told when it errs."""

import json
from typing import Any

import httpx
import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.settings_api import SettingsApi
from togai_client.exceptions import BadRequestException, NotFoundException, UnauthorizedException
from togai_client.models.setting import Setting
from togai_client.models.update_setting_request import UpdateSettingRequest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, expect

THRESHOLD: dict[str, Any] = {
    "id": "success_threshold",
    "value": "0.95",
    "entityType": "ACCOUNT",
    "entityId": "acme",
    "namespace": "USER",
    "name": "Success threshold",
    "dataType": "NUMERIC",
}
PATH = "setting.USER.success_threshold.ACCOUNT.acme"


def create(tenant: Tenant, **change: Any) -> Any:
    return SettingsApi(tenant.togai).insert_setting(Setting.from_dict({**THRESHOLD, **change}))


def update(tenant: Tenant, path: str = PATH, **change: Any) -> Any:
    return SettingsApi(tenant.togai).update_setting(path, UpdateSettingRequest.from_dict(change))


def refused(call: Any, *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_setting_is_made_read_and_changed(tenant: Tenant) -> None:
    api = SettingsApi(tenant.togai)
    customer(tenant.http)
    assert create(tenant).to_dict() == THRESHOLD
    assert api.get_setting(PATH).to_dict() == THRESHOLD
    assert update(tenant, value="0.9").to_dict() == {**THRESHOLD, "value": "0.9"}
    assert update(tenant, name="Other").to_dict() == {**THRESHOLD, "value": "0.9", "name": "Other"}
    last = {**THRESHOLD, "value": '{"USD":"1"}', "name": "Base_Currency", "dataType": "JSON"}
    assert update(tenant, value='{"USD":"1"}', name="Base_Currency", dataType="JSON").to_dict() == last
    assert update(tenant).to_dict() == last
    assert api.get_setting(PATH).to_dict() == last
    (shown,) = AccountsApi(tenant.togai).get_account("acme").settings
    assert (shown.id, shown.value, shown.data_type) == ("success_threshold", '{"USD":"1"}', "JSON")


def test_account_customer_and_workspace_have_settings_of_their_own(tenant: Tenant) -> None:
    customer(tenant.http)
    create(tenant)
    create(tenant, entityType="CUSTOMER")
    create(tenant, entityType="ORGANIZATION", entityId=tenant.name)
    create(tenant, namespace="system")
    refused(lambda: create(tenant, value="1"), "id", PATH, "exists already")
    refused(lambda: create(tenant, namespace="User"), PATH)
    api = SettingsApi(tenant.togai)
    assert api.get_setting(f"setting.user.success_threshold.organization.{tenant.name}").entity_id == tenant.name
    assert api.get_setting("setting.SYSTEM.success_threshold.ACCOUNT.acme").namespace == "SYSTEM"
    assert [entry.entity_type for entry in api.list_setting().data] == [
        "ACCOUNT", "CUSTOMER", "ORGANIZATION", "ACCOUNT",
    ]  # fmt: skip


def test_settings_made_with_a_customer_are_the_same_settings(tenant: Tenant) -> None:
    given = {"id": "tier", "value": "gold", "namespace": "USER", "name": "Tier", "dataType": "STRING"}
    customer(tenant.http, settings=[given, {**given, "id": "region"}])
    assert update(tenant, "setting.USER.tier.ACCOUNT.acme", value="silver").value == "silver"
    refused(lambda: create(tenant, id="region"), "exists already")
    body = {"id": "b", "name": "Bcd", "primaryEmail": "b@example.com", "address": {}}
    for settings, word in (
        ([{**given, "dataType": "NUMERIC"}], "settings[0].value"),
        ([given, {**given, "namespace": "user"}], "given twice"),
        ([{**given, "id": "a.b"}], "settings[0].id"),
    ):
        answer = tenant.http.post("/customers", json={**body, "settings": settings})
        assert (answer.status_code, word in answer.text) == (400, True), answer.text


def test_an_account_shows_as_many_as_the_client_can_read(tenant: Tenant) -> None:
    customer(tenant.http)
    for number in range(12):
        create(tenant, id=f"s{number}")
    shown = AccountsApi(tenant.togai).get_account("acme").settings
    assert [entry.id for entry in shown] == [f"s{number}" for number in range(10)]
    assert len(SettingsApi(tenant.togai).list_setting(entity_id="acme").data) == 12


def test_settings_are_listed_in_pages_and_by_every_filter(tenant: Tenant) -> None:
    api = SettingsApi(tenant.togai)
    customer(tenant.http)
    customer(tenant.http, "other")
    for entity in ("acme", "other"):
        for number in range(3):
            create(tenant, id=f"s{number}", entityId=entity)
    create(tenant, id="s0", entityType="CUSTOMER", namespace="SYSTEM")

    def ids(**filters: Any) -> list[str]:
        page = api.list_setting(**filters)
        assert page.next_token is None
        return [f"{entry.entity_id}/{entry.id}" for entry in page.data]

    assert ids(entity_id="other") == ["other/s0", "other/s1", "other/s2"]
    assert ids(entity_type="CUSTOMER") == ["acme/s0"]
    assert ids(setting_id="s1") == ["acme/s1", "other/s1"]
    assert ids(namespace="system") == ["acme/s0"]
    assert ids(namespace="USER", setting_id="s0", entity_id="acme", entity_type="ACCOUNT") == ["acme/s0"]
    assert ids(setting_id="none") == []
    first = api.list_setting(entity_type="ACCOUNT", page_size=4)
    rest = api.list_setting(next_token=first.next_token)
    assert (first.context.page_size, len(first.data), rest.next_token) == (4, 4, None)
    assert [entry.id for entry in rest.data] == ["s1", "s2"]
    refused(lambda: api.list_setting(entity_type="PLANET"), "entity_type")
    refused(lambda: api.list_setting(next_token="x"), "nextToken")
    refused(lambda: api.list_setting(page_size=101), "pageSize")


def test_what_does_not_exist_is_not_found(server: Server, tenant: Tenant) -> None:
    api = SettingsApi(tenant.togai)
    customer(tenant.http)
    create(tenant)
    for path in (PATH + "x", "setting.USER.other.ACCOUNT.acme", "setting.USER.success_threshold", "nothing"):
        with pytest.raises(NotFoundException):
            api.get_setting(path)
        with pytest.raises(NotFoundException):
            update(tenant, path, value="1")
    with pytest.raises(NotFoundException):
        SettingsApi(server.workspace().togai).get_setting(PATH)
    anonymous = httpx.get(f"{tenant.url}/settings/{PATH}")
    assert anonymous.status_code == 401
    tenant.togai.configuration.access_token = "wrong"
    with pytest.raises(UnauthorizedException):
        api.get_setting(PATH)


def test_what_is_archived_keeps_its_settings(tenant: Tenant) -> None:
    customer(tenant.http)
    create(tenant)
    create(tenant, entityType="CUSTOMER")
    expect(tenant.http.delete("/customers/acme"), 200)
    assert SettingsApi(tenant.togai).get_setting(PATH).value == "0.95"
    refused(lambda: update(tenant, value="1"), "archived")
    refused(lambda: update(tenant, "setting.USER.success_threshold.CUSTOMER.acme", value="1"), "archived")
    refused(lambda: create(tenant, id="more"), "archived")


BAD: list[tuple[dict[str, Any], str]] = [
    *(({field: None}, field) for field in THRESHOLD),
    ({"id": ""}, "id"),
    ({"id": "a.b"}, "id"),
    ({"id": "a\n"}, "id"),
    ({"id": "x" * 101}, "id"),
    ({"namespace": "a b"}, "namespace"),
    ({"namespace": "x" * 51}, "namespace"),
    ({"name": "x" * 256}, "name"),
    ({"value": "x" * 10_001, "dataType": "STRING"}, "value"),
    ({"value": 1}, "value"),
    ({"value": "one"}, "value: must be a number"),
    ({"value": "{", "dataType": "JSON"}, "value: must be JSON"),
    ({"value": '{"fly":[]}', "dataType": "JSON_LOGIC"}, "value: operator"),
    ({"dataType": "BLOB"}, "dataType"),
    ({"entityType": "PLANET"}, "entityType"),
    ({"entityId": "nobody"}, "entityId: account 'nobody' was not found"),
    ({"entityType": "CUSTOMER", "entityId": "nobody"}, "entityId: customer 'nobody' was not found"),
    ({"entityType": "ORGANIZATION", "entityId": "acme"}, "entityId: must be"),
    ({"value": "a\x00b", "dataType": "STRING"}, "NUL"),
    ({"planet": "Mars"}, "planet"),
]


@pytest.fixture(scope="module")
def empty(server: Server) -> Tenant:
    """One workspace for everything that is refused: nothing is left in it."""
    made = server.workspace()
    customer(made.http)
    return made


@pytest.mark.parametrize(("change", "word"), BAD)
def test_bad_settings_are_refused_by_name(empty: Tenant, change: dict[str, Any], word: str) -> None:
    answer = empty.http.post("/settings", content=json.dumps({**THRESHOLD, **change}))
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["message"]
    assert word in answer.json()["message"]
    assert empty.http.get("/settings").json()["data"] == []


def test_bad_changes_are_refused_by_name(tenant: Tenant) -> None:
    customer(tenant.http)
    create(tenant)
    for change, word in (
        ({"value": "one"}, "value"),
        ({"dataType": "JSON_LOGIC", "value": "{"}, "value"),
        ({"name": "x" * 256}, "name"),
        ({"entityId": "other"}, "entityId"),
    ):
        answer = tenant.http.patch(f"/settings/{PATH}", json=change)
        assert (answer.status_code, word in answer.json()["message"]) == (400, True), answer.text
    assert SettingsApi(tenant.togai).get_setting(PATH).to_dict() == THRESHOLD
