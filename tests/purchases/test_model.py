"""Schedules as pure decisions, against days painted one by one."""

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.cycles import Calendar, Interval
from bursar.core.errors import Invalid, WrongState
from bursar.core.period import FIRST, FOREVER, Period
from bursar.purchases.model import (
    AccountFacts,
    Segment,
    billing_periods,
    calendar_of,
    refuse_invoiced,
    retained,
    span,
    trim,
)

UTC_MONTHS = Calendar(Interval.MONTHLY, "1", "NIL", "UTC")


def at(month: int, day: int, hour: int = 0, year: int = 2024) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


HALF_PAST_SIX_29_FEB = at(2, 29, 18).replace(minute=30)
HALF_PAST_SIX_31_MAR = at(3, 31, 18).replace(minute=30)


def segment(
    start: datetime, end: datetime, *, plan: str = "pp.a", calendar: Calendar = UTC_MONTHS, grace: int = 0, key: int = 1
) -> Segment:
    return Segment(
        key=key, schedule=key, schedule_id=f"sch.{key}", anchor=start, account=1, price_plan_id=plan,
        price_plan_name=plan, version=1, version_number=1, period=Period(start, end), calendar=calendar,
        grace_days=grace, superseded=False, opens_at=start,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end", "zone", "expected"),
    [
        (date(2024, 1, 1), date(2024, 2, 1), "UTC", (at(1, 1), at(2, 1))),
        (date(2024, 3, 1), date(2024, 4, 1), "America/New_York", (at(3, 1, 5), at(4, 1, 4))),
        (date(2024, 3, 1), date(2024, 4, 1), "Asia/Kolkata", (HALF_PAST_SIX_29_FEB, HALF_PAST_SIX_31_MAR)),
        (date(1970, 1, 1), date(9999, 1, 1), "Pacific/Kiritimati", (FIRST, FOREVER)),
        (date(1970, 1, 1), date(9999, 1, 1), "Pacific/Honolulu", (FIRST, FOREVER)),
        (date(1, 1, 1), date(9999, 12, 31), "UTC", (FIRST, FOREVER)),
    ],
)  # fmt: skip
def test_dates_are_local_midnights(start: date, end: date, zone: str, expected: tuple[datetime, datetime]) -> None:
    assert span(start, end, zone) == Period(*expected)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2024, 1, 1), date(2024, 1, 1)),
        (date(2024, 1, 2), date(2024, 1, 1)),
        (date(9999, 1, 1), date(9999, 5, 1)),
        (date(1969, 1, 1), date(1969, 5, 1)),
    ],
)
def test_empty_spans_are_refused(start: date, end: date) -> None:
    with pytest.raises(Invalid, match="effectiveUntil"):
        span(start, end, "UTC")


_days = st.integers(0, 60)
_spans = st.tuples(_days, _days).filter(lambda pair: pair[0] < pair[1])


@given(st.lists(st.tuples(_spans, st.sampled_from("ABC"), st.booleans()), max_size=8))
def test_a_change_paints_over_what_was(changes: list[tuple[tuple[int, int], str, bool]]) -> None:
    """However plans come and go, each day has the plan that was last painted on it."""
    origin = at(1, 1)
    segments: list[Segment] = []
    painted: dict[int, str] = {}
    key = 0
    for (first, last), plan, adding in changes:
        period = Period(origin + timedelta(days=first), origin + timedelta(days=last))
        room = trim(segments, period, None if adding else plan)
        segments = [one for one in segments if one not in room.superseded]
        for piece in room.pieces:
            key += 1
            old = piece.segment
            segments.append(segment(piece.period.start, piece.period.end, plan=old.price_plan_id, key=key))
        for day in range(first, last):
            if adding:
                painted[day] = plan
            elif painted.get(day) == plan:
                del painted[day]
        if adding:
            key += 1
            segments.append(segment(period.start, period.end, plan=plan, key=key))
        for day in range(61):
            noon = origin + timedelta(days=day, hours=12)
            assert [one.price_plan_id for one in segments if noon in one.period] == [
                plan for painted_day, plan in painted.items() if painted_day == day
            ]


