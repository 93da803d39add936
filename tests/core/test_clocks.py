"""Midnights, days of grace and buckets: tables of clocks that do odd things, and the oracle that reads them."""

import zoneinfo
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.cycles import (
    BUCKET,
    ZONES,
    add_days,
    bucket_start,
    buckets,
    grace_end,
    local_midnight,
    on_grid,
    zone_rules,
)
from bursar.core.errors import Invalid
from bursar.core.period import FIRST, FOREVER, Period, parse_instant
from tests.core import clock_oracle
from tests.core.clock_oracle import moments, odd_zones, zones

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("day", "zone", "instant"),
    [
        ("2024-07-01", "UTC", "2024-07-01"),
        ("2024-07-01", "Asia/Kathmandu", "2024-06-30T18:15Z"),
        ("2024-03-10", "America/Havana", "2024-03-10T05:00Z"),  # skipped: the clock went from 23:59:59 to 01:00
        ("2024-11-03", "America/Havana", "2024-11-03T04:00Z"),  # twice: the clock went from 01:00 back to 00:00
        ("2018-02-18", "America/Sao_Paulo", "2018-02-18T03:00Z"),  # 24:00 became 23:00: the second is this day's
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00Z"),  # the whole day was skipped
        ("2011-12-31", "Pacific/Apia", "2011-12-30T10:00Z"),
        ("1972-01-06", "Africa/Monrovia", "1972-01-06T00:44:30Z"),
        ("1972-01-07", "Africa/Monrovia", "1972-01-07T00:44:30Z"),
        ("1972-01-08", "Africa/Monrovia", "1972-01-08"),
    ],
)
def test_local_midnight(day: str, zone: str, instant: str) -> None:
    assert local_midnight(date.fromisoformat(day), zone) == parse_instant(instant)
    assert clock_oracle.midnight(date.fromisoformat(day), zone) == parse_instant(instant)


@pytest.mark.parametrize(
    ("instant", "days", "zone", "expected"),
    [
        ("2024-01-31T12:00Z", 1, "UTC", "2024-02-01T12:00Z"),
        ("2024-02-28", 1, "UTC", "2024-02-29"),
        ("2024-03-30T23:00Z", 1, "Europe/Berlin", "2024-03-31T22:00Z"),  # a day of 23 hours
        ("2024-10-26T22:00Z", 1, "Europe/Berlin", "2024-10-27T23:00Z"),  # a day of 25 hours
        ("2024-03-30T01:30Z", 1, "Europe/Berlin", "2024-03-31T01:30Z"),  # 02:30 is skipped: read as 03:30
        ("2024-10-26T00:30Z", 1, "Europe/Berlin", "2024-10-27T00:30Z"),  # 02:30 comes twice: the first
        ("2024-10-27T01:30Z", 0, "Europe/Berlin", "2024-10-27T01:30Z"),  # the second 02:30 stays itself
        ("2024-10-27T01:30Z", 1, "Europe/Berlin", "2024-10-28T01:30Z"),
        ("2024-03-10T05:00Z", 3, "America/Havana", "2024-03-13T04:00Z"),  # from a skipped midnight to a midnight
        ("2024-03-07T05:00Z", 3, "America/Havana", "2024-03-10T05:00Z"),
        ("2011-12-29T10:00Z", 1, "Pacific/Apia", "2011-12-30T10:00Z"),
        ("2011-12-29T10:00Z", 2, "Pacific/Apia", "2011-12-30T10:00Z"),
        ("2024-03-01", -1, "UTC", "2024-02-29"),
    ],
)
def test_add_days(instant: str, days: int, zone: str, expected: str) -> None:
    assert add_days(parse_instant(instant), days, zone) == parse_instant(expected)


@settings(max_examples=200, deadline=None)
@given(st.dates(date(1970, 1, 3), date(2100, 1, 1)), st.integers(0, 400), zones | odd_zones)
def test_grace_ends_at_a_midnight(day: date, days: int, zone: str) -> None:
    end = clock_oracle.midnight(day, zone)
    # Where a day was left out, its midnight is the next day's, and the clock shows that one.
    shown = clock_oracle.clock(end, zone).date()
    assert grace_end(end, days, zone) == clock_oracle.midnight(shown + timedelta(days=days), zone)
    assert grace_end(end, days, zone) >= end


