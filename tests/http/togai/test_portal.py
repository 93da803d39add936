"""Delegate tokens with the official client: what they open, what they do not, and when they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from togai_client.api.customer_portal_api import CustomerPortalApi
from togai_client.exceptions import NotFoundException
from togai_client.models.get_customer_portal_delegate_token_request import GetCustomerPortalDelegateTokenRequest

from bursar.accounts.delegates import delegate, open_delegate
from bursar.accounts.tokens import create_token, revoke_token
from bursar.core.caller import Caller
from bursar.core.errors import Unauthenticated
from bursar.db.database import Database
from tests.conftest import PLAIN, Server, Tenant
from tests.http.togai.catalog import customer, expect


@pytest.fixture(scope="module")
def shop(server: Server) -> Tenant:
    """A customer with three accounts, the last of them archived, and another customer with one."""
    tenant = server.workspace()
    customer(tenant.http, "acme")
    for name in ("a1", "a2", "a3"):
        expect(tenant.http.post("/accounts", json={"id": name, "name": f"Account {name}", "customerId": "acme"}), 201)
    expect(tenant.http.delete("/accounts/a3"), 200)
    customer(tenant.http, "other")
    expect(tenant.http.post("/accounts", json={"id": "b1", "name": "Account b1", "customerId": "other"}), 201)
    return tenant


def ask(tenant: Tenant, **body: Any) -> str:
    request = GetCustomerPortalDelegateTokenRequest.from_dict(body)
    return str(CustomerPortalApi(tenant.togai).get_customer_portal_delegate_token(request).token)


def look(tenant: Tenant, token: str) -> httpx.Response:
    return httpx.get(f"{tenant.url}/bursar/v1/portal", headers={"authorization": f"Bearer {token}"}, verify=PLAIN)


def seconds_left(shown: dict[str, Any]) -> float:
    return (datetime.fromisoformat(shown["expiresAt"]) - datetime.now(UTC)).total_seconds()


def test_a_token_opens_the_accounts_that_it_names(shop: Tenant) -> None:
    shown = expect(look(shop, ask(shop, customerId="acme", accountIds=["a2"])), 200)
    assert (shown["customerId"], shown["customerName"]) == ("acme", "ACME")
    assert shown["accounts"] == [{"id": "a2", "name": "Account a2", "currency": "USD", "status": "ACTIVE"}]
    assert 86_300 < seconds_left(shown) <= 86_400


def test_a_token_opens_all_accounts_that_the_customer_has_by_then(server: Server) -> None:
    tenant = server.workspace()
    customer(tenant.http, "acme")
    token = ask(tenant, customerId="acme", allAccountsAccess=True, expiry=60)
    assert expect(look(tenant, token), 200)["accounts"][1:] == []
    expect(tenant.http.post("/accounts", json={"id": "a1", "name": "Account", "customerId": "acme"}), 201)
    shown = expect(look(tenant, token), 200)
    assert [entry["id"] for entry in shown["accounts"]] == ["acme", "a1"]
    assert 0 < seconds_left(shown) <= 60
    expect(tenant.http.delete("/customers/acme"), 200)
    assert look(tenant, token).status_code == 401
    answer = tenant.http.post("/portal/token", json={"customerId": "acme", "allAccountsAccess": True})
    assert answer.status_code == 400
    assert "archived" in answer.json()["message"]


def test_a_delegate_token_is_no_api_token(shop: Tenant) -> None:
    token = ask(shop, customerId="acme", allAccountsAccess=True)
    headers = {"authorization": f"Bearer {token}"}
    for method, path in (("GET", "/customers"), ("GET", "/accounts/a1"), ("POST", "/authenticate")):
        assert httpx.request(method, shop.url + path, headers=headers).status_code == 401, path
    body = {"customerId": "acme", "allAccountsAccess": True}
    assert httpx.post(f"{shop.url}/portal/token", headers=headers, json=body, verify=PLAIN).status_code == 401


def test_an_api_token_is_no_delegate_token(shop: Tenant) -> None:
    jwt = expect(shop.http.post("/authenticate"), 200)["token"]
    forged = ask(shop, customerId="acme", allAccountsAccess=True)[:-4] + "AAAA"
    for text in (shop.token, jwt, forged, "a.b.c", "x"):
        assert look(shop, text).status_code == 401, text
    assert httpx.get(f"{shop.url}/bursar/v1/portal", verify=PLAIN).status_code == 401


def test_a_short_lived_token_lends_too(shop: Tenant) -> None:
    jwt = expect(shop.http.post("/authenticate"), 200)["token"]
    body = {"customerId": "acme", "accountIds": ["a1"]}
    answer = httpx.post(f"{shop.url}/portal/token", headers={"authorization": f"Bearer {jwt}"}, json=body, verify=PLAIN)
    assert expect(look(shop, expect(answer, 200)["token"]), 200)["accounts"][0]["id"] == "a1"


def test_the_same_key_gets_the_same_token(shop: Tenant) -> None:
    body = {"customerId": "acme", "allAccountsAccess": True}
    answers = [shop.http.post("/portal/token", json=body, headers={"idempotency-key": "portal-1"}) for _ in range(2)]
    tokens = {expect(answer, 200)["token"] for answer in answers}
    assert len(tokens) == 1
    assert look(shop, tokens.pop()).status_code == 200


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "customerId"),
        ({"customerId": ""}, "customerId"),
        ({"customerId": "acme"}, "accountIds"),
        ({"customerId": "acme", "accountIds": []}, "accountIds"),
        ({"customerId": "acme", "accountIds": ["a1"] * 6}, "accountIds"),
        ({"customerId": "acme", "accountIds": ["a1", "b1"]}, "accountIds[1]"),
        ({"customerId": "acme", "accountIds": ["none"]}, "accountIds[0]"),
        ({"customerId": "acme", "accountIds": ["a3"]}, "accountIds[0]"),
        ({"customerId": "acme", "accountIds": ["a1"], "allAccountsAccess": True}, "accountIds"),
        ({"customerId": "acme", "accountIds": ["a1"], "expiry": 0}, "expiry"),
        ({"customerId": "acme", "accountIds": ["a1"], "expiry": 2_592_001}, "expiry"),
        ({"customerId": "acme", "accountIds": ["a1"], "allAccountAccess": True}, "allAccountAccess"),
    ],
)
def test_what_is_not_lent(shop: Tenant, body: dict[str, Any], word: str) -> None:
    answer = shop.http.post("/portal/token", json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]


def test_unknown_customers_and_those_of_others(shop: Tenant, server: Server) -> None:
    for tenant, name in ((shop, "none"), (server.workspace(), "acme")):
        with pytest.raises(NotFoundException):
            ask(tenant, customerId=name, allAccountsAccess=True)
    made = expect(shop.http.post("/bursar/v1/tokens", json={"name": "reader", "scopes": ["read"]}), 201)
    headers = {"authorization": f"Bearer {made['token']}"}
    body = {"customerId": "acme", "allAccountsAccess": True}
    assert httpx.post(f"{shop.url}/portal/token", headers=headers, json=body, verify=PLAIN).status_code == 403


async def test_it_ends_with_its_time_and_with_its_api_token(server: Server, database: Database) -> None:
    tenant = server.workspace()
    customer(tenant.http, "acme")
    caller: Caller = tenant.caller
    async with database.transaction(caller.workspace) as connection:
        text, token = await create_token(connection, caller, "short", expires_at=caller.wall + timedelta(hours=1))

    async def lent(life: timedelta | None) -> str:
        return await delegate(database, caller, token.key, "acme", [], all_accounts=True, life=life)

    minute, day = await lent(timedelta(minutes=1)), await lent(None)
    assert (await open_delegate(database, minute, caller.wall + timedelta(seconds=58))).customer.id == "acme"
    with pytest.raises(Unauthenticated, match="expired"):
        await open_delegate(database, minute, caller.wall + timedelta(seconds=61))
    found = await open_delegate(database, day, caller.wall)
    assert timedelta(0) <= caller.wall + timedelta(hours=1) - found.expires_at < timedelta(seconds=1)
    async with database.transaction(caller.workspace) as connection:
        await revoke_token(connection, caller, text)
    with pytest.raises(Unauthenticated, match="not valid"):
        await open_delegate(database, day, caller.wall)
