"""Services, their types, package counters and transactions at the carrier's door."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import expect
from tests.http.yeti.carrier import contractor, document, get, make, send

LOGGING = "Billing::Provisioning::Logging"
FREE_MINUTES = "Billing::Provisioning::FreeMinutes"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
START = "2024-01-15T12:00:00.000Z"


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace(clock=datetime(2024, 1, 15, 12, tzinfo=UTC))


@pytest.fixture(scope="module")
def account(tenant: Tenant) -> str:
    return new_account(tenant, "acme", low=-100)


def new_account(tenant: Tenant, name: str, *, low: int = 0) -> str:
    """The id of a new account with a least balance, of a contractor of its own."""
    sent = {"name": name, "min-balance": low, "max-balance": 1000, "currency": "USD"}
    made = make(tenant, "accounts", document("accounts", sent, contractor=("contractors", contractor(tenant, name))))
    return str(made["id"])


def new_type(tenant: Tenant, name: str, kind: str = LOGGING, **attributes: Any) -> str:
    sent = {"name": name, "provisioning-class": kind, **attributes}
    return str(make(tenant, "service-types", document("service-types", sent))["id"])


def new_service(tenant: Tenant, account: str, kind: str, **attributes: Any) -> Any:
    sent = {"initial-price": 0, "renew-price": 0, **attributes}
    links = {"account": ("accounts", account), "service_type": ("service-types", kind)}
    return make(tenant, "services", document("services", sent, **links))


def charge(tenant: Tenant, account: str, amount: Any, **attributes: Any) -> Any:
    sent = document("transactions", {"amount": amount, **attributes}, account=("accounts", account))
    return make(tenant, "transactions", sent)


def refused(tenant: Tenant, method: str, path: str, sent: Any) -> list[tuple[str, str]]:
    """Pointers and details of a 422."""
    answer = send(tenant, method, path, sent)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert {(e["code"], e["status"]) for e in errors} == {("100", "422")}
    return [(e["source"]["pointer"], e["detail"]) for e in errors]


def listed(tenant: Tenant, path: str) -> list[str]:
    return [row["id"] for row in get(tenant, path)["data"]]


def test_the_life_of_a_type(tenant: Tenant) -> None:
    variables = {"a": [1, 2.50, None, {"b": "c"}], "empty": {}}
    sent = {"name": "numbers", "provisioning-class": LOGGING, "variables": variables}
    made = make(tenant, "service-types", document("service-types", sent))
    assert made == {
        "id": made["id"], "type": "service-types",
        "links": {"self": f"{tenant.url}/api/rest/admin/service-types/{made['id']}"},
        "attributes": {
            "name": "numbers", "force-renew": False, "provisioning-class": LOGGING, "variables": variables,
        },
    }  # fmt: skip
    path = f"service-types/{made['id']}"
    change = document("service-types", {"force-renew": True, "variables": None}, made["id"])
    for method in ("PATCH", "PUT"):
        answer = expect(send(tenant, method, path, change), 200)["data"]["attributes"]
        assert answer == {
            "name": "numbers", "force-renew": True, "provisioning-class": LOGGING, "variables": None,
        }  # fmt: skip
    assert refused(tenant, "POST", "service-types", document("service-types", {"name": "numbers"})) == [
        ("/data/attributes/name", "name - has already been taken"),
        ("/data/attributes/provisioning-class", "provisioning-class - can't be blank"),
    ]
    bad = {"provisioning-class": "Billing::Provisioning::Base", "variables": [1]}
    assert refused(tenant, "POST", "service-types", document("service-types", bad)) == [
        ("/data/attributes/name", "name - can't be blank"),
        ("/data/attributes/provisioning-class", "provisioning-class - is invalid"),
        ("/data/attributes/variables", "variables - must be a JSON object or empty"),
    ]
    other = new_type(tenant, "others", FREE_MINUTES, variables={"prefixes": [{"prefix": "1", "duration": 5, "x": 1}]})
    shown = get(tenant, f"service-types/{other}")["data"]["attributes"]["variables"]
    assert shown == {"prefixes": [{"prefix": "1", "duration": 5}]}, "what free minutes do not know is dropped"
    assert listed(tenant, "service-types?filter[name_start]=OTH") == [other]
    assert listed(tenant, "service-types?filter[force_renew_eq]=true") == [made["id"]]
    assert listed(tenant, "service-types?filter[provisioning-class_end]=minutes") == [other]
    assert listed(tenant, "service-types?sort=-force-renew,name") == [made["id"], other]
    for sort in ("id", "name", "force-renew", "provisioning-class"):
        assert sorted(listed(tenant, f"service-types?sort=-{sort}")) == sorted([made["id"], other])
    assert send(tenant, "GET", "service-types?sort=variables").status_code == 400
    for identifier in (made["id"], other):
        assert send(tenant, "DELETE", f"service-types/{identifier}").status_code == 204
        assert send(tenant, "GET", f"service-types/{identifier}").status_code == 404
    empty = get(tenant, "service-types")
    assert (empty["data"], empty["meta"], list(empty["links"])) == ([], {"total-count": 0}, ["first", "last"])


def test_the_life_of_a_service(tenant: Tenant, account: str) -> None:
    variables = {"prefixes": [{"prefix": "1", "duration": 60}, {"prefix": "44", "duration": 30}]}
    kind = new_type(tenant, "minutes", FREE_MINUTES, variables=variables)
    own = {"prefixes": [{"prefix": "49", "duration": 600, "exclude": True}], "ignore_prefixes": ["1"]}
    made = new_service(
        tenant, account, kind, name="Package", variables=own,
        **{"initial-price": "50.5", "renew-price": 60, "renew-period": "Month", "renew-at": "2024-02-01T00:00:00Z"},
    )  # fmt: skip
    itself = f"{tenant.url}/api/rest/admin/services/{made['id']}"

    def links(name: str) -> dict[str, str]:
        return {"self": f"{itself}/relationships/{name}", "related": f"{itself}/{name}"}

    assert UUID.fullmatch(made["attributes"].pop("uuid"))
    assert list(made["attributes"]) == [
        "name", "variables", "state", "initial-price", "renew-price", "created-at", "renew-at", "renew-period",
    ]  # fmt: skip
    assert made == {
        "id": made["id"], "type": "services", "links": {"self": itself},
        "attributes": {
            "name": "Package", "variables": own, "state": "Active", "initial-price": "50.5", "renew-price": "60.0",
            "created-at": START, "renew-at": "2024-02-01T00:00:00.000Z", "renew-period": "Month",
        },
        "relationships": {
            "account": {"links": links("account"), "data": {"type": "accounts", "id": account}},
            "service-type": {"links": links("service-type")},
            "transactions": {"links": links("transactions")},
            "package-counters": {"links": links("package-counters")},
        },
    }  # fmt: skip
    path = f"services/{made['id']}"
    found = get(tenant, f"{path}?include=service-type,transactions,package-counters")
    assert found["data"]["relationships"]["service-type"]["data"] == {"type": "service-types", "id": kind}
    included = {(one["type"], one["attributes"].get("prefix")) for one in found["included"]}
    assert included == {
        ("service-types", None), ("transactions", None), ("package-counters", "44"), ("package-counters", "49"),
    }  # fmt: skip
    assert [row["attributes"]["amount"] for row in get(tenant, f"{path}/transactions")["data"]] == ["50.5"]
    assert get(tenant, f"{path}/service-type")["data"]["id"] == kind
    counter = get(tenant, f"package-counters?filter[service.id]={made['id']}&sort=-prefix")["data"][0]
    there = f"{tenant.url}/api/rest/admin/package-counters/{counter['id']}"
    assert counter == {
        "id": counter["id"], "type": "package-counters", "links": {"self": there},
        "attributes": {"duration": 600, "exclude": True, "prefix": "49", "service-id": int(made["id"])},
        "relationships": {
            "account": {"links": {"related": f"{there}/account"}},
            "service": {"links": {"related": f"{there}/service"}},
        },
    }  # fmt: skip
    assert get(tenant, f"package-counters/{counter['id']}?include=service")["included"][0]["id"] == made["id"]
    assert len(listed(tenant, f"package-counters?filter[account.id]={account}")) == 2

    # 49.5 are left above the least balance: not enough, until something is paid in.
    expect(tenant.http.post("/bursar/v1/clock", json={"now": "2024-02-01T00:00:00Z"}), 200)
    assert get(tenant, path)["data"]["attributes"]["state"] == "Suspended"
    charge(tenant, account, "-10.5")
    expect(tenant.http.post("/bursar/v1/clock", json={"now": "2024-02-01T01:00:00Z"}), 200)
    assert get(tenant, f"accounts/{account}")["data"]["attributes"]["balance"] == "-100.0"
    shown = get(tenant, path)["data"]["attributes"]
    assert (shown["state"], shown["renew-at"]) == ("Active", "2024-03-01T00:00:00.000Z")
    rows = get(tenant, f"transactions?filter[account_id_eq]={account}&sort=id")["data"]
    assert [(row["attributes"]["description"], row["attributes"]["amount"]) for row in rows] == [
        ("Service creation", "50.5"), (None, "-10.5"), ("Renew service", "60.0"),
    ]  # fmt: skip

    change = document("services", {"name": "New", "renew-price": "-1.25", "variables": {}}, made["id"])
    shown = expect(send(tenant, "PATCH", path, change), 200)["data"]["attributes"]
    assert (shown["name"], shown["renew-price"], shown["variables"]) == ("New", "-1.25", {})
    for name in ("initial-price", "renew-at", "renew-period", "state", "uuid", "created-at"):
        answer = send(tenant, "PATCH", path, document("services", {name: None}, made["id"]))
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "105")
    assert send(tenant, "DELETE", path).status_code == 404, "services are not deleted"
    for name, kind_of, linked in (("account", "accounts", account), ("service-type", "service-types", kind)):
        link = {"data": {"type": kind_of, "id": linked}}
        for answer in (
            send(tenant, "PATCH", f"{path}/relationships/{name}", link),
            send(tenant, "PUT", path, {"data": {"type": "services", "id": made["id"], "relationships": {name: link}}}),
        ):
            assert answer.json() == {"errors": [{
                "title": "Param not allowed", "detail": f"{name} is not allowed.", "code": "105", "status": "400",
            }]}  # fmt: skip
    assert refused(tenant, "DELETE", f"service-types/{kind}", None) == [
        ("/data", "Cannot delete record because dependent services exist")
    ]
    change = document("service-types", {"provisioning-class": LOGGING}, kind)
    assert refused(tenant, "PATCH", f"service-types/{kind}", change) == [
        ("/data/attributes/provisioning-class", "provisioning-class - can't be changed because have linked services")
    ]


def test_a_service_that_is_not_renewed(tenant: Tenant, account: str) -> None:
    kind = new_type(tenant, "once")
    made = new_service(tenant, account, kind)
    assert (made["attributes"]["renew-period"], made["attributes"]["renew-at"]) == ("Disabled", None)
    assert get(tenant, f"services/{made['id']}/transactions")["data"] == []
    assert refused(tenant, "POST", "services", document("services", {})) == [
        ("/data/relationships/account", "account - must exist"),
        ("/data/relationships/service-type", "service-type - must exist"),
        ("/data/attributes/initial-price", "initial-price - can't be blank"),
        ("/data/attributes/renew-price", "renew-price - can't be blank"),
    ]
    links = {"account": ("accounts", account), "service_type": ("service-types", kind)}
    bad: dict[str, Any] = {"initial-price": "x", "renew-price": "", "renew-at": "2024-02-01"}
    assert refused(tenant, "POST", "services", document("services", bad, **links)) == [
        ("/data/attributes/initial-price", "initial-price - is not a number"),
        ("/data/attributes/renew-price", "renew-price - can't be blank"),
        ("/data/attributes/renew-at", "renew-at - must be blank"),
    ]
    bad = {"initial-price": 1, "renew-price": 1, "renew-period": "Disabled", "renew-at": "2024-02-01"}
    assert refused(tenant, "POST", "services", document("services", bad, **links)) == [
        ("/data/attributes/renew-period-id", "renew-period-id - is not included in the list")
    ]
    bad = {"initial-price": 1, "renew-price": 1, "renew-period": "Day"}
    assert refused(tenant, "POST", "services", document("services", bad, **links)) == [
        ("/data/attributes/renew-at", "renew-at - can't be blank")
    ]
    free = new_type(tenant, "free", FREE_MINUTES)
    bad = {"initial-price": 1, "renew-price": 1, "variables": {"prefixes": [{"prefix": "", "duration": "x"}, {}]}}
    links["service_type"] = ("service-types", free)
    assert refused(tenant, "POST", "services", document("services", bad, **links)) == [
        ("/data/attributes/variables", f"variables - prefixes.{problem}")
        for problem in (
            "0.prefix - must be filled", "0.duration - must be an integer", "1.prefix - is missing",
            "1.duration - is missing",
        )
    ]  # fmt: skip


def test_renewals_as_a_carrier_sees_them(server: Server) -> None:
    """One day: what is forced, what is given back, what costs nothing, and what the balance does not allow."""
    tenant = server.workspace(clock=datetime(2024, 1, 30, 12, tzinfo=UTC))
    account = new_account(tenant, "renewed", low=-10)  # at most 1,000
    minutes = {"prefixes": [{"prefix": "1", "duration": 60}, {"prefix": "2", "duration": 5, "exclude": True}]}
    plain, forced = new_type(tenant, "plain"), new_type(tenant, "forced", LOGGING, **{"force-renew": True})
    free = new_type(tenant, "free", FREE_MINUTES, variables=minutes)
    daily = {"renew-period": "Day", "renew-at": "2024-01-31"}

    def service(kind: str, price: Any, **given: Any) -> str:
        return str(new_service(tenant, account, kind, **{"renew-price": price, **daily, **given})["id"])

    exact = service(plain, 10)  # down to the minimum is enough
    above = service(plain, "0.000000000001")
    unlimited = service(forced, "5.5")
    bonus, too_much = service(plain, "-1005.5"), service(plain, "-0.01")
    nothing = service(free, 0, **{"renew-period": "Month", "renew-at": "2024-01-31T00:00:00Z"})
    once = str(new_service(tenant, account, plain, **{"renew-price": 99})["id"])
    late = service(plain, 1, **{"renew-at": "2024-02-02"})
    one = get(tenant, f"package-counters?filter[service.id]={nothing}&sort=prefix")["data"][0]
    changed = {"prefixes": [{"prefix": "1", "duration": 90}, {"prefix": "3", "duration": 7}]}
    sent = document("service-types", {"variables": changed}, free)
    assert send(tenant, "PATCH", f"service-types/{free}", sent).status_code == 200

    expect(tenant.http.post("/bursar/v1/clock", json={"now": "2024-01-31T00:00:00Z"}), 200)
    states = {row["id"]: row["attributes"] for row in get(tenant, "services")["data"]}
    day, month = "2024-02-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z"
    tried = "2024-01-31T00:00:00.000Z"
    # -10, then not one step further, then -15.5 by force, then 990, then not above 1,000 but by 0.01 to 990.01.
    assert {key: (states[key]["state"], states[key]["renew-at"]) for key in states} == {
        exact: ("Active", day), above: ("Suspended", tried), unlimited: ("Active", day), bonus: ("Active", day),
        too_much: ("Active", day), nothing: ("Active", month), once: ("Active", None),
        late: ("Active", "2024-02-02T00:00:00.000Z"),
    }  # fmt: skip
    rows = get(tenant, f"transactions?filter[account_id_eq]={account}&sort=id&include=service")["data"]
    assert [(row["relationships"]["service"]["data"]["id"], row["attributes"]["amount"]) for row in rows] == [
        (exact, "10.0"), (unlimited, "5.5"), (bonus, "-1005.5"), (too_much, "-0.01"),
    ]  # fmt: skip
    assert {row["attributes"]["description"] for row in rows} == {"Renew service"}
    assert get(tenant, f"accounts/{account}")["data"]["attributes"]["balance"] == "990.01"
    counters = get(tenant, f"package-counters?filter[service.id]={nothing}&sort=prefix")["data"]
    assert [(row["attributes"]["prefix"], row["attributes"]["duration"]) for row in counters] == [("1", 90), ("3", 7)]
    assert counters[0]["id"] == one["id"]

    more = service(plain, "-10", **{"renew-at": "2024-01-31T00:30:00Z"})
    expect(tenant.http.post("/bursar/v1/clock", json={"now": "2024-01-31T01:00:00Z"}), 200)
    states = {row["id"]: row["attributes"]["state"] for row in get(tenant, "services")["data"]}
    assert (states[above], states[more]) == ("Active", "Suspended"), "an hour later there is enough for the one"


BROKEN: list[tuple[Any, list[str]]] = [
    # The messages of the contract: of the type's prefixes as of a service's own, and of those that it ignores.
    ([1], ["must be a JSON object or empty"]),
    ("x", ["must be a JSON object or empty"]),
    (7, ["must be a JSON object or empty"]),
    ({"prefixes": [{"prefix": None, "duration": None}]},
     ["prefixes.0.prefix - must be filled", "prefixes.0.duration - must be filled"]),
    ({"prefixes": [{"prefix": "1", "duration": 5}, {"duration": 5}]}, ["prefixes.1.prefix - is missing"]),
    ({"prefixes": [{"prefix": "1"}]}, ["prefixes.0.duration - is missing"]),
    ({"prefixes": [{"prefix": 1, "duration": "60", "exclude": "no"}]},
     ["prefixes.0.prefix - must be a string", "prefixes.0.duration - must be an integer",
      "prefixes.0.exclude - must be boolean"]),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "messages"), BROKEN, ids=lambda value: str(value)[:40])
def test_variables_of_free_minutes(
    tenant: Tenant, free: str, account: str, variables: Any, messages: list[str]
) -> None:
    expected = [("/data/attributes/variables", f"variables - {message}") for message in messages]
    kind = {"name": "broken", "provisioning-class": FREE_MINUTES, "variables": variables}
    assert refused(tenant, "POST", "service-types", document("service-types", kind)) == expected
    links = {"account": ("accounts", account), "service_type": ("service-types", free)}
    sent = {"initial-price": 1, "renew-price": 0, "variables": variables}
    assert refused(tenant, "POST", "services", document("services", sent, **links)) == expected
    assert get(tenant, f"transactions?filter[account_id_eq]={account}&filter[amount_eq]=1")["data"] == []
    known = document("service-types", {"variables": variables}, free)
    assert refused(tenant, "PATCH", f"service-types/{free}", known) == expected


@pytest.fixture(scope="module")
def free(tenant: Tenant) -> str:
    return new_type(tenant, "variables", FREE_MINUTES)


def test_what_a_service_ignores_and_what_is_dropped(tenant: Tenant, account: str, free: str) -> None:
    links = {"account": ("accounts", account), "service_type": ("service-types", free)}
    sent = {"initial-price": 0, "renew-price": 0, "variables": {"ignore_prefixes": ["1", 2, None]}}
    assert refused(tenant, "POST", "services", document("services", sent, **links)) == [
        ("/data/attributes/variables", f"variables - ignore_prefixes.{place} - must be a string") for place in (1, 2)
    ]
    own = {"ignore_prefixes": ["1"], "prefixes": [{"prefix": "2", "duration": 1, "x": 1}], "more": True}
    made = new_service(tenant, account, free, variables=own)
    kept = {"ignore_prefixes": ["1"], "prefixes": [{"prefix": "2", "duration": 1}]}
    assert {name: made["attributes"]["variables"][name] for name in kept} == kept
    assert made["attributes"]["variables"].keys() == kept.keys()
    change = document("services", {"variables": {"prefixes": [{}]}}, made["id"])
    assert refused(tenant, "PATCH", f"services/{made['id']}", change) == [
        ("/data/attributes/variables", f"variables - prefixes.0.{name} - is missing") for name in ("prefix", "duration")
    ]
    assert get(tenant, f"services/{made['id']}")["data"] == made


def test_services_are_found(tenant: Tenant) -> None:
    account, kind = new_account(tenant, "found"), new_type(tenant, "found")
    made = [
        new_service(tenant, account, kind, **given)["id"]
        for given in (
            {"name": "b", "initial-price": "1.5"},
            {"name": "a", "renew-price": 7, "renew-period": "Day", "renew-at": "2030-01-01"},
            {"name": None, "renew-period": "Month", "renew-at": "2031-01-01"},
        )
    ]
    mine = f"services?filter[account_id_eq]={account}"
    for query, expected in {
        "sort=name": [1, 0, 2], "sort=-initial-price": [0, 1, 2], "sort=renew-price": [0, 2, 1],
        "sort=-renew-at": [0, 2, 1], "sort=created-at,-id": [2, 1, 0], "sort=renew-period": [1, 2, 0],
        "filter[name_in]=a,b": [0, 1], "filter[name_cont]=B": [0], "filter[initial_price_gt]=1": [0],
        "filter[renew_price_lteq]=0": [0, 2], "filter[renew_at_lt]=2030-06-01": [1],
        "filter[renew_period_eq]=Month": [2], "filter[renew_period_in]=Day,Month": [1, 2],
        "filter[created_at_gteq]=2020-01-01": [0, 1, 2], f"filter[type_id_eq]={kind}": [0, 1, 2],
        f"filter[type_id_not_eq]={kind}": [], "page[size]=1&page[number]=2": [1],
    }.items():  # fmt: skip
        # Rows without a value come last, as PostgreSQL has it; in falling order first.
        assert listed(tenant, f"{mine}&{query}") == [made[n] for n in expected], query
    uuid = get(tenant, f"services/{made[0]}")["data"]["attributes"]["uuid"]
    assert listed(tenant, f"services?filter[uuid_eq]={uuid}") == [made[0]]
    for query, code in {
        "sort=uuid": "114", "sort=state": "114", "sort=variables": "114", "filter[state_eq]=Active": "102",
        "filter[renew_period_eq]=Year": "107", "include=accounts": "112", "fields[services]=price": "104",
    }.items():  # fmt: skip
        answer = send(tenant, "GET", f"services?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code), query


def test_transactions(tenant: Tenant) -> None:
    account, other = new_account(tenant, "payer"), new_account(tenant, "other")
    service = new_service(tenant, account, new_type(tenant, "charged"))["id"]
    links = {"account": ("accounts", int(account)), "service": ("services", service)}
    sent = document("transactions", {"amount": 12.5, "description": "Setup"}, **links)
    answer = send(tenant, "POST", "transactions", sent, headers={"idempotency-key": "setup"})
    assert answer.status_code == 201, answer.text
    made = answer.json()["data"]
    itself = f"{tenant.url}/api/rest/admin/transactions/{made['id']}"
    assert answer.headers["location"] == itself
    again = send(tenant, "POST", "transactions", sent, headers={"idempotency-key": "setup"})
    assert again.json() == answer.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert UUID.fullmatch(made["attributes"].pop("uuid"))
    assert made["attributes"].pop("created-at").startswith("2024-0")
    assert made == {
        "id": made["id"], "type": "transactions", "links": {"self": itself},
        "attributes": {"description": "Setup", "amount": "12.5"},
        "relationships": {
            name: {
                "links": {"self": f"{itself}/relationships/{name}", "related": f"{itself}/{name}"},
                "data": {"type": f"{name}s", "id": number},
            }
            for name, number in (("account", account), ("service", service))
        },
    }  # fmt: skip
    negative = charge(tenant, account, "-0.000000000001")
    assert negative["attributes"]["amount"] == "-0.000000000001"
    assert negative["relationships"]["service"]["data"] is None
    found = get(tenant, f"transactions?filter[account_id_eq]={account}&include=service")
    assert [one["id"] for one in found["included"]] == [service]
    mine = f"transactions?filter[account_id_eq]={account}"
    for query, expected in {
        "sort=amount": [negative, made], "sort=-created-at,-id": [negative, made], "sort=service-id": [made, negative],
        "sort=account-id,id": [made, negative], "filter[amount_gt]=0": [made], "filter[description_eq]=Setup": [made],
        f"filter[service_id_in]={service}": [made], "filter[description_cont]=SET": [made],
        f"filter[uuid_eq]={negative['attributes']['uuid']}": [negative], "filter[created_at_lt]=2020-01-01": [],
    }.items():  # fmt: skip
        assert listed(tenant, f"{mine}&{query}") == [one["id"] for one in expected], query
    assert send(tenant, "GET", "transactions?sort=description").status_code == 400

    assert refused(tenant, "POST", "transactions", document("transactions", {})) == [
        ("/data/relationships/account", "account - must exist"),
        ("/data/attributes/amount", "amount - can't be blank"),
    ]
    links["account"] = ("accounts", other)
    assert refused(tenant, "POST", "transactions", document("transactions", {"amount": "0.0"}, **links)) == [
        ("/data/relationships/service", "service - belongs to different account"),
        ("/data/attributes/amount", "amount - must be other than 0"),
    ]
    links["service"] = ("services", 10**15)
    assert refused(tenant, "POST", "transactions", document("transactions", {"amount": "x"}, **links)) == [
        ("/data/relationships/service", "service - must exist"),
        ("/data/attributes/amount", "amount - is not a number"),
    ]
    for method in ("PATCH", "PUT", "DELETE"):
        answer = send(tenant, method, f"transactions/{made['id']}", document("transactions", {}, made["id"]))
        assert answer.status_code == 404, "transactions stay as they are"


def test_package_counters_are_only_read(tenant: Tenant) -> None:
    for method, path in (("POST", ""), ("PATCH", "/1"), ("PUT", "/1"), ("DELETE", "/1")):
        answer = send(tenant, method, f"package-counters{path}", document("package-counters", {"prefix": "1"}, "1"))
        assert answer.status_code == 404
    assert send(tenant, "GET", "package-counters/1").status_code == 404


@pytest.fixture(scope="module")
def owned(tenant: Tenant) -> dict[str, str]:
    """Ids of one workspace by type."""
    account = new_account(tenant, "owner")
    kind = new_type(tenant, "owned", FREE_MINUTES, variables={"prefixes": [{"prefix": "1", "duration": 5}]})
    service = new_service(tenant, account, kind, **{"initial-price": 5})["id"]
    charged = get(tenant, f"services/{service}?include=transactions,package-counters")["included"]
    found = {one["type"]: one["id"] for one in charged}
    return {"accounts": account, "service-types": kind, "services": service, **found}


def test_another_workspace_sees_and_charges_nothing(server: Server, owned: dict[str, str], mutated: bool) -> None:
    stranger = server.workspace()
    unknown = dict.fromkeys(owned, str(10**12))

    def same(method: str, path: str, sent: Any = None) -> int:
        """The status of a request about what another owns, which is answered as one about nothing."""
        answers = [
            send(
                stranger, method, path.format(**{k.replace("-", "_"): v for k, v in ids.items()}),
                json.loads(json.dumps(sent).replace("ACCOUNT", ids["accounts"]).replace("SERVICE", ids["services"])
                           .replace("KIND", ids["service-types"])) if sent else None,
            )
            for ids in (owned, unknown)
        ]  # fmt: skip
        texts = {
            re.sub("|".join({*owned.values(), *unknown.values()}), "ID", answer.text) for answer in answers
        }  # fmt: skip
        assert len(texts) == 1, texts
        assert answers[0].status_code == answers[1].status_code
        return answers[0].status_code

    for name in ("service_types", "services", "transactions", "package_counters"):
        path = f"{name.replace('_', '-')}/{{{name}}}"
        assert same("GET", path) == 404
        assert get(stranger, name.replace("_", "-"))["data"] == []
    for path in ("services/{services}/transactions", "services/{services}/relationships/package-counters"):
        assert same("GET", path) == 404
    assert same("PATCH", "services/{services}", document("services", {"name": "mine"}, "SERVICE")) == 404
    assert same("PATCH", "service-types/{service_types}", document("service-types", {"name": "mine"}, "KIND")) == 404
    assert same("DELETE", "service-types/{service_types}") == 404
    links = {"account": ("accounts", "ACCOUNT"), "service": ("services", "SERVICE")}
    assert same("POST", "transactions", document("transactions", {"amount": 1}, **links)) == 422
    links = {"account": ("accounts", "ACCOUNT"), "service_type": ("service-types", "KIND")}
    sent = document("services", {"initial-price": 1, "renew-price": 1}, **links)
    assert same("POST", "services", sent) == 422
    for query in ("filter[account_id_eq]", "filter[service_id_eq]"):
        assert get(stranger, f"transactions?{query}={owned['services']}")["meta"] == {"total-count": 0}
