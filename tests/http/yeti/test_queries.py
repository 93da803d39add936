"""What a query asks for: filters by each type of attribute, sorts, pages, what is included, and fewer fields.

Expected are the families of filters and the sorts that the contract lists for each resource.
"""

from datetime import UTC, datetime

import pytest

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import expect
from tests.http.yeti.carrier import ADMIN, contractor, document, get, make, send

BOOLEAN = ("eq", "not_eq")
STRING = ("eq", "not_eq", "cont", "start", "end", "in", "not_in", "cont_any")
NUMBER = ("eq", "not_eq", "gt", "gteq", "lt", "lteq", "in", "not_in")
MOMENT = NUMBER
NAMES = ("eq", "not_eq", "in", "not_in")
"""The family of UUIDs, enumerations and foreign keys."""
EVERY = frozenset(BOOLEAN + STRING + NUMBER)
SOUND = {BOOLEAN: "true", STRING: "1", NUMBER: "1", NAMES: "1"}

CALLS = {
    "amount_spent": NUMBER, "amount_earned": NUMBER, "calls_count": NUMBER, "successful_calls_count": NUMBER,
    "calls_duration": NUMBER, "billing_duration": NUMBER, "first_call_at": MOMENT, "last_call_at": MOMENT,
}  # fmt: skip
CALL_SORTS = [name.replace("_", "-") for name in CALLS]
OF_INVOICES = {"invoice_id": NAMES, "invoice_account_id": NAMES}
NETWORKS = {
    "amount": NUMBER, "billing_duration": NUMBER, "calls_count": NUMBER, "calls_duration": NUMBER,
    "first_call_at": MOMENT, "last_call_at": MOMENT, "rate": NUMBER, "spent": BOOLEAN,
    "successful_calls_count": NUMBER, "country_id": NAMES, "network_id": NAMES, **OF_INVOICES,
}  # fmt: skip
NETWORK_SORTS = (
    "id amount billing-duration calls-count calls-duration first-call-at last-call-at rate spent successful-calls-count"
)
UUID_1, MIDNIGHT = "6f1d9c2e-0000-1000-8000-0123456789ab", "2024-01-01T00:00:00Z"
VALUES = {
    "uuid": UUID_1, "status": "completed", "type_name": "manual", "state": "Pending", "invoice_type": "Auto Full",
    "renew_period": "Day", **dict.fromkeys(
        ("created_at", "rolledback_at", "renew_at", "start_date", "end_date", "first_call_at", "last_call_at",
         *(f"{side}_{end}_call_at" for side in ("originated", "terminated") for end in ("first", "last"))), MIDNIGHT),
}  # fmt: skip

