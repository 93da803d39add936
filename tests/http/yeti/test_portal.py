"""The door of a carrier's customers: what each sees, and that nobody sees more."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.http.app import load_doors
from bursar.http.door import Operation
from bursar.invoicing.statements import approve_statement
from bursar.invoicing.stating import fill_new
from tests.conftest import PLAIN, Server, Tenant
from tests.http.yeti.carrier import HEADERS, contractor, document, get, make, send

CUSTOMER = "/api/rest/customer/v1"
MARK = "for-nobody-else"
ROUTES: list[Operation] = load_doors()[3].operations
EXPIRED = {"errors": [{
    "title": "Authorization failed", "detail": "Authorization token expired or incorrect.", "code": "401",
    "status": "401"}]}  # fmt: skip


@dataclass
class Holder:
    """A customer with one of everything, and a login."""

    tenant: Tenant
    number: str
    account: str
    token: str
    ids: dict[str, str] = field(default_factory=dict)
    """Of what it has, by the names in paths."""

    def get(self, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {**HEADERS, "authorization": token or self.token}
        return httpx.get(f"{self.tenant.url}{CUSTOMER}{path}", headers=headers, timeout=30, **options, verify=PLAIN)


def login(tenant: Tenant, number: str, name: str, accounts: list[str]) -> str:
    """The token of a new login."""
    given = {"customer-id": int(number), "login": name, "password": "p", "account-ids": accounts}
    make(tenant, "api-accesses", document("api-accesses", given))
    got = httpx.post(
        f"{tenant.url}{CUSTOMER}/auth", json={"auth": {"login": name, "password": "p"}}, timeout=30, verify=PLAIN
    )
    assert got.status_code == 201, got.text
    return str(got.json()["jwt"])


async def approve(db: Database, caller: Caller, number: int) -> None:
    """Fill the statements of a workspace and approve one."""
    await fill_new(db, caller)
    async with db.transaction(caller.workspace) as connection:
        await approve_statement(connection, caller, number)


def holder(server: Server, tenant: Tenant, name: str, accounts: str = "all") -> Holder:
    number = contractor(tenant, f"{name} {MARK}")
    linked = {"contractor": ("contractors", number)}
    account = make(tenant, "accounts", document("accounts", {"name": f"{name} {MARK}", "max-balance": 5}, **linked))
    other = make(tenant, "accounts", document("accounts", {"name": f"{name} other {MARK}", "vat": 1}, **linked))
    of = {"account": ("accounts", account["id"])}
    types = get(tenant, "service-types")["data"]
    kind = types[0]["id"] if types else make(
        tenant, "service-types",
        document("service-types", {"name": "Line", "provisioning-class": "Billing::Provisioning::Logging"}),
    )["id"]  # fmt: skip
    priced = {"name": f"{name} {MARK}", "initial-price": 3, "renew-price": 0}
    make(tenant, "services", document("services", priced, service_type=("service-types", kind), **of))
    make(tenant, "transactions", document("transactions", {"amount": 2, "description": MARK}, **of))
    make(tenant, "payments", document("payments", {"amount": 7, "notes": MARK}, **of))
    approved, _ = (
        int(make(tenant, "invoices", document("invoices", {"start-date": start, "end-date": end}, **of))["id"])
        for start, end in (("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-03-01"))
    )
    server.run(lambda db: approve(db, tenant.caller, approved))
    shown = [] if accounts == "all" else [other["id"]]
    made = Holder(tenant, number, account["id"], login(tenant, number, f"{name}-{tenant.name}", shown))
    everything = made if accounts == "all" else Holder(
        tenant, number, account["id"], login(tenant, number, f"{name}-all-{tenant.name}", [])
    )  # fmt: skip
    for kind_of in {operation.tag for operation in ROUTES} - {"auth", "profiles"}:
        found = everything.get(f"/{kind_of}").json()["data"]
        if found:
            made.ids[f"{kind_of}_id"] = found[0]["id"]
    made.ids["accounts_id"] = account["attributes"]["uuid"]
    return made


@dataclass
class World:
    """Three customers that see different things, and one without anything in another workspace."""

    owner: Holder
    neighbour: Holder
    narrow: Holder
    """Its login shows another account than the one with everything."""
    stranger: Holder


@pytest.fixture(scope="module")
def world(server: Server) -> World:
    tenant, other = server.workspace(), server.workspace()
    return World(
        holder(server, tenant, "owner"),
        holder(server, tenant, "neighbour"),
        holder(server, tenant, "narrow", "other"),
        holder(server, other, "stranger"),
    )


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path.removeprefix(CUSTOMER)}"


ADDRESSED = [operation for operation in ROUTES if "{" in operation.path]
LISTS = [o for o in ROUTES if "{" not in o.path and o.tag not in ("auth", "profiles")]


def test_there_is_one_of_everything(world: World) -> None:
    """Else what is another's would be as unknown as anything."""
    types = {f"{operation.tag}_id" for operation in ROUTES} - {"auth_id", "profiles_id"}
    for who in (world.owner, world.neighbour, world.narrow, world.stranger):
        assert {*who.ids} == types
    for name in types:
        assert len({who.ids[name] for who in (world.owner, world.neighbour, world.narrow, world.stranger)}) == 4


