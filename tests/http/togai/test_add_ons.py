"""Add-ons with the official client, and what it is told when it errs."""

from collections.abc import Callable
from typing import Any

import pytest
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.exceptions import BadRequestException, NotFoundException, UnauthorizedException
from togai_client.models.create_add_on_request import CreateAddOnRequest
from togai_client.models.update_add_on_request import UpdateAddOnRequest

from tests.conftest import Tenant
from tests.http.togai.catalog import expect


def create(api: AddOnsApi, name: str, kind: str = "FIXED_FEE", **more: Any) -> Any:
    return api.create_add_on(CreateAddOnRequest.from_dict({"name": name, "type": kind, **more}))


@pytest.mark.parametrize("kind", ["LICENSE", "FIXED_FEE", "CREDIT_GRANT", "NAMED_LICENSE"])
def test_each_type_is_made_and_read(tenant: Tenant, kind: str) -> None:
    api = AddOnsApi(tenant.togai)
    made = create(api, "Support", kind)
    assert made.id.startswith("addon.")
    assert (made.name, made.type, made.status) == ("Support", kind, "ACTIVE")
    assert (made.billable_name, made.display_name) == (None, "Support")
    assert api.get_add_on(made.id).to_dict() == made.to_dict()


def test_the_billable_name_is_shown_before_the_name(tenant: Tenant) -> None:
    api = AddOnsApi(tenant.togai)
    made = create(api, "support", billableName="Gold Support")
    assert (made.billable_name, made.display_name) == ("Gold Support", "Gold Support")
    renamed = api.update_add_on(made.id, UpdateAddOnRequest(name="helpdesk"))
    assert (renamed.name, renamed.display_name, renamed.created_at) == ("helpdesk", "Gold Support", made.created_at)
    bare = api.update_add_on(made.id, UpdateAddOnRequest(billable_name=""))
    assert (bare.name, bare.billable_name, bare.display_name) == ("helpdesk", None, "helpdesk")
    assert api.update_add_on(made.id, UpdateAddOnRequest()).to_dict() == bare.to_dict()


def test_lists_in_pages_and_by_status(tenant: Tenant) -> None:
    api = AddOnsApi(tenant.togai)
    made = [create(api, f"a{n}").id for n in range(5)]
    assert api.delete_add_on(made[3]).success is True
    seen, token = [], None
    while True:
        page = api.get_add_ons(page_size=2, next_token=token)
        seen += [entry.id for entry in page.data]
        token = page.next_token
        if token is None:
            break
    assert seen == [identifier for identifier in made if identifier != made[3]]
    assert [entry.id for entry in api.get_add_ons(status="ARCHIVED").data] == [made[3]]
    assert len(api.get_add_ons(status="ACTIVE").data) == 4
    assert tenant.http.get("/addons", params={"status": "GONE"}).status_code == 400


def test_an_archived_add_on_is_read_and_not_changed_and_its_name_is_free(tenant: Tenant) -> None:
    api = AddOnsApi(tenant.togai)
    made = create(api, "Setup")
    api.delete_add_on(made.id)
    assert api.get_add_on(made.id).status == "ARCHIVED"
    calls: list[Callable[[], object]] = [
        lambda: api.update_add_on(made.id, UpdateAddOnRequest(name="x")),
        lambda: api.delete_add_on(made.id),
    ]
    for call in calls:
        with pytest.raises(BadRequestException, match="archived"):
            call()
    assert create(api, "Setup").id != made.id


def test_a_name_is_taken_once(tenant: Tenant) -> None:
    api = AddOnsApi(tenant.togai)
    create(api, "one")
    two = create(api, "two")
    calls: list[Callable[[], object]] = [
        lambda: create(api, "one", "LICENSE"),
        lambda: api.update_add_on(two.id, UpdateAddOnRequest(name="one")),
    ]
    for call in calls:
        with pytest.raises(BadRequestException, match="already"):
            call()
    assert api.update_add_on(two.id, UpdateAddOnRequest(name="two")).name == "two", "its own name is not in its way"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "name"),
        ({"name": "a"}, "type"),
        ({"name": "a", "type": "GIFT"}, "type"),
        ({"name": "", "type": "LICENSE"}, "name"),
        ({"name": "  ", "type": "LICENSE"}, "name"),
        ({"name": "x" * 256, "type": "LICENSE"}, "name"),
        ({"name": "a", "type": "LICENSE", "billableName": "x" * 256}, "billableName"),
        ({"name": "a", "type": "LICENSE", "status": "ACTIVE"}, "status"),
    ],
)
def test_bad_add_ons_are_refused_by_field(tenant: Tenant, body: dict[str, Any], word: str) -> None:
    answer = tenant.http.post("/addons", json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    assert tenant.http.get("/addons").json()["data"] == []


def test_what_does_not_exist_and_who_may_not(tenant: Tenant) -> None:
    api = AddOnsApi(tenant.togai)
    calls: list[Callable[[], object]] = [
        lambda: api.get_add_on("addon.none"),
        lambda: api.update_add_on("addon.none", UpdateAddOnRequest(name="x")),
        lambda: api.delete_add_on("addon.none"),
    ]
    for call in calls:
        with pytest.raises(NotFoundException, match="was not found"):
            call()
    tenant.togai.configuration.access_token = "nobody"
    with pytest.raises(UnauthorizedException):
        api.get_add_ons()
    made = expect(tenant.http.post("/addons", json={"name": "a", "type": "LICENSE"}), 200)
    kind = tenant.http.patch(f"/addons/{made['id']}", json={"type": "FIXED_FEE"})
    assert kind.status_code == 400, "the type of an add-on stays"
