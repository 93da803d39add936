"""Corrections of events with the official client and with others: usage, drafts and feature credits follow."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from togai_client.api.event_management_api import EventManagementApi
from togai_client.api.jobs_api import JobsApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.event_correction_request import EventCorrectionRequest

from bursar.ledger.verify import CHECKS as LEDGER
from bursar.purchases.verify import CHECKS as GRANTS
from bursar.usage.verify import CHECKS as USAGE
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema, status_of
from tests.http.togai.test_entitlements import Shop, shop
from tests.http.togai.test_invoices import run_bill, set_clock
from tests.http.togai.test_jobs import counted, newest, work

__all__ = ["shop"]

NOON = "2024-05-10T12:00:00Z"


@pytest.fixture
def books(server: Server) -> Tenant:
    """May 2024: tokens at a tenth each, for two accounts."""
    tenant = server.workspace(clock=datetime(2024, 5, 12, tzinfo=UTC))
    schema(tenant.http)
    made = plan(tenant.http, [card(meter(tenant.http), per_unit(0), ["0.1"])])
    for name in ("acme", "other"):
        customer(tenant.http, name)
        body = {"pricePlanId": made, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
        expect(tenant.http.post(f"/accounts/{name}/price_plans", json=body), 200)
    return tenant


def problems(server: Server, tenant: Tenant) -> list[str]:
    return server.broken(tenant, (*USAGE, *GRANTS, *LEDGER))


def owed(tenant: Tenant, account: str = "acme") -> Decimal:
    """What the account's draft of May comes to."""
    found = expect(tenant.http.get("/invoices", params={"owner_id": account, "status": "DRAFT"}), 200)["data"]
    (draft,) = [one for one in found if one["startDate"].startswith("2024-05-01")]
    return Decimal(str(draft["totalAmount"]))


def by_client(tenant: Tenant, action: str, sent: dict[str, Any] | None, **more: Any) -> list[Any]:
    request = None if sent is None else EventCorrectionRequest.from_dict({"event": sent})
    answer = EventManagementApi(tenant.togai).event_correction(action, event_correction_request=request, **more)
    return list(answer.data)


def correct(tenant: Tenant, action: str, status: int = 200, body: Any = None, **query: Any) -> Any:
    options = {} if body is None else {"json": body}
    return expect(tenant.http.post("/events/correction", params={"action": action, **query}, **options), status)


def outcome(answer: Any) -> list[tuple[str, str]]:
    return [(one["eventPayload"]["id"], one["status"]) for one in answer["data"]]


