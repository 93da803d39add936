"""Customers, accounts and aliases in their finer points: contacts, inheritance, odd ids, scopes, strangers."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.aliases_api import AliasesApi
from togai_client.api.customers_api import CustomersApi
from togai_client.exceptions import BadRequestException, ForbiddenException, NotFoundException
from togai_client.models.add_account_aliases_request import AddAccountAliasesRequest
from togai_client.models.create_customer_contact_request import CreateCustomerContactRequest
from togai_client.models.remove_account_aliases_request import RemoveAccountAliasesRequest
from togai_client.models.update_account_request import UpdateAccountRequest
from togai_client.models.update_customer_request import UpdateCustomerRequest

from bursar.accounts.tokens import create_token
from bursar.db.database import Database
from tests.conftest import Server, Tenant

ADDRESS = {"line1": "1 Main Street", "postalCode": "29501", "city": "Florence", "country": "US"}


def post(tenant: Tenant, path: str, body: dict[str, Any], status: int = 201) -> dict[str, Any]:
    answer = tenant.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    result: dict[str, Any] = answer.json()
    return result


def customer(tenant: Tenant, identifier: str = "acme", **change: Any) -> dict[str, Any]:
    body = {"id": identifier, "name": "ACME", "primaryEmail": "a@example.com", "address": ADDRESS, **change}
    return post(tenant, "/customers", body)


def account(tenant: Tenant, identifier: str = "acc", **change: Any) -> dict[str, Any]:
    return post(tenant, "/accounts", {"id": identifier, "name": "Account", "customerId": "acme", **change})


def test_contacts_of_a_customer(tenant: Tenant) -> None:
    api = CustomersApi(tenant.togai)
    customer(tenant)
    login = f"ann{tenant.caller.workspace}"
    contact = {"name": "Ann", "email": "ann@example.com", "phone": "+1 555 0100", "preferredUsername": login}
    body = CreateCustomerContactRequest.from_dict({**contact, "password": "correct horse", "verified": True})
    made = api.create_customer_contact("acme", body)
    assert (made.name, made.email, made.phone, made.preferred_username) == (
        "Ann", "ann@example.com", "+1 555 0100", login,
    )  # fmt: skip
    assert (made.verified, made.login_access) == (True, False)
    assert "correct horse" not in str(made.to_dict())
    with pytest.raises(BadRequestException, match="preferredUsername"):
        api.create_customer_contact("acme", body)
    with pytest.raises(NotFoundException):
        api.create_customer_contact("nobody", CreateCustomerContactRequest(name="Bob", email="b@example.com"))
    # The client could not read an answer with a longer number than 20 characters: it is kept and not shown.
    long = api.create_customer_contact(
        "acme", CreateCustomerContactRequest(name="Cid", email="c@example.com", phone="1" * 30)
    )
    assert long.phone is None
    api.delete_customer("acme")
    with pytest.raises(BadRequestException, match="archived"):
        api.create_customer_contact("acme", CreateCustomerContactRequest(name="Dan", email="d@example.com"))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": None}, "email"),
        ({"name": ""}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"phone": "1" * 31}, "phone"),
        ({"password": "x" * 101}, "password"),
        ({"preferredUsername": "a b"}, "preferredUsername"),
        ({"preferredUsername": "ab"}, "preferredUsername"),
        ({"loginAccess": "yes"}, "loginAccess"),
        ({"title": "Dr"}, "title"),
    ],
)
def test_bad_contacts_are_refused_by_name(tenant: Tenant, change: dict[str, Any], word: str) -> None:
    customer(tenant)
    answer = tenant.http.post("/customers/acme/contacts", json={"name": "Ann", "email": "a@example.com", **change})
    assert answer.status_code == 400
    assert word in answer.json()["message"]


def test_an_account_without_an_address_shows_its_customer_s(tenant: Tenant) -> None:
    api = AccountsApi(tenant.togai)
    customer(tenant)
    made = account(tenant)
    assert (made["address"], made["primaryEmail"]) == (ADDRESS, "a@example.com")
    assert made["billingInformation"] == {"emailRecipients": ["a@example.com"]}
    tenant.http.patch("/customers/acme", json={"primaryEmail": "new@example.com"})
    assert api.get_account("acc").primary_email == "new@example.com"
    api.update_account("acc", UpdateAccountRequest.from_dict({"primaryEmail": "own@example.com"}))
    own = tenant.http.patch("/accounts/acc", json={"address": {"city": "Bonn"}}).json()
    assert (own["address"], own["primaryEmail"]) == ({"city": "Bonn"}, "own@example.com")
    assert own["billingInformation"] == {"emailRecipients": ["own@example.com"]}


def test_an_address_that_nobody_could_read_back_is_refused(tenant: Tenant) -> None:
    api = CustomersApi(tenant.togai)
    parts = ("line1", "line2", "city", "state")
    longest = dict.fromkeys(parts, "x" * 248) | {"line1": "x" * 250}  # 994 characters and three times ", "
    assert len(customer(tenant, address=longest)["billingAddress"]) == 1000
    assert len(api.get_customer("acme").billing_address) == 1000
    longer = longest | {"line1": "x" * 251}
    answer = tenant.http.patch("/customers/acme", json={"address": longer})
    assert answer.status_code == 400
    assert "address" in answer.json()["message"]
    answer = tenant.http.post("/customers", json={"id": "b", "name": "BCD", "primaryEmail": "b@x", "address": longer})
    assert answer.status_code == 400
    assert api.update_customer("acme", UpdateCustomerRequest.from_dict({"address": {}})).billing_address == ""


def test_what_an_update_leaves_out_stays_and_metadata_is_replaced(tenant: Tenant) -> None:
    customer(tenant)
    full = account(tenant, netTermDays=30, metadata={"a": "1", "b": "2"}, tags=["X", "x", "Y"], aliases=["desk"])
    assert full["tags"] == ["x", "y"]
    same = tenant.http.patch("/accounts/acc", json={}).json()
    assert same == full
    nulls = dict.fromkeys(["name", "netTermDays", "metadata", "tags", "status", "invoiceCurrency", "address"])
    assert tenant.http.patch("/accounts/acc", json=nulls).json() == full
    changed = tenant.http.patch("/accounts/acc", json={"metadata": {"c": "3"}, "tags": [], "status": "DRAFT"}).json()
    assert (changed["metadata"], changed["tags"], changed["status"]) == ({"c": "3"}, [], "DRAFT")
    assert tenant.http.patch("/accounts/acc", json={"metadata": {}}).json()["metadata"] == {}
    assert tenant.http.patch("/accounts/acc", json={"status": "ARCHIVED"}).status_code == 400


def test_aliases_end_by_value_or_by_entry_and_from_an_instant_on(server: Server) -> None:
    tenant = server.workspace(clock=None)
    api = AccountsApi(tenant.togai)
    customer(tenant)
    account(tenant, aliases=["by-value", "by-entry", "later"])
    entries = {entry.value: entry.id for entry in api.list_account_aliases("acc").data}
    left = api.remove_aliases("acc", RemoveAccountAliasesRequest(aliases=["by-value"]))
    assert [entry.alias for entry in left.aliases] == ["by-entry", "later"]
    removal = {"accountAliases": [{"id": entries["by-entry"]}, {"id": "later", "from": "2999-01-01T00:00:00"}]}
    left = api.remove_aliases("acc", RemoveAccountAliasesRequest.from_dict(removal))
    assert [entry.alias for entry in left.aliases] == ["later"]
    ends = {entry.value: entry.effective_until.year for entry in api.list_account_aliases("acc").data}
    assert ends["later"] == 2999
    assert ends["by-value"] < 2999
    with pytest.raises(BadRequestException, match=r"accountAliases\[0\]\.id"):
        api.remove_aliases("acc", RemoveAccountAliasesRequest.from_dict({"accountAliases": [{"id": "unknown"}]}))
    empties: list[dict[str, Any]] = [{}, {"aliases": []}, {"aliases": None}]
    for empty in empties:
        assert tenant.http.post("/accounts/acc/remove_aliases", json=empty).status_code == 400
        assert tenant.http.post("/accounts/acc/add_aliases", json=empty).status_code == 400
    with pytest.raises(NotFoundException):
        api.remove_aliases("nobody", RemoveAccountAliasesRequest(aliases=["later"]))
    with pytest.raises(NotFoundException):
        api.add_aliases("nobody", AddAccountAliasesRequest(aliases=["desk"]))
    with pytest.raises(NotFoundException):
        api.list_account_aliases("nobody")


def test_of_several_aliases_a_refused_one_leaves_nothing_behind(tenant: Tenant) -> None:
    customer(tenant)
    account(tenant, aliases=["mine"])
    answer = tenant.http.post("/accounts/acme/add_aliases", json={"aliases": ["fine", "good", "mine"]})
    assert answer.status_code == 400
    assert "aliases[2]" in answer.json()["message"]
    assert "'acc'" in answer.json()["message"]
    assert tenant.http.get("/aliases/fine").status_code == 404
    answer = tenant.http.post(
        "/customers",
        json={"id": "b", "name": "BCD", "primaryEmail": "b@x", "address": {},
              "account": {"id": "b1", "name": "BCD", "accountAliases": [{"value": "good"}, {"value": "mine"}]}},
    )  # fmt: skip
    assert answer.status_code == 400
    assert "account.accountAliases[1]" in answer.json()["message"]
    assert tenant.http.get("/customers/b").status_code == 404
    answer = tenant.http.post(
        "/customers",
        json={"id": "b", "name": "BCD", "primaryEmail": "b@x", "address": {}, "account": {"id": "acc", "name": "BCD"}},
    )
    assert "account.id" in answer.json()["message"]
    assert tenant.http.get("/customers/b").status_code == 404


def test_an_alias_that_waits_for_its_account_is_no_free_id(tenant: Tenant) -> None:
    api = AliasesApi(tenant.togai)
    customer(tenant)
    post(tenant, "/aliases", {"aliases": [{"value": "spare"}, {"value": "other"}]})
    answer = tenant.http.post("/accounts", json={"id": "spare", "name": "Spare", "customerId": "acme"})
    assert answer.status_code == 400
    assert "spare" in answer.json()["message"]
    post(tenant, "/accounts/acme/add_aliases", {"aliases": ["spare"]}, 200)
    post(tenant, "/accounts/acme/remove_aliases", {"aliases": ["spare"]}, 200)
    assert api.delete_alias("spare").success
    page = api.list_aliases(page_size=1)
    assert [entry.value for entry in page.data] == ["other"]
    twice = tenant.http.post("/aliases", json={"aliases": [{"value": "new"}, {"value": "new"}]})
    assert twice.status_code == 400
    assert "aliases[1].value" in twice.json()["message"]
    assert tenant.http.get("/aliases/new").status_code == 404
    many = [{"value": f"bulk{index:03}"} for index in range(100)]
    assert [entry["value"] for entry in post(tenant, "/aliases", {"aliases": many})["data"]] == [
        entry["value"] for entry in many
    ]
    assert tenant.http.post("/aliases", json={"aliases": [*many, {"value": "one more"}]}).status_code == 400
    assert tenant.http.post("/aliases", json={"aliases": [{"value": "x" * 256}]}).status_code == 400
    seen, token = [], None
    while True:
        page = api.list_aliases(page_size=40, next_token=token) if token is None else api.list_aliases(next_token=token)
        seen += [entry.value for entry in page.data]
        token = page.next_token
        if token is None:
            break
    assert seen == ["other", *(entry["value"] for entry in many)]


@pytest.mark.parametrize(
    "identifier", ["a/b", "a#b", "a$b", "a@b.c", "a+b", "100%", "a b", "Ünï", "a?b&c=d", "...", "a/../b"]
)
def test_ids_may_have_any_characters(tenant: Tenant, identifier: str) -> None:
    customer(tenant, identifier)
    assert CustomersApi(tenant.togai).get_customer(identifier).id == identifier
    assert AccountsApi(tenant.togai).get_account(identifier).id == identifier
    value = f"{identifier} alias"
    AccountsApi(tenant.togai).add_aliases(identifier, AddAccountAliasesRequest(aliases=[value]))
    assert AliasesApi(tenant.togai).get_alias(value).value == value
    path = quote(identifier, safe="").replace(".", "%2E")
    raw = httpx.URL(tenant.url).copy_with(raw_path=f"/accounts/{path}/account_aliases".encode())
    assert tenant.http.get(raw).json()["data"][0]["value"] == value


def ranged(**alias: str) -> dict[str, Any]:
    return {"accountAliases": [{"value": "desk", **alias}]}


def bad(**change: Any) -> dict[str, Any]:
    return {"id": "a", "name": "Account", "customerId": "acme", **change}


BAD: list[tuple[str, dict[str, Any]]] = [
    ("/accounts/acc/add_aliases", ranged(effectiveFrom="0001-01-01T00:00:00+05:00")),
    ("/accounts/acc/add_aliases", ranged(effectiveUntil="9999-12-31T23:59:59-05:00")),
    ("/accounts/acc/add_aliases", ranged(effectiveUntil="1969-01-01T00:00:00Z")),
    ("/accounts/acc/add_aliases", ranged(effectiveFrom="yesterday")),
    ("/accounts/acc/add_aliases", ranged(since="2026-01-01T00:00:00Z")),
    ("/accounts/acc/add_aliases", {"aliases": ["desk"] * 11}),
    ("/accounts/acc/add_aliases", {"aliases": ["de"]}),
    ("/accounts/acc/add_aliases", {"aliases": ["desk\x00"]}),
    ("/accounts/acc/add_aliases", {"aliases": "desk"}),
    ("/accounts/acc/add_aliases", {"aliases": ["desk", "desk"]}),
    ("/accounts/acc/remove_aliases", {"accountAliases": [{"id": "x", "from": "9999-12-31T23:59:59-05:00"}]}),
    ("/accounts", bad(customerId="x" * 256)),
    ("/accounts", bad(netTermDays=1.5)),
    ("/accounts", bad(netTermDays=10**30)),
    ("/accounts", bad(metadata={"k": 1})),
    ("/accounts", bad(metadata={"k\x00": "v"})),
    ("/accounts", bad(tags=["x" * 51])),
    ("/accounts", bad(id="a\nb")),
    ("/accounts", bad(id="a\n")),
    ("/accounts", bad(id=" a")),
    ("/accounts", bad(id="..")),
    ("/accounts", bad(invoiceCurrency="usd")),
    ("/accounts", bad(billingInformation={"emailRecipients": ["x" * 321]})),
    ("/accounts", bad(primaryEmail="a@b\n")),
    ("/aliases", {"aliases": []}),
    ("/aliases", {"aliases": [{"value": ""}]}),
    ("/aliases", {"aliases": [{"value": "."}]}),
]


@pytest.mark.parametrize(("path", "body"), BAD)
def test_bad_bodies_are_refused_and_change_nothing(tenant: Tenant, path: str, body: dict[str, Any]) -> None:
    customer(tenant)
    account(tenant)
    before = [tenant.http.get(f"/{kind}").json() for kind in ("customers", "accounts", "aliases")]
    answer = tenant.http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]
    assert [tenant.http.get(f"/{kind}").json() for kind in ("customers", "accounts", "aliases")] == before


def test_bad_queries_are_refused(tenant: Tenant) -> None:
    customer(tenant)
    for when in ("0001-01-01T00:00:00+05:00", "soon", ""):
        assert tenant.http.get("/accounts/acme", params={"effectiveOn": when}).status_code == 400
    for when in ("2024-01-01T03:04:05.000000", "2024-01-01T03:04:05.000000+0000", "2024-01-01T03:04:05Z"):
        assert tenant.http.get("/accounts/acme", params={"effectiveOn": when}).status_code == 200
    shown = tenant.http.get("/accounts/acme", params={"includeGroupDetails": "true"})
    assert shown.json()["invoiceGroupDetails"] is None


OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/customers/acme", None),
    ("PATCH", "/customers/acme", {"name": "Stolen"}),
    ("DELETE", "/customers/acme", None),
    ("POST", "/customers/acme/contacts", {"name": "Eve", "email": "e@example.com"}),
    ("GET", "/accounts/acme", None),
    ("PATCH", "/accounts/acme", {"name": "Stolen"}),
    ("DELETE", "/accounts/acme", None),
    ("POST", "/accounts/acme/add_aliases", {"aliases": ["eve's"]}),
    ("POST", "/accounts/acme/remove_aliases", {"aliases": ["desk"]}),
    ("GET", "/accounts/acme/account_aliases", None),
    ("GET", "/aliases/desk", None),
    ("DELETE", "/aliases/desk", None),
]


def test_a_stranger_finds_nothing_and_changes_nothing(server: Server) -> None:
    owner, stranger = server.workspace(), server.workspace()
    customer(owner, account={"id": "acme", "name": "Account", "aliases": ["desk"]})
    before = [owner.http.get(f"/{kind}").json() for kind in ("customers", "accounts", "aliases")]
    for method, path, body in OPERATIONS:
        answer = stranger.http.request(method, path, json=body)
        assert answer.status_code == 404, (method, path)
        assert list(answer.json()) == ["message"]
    for kind in ("customers", "accounts", "aliases"):
        assert stranger.http.get(f"/{kind}").json()["data"] == []
    # What one workspace has taken is free in another.
    customer(stranger, account={"id": "acme", "name": "Account", "aliases": ["desk"]})
    assert [owner.http.get(f"/{kind}").json() for kind in ("customers", "accounts", "aliases")] == before


def test_a_token_does_what_its_scopes_say_and_no_more(server: Server) -> None:
    tenant = server.workspace()
    customer(tenant)

    async def narrow(db: Database) -> str:
        async with db.transaction(tenant.caller.workspace) as connection:
            text, _ = await create_token(connection, tenant.caller, "reader", scopes=frozenset({"read"}))
        return text

    tenant.togai.configuration.access_token = server.run(narrow)
    assert CustomersApi(tenant.togai).get_customer("acme").id == "acme"
    for call in (CustomersApi(tenant.togai).delete_customer, AccountsApi(tenant.togai).delete_account):
        with pytest.raises(ForbiddenException, match="write"):
            call("acme")