RESOURCES: dict[str, tuple[dict[str, tuple[str, ...]], tuple[str, ...], str]] = {
    # path: families of filters, plain filters, sorts
    "accounts": (
        {"name": STRING, "balance": NUMBER, "vat": NUMBER, "min_balance": NUMBER, "max_balance": NUMBER,
         "balance_low_threshold": NUMBER, "balance_high_threshold": NUMBER, "destination_rate_limit": NUMBER,
         "max_call_duration": NUMBER, "external_id": NUMBER, "origination_capacity": NUMBER,
         "termination_capacity": NUMBER, "total_capacity": NUMBER, "uuid": NAMES, "currency_id": NAMES},
        ("name", "contractor.id", "invoice_template.id", "invoice-template.id"),
        "id name balance min-balance max-balance vat destination-rate-limit max-call-duration external-id uuid"
        " origination-capacity termination-capacity total-capacity send-invoices-to invoice-period-id timezone"
        " currency",
    ),
    "contractors": (
        {"name": STRING, "description": STRING, "address": STRING, "phones": STRING, "enabled": BOOLEAN,
         "vendor": BOOLEAN, "customer": BOOLEAN, "external_id": NUMBER},
        ("name", "smtp_connection.id", "smtp-connection.id"),
        "id name enabled vendor customer description address phones external-id",
    ),
    "contacts": ({"email": STRING, "notes": STRING}, (), "id email notes"),
    "smtp-connections": ({}, ("name",), "id name host port from-address auth-user auth-password global"),
    "api-accesses": ({}, (), "id customer-id login account-ids allowed-ips"),
    "payments": (
        {"id": NUMBER, "amount": NUMBER, "created_at": MOMENT, "rolledback_at": MOMENT, "notes": STRING,
         "private_notes": STRING, "status": NAMES, "type_name": NAMES},
        ("account.id",), "id amount created-at",
    ),
    "transactions": (
        {"account_id": NAMES, "service_id": NAMES, "uuid": NAMES, "created_at": MOMENT, "amount": NUMBER,
         "description": STRING},
        (), "id created-at account-id service-id amount",
    ),
    "service-types": (
        {"name": STRING, "force_renew": BOOLEAN, "provisioning_class": STRING},
        (), "id name force-renew provisioning-class",
    ),
    "services": (
        {"account_id": NAMES, "type_id": NAMES, "uuid": NAMES, "created_at": MOMENT, "name": STRING,
         "initial_price": NUMBER, "renew_price": NUMBER, "renew_at": MOMENT, "renew_period": NAMES},
        (), "id name initial-price renew-price created-at renew-at renew-period",
    ),
    "package-counters": ({}, ("service.id", "account.id"), "id duration exclude prefix service-id"),
    "currencies": (
        {"name": STRING, "rate": NUMBER, "rate_provider_id": NUMBER}, (), "id name rate rate-provider-id",
    ),
    "timezones": ({}, ("name",), "id name"),
    "invoice-template": ({"name": STRING}, (), "id name html-template"),
    "invoices": (
        {"account_id": NAMES, "reference": STRING, "start_date": MOMENT, "end_date": MOMENT, "state": NAMES,
         "invoice_type": NAMES, "amount_spent": NUMBER, "amount_earned": NUMBER,
         **{f"{side}_{name}": family for side in ("originated", "terminated") for name, family in CALLS.items()},
         "services_amount_spent": NUMBER, "services_amount_earned": NUMBER, "service_transactions_count": NUMBER},
        (),
        " ".join(["id reference start-date end-date amount-spent amount-earned services-amount-spent",
                  "services-amount-earned service-transactions-count",
                  *(f"{side}-{name}" for side in ("originated", "terminated") for name in CALL_SORTS)]),
    ),
    **{f"invoice-{side}-networks": (NETWORKS, (), NETWORK_SORTS) for side in ("originated", "terminated")},
    **{f"invoice-{side}-destinations": ({**NETWORKS, "dst_prefix": STRING}, (), f"{NETWORK_SORTS} dst-prefix")
       for side in ("originated", "terminated")},
    "invoice-service-data": (
        {"amount": NUMBER, "transactions_count": NUMBER, "spent": BOOLEAN, "service_id": NAMES, **OF_INVOICES},
        (), "id amount transactions-count spent",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace(clock=datetime(2024, 1, 1, tzinfo=UTC))


def refusals(tenant: Tenant, query: str) -> list[tuple[str, str]]:
    answer = send(tenant, "GET", query)
    assert answer.status_code == 400, answer.text
    return [(error["code"], error["detail"]) for error in answer.json()["errors"]]


@pytest.mark.parametrize("path", RESOURCES)
def test_each_resource_has_the_filters_and_sorts_of_its_types_and_no_others(tenant: Tenant, path: str) -> None:
    families, plain, sorts = RESOURCES[path]
    keys = {f"{name}_{operator}": (name, family) for name, family in families.items() for operator in family}
    asked = {f"filter[{key}]": VALUES.get(name, SOUND[family]) for key, (name, family) in keys.items()}
    asked |= {f"filter[{key}]": "1" for key in plain}
    directions = [f"{'-' if place % 2 else ''}{name}" for place, name in enumerate(sorts.split())]
    answer = send(tenant, "GET", path, params={**asked, "sort": ",".join(directions)})
    assert answer.status_code == 200, answer.text
    kind = "invoice-templates" if path == "invoice-template" else path
    others = {f"{name}_{one}" for name, family in families.items() for one in EVERY - {*family}} | {"foo", "foo_eq"}
    if "id" not in families:
        others |= {"id", "id_eq"}
    # Filters that are not there are all told of, in the order of the query.
    query = "&".join(f"filter[{key}]=1" for key in sorted(others))
    assert refusals(tenant, f"{path}?{query}") == [("102", f"{key} is not allowed.") for key in sorted(others)]
    shown = expect(tenant.http.get("/openapi/yeti.json"), 200)["components"]["schemas"][kind]
    attributes = shown["properties"]["attributes"]["properties"]
    unsorted = sorted({*attributes, "foo"} - {*sorts.split()})
    assert refusals(tenant, f"{path}?sort={','.join(unsorted)}") == [
        ("114", f"{name.replace('-', '_')} is not a valid sort criteria for {kind}") for name in unsorted
    ]


@pytest.fixture(scope="module")
def named(tenant: Tenant) -> list[str]:
    """Contractors to be found by their texts, truth values and numbers."""
    return [
        contractor(tenant, "Alpha", vendor=True, customer=False, description="50%_off", **{"external-id": 1}),
        contractor(tenant, "betaß", vendor=False, customer=True),
        contractor(tenant, 'Gamma, "Inc"', description="5000 off\\", **{"external-id": 30}),
        contractor(tenant, "Дельта", description="", **{"external-id": -7}),
    ]


FOUND: list[tuple[str, str, list[int]]] = [
    # One value, compared as it is; a row without a value meets no condition.
    ("name_eq", "Alpha", [0]),
    ("name_eq", "alpha", []),
    ("name-eq", "Alpha", [0]),
    ("nameEq", "Alpha", [0]),
    ("name_not_eq", "Alpha", [1, 2, 3]),
    ("description_not_eq", "other", [0, 2, 3]),
    ("description_not_in", "other,50%_off", [2, 3]),
    # Parts of texts, by letters of any case; `%` and `_` are letters like others.
    ("name_cont", "LPH", [0]),
    ("name_start", "BETA", [1]),
    ("name_end", "льТА", [3]),
    ("name_end", "alph", []),
    ("description_cont", "0%_", [0]),
    ("description_cont", "50_", []),
    ("description_start", "50", [0, 2]),
    ("description_end", "\\", [2]),
    ("name_cont_any", "ALP,дель", [0, 3]),
    ("name_cont_any", "nobody", []),
    # A line of CSV: several values, or one with a comma in it.
    ("name_in", "Alpha,betaß,nobody", [0, 1]),
    ("name_not_in", "Alpha,betaß", [2, 3]),
    ("name", "Alpha,betaß", [0, 1]),
    ("name", "alpha", []),
    ("name_eq", '"Gamma, ""Inc"""', [2]),
    ("name_in", '"Gamma, ""Inc""",Alpha', [0, 2]),
    # Truth values.
    ("vendor_eq", "true", [0, 2, 3]),
    ("vendor_not_eq", "true", [1]),
    ("customer_eq", "f", [0]),
    ("customer_not_eq", "0", [1, 2, 3]),
    # Numbers.
    ("external_id_eq", "30", [2]),
    ("externalIdEq", "30.0", [2]),
    ("external_id_not_eq", "30", [0, 3]),
    ("external_id_gt", "1", [2]),
    ("external_id_gteq", "1", [0, 2]),
    ("external_id_lt", "0.5", [3]),
    ("external-id-lteq", "1", [0, 3]),
    ("external_id_in", "1,30,99", [0, 2]),
    ("external_id_not_in", "1,99", [2, 3]),
    ("external_id_gt", "99999999999999999999", []),
]


@pytest.mark.parametrize(("key", "value", "expected"), FOUND)
def test_texts_truth_values_and_numbers(
    tenant: Tenant, named: list[str], key: str, value: str, expected: list[int]
) -> None:
    found = get(tenant, "contractors", params={f"filter[{key}]": value})
    assert [row["id"] for row in found["data"]] == [named[place] for place in expected]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("contractors?filter[name_eq]=a,b", "a,b is not a valid value for name_eq."),
        ("contractors?filter[vendor_eq]=true,false", "true,false is not a valid value for vendor_eq."),
        ("contractors?filter[external_id_gt]=", " is not a valid value for external_id_gt."),
        ("contractors?filter[nameCont]=a,b", "a,b is not a valid value for name_cont."),
        ("payments?filter[status_eq]=foo", "foo is not a valid value for status_eq."),
        ("payments?filter[status_in]=completed,foo", "completed,foo is not a valid value for status_in."),
        ("payments?filter[status_eq]=Completed", "Completed is not a valid value for status_eq."),
        ("payments?filter[type-name-not-in]=manual,none", "manual,none is not a valid value for type_name_not_in."),
        ("transactions?filter[uuid_in]=1", "1 is not a valid value for uuid_in."),
    ],
)
def test_values_that_a_filter_cannot_have(tenant: Tenant, query: str, expected: str) -> None:
    answer = send(tenant, "GET", query)
    assert answer.status_code == 400
    assert answer.json() == {
        "errors": [{"title": "Invalid filter value", "detail": expected, "code": "107", "status": "400"}]
    }


