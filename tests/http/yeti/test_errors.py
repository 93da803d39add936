"""What the carrier's door refuses, with the exact bodies: every line of its contract about errors."""

import json
from typing import Any

import httpx
import pytest

from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import ADMIN, HEADERS, JSON_API, contractor, document, make, send


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    """A workspace with contractor 1 and account 1."""
    tenant = server.workspace()
    assert contractor(tenant, "owner") == "1"
    made = make(tenant, "accounts", document("accounts", {"name": "first"}, contractor=("contractors", 1)))
    assert made["id"] == "1"
    return tenant


def fault(status: int, code: str, title: str, detail: str, pointer: str | None = None) -> str:
    """An error document as it stands on the wire, members in their order."""
    source = {} if pointer is None else {"source": {"pointer": pointer}}
    return json.dumps(
        {"errors": [{"title": title, "detail": detail, "code": code, **source, "status": str(status)}]},
        separators=(",", ":"),
    )


def bad(code: str, title: str, detail: str) -> str:
    return fault(400, code, title, detail)


ACCOUNT = {"data": {"type": "accounts", "attributes": {"name": "x"}}}
CONTRACTOR = {"contractor": {"data": {"type": "contractors", "id": 1}}}


def data(**members: Any) -> dict[str, Any]:
    return {"data": {"type": "accounts", **members}}


def linked(link: Any) -> dict[str, Any]:
    return data(attributes={"name": "x"}, relationships={"contractor": {"data": link}})


def update(**members: Any) -> dict[str, Any]:
    return {"data": {"type": "accounts", "id": "1", **members}}


