"""Jobs with the official client: migrations and bill runs, from asking to the end."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.jobs_api import JobsApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.create_price_plan_migration_request import CreatePricePlanMigrationRequest

from bursar.runtime.jobs import run_jobs
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, expect, meter, per_unit, plan, schema

MODES = {
    "IMMEDIATE": date(2024, 5, 10),
    "IMMEDIATE_IGNORE_OVERRIDE": date(2024, 5, 10),
    "NEXT_CYCLE": date(2024, 6, 1),
    "NEXT_CYCLE_IGNORE_OVERRIDE": date(2024, 6, 1),
}


@pytest.fixture
def shop(server: Server) -> tuple[Tenant, str, str]:
    """A sandbox on 10 May 2024, three accounts on the first of two plans since 1 May."""
    tenant = server.workspace(clock=datetime(2024, 5, 10, 9, tzinfo=UTC))
    schema(tenant.http)
    cards = [card(meter(tenant.http), per_unit(0), [1])]
    one, two = plan(tenant.http, cards, name="one"), plan(tenant.http, cards, name="two")
    for name in ("a", "b", "c"):
        customer(tenant.http, f"acme-{name}")
        associate(tenant, f"acme-{name}", one)
    return tenant, one, two


def associate(tenant: Tenant, account: str, plan_id: str, **more: Any) -> None:
    body = {"pricePlanId": plan_id, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01", **more}
    expect(tenant.http.post(f"/accounts/{account}/price_plans", json=body), 200)


def migrate(tenant: Tenant, source: str, target: str | None, mode: str = "IMMEDIATE", **more: Any) -> None:
    body = {"sourceId": source, "sourceVersion": 1, "targetId": target, "migrationMode": mode, **more}
    request = CreatePricePlanMigrationRequest.from_dict({k: v for k, v in body.items() if v is not None})
    assert PricePlansApi(tenant.togai).price_plan_migration(request).success is True


def work(server: Server) -> None:
    """The worker's round."""
    assert server.run(lambda db: run_jobs(db, datetime.now(UTC))) == 0


def newest(tenant: Tenant) -> Any:
    api = JobsApi(tenant.togai)
    return api.get_job_status(api.get_jobs(page_size=1).data[0].id)


def counted(job: Any) -> tuple[str, int, int, int, int]:
    return (
        job.status, job.total_job_entries, job.pending_job_entries, job.failed_job_entries, job.completed_job_entries,
    )  # fmt: skip


def spans(tenant: Tenant, account: str) -> list[tuple[str, date]]:
    found = AccountsApi(tenant.togai).get_pricing_schedules(account).data
    return [(s.price_plan_name, s.start_date.date()) for s in found]


@pytest.mark.parametrize("mode", MODES)
def test_a_migration_with_each_mode(shop: tuple[Tenant, str, str], server: Server, mode: str) -> None:
    tenant, one, two = shop
    floor = {"displayName": "Floor", "rateValues": [{"currency": "USD", "rate": 5}]}
    associate(tenant, "acme-b", one, pricePlanDetailsOverride={"minimumCommitment": floor})
    migrate(tenant, one, two, mode)
    asked = newest(tenant)
    assert (asked.type, counted(asked)) == ("PRICE_PLAN", ("PENDING", 3, 3, 0, 0))
    assert asked.metadata["targetVersion"] == "1"
    work(server)
    done = newest(tenant)
    assert counted(done) == ("COMPLETED", 3, 0, 0, 3)
    assert done.settled_at is not None
    for account in ("acme-a", "acme-b", "acme-c"):
        assert spans(tenant, account) == [("one", date(2024, 5, 1)), ("two", MODES[mode])]
    last = AccountsApi(tenant.togai).get_pricing_schedules("acme-b").data[-1]
    assert last.is_overriden is ("IGNORE" not in mode)
    entries = JobsApi(tenant.togai).get_job_entries(done.id)
    assert [(entry.entity_id, entry.status) for entry in entries.data] == [
        (f"acme-{name}", "COMPLETED") for name in ("a", "b", "c")
    ]
    migrate(tenant, one, two, mode)
    work(server)
    again = 3 if "NEXT" in mode else 0
    assert counted(newest(tenant)) == ("COMPLETED", again, 0, 0, again)
    assert spans(tenant, "acme-a") == [("one", date(2024, 5, 1)), ("two", MODES[mode])], "nothing is left to move"


