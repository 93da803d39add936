"""Payments, balances and the servers of e-mail at the carrier's door: what is made, shown, refused."""

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import contractor, document, get, make, send

Problem = tuple[str, str, str]
"""Title, detail and pointer."""


@pytest.fixture(scope="module")
def carrier(server: Server) -> Tenant:
    return server.workspace()


_names = iter(range(10_000))


def account(tenant: Tenant, **attributes: Any) -> str:
    """The id of a new account."""
    name = f"account {next(_names)}"
    owner = contractor(tenant, name)
    return str(
        make(tenant, "accounts", document("accounts", {"name": name, **attributes}, contractor=("contractors", owner)))[
            "id"
        ]
    )


def pay(tenant: Tenant, to: str, amount: Any, **attributes: Any) -> Any:
    sent = document("payments", {"amount": amount, **attributes}, account=("accounts", to))
    return make(tenant, "payments", sent)


def balance(tenant: Tenant, one: str) -> str:
    return str(get(tenant, f"accounts/{one}")["data"]["attributes"]["balance"])


def problems(answer: Any) -> list[Problem]:
    assert answer.status_code == 422, answer.text
    return [(e["title"], e["detail"], e.get("source", {}).get("pointer", "")) for e in answer.json()["errors"]]


def test_a_payment_as_the_contract_shows_it(carrier: Tenant) -> None:
    one = account(carrier)
    made = pay(carrier, one, "10", notes="wire")
    attributes = dict(made["attributes"])
    assert attributes.pop("created-at").endswith("Z")
    assert attributes == {
        "amount": "10.0", "currency": "USD", "notes": "wire", "private-notes": None, "status": "completed",
        "type-name": "manual", "balance-before-payment": "0.0", "rolledback-at": None,
    }  # fmt: skip
    assert list(made["attributes"]) == [
        "created-at", "amount", "currency", "notes", "private-notes", "status", "type-name", "balance-before-payment",
        "rolledback-at",
    ]  # fmt: skip
    assert made["relationships"]["account"]["data"] == {"type": "accounts", "id": one}
    assert get(carrier, f"payments/{made['id']}")["data"] == made
    assert balance(carrier, one) == "10.0"
    second = pay(carrier, one, -12.345, **{"private-notes": "payout"})
    assert second["attributes"]["amount"] == "-12.345"
    assert second["attributes"]["balance-before-payment"] == "10.0"
    assert balance(carrier, one) == "-2.345", "no limit holds for payments"
    listed = get(carrier, "payments", params={"filter[account.id]": one, "sort": "-amount"})
    assert [entry["id"] for entry in listed["data"]] == [made["id"], second["id"]]
    found = get(carrier, "payments", params={"filter[amount_lt]": "0", "filter[private_notes_eq]": "payout"})
    assert [entry["id"] for entry in found["data"]] == [second["id"]]
    assert get(carrier, "payments", params={"filter[status_eq]": "rolled_back"})["meta"]["total-count"] == 0
    included = send(
        carrier, "POST", "payments", document("payments", {"amount": 1}, account=("accounts", one)),
        params={"include": "account"},
    ).json()  # fmt: skip
    assert included["included"][0]["attributes"]["balance"] == "-1.345"


NUMBER = "/data/attributes/amount"
ACCOUNT = [
    ("must exist", "account - must exist", "/data/relationships/account"),
    ("must exist", "currency - must exist", "/data/attributes/currency"),
]
CURRENCY = ("can't be blank", "currency-id - can't be blank", "/data/attributes/currency-id")


@pytest.mark.parametrize(
    ("amount", "rule"),
    [
        (None, "can't be blank"),
        ("", "can't be blank"),
        ("0", "must be other than 0"),
        (0, "must be other than 0"),
        ("0.0000000000001", "must have at most 12 decimals"),
        ("1e30", "must be less than 100000000000000000000000000"),
        ("ten", "is not a number"),
    ],
)
def test_amounts_that_are_refused(carrier: Tenant, amount: Any, rule: str) -> None:
    one = account(carrier)
    answer = send(carrier, "POST", "payments", document("payments", {"amount": amount}, account=("accounts", one)))
    assert problems(answer) == [(rule, f"amount - {rule}", NUMBER)]
    assert balance(carrier, one) == "0.0"
    assert get(carrier, "payments", params={"filter[account.id]": one})["meta"]["total-count"] == 0


def test_everything_that_is_wrong_is_told_at_once(carrier: Tenant) -> None:
    answer = send(carrier, "POST", "payments", document("payments", {}))
    assert problems(answer) == [*ACCOUNT, ("can't be blank", "amount - can't be blank", NUMBER), CURRENCY]
    answer = send(carrier, "POST", "payments", document("payments", {"amount": 5}, account=("accounts", "999999")))
    assert problems(answer) == [*ACCOUNT, CURRENCY]
    one = account(carrier)
    pay(carrier, one, "99999999999999999999999999")
    answer = send(carrier, "POST", "payments", document("payments", {"amount": 1}, account=("accounts", one)))
    assert [detail for _, detail, _ in problems(answer)] == [
        "The balance would have more than 26 digits before the point."
    ]
    send(carrier, "DELETE", f"accounts/{one}")
    answer = send(carrier, "POST", "payments", document("payments", {"amount": -1}, account=("accounts", one)))
    assert problems(answer) == [*ACCOUNT, CURRENCY], "a deleted account is not there"