def test_an_event_is_undone(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", NOON, tokens=5), event("two", NOON, tokens=7))
    assert owed(books) == Decimal("1.2")
    (one,) = by_client(books, "UNDO", event("one", NOON, tokens=5))
    assert (one.status, one.ingestion_status.status, one.event_payload.id) == ("REVERTED", "REVERTED", "one")
    assert one.customer_id == "acme"
    assert owed(books) == Decimal("0.7")
    assert status_of(books.http, "one") == ["REVERTED"]
    (again,) = by_client(books, "UNDO", event("one", NOON, tokens=5))
    assert (again.status, again.reason) == ("FAILED", "The event was undone before")
    assert owed(books) == Decimal("0.7")
    ingest(books.http, event("one", NOON, tokens=5))
    assert status_of(books.http, "one") == ["REVERTED", "FAILED_DUPLICATE_EVENT"], "its id is used for ever"
    assert problems(server, books) == []


def test_an_event_is_let_in_anew_by_the_rules_of_now(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", NOON, tokens=5))
    words = meter(books.http, "calls", aggregation="COUNT", computations=None)
    seen = expect(books.http.get("/events/one"), 200)["events"][0]["eventPipelineInfo"]["usageMeters"]
    assert len(seen) == 1
    (one,) = by_client(books, "REDO", event("one", NOON, tokens=5))
    assert (one.status, one.ingestion_status.status) == ("REVERTED_AND_REINGESTED", "INGESTION_COMPLETED_EVENT_METERED")
    assert status_of(books.http, "one") == ["COMPLETED_EVENT_METERED", "REVERTED"]
    seen = expect(books.http.get("/events/one"), 200)["events"][0]["eventPipelineInfo"]["usageMeters"]
    assert {entry["id"] for entry in seen} >= {words}
    assert len(seen) == 2
    assert owed(books) == Decimal("0.5"), "its tokens count once"
    expect(books.http.post("/event_schema/llm/deactivate"), 400)
    assert problems(server, books) == []


def test_an_event_gets_another_content(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", NOON, tokens=5), event("two", NOON, tokens=1))
    (one,) = by_client(books, "REDO_EVENT", event("one", "2024-05-11T00:00:00Z", tokens=9, account="other"))
    assert one.status == "REVERTED_AND_REINGESTED"
    assert (owed(books), owed(books, "other")) == (Decimal("0.1"), Decimal("0.9"))
    nobody = event("one", NOON, tokens=3, account="nobody")
    (failed,) = by_client(books, "REDO_EVENT", nobody)
    assert failed.status == "FAILED"
    assert "No account has this id" in failed.reason
    assert status_of(books.http, "one") == ["COMPLETED_EVENT_METERED", "REVERTED"], "nothing of it has changed"
    with pytest.raises(NotFoundException):
        by_client(books, "REDO_EVENT", event("unknown", NOON))
    # Moved by its own id: the content may leave it out.
    unnamed = {"event": event(None, NOON, tokens=2)}
    assert outcome(correct(books, "REDO_EVENT", body=unnamed, event_id="one")) == [("one", "REVERTED_AND_REINGESTED")]
    assert (owed(books), owed(books, "other")) == (Decimal("0.3"), Decimal("0"))
    assert "event.id" in correct(books, "REDO_EVENT", 400, {"event": event("x", NOON)}, event_id="one")["message"]
    assert problems(server, books) == []


def test_what_is_invoiced_stays(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", NOON, tokens=5))
    set_clock(books, datetime(2024, 6, 5, tzinfo=UTC))
    run_bill(server, books)
    for action in ("UNDO", "REDO", "REDO_EVENT"):
        (one,) = by_client(books, action, event("one", NOON, tokens=6))
        assert (one.status, one.reason) == ("FAILED", "Event was ingested in past pricing cycle")
    june = event("june", "2024-06-02T00:00:00Z", tokens=4)
    ingest(books.http, june)
    (back,) = by_client(books, "REDO_EVENT", {**june, "timestamp": "2024-05-31T00:00:00+00:00"})
    assert back.status == "FAILED", "it cannot be moved into an invoiced period either"
    assert status_of(books.http, "one") == status_of(books.http, "june") == ["COMPLETED_EVENT_METERED"]
    assert problems(server, books) == []


def test_many_events_the_latest_first(books: Tenant, server: Server) -> None:
    at = [f"2024-05-{1 + n // 4:02d}T0{n % 4}:00:00Z" for n in range(36)]
    twins = [event(f"twin-{name}", "2024-05-10T00:00:00Z") for name in "cab"]
    ingest(books.http, *twins, *(event(f"e{n:02d}", moment) for n, moment in enumerate(at)))
    ingest(books.http, event("foreign", NOON, account="other"), event("bad", NOON, dimensions={}))
    assert owed(books) == Decimal("3.9")
    first = correct(books, "UNDO", account_id="acme")
    latest = ["twin-a", "twin-b", "twin-c", *(f"e{n:02d}" for n in range(35, 8, -1))]
    assert outcome(first) == [(name, "REVERTED") for name in latest]
    assert owed(books) == Decimal("0.9")
    assert owed(books, "other") == Decimal("0.1")
    span: dict[str, Any] = {"account_id": "acme", "event_source_time": f"{at[2]},{at[5]}"}
    assert outcome(correct(books, "UNDO", **span)) == [(f"e{n:02d}", "REVERTED") for n in (4, 3, 2)]
    assert outcome(correct(books, "UNDO", account_id="acme", event_source_time=f",{at[1]}")) == [("e00", "REVERTED")]
    kept = expect(books.http.get("/events/e01"), 200)["events"][0]["referenceId"]
    assert outcome(correct(books, "REDO", id=kept)) == [("e01", "REVERTED_AND_REINGESTED")]
    correct(books, "REDO", 404, id=kept)
    assert outcome(correct(books, "UNDO", event_id="bad")) == [("bad", "FAILED")]
    assert problems(server, books) == []


def test_any_number_by_a_job(books: Tenant, server: Server) -> None:
    ingest(books.http, *(event(f"e{n:02d}", NOON) for n in range(33)))
    (waiting,) = by_client(books, "UNDO", event("e00", NOON), require_confirmation=True)
    assert waiting.ingestion_status.status == "INGESTION_COMPLETED_EVENT_METERED"
    assert newest(books).id in waiting.reason
    work(server)
    assert counted(newest(books)) == ("WAITING_FOR_CONFIRMATION", 1, 1, 0, 0)
    JobsApi(books.togai).confirm_job(newest(books).id)
    work(server)
    assert counted(newest(books)) == ("COMPLETED", 1, 0, 0, 1)
    assert owed(books) == Decimal("3.2")
    every: dict[str, Any] = {"account_id": "acme", "async": "true"}
    assert len(correct(books, "UNDO", 200, None, **every)["data"]) == 30
    correct(books, "UNDO", event_id="e31")
    work(server)
    job = newest(books)
    assert (job.type, counted(job)) == ("EVENT_CORRECTIONS", ("FAILED", 32, 0, 1, 31))
    failed = [one for one in JobsApi(books.togai).get_job_entries(job.id).data if one.status == "FAILED"]
    assert [one.metadata["reason"] for one in failed] == ["The event was undone before"]
    assert owed(books) == 0
    assert problems(server, books) == []


def test_what_an_event_took_comes_back(shop: Shop, server: Server) -> None:
    meter(shop.tenant.http)
    shop.give("later", "10", end=datetime(2024, 5, 20, tzinfo=UTC))
    shop.give("sooner", "2.5", end=datetime(2024, 5, 15, tzinfo=UTC))
    shop.use("one", 4)
    assert shop.left() == 8.5
    assert outcome(correct(shop.tenant, "UNDO", event_id="one")) == [("one", "REVERTED")]
    assert shop.entries() == {"later": ("ACTIVE", 10, 0, 10), "sooner": ("ACTIVE", 2.5, 0, 2.5)}
    shop.use("two", 5)
    body = {"event": event("two", NOON, tokens=12)}
    assert outcome(correct(shop.tenant, "REDO_EVENT", body=body)) == [("two", "REVERTED_AND_REINGESTED")]
    assert shop.left() == 0.5
    (refused,) = correct(shop.tenant, "REDO_EVENT", body={"event": event("two", NOON, tokens=13)})["data"]
    assert refused["status"] == "FAILED"
    assert "has 12.5 of feature" in refused["reason"]
    assert shop.left() == 0.5
    expect(shop.tenant.http.post(f"/accounts/acme/features/{shop.feature}/entries/later/void"), 200)
    assert outcome(correct(shop.tenant, "UNDO", event_id="two")) == [("two", "REVERTED")]
    assert shop.left() == 2.5, "what was voided stays void"
    assert shop.problems() == problems(server, shop.tenant) == []


def test_what_cannot_be_asked(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", NOON))
    with pytest.raises(BadRequestException):
        EventManagementApi(books.togai).event_correction("REDO_EVENT")
    with pytest.raises(BadRequestException):
        EventManagementApi(books.togai).event_correction("UNDO")
    cases: list[tuple[int, str, dict[str, Any]]] = [
        (400, "action", {"action": "FORGET"}),
        (400, "event_id", {}),
        (404, "nobody", {"account_id": "nobody"}),
        (404, "event", {"event_id": "nothing"}),
        (404, "event", {"id": "nothing"}),
        (404, "event", {"id": "event.1.99999999999"}),
        (404, "event", {"account_id": "other", "event_id": "one"}),
        (400, "event_source_time", {"account_id": "acme", "event_source_time": NOON}),
        (400, "event_source_time", {"account_id": "acme", "event_source_time": f"{NOON},{NOON}"}),
        (400, "event_source_time", {"account_id": "acme", "event_source_time": "soon,"}),
    ]
    for status, word, query in cases:
        assert word in correct(books, **{"action": "UNDO", "status": status, **query})["message"], query
    expect(books.http.post("/events/correction"), 400)
    stranger = server.workspace(clock=datetime(2024, 5, 12, tzinfo=UTC))
    lies = expect(books.http.get("/events/one"), 200)["events"][0]["referenceId"]
    asked: list[dict[str, Any]] = [{"event_id": "one"}, {"id": lies}, {"account_id": "acme"}]
    for query in asked:
        correct(stranger, "UNDO", 404, **query)
    assert status_of(books.http, "one") == ["COMPLETED_EVENT_METERED"]


_steps = st.lists(
    st.tuples(st.sampled_from(["SEND", "UNDO", "REDO", "REDO_EVENT"]), st.integers(0, 2), st.integers(0, 50)),
    min_size=1, max_size=12,
)  # fmt: skip
_runs = itertools.count()


@settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(steps=_steps)
def test_the_total_is_that_of_the_last_word_on_each_event(books: Tenant, server: Server, steps: Any) -> None:
    run, before = next(_runs), owed(books)
    holds: dict[int, Decimal | None] = {}
    for action, number, tokens in steps:
        sent = event(f"{run}-{number}", NOON, tokens=tokens)
        if action == "SEND":
            ingest(books.http, sent)
            holds.setdefault(number, Decimal(tokens))
        elif number in holds:
            (status,) = (one["status"] for one in correct(books, action, body={"event": sent})["data"])
            assert (status == "FAILED") == (holds[number] is None)
            if holds[number] is not None and action != "REDO":
                holds[number] = None if action == "UNDO" else Decimal(tokens)
    assert owed(books) - before == sum((amount for amount in holds.values() if amount is not None), Decimal(0)) / 10
    assert problems(server, books) == []


def test_corrections_at_once_correct_once(books: Tenant, server: Server) -> None:
    ingest(books.http, *(event(f"e{n}", NOON, tokens=10) for n in range(4)))
    queries = [
        *({"event_id": f"e{n}"} for n in range(4) for _ in range(4)),
        *({"account_id": "acme"} for _ in range(2)),
    ]

    def undo(query: dict[str, str]) -> Any:
        while True:
            answer = books.http.post("/events/correction", params={"action": "UNDO", **query})
            if answer.status_code != 503:  # more at once than connections serve soon
                break
        # Of an account only events are found that were not undone yet.
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else {"data": []}

    with ThreadPoolExecutor(len(queries)) as pool:
        answers = list(pool.map(undo, queries))
    done = [pair for answer in answers for pair in outcome(answer) if pair[1] == "REVERTED"]
    assert sorted(done) == [(f"e{n}", "REVERTED") for n in range(4)]
    assert owed(books) == 0
    assert problems(server, books) == []
