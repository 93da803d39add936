"""One account, two doors: what either changes, the other shows."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from bursar.accounts.workspaces import sequence_of
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import customer, expect
from tests.http.yeti.carrier import contractor, document, get, make, send


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace()


@dataclass(frozen=True)
class Seen:
    """What both doors say of one account and its customer; None where a door has none of it."""

    account: str | None
    customer: str | None
    status: str | None
    name: str | None
    currency: str | None
    there: bool
    """Whether the carrier's door shows it."""
    owner: str | None
    owner_name: str | None


def togai(tenant: Tenant, path: str) -> Any:
    answer = tenant.http.get(path)
    return answer.json() if answer.status_code == 200 else None


def number_of(tenant: Tenant, name: str) -> str:
    """The carrier's number of the account of a name."""
    (row,) = get(tenant, "accounts", params={"filter[name]": name})["data"]
    return str(row["id"])


def change(tenant: Tenant, kind: str, number: str, attributes: dict[str, Any]) -> None:
    answer = send(tenant, "PATCH", f"{kind}/{number}", document(kind, attributes, number))
    assert answer.status_code == 200, answer.text


def seen(tenant: Tenant, identifier: str, number: str) -> Seen:
    """The account at both doors, which must agree on what both of them say."""
    here = togai(tenant, f"/accounts/{identifier}") or {}
    answer = send(tenant, "GET", f"accounts/{number}?include=contractor")
    there = answer.json() if answer.status_code == 200 else None
    owner = togai(tenant, f"/customers/{here['customerId']}") if here else None
    if there is not None:
        attributes, owners = there["data"]["attributes"], there["included"]
        assert attributes["name"] == here["name"]
        assert attributes["currency"] == here["invoiceCurrency"]
        assert owners[0]["attributes"]["name"] == (owner or {})["name"]
        assert owners[0]["attributes"]["address"] == (owner or {})["address"].get("line1")
    return Seen(
        here.get("id"), here.get("customerId"), here.get("status"), here.get("name"), here.get("invoiceCurrency"),
        there is not None, there["data"]["relationships"]["contractor"]["data"]["id"] if there else None,
        there["included"][0]["attributes"]["name"] if there else None,
    )  # fmt: skip


def test_an_account_made_at_the_carrier_s_door(tenant: Tenant) -> None:
    owner = contractor(tenant, "Carrier's own", address="Long Street 1", vendor=False)
    made = make(tenant, "accounts", document("accounts", {"name": "Trunk"}, contractor=("contractors", owner)))
    number = made["id"]
    expected = Seen(number, owner, "ACTIVE", "Trunk", "USD", True, owner, "Carrier's own")
    assert seen(tenant, number, number) == expected, "ids are the text of the numbers"

    expect(tenant.http.patch(f"/accounts/{number}", json={"name": "Trunk A"}), 200)
    expect(
        tenant.http.patch(f"/customers/{owner}", json={"name": "Carrier", "address": {"line1": "Short Street"}}), 200
    )
    renamed = Seen(number, owner, "ACTIVE", "Trunk A", "USD", True, owner, "Carrier")
    assert seen(tenant, number, number) == renamed

    sent = document("accounts", {"name": "Trunk B", "min-balance": -5}, number)
    assert send(tenant, "PATCH", f"accounts/{number}", sent).status_code == 200
    assert (
        send(tenant, "PATCH", f"contractors/{owner}", document("contractors", {"name": "C"}, owner)).status_code == 200
    )
    assert seen(tenant, number, number) == Seen(number, owner, "ACTIVE", "Trunk B", "USD", True, owner, "C")

    expect(tenant.http.post(f"/accounts/{number}/add_aliases", json={"aliases": ["trunk"]}), 200)
    second = contractor(tenant, "Second")
    link = {"data": {"type": "contractors", "id": second}}
    assert send(tenant, "PATCH", f"accounts/{number}/relationships/contractor", link).status_code == 204
    assert seen(tenant, number, number) == Seen(number, second, "ACTIVE", "Trunk B", "USD", True, second, "Second")

    assert send(tenant, "DELETE", f"accounts/{number}").status_code == 204
    gone = Seen(number, second, "ARCHIVED", "Trunk B", "USD", False, None, None)
    assert seen(tenant, number, number) == gone, "gone at the one door, archived at the other"
    assert tenant.http.post("/accounts", json={"id": number, "name": "Mine", "customerId": second}).status_code == 400
    reused = make(tenant, "accounts", document("accounts", {"name": "Trunk B"}, contractor=("contractors", second)))
    assert reused["id"] != number, "its name is free again, its id is not"

    assert send(tenant, "DELETE", f"accounts/{reused['id']}").status_code == 204
    assert send(tenant, "DELETE", f"contractors/{second}").status_code == 204
    assert togai(tenant, f"/customers/{second}")["status"] == "ARCHIVED"
    assert send(tenant, "GET", f"contractors/{second}").status_code == 404


