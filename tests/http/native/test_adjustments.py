"""Corrections of what is invoiced: usage follows at once, the money on the next invoice, to the cent."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bursar.accounts.workspaces import caller_of, workspace_at
from bursar.db.database import Database
from bursar.invoicing.billing import bill
from bursar.invoicing.verify import CHECKS as INVOICES
from bursar.ledger.verify import CHECKS as LEDGER
from bursar.purchases.verify import CHECKS as GRANTS
from bursar.usage.verify import CHECKS as USAGE
from tests.conftest import Server, Tenant
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema, status_of
from tests.http.togai.test_invoices import set_clock

MAY, JUNE, JULY = ("2024-05-10T12:00:00Z", "2024-06-10T12:00:00Z", "2024-07-10T12:00:00Z")
CENT = Decimal("0.01")
EXAMPLES = int(os.environ.get("BURSAR_ORDERS", "3"))
"""Orders of arrival and correction that are tried."""


def problems(server: Server, tenant: Tenant) -> list[str]:
    return server.broken(tenant, (*USAGE, *GRANTS, *LEDGER, *INVOICES))


def shop(server: Server, *rates: str, commitment: Any = None) -> Tenant:
    """May 2024: two accounts whose tokens cost the first rate, and the second one beyond the hundredth."""
    tenant = server.workspace(clock=datetime(2024, 5, 12, tzinfo=UTC))
    schema(tenant.http)
    more = {} if commitment is None else {"commitment": commitment}
    made = plan(tenant.http, [card(meter(tenant.http), per_unit(*(0, 100)[: len(rates)]), list(rates))], **more)
    for name in ("acme", "other"):
        customer(tenant.http, name)
        body = {"pricePlanId": made, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
        expect(tenant.http.post(f"/accounts/{name}/price_plans", json=body), 200)
    return tenant


@pytest.fixture
def books(server: Server) -> Iterator[Tenant]:
    tenant = shop(server, "0.1")
    yield tenant
    assert problems(server, tenant) == []


def issue(server: Server, tenant: Tenant, month: int) -> None:
    """Invoice everything before `month` of 2024."""
    set_clock(tenant, datetime(2024, month, 5, tzinfo=UTC))
    run(server, tenant)


def run(server: Server, tenant: Tenant) -> None:
    """A bill run."""

    async def work(db: Database) -> None:
        async with db.transaction(None) as connection:
            caller = caller_of(await workspace_at(connection, tenant.caller.workspace), datetime.now(UTC), "test")
        await bill(db, caller)

    server.run(work)


def exact(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return msgspec.json.Decoder(float_hook=Decimal).decode(answer.content)


def correct(tenant: Tenant, action: str, status: int = 200, **more: Any) -> Any:
    return exact(tenant.http.post("/bursar/v1/corrections", json={"action": action, **more}), status)


def single(tenant: Tenant, action: str, **more: Any) -> tuple[bool, str, list[Any]]:
    """Of one event: whether it was done, its state, and the amounts of the adjustments."""
    (one,) = correct(tenant, action, **more)["outcomes"]
    return one["done"], one["state"], [Decimal(entry["amount"]) for entry in one["adjustments"]]


def replay(tenant: Tenant, **which: Any) -> list[bool]:
    """Whether refused events were let in, whatever is invoiced."""
    body = {**which, "adjust": True}
    told = expect(tenant.http.post("/bursar/v1/ingest/rejected/replay", json=body), 200)
    return [one["replayed"] for one in told["outcomes"]]


def newest(tenant: Tenant) -> Decimal:
    """The amount of the newest adjustment."""
    return Decimal(adjustments(tenant, limit=1)[0]["amount"])


def adjustments(tenant: Tenant, **query: Any) -> Any:
    return exact(tenant.http.get("/bursar/v1/adjustments", params=query))["adjustments"]


def invoices(tenant: Tenant, account: str = "acme") -> list[Any]:
    """The documents of an account's invoices, drafts included, in order."""
    found = expect(tenant.http.get("/invoices", params={"owner_id": account, "pageSize": 50}), 200)["data"]
    documents = [exact(tenant.http.get(f"/bursar/v1/invoices/{one['id']}"))["document"] for one in found]
    return sorted(documents, key=lambda one: one["startDate"])


def totals(tenant: Tenant, account: str = "acme") -> list[Decimal]:
    return [Decimal(one["total"]) for one in invoices(tenant, account)]


