"""Accounts at the carrier's door."""

import json
import re
from typing import Any

import pytest

from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import ADMIN, HEADERS, contractor, document, get, make, send

SEED_REQUEST = (
    '{"data":{"type":"accounts","attributes":{"name":"name","min-balance":1,"max-balance":10,"vat":11,'
    '"origination-capacity":100,"termination-capacity":110,"total-capacity":100,"balance-low-threshold":90,'
    '"balance-high-threshold":95,"send-balance-notifications-to":[1],"timezone":"Europe/Kyiv"},"relationships":'
    '{"contractor":{"data":{"type":"contractors","id":4}}}}}'
)
SEED_ANSWER = """{
  "data": {
    "id": "23",
    "type": "accounts",
    "links": {
      "self": "http://example.org/api/rest/admin/accounts/23"
    },
    "attributes": {
      "name": "name",
      "balance": "0.0",
      "min-balance": "1.0",
      "max-balance": "10.0",
      "vat": "11.0",
      "balance-low-threshold": "90.0",
      "balance-high-threshold": "95.0",
      "send-balance-notifications-to": [
        1
      ],
      "destination-rate-limit": null,
      "max-call-duration": null,
      "external-id": null,
      "uuid": "fd868b74-e7d8-11f0-bf40-0a63caf27539",
      "origination-capacity": 100,
      "termination-capacity": 110,
      "total-capacity": 100,
      "send-invoices-to": null,
      "invoice-period-id": null,
      "timezone": "Europe/Kyiv"
    },
    "relationships": {
      "contractor": {
        "links": {
          "self": "http://example.org/api/rest/admin/accounts/23/relationships/contractor",
          "related": "http://example.org/api/rest/admin/accounts/23/contractor"
        },
        "data": {
          "type": "contractors",
          "id": "4"
        }
      },
      "invoice-template": {
        "links": {
          "self": "http://example.org/api/rest/admin/accounts/23/relationships/invoice-template",
          "related": "http://example.org/api/rest/admin/accounts/23/invoice-template"
        },
        "data": null
      }
    }
  }
}"""
SEED_HEADERS = {
    "x-frame-options": "SAMEORIGIN",
    "x-xss-protection": "0",
    "x-content-type-options": "nosniff",
    "x-permitted-cross-domain-policies": "none",
    "referrer-policy": "strict-origin-when-cross-origin",
    "content-type": "application/vnd.api+json",
    "vary": "Accept",
    "cache-control": "max-age=0, private, must-revalidate",
}


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace()


@pytest.fixture(scope="module")
def owner(tenant: Tenant) -> str:
    return contractor(tenant, "owner")


def account(tenant: Tenant, owner: str, name: str, **attributes: Any) -> Any:
    given = {key.replace("_", "-"): value for key, value in attributes.items()}
    return make(tenant, "accounts", document("accounts", {"name": name, **given}, contractor=("contractors", owner)))


