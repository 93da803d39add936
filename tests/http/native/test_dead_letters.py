"""The desk of dead letters: what was refused, why, what mends it; and replays, which let each in exactly once."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.runtime.proof import CHECKS
from bursar.usage.dead_letters import FIX
from bursar.usage.states import State
from tests.conftest import Server, Tenant, _in_thread
from tests.http.togai.catalog import card, customer, event, expect, ingest, meter, per_unit, plan, schema, status_of
from tests.http.togai.test_invoices import run_bill
from tests.rollups import measured
from tests.runtime.program import command

NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
AT = "2024-05-10T09:01:00Z"
LIST = "/bursar/v1/ingest/rejected"


@pytest.fixture
def ready(server: Server) -> Tenant:
    """A sandbox on 10 May 2024 with an account, a schema and a meter."""
    return furnished(server)


def furnished(server: Server) -> Tenant:
    tenant = server.workspace(clock=NOON)
    customer(tenant.http)
    schema(tenant.http)
    meter(tenant.http)
    return tenant


def desk(tenant: Tenant, **query: Any) -> list[Any]:
    """The whole list, page by page."""
    found: list[Any] = []
    while True:
        page = expect(tenant.http.get(LIST, params=query), 200)
        found += page["events"]
        if page["next"] is None:
            return found
        query["after"] = page["next"]


def replay(tenant: Tenant, **body: Any) -> Any:
    return expect(tenant.http.post(f"{LIST}/replay", json=body), 200)


def done(answer: Any) -> dict[str, bool]:
    return {one["id"]: one["replayed"] for one in answer["outcomes"]}


def balance(tenant: Tenant) -> dict[str, int]:
    found = expect(tenant.http.get("/bursar/v1/ingest/balance"), 200)
    assert found["received"] == sum(found.values()) - found["received"]
    return {name: count for name, count in found.items() if count}


def usage(server: Server, tenant: Tenant) -> list[tuple[str, int]]:
    """What was measured, as text."""
    return [(f"{quantity.normalize():f}", events) for quantity, events in measured(server, tenant)]


def problems(server: Server, tenant: Tenant) -> list[str]:
    return server.broken(tenant, CHECKS)


def _alias(http: Any) -> None:
    expect(http.post("/accounts/acme/add_aliases", json={"aliases": ["nobody"]}), 200)


def _enrichment(http: Any) -> None:
    setting = {"id": "factor", "namespace": "USER", "name": "factor", "value": "2", "dataType": "NUMERIC"}
    expect(http.post("/settings", json={**setting, "entityType": "ACCOUNT", "entityId": "acme"}), 201)


def _template(http: Any) -> None:
    expect(http.patch("/event_schema/llm", json={"eventIdTemplate": "{{accountId}}-{{timestamp}}"}), 200)


def _nothing(_: Any) -> None:
    """What mends it is done by the test."""


CASES: dict[str, tuple[dict[str, Any], Callable[[Any], None]]] = {
    "FAILED_ACCOUNT_NOT_FOUND": ({"account": "nobody"}, _alias),
    "FAILED_SCHEMA_NOT_DEFINED": ({"schemaName": "late"}, lambda http: schema(http, "late")),
    "FAILED_ENRICHMENT_FAILED": ({"schemaName": "rich"}, _enrichment),
    "FAILED_UNITS_INVALID": ({"schemaName": "odd", "tokens": 0}, _nothing),
    "FAILED_PAST_GRACE_PERIOD": ({"at": "2024-03-01T00:00:00Z"}, _nothing),
    "FAILED_NO_EVENT_ID": ({"id": None}, _template),
}
"""What is refused, and what mends it."""


def test_every_refusal_says_what_would_mend_it() -> None:
    assert set(FIX) == {state for state in State if state < 0}


def test_each_refusal_is_shown_mended_and_replayed_once(ready: Tenant, server: Server) -> None:
    http = ready.http
    rule = {
        "name": "factor", "type": "ATTRIBUTE", "enrichmentType": "JSON_LOGIC", "order": 1,
        "value": '{"*":[{"var":"attributes.tokens"},{"var":"dependencies.factor"}]}',
    }  # fmt: skip
    factor = {"type": "SETTING", "key": "setting.user.factor", "name": "factor"}
    schema(http, "rich", enrichments={"dependencies": [factor], "fields": [rule]})
    schema(http, "odd")
    division = {"computation": '{"/":[1,{"var":"attributes.tokens"}]}', "order": 1}
    odd = meter(http, "odd", "odd", computations=[division])
    sent = {}
    for state, (differs, _) in CASES.items():
        more = {"tokens": 3, **differs}
        sent[state] = event(more.pop("id", state), more.pop("at", AT), **more)
    ingest(http, *sent.values())
    shown = {one["reason"]: one for one in desk(ready)}
    assert shown.keys() == CASES.keys()
    for state, one in shown.items():
        assert one["replayable"], state
        assert one["fix"] == FIX[State[state]]
        assert {**one["event"], "id": sent[state].get("id")} == {**one["event"]}
        assert one["event"]["accountId"] == sent[state]["accountId"]
        assert one["event"]["attributes"][0]["value"] == sent[state]["attributes"][0]["value"]
    assert balance(ready) == {"received": 6, "rejected": 6}
    before = replay(ready, references=[one["reference"] for one in shown.values()])
    assert before["replayed"] == 0
    assert {one["reason"] for one in desk(ready)} == CASES.keys(), "nothing was mended"
    for left, (state, (_, mend)) in reversed(list(enumerate(CASES.items()))):
        if state == "FAILED_UNITS_INVALID":
            expect(http.post(f"/usage_meters/{odd}/deactivate"), 200)
        mend(http)
        answer = replay(ready, references=[shown[state]["reference"]], backfill=state == "FAILED_PAST_GRACE_PERIOD")
        assert (answer["replayed"], answer["outcomes"][0]["state"][:9]) == (1, "COMPLETED"), answer
        again = replay(ready, references=[shown[state]["reference"]])
        assert (again["replayed"], again["refused"]) == (0, 1)
        assert len(desk(ready)) == left
    assert balance(ready) == {"received": 6, "metered": 3, "unmetered": 3}
    assert usage(server, ready) == [("3", 1), ("6", 2)]
    assert status_of(http, f"acme-{AT}") == ["COMPLETED_EVENT_METERED"], "it got an id on the way"
    ingest(http, sent["FAILED_ACCOUNT_NOT_FOUND"], sent["FAILED_NO_EVENT_ID"])
    assert balance(ready) == {"received": 8, "metered": 3, "unmetered": 3, "duplicate": 2}
    assert problems(server, ready) == []


def test_what_is_refused_again_stays_for_the_cause_of_now(ready: Tenant, server: Server) -> None:
    old = event("old", "2024-03-01T00:00:00Z", account="nobody")
    ingest(ready.http, old, event("other", AT, account="nobody"))
    _alias(ready.http)
    answer = replay(ready, filter={"account": "nobody"})
    assert done(answer) == {"other": True, "old": False}
    (left,) = desk(ready, account="nobody")
    assert (left["event"]["id"], left["accountId"], left["reason"]) == ("old", "acme", "FAILED_PAST_GRACE_PERIOD")
    assert balance(ready) == {"received": 2, "metered": 1, "rejected": 1}
    assert problems(server, ready) == []


def test_what_is_invoiced_is_not_replayed_without_adjusting(server: Server) -> None:
    tenant = server.workspace(clock=datetime(2024, 5, 20, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    made = plan(tenant.http, [card(meter(tenant.http), per_unit(0), ["0.1"])])
    body = {"mode": "ASSOCIATE", "pricePlanId": made, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    expect(tenant.http.post("/accounts/acme/price_plans", json=body), 200)
    expect(tenant.http.post("/bursar/v1/clock", json={"now": "2024-06-10T00:00:00Z"}), 200)
    run_bill(server, tenant)
    ingest(tenant.http, event("late", "2024-05-20T00:00:00Z"))
    (late,) = desk(tenant)
    assert (late["reason"], late["replayable"]) == ("FAILED_PAST_GRACE_PERIOD", True)
    assert "invoiced" in late["fix"]
    answer = replay(tenant, ids=["late"], backfill=True)
    assert (answer["replayed"], answer["outcomes"][0]["state"]) == (0, "FAILED_PAST_GRACE_PERIOD")
    assert problems(server, tenant) == []


def test_another_event_under_a_taken_id_is_shown_and_not_replayed(ready: Tenant, server: Server) -> None:
    ingest(ready.http, event("one", AT, tokens=1))
    ingest(ready.http, event("one", AT, tokens=2), event("one", AT, tokens=1))
    (shown,) = desk(ready)
    assert (shown["reason"], shown["replayable"]) == ("FAILED_DUPLICATE_EVENT", False)
    assert shown["event"]["attributes"][0]["value"] == "2"
    answer = replay(ready, references=[shown["reference"], "event.1.999999", "nonsense"])
    told = [(one["replayed"], one.get("state")) for one in answer["outcomes"]]
    assert told == [(False, "FAILED_DUPLICATE_EVENT"), (False, None), (False, None)]
    answer = replay(ready, ids=["one", "none", "one"])
    assert [one.get("state") for one in answer["outcomes"]] == [
        "COMPLETED_EVENT_METERED",
        None,
        "COMPLETED_EVENT_METERED",
    ]
    assert answer["replayed"] == 0
    assert replay(ready, filter={}) == {"replayed": 0, "refused": 0, "outcomes": [], "next": None}
    assert balance(ready) == {"received": 3, "metered": 1, "duplicate": 2}
    assert problems(server, ready) == []


def test_an_id_that_a_template_gives_is_given_once(ready: Tenant, server: Server) -> None:
    """Of events without an id that get the same one, a single one is let in, whichever way it comes."""
    ingest(ready.http, event(None, AT), event(None, AT), event(None, "2024-05-10T09:02:00Z"))
    _template(ready.http)
    ingest(ready.http, event(None, "2024-05-10T09:02:00Z"))
    answer = replay(ready, filter={"reason": "FAILED_NO_EVENT_ID"})
    assert (answer["replayed"], answer["refused"]) == (1, 2)
    assert usage(server, ready) == [("2", 2)]
    assert balance(ready) == {"received": 4, "metered": 2, "rejected": 2}
    assert problems(server, ready) == []


FILTERS: list[tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = [
    ({}, lambda _: True),
    ({"reason": "FAILED_ACCOUNT_NOT_FOUND"}, lambda one: one["accountId"] != "acme"),
    ({"account": "x1"}, lambda one: one["accountId"] == "x1"),
    ({"account": "acme"}, lambda one: one["accountId"] == "acme"),
    ({"account": "nowhere"}, lambda _: False),
    ({"schema": "llm"}, lambda one: one["schemaName"] == "llm"),
    ({"schema": "no"}, lambda one: one["schemaName"] == "no"),
    ({"schema": "no", "account": "x0"}, lambda one: (one["schemaName"], one["accountId"]) == ("no", "x0")),
    (
        {"occurredFrom": "2024-05-10T09:10:00Z", "occurredUntil": "2024-05-10T11:20:00+02:00"},
        lambda one: "2024-05-10T09:10:00Z" <= one["timestamp"] < "2024-05-10T09:20:00Z",
    ),
    ({"receivedFrom": "2999-01-01T00:00:00Z"}, lambda _: False),
    ({"receivedUntil": "2999-01-01T00:00:00Z"}, lambda _: True),
]


def test_lists_and_replays_by_the_same_conditions(ready: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.usage.dead_letters._SCAN", 7)
    sent = [
        event(
            f"e{n}", f"2024-05-10T09:{n:02}:00Z", account=("acme", "x0", "x1")[n % 3], schemaName=("llm", "no")[n % 2]
        )
        for n in range(40)
    ]
    for start in range(0, 40, 8):
        ingest(ready.http, *sent[start : start + 8])
    refused = [one for one in sent if (one["accountId"], one["schemaName"]) != ("acme", "llm")]
    for query, fits in FILTERS:
        expected = [one["id"] for one in reversed(refused) if fits(one)]
        if query.get("reason"):
            expected = [one["id"] for one in reversed(refused) if fits(one) and one["schemaName"] == "llm"]
        for limit in (1, 3, 100):
            assert [one["event"]["id"] for one in desk(ready, **query, limit=limit)] == expected, (query, limit)
        told: list[str] = []
        after = None
        while True:
            answer = replay(ready, filter=query, limit=4, **({"after": after} if after else {}))
            told += [one["id"] for one in answer["outcomes"]]
            after = answer["next"]
            if after is None:
                break
        assert told == expected, query


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"ids": ["a"], "filter": {}}, None),
        ({"ids": ["a"], "after": "event.1.1"}, "after"),
        ({"filter": {}, "after": "nonsense"}, "after"),
        ({"filter": {"reason": "COMPLETED"}}, "filter.reason"),
        ({"filter": {}, "limit": 501}, "limit"),
        ({"ids": [f"e{n}" for n in range(501)]}, "ids"),
    ],
)
def test_replays_that_are_not_asked_rightly(ready: Tenant, body: Any, field: str | None) -> None:
    answer = expect(ready.http.post(f"{LIST}/replay", json=body), 400)
    assert answer.get("field") in (field, "" if field is None else field)


def test_a_replay_and_its_twins_let_each_in_once(ready: Tenant, server: Server) -> None:
    """Eight replays at once, while the sender sends the same events again, now that they can be let in."""
    sent = [event(f"e{n}", AT, account="nobody", tokens=2) for n in range(120)]
    ingest(ready.http, *sent)
    _alias(ready.http)

    def one(number: int) -> int:
        if number < 8:
            return int(replay(ready, filter={"account": "nobody"})["replayed"])
        ingest(ready.http, *sent[number::7])
        return 0

    with ThreadPoolExecutor(12) as pool:
        let_in = sum(pool.map(one, range(12)))
    assert desk(ready) == []
    assert usage(server, ready) == [("240", 120)]
    found = balance(ready)
    assert found["metered"] == 120
    assert found.get("rejected", 0) == 120 - let_in, "an attempt of the sender leaves the refused one beside it"
    assert problems(server, ready) == []


@settings(max_examples=12, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 5)),
            st.tuples(st.just("mend"), st.integers(0, 1)),
            st.tuples(st.just("replay"), st.integers(0, 2)),
        ),
        min_size=4,
        max_size=14,
    )
)
def test_any_order_of_sending_mending_and_replaying(server: Server, steps: list[tuple[str, int]]) -> None:
    """Against a model: an event is in once from when its name leads somewhere and somebody tries again."""
    tenant = furnished(server)
    mended: set[int] = set()
    held: dict[int, bool] = {}  # by event, whether it is in
    counts = {"received": 0, "metered": 0, "duplicate": 0, "rejected": 0}

    def attempt(number: int, *, sent: bool) -> None:
        counts["received"] += sent
        fits = number % 2 in mended
        if held.get(number) or (number in held and not fits):
            counts["duplicate"] += sent
            return
        held[number] = fits
        counts["metered" if fits else "rejected"] += 1
        if not sent:
            counts["rejected"] -= 1

    for what, number in steps:
        if what == "send":
            ingest(tenant.http, event(f"e{number}", AT, account=f"name{number % 2}", tokens=number + 1))
            attempt(number, sent=True)
        elif what == "mend":
            if number not in mended:
                expect(tenant.http.post("/accounts/acme/add_aliases", json={"aliases": [f"name{number}"]}), 200)
            mended.add(number)
        else:
            chosen = [n for n, inside in held.items() if not inside and number in (2, n % 2)]
            answer = replay(tenant, filter={} if number == 2 else {"account": f"name{number}"})
            assert answer["replayed"] == sum(n % 2 in mended for n in chosen)
            for one in chosen:
                if one % 2 in mended:
                    attempt(one, sent=False)
    assert balance(tenant) == {name: count for name, count in counts.items() if count}
    tokens = sum(number + 1 for number, inside in held.items() if inside)
    assert usage(server, tenant) == ([(str(tokens), sum(held.values()))] if tokens else [])


def test_a_replay_under_a_key_is_answered_as_it_was(ready: Tenant) -> None:
    ingest(ready.http, event("e", AT, account="nobody"))
    _alias(ready.http)
    answers = [
        ready.http.post(f"{LIST}/replay", json={"ids": ["e"]}, headers={"idempotency-key": "k"}) for _ in range(2)
    ]
    assert [answer.json()["replayed"] for answer in answers] == [1, 1]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert balance(ready) == {"received": 1, "metered": 1}
    entries = expect(ready.http.get("/bursar/v1/audit", params={"action": "replay"}), 200)["entries"]
    assert [(entry["detail"]["count"], entry["detail"]["metered"]) for entry in entries] == [(1, 1)]


def _counter(tenant: Tenant, name: str, **labels: str) -> int:
    text = tenant.http.get("/metrics").text
    wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
    found = re.search(rf"^{name}{{{wanted}}} ([0-9.e+]+)$", text, re.M)
    return 0 if found is None else int(float(found[1]))


def test_refusals_and_replays_are_counted(ready: Tenant) -> None:
    refused = ("bursar_events_refused_total", {"state": "FAILED_ACCOUNT_NOT_FOUND"})
    replayed = ("bursar_events_replayed_total", {"term": "metered"})
    before = [_counter(ready, name, **labels) for name, labels in (refused, replayed)]
    ingest(ready.http, *(event(f"e{n}", AT, account="nobody") for n in range(3)))
    _alias(ready.http)
    replay(ready, ids=["e0", "e1"])
    after = [_counter(ready, name, **labels) for name, labels in (refused, replayed)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 2]


def test_the_commands(ready: Tenant, server: Server) -> None:
    ingest(
        ready.http, *(event(f"e{n}", AT, account="nobody", tokens=n) for n in range(3)), event("s", AT, schemaName="x")
    )
    at = ("--workspace", ready.name, "--database-url", server.dsn)

    def run(*arguments: str, status: int = 0) -> Any:
        return _in_thread(lambda: command("events", *arguments, *at, status=status))

    page = run("rejected", "--reason", "FAILED_ACCOUNT_NOT_FOUND", "--limit", "2")
    assert [one["id"] for one in page["events"]] == ["e2", "e1"]
    assert page["events"][0]["attributes"] == {"tokens": "2"}
    assert [one["id"] for one in run("rejected", "--after", page["next"])["events"]] == ["e0"]
    assert run("replay", "--id", "e0")["replayed"] == 0
    _alias(ready.http)
    assert run("replay", "--id", "e0")["replayed"] == 1
    told = run("replay", "--since", "2020-01-01")
    assert (told["events"], told["replayed"], told["reasons"]) == (3, 2, {"FAILED_SCHEMA_NOT_DEFINED": 1})
    assert run("replay")["replayed"] == 0
    assert balance(ready) == {"received": 4, "metered": 3, "rejected": 1}
    assert "--reason" in run("rejected", "--reason", "REVERTED", status=2)
    assert "--id" in run("replay", "--id", "e0", "--schema", "x", status=2)
    assert json.dumps(told["left"]).count("reference") == 1
