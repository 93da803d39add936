"""Customers, accounts and aliases with the official client, and what it is told when it errs."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.aliases_api import AliasesApi
from togai_client.api.authentication_api import AuthenticationApi
from togai_client.api.customers_api import CustomersApi
from togai_client.exceptions import BadRequestException, NotFoundException, UnauthorizedException
from togai_client.models.add_account_aliases_request import AddAccountAliasesRequest
from togai_client.models.create_account_request import CreateAccountRequest
from togai_client.models.create_bulk_alias_request import CreateBulkAliasRequest
from togai_client.models.create_customer_contact_request import CreateCustomerContactRequest
from togai_client.models.create_customer_request import CreateCustomerRequest
from togai_client.models.remove_account_aliases_request import RemoveAccountAliasesRequest
from togai_client.models.update_account_request import UpdateAccountRequest
from togai_client.models.update_customer_request import UpdateCustomerRequest

from tests.conftest import Server, Tenant

ADDRESS = {"line1": "1 Main Street", "postalCode": "29501", "city": "Florence", "country": "US"}


def customer(tenant: Tenant, identifier: str = "acme", **change: Any) -> Any:
    body = {"id": identifier, "name": "ACME", "primaryEmail": "a@example.com", "address": ADDRESS, **change}
    return CustomersApi(tenant.togai).create_customer(CreateCustomerRequest.from_dict(body))


def account(tenant: Tenant, identifier: str = "acc", customer_id: str = "acme", **change: Any) -> Any:
    body = {"id": identifier, "name": "Account", "customerId": customer_id, **change}
    return AccountsApi(tenant.togai).create_account(CreateAccountRequest.from_dict(body))


def aliases(tenant: Tenant, identifier: str) -> list[str]:
    found = AccountsApi(tenant.togai).get_account(identifier).aliases
    return sorted(entry.alias for entry in found or [])


def refused(call: Any, *words: str) -> None:
    with pytest.raises(BadRequestException) as caught:
        call()
    for word in words:
        assert word in caught.value.body, caught.value.body


def test_a_customer_through_its_life(tenant: Tenant) -> None:
    api = CustomersApi(tenant.togai)
    made = customer(tenant)
    assert made.id == "acme"
    assert made.account.id == "acme"
    assert made.billing_address == "1 Main Street, 29501, Florence, US"
    read = api.get_customer("acme")
    assert (read.name, read.status, read.togai_customer_id) == ("ACME", "ACTIVE", made.togai_customer_id)
    changed = api.update_customer("acme", UpdateCustomerRequest(name="ACME Two"))
    assert (changed.name, changed.primary_email) == ("ACME Two", "a@example.com")
    contact = api.create_customer_contact(
        "acme", CreateCustomerContactRequest(name="Ann", email="ann@example.com", loginAccess=True)
    )
    assert contact.login_access
    assert api.delete_customer("acme").success
    assert api.get_customer("acme").status == "ARCHIVED"
    assert AccountsApi(tenant.togai).get_account("acme").status == "ARCHIVED"
    assert api.get_customers().data == []
    refused(lambda: customer(tenant), "acme", "exists")
    refused(lambda: api.update_customer("acme", UpdateCustomerRequest(name="ACME")), "archived")
    with pytest.raises(NotFoundException):
        api.get_customer("nobody")


def test_lists_are_paged(tenant: Tenant) -> None:
    api = CustomersApi(tenant.togai)
    for index in range(5):
        customer(tenant, f"c{index}")
    first = api.get_customers(page_size=2)
    second = api.get_customers(next_token=first.next_token)
    last = api.get_customers(next_token=second.next_token)
    assert [c.id for page in (first, second, last) for c in page.data] == [f"c{i}" for i in range(5)]
    assert last.next_token is None
    assert len(AccountsApi(tenant.togai).get_accounts(page_size=3).data) == 3
    for token in ("x", "bm9wZQ", first.next_token[:-4]):
        refused(lambda token=token: api.get_customers(next_token=token), "nextToken")


def test_an_account_through_its_life(tenant: Tenant) -> None:
    api = AccountsApi(tenant.togai)
    customer(tenant)
    made = account(
        tenant, aliases=["one", "two"], netTermDays=45, tags=["Blue"], metadata={"k": "v"}, primaryEmail="b@x.y"
    )
    assert (made.customer_id, made.invoice_currency, made.net_term_days, made.tags) == ("acme", "USD", 45, ["blue"])
    assert aliases(tenant, "acc") == ["one", "two"]
    changed = api.update_account("acc", UpdateAccountRequest(name="Renamed", invoiceCurrency="EUR", metadata={}))
    assert (changed.name, changed.invoice_currency, changed.metadata) == ("Renamed", "EUR", {})
    assert api.delete_account("acc").success
    assert api.get_account("acc").status == "ARCHIVED"
    assert [a.id for a in api.get_accounts().data] == ["acme"]
    refused(lambda: api.update_account("acc", UpdateAccountRequest(name="Again")), "archived")
    refused(lambda: account(tenant), "acc", "exists")
    assert account(tenant, "next", aliases=["one"]).aliases[0].alias == "one"
    with pytest.raises(NotFoundException):
        api.get_account("nobody")
    with pytest.raises(NotFoundException):
        api.delete_account("nobody")
    refused(lambda: account(tenant, "orphan", customer_id="nobody"), "customerId", "nobody")
    refused(lambda: account(tenant, "rich", invoiceCurrency="XXQ"), "invoiceCurrency", "XXQ")


def test_aliases_and_ids_share_one_namespace(tenant: Tenant) -> None:
    api = AccountsApi(tenant.togai)
    customer(tenant)
    account(tenant, "first", aliases=["shared"])
    account(tenant, "second")
    add = AddAccountAliasesRequest(aliases=["shared"])
    refused(lambda: api.add_aliases("second", add), "aliases[0]", "shared")
    refused(lambda: api.add_aliases("first", add), "shared", "already")
    refused(lambda: api.add_aliases("second", AddAccountAliasesRequest(aliases=["first"])), "first")
    refused(lambda: account(tenant, "shared"), "shared")
    assert aliases(tenant, "second") == []
    api.remove_aliases("first", RemoveAccountAliasesRequest(aliases=["shared"]))
    api.add_aliases("second", add)
    assert (aliases(tenant, "first"), aliases(tenant, "second")) == ([], ["shared"])
    refused(lambda: api.remove_aliases("first", RemoveAccountAliasesRequest(aliases=["shared"])), "shared")
    assert api.add_aliases("second", AddAccountAliasesRequest(aliases=["second"])).id == "second"


def test_an_eleventh_alias_is_refused_and_leaves_nothing_behind(tenant: Tenant) -> None:
    api = AccountsApi(tenant.togai)
    customer(tenant)
    account(tenant, aliases=[f"alias{i}" for i in range(9)])
    refused(lambda: api.add_aliases("acc", AddAccountAliasesRequest(aliases=["tenth", "eleventh"])), "at most 10")
    assert len(aliases(tenant, "acc")) == 9
    api.add_aliases("acc", AddAccountAliasesRequest(aliases=["tenth"]))
    refused(lambda: api.add_aliases("acc", AddAccountAliasesRequest(aliases=["eleventh"])), "at most 10")


def test_aliases_have_their_time(tenant: Tenant) -> None:
    api = AccountsApi(tenant.togai)
    customer(tenant)
    account(tenant, "one")
    account(tenant, "two")
    early = {"value": "desk", "effectiveFrom": "2020-01-01T00:00:00Z", "effectiveUntil": "2021-01-01T00:00:00Z"}
    late = {"value": "desk", "effectiveFrom": "2021-01-01T00:00:00Z"}
    api.add_aliases("one", AddAccountAliasesRequest.from_dict({"accountAliases": [early]}))
    api.add_aliases("two", AddAccountAliasesRequest.from_dict({"accountAliases": [late]}))
    entry = api.list_account_aliases("one").data[0]
    assert (entry.value, entry.effective_until) == ("desk", datetime(2021, 1, 1, tzinfo=UTC))
    assert api.list_account_aliases("two").data[0].effective_until == datetime(9999, 1, 1, tzinfo=UTC)
    overlap = {
        "accountAliases": [
            {"value": "desk", "effectiveFrom": "2020-06-01T00:00:00Z", "effectiveUntil": "2020-07-01T00:00:00Z"}
        ]
    }
    refused(lambda: api.add_aliases("two", AddAccountAliasesRequest.from_dict(overlap)), "desk")
    backwards = {
        "accountAliases": [
            {"value": "odd", "effectiveFrom": "2022-01-01T00:00:00Z", "effectiveUntil": "2021-01-01T00:00:00Z"}
        ]
    }
    refused(lambda: api.add_aliases("one", AddAccountAliasesRequest.from_dict(backwards)), "odd")
    in_2020 = tenant.http.get("/accounts/one", params={"effectiveOn": "2020-05-05T00:00:00Z"}).json()
    assert in_2020["aliases"] == [{"alias": "desk", "status": "ACTIVE"}]


def test_alias_values_of_the_workspace(tenant: Tenant) -> None:
    api = AliasesApi(tenant.togai)
    customer(tenant)
    account(tenant, aliases=["worn"])
    made = api.create_alias(CreateBulkAliasRequest.from_dict({"aliases": [{"value": "spare"}, {"value": "a/b+1@x#$"}]}))
    assert [alias.value for alias in made.data] == ["spare", "a/b+1@x#$"]
    assert api.get_alias("a/b+1@x#$").value == "a/b+1@x#$"
    assert [alias.value for alias in api.list_aliases().data] == ["worn", "spare", "a/b+1@x#$"]
    refused(lambda: api.create_alias(CreateBulkAliasRequest.from_dict({"aliases": [{"value": "worn"}]})), "worn")
    refused(lambda: api.create_alias(CreateBulkAliasRequest.from_dict({"aliases": [{"value": "acc"}]})), "acc")
    refused(lambda: api.delete_alias("worn"), "worn", "acc")
    assert api.delete_alias("spare").success
    with pytest.raises(NotFoundException):
        api.get_alias("spare")


def test_authenticate_needs_a_token(tenant: Tenant) -> None:
    for header in ("Bearer nonsense", "Basic abc", ""):
        answer = tenant.http.post("/authenticate", headers={"authorization": header})
        assert answer.status_code == 401
        assert answer.json()["message"]


def test_authenticate_gives_a_token_that_works_until_it_is_revoked(tenant: Tenant) -> None:
    token = AuthenticationApi(tenant.togai).authenticate().token
    assert token.count(".") == 2
    headers = {"authorization": f"Bearer {token}"}
    assert tenant.http.get("/customers", headers=headers).status_code == 200
    assert tenant.http.post("/authenticate", headers=headers).json()["token"] == token
    broken = token[:-3] + ("aaa" if not token.endswith("aaa") else "bbb")
    for bad in (broken, "nope", "-", "x" * 5000, token.split(".")[0] + ".e30."):
        answer = tenant.http.get("/customers", headers={"authorization": f"Bearer {bad}"})
        assert answer.status_code == 401
        assert list(answer.json()) == ["message"]
    assert tenant.http.get("/customers", headers={"authorization": "", "x-api-key": tenant.token}).status_code == 200


def test_a_stranger_is_not_let_in(server: Server) -> None:
    one, two = server.workspace(), server.workspace()
    customer(one)
    with pytest.raises(NotFoundException):
        CustomersApi(two.togai).get_customer("acme")
    customer(two)
    one.togai.configuration.access_token = "wrong"
    with pytest.raises(UnauthorizedException):
        CustomersApi(one.togai).get_customers()


BAD_CUSTOMERS: list[tuple[dict[str, Any], str]] = [
    ({"id": None}, "id"),
    ({"id": ""}, "id"),
    ({"id": "x" * 51}, "id"),
    ({"id": "a\x00b"}, "NUL"),
    ({"name": "ab"}, "name"),
    ({"name": 5}, "name"),
    ({"name": "x" * 256}, "name"),
    ({"primaryEmail": "x" * 321 + "@x"}, "primaryEmail"),
    ({"address": None}, "address"),
    ({"address": {"planet": "Mars"}}, "planet"),
    ({"nickname": "A"}, "nickname"),
    ({"settings": [{"id": "s", "value": "v", "namespace": "USER", "name": "n", "dataType": "BLOB"}]}, "dataType"),
    ({"account": {"id": "a", "name": "Acc", "netTermDays": 1e999}}, "netTermDays"),
    ({"account": {"id": "a", "name": "Acc", "netTermDays": -1}}, "netTermDays"),
    ({"account": {"id": "a", "name": "Acc", "aliases": ["ab"]}}, "aliases"),
    ({"account": {"id": "a", "name": "Acc", "aliases": [f"a{i:03}" for i in range(11)]}}, "aliases"),
    ({"account": {"id": "a", "name": "Acc", "status": "ARCHIVED"}}, "status"),
]


@pytest.mark.parametrize(("change", "word"), BAD_CUSTOMERS)
def test_bad_customers_are_refused_by_name(tenant: Tenant, change: dict[str, Any], word: str) -> None:
    body = {"id": "bad", "name": "ACME", "primaryEmail": "a@example.com", "address": ADDRESS, **change}
    text = json.dumps(body).replace("Infinity", "1e999")
    answer = tenant.http.post("/customers", content=text)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["message"]
    assert tenant.http.get("/customers/bad").status_code == 404


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"id":"\\ud800"}', b"{" * 100_000, b"[" * 100_000,
     b'{"id":NaN}', b'{"id":"a","id":}', b'\xef\xbb\xbf{}', b'{"name":"\\u0000"}'],
)  # fmt: skip
def test_what_is_not_json_is_refused(tenant: Tenant, content: bytes) -> None:
    answer = tenant.http.post("/customers", content=content)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_odd_requests_get_clear_answers(tenant: Tenant) -> None:
    assert tenant.http.put("/customers").status_code == 405
    assert tenant.http.get("/nowhere").status_code == 404
    assert tenant.http.get("/customers/%00").status_code == 404
    assert tenant.http.get("/customers/%ff").status_code == 404
    assert tenant.http.get("/customers", params={"pageSize": "0"}).status_code == 400
    assert tenant.http.get("/customers", params={"pageSize": "x"}).status_code == 400
    assert tenant.http.get("/customers", params={"pageSize": "101"}).status_code == 400
    assert tenant.http.post("/customers", content=b"x" * 2_000_000).status_code == 413
    assert "message" in tenant.http.get("/nowhere").json()