MISSING_DATA = bad("106", "Missing Parameter", "The required parameter, data, is missing.")
NOT_A_HASH = bad("122", "Invalid data format", "Data must be a hash.")
LINKS = bad("115", "Invalid Links Object", "Data is not a valid Links Object.")
BODIES: list[tuple[str, str, Any, str]] = [
    # 422 validation, attributes, relationships and the whole
    ("POST", "contractors", document("contractors", {"name": "", "vendor": True}),
     fault(422, "100", "can't be blank", "name - can't be blank", "/data/attributes/name")),
    ("POST", "accounts", data(attributes={"name": "x"}),
     fault(422, "100", "must exist", "contractor - must exist", "/data/relationships/contractor")),
    ("DELETE", "contractors/1", None,
     fault(422, "100", "Cannot delete record because dependent accounts exist",
           "Cannot delete record because dependent accounts exist", "/data")),
    # 404
    ("GET", "accounts/999", None,
     fault(404, "404", "Record not found", "The record identified by 999 could not be found.")),
    ("PATCH", "accounts/999", {"data": {"type": "accounts", "id": "999", "attributes": {}}},
     fault(404, "404", "Record not found", "The record identified by 999 could not be found.")),
    ("DELETE", "accounts/999", None,
     fault(404, "404", "Record not found", "The record identified by 999 could not be found.")),
    ("GET", "accounts/999/contractor", None,
     fault(404, "404", "Record not found", "The record identified by 999 could not be found.")),
    ("GET", "accounts/999/relationships/contractor", None,
     fault(404, "404", "Record not found", "The record identified by 999 could not be found.")),
    ("GET", f"accounts/{2**70}", None,
     fault(404, "404", "Record not found", f"The record identified by {2**70} could not be found.")),
    # 103
    ("GET", "accounts/abc", None, bad("103", "Invalid field value", "abc is not a valid value for id.")),
    ("DELETE", "accounts/1.5", None, bad("103", "Invalid field value", "1.5 is not a valid value for id.")),
    ("POST", "accounts", linked({"type": "contractors", "id": "abc"}),
     bad("103", "Invalid field value", "abc is not a valid value for id.")),
    # 105
    ("POST", "accounts", data(attributes={"balance": "1"}), bad("105", "Param not allowed", "balance is not allowed.")),
    ("PATCH", "accounts/1", update(attributes={"balance": "1"}),
     bad("105", "Param not allowed", "balance is not allowed.")),
    ("PATCH", "accounts/1", update(attributes={"currency": "EUR"}),
     bad("105", "Param not allowed", "currency is not allowed.")),
    ("POST", "accounts", data(attributes={"unheard-of": 1}),
     bad("105", "Param not allowed", "unheard-of is not allowed.")),
    ("POST", "accounts", data(attributes={"min_balance": 1}),
     bad("105", "Param not allowed", "min_balance is not allowed.")),
    ("POST", "accounts", data(relationships={"nodes": {"data": []}}),
     bad("105", "Param not allowed", "nodes is not allowed.")),
    ("POST", "accounts", data(id="5", attributes={"name": "x"}), bad("105", "Param not allowed", "id is not allowed.")),
    ("POST", "accounts", data(links={}, attributes={"name": "x"}),
     bad("105", "Param not allowed", "links is not allowed.")),
    ("POST", "accounts", data(attributes={"contractor": 1}),
     bad("105", "Param not allowed", "contractor is not allowed.")),
    # 106
    ("POST", "accounts", {}, MISSING_DATA),
    ("POST", "accounts", {"data": None}, MISSING_DATA),
    ("POST", "accounts", {"data": {}}, MISSING_DATA),
    ("POST", "accounts", {"data": []}, MISSING_DATA),
    ("PATCH", "accounts/1", {}, MISSING_DATA),
    ("PATCH", "accounts/1/relationships/contractor", {}, MISSING_DATA),
    ("POST", "accounts", {"data": {"attributes": {"name": "x"}}},
     bad("106", "Missing Parameter", "The required parameter, type, is missing.")),
    # 101
    ("POST", "accounts", {"data": {"type": "foo", "attributes": {}}},
     bad("101", "Invalid resource", "foo is not a valid resource.")),
    ("PATCH", "accounts/1", {"data": {"type": "foo", "id": "1"}},
     bad("101", "Invalid resource", "foo is not a valid resource.")),
    # 116, 115
    ("POST", "accounts", linked({"type": "foo", "id": "1"}),
     bad("116", "Type Mismatch", "foo is not a valid type for this operation.")),
    ("PATCH", "accounts/1/relationships/contractor", {"data": {"type": "foo", "id": "1"}},
     bad("116", "Type Mismatch", "foo is not a valid type for this operation.")),
    ("POST", "accounts", linked({"type": "contractors"}), LINKS),
    ("POST", "accounts", linked({"type": "contractors", "id": 1, "meta": {}}), LINKS),
    ("POST", "accounts", linked(["contractors", 1]), LINKS),
    ("POST", "accounts", linked("1"), LINKS),
    # 122: no bulk operations
    ("POST", "accounts", {"data": [ACCOUNT["data"]]}, NOT_A_HASH),
    ("PATCH", "accounts/1", {"data": [update()["data"]]}, NOT_A_HASH),
    ("POST", "accounts", {"data": "x"}, NOT_A_HASH),
    # 109, 110
    ("PATCH", "accounts/1", {"data": {"type": "accounts", "attributes": {}}},
     bad("109", "A key is required", "The resource object does not contain a key.")),
    ("PATCH", "accounts/1", {"data": {"type": "accounts", "id": "5", "attributes": {}}},
     bad("110", "Key is not included in URL", "The URL does not support the key 5")),
    ("PUT", "accounts/1", {"data": {"type": "accounts", "id": 5}},
     bad("110", "Key is not included in URL", "The URL does not support the key 5")),
    ("POST", "accounts", {"data": {"type": 7, "attributes": {}}},
     bad("101", "Invalid resource", "7 is not a valid resource.")),
    ("POST", "accounts", linked({"type": "contractors", "id": True}),
     bad("103", "Invalid field value", "true is not a valid value for id.")),
    ("POST", "accounts", linked({"type": "contractors", "id": {"a": None}}),
     bad("103", "Invalid field value", '{"a":null} is not a valid value for id.')),
    ("PATCH", "accounts/1/relationships/contractor", {"data": {"type": "contractors"}}, LINKS),
    ("PATCH", "accounts/1/relationships/contractor", {"data": {"type": "contractors", "id": "abc"}},
     bad("103", "Invalid field value", "abc is not a valid value for id.")),
    ("PATCH", "accounts/1/relationships/contractor", {"data": {"type": "contractors", "id": "999"}},
     fault(422, "100", "must exist", "contractor - must exist", "/data/relationships/contractor")),
    ("DELETE", "accounts/1/relationships/contractor", None,
     fault(422, "100", "must exist", "contractor - must exist", "/data/relationships/contractor")),
    # 400
    ("POST", "accounts", [1], bad("400", "Bad Request", "Request must be a hash")),
    ("POST", "accounts", "text", bad("400", "Bad Request", "Request must be a hash")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "sent", "expected"), BODIES, ids=lambda value: str(value)[:50])
def test_documents_that_are_refused(tenant: Tenant, method: str, path: str, sent: Any, expected: str) -> None:
    answer = send(tenant, method, path, sent)
    assert answer.text == expected
    assert answer.status_code == int(json.loads(expected)["errors"][0]["status"])
    assert answer.headers["content-type"] == JSON_API