def test_the_seed_as_it_is_printed(server: Server) -> None:
    tenant = server.workspace()
    for name in ("one", "two", "three", "four"):
        last = contractor(tenant, name)
    assert last == "4"
    answer = tenant.http.post(
        f"{ADMIN}/accounts", content=SEED_REQUEST, headers={**HEADERS, "host": "example.org", "cookie": ""}
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    number, unique = made["data"]["id"], made["data"]["attributes"]["uuid"]
    expected = json.loads(
        SEED_ANSWER.replace("/23", f"/{number}").replace('"23"', f'"{number}"').replace(
            "fd868b74-e7d8-11f0-bf40-0a63caf27539", unique
        )
    )  # fmt: skip
    expected["data"]["attributes"]["currency"] = "USD"
    assert json.dumps(made) == json.dumps(expected), "every member, in its order"
    assert answer.text == json.dumps(expected, separators=(",", ":"))
    assert {name: answer.headers[name] for name in SEED_HEADERS} == SEED_HEADERS
    assert answer.headers["location"] == f"http://example.org/api/rest/admin/accounts/{number}"
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', answer.headers["etag"])
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.headers["x-request-id"])
    assert re.fullmatch(r"\d\.\d{6}", answer.headers["x-runtime"])
    assert answer.headers["content-length"] == str(len(answer.content))
    shown = tenant.http.get(f"{ADMIN}/accounts/{number}", headers={"host": "example.org"})
    assert shown.text == answer.text
    assert shown.headers["etag"] == answer.headers["etag"]
    again = tenant.http.get(
        f"{ADMIN}/accounts/{number}", headers={"host": "example.org", "if-none-match": shown.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == shown.headers["etag"]


def test_everything_that_can_be_sent_comes_back(tenant: Tenant, owner: str) -> None:
    given = {
        "name": "full", "min-balance": "-50.25", "max-balance": 1000, "vat": "20", "balance-low-threshold": 0.333,
        "balance-high-threshold": "1e2", "send-balance-notifications-to": 7, "destination-rate-limit": "0.5",
        "max-call-duration": "3600.9", "external-id": "4711", "uuid": "6F1D9C2E-0000-4000-8000-0123456789ab",
        "origination-capacity": 1, "termination-capacity": 32767, "total-capacity": "5",
        "send-invoices-to": [None, 3, "", "4.2"], "invoice-period-id": 2, "timezone": "Europe/Kyiv", "currency": "USD",
    }  # fmt: skip
    sent = document("accounts", given, contractor=("contractors", owner), invoice_template=("invoice-templates", "9"))
    made = make(tenant, "accounts", sent)
    assert made["attributes"] == {
        "name": "full", "balance": "0.0", "min-balance": "-50.25", "max-balance": "1000.0", "vat": "20.0",
        "balance-low-threshold": "0.333", "balance-high-threshold": "100.0", "send-balance-notifications-to": [7],
        "destination-rate-limit": "0.5", "max-call-duration": 3600, "external-id": 4711,
        "uuid": "6f1d9c2e-0000-4000-8000-0123456789ab", "origination-capacity": 1, "termination-capacity": 32767,
        "total-capacity": 5, "send-invoices-to": [3, 4], "invoice-period-id": 2, "timezone": "Europe/Kyiv",
        "currency": "USD",
    }  # fmt: skip
    assert made["relationships"]["invoice-template"]["data"] == {"type": "invoice-templates", "id": "9"}
    assert get(tenant, f"accounts/{made['id']}")["data"] == made
    put = document("accounts", {"max-call-duration": "", "send-invoices-to": []}, int(made["id"]))
    changed = send(tenant, "PUT", f"accounts/{made['id']}", put)
    assert changed.status_code == 200, changed.text
    kept = {**made["attributes"], "max-call-duration": None, "send-invoices-to": None}
    assert changed.json()["data"]["attributes"] == kept


ABOVE = "must be greater than 0"
NUMBER = "is not a number"
TAKEN = "6f1d9c2e-0000-1000-8000-00000000beef"
WRONG: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"name": ""}, [("name", "can't be blank")]),
    ({"name": "taken"}, [("name", "has already been taken")]),
    ({"name": "x" * 256}, [("name", "is too long (maximum is 255 characters)")]),
    ({"currency": "XXX"}, [("currency", "must exist"), ("currency", "is not found")]),
    ({"currency": None}, [("currency", "must exist")]),
    ({"min-balance": None, "max-balance": ""}, [("min-balance", "can't be blank"), ("max-balance", "can't be blank")]),
    ({"min-balance": "x", "vat": []}, [("min-balance", NUMBER), ("vat", NUMBER)]),
    ({"min-balance": 10, "max-balance": 9}, [("max-balance", "must be greater than or equal to 10.0")]),
    ({"min-balance": "0.5"}, [("max-balance", "must be greater than or equal to 0.5")]),
    ({"vat": -1}, [("vat", "must be greater than or equal to 0")]),
    ({"vat": 101}, [("vat", "must be less than or equal to 100")]),
    ({"vat": "1e30"}, [("vat", "must be less than 100000000000000000000000000")]),
    ({"vat": "0.0000000000001"}, [("vat", "must have at most 12 decimals")]),
    (
        {"balance-low-threshold": 5, "balance-high-threshold": "5.0"},
        [("balance-low-threshold", "must be less than balance high threshold")],
    ),
    ({"destination-rate-limit": -1}, [("destination-rate-limit", "must be greater than or equal to 0")]),
    ({"max-call-duration": 0}, [("max-call-duration", ABOVE)]),
    ({"external-id": 99}, [("external-id", "has already been taken")]),
    ({"external-id": 2**63}, [("external-id", "must be less than or equal to 9223372036854775807")]),
    ({"uuid": "no"}, [("uuid", "is invalid")]),
    ({"uuid": TAKEN}, [("uuid", "has already been taken")]),
    ({"external-id": "99.9", "send-invoices-to": "all"},
     [("external-id", "has already been taken"), ("send-invoices-to", NUMBER)]),
    ({"max-call-duration": "0.9"}, [("max-call-duration", ABOVE)]),
    ({"origination-capacity": 0, "total-capacity": -5}, [("origination-capacity", ABOVE), ("total-capacity", ABOVE)]),
    ({"termination-capacity": "1.5"}, [("termination-capacity", "must be an integer")]),
    ({"termination-capacity": 32768}, [("termination-capacity", "must be less than or equal to 32767")]),
    ({"invoice-period-id": 8}, [("invoice-period-id", "is not included in the list")]),
    ({"timezone": "Mars/Base"}, [("timezone", "Mars/Base is not a valid timezone")]),
    (
        {"name": None, "vat": "x", "currency": "?", "total-capacity": "1.5"},
        [("name", "can't be blank"), ("currency", "must exist"), ("currency", "is not found"), ("vat", NUMBER),
         ("total-capacity", "must be an integer")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "problems"), WRONG, ids=lambda value: str(value)[:60])
