"""Contacts, currencies, time zones, and logins of customers at the carrier's door."""

import zoneinfo
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bursar.accounts import admins
from bursar.accounts.currencies import check_currency
from bursar.accounts.passwords import hash_password
from tests.conftest import PLAIN, Server, Tenant
from tests.http.togai import catalog
from tests.http.yeti import jwt
from tests.http.yeti.carrier import ADMIN, HEADERS, contractor, document, get, make, send

CUSTOMER = "/api/rest/customer/v1"


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace(currency="EUR")


def look(server: Server, statement: str, *arguments: object) -> Any:
    """A value of the database."""

    async def fetch(db: Any) -> Any:
        return (await db.lookup(statement, *arguments))[0]

    return server.run(fetch)


def details(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(error["detail"], error["source"]["pointer"]) for error in answer.json()["errors"]]


def test_a_contact_s_life(server: Server, tenant: Tenant) -> None:
    one, two = contractor(tenant, "contacts one"), contractor(tenant, "contacts two")
    sent = document("contacts", {"email": "another@mail,com", "notes": "n"}, contractor=("contractors", one))
    made = make(tenant, "contacts", sent)
    number = made["id"]
    assert made["attributes"] == {"email": "another@mail,com", "notes": "n"}
    assert made["relationships"]["contractor"]["data"] == {"type": "contractors", "id": one}
    for change, expected in (
        (document("contacts", {"notes": None}, number), ("another@mail,com", None, one)),
        (document("contacts", {"email": "b@c"}, number, contractor=("contractors", two)), ("b@c", None, two)),
    ):
        changed = send(tenant, "PATCH", f"contacts/{number}", change)
        assert changed.status_code == 200, changed.text
        data = changed.json()["data"]
        assert (
            data["attributes"]["email"], data["attributes"]["notes"],
            data["relationships"]["contractor"]["data"]["id"],
        ) == expected  # fmt: skip
    assert get(tenant, f"contacts/{number}/contractor")["data"]["id"] == two
    link = f"contacts/{number}/relationships/contractor"
    for method, to in (("PUT", one), ("PATCH", two)):
        moved = send(tenant, method, link, {"data": {"type": "contractors", "id": int(to)}})
        assert (moved.status_code, moved.content) == (204, b"")
        assert get(tenant, link)["data"] == {"type": "contractors", "id": to}
    for method, nobody in (("PATCH", {"data": None}), ("DELETE", None)):
        assert details(send(tenant, method, link, nobody)) == [
            ("contractor - must exist", "/data/relationships/contractor")
        ]
    assert [row["id"] for row in get(tenant, "contacts?filter[email_eq]=b@c")["data"]] == [number]
    # Made at the other door it is the same contact.
    catalog.expect(tenant.http.post(f"/customers/{two}/contacts", json={"name": "N", "email": "n@t.example"}), 201)
    found = get(tenant, "contacts?filter[email_start]=n@t&include=contractor")
    assert [row["attributes"] for row in found["data"]] == [{"email": "n@t.example", "notes": None}]
    assert found["included"][0]["id"] == two
    # Gone, it is told no more.
    catalog.expect(tenant.http.post("/accounts", json={"id": "told", "name": "Told", "customerId": two}), 201)
    look(
        server, """update account_terms set send_invoices_to = array[$2::bigint], send_balance_notifications_to
        = array[$2::bigint, 5] from account a where a.key = account and a.workspace = $1 and a.togai_id = 'told'
        returning 1""", tenant.caller.workspace, int(number),
    )  # fmt: skip
    told = {"event": "AccountLowThesholdReached", "contacts": [int(number), 5]}
    catalog.expect(tenant.http.put("/bursar/v1/event_subscriptions", json={"subscriptions": [told]}), 200)
    assert send(tenant, "DELETE", f"contacts/{number}").status_code == 204
    subscribed = catalog.expect(tenant.http.get("/bursar/v1/event_subscriptions"), 200)["subscriptions"]
    assert [one["contacts"] for one in subscribed if one["event"] == told["event"]] == [[5]]
    left = "select (send_invoices_to, send_balance_notifications_to)::text from account_terms t " \
        "join account a on a.key = t.account where a.workspace = $1 and a.togai_id = 'told'"  # fmt: skip
    assert look(server, left, tenant.caller.workspace) == "(,{5})"
    assert send(tenant, "GET", f"contacts/{number}").status_code == 404
    assert send(tenant, "DELETE", f"contacts/{number}").status_code == 404