@pytest.fixture(scope="module")
def paid(tenant: Tenant, named: list[str]) -> tuple[list[str], list[str]]:
    """Two accounts, and three payments to the first an hour from each other."""
    accounts = [
        make(tenant, "accounts", document("accounts", terms, contractor=("contractors", owner)))["id"]
        for terms, owner in (
            ({"name": "first", "uuid": UUID_1, "min-balance": "-1.5", "vat": "0.333"}, named[0]),
            ({"name": "second", "min-balance": "-1.25", "max-balance": 3}, named[2]),
        )
    ]
    payments = []
    for hour, amount in enumerate(("1.5", "-2", "0.333")):
        expect(tenant.http.post("/bursar/v1/clock", json={"now": f"2024-01-01T0{hour}:00:00Z"}), 200)
        sent = document("payments", {"amount": amount}, account=("accounts", accounts[0]))
        payments.append(make(tenant, "payments", sent)["id"])
    return accounts, payments


def test_instants_amounts_names_and_keys(tenant: Tenant, paid: tuple[list[str], list[str]]) -> None:
    accounts, payments = paid
    for query, expected in {
        "filter[created_at_eq]=2024-01-01T01:00:00Z": [1], "filter[created_at_not_eq]=2024-01-01T01:00:00Z": [0, 2],
        "filter[created_at_gt]=2024-01-01T01:00:00Z": [2], "filter[created-at-gteq]=2024-01-01T01:00:00Z": [1, 2],
        "filter[created_at_lt]=2024-01-01T02:00:00%2B01:00": [0], "filter[createdAtLteq]=2024-01-01T01:00:00Z": [0, 1],
        "filter[created_at_in]=2024-01-01,2024-01-01T02:00:00Z": [0, 2], "filter[created_at_not_in]=2024-01-01": [1, 2],
        "filter[amount_eq]=1.50": [0], "filter[amount_gt]=0.332999": [0, 2], "filter[amount_lteq]=0.333": [1, 2],
        "filter[amount_in]=-2,1.5": [0, 1], "filter[amount_not_in]=-2": [0, 2], "filter[amount_not_eq]=0": [0, 1, 2],
        "filter[status_eq]=completed": [0, 1, 2], "filter[status_not_eq]=completed": [],
        "filter[status_in]=pending,canceled": [], "filter[type_name_not_in]=cryptomus": [0, 1, 2],
        "filter[rolledback_at_not_eq]=2024-01-01": [],
        f"filter[id_gt]={payments[0]}": [1, 2], f"filter[id_lteq]={payments[1]}": [0, 1],
        f"filter[id_in]={payments[0]},{payments[2]}": [0, 2], f"filter[id_not_eq]={payments[0]}": [1, 2],
        "sort=-amount": [0, 2, 1], "sort=created-at": [0, 1, 2], "sort=-created-at": [2, 1, 0], "sort=-id": [2, 1, 0],
        f"filter[account.id]={accounts[0]}": [0, 1, 2], f"filter[account.id]={accounts[1]}": [],
    }.items():  # fmt: skip
        rows = get(tenant, f"payments?{query}")["data"]
        assert [row["id"] for row in rows] == [payments[place] for place in expected], query
    own = get(tenant, "currencies/0")["data"]["id"]
    for query, expected in {
        f"filter[uuid_eq]={UUID_1}": [0], f"filter[uuid_eq]={UUID_1.upper()}": [0],
        f"filter[uuid_not_eq]={UUID_1}": [1], f"filter[uuid_in]={UUID_1}": [0], f"filter[uuid_not_in]={UUID_1}": [1],
        f"filter[currency_id_eq]={own}": [0, 1],
        f"filter[currency_id_not_in]={own}": [], "filter[min_balance_lt]=-1.25": [0], "filter[vat_eq]=0.333": [0],
        "filter[balance_lt]=0": [0], "filter[balance_eq]=0": [1], "filter[balance_gteq]=-0.167": [0, 1],
        f"filter[contractor.id]={contractor_of(tenant, accounts[1])}": [1], "filter[max_balance_gt]=0": [1],
        "sort=min-balance": [0, 1], "sort=-min-balance": [1, 0], "sort=balance": [0, 1], "sort=currency,-id": [1, 0],
        "sort=-timezone,-name": [1, 0], "sort=send-invoices-to,-id": [1, 0], "sort=-currency,name": [0, 1],
    }.items():  # fmt: skip
        rows = get(tenant, f"accounts?{query}")["data"]
        assert [row["id"] for row in rows] == [accounts[place] for place in expected], query