def test_an_undone_event_is_given_back_on_the_next_invoice(books: Tenant) -> None:
    ingest(books.http, event("one", MAY, tokens=50), event("two", MAY, tokens=7))
    assert single(books, "UNDO", eventId="two") == (True, "REVERTED", []), "a draft follows by itself"
    ingest(books.http, event("three", MAY, tokens=3))
    assert totals(books) == [Decimal("5.3")]


def test_what_it_says_and_where_it_goes(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", MAY, tokens=50), event("two", MAY, tokens=7))
    issue(server, books, 6)
    ingest(books.http, event("june", "2024-06-02T00:00:00Z", tokens=100))
    (failed,) = expect(books.http.post("/events/correction", params={"action": "UNDO", "event_id": "two"}), 200)["data"]
    assert failed["status"] == "FAILED", "the other door leaves what is invoiced"
    before = invoices(books)[0]
    (told,) = correct(books, "UNDO", eventId="two")["outcomes"]
    (made,) = told["adjustments"]
    assert (told["done"], told["state"], told["eventId"]) == (True, "REVERTED", "two")
    assert (made["accountId"], made["amount"], made["waiting"], made["takenBy"]) == (
        "acme", Decimal("-0.7"), Decimal("-0.7"), [],
    )  # fmt: skip
    terms = made["terms"]
    assert (terms["invoiceId"], terms["invoiceSequenceId"]) == (before["id"], before["sequenceId"])
    assert (terms["eventId"], terms["eventReference"], terms["action"]) == ("two", told["reference"], "UNDO")
    assert (terms["before"], terms["after"], terms["amount"]) == (Decimal("5.7"), 5, Decimal("-0.7"))
    assert [(one["name"], one["quantity"]) for one in terms["usage"]] == [("tokens", -7)]
    assert status_of(books.http, "two") == ["REVERTED"]
    again = correct(books, "UNDO", eventId="two")["outcomes"][0]
    assert (again["done"], again["reason"], again["adjustments"]) == (False, "The event was undone before", [])

    may, june = invoices(books)
    assert may == before, "what was issued stays"
    line = june["lines"][-1]
    assert (line["number"], line["type"], line["amount"], june["total"]) == (
        2, "ADJUSTMENT", Decimal("-0.7"), Decimal("9.3"),
    )  # fmt: skip
    assert line["adjustment"] == terms
    assert line["description"] == f"Adjustment of {before['sequenceId']}: event two undone"
    assert line["formula"] == f"tokens -7: {before['sequenceId']} comes to 5 instead of 5.7 = -0.7"
    issue(server, books, 7)
    (taken,) = adjustments(books, invoiceId=before["id"])
    assert (taken["waiting"], taken["takenBy"]) == (0, [{"invoiceId": june["id"], "amount": Decimal("-0.7")}])
    shown = expect(books.http.get(f"/invoices/{june['id']}"), 200)
    assert "Adjustment of" in str(shown["revenueInfo"])
    assert Decimal(str(shown["totalAmount"])) == Decimal("9.3")
    assert adjustments(books, waiting=True) == adjustments(books, accountId="other") == []
    assert totals(books) == [Decimal("5.7"), Decimal("9.3"), 0]


def test_more_than_the_next_invoices_come_to(books: Tenant, server: Server) -> None:
    ingest(books.http, event("big", MAY, tokens=10_000), event("small", MAY, tokens=1))
    issue(server, books, 6)
    assert single(books, "UNDO", eventId="big") == (True, "REVERTED", [-1000])
    content = event("small", MAY, tokens=101)
    assert single(books, "REDO_EVENT", event=content) == (True, "COMPLETED_EVENT_METERED", [10])
    ingest(books.http, event("june", "2024-06-04T00:00:00Z", tokens=3000))
    issue(server, books, 7)
    ingest(books.http, event("july", "2024-07-04T00:00:00Z", tokens=2000))
    issue(server, books, 8)
    assert totals(books) == [Decimal("1000.1"), 0, 0, 0]
    june, july = invoices(books)[1:3]
    assert [line["amount"] for line in june["lines"]] == [300, 10, -310], "what adds comes first"
    assert june["lines"][2]["formula"].endswith("of which -310 is taken here")
    assert [line["amount"] for line in july["lines"]] == [200, -200]
    (waiting,) = adjustments(books, waiting=True)
    assert (waiting["amount"], waiting["waiting"]) == (-1000, -490)
    assert [one["amount"] for one in waiting["takenBy"]] == [-310, -200]


def test_slabs_and_commitment_decide_what_an_event_was_worth(server: Server) -> None:
    books = shop(server, "0.1", "0.03", commitment=5)
    ingest(books.http, event("a", MAY, tokens=30), event("b", MAY, tokens="90.5"))
    issue(server, books, 6)
    assert totals(books)[0] == Decimal("10.61"), "100 x 0.1 + 20.5 x 0.03, rounded down"
    assert single(books, "UNDO", eventId="a")[2] == [Decimal("-1.56")], "90.5 x 0.1 = 9.05 is left"
    assert single(books, "UNDO", eventId="b")[2] == [Decimal("-4.05")], "the commitment of 5 stays"
    assert replay(books, ids=["b"]) == [False]
    late = event("c", MAY, tokens=40)
    ingest(books.http, late)
    assert status_of(books.http, "c") == ["FAILED_PAST_GRACE_PERIOD"]
    (told,) = expect(books.http.get("/bursar/v1/ingest/rejected"), 200)["events"]
    assert (told["replayable"], "with adjust" in told["fix"]) == (True, True)
    answer = books.http.post("/bursar/v1/ingest/rejected/replay", json={"ids": ["c"], "backfill": True})
    assert expect(answer, 200)["replayed"] == 0, "not without"
    assert (replay(books, ids=["c"]), newest(books)) == ([True], Decimal(0)), "within the commitment"
    assert status_of(books.http, "c") == ["COMPLETED_EVENT_METERED"]
    assert replay(books, ids=["c"]) == [False], "once"
    ingest(books.http, event("d", MAY, tokens=100))
    assert (replay(books, filter={}), newest(books)) == ([True], Decimal("6.2")), "100 x 0.1 + 40 x 0.03 - 5"
    assert adjustments(books, limit=1)[0]["terms"]["action"] == "REPLAY"
    balance = expect(books.http.get("/bursar/v1/ingest/balance"), 200)
    assert (balance["received"], balance["metered"], balance["reverted"], balance["rejected"]) == (4, 2, 2, 0)
    issue(server, books, 7)
    assert totals(books)[:2] == [Decimal("10.61"), Decimal("5.59")]
    assert problems(server, books) == []


def test_an_event_that_moves_adjusts_both_sides(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", MAY, tokens=50), event("other", MAY, tokens=20, account="other"))
    issue(server, books, 6)
    moved = event("one", "2024-05-20T00:00:00Z", tokens=60, account="other")
    (told,) = correct(books, "REDO_EVENT", event=moved)["outcomes"]
    assert {one["accountId"]: one["amount"] for one in told["adjustments"]} == {"acme": -5, "other": 6}
    ahead = event("one", JUNE, tokens=70)
    set_clock(books, datetime(2024, 6, 15, tzinfo=UTC))
    assert single(books, "REDO_EVENT", event=ahead)[2] == [-6], "of June there is but a draft"
    assert totals(books) == [5, 2], "7 for June less 5"
    assert totals(books, "other") == [2, 0]
    assert single(books, "REDO_EVENT", event={**ahead, "timestamp": "2024-06-11T00:00:00Z"})[2] == []
    (nobody,) = correct(books, "REDO_EVENT", event={**ahead, "accountId": "nobody"})["outcomes"]
    assert (nobody["done"], nobody["adjustments"]) == (False, [])
    assert "No account has this id" in nobody["reason"]


def test_what_was_taken_back_is_not_adjusted(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", MAY, tokens=50))
    issue(server, books, 6)
    may = invoices(books)[0]
    expect(books.http.patch(f"/invoices/{may['id']}", json={"status": "VOID"}), 200)
    (told,) = correct(books, "UNDO", eventId="one")["outcomes"]
    assert told["done"] is False
    assert "was taken back" in told["reason"]
    assert status_of(books.http, "one") == ["COMPLETED_EVENT_METERED"], "nothing of it has changed"
    assert adjustments(books) == []


def test_a_custom_invoice_takes_it_where_there_is_no_other(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", MAY, tokens=50))
    ends = {"mode": "DISASSOCIATE", "effectiveFrom": "2024-06-01", "effectiveUntil": "9999-01-01"}
    expect(books.http.post("/accounts/acme/price_plans", json=ends), 200)
    issue(server, books, 6)
    assert single(books, "REDO_EVENT", event=event("one", MAY, tokens=80))[2] == [3]
    assert len(invoices(books)) == 1
    asked = {
        "accountId": "acme", "startDate": "2024-06-01T00:00:00Z", "endDate": "2024-06-02T00:00:00Z", "status": "DUE",
        "lineItems": [{"id": "x", "value": 1}],
    }  # fmt: skip
    expect(books.http.post("/invoices", json=asked), 201)
    assert totals(books) == [5, 4]
    assert adjustments(books, waiting=True) == []


def test_many_of_an_account_and_by_where_they_lie(books: Tenant, server: Server) -> None:
    ingest(books.http, *(event(f"e{n}", f"2024-05-0{n}T00:00:00Z", tokens=10 * n) for n in range(1, 6)))
    issue(server, books, 6)
    span: dict[str, Any] = {"accountId": "acme", "startsAt": "2024-05-02T00:00:00Z", "endsAt": "2024-05-05T00:00:00Z"}
    told = correct(books, "UNDO", **span)["outcomes"]
    assert [(one["eventId"], one["adjustments"][0]["amount"]) for one in told] == [("e4", -4), ("e3", -3), ("e2", -2)]
    first = adjustments(books, limit=2)
    page = exact(books.http.get("/bursar/v1/adjustments", params={"limit": 2}))
    assert [one["amount"] for one in first] == [-2, -3]
    rest = exact(books.http.get("/bursar/v1/adjustments", params={"limit": 2, "after": page["next"]}))
    assert ([one["amount"] for one in rest["adjustments"]], rest["next"]) == ([-4], None)
    lies = expect(books.http.get("/events/e1"), 200)["events"][0]["referenceId"]
    assert single(books, "REDO", reference=lies)[2] == [], "as it was"
    key = {"idempotency-key": "once"}
    asked = {"action": "UNDO", "eventId": "e5"}
    twice = [books.http.post("/bursar/v1/corrections", json=asked, headers=key).json() for _ in range(2)]
    assert twice[0] == twice[1]
    assert twice[0]["outcomes"][0]["done"] is True


def test_what_cannot_be_asked(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", MAY))
    cases: list[tuple[int, str, dict[str, Any]]] = [
        (400, "action", {"action": "FORGET"}),
        (400, "eventId", {"action": "UNDO"}),
        (400, "event", {"action": "REDO_EVENT", "accountId": "acme"}),
        (400, "event", {"action": "REDO_EVENT", "eventId": "one"}),
        (400, "event", {"action": "UNDO", "event": event("one", MAY)}),
        (400, "endsAt", {"action": "UNDO", "accountId": "acme", "startsAt": MAY, "endsAt": MAY}),
        (404, "nobody", {"action": "UNDO", "accountId": "nobody"}),
        (404, "event", {"action": "UNDO", "eventId": "nothing"}),
        (404, "event", {"action": "UNDO", "reference": "nothing"}),
        (404, "event", {"action": "UNDO", "reference": "event.1.99999999999"}),
        (404, "event", {"action": "UNDO", "accountId": "other", "eventId": "one"}),
    ]
    for status, word, body in cases:
        assert word in str(correct(books, **{"status": status, **body})), body
    assert exact(books.http.get("/bursar/v1/adjustments", params={"after": "x"}), 400)["status"] == 400
    stranger = server.workspace(clock=datetime(2024, 5, 12, tzinfo=UTC))
    lies = expect(books.http.get("/events/one"), 200)["events"][0]["referenceId"]
    for query in ({"eventId": "one"}, {"reference": lies}, {"accountId": "acme"}):
        correct(stranger, "UNDO", 404, **query)
    assert status_of(books.http, "one") == ["COMPLETED_EVENT_METERED"]


def test_corrections_while_invoices_are_issued(books: Tenant, server: Server) -> None:
    """Whichever comes first, an event is charged for once or not at all."""
    ingest(books.http, *(event(f"e{n}", MAY, tokens=10) for n in range(16)))
    set_clock(books, datetime(2024, 6, 5, tzinfo=UTC))

    def undo(number: int) -> bool:
        while (answer := books.http.post("/bursar/v1/corrections", json=asked[number])).status_code == 503:
            pass
        return bool(expect(answer, 200)["outcomes"][0]["done"])

    asked = [{"action": "UNDO", "eventId": f"e{n % 12}"} for n in range(24)]
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(undo, number) for number in range(len(asked))]
        run(server, books)
        assert sum(one.result() for one in done) == 12
    run(server, books)
    waiting = sum((Decimal(one["waiting"]) for one in adjustments(books)), Decimal(0))
    (may,) = [one for one in invoices(books) if one["startDate"].startswith("2024-05")]
    assert may["sequenceId"] is not None
    assert may["total"] + waiting == 4, "four events are left"


def test_a_correction_waits_for_whoever_issues_its_invoice(books: Tenant, server: Server) -> None:
    """Or it would see a draft, and the invoice would be drawn up without it."""
    ingest(books.http, event("one", MAY, tokens=50))
    issue(server, books, 6)
    issued = "select key from bursar.invoice where workspace = %s and status <> 'DRAFT' for no key update"
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(server.dsn) as holder:
            assert holder.execute(issued, [books.caller.workspace]).fetchall()
            told = pool.submit(single, books, "UNDO", eventId="one")
            time.sleep(0.5)
            assert not told.done()
        assert told.result() == (True, "REVERTED", [-5])


def test_one_that_cannot_be_adjusted_holds_nobody_up(books: Tenant, server: Server) -> None:
    ingest(books.http, event("one", MAY, tokens=50))
    issue(server, books, 6)
    expect(books.http.patch(f"/invoices/{invoices(books)[0]['id']}", json={"status": "VOID"}), 200)
    ingest(books.http, event("mine", MAY, tokens=10), event("yours", MAY, tokens=20, account="other"))
    told = books.http.post("/bursar/v1/ingest/rejected/replay", json={"ids": ["mine", "yours"], "adjust": True})
    first, second = expect(told, 200)["outcomes"]
    assert (first["replayed"], first["state"], second["replayed"]) == (False, "FAILED_PAST_GRACE_PERIOD", True)
    assert "was taken back" in first["description"]
    assert [(one["accountId"], one["amount"]) for one in adjustments(books)] == [("other", 2)]


MONTHS = {5: MAY, 6: JUNE, 7: JULY}


def worth(tokens: Decimal) -> Decimal:
    """What a month comes to: a tenth for each of the first hundred, 0.03 beyond, at least 5."""
    usage = min(tokens, Decimal(100)) / 10 + max(tokens - 100, Decimal(0)) * 3 / 100
    return max(usage.quantize(CENT, ROUND_DOWN), Decimal(5))


_tokens = st.integers(0, 200_000).map(lambda n: Decimal(n) / 1000)
_steps = st.lists(
    st.one_of(
        st.just(("BILL",)),
        st.tuples(
            st.sampled_from(["SEND", "SEND", "UNDO", "REDO", "REDO_EVENT", "REPLAY"]), st.integers(0, 4),
            st.sampled_from([5, 6]), st.sampled_from(["acme", "other"]), _tokens,
        ),
    ),
    min_size=4, max_size=14,
)  # fmt: skip


# As it fails: to make an example of bill runs smaller takes minutes.
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(steps=_steps)
def test_any_order_of_arrival_and_correction_bills_the_same_total(server: Server, steps: Any) -> None:
    books = shop(server, "0.1", "0.03", commitment=5)
    holds: dict[str, tuple[str, int, Decimal] | None] = {}
    refused: dict[str, tuple[str, int, Decimal]] = {}
    billed = 5
    for step in steps:
        if step == ("BILL",):
            if billed < 7:
                billed += 1
                issue(server, books, billed)
            continue
        action, number, month, account, tokens = step
        name, place = f"e{number}", (account, month, tokens)
        sent = event(name, MONTHS[month], tokens=f"{tokens:f}", account=account)
        if action == "SEND" and name not in holds and name not in refused:
            ingest(books.http, sent)
            (refused if month < billed else holds)[name] = place
        elif action != "SEND" and (name in holds or name in refused):
            content = {"event": sent} if action == "REDO_EVENT" else {"eventId": name}
            done = replay(books, ids=[name]) == [True] if action == "REPLAY" else single(books, action, **content)[0]
            allowed = name in refused if action == "REPLAY" else holds.get(name) is not None
            assert done is allowed, (step, holds, refused)
            if done and action == "REPLAY":
                holds[name] = refused.pop(name)
            elif done and action != "REDO":
                holds[name] = None if action == "UNDO" else place
    for name in refused:
        assert replay(books, ids=[name]) == [True]
    for month in range(billed + 1, 9):
        issue(server, books, month)
    kept = [*(one for one in holds.values() if one is not None), *refused.values()]
    for account in ("acme", "other"):
        due = sum(
            worth(sum((tokens for whose, at, tokens in kept if (whose, at) == (account, month)), Decimal(0)))
            for month in (5, 6, 7)
        )
        issued = [one for one in invoices(books, account) if one["sequenceId"] is not None]
        assert all(one["total"] >= 0 for one in issued)
        waiting = sum(Decimal(one["waiting"]) for one in adjustments(books, accountId=account))
        assert sum(Decimal(one["total"]) for one in issued) + waiting == due
    assert problems(server, books) == []