def test_what_a_contact_must_have(tenant: Tenant) -> None:
    assert details(send(tenant, "POST", "contacts", document("contacts", {}))) == [
        ("email - can't be blank", "/data/attributes/email"),
        ("contractor - must exist", "/data/relationships/contractor"),
    ]
    missing = document("contacts", {"email": "a@b"}, contractor=("contractors", 10**12))
    assert details(send(tenant, "POST", "contacts", missing)) == [
        ("contractor - must exist", "/data/relationships/contractor")
    ]
    gone = contractor(tenant, "to be deleted")
    number = make(tenant, "contacts", document("contacts", {"email": "a@b"}, contractor=("contractors", gone)))["id"]
    assert send(tenant, "DELETE", f"contractors/{gone}").status_code == 204
    assert send(tenant, "GET", f"contacts/{number}").status_code == 404
    assert number not in [row["id"] for row in get(tenant, "contacts?page[size]=1000")["data"]]


NAME, RATE, PROVIDER = ("/data/attributes/name", "/data/attributes/rate", "/data/attributes/rate-provider-id")


def test_a_currency_s_life(tenant: Tenant) -> None:
    own = get(tenant, "currencies/0")["data"]
    assert own["attributes"] == {"name": "EUR", "rate": 1, "rate-provider-id": None}
    made = make(tenant, "currencies", document("currencies", {"name": "USDT", "rate": 0.9}))
    assert made["attributes"] == {"name": "USDT", "rate": 0.9, "rate-provider-id": None}
    number = made["id"]
    change = document("currencies", {"name": "USD", "rate": "0.905", "rate-provider-id": 1}, number)
    changed = send(tenant, "PUT", f"currencies/{number}", change)
    assert changed.json()["data"]["attributes"] == {"name": "USD", "rate": 0.905, "rate-provider-id": 1}
    assert [row["id"] for row in get(tenant, "currencies?filter[name_eq]=USD")["data"]] == [number]
    assert [row["id"] for row in get(tenant, "currencies?filter[rate_lt]=1")["data"]] == [number]
    assert [row["id"] for row in get(tenant, "currencies?sort=-rate-provider-id,name")["data"]] == ["0", number]
    assert details(send(tenant, "POST", "currencies", document("currencies", {"name": "USD", "rate": 1}))) == [
        ("name - has already been taken", NAME)
    ]
    customer = {
        "id": "paid-in-usd", "name": "Paid in USD", "primaryEmail": "a@b.example", "address": {},
        "account": {"id": "paid-in-usd", "name": "Paid in USD", "invoiceCurrency": "USD"},
    }  # fmt: skip
    catalog.expect(tenant.http.post("/customers", json=customer), 201)
    renamed = send(tenant, "PATCH", f"currencies/{number}", document("currencies", {"name": "PLN"}, number))
    assert details(renamed) == [("name - can't be changed because have linked accounts", NAME)]
    assert details(send(tenant, "DELETE", f"currencies/{number}")) == [
        ("Cannot delete record because dependent accounts exist", "/data")
    ]
    catalog.expect(tenant.http.patch("/accounts/paid-in-usd", json={"invoiceCurrency": "EUR"}), 200)
    assert send(tenant, "DELETE", f"currencies/{number}").status_code == 204
    assert send(tenant, "GET", f"currencies/{number}").status_code == 404
    assert make(tenant, "currencies", document("currencies", {"name": "USD", "rate": 2}))["id"] != number
    assert details(send(tenant, "DELETE", "currencies/0")) == [("Default currency cannot be deleted", "/data")]


def test_the_workspace_s_own_currency_can_be_replaced_while_no_account_has_it(server: Server) -> None:
    fresh = server.workspace()
    answer = send(fresh, "PATCH", "currencies/0", document("currencies", {"name": "UAH"}, 0))
    assert answer.json()["data"]["attributes"]["name"] == "UAH"
    assert look(server, "select currency from workspace where key = $1", fresh.caller.workspace) == "UAH"
    catalog.customer(fresh.http, "acme")
    assert catalog.expect(fresh.http.get("/accounts/acme"), 200)["invoiceCurrency"] == "UAH"
    assert details(send(fresh, "PATCH", "currencies/0", document("currencies", {"name": "USD"}, 0))) == [
        ("name - can't be changed because have linked accounts", NAME)
    ]


