"""Invoices with the official client and with others, from real events."""

from datetime import UTC, datetime
from typing import Any

import pytest
from togai_client.api.invoices_api import InvoicesApi
from togai_client.exceptions import BadRequestException, NotFoundException, UnauthorizedException

from bursar.accounts.workspaces import caller_of, workspace_at
from bursar.db.database import Database
from bursar.invoicing.billing import BillReport, bill
from bursar.invoicing.verify import CHECKS
from tests.conftest import Server, Tenant, broken
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema

BROWSER = {"user-agent": "curl/8"}


def at(month: int, day: int) -> datetime:
    return datetime(2024, month, day, tzinfo=UTC)


def run_bill(server: Server, tenant: Tenant) -> BillReport:
    async def work(db: Database) -> BillReport:
        wall = datetime.now(UTC)
        async with db.transaction(None) as connection:
            caller = caller_of(await workspace_at(connection, tenant.caller.workspace), wall, "test")
        report = await bill(db, caller)
        assert await broken(db, caller, CHECKS) == []
        return report

    report: BillReport = server.run(work)
    return report


def set_clock(tenant: Tenant, moment: datetime) -> None:
    expect(tenant.http.post("/bursar/v1/clock", json={"now": moment.isoformat()}), 200)


@pytest.fixture
def shop(server: Server) -> Tenant:
    """May 2024: 1,500 and 600.5 tokens at half a cent beyond the first thousand, at least 5.60 a month."""
    tenant = server.workspace(clock=at(5, 10))
    customer(tenant.http, netTermDays=14)
    schema(tenant.http)
    identifier = meter(tenant.http)
    made = plan(tenant.http, [card(identifier, per_unit(0, 1000), [0, 0.005])], commitment=5.6)
    body = {"pricePlanId": made, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    ingest(
        tenant.http,
        event("e1", "2024-05-02T10:00:00Z", tokens=1500),
        event("e2", "2024-05-09T11:07:00Z", tokens="600.5", model="small"),
    )
    return tenant


def test_a_draft_and_its_invoice(shop: Tenant, server: Server) -> None:
    api = InvoicesApi(shop.togai)
    (draft,) = api.list_invoices().data
    assert (draft.status, draft.finalizing_status, draft.sequence_id) == ("DRAFT", "FINALIZING", None)
    assert draft.total_amount == 5.6
    set_clock(shop, at(6, 4))
    run_bill(server, shop)
    issued = api.get_invoice(draft.id)
    assert (issued.status, issued.finalizing_status, issued.sequence_id) == ("DUE", "FINALIZED", "INV-000001")
    assert (issued.invoice_class, issued.invoice_type) == ("INVOICE", "STANDARD")
    assert (issued.total_amount, issued.paid_amount, issued.net_term_days) == (5.6, 0, 14)
    assert (issued.start_date, issued.end_date) == (at(5, 1), at(6, 1))
    assert issued.end_date_inclusive < issued.end_date
    assert (issued.invoice_date, issued.due_date, issued.generated_at) == (at(6, 4), at(6, 18), at(6, 4))
    assert (issued.customer_id, issued.owner_id) == ("acme", "acme")
    assert issued.price_plan_id.startswith("pp.")
    details = issued.invoice_details
    assert (details.customer.name, details.account.invoice_currency) == ("ACME", "USD")
    assert details.organization.business_name == shop.name
    assert details.price_plan_name == "plan"
    assert (issued.usage_info, issued.revenue_info) == (None, None), "the client cannot read them"
    june, may = api.list_invoices(page_size=2).data
    assert (may.id, may.status, june.status) == (draft.id, "DUE", "DRAFT")


def test_the_tree_and_the_lines(shop: Tenant) -> None:
    listed = expect(shop.http.get("/invoices"), 200)["data"]
    answer = shop.http.get(f"/invoices/{listed[0]['id']}", headers=BROWSER)
    invoice = expect(answer, 200)
    assert answer.headers["vary"] == "User-Agent"
    assert invoice["usageInfo"] == [
        {
            "id": invoice["lines"][0]["meter"]["id"],
            "description": "tokens",
            "type": "USAGE_METER_USAGE",
            "units": "USAGE_UNITS",
            "value": 2100.5,
        }
    ]
    kinds: list[tuple[str, Any]] = []

    def walk(item: dict[str, Any]) -> None:
        kinds.append((item["type"], item["value"]))
        for inner in item.get("lineItems", ()):
            walk(inner)

    walk(invoice["revenueInfo"])
    assert kinds == [
        ("GRAND_TOTAL_AMOUNT", 5.6),
        ("TOTAL_AMOUNT", 5.6),
        ("NET_AMOUNT", 5.6),
        ("GROSS_AMOUNT", 5.6),
        ("PRICE_PLAN_AMOUNT", 5.6),
        ("SUB_TOTAL_AMOUNT", 5.5),
        ("USAGE_RATE_CARD_AMOUNT", 5.5),
        ("USAGE_RATE_CARD_SLAB_AMOUNT", 0),
        ("USAGE_RATE_CARD_SLAB_AMOUNT", 5.5025),
        ("TRUE_UP_AMOUNT", 0.1),
    ]
    usage, true_up = invoice["lines"]
    assert (usage["type"], usage["quantity"], usage["unrounded"], usage["amount"]) == (
        "USAGE_RATE_CARD", 2100.5, 5.5025, 5.5,
    )  # fmt: skip
    assert [slab["formula"] for slab in usage["slabs"]] == ["1000 x 0 = 0", "1100.5 x 0.005 = 5.5025"]
    assert (true_up["type"], true_up["amount"]) == ("TRUE_UP", 0.1)


def test_without_a_true_up_rate_cards_make_up_the_gross(shop: Tenant) -> None:
    ingest(shop.http, event("e3", "2024-05-09T12:00:00Z", tokens=1000))
    listed = expect(shop.http.get("/invoices"), 200)["data"]
    tree = expect(shop.http.get(f"/invoices/{listed[0]['id']}", headers=BROWSER), 200)["revenueInfo"]
    for kind in ("TOTAL_AMOUNT", "NET_AMOUNT", "GROSS_AMOUNT", "USAGE_RATE_CARD_AMOUNT"):
        (tree,) = tree["lineItems"]
        assert (tree["type"], tree["value"], tree["units"]) == (kind, 10.5, "USD")
    assert (tree["quantity"], tree["value"]) == (3100.5, 10.5)


@pytest.mark.parametrize(
    ("agent", "left_out"),
    [
        ("OpenAPI-Generator/1.0.3/python", True),
        ("OpenAPI-Generator/1.0.0/python", True),
        ("OpenAPI-Generator/1.1.0/python", False),
        ("OpenAPI-Generator/1.0.3/java", False),
        ("", False),
    ],
)
def test_only_the_one_client_gets_no_tree(shop: Tenant, agent: str, left_out: bool) -> None:
    listed = expect(shop.http.get("/invoices"), 200)["data"]
    answer = shop.http.get(f"/invoices/{listed[0]['id']}", headers={"user-agent": agent})
    invoice = expect(answer, 200)
    assert answer.headers["vary"] == "User-Agent"
    assert ("revenueInfo" not in invoice) is left_out
    assert ("usageInfo" not in invoice) is left_out
    assert len(invoice["lines"]) == 2


def test_lists_filter_and_page(shop: Tenant, server: Server) -> None:
    set_clock(shop, at(8, 20))
    run_bill(server, shop)
    api = InvoicesApi(shop.togai)

    def months(**filters: Any) -> list[int]:
        return [invoice.start_date.month for invoice in api.list_invoices(**filters).data]

    assert months() == [8, 7, 6, 5]
    assert months(status="DRAFT") == [8]
    assert months(status="DUE") == [7, 6, 5], "the commitment is due in empty months"
    assert months(owner_id="acme") == months(customer_id="acme") == [8, 7, 6, 5]
    assert months(owner_id="nobody") == []
    since, until = (int(at(month, 1).timestamp() * 1000) for month in (6, 8))
    assert months(start_time=since, end_time=until) == [7, 6]
    first = api.list_invoices(page_size=3, status=None)
    rest = api.list_invoices(next_token=first.next_token)
    assert [i.start_date.month for i in (*first.data, *rest.data)] == [8, 7, 6, 5]
    assert rest.next_token is None
    token = api.list_invoices(page_size=1, status="DUE").next_token
    assert [i.status for i in api.list_invoices(next_token=token, page_size=50).data] == ["DUE", "DUE"], (
        "a token carries its filters"
    )


@pytest.mark.parametrize(
    "query",
    [
        "status=LOST",
        "pageSize=0",
        "pageSize=51",
        "start_time=yesterday",
        "start_time=-1",
        "end_time=99999999999999999",
        "nextToken=x",
        "nextToken=eyJhZnRlciI6ICIneCIsICJxdWVyeSI6IHt9fQ",
        "owner_id=" + "x" * 51,
        "owner_id=%00",
    ],
)
def test_bad_queries(tenant: Tenant, query: str) -> None:
    answer = tenant.http.get(f"/invoices?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"]


def test_unknown_invoices_and_other_workspaces(shop: Tenant, server: Server) -> None:
    api = InvoicesApi(shop.togai)
    (draft,) = api.list_invoices().data
    with pytest.raises(NotFoundException):
        api.get_invoice("inv.unknown")
    with pytest.raises(BadRequestException):
        api.list_invoices(status="LOST")
    stranger = server.workspace()
    assert stranger.http.get(f"/invoices/{draft.id}").status_code == 404
    assert stranger.http.get("/invoices").json() == {"data": [], "nextToken": None}
    shop.togai.configuration.access_token = "wrong"
    with pytest.raises(UnauthorizedException):
        api.get_invoice(draft.id)