@pytest.mark.parametrize("operation", ADDRESSED, ids=named)
def test_what_is_another_s_is_not_there(world: World, operation: Operation) -> None:
    template = operation.path.removeprefix(CUSTOMER)
    owner = world.owner
    path = template.format(**owner.ids)
    assert owner.get(path).status_code == 200, path
    name = re.findall(r"{(\w+)}", template)[0]
    nobody = template.format(**{name: "00000000-0000-4000-8000-000000000000"})
    for foreign in (world.neighbour, world.narrow, world.stranger):
        answer, unknown = foreign.get(path), foreign.get(nobody)
        assert answer.status_code == unknown.status_code == 404
        assert answer.text.replace(owner.ids[name], "ID") == unknown.text.replace(nobody.split("/")[2], "ID")
        assert {*answer.headers} == {*unknown.headers}
    path = template.format(**world.narrow.ids)
    assert world.narrow.get(path).status_code == 404  # its own, of an account that its login does not show


@pytest.mark.parametrize("operation", LISTS, ids=named)
def test_lists_hold_nothing_of_another(world: World, operation: Operation) -> None:
    path = operation.path.removeprefix(CUSTOMER)
    name = f"{operation.tag}_id"
    mine = world.owner.get(path, params={"page[size]": 1000})
    assert world.owner.ids[name] in mine.text
    for other in (world.neighbour, world.narrow, world.stranger):
        assert other.ids[name] not in mine.text
        got = other.get(path, params={"page[size]": 1000})
        assert got.status_code == 200
        assert world.owner.ids[name] not in got.text
        assert got.json()["meta"]["total-count"] == len(got.json()["data"])
    assert world.narrow.ids[name] not in world.narrow.get(path).text


@pytest.mark.parametrize("operation", [*ADDRESSED, *LISTS], ids=named)
def test_nothing_is_shown_without_a_token_or_changed_with_one(world: World, operation: Operation) -> None:
    path = operation.path.removeprefix(CUSTOMER).format(**world.owner.ids)
    for token in ("x", world.owner.tenant.token):
        answer = world.owner.get(path, token=token)
        assert (answer.status_code, answer.json()) == (401, EXPIRED)
        assert answer.headers["content-type"] == "application/vnd.api+json"
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        headers = {**HEADERS, "authorization": world.owner.token}
        answer = httpx.request(method, f"{world.owner.tenant.url}{CUSTOMER}{path}", headers=headers, json={})
        assert answer.status_code == 404


def test_what_a_customer_sees(world: World) -> None:
    owner = world.owner
    account = owner.get(f"/accounts/{owner.ids['accounts_id']}").json()["data"]
    assert account == {
        "id": owner.ids["accounts_id"],
        "type": "accounts",
        "links": {"self": f"{owner.tenant.url}{CUSTOMER}/accounts/{owner.ids['accounts_id']}"},
        "attributes": {
            "name": f"owner {MARK}", "balance": "2.0", "min-balance": "0.0", "max-balance": "5.0",
            "destination-rate-limit": None, "origination-capacity": None, "termination-capacity": None,
            "total-capacity": None, "currency": "USD",
        },
    }  # fmt: skip
    service = owner.get(f"/services/{owner.ids['services_id']}?include=account,transactions").json()
    assert [*service["data"]["attributes"]] == [
        "name", "state", "initial-price", "renew-price", "created-at", "renew-at", "renew-period", "service-type",
        "ui-type",
    ]  # fmt: skip
    assert service["data"]["attributes"]["service-type"] == "Line"
    assert service["data"]["relationships"]["account"]["data"] == {"type": "accounts", "id": account["id"]}
    [charged] = [row for row in service["included"] if row["type"] == "transactions"]
    assert charged["attributes"]["amount"] == "3.0"
    listed = owner.get(f"/transactions?filter[service-id-eq]={service['data']['id']}&include=service").json()
    assert [row["id"] for row in listed["data"]] == [charged["id"]]
    assert listed["included"][0]["id"] == service["data"]["id"]
    for operator, count in (("eq", 2), ("in", 2), ("not-eq", 0), ("not_in", 0)):
        assert owner.get(f"/transactions?filter[account-id-{operator}]={account['id']}").json()["meta"] == {
            "total-count": count
        }, operator
    nobody = "00000000-0000-4000-8000-000000000000"
    for operator, count in (("eq", 0), ("in", 0), ("not-eq", 2), ("not-in", 2)):
        assert owner.get(f"/transactions?filter[account-id-{operator}]={nobody}").json()["meta"] == {
            "total-count": count
        }, operator
    other = world.neighbour.ids["accounts_id"]
    assert owner.get(f"/transactions?filter[account-id-eq]={other}").json()["data"] == []