def test_negative_grace_is_refused() -> None:
    with pytest.raises(Invalid, match="grace_days: must not be negative"):
        grace_end(FIRST, -1, "UTC")


@settings(deadline=None)
@given(moments(1970, 2100))
def test_bucket_start(moment: datetime) -> None:
    start = bucket_start(moment)
    # Counted from the epoch in whole microseconds, where a bucket has 900 million of them.
    assert (start - FIRST) // TICK % 900_000_000 == 0
    assert start <= moment < start + BUCKET
    assert bucket_start(moment.astimezone(zone_rules("Asia/Kathmandu"))) == start
    assert on_grid(moment) == (start == moment)


@settings(deadline=None)
@given(moments(1970, 2100), st.timedeltas(TICK, timedelta(hours=3)))
def test_buckets_tile_the_period(start: datetime, length: timedelta) -> None:
    period = Period(start, start + length)
    cut = buckets(period)
    pieces = sorted([*cut.edges, *([cut.whole] if cut.whole else [])])
    assert pieces[0].start == period.start
    assert pieces[-1].end == period.end
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(edge.end - edge.start < BUCKET for edge in cut.edges)
    if cut.whole:
        assert on_grid(cut.whole.start)
        assert on_grid(cut.whole.end)


@pytest.mark.parametrize(
    ("start", "end", "whole", "edges"),
    [
        ("10:00", "11:00", ("10:00", "11:00"), []),
        ("10:05", "10:10", None, [("10:05", "10:10")]),
        ("10:05", "10:15", None, [("10:05", "10:15")]),
        ("10:00", "10:10", None, [("10:00", "10:10")]),
        ("10:05", "10:20", None, [("10:05", "10:15"), ("10:15", "10:20")]),
        ("10:05", "10:40", ("10:15", "10:30"), [("10:05", "10:15"), ("10:30", "10:40")]),
        ("10:00", "10:40", ("10:00", "10:30"), [("10:30", "10:40")]),
        ("10:05", "10:30", ("10:15", "10:30"), [("10:05", "10:15")]),
    ],
)
def test_buckets(start: str, end: str, whole: tuple[str, str] | None, edges: list[tuple[str, str]]) -> None:
    def span(pair: tuple[str, str]) -> Period:
        return Period(*(parse_instant(f"2024-05-01T{text}") for text in pair))

    cut = buckets(span((start, end)))
    assert cut.whole == (span(whole) if whole else None)
    assert list(cut.edges) == [span(edge) for edge in edges]


def test_which_boundaries_lie_on_the_grid() -> None:
    """Every zone's midnights do today; local mean time did not."""
    assert all(on_grid(local_midnight(date(2024, month, 1), zone)) for zone in ZONES for month in (1, 7))
    assert not on_grid(local_midnight(date(1972, 1, 1), "Africa/Monrovia"))
    assert on_grid(local_midnight(date(1972, 2, 1), "Africa/Monrovia"))


def test_zone_rules_come_from_the_package_alone() -> None:
    assert zoneinfo.TZPATH == ()
    assert len(ZONES) > 590
    assert "localtime" not in ZONES


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "UTC"])
def test_dates_outside_are_held_within(zone: str) -> None:
    assert local_midnight(date.min, zone) == FIRST
    assert local_midnight(date.max, zone) == FOREVER
    assert local_midnight(date(1969, 12, 31), zone) == FIRST


@pytest.mark.parametrize("days", [10**5, 2**31, 10**12])
def test_days_beyond_the_end(days: int) -> None:
    assert add_days(FOREVER, days, "Etc/GMT+12") == FOREVER
    assert add_days(FIRST, -days, "Pacific/Kiritimati") == FIRST
    assert grace_end(FOREVER, days, "UTC") == FOREVER