ANY = {"name": "PLN", "rate": Decimal(2), "rate_provider_id": None}


@pytest.mark.parametrize(
    ("changes", "own", "expected"),
    [
        ({}, False, []),
        ({"name": None, "rate": None}, False, [
            ("name", "can't be blank"), ("name", "is not included in the list"), ("rate", "can't be blank"),
            ("rate", "is not a number")]),
        ({"name": "XAU"}, False, [("name", "is not included in the list")]),
        ({"name": "pln"}, False, [("name", "is not included in the list")]),
        ({"name": "RUB"}, False, []),
        ({"rate": Decimal(0)}, False, [("rate", "must be greater than 0")]),
        ({"rate": Decimal(-1)}, False, [("rate", "must be greater than 0")]),
        ({"rate": Decimal("0.000000000001")}, False, []),
        ({}, True, [("rate", "must be 1 for default currency")]),
        ({"rate": Decimal("1.000")}, True, []),
        ({"rate": Decimal(1), "rate_provider_id": 1}, True, [
            ("rate_provider_id", "must be empty for default currency")]),
        ({"rate_provider_id": 1}, False, []),
        ({"rate_provider_id": 0}, False, [("rate_provider_id", "is not included in the list")]),
        ({"rate_provider_id": 4}, False, [("rate_provider_id", "is not included in the list")]),
        ({"rate_provider_id": 2}, False, [("rate_provider_id", "Bank of Israel does not support PLN")]),
        ({"name": "UAH", "rate_provider_id": 1}, False, [("rate_provider_id", "Frankfurter does not support UAH")]),
        ({"name": "CLF", "rate_provider_id": 3}, False, [
            ("rate_provider_id", "National Bank of Ukraine does not support CLF")]),
    ],
)  # fmt: skip
def test_rules_of_currencies(changes: dict[str, Any], own: bool, expected: list[tuple[str, str]]) -> None:
    assert check_currency({**ANY, **changes}, own=own, taken=False) == expected


def test_an_empty_currency_is_told_everything(tenant: Tenant) -> None:
    assert details(send(tenant, "POST", "currencies", document("currencies", {}))) == [
        ("name - can't be blank", NAME), ("name - is not included in the list", NAME),
        ("rate - can't be blank", RATE), ("rate - is not a number", RATE),
    ]  # fmt: skip
    wrong = document("currencies", {"name": "PLN", "rate": "much", "rate-provider-id": 2})
    assert details(send(tenant, "POST", "currencies", wrong)) == [
        ("rate - is not a number", RATE),
        ("rate-provider-id - Bank of Israel does not support PLN", PROVIDER),
    ]


def test_time_zones_are_those_of_iana(tenant: Tenant) -> None:
    found = get(tenant, "timezones")
    names = [row["id"] for row in found["data"]]
    assert found.keys() == {"data", "meta"}
    assert names == sorted(zoneinfo.available_timezones())
    assert found["meta"] == {"total-count": len(names)}
    kyiv = {"id": "Europe/Kyiv", "type": "timezones", "attributes": {"name": "Europe/Kyiv"}}
    assert get(tenant, "timezones/Europe%2FKyiv") == {"data": kyiv}
    assert get(tenant, "timezones?filter[name]=Europe/Kyiv")["data"] == [kyiv]
    assert get(tenant, "timezones?sort=-name")["data"][-1]["id"] == names[0]
    for method, path in (("GET", "timezones/Europe%2FNowhere"), ("POST", "timezones"), ("DELETE", "timezones/UTC")):
        assert send(tenant, method, path, {} if method == "POST" else None).status_code == 404


@pytest.fixture(scope="module")
def acme(server: Server, tenant: Tenant) -> tuple[str, int]:
    """A contractor and the number of an account of it."""
    number = contractor(tenant, "with logins")
    catalog.expect(tenant.http.post("/accounts", json={"id": "acc", "name": "Acc", "customerId": number}), 201)
    found = "select yeti_id from account where workspace = $1 and togai_id = 'acc'"
    return number, int(look(server, found, tenant.caller.workspace))