def test_a_migration_to_a_version(shop: tuple[Tenant, str, str], server: Server) -> None:
    tenant, one, _ = shop
    details = {"minimumCommitment": {"displayName": "Floor", "rateValues": [{"currency": "USD", "rate": 9}]}}
    expect(tenant.http.patch(f"/price_plans/{one}", json={"migrationMode": "NONE", "priceplanDetails": None}), 400)
    expect(tenant.http.patch(f"/price_plans/{one}", json={"migrationMode": "NONE", "pricePlanDetails": details}), 200)
    migrate(tenant, one, None, "NEXT_CYCLE")
    work(server)
    found = AccountsApi(tenant.togai).get_pricing_schedules("acme-a").data
    assert [(s.version, s.start_date.date()) for s in found] == [(1, date(2024, 5, 1)), (2, date(2024, 6, 1))]
    assert found[0].id == found[1].id


def test_what_fails_says_why_and_the_others_go_on(shop: tuple[Tenant, str, str], server: Server) -> None:
    tenant, one, two = shop
    weekly = {"interval": "WEEKLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 1}
    associate(tenant, "acme-a", one, pricePlanDetailsOverride={"pricingCycleConfig": weekly})
    migrate(tenant, one, two, "IMMEDIATE_IGNORE_OVERRIDE", retainStartOffsets=True)
    expect(tenant.http.delete("/accounts/acme-c"), 200)
    work(server)
    job = newest(tenant)
    assert counted(job) == ("FAILED", 3, 0, 2, 1)
    found = JobsApi(tenant.togai).get_job_entries(job.id).data
    assert [entry.status for entry in found] == ["FAILED", "COMPLETED", "FAILED"]
    assert "retainStartOffsets" in found[0].metadata["reason"]
    assert "archived" in found[2].metadata["reason"]
    assert spans(tenant, "acme-a") == [("one", date(2024, 5, 1))]
    assert spans(tenant, "acme-b") == [("one", date(2024, 5, 1)), ("two", date(2024, 5, 10))]


def test_confirmed_and_rejected(shop: tuple[Tenant, str, str], server: Server) -> None:
    tenant, one, two = shop
    api = JobsApi(tenant.togai)
    for decide, status in ((api.reject_job, "CANCELLED"), (api.confirm_job, "PENDING")):
        migrate(tenant, one, two, requireConfirmation=True)
        work(server)
        waiting = newest(tenant)
        assert counted(waiting) == ("WAITING_FOR_CONFIRMATION", 3, 3, 0, 0)
        assert spans(tenant, "acme-a") == [("one", date(2024, 5, 1))]
        assert decide(waiting.id).status == status
        for verb in (api.confirm_job, api.reject_job):
            with pytest.raises(BadRequestException, match=status):
                verb(waiting.id)
    expect(tenant.http.post("/bursar/v1/clock", json={"now": "2024-05-12T00:00:00Z"}), 200)
    work(server)
    assert spans(tenant, "acme-a") == [("one", date(2024, 5, 1)), ("two", date(2024, 5, 10))], "as of the confirmation"
    assert [job.status for job in api.get_jobs().data] == ["COMPLETED", "CANCELLED"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["sourceId"]),
        ({"migrationMode": "NONE"}, ["migrationMode"]),
        ({"migrationMode": "SOON"}, ["migrationMode"]),
        ({"sourceVersion": 0}, ["sourceVersion"]),
        ({"sourceVersion": "1"}, ["sourceVersion"]),
        ({"targetVersion": 0}, ["targetVersion"]),
        ({"targetId": None}, ["targetVersion", "another"]),
        ({"migrationMode": "START_OF_CURRENT_CYCLE"}, ["allow_ongoing_cycle_updates"]),
        ({"isPricePlanV2Migration": True}, ["isPricePlanV2Migration", "not supported"]),
        ({"requireConfirmation": "yes"}, ["requireConfirmation"]),
        ({"surprise": 1}, ["surprise"]),
    ],
)
def test_bad_migrations(shop: tuple[Tenant, str, str], body: dict[str, Any], words: list[str]) -> None:
    tenant, one, two = shop
    whole = {"sourceId": one, "sourceVersion": 1, "targetId": two, "migrationMode": "IMMEDIATE", **body}
    sent = {} if not body else {key: value for key, value in whole.items() if value is not None}
    answer = tenant.http.post("/price_plans/migration", json=sent)
    assert answer.status_code == 400, answer.text
    for word in words:
        assert word in answer.json()["message"]
    assert JobsApi(tenant.togai).get_jobs().data == []


