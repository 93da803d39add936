"""Headers of answers at the carrier's door: those of the original, and what a client has already is not sent again."""

import re
from typing import Any

import httpx
import pytest

from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import ADMIN, JSON_API, contractor, document, make, send

ALWAYS = {
    "x-frame-options": "SAMEORIGIN",
    "x-xss-protection": "0",
    "x-content-type-options": "nosniff",
    "x-permitted-cross-domain-policies": "none",
    "referrer-policy": "strict-origin-when-cross-origin",
    "vary": "Accept",
}
TAG = re.compile(r'W/"[0-9a-f]{32}"')
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    tenant = server.workspace()
    owner = contractor(tenant, "owner")
    make(tenant, "accounts", document("accounts", {"name": "first"}, contractor=("contractors", owner)))
    return tenant


ANSWERS: list[tuple[str, str, Any, int, str | None]] = [
    ("GET", "accounts", None, 200, JSON_API),
    ("GET", "accounts/1", None, 200, JSON_API),
    ("GET", "accounts/1/relationships/contractor", None, 200, JSON_API),
    ("PATCH", "accounts/1", document("accounts", {"vat": 1}, "1"), 200, JSON_API),
    ("POST", "contacts", document("contacts", {"email": "a@b"}, contractor=("contractors", 1)), 201, JSON_API),
    ("PATCH", "accounts/1/relationships/invoice-template", {"data": None}, 204, None),
    ("GET", "accounts/abc", None, 400, JSON_API),
    ("GET", "accounts/999", None, 404, JSON_API),
    ("GET", "nothing", None, 404, JSON_API),
    ("POST", "accounts", document("accounts", {}), 422, JSON_API),
]


@pytest.mark.parametrize(("method", "path", "sent", "status", "kind"), ANSWERS, ids=lambda value: str(value)[:30])
def test_every_answer_has_its_headers(
    tenant: Tenant, method: str, path: str, sent: Any, status: int, kind: str | None
) -> None:
    answer = send(tenant, method, path, sent)
    assert answer.status_code == status, answer.text
    assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS
    assert answer.headers.get("content-type") == kind
    assert UUID.fullmatch(answer.headers["x-request-id"])
    assert re.fullmatch(r"\d+\.\d{6}", answer.headers["x-runtime"])
    if status in (200, 201):
        assert TAG.fullmatch(answer.headers["etag"])
        assert answer.headers["cache-control"] == "max-age=0, private, must-revalidate"
    else:
        assert "etag" not in answer.headers
        assert answer.headers["cache-control"] == "no-cache"
    assert ("location" in answer.headers) is (status == 201)
    if status == 201:
        assert answer.headers["location"] == answer.json()["data"]["links"]["self"]
    assert answer.headers.get("content-length", "0") == str(len(answer.content))


def test_a_request_may_bring_its_id(tenant: Tenant) -> None:
    assert send(tenant, "GET", "accounts", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("path", ["contractors", "contractors/1", "contractors?fields[contractors]=name"])
def test_what_the_client_has_is_not_sent_again(tenant: Tenant, path: str) -> None:
    first = send(tenant, "GET", path)
    tag = first.headers["etag"]
    assert send(tenant, "GET", path).headers["etag"] == tag
    for known in (tag, f'W/"{"0" * 32}", {tag}', "*"):
        again = send(tenant, "GET", path, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "max-age=0, private, must-revalidate"
        assert {name: again.headers.get(name) for name in ALWAYS} == ALWAYS
        assert "content-type" not in again.headers
    for unknown in (f'W/"{"0" * 32}"', "nonsense", ""):
        assert send(tenant, "GET", path, headers={"if-none-match": unknown}).content == first.content
    sent = document("contractors", {"name": f"owner of {path}"}, "1")
    changed = send(tenant, "PATCH", "contractors/1", sent, headers={"if-none-match": "*"})
    assert changed.status_code == 200, "what is written is answered"
    fresh = send(tenant, "GET", path, headers={"if-none-match": tag})
    assert (fresh.status_code, fresh.headers["etag"] == tag) == (200, False)


def test_links_are_those_by_which_the_client_came(tenant: Tenant) -> None:
    for host in ("example.org", "billing.example:8443"):
        shown = tenant.http.get(f"{ADMIN}/accounts/1", headers={"host": host}).json()["data"]
        assert shown["links"] == {"self": f"http://{host}{ADMIN}/accounts/1"}
        assert shown["relationships"]["contractor"]["links"] == {
            "self": f"http://{host}{ADMIN}/accounts/1/relationships/contractor",
            "related": f"http://{host}{ADMIN}/accounts/1/contractor",
        }
    pages = tenant.http.get(f"{ADMIN}/accounts", headers={"host": "example.org"}).json()["links"]
    assert pages["first"].startswith(f"http://example.org{ADMIN}/accounts?page%5Bnumber%5D=1&page%5Bsize%5D=50")


def test_nobody_s_answer_has_them_too(tenant: Tenant) -> None:
    answer = httpx.get(f"{tenant.url}{ADMIN}/accounts", headers={"if-none-match": "*"}, timeout=30)
    assert (answer.status_code, answer.content) == (401, b"")
    assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS
