"""Tokens on the wire: what opens neither of the carrier's doors, and what either answers then."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from bursar.accounts import admins
from bursar.accounts.logins import login_key
from bursar.accounts.passwords import hash_password
from bursar.db.database import Database
from tests.conftest import Server, Tenant
from tests.http.yeti import jwt
from tests.http.yeti.carrier import HEADERS, JSON_API, contractor, document, make

ADMIN, CUSTOMER = "/api/rest/admin", "/api/rest/customer/v1"
HEADER = {"alg": "HS256"}
EXPIRED = (
    '{"errors":[{"title":"Authorization failed","detail":"Authorization token expired or incorrect.","code":"401",'
    '"status":"401"}]}'
)


@dataclass
class Keys:
    """What the server signs with, and who is known to it."""

    tenant: Tenant
    secret: bytes
    subjects: dict[str, int]
    """By audience."""

    def token(self, audience: str, header: Any = None, *, key: bytes | None = None, **changes: Any) -> str:
        """A token for the audience's own subject, sound but for the changes."""
        said = {"sub": self.subjects[audience], "aud": [audience], "exp": int(time.time()) + 300, **changes}
        claims = {name: value for name, value in said.items() if value is not None}
        return jwt.made(header or HEADER, claims, self.secret if key is None else key)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def keys(server: Server) -> Keys:
    tenant = server.workspace()
    user = f"tokens-{tenant.name}"

    async def prepare(db: Database) -> bytes:
        async with db.transaction(tenant.caller.workspace) as connection:
            await admins.add_admin(connection, tenant.caller, user, await hash_password("p"))
        key = (await login_key(db)).get_op_key("sign")
        assert isinstance(key, bytes)
        return key

    secret = server.run(prepare)
    given = {"customer-id": contractor(tenant, "tokens"), "login": user, "password": "p"}
    make(tenant, "api-accesses", document("api-accesses", given))
    subjects = {}
    for audience, where, name in (("admin", ADMIN, "username"), ("customer-v1", CUSTOMER, "login")):
        body = {"auth": {name: user, "password": "p"}}
        answer = httpx.post(f"{tenant.url}{where}/auth", json=body, headers={"accept": "application/json"}, timeout=30)
        assert answer.status_code == 201, answer.text
        header, claims, _ = jwt.parts(answer.json()["jwt"])
        assert header == HEADER
        assert claims.keys() == {"sub", "aud", "exp"}
        assert claims["aud"] == [audience]
        assert 590 <= claims["exp"] - time.time() <= 600, "ten minutes"
        subjects[audience] = claims["sub"]
    return Keys(tenant, secret, subjects)


def wrong(keys: Keys, audience: str) -> dict[str, str | None]:
    """Tokens that open nothing, each for its own reason; None: none at all."""
    right = keys.token(audience)
    head, _, signature = right.split(".")
    other = "admin" if audience == "customer-v1" else "customer-v1"
    return {
        "missing": None,
        "malformed": "nonsense",
        "an audience of the other door": keys.token(audience, aud=[other]),
        "a token of the other door": keys.token(other),
        "alg none": keys.token(audience, {"alg": "none"}),
        "alg none without a signature": keys.token(audience, {"alg": "none"}).rsplit(".", 1)[0] + ".",
        "expired": keys.token(audience, exp=int(time.time()) - 1),
        "without an end": keys.token(audience, exp=None),
        "signed by another": keys.token(audience, key=b"x" * 32),
        "tampered": f"{head}.{jwt.plain(json.dumps({'sub': 1, 'aud': [audience], 'exp': 2**40}).encode())}.{signature}",
        "nobody's": keys.token(audience, sub=1),
    }


def test_the_admin_door_answers_with_nothing(keys: Keys, http: httpx.Client) -> None:
    url = f"{keys.tenant.url}{ADMIN}"
    good = keys.token("admin")
    for text in (good, f"Bearer {good}", f"Token for the door {good}"):
        assert http.get(f"{url}/accounts", headers={"authorization": text}).status_code == 200
    for name, bad in wrong(keys, "admin").items():
        headers = {} if bad is None else {"authorization": bad}
        for method, path, more in (
            ("GET", "/accounts", {}),
            ("GET", "/accounts/999", {"accept": "text/html"}),
            ("POST", "/accounts", {"content-type": "text/plain"}),
        ):
            answer = http.request(method, f"{url}{path}", headers={**more, **headers})
            assert (answer.status_code, answer.content) == (401, b""), name
        if bad is not None:
            answer = http.get(f"{url}/accounts", params={"token": bad}, headers={"authorization": good})
            assert (answer.status_code, answer.content) == (401, b""), f"{name}: the query comes before the header"
            sent = {**document("accounts", {}), "token": bad}
            answer = http.post(f"{url}/accounts", json=sent, headers={**HEADERS, "authorization": good})
            assert (answer.status_code, answer.content) == (401, b""), f"{name}: so does the body"
    nonsense = {"authorization": "nonsense"}
    assert http.get(f"{url}/accounts", params={"token": good}, headers=nonsense).status_code == 200
    assert http.get(f"{url}/accounts", headers={"cookie": f"_yeti_customer_v1_session={good}"}).status_code == 401


def test_the_customers_door_says_why(keys: Keys, http: httpx.Client) -> None:
    url = f"{keys.tenant.url}{CUSTOMER}"
    good = keys.token("customer-v1")
    for text in (good, f"Bearer {good}"):
        assert http.get(f"{url}/accounts", headers={"authorization": text}).status_code == 200
    cookie = {"cookie": f"_yeti_customer_v1_session={good}"}
    by_cookie = http.get(f"{url}/accounts", headers=cookie)
    assert (by_cookie.status_code, "set-cookie" in by_cookie.headers) == (200, True)
    http.cookies.clear()
    assert http.get(f"{url}/accounts", params={"token": good}).status_code == 401, "no other place counts here"
    for name, bad in wrong(keys, "customer-v1").items():
        sent = {} if bad is None else {"authorization": bad}
        in_cookie = {} if bad is None else {"cookie": f"_yeti_customer_v1_session={bad}"}
        # A header comes before a cookie, and hides a good one.
        for headers in (sent, in_cookie, {**cookie, **sent} if sent else {}):
            for path, kind in (("/accounts", JSON_API), ("/payments/1", JSON_API), ("/auth", "application/json")):
                answer = http.get(f"{url}{path}", headers=headers)
                assert (answer.status_code, answer.text) == (401, EXPIRED), name
                assert answer.headers["content-type"] == kind
                assert "set-cookie" not in answer.headers