def contractor_of(tenant: Tenant, account: str) -> str:
    return str(get(tenant, f"accounts/{account}/relationships/contractor")["data"]["id"])


def test_pages_and_the_links_between_them(tenant: Tenant, paid: tuple[list[str], list[str]]) -> None:
    _, payments = paid
    base = f"{tenant.url}{ADMIN}/payments"

    def page(number: int, size: int = 1, before: str = "", after: str = "") -> str:
        return f"{base}?{before}page%5Bnumber%5D={number}&page%5Bsize%5D={size}{after}"

    whole = send(tenant, "GET", "payments?foo=bar").json()
    assert list(whole) == ["data", "meta", "links"]
    assert [row["id"] for row in whole["data"]] == payments, "by id"
    assert whole["meta"] == {"total-count": 3}
    assert whole["links"] == {"first": page(1, 50), "last": page(1, 50)}, "no others with one page, no foreign names"
    second = get(tenant, "payments?page[size]=1&page[number]=2")
    assert [row["id"] for row in second["data"]] == [payments[1]]
    assert list(second["links"].items()) == [
        ("first", page(1)),
        ("prev", page(1)),
        ("next", page(3)),
        ("last", page(3)),
    ]
    assert get(tenant, "payments?page[size]=2&page[number]=2")["links"] == {
        "first": page(1, 2), "prev": page(1, 2), "last": page(2, 2),
    }  # fmt: skip
    assert [row["id"] for row in get(tenant, "payments?page=2")["data"]] == [], "a plain page is its number"
    beyond = get(tenant, "payments?page=2&token=")
    assert (beyond["meta"], beyond["links"]) == (
        {"total-count": 3}, {"first": page(1, 50), "prev": page(1, 50), "last": page(1, 50)},
    )  # fmt: skip
    empty = get(tenant, "payments?filter[amount_gt]=9&page[size]=2")
    last = page(1, 2, "filter%5Bamount_gt%5D=9&")
    assert empty == {"data": [], "meta": {"total-count": 0}, "links": {"first": last, "last": last}}
    query = "sort=-id&include=account&fields[payments]=amount,account&filter[amount_in]=1.5,-2&page[size]=1"
    carried = get(tenant, f"payments?{query}")
    assert list(carried) == ["data", "included", "meta", "links"]
    before = "fields%5Bpayments%5D=amount%2Caccount&filter%5Bamount_in%5D=1.5%2C-2&include=account&"
    assert carried["links"]["next"] == page(2, 1, before, "&sort=-id")
    following = tenant.http.get(carried["links"]["next"]).json()
    assert [row["id"] for row in following["data"]] == [payments[0]]
    assert len(get(tenant, "payments?page[size]=1000")["data"]) == 3
    assert list(get(tenant, "timezones?sort=-id")) == ["data", "meta"], "what has no pages has no links"


