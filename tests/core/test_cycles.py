"""Cycles tile time and begin at the right midnights, in every zone: tables, and a walk through days as the oracle."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core import cycles
from bursar.core.cycles import (
    ZONES,
    Calendar,
    Interval,
    anniversary,
    days_in,
    local_date,
)
from bursar.core.errors import Invalid
from bursar.core.period import FIRST, FOREVER, Period, parse_instant
from tests.core import clock_oracle
from tests.core.clock_oracle import moments, odd_zones, zones

TICK = timedelta(microseconds=1)
MONTHS = {Interval.MONTHLY: 1, Interval.QUARTERLY: 3, Interval.HALF_YEARLY: 6, Interval.ANNUALLY: 12}


def offsets(interval: Interval) -> tuple[list[str], list[str]]:
    """Every day and every month that an interval allows."""
    length = MONTHS.get(interval, 0)
    days = [*(str(n) for n in range(1, 32 if length else 8)), "LAST"]
    return days, ["NIL"] if length <= 1 else ["FIRST", "LAST", *(str(n) for n in range(1, length + 1))]


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    interval = draw(st.sampled_from(list(Interval)))
    days, months = offsets(interval)
    day = draw(st.sampled_from(days) | st.sampled_from(days[-4:]))
    return Calendar(interval, day, draw(st.sampled_from(months)), draw(zones | odd_zones))


def distinct_zones() -> list[str]:
    """One name for each set of rules: many zones are only other names."""
    folder = resources.files("tzdata") / "zoneinfo"
    return sorted({folder.joinpath(*name.split("/")).read_bytes(): name for name in sorted(ZONES)}.values())


def check_tiling(calendar: Calendar, first: date, last: date) -> int:
    """Every cycle that begins between two dates against the oracle; returns how many."""
    days = clock_oracle.start_days(calendar.interval, calendar.day, calendar.month, first, last)
    expected = [clock_oracle.midnight(day, calendar.zone) for day in days]
    found = list(calendar.cycles(Period(expected[0], expected[-1])))
    assert [cycle.start for cycle in found] == expected[:-1], calendar
    assert [cycle.end for cycle in found] == expected[1:], calendar
    return len(found)


@settings(max_examples=150, deadline=None)
@given(calendars(), st.integers(1971, 2090))
def test_cycles_are_those_of_a_walk_through_ten_years(calendar: Calendar, year: int) -> None:
    assert check_tiling(calendar, date(year, 1, 1), date(year + 10, 1, 1)) >= 8


def test_every_zone_tiles_ten_years_at_every_interval() -> None:
    checked = 0
    for turn, zone in enumerate(distinct_zones()):
        for interval in Interval:
            days, months = offsets(interval)
            pick = turn % 8
            calendar = Calendar(interval, days[-1 - pick], months[pick % len(months)], zone)
            # Weeks are many and alike: the year of the day that Samoa left out does for all zones.
            first, last = (2011, 2012) if interval is Interval.WEEKLY else (2006, 2016)
            checked += check_tiling(calendar, date(first, 1, 1), date(last, 1, 1))
    assert checked > 60_000


@settings(max_examples=300, deadline=None)
@given(calendars(), moments(1970, 9999), st.floats(0, 1))
def test_every_instant_lies_in_exactly_one_cycle(calendar: Calendar, instant: datetime, share: float) -> None:
    cycle = calendar.cycle_at(min(instant, FOREVER - TICK))
    assert cycle.start <= instant <= cycle.end
    assert calendar.cycle_at(cycle.start) == cycle
    assert calendar.cycle_at(cycle.end - TICK) == cycle
    assert calendar.cycle_at(cycle.start + (cycle.end - TICK - cycle.start) * share) == cycle
    if cycle.end < FOREVER:
        assert calendar.cycle_at(cycle.end).start == cycle.end


@given(calendars(), moments(1970, 2090), st.integers(0, 700))
def test_cycles_are_numbered_one_by_one(calendar: Calendar, earlier: datetime, days: int) -> None:
    moment = earlier + timedelta(days=days)
    passed = sum(1 for _ in calendar.cycles(Period(earlier, moment + TICK))) - 1
    assert calendar.number_at(moment) - calendar.number_at(earlier) == passed


TABLE = [
    # The contract's examples of offsets: where cycles begin in the year from the first date.
    ("WEEKLY", "1", "NIL", "UTC", "2023-10-16", ["2023-10-16", "2023-10-23", "2023-10-30"]),
    ("WEEKLY", "3", "NIL", "UTC", "2023-10-16", ["2023-10-18", "2023-10-25", "2023-11-01"]),
    ("WEEKLY", "LAST", "NIL", "UTC", "2023-10-16", ["2023-10-22", "2023-10-29", "2023-11-05"]),
    ("MONTHLY", "1", "NIL", "UTC", "2023-01-01", ["2023-01-01", "2023-02-01", "2023-03-01"]),
    ("MONTHLY", "28", "NIL", "UTC", "2023-01-01", ["2023-01-28", "2023-02-28", "2023-03-28"]),
    ("MONTHLY", "29", "NIL", "UTC", "2023-01-01", ["2023-01-29", "2023-02-28", "2023-03-29"]),
    ("MONTHLY", "29", "NIL", "UTC", "2024-01-01", ["2024-01-29", "2024-02-29", "2024-03-29"]),
    ("MONTHLY", "30", "NIL", "UTC", "2024-01-01", ["2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"]),
    ("MONTHLY", "31", "NIL", "UTC", "2023-01-01", ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"]),
    ("MONTHLY", "LAST", "NIL", "UTC", "2023-01-01", ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"]),
    ("QUARTERLY", "15", "FIRST", "UTC", "2023-01-01", ["2023-01-15", "2023-04-15", "2023-07-15", "2023-10-15"]),
    ("QUARTERLY", "15", "2", "UTC", "2023-01-01", ["2023-02-15", "2023-05-15", "2023-08-15", "2023-11-15"]),
    ("QUARTERLY", "15", "LAST", "UTC", "2023-01-01", ["2023-03-15", "2023-06-15", "2023-09-15", "2023-12-15"]),
    ("QUARTERLY", "LAST", "FIRST", "UTC", "2023-01-01", ["2023-01-31", "2023-04-30", "2023-07-31", "2023-10-31"]),
    ("HALF_YEARLY", "15", "FIRST", "UTC", "2023-01-01", ["2023-01-15", "2023-07-15"]),
    ("HALF_YEARLY", "15", "4", "UTC", "2023-01-01", ["2023-04-15", "2023-10-15"]),
    ("HALF_YEARLY", "15", "LAST", "UTC", "2023-01-01", ["2023-06-15", "2023-12-15"]),
    ("ANNUALLY", "15", "FIRST", "UTC", "2023-01-01", ["2023-01-15", "2024-01-15"]),
    ("ANNUALLY", "15", "1", "UTC", "2023-01-01", ["2023-01-15", "2024-01-15"]),
    ("ANNUALLY", "LAST", "2", "UTC", "2023-01-01", ["2023-02-28", "2024-02-29", "2025-02-28"]),
    ("ANNUALLY", "29", "2", "UTC", "2023-01-01", ["2023-02-28", "2024-02-29", "2025-02-28"]),
    ("ANNUALLY", "15", "8", "UTC", "2023-01-01", ["2023-08-15", "2024-08-15"]),
    ("ANNUALLY", "15", "LAST", "UTC", "2023-01-01", ["2023-12-15", "2024-12-15"]),
    # Clocks: summer time both ways, half an hour of it, at midnight, and a day that never was.
    ("MONTHLY", "1", "NIL", "Europe/Berlin", "2024-03-02", ["2024-03-31T22:00Z", "2024-04-30T22:00Z"]),
    ("MONTHLY", "1", "NIL", "Europe/Berlin", "2024-10-02", ["2024-10-31T23:00Z", "2024-11-30T23:00Z"]),
    ("MONTHLY", "1", "NIL", "Australia/Lord_Howe", "2024-03-15", ["2024-03-31T13:00Z", "2024-04-30T13:30Z"]),
    ("WEEKLY", "7", "NIL", "America/Havana", "2024-03-05", ["2024-03-10T05:00Z", "2024-03-17T04:00Z"]),
    ("WEEKLY", "7", "NIL", "Asia/Beirut", "2021-03-23", ["2021-03-27T22:00Z", "2021-04-03T21:00Z"]),
    ("WEEKLY", "7", "NIL", "America/Sao_Paulo", "2018-10-30", ["2018-11-04T03:00Z", "2018-11-11T02:00Z"]),
    ("WEEKLY", "7", "NIL", "America/Sao_Paulo", "2018-02-13", ["2018-02-18T03:00Z", "2018-02-25T03:00Z"]),
    (
        "WEEKLY",
        "5",
        "NIL",
        "Pacific/Apia",
        "2011-12-20",
        ["2011-12-23T10:00Z", "2011-12-30T10:00Z", "2012-01-05T10:00Z"],
    ),
    (
        "WEEKLY",
        "6",
        "NIL",
        "Pacific/Apia",
        "2011-12-20",
        ["2011-12-24T10:00Z", "2011-12-30T10:00Z", "2012-01-06T10:00Z"],
    ),
    # The clock of Newfoundland went back from 00:01 to 23:01: midnight came twice, and the first one counts.
    ("WEEKLY", "7", "NIL", "America/St_Johns", "1987-10-20", ["1987-10-25T02:30Z", "1987-11-01T03:30Z"]),
    # Local mean time, 44 minutes and 30 seconds behind, until a gap that began at midnight.
    (
        "MONTHLY",
        "1",
        "NIL",
        "Africa/Monrovia",
        "1971-11-30",
        ["1971-12-01T00:44:30Z", "1972-01-01T00:44:30Z", "1972-02-01"],
    ),
    ("MONTHLY", "7", "NIL", "Africa/Monrovia", "1971-12-30", ["1972-01-07T00:44:30Z", "1972-02-07"]),
]


@pytest.mark.parametrize(("interval", "day", "month", "zone", "first", "starts"), TABLE)
def test_starts(interval: str, day: str, month: str, zone: str, first: str, starts: list[str]) -> None:
    calendar = Calendar.parse(interval, day, month, zone)
    begin = parse_instant(first)
    expected = [parse_instant(start) for start in starts]
    # The span begins inside an earlier cycle or at a boundary; a stub in front is not a start.
    found = [c.start for c in calendar.cycles(Period(begin - TICK, expected[-1] + TICK))][1:]
    assert found == expected


ANNIVERSARIES = [
    ("WEEKLY", "2023-10-23", "1", "NIL"),
    ("WEEKLY", "2023-10-25", "3", "NIL"),
    ("WEEKLY", "2023-10-29", "7", "NIL"),
    ("MONTHLY", "2023-10-01", "1", "NIL"),
    ("MONTHLY", "2023-10-12", "12", "NIL"),
    ("MONTHLY", "2023-10-28", "28", "NIL"),
    ("MONTHLY", "2023-10-30", "30", "NIL"),
    ("MONTHLY", "2023-10-31", "LAST", "NIL"),
    ("MONTHLY", "2023-04-30", "30", "NIL"),
    ("MONTHLY", "2023-02-28", "28", "NIL"),
    ("MONTHLY", "2024-02-29", "29", "NIL"),
    ("QUARTERLY", "2023-01-15", "15", "1"),
    ("QUARTERLY", "2023-05-15", "15", "2"),
    ("QUARTERLY", "2023-12-15", "15", "3"),
    ("QUARTERLY", "2023-10-31", "LAST", "1"),
    ("HALF_YEARLY", "2023-07-15", "15", "1"),
    ("HALF_YEARLY", "2023-10-15", "15", "4"),
    ("HALF_YEARLY", "2023-12-15", "15", "6"),
    ("ANNUALLY", "2023-01-15", "15", "1"),
    ("ANNUALLY", "2024-02-29", "LAST", "2"),
    ("ANNUALLY", "2023-02-28", "LAST", "2"),
    ("ANNUALLY", "2024-02-28", "28", "2"),
    ("ANNUALLY", "2023-08-15", "15", "8"),
    ("ANNUALLY", "2023-12-15", "15", "12"),
]


@pytest.mark.parametrize(("interval", "start", "day", "month"), ANNIVERSARIES)
def test_anniversary_offsets(interval: str, start: str, day: str, month: str) -> None:
    found = anniversary(date.fromisoformat(start), Interval(interval), "Asia/Tokyo")
    assert (found.day, found.month, found.zone) == (day, month, "Asia/Tokyo")


@settings(max_examples=300, deadline=None)
@given(st.dates(date(1970, 1, 2), date(9990, 1, 1)), st.sampled_from(list(Interval)), zones)
def test_an_anniversary_calendar_begins_with_a_whole_cycle(start: date, interval: Interval, zone: str) -> None:
    calendar = anniversary(start, interval, zone)
    begin = clock_oracle.midnight(start, zone)
    assert calendar.cycle_at(begin).start == begin


@pytest.mark.parametrize(
    ("interval", "day", "month", "zone", "field"),
    [
        ("DAILY", "1", "NIL", "UTC", "interval"),
        ("monthly", "1", "NIL", "UTC", "interval"),
        ("MONTHLY", "0", "NIL", "UTC", "day"),
        ("MONTHLY", "32", "NIL", "UTC", "day"),
        ("MONTHLY", "01", "NIL", "UTC", "day"),
        ("MONTHLY", "", "NIL", "UTC", "day"),
        ("MONTHLY", "-1", "NIL", "UTC", "day"),
        ("MONTHLY", " 1", "NIL", "UTC", "day"),
        ("MONTHLY", "\u0661", "NIL", "UTC", "day"),
        ("MONTHLY", "FIRST", "NIL", "UTC", "day"),
        ("WEEKLY", "8", "NIL", "UTC", "day"),
        ("MONTHLY", "1", "1", "UTC", "month"),
        ("MONTHLY", "1", "FIRST", "UTC", "month"),
        ("WEEKLY", "1", "LAST", "UTC", "month"),
        ("QUARTERLY", "1", "4", "UTC", "month"),
        ("QUARTERLY", "1", "NIL", "UTC", "month"),
        ("QUARTERLY", "1", "", "UTC", "month"),
        ("HALF_YEARLY", "1", "7", "UTC", "month"),
        ("ANNUALLY", "1", "13", "UTC", "month"),
        ("ANNUALLY", "1", "0", "UTC", "month"),
        ("MONTHLY", "1", "NIL", "Mars/Olympus", "zone"),
        ("MONTHLY", "1", "NIL", "", "zone"),
        ("MONTHLY", "1", "NIL", "../UTC", "zone"),
        ("MONTHLY", "1", "NIL", "Europe", "zone"),
        ("MONTHLY", "1", "NIL", "utc", "zone"),
        ("MONTHLY", "1", "NIL", "UTC\0", "zone"),
    ],
)
def test_a_calendar_names_the_field_that_is_wrong(interval: str, day: str, month: str, zone: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        Calendar.parse(interval, day, month, zone)
    assert caught.value.field == field
    if field == "interval":
        with pytest.raises(Invalid):
            Calendar(interval, day, month, zone)  # type: ignore[arg-type]


def test_absent_offsets_are_the_natural_ones() -> None:
    assert Calendar.parse("WEEKLY", None, None, "UTC") == Calendar(Interval.WEEKLY, "1", "NIL", "UTC")
    assert Calendar.parse("MONTHLY", None, None, "UTC") == Calendar(Interval.MONTHLY, "1", "NIL", "UTC")
    assert Calendar.parse("ANNUALLY", None, None, "UTC") == Calendar(Interval.ANNUALLY, "1", "FIRST", "UTC")


def test_cycles_are_cut_to_the_period() -> None:
    calendar = Calendar(Interval.MONTHLY, "1", "NIL", "UTC")
    period = Period(datetime(2024, 1, 20, 5, tzinfo=UTC), datetime(2024, 3, 10, tzinfo=UTC))
    assert list(calendar.cycles(period)) == [
        Period(period.start, datetime(2024, 2, 1, tzinfo=UTC)),
        Period(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        Period(datetime(2024, 3, 1, tzinfo=UTC), period.end),
    ]


@settings(max_examples=100, deadline=None)
@given(calendars(), zones, moments(1971, 2090))
def test_a_change_of_zone_leaves_no_gap(calendar: Calendar, zone: str, moment: datetime) -> None:
    """After the open cycle in the old zone comes a stub up to the first boundary in the new one."""
    moved = Calendar(calendar.interval, calendar.day, calendar.month, zone)
    old = calendar.cycle_at(moment)
    stub, following = list(moved.cycles(Period(old.end, moved.cycle_at(moved.cycle_at(old.end).end).end)))
    assert stub.start == old.end
    assert stub.end == following.start == moved.cycle_at(old.end).end


class TestTheEndsOfTime:
    @given(calendars())
    @settings(max_examples=200, deadline=None)
    def test_first_and_last_cycle_are_cut(self, calendar: Calendar) -> None:
        assert calendar.cycle_at(FIRST).start == FIRST
        assert calendar.cycle_at(FOREVER - TICK).end == FOREVER

    def test_the_year_10000_does_not_come(self) -> None:
        """Where New Year 9999 comes early, the cycle that begins then would end beyond what a date can say."""
        last = Calendar(Interval.ANNUALLY, "1", "1", "Pacific/Kiritimati").cycle_at(FOREVER - TICK)
        assert last == Period(parse_instant("9998-12-31T10:00Z"), FOREVER)

    @pytest.mark.parametrize(
        "outside", [FIRST - TICK, FOREVER, datetime.max.replace(tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)]
    )
    def test_instants_outside_are_refused(self, outside: datetime) -> None:
        with pytest.raises(Invalid, match="instant: must lie in"):
            Calendar(Interval.WEEKLY, "1", "NIL", "Pacific/Kiritimati").cycle_at(outside)


def test_a_clock_set_back_across_midnight_belongs_to_the_cycle_that_began() -> None:
    calendar = Calendar(Interval.WEEKLY, "7", "NIL", "America/St_Johns")
    late = parse_instant("1987-10-25T02:45:00Z")
    assert local_date(late, "America/St_Johns") == date(1987, 10, 24)
    assert calendar.cycle_at(late).start == parse_instant("1987-10-25T02:30:00Z")


class GapAroundMidnight(tzinfo):
    """A clock that jumps from 23:30 on 31 January 2030 to 00:30: no zone has done so since 1970, but one may yet."""

    jump = datetime(2030, 1, 31, 23, 30, tzinfo=UTC)

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        reading = moment.replace(tzinfo=UTC, fold=0)
        skipped = self.jump <= reading < self.jump + timedelta(hours=1)
        return timedelta(hours=moment.fold if skipped else reading >= self.jump)

    def fromutc(self, moment: datetime) -> datetime:
        return moment + timedelta(hours=moment.replace(tzinfo=UTC) >= self.jump)

    def dst(self, _moment: datetime | None) -> None:
        return None

    def tzname(self, _moment: datetime | None) -> str:
        return "gap"


def test_a_gap_around_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycles, "zone_rules", lambda _name, _field="zone": GapAroundMidnight())
    calendar = Calendar(Interval.MONTHLY, "1", "NIL", "Test/GapAroundMidnight")
    start = datetime(2030, 2, 1, tzinfo=UTC)
    # Half an hour of what the clock calls February still belongs to January.
    assert calendar.cycle_at(start - TICK).end == start
    assert calendar.cycle_at(start - timedelta(minutes=30)) == calendar.cycle_at(start - timedelta(days=1))
    assert calendar.cycle_at(start).start == start


@settings(max_examples=100, deadline=None)
@given(calendars(), moments(1971, 2090), st.floats(0.01, 0.99))
def test_days_of_the_parts_are_the_days_of_the_whole(calendar: Calendar, moment: datetime, share: float) -> None:
    whole = calendar.cycle_at(moment)
    cut = whole.start + (whole.end - whole.start) * share
    parts = [Period(whole.start, cut), Period(cut, whole.end)]
    assert sum(days_in(part, calendar.zone) for part in parts) == days_in(whole, calendar.zone)


def test_days_in_a_month() -> None:
    june = Calendar(Interval.MONTHLY, "1", "NIL", "Europe/Berlin").cycle_at(datetime(2024, 6, 3, tzinfo=UTC))
    assert days_in(june, "Europe/Berlin") == 30
    march = Calendar(Interval.MONTHLY, "1", "NIL", "Europe/Berlin").cycle_at(datetime(2024, 3, 3, tzinfo=UTC))
    assert days_in(march, "Europe/Berlin") == 31
