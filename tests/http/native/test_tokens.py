"""Tokens over the wire: scopes, rotation with overlap, expiry, revocation at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from bursar.accounts.tokens import SCOPES
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import expect

ENTITLED = "/bursar/v1/entitled"
NEEDS = {
    "read": ("GET", "/customers"),
    "write": ("POST", "/customers"),
    "ingest": ("POST", "/ingest"),
    "admin": ("GET", "/bursar/v1/audit"),
}


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace()


def make(tenant: Tenant, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = expect(tenant.http.post("/bursar/v1/tokens", json={"name": "made", **body}), 201)
    return made


def status(tenant: Tenant, token: str, method: str = "GET", path: str = "/customers") -> int:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.request(method, tenant.url + path, headers=headers, json={}).status_code


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_does_what_its_scope_says_and_nothing_else(tenant: Tenant, scope: str) -> None:
    token = make(tenant, scopes=[scope])["token"]
    for needed, (method, path) in NEEDS.items():
        assert (status(tenant, token, method, path) == 403) is (needed != scope), needed


def test_a_rotated_token_works_beside_its_successor_until_the_overlap_ends(tenant: Tenant) -> None:
    old = make(tenant, name="collector", scopes=["read"], rateLimit=1000)
    path = f"/bursar/v1/tokens/{old['prefix']}/rotate"
    new = expect(tenant.http.post(path, json={"overlapSeconds": 3600}), 201)
    assert (new["name"], new["scopes"], new["rateLimit"]) == ("collector", ["read"], 1000)
    assert new["token"] != old["token"]
    assert status(tenant, old["token"]) == status(tenant, new["token"]) == 200
    listed = {token["prefix"]: token for token in expect(tenant.http.get("/bursar/v1/tokens"), 200)["tokens"]}
    ends = datetime.fromisoformat(listed[old["prefix"]]["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)
    assert "expiresAt" not in listed[new["prefix"]]
    assert "token" not in listed[new["prefix"]]
    newest = expect(tenant.http.post(f"/bursar/v1/tokens/{new['prefix']}/rotate", json={"overlapSeconds": 0}), 201)
    assert [status(tenant, token["token"]) for token in (old, new, newest)] == [200, 401, 200]
    assert tenant.http.post(f"/bursar/v1/tokens/{new['prefix']}/rotate", json={}).status_code == 404  # it has ended


def test_a_revoked_token_ends_at_once(tenant: Tenant) -> None:
    token = make(tenant)
    assert status(tenant, token["token"]) == 200
    ended = expect(tenant.http.delete(f"/bursar/v1/tokens/{token['prefix']}"), 200)
    assert "revokedAt" in ended
    assert status(tenant, token["token"]) == 401
    assert tenant.http.delete(f"/bursar/v1/tokens/{token['prefix']}").status_code == 404


def test_a_token_that_is_remembered_opens_no_more_than_it_did(tenant: Tenant) -> None:
    """Entitled events are decided without a look-up of a token that was looked up a moment ago."""
    token = make(tenant, scopes=["read"])
    for _ in range(2):
        assert status(tenant, token["token"], "POST", ENTITLED) == 403
    assert status(tenant, "no token", "POST", ENTITLED) == 401


def test_last_use_is_shown(tenant: Tenant) -> None:
    token = make(tenant, name="used")

    def listed() -> dict[str, Any]:
        found = expect(tenant.http.get("/bursar/v1/tokens"), 200)["tokens"]
        return next(entry for entry in found if entry["prefix"] == token["prefix"])

    assert "lastUsedAt" not in listed()
    assert status(tenant, token["token"]) == 200
    assert datetime.now(UTC) - datetime.fromisoformat(listed()["lastUsedAt"]) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x", "scopes": ["all"]}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"name": "x", "rateLimit": -1}, "rateLimit"),
        ({"name": "x", "rateLimit": 1.5}, "rateLimit"),
    ],
)
def test_what_is_no_token_is_refused(tenant: Tenant, body: dict[str, Any], field: str) -> None:
    answer = tenant.http.post("/bursar/v1/tokens", json=body)
    assert answer.status_code == 400
    assert answer.json()["field"] == field
