"""The verdict on an event: which account it belongs to, whether its period still takes it, what it measures."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.cycles import Calendar, Interval
from bursar.core.period import FOREVER
from bursar.usage.admission import AccountView, Tenant, Verdict, judge
from bursar.usage.event import Attribute, Event
from bursar.usage.measure import Meter, Schema
from bursar.usage.states import State

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
GRACE = 3
MONTHLY = Calendar(Interval.MONTHLY, "1", "NIL", "UTC")


def tenant(account: AccountView | None = None, now: datetime = NOW) -> Tenant:
    view = account or AccountView(7, True, None, None, ())
    made = Tenant(1, 1, now, "UTC", GRACE)
    made.schemas["call"] = Schema(11, frozenset({"units"}), frozenset({"city"}), (Meter(21, 31, (), None, None),))
    made.schemas["idle"] = Schema(12, frozenset(), frozenset(), ())
    made.schemas["kyiv"] = Schema(13, frozenset(), frozenset(), (Meter(22, 32, (("city", "Kyiv"),), None, None),))
    made.names["acme"] = [(None, None, view.key)]
    made.accounts[view.key] = view
    return made


def event(at: datetime = NOW, schema: str = "call", account: str = "acme", event_id: str | None = "e") -> Event:
    return Event(schema, at, account, [Attribute("units", "2.5")], {"city": "Rome"}, event_id)


def state(made: Tenant, sent: Event, *, backfill: bool = False) -> State:
    return judge(made, sent, backfill=backfill).state


def test_a_metered_event_carries_its_measures() -> None:
    verdict = judge(tenant(), event(), backfill=False)
    assert verdict == Verdict(State.COMPLETED_EVENT_METERED, 7, 11, ((21, Decimal(1)),))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (event(event_id=None), State.FAILED_NO_EVENT_ID),
        (event(event_id=None, schema="none", account="none"), State.FAILED_NO_EVENT_ID),
        (event(schema="none", account="none"), State.FAILED_SCHEMA_NOT_DEFINED),
        (event(account="none", at=NOW - 900 * DAY), State.FAILED_ACCOUNT_NOT_FOUND),
        (event(at=NOW - 900 * DAY), State.FAILED_PAST_GRACE_PERIOD),
        (event(schema="idle"), State.COMPLETED_NO_MATCHING_METERS),
        (event(schema="kyiv"), State.COMPLETED_EVENT_NOT_METERED),
        (event(at=FOREVER), State.FAILED),
        (event(at=FOREVER - TICK), State.COMPLETED_EVENT_METERED),
    ],
)
def test_the_first_rule_that_an_event_breaks_decides(sent: Event, expected: State) -> None:
    assert state(tenant(), sent) is expected


def test_what_does_not_fit_says_why() -> None:
    made = tenant()
    made.schemas["call"] = Schema(11, frozenset({"a", "b"}), frozenset({"x", "y"}), ())

    def reason(attributes: list[str], dimensions: list[str]) -> str | None:
        sent = Event("call", NOW, "acme", [Attribute(n, "1") for n in attributes], dict.fromkeys(dimensions, "v"), "e")
        return judge(made, sent, backfill=False).reason

    assert reason(["a"], ["x", "y"]) == "attributes: b is missing"
    assert reason(["a", "b", "a"], ["x", "y"]) == "attributes: a name is given twice"
    assert reason(["a", "b"], ["y"]) == "dimensions: x is missing"
    assert reason(["a", "b", "more"], ["x", "y", "more"]) is None


def test_without_a_plan_events_are_taken_for_the_days_of_grace() -> None:
    oldest = NOW - GRACE * DAY
    for at, expected in [
        (oldest, State.FAILED_PAST_GRACE_PERIOD),
        (oldest + TICK, State.COMPLETED_EVENT_METERED),
        (NOW + 400 * DAY, State.COMPLETED_EVENT_METERED),
    ]:
        assert state(tenant(), event(at)) is expected
        lifted = state(tenant(), event(at), backfill=True)
        assert lifted is State.COMPLETED_EVENT_METERED


def test_a_period_takes_events_until_its_grace_is_over() -> None:
    planned = AccountView(7, True, None, None, ((NOW - 100 * DAY, FOREVER, MONTHLY, GRACE),))
    april, may = datetime(2024, 4, 30, 23, 59, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
    over = may + GRACE * DAY
    assert state(tenant(planned, over - TICK), event(april)) is State.COMPLETED_EVENT_METERED
    assert state(tenant(planned, over), event(april)) is State.FAILED_PAST_GRACE_PERIOD
    assert state(tenant(planned, over), event(april), backfill=True) is State.COMPLETED_EVENT_METERED
    assert state(tenant(planned, over), event(may)) is State.COMPLETED_EVENT_METERED


def test_an_invoiced_period_is_shut_for_everyone() -> None:
    start, end = NOW - DAY, NOW
    closed = AccountView(7, True, start, end, ())
    for at, expected in [
        (start - TICK, State.COMPLETED_EVENT_METERED),
        (start, State.FAILED_PAST_GRACE_PERIOD),
        (end - TICK, State.FAILED_PAST_GRACE_PERIOD),
        (end, State.COMPLETED_EVENT_METERED),
    ]:
        assert state(tenant(closed), event(at), backfill=True) is expected


def test_an_archived_account_is_not_found() -> None:
    assert state(tenant(AccountView(7, False, None, None, ())), event()) is State.FAILED_ACCOUNT_NOT_FOUND


MINUTES = st.integers(-60 * 24 * 45, 60 * 24 * 20)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(MINUTES, MINUTES), min_size=1, max_size=40),
    st.tuples(MINUTES, MINUTES).map(sorted),
    st.tuples(MINUTES, MINUTES).map(sorted),
    st.booleans(),
    st.booleans(),
)
def test_what_is_remembered_never_changes_a_verdict(
    events: list[tuple[int, int]], used: list[int], invoiced: list[int], planned: bool, backfill: bool
) -> None:
    """One tenant judges a stream while time goes on; another, that remembers nothing, must agree on every event."""

    def at(minutes: int) -> datetime:
        return NOW + timedelta(minutes=minutes)

    first, second = (AccountView(key, True, at(invoiced[0]), at(invoiced[1]), ()) for key in (7, 8))
    if planned:
        first = AccountView(7, True, first.closed_from, first.closed_until, ((at(used[0]), FOREVER, MONTHLY, GRACE),))

    def fresh() -> Tenant:
        made = tenant(first)
        made.accounts[8] = second
        made.names["acme"] = [(None, at(used[0]), 8), (at(used[0]), at(used[1]), 7)]
        return made

    remembering = fresh()
    now = NOW - 2 * DAY
    for minutes, later in events:
        now += timedelta(minutes=abs(later) // 50)
        remembering.now = now
        forgetful = fresh()
        forgetful.now = now
        sent = event(at(minutes))
        assert judge(remembering, sent, backfill=backfill) == judge(forgetful, sent, backfill=backfill)
