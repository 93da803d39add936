"""Contractors at the carrier's door."""

import pytest

from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import contractor, document, get, make, send


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace()


def test_a_life(tenant: Tenant) -> None:
    number = contractor(tenant, "first", description="d", address="Street 1", phones="+1", **{"external-id": "77"})
    data = get(tenant, f"contractors/{number}")["data"]
    assert data == {
        "id": number,
        "type": "contractors",
        "links": {"self": f"{tenant.url}/api/rest/admin/contractors/{number}"},
        "attributes": {
            "name": "first", "enabled": True, "vendor": True, "customer": True, "description": "d",
            "address": "Street 1", "phones": "+1", "external-id": 77,
        },
        "relationships": {
            "smtp-connection": {
                "links": {
                    "self": f"{tenant.url}/api/rest/admin/contractors/{number}/relationships/smtp-connection",
                    "related": f"{tenant.url}/api/rest/admin/contractors/{number}/smtp-connection",
                },
                "data": None,
            }
        },
    }  # fmt: skip
    changed = send(tenant, "PATCH", f"contractors/{number}", document("contractors", {"phones": None}, number))
    assert changed.status_code == 200, changed.text
    assert changed.json()["data"]["attributes"]["phones"] is None
    assert send(tenant, "DELETE", f"contractors/{number}").status_code == 204
    assert send(tenant, "GET", f"contractors/{number}").status_code == 404
    assert contractor(tenant, "first", **{"external-id": 77}) != number


def test_everything_wrong_is_told_at_once(tenant: Tenant) -> None:
    contractor(tenant, "taken", **{"external-id": 5})
    sent = {"name": "taken", "vendor": False, "customer": False, "external-id": 5}
    answer = send(tenant, "POST", "contractors", document("contractors", sent))
    assert answer.status_code == 422
    assert [error["detail"] for error in answer.json()["errors"]] == [
        "name - has already been taken",
        "vendor - Must be customer and/or vendor",
        "customer - Must be customer and/or vendor",
        "external-id - has already been taken",
    ]


def test_mail_goes_by_a_connection_that_exists(tenant: Tenant) -> None:
    given = {"name": "mail", "host": "mail.example.com", "from-address": "billing@example.com"}
    connection = make(tenant, "smtp-connections", document("smtp-connections", given))["id"]
    number = contractor(tenant, "mailed")
    path = f"contractors/{number}/relationships/smtp-connection"
    unknown = send(tenant, "PATCH", path, {"data": {"type": "smtp-connections", "id": "999999"}})
    assert unknown.json()["errors"][0]["detail"] == "smtp-connection - must exist"
    known = {"data": {"type": "smtp-connections", "id": connection}}
    assert send(tenant, "PATCH", path, known).status_code == 204
    found = get(tenant, f"contractors/{number}?include=smtp-connection")
    assert [one["attributes"]["name"] for one in found["included"]] == ["mail"]
    rows = get(tenant, f"contractors?filter[smtp-connection.id]={connection}")["data"]
    assert [row["id"] for row in rows] == [number]
    assert send(tenant, "DELETE", path).status_code == 204
    assert get(tenant, path)["data"] is None


def test_what_a_contractor_must_be(tenant: Tenant) -> None:
    plain = make(tenant, "contractors", document("contractors", {"name": "defaults", "vendor": "1"}))
    shown = plain["attributes"]
    assert (shown["enabled"], shown["vendor"], shown["customer"]) == (True, True, False)
    for given, expected in (
        ({}, ["name - can't be blank", "vendor - Must be customer and/or vendor",
              "customer - Must be customer and/or vendor"]),
        ({"name": "x", "customer": True, "external-id": "x"}, ["external-id - is not a number"]),
        ({"name": "x", "customer": True, "external-id": 2**63},
         ["external-id - must be less than or equal to 9223372036854775807"]),
    ):  # fmt: skip
        answer = send(tenant, "POST", "contractors", document("contractors", given))
        assert answer.status_code == 422, answer.text
        assert [error["detail"] for error in answer.json()["errors"]] == expected
    neither = document("contractors", {"vendor": False}, plain["id"])
    answer = send(tenant, "PUT", f"contractors/{plain['id']}", neither)
    assert [(error["detail"], error["source"]["pointer"]) for error in answer.json()["errors"]] == [
        ("vendor - Must be customer and/or vendor", "/data/attributes/vendor"),
        ("customer - Must be customer and/or vendor", "/data/attributes/customer"),
    ]


def test_contacts_and_logins_go_with_their_contractor(tenant: Tenant) -> None:
    number = contractor(tenant, "going")
    contact = make(tenant, "contacts", document("contacts", {"email": "a@b"}, contractor=("contractors", number)))["id"]
    given = {"customer-id": number, "login": f"going-{tenant.name}", "password": "p"}
    login = make(tenant, "api-accesses", document("api-accesses", given))["id"]
    auth = {"auth": {"login": given["login"], "password": "p"}}
    token = tenant.http.post("/api/rest/customer/v1/auth", json=auth).json()["jwt"]
    portal = {"authorization": token}
    assert tenant.http.get("/api/rest/customer/v1/accounts", headers=portal).status_code == 200
    assert send(tenant, "DELETE", f"contractors/{number}").status_code == 204
    for path in (f"contacts/{contact}", f"api-accesses/{login}"):
        assert send(tenant, "GET", path).status_code == 404
    assert tenant.http.get("/api/rest/customer/v1/accounts", headers=portal).status_code == 401
    assert tenant.http.post("/api/rest/customer/v1/auth", json=auth).status_code == 401


def test_lists_are_cut_sorted_and_filtered(tenant: Tenant) -> None:
    numbers = [contractor(tenant, f"List {letter}") for letter in "bca"]
    found = get(tenant, "contractors?filter[name_start]=list&sort=-name&page[size]=2")
    assert [row["attributes"]["name"] for row in found["data"]] == ["List c", "List b"]
    assert found["meta"] == {"total-count": 3}
    base = f"{tenant.url}/api/rest/admin/contractors?filter%5Bname_start%5D=list"
    assert found["links"] == {
        "first": f"{base}&page%5Bnumber%5D=1&page%5Bsize%5D=2&sort=-name",
        "next": f"{base}&page%5Bnumber%5D=2&page%5Bsize%5D=2&sort=-name",
        "last": f"{base}&page%5Bnumber%5D=2&page%5Bsize%5D=2&sort=-name",
    }
    assert [row["id"] for row in get(tenant, "contractors?filter[name]=List a,List b")["data"]] == [
        numbers[0],
        numbers[2],
    ]