def test_what_lies_beside_a_change_is_left_alone() -> None:
    before, inside, after = segment(at(1, 1), at(2, 1)), segment(at(2, 1), at(3, 1)), segment(at(3, 1), at(4, 1))
    room = trim([before, inside, after], Period(at(2, 1), at(3, 1)))
    assert room.superseded == (inside,)
    assert room.pieces == ()


_calendars = st.sampled_from(
    [
        Calendar.parse(interval, day, None, zone)
        for interval in Interval
        for day in ("1", "5", "LAST")
        for zone in ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
    ]
)
_instants = st.integers(0, 3 * 365 * 24).map(lambda hours: at(1, 1, year=2021) + timedelta(hours=hours))


@given(_calendars, _instants, _instants, _instants, st.integers(0, 40))
def test_billing_periods_tile_the_segment(
    calendar: Calendar, start: datetime, end: datetime, until: datetime, grace: int
) -> None:
    if start >= end:
        return
    made = segment(start, end, calendar=calendar, grace=grace)
    periods = list(billing_periods(made, until))
    assert [p.period for p in periods] == [
        p.period for p in billing_periods(made, FOREVER - timedelta(1)) if p.period.start <= until
    ]
    if until < start:
        assert not periods
        return
    assert periods[0].period.start == start
    for one, following in itertools.pairwise(periods):
        assert one.period.end == following.period.start
    assert periods[-1].period.end == end or periods[-1].period.end > until
    for one in periods:
        assert one.cycle.overlap(one.period) == one.period
        assert one.period.start in {start, one.cycle.start}
        assert one.period.end in {end, one.cycle.end}
        drift = one.due_at - one.period.end - timedelta(days=grace)
        assert abs(drift) <= timedelta(hours=1), "so many local days after the end"
    if len(periods) > 1:
        second = periods[1].period.start
        assert list(billing_periods(made, until, second)) == periods[1:]


def test_open_ends_open_lazily() -> None:
    forever = segment(at(1, 1), FOREVER)
    assert [p.period.start for p in billing_periods(forever, at(3, 1))] == [at(1, 1), at(2, 1), at(3, 1)]
    assert list(billing_periods(forever, at(3, 1), FOREVER)) == []


def test_a_calendar_follows_the_plan_or_the_day_of_association() -> None:
    assert calendar_of("QUARTERLY", "15", "2", anniversary_cycle=False, start=at(5, 4), zone="Asia/Tokyo") == Calendar(
        Interval.QUARTERLY, "15", "2", "Asia/Tokyo"
    )
    # 3 May at 20:00 UTC is the 4th in Tokyo.
    assert calendar_of(
        "MONTHLY", None, None, anniversary_cycle=True, start=at(5, 3, 20), zone="Asia/Tokyo"
    ) == Calendar(Interval.MONTHLY, "4", "NIL", "Asia/Tokyo")


def test_retained_offsets() -> None:
    weekly = Calendar(Interval.WEEKLY, "3", "NIL", "UTC")
    segments = [segment(at(1, 1), at(2, 1)), segment(at(2, 1), at(3, 1), calendar=weekly)]
    assert retained(segments, at(2, 15), "WEEKLY") == weekly
    with pytest.raises(Invalid, match="interval"):
        retained(segments, at(2, 15), "MONTHLY")
    with pytest.raises(Invalid, match="no price plan"):
        retained(segments, at(3, 1), "WEEKLY")


def test_invoiced_time_does_not_change() -> None:
    def account(closed_until: datetime | None) -> AccountFacts:
        return AccountFacts(1, "acme", "ACME", "ACTIVE", "USD", "UTC", closed_until)

    refuse_invoiced(account(None), Period(FIRST, FOREVER))
    refuse_invoiced(account(at(2, 1)), Period(at(2, 1), FOREVER))
    with pytest.raises(WrongState, match=r"effectiveFrom: account 'acme' is invoiced until 2024-02-01T00:00:00Z"):
        refuse_invoiced(account(at(2, 1)), Period(at(1, 31), FOREVER))