@pytest.mark.parametrize(
    "attributes", [{"status": "pending"}, {"currency": "USD"}, {"balance-before-payment": 1}, {"type-name": "manual"}]
)
def test_what_nobody_may_say_of_a_payment(carrier: Tenant, attributes: dict[str, Any]) -> None:
    sent = document("payments", {"amount": 1, **attributes}, account=("accounts", account(carrier)))
    answer = send(carrier, "POST", "payments", sent)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["detail"] == f"{next(iter(attributes))} is not allowed."


def test_payments_are_neither_changed_nor_deleted(carrier: Tenant) -> None:
    made = pay(carrier, account(carrier), 1)
    for method in ("PATCH", "PUT", "DELETE"):
        sent = None if method == "DELETE" else document("payments", {"notes": "x"}, made["id"])
        assert send(carrier, method, f"payments/{made['id']}", sent).status_code in (404, 405)


def test_a_payment_is_made_once_under_its_key(carrier: Tenant) -> None:
    one = account(carrier)
    sent = document("payments", {"amount": "2.5"}, account=("accounts", one))
    answers = [send(carrier, "POST", "payments", sent, headers={"idempotency-key": "pay once"}) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert balance(carrier, one) == "2.5"


def test_a_balance_is_put_to_a_value(carrier: Tenant) -> None:
    one = account(carrier, **{"external-id": 4711})
    for url in ("4711", one):
        for method in ("PUT", "PATCH"):
            sent = document("balances", {"balance": "21"}, "4711")
            answer = send(carrier, method, f"accounts/{url}/balance", sent)
            assert answer.status_code == 200, answer.text
            assert answer.json() == {
                "data": {
                    "id": "4711", "type": "balances",
                    "links": {"self": f"{carrier.url}/api/rest/admin/balances"}, "attributes": {"balance": "21.0"},
                }
            }  # fmt: skip
    assert balance(carrier, one) == "21.0"
    other = account(carrier, **{"external-id": 4712})
    sent = document("balances", {"balance": "5"}, "4711")
    refused = send(carrier, "PUT", f"accounts/{other}/balance", sent)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["code"] == "110"
    assert send(carrier, "PUT", "accounts/1/balance", document("balances", {"balance": 1}, "99")).status_code == 404
    nameless = account(carrier)
    for key in (nameless, "abc"):
        answer = send(carrier, "PUT", f"accounts/{nameless}/balance", document("balances", {"balance": 1}, key))
        assert answer.status_code == (404 if key == nameless else 400), "only an external id names an account here"
    assert refused.json() == {"errors": [{
        "title": "Key is not included in URL", "detail": "The URL does not support the key 4711", "code": "110",
        "status": "400",
    }]}  # fmt: skip
    missing = send(carrier, "PUT", "accounts/4711/balance", document("balances", {"balance": 1}))
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (400, "109")
    for value in (None, "", "many"):
        answer = send(carrier, "PUT", "accounts/4711/balance", document("balances", {"balance": value}, "4711"))
        assert problems(answer) == [("is not a number", "balance - is not a number", "/data/attributes/balance")]
    assert send(carrier, "PUT", "accounts/4711/balance", document("balances", {}, "4711")).status_code == 200
    assert balance(carrier, one) == "21.0"


def test_a_balance_is_corrected(carrier: Tenant) -> None:
    one = account(carrier)
    path = f"accounts/{one}/balance-correction"
    assert send(carrier, "PUT", path, document("balance-correction", {"correction": 991}, one)).status_code == 200
    answer = send(carrier, "PUT", path, document("balance-correction", {"correction": "-22.11"}, one))
    name = get(carrier, f"accounts/{one}")["data"]["attributes"]["name"]
    shown = answer.json()["data"]
    del shown["links"]
    assert shown == {"id": one, "type": "balance-correction", "attributes": {"name": name, "balance": "968.89"}}
    assert send(carrier, "PATCH", path, document("balance-correction", {"correction": 0}, int(one))).status_code == 200
    external = account(carrier, **{"external-id": 10**12})
    by_external = document("balance-correction", {"correction": 1}, 10**12)
    assert send(carrier, "PUT", f"accounts/{10**12}/balance-correction", by_external).status_code == 404
    by_number = document("balance-correction", {"correction": 1}, external)
    url = f"accounts/{10**12}/balance-correction"
    assert send(carrier, "PUT", url, by_number).json()["errors"][0]["code"] == "110"
    for sent, detail in (
        ({"correction": "x"}, "correction - is not a number"),
        ({"correction": ""}, "correction can't be blank"),
    ):
        answer = send(carrier, "PUT", path, document("balance-correction", sent, one))
        assert [problem[1] for problem in problems(answer)] == [detail]
    for field in ("balance", "name"):
        answer = send(carrier, "PUT", path, document("balance-correction", {field: "1", "correction": 1}, one))
        assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (400, f"{field} is not allowed.")
    assert balance(carrier, one) == "968.89"
    other = account(carrier)
    wrong = send(
        carrier, "PUT", f"accounts/{other}/balance-correction", document("balance-correction", {"correction": 1}, one)
    )
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (400, "110")
    for attributes in ({}, {"correction": None}):
        answer = send(carrier, "PUT", path, document("balance-correction", attributes, one))
        assert [pointer for _, _, pointer in problems(answer)] == ["/data"]
    assert get(carrier, "payments", params={"filter[account.id]": one})["meta"]["total-count"] == 0


SERVER = {"name": "main", "host": "mail.example", "port": 2525, "from-address": "bill@carrier.example"}


def test_smtp_connections(carrier: Tenant) -> None:
    sent = {**SERVER, "auth-user": "bill", "auth-password": "sesame", "global": False}
    made = make(carrier, "smtp-connections", document("smtp-connections", sent))
    assert made["attributes"] == sent
    assert list(made["attributes"]) == [
        "name", "host", "port", "from-address", "auth-user", "auth-password", "global",
    ]  # fmt: skip
    plain = {name: value for name, value in SERVER.items() if name != "port"} | {"name": "plain"}
    other = make(carrier, "smtp-connections", document("smtp-connections", plain))
    assert (other["attributes"]["port"], other["attributes"]["global"]) == (25, True)
    path = f"smtp-connections/{made['id']}"
    changed = send(carrier, "PATCH", path, document("smtp-connections", {"port": "587", "auth-user": None}, made["id"]))
    assert changed.json()["data"]["attributes"] == {**sent, "port": 587, "auth-user": None}
    listed = get(carrier, "smtp-connections", params={"filter[name]": "main"})["data"]
    assert [entry["id"] for entry in listed] == [made["id"]]
    customer = make(
        carrier, "contractors",
        document(
            "contractors", {"name": "sender", "enabled": True, "vendor": True, "customer": True},
            smtp_connection=("smtp-connections", made["id"]),
        ),
    )  # fmt: skip
    blocked = send(carrier, "DELETE", path)
    message = "Cannot delete record because dependent contractors exist"
    assert problems(blocked) == [(message, message, "/data")]
    assert send(carrier, "DELETE", f"contractors/{customer['id']}").status_code == 204
    assert send(carrier, "DELETE", path).status_code == 204
    assert send(carrier, "GET", path).status_code == 404


@pytest.mark.parametrize(
    ("attributes", "field", "rule"),
    [
        ({"name": None}, "name", "can't be blank"),
        ({"name": "taken"}, "name", "has already been taken"),
        ({"host": " "}, "host", "can't be blank"),
        ({"port": None}, "port", "can't be blank"),
        ({"port": "x"}, "port", "is not a number"),
        ({"port": 0}, "port", "must be greater than 0"),
        ({"port": 65536}, "port", "must be less than or equal to 65535"),
        ({"from-address": None}, "from-address", "can't be blank"),
        ({"from-address": "nobody"}, "from-address", "is invalid"),
        ({"from-address": "a@localhost"}, "from-address", "is invalid"),
        ({"from-address": "a@b.example\nBcc: c@d.example"}, "from-address", "is invalid"),
        ({"auth-user": "x" * 256}, "auth-user", "is too long (maximum is 255 characters)"),
    ],
)
def test_smtp_connections_that_are_refused(carrier: Tenant, attributes: dict[str, Any], field: str, rule: str) -> None:
    send(carrier, "POST", "smtp-connections", document("smtp-connections", {**SERVER, "name": "taken"}))
    sent = {**SERVER, "name": f"server {next(_names)}", **attributes}
    answer = send(carrier, "POST", "smtp-connections", document("smtp-connections", sent))
    assert problems(answer) == [(rule, f"{field} - {rule}", f"/data/attributes/{field}")]


def test_a_contractor_s_connection_must_be_there(carrier: Tenant) -> None:
    given = {"name": "nobody's", "enabled": True, "vendor": True, "customer": True}
    sent = document("contractors", given, smtp_connection=("smtp-connections", "999999"))
    assert problems(send(carrier, "POST", "contractors", sent)) == [
        ("must exist", "smtp-connection - must exist", "/data/relationships/smtp-connection")
    ]


def test_amounts_keep_every_digit(carrier: Tenant) -> None:
    one = account(carrier)
    total = Decimal(0)
    for amount in ("0.1", "0.000000000001", "-0.3", "12345678901234567890.123456789"):
        pay(carrier, one, amount)
        total += Decimal(amount)
        assert Decimal(balance(carrier, one)) == total