def log_in(tenant: Tenant, login: str, password: str) -> httpx.Response:
    return httpx.post(
        f"{tenant.url}{CUSTOMER}/auth", json={"auth": {"login": login, "password": password}}, verify=PLAIN
    )


def test_a_login_s_life(tenant: Tenant, acme: tuple[str, int]) -> None:
    number, account = acme
    login = f"login-{tenant.name}"
    sent = {"customer-id": int(number), "login": login, "password": "p1", "account-ids": [str(account), None]}
    made = make(tenant, "api-accesses", document("api-accesses", sent))
    assert made["attributes"] == {
        "customer-id": int(number), "login": login, "account-ids": [account], "allowed-ips": ["0.0.0.0/0", "::/0"]
    }  # fmt: skip
    assert "relationships" not in made
    key = made["id"]
    first = log_in(tenant, login, "p1")
    assert first.status_code == 201
    change = document("api-accesses", {"password": "p2", "allowed-ips": ["127.0.0.1", "10.0.0.0/8"]}, key)
    changed = send(tenant, "PATCH", f"api-accesses/{key}", change)
    assert changed.json()["data"]["attributes"]["allowed-ips"] == ["127.0.0.1", "10.0.0.0/8"]
    assert (log_in(tenant, login, "p1").status_code, log_in(tenant, login, "p2").status_code) == (401, 201)
    session = httpx.get(f"{tenant.url}{CUSTOMER}/auth", headers={"authorization": first.json()["jwt"]}, verify=PLAIN)
    assert session.status_code == 401  # it was given for the former password
    send(tenant, "PATCH", f"api-accesses/{key}", document("api-accesses", {"allowed-ips": ["10.0.0.0/8"]}, key))
    assert log_in(tenant, login, "p2").status_code == 401
    listed = get(tenant, "api-accesses?sort=-login")
    assert key in [row["id"] for row in listed["data"]]
    assert "password" not in str(listed)
    assert send(tenant, "DELETE", f"api-accesses/{key}").status_code == 204
    assert send(tenant, "GET", f"api-accesses/{key}").status_code == 404


def test_a_deleted_account_leaves_the_logins_that_show_others_too(tenant: Tenant) -> None:
    number = contractor(tenant, "two accounts")
    of = ("contractors", number)
    named = [document("accounts", {"name": f"deleted {n}"}, contractor=of) for n in range(2)]
    numbers = [make(tenant, "accounts", one)["id"] for one in named]
    sent = {"customer-id": number, "login": f"two-{tenant.name}", "password": "x", "account-ids": numbers}
    key = make(tenant, "api-accesses", document("api-accesses", sent))["id"]
    for account in numbers:
        assert send(tenant, "DELETE", f"accounts/{account}").status_code == 204
        shown = get(tenant, f"api-accesses/{key}")["data"]["attributes"]["account-ids"]
        assert shown == [int(numbers[1])]  # an empty list would open every account
    session = {"authorization": log_in(tenant, f"two-{tenant.name}", "x").json()["jwt"]}
    assert httpx.get(f"{tenant.url}{CUSTOMER}/accounts", headers=session, verify=PLAIN).json()["data"] == []


def test_what_a_login_must_have(tenant: Tenant, acme: tuple[str, int]) -> None:
    number, _ = acme
    blank = send(tenant, "POST", "api-accesses", document("api-accesses", {"allowed-ips": ["10.0.0.256"]}))
    assert details(blank) == [
        ("password - can't be blank", "/data/attributes/password"),
        ("customer - must exist", "/data/attributes/customer"),
        ("login - can't be blank", "/data/attributes/login"),
        ("allowed-ips - Allowed IP is not valid", "/data/attributes/allowed-ips"),
    ]
    sent = {"customer-id": number, "login": f"dup-{tenant.name}", "password": "x"}
    make(tenant, "api-accesses", document("api-accesses", sent))
    again = send(tenant, "POST", "api-accesses", document("api-accesses", {**sent, "account-ids": [1, 2]}))
    assert details(again) == [
        ("login - has already been taken", "/data/attributes/login"),
        ("Account should be connected with selected Customer", "/data"),
        ("Account should be connected with selected Customer", "/data"),
    ]