QUERIES: list[tuple[str, list[tuple[str, str, str]]]] = [
    ("page[size]=0", [("118", "Invalid page value", "0 is not a valid value for size page parameter.")]),
    ("page[size]=abc", [("118", "Invalid page value", "0 is not a valid value for size page parameter.")]),
    ("page[number]=0", [("118", "Invalid page value", "0 is not a valid value for number page parameter.")]),
    ("page[number]=-1", [("118", "Invalid page value", "-1 is not a valid value for number page parameter.")]),
    ("page=0", [("118", "Invalid page value", "0 is not a valid value for number page parameter.")]),
    ("page[size]=1001", [("118", "Invalid page value", "size exceeds maximum page size of 1000.")]),
    ("sort=foo", [("114", "Invalid sort criteria", "foo is not a valid sort criteria for accounts")]),
    ("sort=-min-foo,name", [("114", "Invalid sort criteria", "min_foo is not a valid sort criteria for accounts")]),
    ("sort=balance-low-threshold",
     [("114", "Invalid sort criteria", "balance_low_threshold is not a valid sort criteria for accounts")]),
    ("filter[name_eq]=a,b", [("107", "Invalid filter value", "a,b is not a valid value for name_eq.")]),
    ("filter[name-eq]=", [("107", "Invalid filter value", " is not a valid value for name_eq.")]),
    ("filter[balance_gt]=x", [("107", "Invalid filter value", "x is not a valid value for balance_gt.")]),
    ("filter[uuid_eq]=x", [("107", "Invalid filter value", "x is not a valid value for uuid_eq.")]),
    ("filter[contractor.id]=x", [("107", "Invalid filter value", "x is not a valid value for contractor.id.")]),
    ("filter[minFoo]=1", [("102", "Filter not allowed", "min_foo is not allowed.")]),
    ("filter[name_gt]=1", [("102", "Filter not allowed", "name_gt is not allowed.")]),
    ("filter[contractor.name]=1", [("102", "Filter not allowed", "contractor.name is not allowed.")]),
    ("filter=1", [("120", "Invalid filters syntax", "1 is not a valid syntax for filtering.")]),
    ("include=foo", [("112", "Invalid field", "foo is not a valid relationship of accounts")]),
    ("include=contractor.foo", [("112", "Invalid field", "foo is not a valid relationship of contractors")]),
    ("fields[foo]=name", [("101", "Invalid resource", "foo is not a valid resource.")]),
    ("fields[accounts]=name,foo", [("104", "Invalid field", "foo is not a valid field for accounts.")]),
    ("sort=foo&include=bar&filter[baz]=1",
     [("112", "Invalid field", "bar is not a valid relationship of accounts"),
      ("102", "Filter not allowed", "baz is not allowed."),
      ("114", "Invalid sort criteria", "foo is not a valid sort criteria for accounts")]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), QUERIES, ids=lambda value: str(value)[:40])
def test_queries_that_are_refused(tenant: Tenant, query: str, expected: list[tuple[str, str, str]]) -> None:
    answer = send(tenant, "GET", f"accounts?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"title": title, "detail": detail, "code": code, "status": "400"} for code, title, detail in expected
    ]


def test_several_members_that_are_not_allowed(tenant: Tenant) -> None:
    sent = {
        "data": {"type": "accounts", "id": 1, "x": 1, "attributes": {"a": 1, "balance": 2}, "relationships": {"r": 1}}
    }
    details = [error["detail"] for error in send(tenant, "POST", "accounts", sent).json()["errors"]]
    assert details == [f"{name} is not allowed." for name in ("id", "x", "a", "balance", "r")]


def test_an_attribute_among_relationships_is_passed_over(tenant: Tenant) -> None:
    sent = data(attributes={"name": "quirk"}, relationships={**CONTRACTOR, "timezone": {"data": None}})
    made = make(tenant, "accounts", sent)
    assert made["attributes"]["timezone"] == "UTC"


@pytest.mark.parametrize(
    "content",
    [b"{", b"\xff", b"[" * 50_000, b'{"data":' * 2_000, b'{"data":"\\ud800"}', b"nul", b"1 2",
     b'{"data":' + b"9" * 5000 + b"}"],
    ids=range(8),
)  # fmt: skip
def test_what_is_not_json(tenant: Tenant, content: bytes) -> None:
    answer = tenant.http.post(f"{ADMIN}/accounts", content=content, headers=HEADERS)
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"], error["title"]) == (400, "400", "Bad Request")
    assert 0 < len(error["detail"]) < 300