def test_each_rule_has_its_message(
    tenant: Tenant, owner: str, given: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    if not get(tenant, "accounts", params={"filter[name]": "taken"})["data"]:
        account(tenant, owner, "taken", external_id=99, uuid=TAKEN.upper())
    sent = document("accounts", {"name": "wrong", **given}, contractor=("contractors", owner))
    answer = send(tenant, "POST", "accounts", sent)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [
        {
            "title": rule, "detail": f"{field} - {rule}", "code": "100",
            "source": {"pointer": f"/data/attributes/{field}"}, "status": "422",
        }
        for field, rule in problems
    ]  # fmt: skip
    assert get(tenant, "accounts", params={"filter[name]": "wrong"})["meta"] == {"total-count": 0}


def test_an_account_needs_a_contractor(tenant: Tenant, owner: str) -> None:
    for sent in (document("accounts", {}), document("accounts", {}, contractor=("contractors", "999"))):
        answer = send(tenant, "POST", "accounts", sent)
        assert [error["detail"] for error in answer.json()["errors"]] == [
            "name - can't be blank",
            "contractor - must exist",
        ]
        assert answer.json()["errors"][1]["source"] == {"pointer": "/data/relationships/contractor"}
    number = account(tenant, owner, "contracted")["id"]
    cleared = send(tenant, "PATCH", f"accounts/{number}/relationships/contractor", {"data": None})
    assert cleared.json()["errors"][0]["detail"] == "contractor - must exist"


def test_it_moves_to_another_contractor(tenant: Tenant, owner: str) -> None:
    number, other = account(tenant, owner, "moving")["id"], contractor(tenant, "other")
    link = {"data": {"type": "contractors", "id": int(other)}}
    path = f"accounts/{number}/relationships/contractor"
    assert send(tenant, "PATCH", path, link).status_code == 204
    assert get(tenant, path) == {
        "data": {"type": "contractors", "id": other},
        "links": {
            "self": f"{tenant.url}{ADMIN}/{path}", "related": f"{tenant.url}{ADMIN}/accounts/{number}/contractor",
        },
    }  # fmt: skip
    assert get(tenant, f"accounts/{number}/contractor")["data"]["attributes"]["name"] == "other"
    assert [row["id"] for row in get(tenant, f"accounts?filter[contractor.id]={other}")["data"]] == [number]


def test_a_template_is_named_whether_it_is_there_or_not(tenant: Tenant, owner: str) -> None:
    number = account(tenant, owner, "templated")["id"]
    named = {"name": "T", "html-template": "<p>"}
    there = make(tenant, "invoice-template", document("invoice-templates", named))
    path = f"accounts/{number}/relationships/invoice-template"
    for key, related in ((there["id"], there), ("987654321", None)):
        link = {"data": {"type": "invoice-templates", "id": key}}
        assert send(tenant, "PATCH", path, link).status_code == 204
        assert get(tenant, path) == {**link, "links": {
            "self": f"{tenant.url}{ADMIN}/{path}", "related": f"{tenant.url}{ADMIN}/accounts/{number}/invoice-template",
        }}  # fmt: skip
        assert get(tenant, f"accounts/{number}/invoice-template") == {"data": related}
        for filtered in ("invoice_template.id", "invoice-template.id"):
            rows = get(tenant, f"accounts?filter[{filtered}]={key}&include=invoice-template")
            assert [row["id"] for row in rows["data"]] == [number]
            assert rows["included"] == ([] if related is None else [related])
    assert send(tenant, "DELETE", path).status_code == 204
    assert get(tenant, f"accounts/{number}")["data"]["relationships"]["invoice-template"]["data"] is None


def test_changes_are_held_against_what_there_is(tenant: Tenant, owner: str) -> None:
    given = {"min_balance": 5, "max_balance": 10, "balance_high_threshold": 7, "external_id": "12"}
    number = account(tenant, owner, "changing", **given)["id"]
    account(tenant, owner, "changing 2", external_id=13)
    for attributes, expected in (
        ({"max-balance": "4.99"}, ["max-balance - must be greater than or equal to 5.0"]),
        ({"balance-low-threshold": 7}, ["balance-low-threshold - must be less than balance high threshold"]),
        ({"timezone": None}, ["timezone - can't be blank"]),
        (
            {"external-id": "13", "name": "changing 2", "vat": 100.5},
            ["name - has already been taken", "vat - must be less than or equal to 100",
             "external-id - has already been taken"],
        ),
    ):  # fmt: skip
        for method in ("PATCH", "PUT"):
            answer = send(tenant, method, f"accounts/{number}", document("accounts", attributes, number))
            assert answer.status_code == 422, answer.text
            assert [error["detail"] for error in answer.json()["errors"]] == expected
    same = document("accounts", {"name": "changing", "external-id": 12, "min-balance": 10}, number)
    shown = send(tenant, "PUT", f"accounts/{number}", same).json()["data"]["attributes"]
    assert (shown["min-balance"], shown["max-balance"], shown["external-id"]) == ("10.0", "10.0", 12)
    freed = send(tenant, "PATCH", f"accounts/{number}", document("accounts", {"external-id": ""}, number))
    assert freed.json()["data"]["attributes"]["external-id"] is None


def test_what_is_fixed(tenant: Tenant, owner: str) -> None:
    number = account(tenant, owner, "fixed")["id"]
    for given in ({"currency": "USD"}, {"balance": 5}, {"min_balance": 1}):
        answer = send(tenant, "PATCH", f"accounts/{number}", document("accounts", given, number))
        assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (
            400,
            f"{next(iter(given))} is not allowed.",
        )


def test_a_deleted_name_is_free_again(tenant: Tenant, owner: str) -> None:
    number = account(tenant, owner, "again", external_id=1001)["id"]
    assert send(tenant, "DELETE", f"accounts/{number}").status_code == 204
    assert send(tenant, "GET", f"accounts/{number}").status_code == 404
    assert send(tenant, "DELETE", f"accounts/{number}").status_code == 404
    assert account(tenant, owner, "again", external_id=1001)["id"] != number


def test_contractors_with_accounts_stay(tenant: Tenant) -> None:
    holder = contractor(tenant, "holder")
    number = account(tenant, holder, "held")["id"]
    answer = send(tenant, "DELETE", f"contractors/{holder}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "title": "Cannot delete record because dependent accounts exist",
            "detail": "Cannot delete record because dependent accounts exist",
            "code": "100", "source": {"pointer": "/data"}, "status": "422",
        }
    ]  # fmt: skip
    assert send(tenant, "DELETE", f"accounts/{number}").status_code == 204
    assert send(tenant, "DELETE", f"contractors/{holder}").status_code == 204