def test_an_account_made_at_the_other_door(tenant: Tenant) -> None:
    customer(tenant.http, "acme", aliases=["nickname"])
    number = number_of(tenant, "ACME")
    owner = get(tenant, f"accounts/{number}/contractor")["data"]
    assert owner["attributes"] == {
        "name": "ACME", "enabled": True, "vendor": False, "customer": True, "description": None, "address": None,
        "phones": None, "external-id": None,
    }  # fmt: skip
    expected = Seen("acme", "acme", "ACTIVE", "ACME", "USD", True, owner["id"], "ACME")
    assert seen(tenant, "acme", number) == expected
    shown = get(tenant, f"accounts/{number}")["data"]["attributes"]
    assert (shown["min-balance"], shown["balance"], shown["timezone"]) == ("0.0", "0.0", "UTC")

    assert (
        send(tenant, "PATCH", f"accounts/{number}", document("accounts", {"name": "Wire"}, number)).status_code == 200
    )
    sent = document("contractors", {"address": "Wharf 2", "phones": "+44"}, owner["id"])
    assert send(tenant, "PATCH", f"contractors/{owner['id']}", sent).status_code == 200
    assert seen(tenant, "acme", number) == Seen("acme", "acme", "ACTIVE", "Wire", "USD", True, owner["id"], "ACME")

    expect(tenant.http.delete("/accounts/acme"), 200)
    archived = Seen("acme", "acme", "ARCHIVED", "Wire", "USD", True, owner["id"], "ACME")
    assert seen(tenant, "acme", number) == archived, "archived there, still there for the carrier"
    change(tenant, "accounts", number, {"vat": 5})
    assert send(tenant, "DELETE", f"accounts/{number}").status_code == 204
    assert seen(tenant, "acme", number) == Seen("acme", "acme", "ARCHIVED", "Wire", "USD", False, None, None)

    expect(tenant.http.delete("/customers/acme"), 200)
    assert get(tenant, f"contractors/{owner['id']}")["data"]["attributes"]["name"] == "ACME"
    answer = send(
        tenant, "POST", "accounts", document("accounts", {"name": "n"}, contractor=("contractors", owner["id"]))
    )
    assert answer.json()["errors"][0]["detail"] == "contractor - is archived"
    assert send(tenant, "DELETE", f"contractors/{owner['id']}").status_code == 204
    assert send(tenant, "GET", f"contractors/{owner['id']}").status_code == 404


def money(tenant: Tenant, identifier: str, number: str) -> tuple[str, str]:
    """What is in the account's wallet at the one door, and its balance at the other."""
    wallet = json.loads(tenant.http.get(f"/accounts/{identifier}/wallet").text, parse_float=str, parse_int=str)
    return wallet["balance"], get(tenant, f"accounts/{number}")["data"]["attributes"]["balance"]


@pytest.mark.parametrize("made_there", [True, False], ids=["made at the carrier's door", "made at the other"])
def test_both_doors_show_the_same_money(tenant: Tenant, made_there: bool) -> None:
    if made_there:
        owner = contractor(tenant, "Money")
        sent = document("accounts", {"name": "Money"}, contractor=("contractors", owner))
        identifier = number = make(tenant, "accounts", sent)["id"]
    else:
        identifier = "money"
        customer(tenant.http, identifier)
        expect(tenant.http.patch(f"/accounts/{identifier}", json={"name": "Made here"}), 200)
        number = number_of(tenant, "Made here")
    assert money(tenant, identifier, number) == ("0", "0.0")
    link = {"account": ("accounts", number)}

    paid = make(tenant, "payments", document("payments", {"amount": "10.125"}, **link))
    assert money(tenant, identifier, number) == ("10.125", "10.125")
    expect(tenant.http.post(f"/accounts/{identifier}/wallet_topup", json={"topupAmount": 4.5}), 200)
    assert money(tenant, identifier, number) == ("14.625", "14.625")
    charged = make(tenant, "transactions", document("transactions", {"amount": "20"}, **link))
    assert money(tenant, identifier, number) == ("-5.375", "-5.375"), "no limit holds for it"
    correction = document("balance-correction", {"correction": 1}, number)
    assert send(tenant, "PUT", f"accounts/{number}/balance-correction", correction).status_code == 200
    assert money(tenant, identifier, number) == ("-4.375", "-4.375")

    listed = expect(tenant.http.get(f"/accounts/{identifier}/wallet/entries"), 200)["data"]
    shown = [(e["transactionType"], e["amount"], e["closingBalance"], e.get("entityId")) for e in listed]
    assert shown == [
        ("CREDITED", 1, -4.375, None), ("DEBITED", 20, -5.375, charged["id"]), ("CREDITED", 4.5, 14.625, None),
        ("CREDITED", 10.125, 10.125, paid["id"]),
    ]  # fmt: skip

    assert send(tenant, "DELETE", f"accounts/{number}").status_code == 204
    answer = tenant.http.post(f"/accounts/{identifier}/wallet_topup", json={"topupAmount": 1})
    assert answer.status_code == 400, "deleted there, archived here"
    assert expect(tenant.http.get(f"/accounts/{identifier}/wallet"), 200)["balance"] == -4.375


