"""Invoices, their breakdown and their templates at the carrier's door, over charges made by the running server."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.http.yeti.door import door
from bursar.invoicing.stating import run_statements
from bursar.invoicing.verify_statements import CHECKS
from bursar.purchases.charges import MakeTransaction, make_transaction
from tests.conftest import Server, Tenant
from tests.http.yeti.carrier import contractor, document, get, make, send

NOW = datetime(2024, 3, 1, tzinfo=UTC)
BREAKDOWNS = [
    "invoice-originated-destinations", "invoice-originated-networks", "invoice-terminated-destinations",
    "invoice-terminated-networks", "invoice-service-data",
]  # fmt: skip
CHARGES = [
    ("2024-01-05T00:00:00Z", "5.5"), ("2024-01-31T23:59:59Z", "1.25"), ("2024-01-06T00:00:00Z", "-2"),
    ("2024-02-01T00:00:00Z", "100"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return server.workspace(clock=NOW)


def run(server: Server, work: Any) -> Any:
    return server.run(work)


def account(server: Server, tenant: Tenant, name: str, *charges: tuple[str, str]) -> str:
    """The number of a new account that was charged."""
    owner = contractor(tenant, f"of {name}")
    number = make(tenant, "accounts", document("accounts", {"name": name}, contractor=("contractors", owner)))["id"]

    async def charge(db: Database) -> None:
        async with db.transaction(tenant.caller.workspace) as connection:
            for moment, amount in charges:
                caller = at(tenant, datetime.fromisoformat(moment))
                await make_transaction(connection, caller, MakeTransaction(int(number), Decimal(amount)))

    run(server, charge)
    return str(number)


def at(tenant: Tenant, now: datetime) -> Caller:
    return Caller(tenant.caller.workspace, now, now, "test", "UTC", "USD", sandbox=True)


def invoice(tenant: Tenant, of: str, start: Any = "2024-01-01", end: Any = "2024-02-01") -> str:
    sent = document("invoices", {"start-date": start, "end-date": end}, account=("accounts", of))
    return str(make(tenant, "invoices", sent)["id"])


def agree(tenant: Tenant, number: str, attributes: dict[str, Any]) -> None:
    changed = send(tenant, "PATCH", f"accounts/{number}", document("accounts", attributes, number))
    assert changed.status_code == 200, changed.text


def begin(server: Server, tenant: Tenant, moment: datetime, *numbers: str) -> None:
    """As if the accounts had got their period before `moment`, where their present one ends."""

    async def back(db: Database) -> None:
        async with db.transaction(tenant.caller.workspace) as connection:
            await connection.execute(
                "update account_terms t set next_invoice_at = $1 from account a"
                " where a.key = t.account and a.yeti_id = any($2)",
                moment, [int(number) for number in numbers],
            )  # fmt: skip

    run(server, back)


def fill(server: Server, tenant: Tenant) -> None:
    run(server, lambda db: run_statements(db, at(tenant, NOW)))


CALLS = {"amount-spent": "0.0", "amount-earned": "0.0", "calls-count": 0, "successful-calls-count": 0,
         "calls-duration": 0, "billing-duration": 0, "first-call-at": None, "last-call-at": None}  # fmt: skip


def test_a_life(server: Server, tenant: Tenant) -> None:
    of = account(server, tenant, "life", *CHARGES)
    sent = document("invoices", {"start-date": "2024-01-01", "end-date": "2024-02-01"}, account=("accounts", int(of)))
    made = send(tenant, "POST", "invoices", sent)
    number = made.json()["data"]["id"]
    itself = f"{tenant.url}/api/rest/admin/invoices/{number}"
    new = {
        "reference": number, "state": "New", "invoice-type": "Manual", "start-date": "2024-01-01T00:00:00.000Z",
        "end-date": "2024-02-01T00:00:00.000Z", "pdf-path": None, "amount-spent": "0.0", "amount-earned": "0.0",
        **{f"{side}-{name}": value for side in ("originated", "terminated") for name, value in CALLS.items()},
        "services-amount-spent": "0.0", "services-amount-earned": "0.0", "service-transactions-count": 0,
    }  # fmt: skip
    several = [
        "originated-destinations", "originated-networks", "terminated-destinations", "terminated-networks",
        "service-data",
    ]  # fmt: skip
    expected = {
        "id": number,
        "type": "invoices",
        "links": {"self": itself},
        "attributes": new,
        "relationships": {
            "account": {
                "links": {"self": f"{itself}/relationships/account", "related": f"{itself}/account"},
                "data": {"type": "accounts", "id": of},
            },
            **{
                name: {"links": {"self": f"{itself}/relationships/{name}", "related": f"{itself}/{name}"}}
                for name in several
            },
        },
    }
    assert made.status_code == 201, made.text
    assert made.headers["location"] == itself
    assert made.json() == {"data": expected}
    assert list(made.json()["data"]["attributes"]) == list(new)
    assert get(tenant, f"invoices/{number}") == {"data": expected}
    fill(server, tenant)
    filled = get(tenant, f"invoices/{number}?include=service-data,originated-networks")
    changed = {"state": "Pending", "amount-spent": "6.75", "amount-earned": "2.0", "services-amount-spent": "6.75",
               "services-amount-earned": "2.0", "service-transactions-count": 3}  # fmt: skip
    assert filled["data"]["attributes"] == {**new, **changed}
    assert filled["data"]["relationships"]["originated-networks"]["data"] == []
    assert [entry["attributes"] for entry in filled["included"]] == [
        {"amount": "6.75", "transactions-count": 2, "spent": True},
        {"amount": "2.0", "transactions-count": 1, "spent": False},
    ]
    for verb, path in (("PATCH", f"invoices/{number}"), ("PUT", f"invoices/{number}/relationships/account")):
        assert send(tenant, verb, path, document("invoices", {}, number)).status_code == 404
    pdf = send(tenant, "GET", f"invoices/{number}/pdf")
    assert (pdf.status_code, pdf.content) == (404, b"")
    assert send(tenant, "DELETE", f"invoices/{number}").status_code == 204
    gone = send(tenant, "GET", f"invoices/{number}")
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, "404")
    assert get(tenant, f"invoice-service-data?filter[invoice_id_eq]={number}")["data"] == []


def test_ends_are_read_in_the_account_s_zone(server: Server, tenant: Tenant) -> None:
    of = account(server, tenant, "zoned")

    agree(tenant, of, {"timezone": "Europe/Kyiv"})
    shown = get(tenant, f"invoices/{invoice(tenant, of, '2023-11-01', '2023-11-02 12:00')}")["data"]["attributes"]
    assert [shown["start-date"], shown["end-date"]] == ["2023-10-31T22:00:00.000Z", "2023-11-02T10:00:00.000Z"]


def test_approved_ones_stay(server: Server, tenant: Tenant) -> None:
    of = account(server, tenant, "approved", *CHARGES)
    number = invoice(tenant, of)
    approve = f"/bursar/v1/statements/{number}/approve"
    early = tenant.http.post(approve)
    assert (early.status_code, early.json()["detail"]) == (400, "Invoice can't be approved")
    fill(server, tenant)
    done = tenant.http.post(approve)
    assert (done.status_code, done.content) == (204, b"")
    assert tenant.http.post(approve).json()["detail"] == "Invoice already approved"
    assert get(tenant, f"invoices/{number}")["data"]["attributes"]["state"] == "Approved"
    refused = send(tenant, "DELETE", f"invoices/{number}")
    assert refused.status_code == 422
    assert refused.json() == {"errors": [{
        "title": "Invoice is approved and can't be deleted", "detail": "Invoice is approved and can't be deleted",
        "code": "100", "source": {"pointer": "/data"}, "status": "422",
    }]}  # fmt: skip
    for wrong in ("0", "x", "9" * 40):
        assert tenant.http.post(f"/bursar/v1/statements/{wrong}/approve").status_code == 404


ACCOUNT, START, END, WHOLE = (
    "/data/relationships/account", "/data/attributes/start-date", "/data/attributes/end-date", "/data",
)  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str | None, list[tuple[str, str]]]] = [
    ({}, None, [
        (ACCOUNT, "account - can't be blank"), (START, "start-date - can't be blank"),
        (END, "end-date - can't be blank"),
    ]),
    ({"start-date": "", "end-date": None}, "free", [
        (START, "start-date - can't be blank"), (END, "end-date - can't be blank"),
    ]),
    ({"start-date": "soon", "end-date": 20240201}, "free", [
        (START, "start-date - is invalid"), (END, "end-date - is invalid"),
    ]),
    ({"start-date": ["2024-01-01"], "end-date": "2024-01-01"}, "free", [(START, "start-date - is invalid")]),
    ({"start-date": "2024-02-01", "end-date": "2024-01-01"}, "free", [
        (END, "end-date - must be greater than start date"),
    ]),
    ({"start-date": "2024-02-01", "end-date": "2024-02-01"}, "free", [
        (WHOLE, "start_time must be less then end_time"),
    ]),
    ({"start-date": "2024-02-01", "end-date": "2024-03-02"}, "free", [(WHOLE, "end_time can't be in future")]),
    ({"start-date": "2024-01-15", "end-date": "2024-01-16"}, "taken", [(WHOLE, "have invoice inside provided period")]),
    ({"start-date": "2024-01-15", "end-date": "2024-01-16"}, "automatic", [
        (ACCOUNT, "account - have invoices auto generation enabled"),
    ]),
    ({"start-date": "2024-01-15", "end-date": "2024-01-16"}, "nobody", [(ACCOUNT, "account - can't be blank")]),
]  # fmt: skip


@pytest.fixture(scope="module")
def numbers(server: Server, tenant: Tenant) -> dict[str, str]:
    found = {name: account(server, tenant, name) for name in ("free", "taken", "automatic")}
    invoice(tenant, found["taken"])

    agree(tenant, found["automatic"], {"invoice-period-id": 2})
    return {**found, "nobody": "999999999"}


@pytest.mark.parametrize(("attributes", "of", "errors"), REFUSED)
def test_what_cannot_be_an_invoice(
    tenant: Tenant,
    numbers: dict[str, str],
    attributes: dict[str, Any],
    of: str | None,
    errors: list[tuple[str, str]],
) -> None:
    links = {} if of is None else {"account": ("accounts", numbers[of])}
    answer = send(tenant, "POST", "invoices", document("invoices", attributes, **links))
    assert answer.status_code == 422, answer.text
    told = [(error["source"]["pointer"], error["detail"], error["code"]) for error in answer.json()["errors"]]
    assert told == [(pointer, detail, "100") for pointer, detail in errors]


def test_a_period_that_is_taken_away_lets_invoices_be_made_by_hand(server: Server, tenant: Tenant) -> None:
    of = account(server, tenant, "no longer automatic")
    agree(tenant, of, {"invoice-period-id": 7, "timezone": "Europe/Kyiv"})
    ends = {"start-date": "2024-01-15", "end-date": "2024-01-16"}
    sent = document("invoices", ends, account=("accounts", of))
    refused = send(tenant, "POST", "invoices", sent)
    assert refused.json() == {"errors": [{
        "title": "have invoices auto generation enabled", "detail": "account - have invoices auto generation enabled",
        "code": "100", "source": {"pointer": "/data/relationships/account"}, "status": "422",
    }]}  # fmt: skip
    agree(tenant, of, {"invoice-period-id": None})
    assert get(tenant, f"accounts/{of}")["data"]["attributes"]["invoice-period-id"] is None
    assert send(tenant, "POST", "invoices", sent).status_code == 201


@pytest.mark.parametrize("name", ["state", "reference", "amount-spent", "pdf-path"])
def test_what_is_computed_cannot_be_sent(tenant: Tenant, name: str) -> None:
    answer = send(tenant, "POST", "invoices", document("invoices", {name: "1"}))
    assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (400, f"{name} is not allowed.")


def test_lists_are_filtered_sorted_and_included(server: Server, tenant: Tenant) -> None:
    of, other = account(server, tenant, "listed", *CHARGES), account(server, tenant, "other")
    months = [("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-02-02"), ("2023-12-01", "2023-12-31")]
    made = [invoice(tenant, of, *ends) for ends in months] + [invoice(tenant, other)]
    fill(server, tenant)

    def found(query: str) -> list[str]:
        return [row["id"] for row in get(tenant, f"invoices?filter[account_id_in]={of},{other}&{query}")["data"]]

    assert found("") == made
    assert found("sort=-start-date&filter[account_id_eq]=" + of) == [made[1], made[0], made[2]]
    assert found("filter[start_date_gteq]=2024-01-01T00:00:00Z&filter[end_date_lt]=2024-02-02T00:00:00Z") == [
        made[0], made[3],
    ]  # fmt: skip
    assert found("filter[amount_spent_gt]=6.7&sort=-amount-spent") == [made[1], made[0]]
    assert found("filter[services_amount_earned_eq]=2") == [made[0]]
    assert found("filter[service_transactions_count_in]=1,3") == made[:2]
    assert found("filter[state_eq]=Pending&filter[invoice_type_not_eq]=Auto Full") == made
    assert found(f"filter[reference_eq]={made[2]}") == [made[2]]
    assert found("filter[originated_first_call_at_gt]=2000-01-01T00:00:00Z") == []
    for query, detail in [
        ("filter[state_eq]=pending", "pending is not a valid value for state_eq."),
        ("filter[pdf_path_eq]=x", "pdf_path_eq is not allowed."),
        ("sort=state", "state is not a valid sort criteria for invoices"),
    ]:
        answer = send(tenant, "GET", f"invoices?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (400, detail)
    page = get(tenant, f"invoices?filter[account_id_eq]={of}&page[size]=2&page[number]=2&fields[invoices]=reference")
    assert page["meta"] == {"total-count": 3}
    assert page["data"] == [{
        "id": made[2], "type": "invoices", "links": {"self": f"{tenant.url}/api/rest/admin/invoices/{made[2]}"},
        "attributes": {"reference": made[2]},
    }]  # fmt: skip
    rows = get(tenant, f"invoice-service-data?filter[invoice_account_id_eq]={of}&sort=amount&include=invoice")
    assert [row["attributes"]["amount"] for row in rows["data"]] == ["2.0", "6.75", "100.0"]
    assert [row["relationships"]["invoice"]["data"]["id"] for row in rows["data"]] == [made[0], made[0], made[1]]
    assert [row["id"] for row in rows["included"]] == made[:2]
    one = rows["data"][0]["id"]
    shown = get(tenant, f"invoice-service-data/{one}")["data"]
    assert {name: list(links) for name, links in shown["relationships"].items()} == {
        "invoice": ["links"], "service": ["links"],
    }  # fmt: skip
    related = get(tenant, f"invoices/{made[0]}/service-data?filter[spent_eq]=true")["data"]
    assert [row["attributes"]["transactions-count"] for row in related] == [2]
    assert get(tenant, f"invoice-service-data/{one}/invoice")["data"]["id"] == made[0]
    linkage = get(tenant, f"invoices/{made[0]}/relationships/service-data")["data"]
    assert {entry["type"] for entry in linkage} == {"invoice-service-data"}
    assert len(linkage) == 2


def everything(tenant: Tenant, kind: str) -> httpx.Response:
    """A list with every filter and every sort that there is."""
    resource, values = door.resources[kind], {"moment": "2024-01-01", "date": "2024-01-01", "boolean": "true"}
    conditions = {
        f"filter[{name}]": {"state": "Pending", "invoice_type": "Manual"}.get(field, values.get(of.name, "1"))
        for name, (field, _, of) in resource.filters.items()
    }
    sort = ",".join(f"-{name.replace('_', '-')}" for name in sorted(resource.sortable))
    return send(tenant, "GET", kind, params={**conditions, "sort": sort})


@pytest.mark.parametrize("kind", BREAKDOWNS)
def test_breakdowns_are_read_only_and_stand_ready_for_calls(tenant: Tenant, kind: str) -> None:
    answer = everything(tenant, kind)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []
    assert send(tenant, "POST", kind, document(kind, {})).status_code == 404
    assert send(tenant, "GET", f"{kind}/999999").status_code == 404


CALLED = [
    ("originated", "380", "1.5", True, 10, 7, 600, 660, "2024-01-03T10:00:00.000Z", "2024-01-09T10:00:00.000Z"),
    ("originated", "381", "0.25", False, 3, 2, 60, 66, "2024-01-02T10:00:00.000Z", "2024-01-04T10:00:00.000Z"),
    ("terminated", "49", "2", True, 20, 1, 7, 8, "2024-01-20T10:00:00.000Z", "2024-01-21T10:00:00.000Z"),
    ("terminated", None, "4", False, 30, 5, 70, 80, None, None),
]  # fmt: skip


def test_calls_are_shown_and_summed_up(server: Server, tenant: Tenant) -> None:
    """As they will be: rows of calls, by destination and by network, that are there when the statement is filled."""
    number = invoice(tenant, account(server, tenant, "calls", *CHARGES))
    columns = (
        "side, {} rate, spent, amount, calls_count, successful_calls_count, calls_duration, billing_duration,"
        " first_call_at, last_call_at"
    )

    async def call(db: Database) -> None:
        async with db.transaction(tenant.caller.workspace) as connection:
            workspace = tenant.caller.workspace
            key = await connection.fetchval(
                "select key from statement where workspace = $1 and yeti_id = $2", workspace, int(number)
            )
            for place, (side, prefix, amount, spent, *counts, first, last) in enumerate(CALLED):
                ends = [moment and datetime.fromisoformat(moment) for moment in (first, last)]
                values = [Decimal("0.01"), spent, Decimal(amount), *counts, *ends]
                await connection.execute(
                    "insert into statement_destination"
                    f" (workspace, statement, yeti_id, {columns.format('dst_prefix,')})"
                    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                    workspace, key, 9_000_000 + place, side, prefix, *values,
                )  # fmt: skip
                await connection.execute(
                    f"insert into statement_network (workspace, statement, yeti_id, {columns.format('')})"
                    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                    workspace, key, 9_000_010 + place, side, *values,
                )  # fmt: skip

    run(server, call)
    fill(server, tenant)
    shown = get(tenant, f"invoices/{number}?include=originated-destinations,terminated-networks")
    attributes = shown["data"]["attributes"]
    expected = {
        "originated": ["1.5", "0.25", 13, 9, 660, 726, "2024-01-02T10:00:00.000Z", "2024-01-09T10:00:00.000Z"],
        "terminated": ["2.0", "4.0", 50, 6, 77, 88, "2024-01-20T10:00:00.000Z", "2024-01-21T10:00:00.000Z"],
    }
    for side, values in expected.items():
        assert [attributes[f"{side}-{name}"] for name in CALLS] == values
    assert [attributes["amount-spent"], attributes["amount-earned"]] == ["10.25", "6.25"]
    first, *_ = shown["included"]
    assert (first["type"], first["attributes"]) == ("invoice-originated-destinations", {
        "amount": "1.5", "billing-duration": 660, "calls-count": 10, "calls-duration": 600, "dst-prefix": "380",
        "first-call-at": "2024-01-03T10:00:00.000Z", "last-call-at": "2024-01-09T10:00:00.000Z", "rate": "0.01",
        "spent": True, "successful-calls-count": 7,
    })  # fmt: skip
    assert list(first["relationships"]) == ["invoice", "country", "network"]
    assert [(row["type"], row["attributes"]["calls-count"]) for row in shown["included"]] == [
        ("invoice-originated-destinations", 10), ("invoice-originated-destinations", 3),
        ("invoice-terminated-networks", 20), ("invoice-terminated-networks", 30),
    ]  # fmt: skip
    assert "dst-prefix" not in shown["included"][2]["attributes"]
    linked = get(tenant, "invoice-terminated-destinations/9000003/relationships/country")
    assert linked["data"] is None
    assert send(tenant, "GET", "invoice-originated-destinations/9000003").status_code == 404, "it is of the other side"

    async def problems(db: Database) -> list[str]:
        async with db.transaction(None) as connection:
            return [problem for check in CHECKS for problem in await check.run(connection)]

    assert run(server, problems) == []
    assert send(tenant, "DELETE", f"invoices/{number}").status_code == 204
    assert send(tenant, "GET", "invoice-originated-destinations/9000000").status_code == 404


def test_every_filter_and_sort_of_invoices_works(tenant: Tenant) -> None:
    answer = everything(tenant, "invoices")
    assert answer.status_code == 200, answer.text


def test_automatic_ones_and_what_stands_in_their_way(server: Server, tenant: Tenant) -> None:
    of, blocked = account(server, tenant, "by-itself", *CHARGES), account(server, tenant, "blocked")
    in_the_way = invoice(tenant, blocked)

    for number in (of, blocked):
        agree(tenant, number, {"invoice-period-id": 4})
    begin(server, tenant, datetime(2024, 2, 1, tzinfo=UTC), of, blocked)
    fill(server, tenant)
    (row,) = get(tenant, f"invoices?filter[account_id_eq]={of}")["data"]
    assert [row["attributes"][name] for name in ("state", "invoice-type", "amount-spent")] == [
        "Pending", "Auto Full", "6.75",
    ]  # fmt: skip
    failures = tenant.http.get("/bursar/v1/statements/failures").json()
    assert [(f["accountId"], f["statementAccount"], f["endsAt"], f["error"]) for f in failures["failures"]] == [(
        blocked, int(blocked), "2024-02-01T00:00:00Z",
        "invoice exists with end_date greater than or equal to current end_date",
    )]  # fmt: skip
    assert send(tenant, "DELETE", f"invoices/{in_the_way}").status_code == 204
    fill(server, tenant)
    assert tenant.http.get("/bursar/v1/statements/failures").json() == {"failures": [], "next": None}


def test_templates(tenant: Tenant) -> None:
    sent = {"name": "Plain", "html-template": "<p>{{ invoice.id }}</p>"}
    made = send(tenant, "POST", "invoice-template", document("invoice-templates", sent))
    assert made.status_code == 201, made.text
    number = made.json()["data"]["id"]
    itself = f"{tenant.url}/api/rest/admin/invoice-templates/{number}"
    shown = {"data": {"id": number, "type": "invoice-templates", "links": {"self": itself}, "attributes": sent}}
    assert (made.json(), made.headers["location"]) == (shown, itself)
    assert get(tenant, f"invoice-template/{number}") == shown
    assert send(tenant, "GET", f"invoice-templates/{number}").status_code == 404
    assert [row["id"] for row in get(tenant, "invoice-template?filter[name_cont]=PLAI")["data"]] == [number]
    other = make(tenant, "invoice-template", document("invoice-templates", {**sent, "name": "Other"}))["id"]

    def refused(verb: str, path: str, attributes: dict[str, Any], key: str | None = None) -> list[str]:
        answer = send(tenant, verb, path, document("invoice-templates", attributes, key))
        assert answer.status_code == 422, answer.text
        return [error["detail"] for error in answer.json()["errors"]]

    blank = ["name - can't be blank", "html-template - can't be blank"]
    assert refused("POST", "invoice-template", {}) == blank
    assert refused("PATCH", f"invoice-template/{other}", {"name": " ", "html-template": None}, other) == blank
    assert refused("POST", "invoice-template", sent) == ["name - has already been taken"]
    assert refused("PATCH", f"invoice-template/{other}", {"name": "Plain"}, other) == ["name - has already been taken"]
    changed = send(
        tenant, "PUT", f"invoice-template/{other}", document("invoice-templates", {"html-template": "<b>"}, other)
    )
    assert changed.json()["data"]["attributes"] == {"name": "Other", "html-template": "<b>"}
    assert send(tenant, "DELETE", f"invoice-template/{other}").status_code == 204
    assert send(tenant, "DELETE", f"invoice-template/{other}").status_code == 404
    assert make(tenant, "invoice-template", document("invoice-templates", {**sent, "name": "Other"}))["id"] != other