def test_tokens_are_lent_without_a_login(tenant: Tenant, acme: tuple[str, int]) -> None:
    number, account = acme
    links = {
        "customer": {"data": {"type": "contractors", "id": number}},
        "accounts": {"data": [{"type": "accounts", "id": account}, {"type": "accounts", "id": str(account)}]},
        "allow-outgoing-numberlists": {"data": [{"type": "numberlists", "id": n} for n in ("9", 3, "3")]},
    }
    made = make(tenant, "customer-tokens", {"data": {"type": "customer-tokens", "relationships": links}})
    assert (made["id"], made["attributes"].keys()) == (number, {"token", "expires-at"})
    assert "relationships" not in made
    said = jwt.parts(made["attributes"]["token"])[1]
    assert (said["sub"], said["aud"], said["cfg"]["account_ids"]) == ("D", ["customer-v1"], [account])
    assert {name: said["cfg"][name] for name in said["cfg"].keys() - {"customer", "account_ids"}} == {
        "customer_id": int(number), "customer_portal_access_profile_id": 1, "allow_outgoing_numberlists_ids": [3, 9],
        "allowed_ips": ["0.0.0.0/0", "::/0"], "provision_gateway_id": None,
    }  # fmt: skip
    session = httpx.get(
        f"{tenant.url}{CUSTOMER}/auth", headers={"authorization": made["attributes"]["token"]}, verify=PLAIN
    )
    assert session.json() == {"allow-rec": False}
    wrong = {"allowed-ips": ["x"], "customer-portal-access-profile-id": 2}
    refused = send(tenant, "POST", "customer-tokens", {"data": {
        "type": "customer-tokens", "attributes": wrong,
        "relationships": {"provision-gateway": {"data": {"type": "gateways", "id": 1}}}}})  # fmt: skip
    assert details(refused) == [
        ("customer - can't be blank", "/data/relationships/customer"),
        ("allowed-ips - Allowed IP is not valid", "/data/attributes/allowed-ips"),
        ("customer-portal-access-profile - can't be blank", "/data/attributes/customer-portal-access-profile"),
        ("provision-gateway - can't be blank", "/data/relationships/provision-gateway"),
    ]
    assert send(tenant, "GET", "customer-tokens").status_code == 404


def test_a_user_s_token_opens_the_door_and_no_other_token_does(server: Server, tenant: Tenant) -> None:
    async def add(db: Any) -> None:
        async with db.transaction(tenant.caller.workspace) as connection:
            await admins.add_admin(connection, tenant.caller, tenant.name, await hash_password("p"))

    server.run(add)
    with httpx.Client(base_url=f"{server.url}{ADMIN}", headers=HEADERS, timeout=30, verify=PLAIN) as http:
        given = {"auth": {"username": tenant.name, "password": "p"}}
        text = http.post("/auth", json=given, headers={"content-type": "application/json"}).json()["jwt"]
        for headers, query in (({"authorization": text}, ""), ({"authorization": f"Bearer {text}"}, ""), ({}, text)):
            answer = http.get("/currencies/0", headers=headers, params={"token": query} if query else None)
            assert answer.json()["data"]["attributes"]["name"] == "EUR"
        sent = document("currencies", {"name": "GBP", "rate": 1}) | {"token": text}
        assert http.post("/currencies", json=sent).status_code == 201
        for method, path, options in (
            ("GET", "/currencies", {}),
            ("GET", "/currencies/999", {"headers": {"authorization": f"{text}x", "accept": "text/html"}}),
            ("POST", "/currencies", {"content": b"{", "headers": {"content-type": "text/plain"}}),
        ):  # fmt: skip
            answer = http.request(method, path, **options)
            assert (answer.status_code, answer.content) == (401, b"")
        login = {"authorization": text}
        assert httpx.get(f"{server.url}{CUSTOMER}/auth", headers=login, verify=PLAIN).status_code == 401
        assert (
            httpx.get(f"{server.url}/customers", headers={"authorization": f"Bearer {text}"}, verify=PLAIN).status_code
            == 401
        )