def test_what_is_included_and_which_fields_are_shown(tenant: Tenant, paid: tuple[list[str], list[str]]) -> None:
    accounts, payments = paid
    found = get(tenant, "accounts?include=contractor,contractor.smtp-connection,invoice-template")
    assert [(row["type"], row["attributes"]["name"]) for row in found["included"]] == [
        ("contractors", "Alpha"), ("contractors", 'Gamma, "Inc"'),
    ]  # fmt: skip
    # The conditions of a relationship that is included are on what it includes.
    found = get(tenant, "accounts?include=contractor&filter[contractor.name_eq]=Alpha")
    assert [row["id"] for row in found["data"]] == accounts
    assert [row["attributes"]["name"] for row in found["included"]] == ["Alpha"]
    deep = get(tenant, f"payments/{payments[0]}?include=account.contractor")
    assert list(deep) == ["data", "included"]
    assert {row["type"] for row in deep["included"]} == {"accounts", "contractors"}
    related = get(tenant, f"payments/{payments[0]}/account?include=contractor&fields[contractors]=name")
    assert [row["attributes"] for row in related["included"]] == [{"name": "Alpha"}]

    itself = f"{tenant.url}{ADMIN}/accounts/{accounts[0]}"
    shown = {
        "id": accounts[0], "type": "accounts", "links": {"self": itself},
        "attributes": {"name": "first", "balance": "-0.167"},
    }  # fmt: skip
    path = f"accounts/{accounts[0]}"
    assert get(tenant, f"{path}?fields[accounts]=balance,name") == {"data": shown}
    linked = {"links": {"self": f"{itself}/relationships/contractor", "related": f"{itself}/contractor"},
              "data": {"type": "contractors", "id": contractor_of(tenant, accounts[0])}}  # fmt: skip
    assert get(tenant, f"{path}?fields[accounts]=contractor")["data"] == {
        "id": accounts[0], "type": "accounts", "links": {"self": itself}, "relationships": {"contractor": linked},
    }  # fmt: skip
    assert get(tenant, f"{path}?fields[contractors]=name")["data"]["attributes"]["vat"] == "0.333"

    # Both count where something is written, too.
    query = "?include=contractor&fields[accounts]=balance,name,contractor&fields[contractors]=enabled"
    changed = send(tenant, "PATCH", f"{path}{query}", document("accounts", {"vat": "0.333"}, accounts[0]))
    assert changed.status_code == 200, changed.text
    answered = changed.json()
    assert answered["data"] == {**shown, "relationships": {"contractor": linked}}
    assert [row["attributes"] for row in answered["included"]] == [{"enabled": True}]
    sent = document("payments", {"amount": 1}, account=("accounts", accounts[1]))
    made = send(tenant, "POST", "payments?fields[payments]=amount&include=account&fields[accounts]=balance", sent)
    assert made.json()["data"]["attributes"] == {"amount": "1.0"}
    assert [row["attributes"] for row in made.json()["included"]] == [{"balance": "1.0"}]
    for method, sent_to in (("POST", "accounts"), ("PATCH", path)):
        refused = send(tenant, method, f"{sent_to}?include=foo", document("accounts", {}, accounts[0]))
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "112")