def test_an_empty_body_has_no_data(tenant: Tenant) -> None:
    assert tenant.http.post(f"{ADMIN}/accounts", headers=HEADERS).text == MISSING_DATA


TYPES = "All requests that create or update must use the 'application/vnd.api+json' Content-Type."


@pytest.mark.parametrize("kind", ["application/json", f"{JSON_API}; charset=utf-8", "text/plain"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "accounts"), ("PATCH", "accounts/1"), ("PUT", "accounts/1"),
     ("PATCH", "accounts/1/relationships/contractor")],
)  # fmt: skip
def test_documents_of_another_type(tenant: Tenant, kind: str, method: str, path: str) -> None:
    answer = send(tenant, method, path, {}, headers={"content-type": kind})
    assert answer.status_code == 415
    assert answer.text == fault(415, "415", "Unsupported media type", f"{TYPES} This request specified '{kind}'.")


def test_the_type_does_not_matter_without_a_document(tenant: Tenant) -> None:
    assert send(tenant, "GET", "accounts", headers={"content-type": "text/plain"}).status_code == 200
    assert send(tenant, "DELETE", "accounts/999", headers={"content-type": "text/plain"}).status_code == 404


ACCEPTED = ["", "*/*", "text/html, */*;q=0.8", f"text/html, {JSON_API}", JSON_API]
REFUSED = ["application/json", f"{JSON_API}; charset=utf-8", "text/html", f"{JSON_API};q=0.5"]


@pytest.mark.parametrize("accept", ACCEPTED)
def test_clients_that_take_json_api(tenant: Tenant, accept: str) -> None:
    assert send(tenant, "GET", "accounts", headers={"accept": accept}).status_code == 200


@pytest.mark.parametrize("accept", REFUSED)
def test_clients_that_do_not(tenant: Tenant, accept: str) -> None:
    detail = "All requests must use the 'application/vnd.api+json' Accept without media type parameters."
    for method, path in (("GET", "accounts"), ("GET", "accounts/abc"), ("POST", "accounts"), ("DELETE", "accounts/1")):
        answer = send(tenant, method, path, headers={"accept": accept})
        assert answer.status_code == 406
        assert answer.text == fault(406, "406", "Not acceptable", f"{detail} This request specified '{accept}'.")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "accounts/abc", {"accept": "text/html"}),
        ("POST", "accounts", {"content-type": "text/plain"}),
        ("GET", "accounts?filter=1", {}),
        ("PATCH", "accounts/999", {}),
    ],
)
def test_nobody_comes_before_everything_else(tenant: Tenant, method: str, path: str, headers: dict[str, str]) -> None:
    for token in (None, "Bearer nonsense", "nonsense"):
        sent = {**headers, **({} if token is None else {"authorization": token})}
        answer = httpx.request(method, f"{tenant.url}{ADMIN}/{path}", headers=sent)
        assert (answer.status_code, answer.content) == (401, b"")


def test_our_token_in_each_of_its_places(tenant: Tenant) -> None:
    for headers, query in (
        ({"authorization": tenant.token}, ""),
        ({"authorization": f"Bearer {tenant.token}"}, ""),
        ({}, f"?token={tenant.token}"),
        ({"authorization": "nonsense"}, f"?token={tenant.token}"),
    ):
        assert httpx.get(f"{tenant.url}{ADMIN}/accounts{query}", headers=headers).status_code == 200
    refused = httpx.get(
        f"{tenant.url}{ADMIN}/accounts?token=nonsense", headers={"authorization": f"Bearer {tenant.token}"}
    )
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "nothing"), ("POST", "nothing"), ("GET", "accounts/1/nothing"), ("DELETE", "accounts"),
     ("PATCH", "accounts"), ("POST", "accounts/1"), ("POST", "accounts/1/relationships/contractor"), ("GET", ""),
     ("GET", "accounts/")],
)  # fmt: skip
def test_urls_that_are_not_there(tenant: Tenant, method: str, path: str) -> None:
    answer = send(tenant, method, path)
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "404"


def test_a_scope_that_is_missing(tenant: Tenant) -> None:
    made = tenant.http.post("/bursar/v1/tokens", json={"name": "reader", "scopes": ["read"]}).json()["token"]
    headers = {"authorization": f"Bearer {made}"}
    assert send(tenant, "GET", "accounts", headers=headers).status_code == 200
    answer = send(tenant, "DELETE", "accounts/1", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == "403"