def test_invoices_of_a_customer_are_those_that_are_approved(world: World) -> None:
    owner = world.owner
    answer = owner.get("/invoices?include=account").json()
    assert answer["meta"] == {"total-count": 1}
    [invoice] = answer["data"]
    side = ("amount-spent", "calls-count", "successful-calls-count", "calls-duration", "billing-duration",
            "first-call-at", "last-call-at")  # fmt: skip
    assert [*invoice["attributes"]] == [
        "reference", "start-date", "end-date", "has-pdf", "amount-spent",
        *(f"originated-{name}" for name in side), *(f"terminated-{name}" for name in side),
        "services-amount-spent", "service-transactions-count",
    ]  # fmt: skip
    assert (invoice["attributes"]["start-date"], invoice["attributes"]["has-pdf"]) == (
        "2024-01-01T00:00:00.000Z",
        False,
    )
    assert invoice["relationships"]["account"]["data"]["id"] == owner.ids["accounts_id"]
    assert owner.get(f"/invoices/{invoice['id']}/download").status_code == 404


def test_payments_of_a_customer(world: World) -> None:
    owner = world.owner
    payment = owner.get(f"/payments/{owner.ids['payments_id']}").json()["data"]
    assert [*payment["attributes"]] == [
        "amount", "currency", "notes", "status", "type-name", "created-at", "balance-before-payment", "rolledback-at"
    ]  # fmt: skip
    assert (payment["attributes"]["amount"], payment["attributes"]["balance-before-payment"]) == ("7.0", "-5.0")
    assert owner.get("/payments?filter[status-eq]=completed").json()["meta"] == {"total-count": 1}
    refused = owner.get("/payments?filter[status-eq]=rolled_back")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "107")
    assert owner.get("/payments?sort=status").status_code == 400


def test_objects_as_a_customer_sees_them(world: World) -> None:
    owner = world.owner
    root = f"{owner.tenant.url}{CUSTOMER}"

    def expected(kind: str, attributes: dict[str, Any], *relationships: str) -> dict[str, Any]:
        itself = f"{root}/{kind}/{owner.ids[f'{kind}_id']}"
        return {
            "id": owner.ids[f"{kind}_id"], "type": kind, "links": {"self": itself}, "attributes": attributes,
            "relationships": {
                name: {"links": {"self": f"{itself}/relationships/{name}", "related": f"{itself}/{name}"}}
                for name in relationships
            },
        }  # fmt: skip

    def shown(kind: str) -> tuple[Any, str]:
        answer = owner.get(f"/{kind}/{owner.ids[f'{kind}_id']}")
        assert answer.status_code == 200
        data = answer.json()["data"]
        moment = data["attributes"].get("created-at", "")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
        return data, moment

    data, moment = shown("payments")
    assert data == expected("payments", {
        "amount": "7.0", "currency": "USD", "notes": MARK, "status": "completed", "type-name": "manual",
        "created-at": moment, "balance-before-payment": "-5.0", "rolledback-at": None,
    }, "account")  # fmt: skip
    data, moment = shown("services")
    assert data == expected("services", {
        "name": f"owner {MARK}", "state": "Active", "initial-price": "3.0", "renew-price": "0.0",
        "created-at": moment, "renew-at": None, "renew-period": "Disabled", "service-type": "Line", "ui-type": None,
    }, "account", "transactions")  # fmt: skip
    data, moment = shown("transactions")
    assert data == expected("transactions", {
        "description": "Service creation", "amount": "3.0", "created-at": moment,
    }, "account", "service")  # fmt: skip
    link = owner.get(f"/transactions/{data['id']}/relationships/service").json()
    assert link == {
        "data": {"type": "services", "id": owner.ids["services_id"]},
        "links": data["relationships"]["service"]["links"],
    }
    unknown = owner.get("/accounts/1")
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (400, "103"), "ids are UUIDs here"
    html = httpx.get(f"{root}/accounts", headers={"authorization": owner.token, "accept": "text/html"}, timeout=30)
    assert (html.status_code, html.json()["errors"][0]["code"]) == (406, "406")
    listed = owner.get("/accounts?page[size]=1&sort=-name")
    assert [row["attributes"]["name"] for row in listed.json()["data"]] == [f"owner other {MARK}"]
    again = owner.get("/accounts?page[size]=1&sort=-name", token=owner.token)
    assert (again.headers["etag"], again.headers["vary"]) == (listed.headers["etag"], "Accept")