def test_what_is_not_there(shop: tuple[Tenant, str, str]) -> None:
    tenant, one, two = shop
    for more in ({"sourceVersion": 2}, {"targetVersion": 2}, {"targetId": "pp.none"}, {"sourceId": "pp.none"}):
        body = {"sourceId": one, "sourceVersion": 1, "targetId": two, "migrationMode": "IMMEDIATE", **more}
        assert tenant.http.post("/price_plans/migration", json=body).status_code == 404, more
    api = JobsApi(tenant.togai)
    for verb in (api.get_job_status, api.get_job_entries, api.confirm_job, api.reject_job):
        with pytest.raises(NotFoundException):
            verb("job.none")
    for query in ("nextToken=x", "pageSize=0", "pageSize=101"):
        assert tenant.http.get(f"/jobs?{query}").status_code == 400
    assert tenant.http.get("/jobs", headers={"authorization": "x"}).status_code == 401
    assert tenant.http.get("/price_plans/migration").status_code == 405
    draft = plan(tenant.http, [card(meter(tenant.http, "m"), per_unit(0), [1])], name="draft", active=False)
    body = {"sourceId": one, "sourceVersion": 1, "targetId": draft, "migrationMode": "IMMEDIATE"}
    assert "DRAFT" in expect(tenant.http.post("/price_plans/migration", json=body), 400)["message"]


def test_an_idempotency_key_asks_once(shop: tuple[Tenant, str, str], server: Server) -> None:
    tenant, one, two = shop
    body = {"sourceId": one, "sourceVersion": 1, "targetId": two, "migrationMode": "IMMEDIATE"}
    for path, sent, status in (("/price_plans/migration", body, 201), ("/invoices/bill_runs", None, 200)):
        for _ in range(2):
            expect(tenant.http.post(path, json=sent, headers={"idempotency-key": f"key-{path}"}), status)
    assert [job.type for job in JobsApi(tenant.togai).get_jobs().data] == ["BILL_RUN", "PRICE_PLAN"]
    work(server)
    assert [job.status for job in JobsApi(tenant.togai).get_jobs().data] == ["COMPLETED", "COMPLETED"]


def test_a_bill_run(shop: tuple[Tenant, str, str], server: Server) -> None:
    tenant, _, _ = shop
    api = InvoicesApi(tenant.togai)
    assert api.list_invoices_for_bill_run().data == [], "no grace has ended"
    api.create_invoice_bill_run()
    work(server)
    assert counted(newest(tenant)) == ("COMPLETED", 0, 0, 0, 0)

    async def forward(db: Any) -> None:
        async with db.transaction(None) as connection:
            statement = "update workspace set clock_at = $2 where key = $1"
            await connection.execute(statement, tenant.caller.workspace, datetime(2024, 6, 5, tzinfo=UTC))

    server.run(forward)  # not by its door, behind which everything that is due is run at once
    due = api.list_invoices_for_bill_run().data
    assert sorted(one.owner_id for one in due) == ["acme-a", "acme-b", "acme-c"]
    assert {(one.status, one.start_date.date()) for one in due} == {("DRAFT", date(2024, 5, 1))}
    assert [one.owner_id for one in api.list_invoices_for_bill_run(owner_id="acme-b").data] == ["acme-b"]
    assert api.list_invoices_for_bill_run(status="DUE").data == []
    page = api.list_invoices_for_bill_run(page_size=2)
    rest = api.list_invoices_for_bill_run(next_token=page.next_token)
    assert [one.id for one in (*page.data, *rest.data)] == [one.id for one in due]
    api.create_invoice_bill_run(require_confirmation=True)
    work(server)
    assert len(api.list_invoices_for_bill_run().data) == 3, "nothing happens before it is confirmed"
    JobsApi(tenant.togai).confirm_job(newest(tenant).id)
    work(server)
    job = newest(tenant)
    assert (job.type, counted(job)) == ("BILL_RUN", ("COMPLETED", 3, 0, 0, 3))
    entries = JobsApi(tenant.togai).get_job_entries(job.id).data
    assert sorted(entry.entity_id for entry in entries) == sorted(one.id for one in due)
    assert api.list_invoices_for_bill_run().data == []
    assert {tenant.http.get(f"/invoices/{one.id}").json()["status"] for one in due} == {"PAID"}


@pytest.mark.parametrize("query", ["pageSize=51", "status=MAYBE", "start_time=x", "nextToken=x"])
def test_bad_queries_of_bill_runs(shop: tuple[Tenant, str, str], query: str) -> None:
    assert shop[0].http.get(f"/invoices/bill_runs?{query}").status_code == 400
    assert shop[0].http.post("/invoices/bill_runs?require_confirmation=maybe").status_code == 400