def test_what_is_archived_there_still_has_its_money_here(tenant: Tenant) -> None:
    customer(tenant.http, "old")
    expect(tenant.http.patch("/accounts/old", json={"name": "Old"}), 200)
    number = number_of(tenant, "Old")
    link = {"account": ("accounts", number)}
    kind = {"name": "for the old", "provisioning-class": "Billing::Provisioning::Logging"}
    type_ = ("service-types", make(tenant, "service-types", document("service-types", kind))["id"])
    price = document("services", {"initial-price": 1, "renew-price": 0}, service_type=type_, **link)
    made = make(tenant, "services", price)["id"]
    assert money(tenant, "old", number) == ("-1", "-1.0"), "a service is charged to both"

    expect(tenant.http.delete("/accounts/old"), 200)
    make(tenant, "payments", document("payments", {"amount": 5}, **link))
    make(tenant, "transactions", document("transactions", {"amount": "1.5"}, **link))
    correction = document("balance-correction", {"correction": "-0.25"}, number)
    assert send(tenant, "PATCH", f"accounts/{number}/balance-correction", correction).status_code == 200
    assert money(tenant, "old", number) == ("2.25", "2.25")
    refused = send(tenant, "POST", "services", price)
    assert [error["detail"] for error in refused.json()["errors"]] == ["account - is archived"]
    assert send(tenant, "GET", f"services/{made}").status_code == 200

    assert send(tenant, "DELETE", f"accounts/{number}").status_code == 204
    for path in (f"accounts/{number}", f"services/{made}", f"accounts/{number}/contractor"):
        assert send(tenant, "GET", path).status_code == 404, path
    for kind_of in ("payments", "transactions"):
        sent = document(kind_of, {"amount": 1}, **link)
        assert send(tenant, "POST", kind_of, sent).json()["errors"][0]["detail"] == "account - must exist"
    for path, sent in (
        ("balance-correction", document("balance-correction", {"correction": 1}, number)),
        ("balance", document("balances", {"balance": 1}, number)),
    ):
        assert send(tenant, "PUT", f"accounts/{number}/{path}", sent).status_code == 404
    assert get(tenant, f"payments?filter[account.id]={number}")["meta"] == {"total-count": 0}
    assert get(tenant, f"transactions?filter[account_id_eq]={number}")["meta"] == {"total-count": 0}
    assert expect(tenant.http.get("/accounts/old/wallet"), 200)["balance"] == 2.25, "no posting goes"
    entries = expect(tenant.http.get("/accounts/old/wallet/entries"), 200)["data"]
    assert [entry["closingBalance"] for entry in entries] == [2.25, 2.5, 4, -1]


def test_numbers_that_are_somebody_s_id_are_passed_over(server: Server) -> None:
    tenant = server.workspace()
    sequence = sequence_of("account", tenant.caller.workspace)
    server.run(lambda db: db.lookup("select setval($1::text::regclass, 100)", sequence))
    customer(tenant.http, "102")
    expect(tenant.http.post("/aliases", json={"aliases": [{"value": "103"}]}), 201)
    customer(tenant.http, "first", aliases=["105"])
    owner = contractor(tenant, "numbers")
    numbers = [
        make(tenant, "accounts", document("accounts", {"name": f"n{place}"}, contractor=("contractors", owner)))["id"]
        for place in range(2)
    ]
    assert numbers == ["104", "106"]
    for number in numbers:
        assert togai(tenant, f"/accounts/{number}")["id"] == number