def test_the_last_payment_comes_first(server: Server) -> None:
    tenant = server.workspace(clock=datetime(2024, 1, 1, tzinfo=UTC))
    number = contractor(tenant, "payer")
    of = ("contractors", number)
    accounts = [make(tenant, "accounts", document("accounts", {"name": name}, contractor=of)) for name in ("a", "b")]
    for hour, (amount, notes) in enumerate(((5, "b"), (9, "a"), (7, "c"))):
        now = {"now": f"2024-01-01T0{hour}:00:00Z"}
        assert tenant.http.post("/bursar/v1/clock", json=now).status_code == 200
        sent = document("payments", {"amount": amount, "notes": notes}, account=("accounts", accounts[hour % 2]["id"]))
        make(tenant, "payments", sent)
    me = Holder(tenant, number, "", login(tenant, number, f"payer-{tenant.name}", []))
    uuids = [account["attributes"]["uuid"] for account in accounts]
    for query, expected in {
        "": "cab", "?sort=created-at": "bac", "?sort=-created-at": "cab", "?sort=amount": "bca", "?sort=-notes": "cba",
        f"?filter[account-id-eq]={uuids[0]}": "cb", f"?filter[account_id_in]={uuids[1]},{uuids[0]}": "cab",
        f"?filter[account-id-not-eq]={uuids[0]}": "a", f"?filter[account-id-not-in]={uuids[0]},{uuids[1]}": "",
    }.items():  # fmt: skip
        rows = me.get(f"/payments{query}").json()["data"]
        assert "".join(row["attributes"]["notes"] for row in rows) == expected, query
    for name in ("currency", "status", "type-name", "balance-before-payment", "rolledback-at"):
        refused = me.get(f"/payments?sort={name}")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "114")


def test_the_profile_says_what_there_is(world: World) -> None:
    for path in ("/profile", "/profiles"):
        data = world.owner.get(path).json()["data"]
        assert (data["id"], data["type"]) == ("1", "profiles")
        assert {name for name, offered in data["attributes"].items() if offered} == {
            "account", "invoices", "payments", "services", "transactions"
        }  # fmt: skip


def test_a_session_by_cookie_slides(world: World) -> None:
    owner = world.owner
    url = f"{owner.tenant.url}{CUSTOMER}/accounts"
    cookie = {"cookie": f"_yeti_customer_v1_session={owner.token}"}
    answer = httpx.get(url, headers={**HEADERS, **cookie}, verify=PLAIN)
    assert answer.status_code == 200
    fresh = re.match(r"_yeti_customer_v1_session=([\w.-]+); path=/; expires=", answer.headers["set-cookie"])
    assert fresh is not None
    assert httpx.get(url, headers={"cookie": f"_yeti_customer_v1_session={fresh[1]}"}, verify=PLAIN).status_code == 200
    missing = httpx.get(f"{url}/{world.stranger.ids['accounts_id']}", headers=cookie, verify=PLAIN)
    assert (missing.status_code, "set-cookie" in missing.headers) == (404, True)
    by_header = httpx.get(url, headers={**cookie, "authorization": owner.token}, verify=PLAIN)
    assert "set-cookie" not in by_header.headers
    assert httpx.get(url, headers={**cookie, "authorization": "x"}, verify=PLAIN).status_code == 401


def test_a_lent_token_shows_the_accounts_that_it_names(world: World) -> None:
    owner = world.owner
    links = {
        "customer": {"data": {"type": "contractors", "id": owner.number}},
        "accounts": {"data": [{"type": "accounts", "id": owner.account}]},
    }
    made = make(owner.tenant, "customer-tokens", {"data": {"type": "customer-tokens", "relationships": links}})
    token = made["attributes"]["token"]
    assert [row["id"] for row in owner.get("/accounts", token=token).json()["data"]] == [owner.ids["accounts_id"]]
    assert owner.get("/accounts").json()["meta"] == {"total-count": 2}
    foreign = {**links, "accounts": {"data": [{"type": "accounts", "id": world.neighbour.account}]}}
    refused = send(
        owner.tenant, "POST", "customer-tokens", {"data": {"type": "customer-tokens", "relationships": foreign}}
    )
    assert refused.json()["errors"][0]["detail"] == "accounts - is invalid"
