"""The seven invoice periods: tables of the contract, and days walked one by one as the oracle of their tiling."""

import itertools
import os
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.cycles import ZONES
from bursar.core.errors import Invalid
from bursar.core.invoice_periods import InvoicePeriod, InvoiceType, period_at, period_before, type_of
from bursar.core.period import FIRST, FOREVER, Period
from tests.core.clock_oracle import clock, midnight, moments, odd_zones, zones

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
LONG = bool(os.environ.get("BURSAR_EVERY_ZONE"))
"""Whether to look at every zone rather than at a few, which takes minutes."""


def monday_in(day: date) -> bool:
    return day.isoweekday() == 1


def fortnight_begins(day: date) -> bool:
    """A Monday of an even week; or of week 53, where the fortnight from week 52 would end on no even one."""
    return monday_in(day) and (day.isocalendar()[1] % 2 == 0 or day.isocalendar()[1] == 53)


BEGINS: dict[InvoicePeriod, Callable[[date], bool]] = {
    InvoicePeriod.DAILY: lambda _: True,
    InvoicePeriod.WEEKLY: monday_in,
    InvoicePeriod.BIWEEKLY: fortnight_begins,
    InvoicePeriod.MONTHLY: lambda day: day.day == 1,
    InvoicePeriod.BIWEEKLY_SPLIT: lambda day: fortnight_begins(day) or day.day == 1,
    InvoicePeriod.WEEKLY_SPLIT: lambda day: monday_in(day) or day.day == 1,
    InvoicePeriod.SEMIMONTHLY: lambda day: day.day in (1, 16),
}


@lru_cache(maxsize=512)
def first_days(kind: InvoicePeriod, start: date, end: date) -> tuple[date, ...]:
    days = (start + n * DAY for n in range((end - start).days))
    return tuple(day for day in days if BEGINS[kind](day))


def check_tiling(kind: InvoicePeriod, zone: str, start: date, end: date) -> int:
    """Walk from one period to the next over the years, and back again; returns how many there are."""
    boundaries = sorted({midnight(day, zone) for day in first_days(kind, start, end)})
    expected = [Period(a, b) for a, b in itertools.pairwise(boundaries)]
    moment, found = boundaries[0], []
    while moment < boundaries[-1]:
        period = period_at(kind, moment, zone)
        found.append(period)
        moment = period.end
    assert found == expected, (kind, zone)
    for period in expected:
        assert period_at(kind, period.end - TICK, zone) == period_before(kind, period.end, zone) == period
    return len(found)


def test_periods_tile_ten_years_in_every_zone() -> None:
    chosen = sorted(ZONES) if LONG else ["Pacific/Apia", "America/Havana", *random.sample(sorted(ZONES), 6)]
    for zone in chosen:
        # 2009 and 2015 have a week 53, Samoa left out a day of 2011, and 2012 has a February of 29 days.
        counts = [check_tiling(kind, zone, date(2007, 1, 1), date(2017, 1, 1)) for kind in InvoicePeriod]
        assert min(counts) > 110, zone


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(InvoicePeriod)), moments(1970, 9999), zones | odd_zones)
def test_every_instant_lies_in_one_period_that_begins_and_ends_at_midnight(
    kind: InvoicePeriod, instant: datetime, zone: str
) -> None:
    period = period_at(kind, instant, zone)
    assert instant in period
    for end in (period.start, period.end):
        if end in (FIRST, FOREVER):
            continue
        shown = clock(end, zone)
        # Where the clock skips midnight, the day begins as it jumps.
        assert shown.time() == datetime.min.time() or clock(end - TICK, zone).date() < shown.date(), shown
        assert any(BEGINS[kind](day) for day in (shown.date(), shown.date() - DAY))
    if period.end < FOREVER:
        assert period_at(kind, period.end, zone).start == period.end


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(InvoicePeriod)), zones | odd_zones, st.integers(1971, 2200))
def test_periods_of_any_year_tile(kind: InvoicePeriod, zone: str, year: int) -> None:
    assert check_tiling(kind, zone, date(year, 1, 1), date(year + 1, 3, 1)) >= 12


# The kind, a local day, when its period begins and ends, and what its automatic invoice is called.
DAYS = [
    (1, "2020-02-28", "2020-02-28", "2020-02-29", "AUTO_FULL"),
    (1, "2020-12-31", "2020-12-31", "2021-01-01", "AUTO_FULL"),
    (2, "2020-01-01", "2019-12-30", "2020-01-06", "AUTO_FULL"),
    (2, "2020-01-05", "2019-12-30", "2020-01-06", "AUTO_FULL"),
    (2, "2020-01-06", "2020-01-06", "2020-01-13", "AUTO_FULL"),
    (3, "2020-01-01", "2019-12-23", "2020-01-06", "AUTO_FULL"),  # week 1: the Monday of week 2
    (3, "2020-01-08", "2020-01-06", "2020-01-20", "AUTO_FULL"),  # week 2: the Monday of week 4
    (3, "2020-12-20", "2020-12-07", "2020-12-21", "AUTO_FULL"),
    (3, "2020-12-23", "2020-12-21", "2020-12-28", "AUTO_FULL"),  # week 52 before week 53 stands alone
    (3, "2020-12-31", "2020-12-28", "2021-01-11", "AUTO_FULL"),
    (4, "2020-02-29", "2020-02-01", "2020-03-01", "AUTO_FULL"),
    (4, "2020-12-01", "2020-12-01", "2021-01-01", "AUTO_FULL"),
    (5, "2020-01-25", "2020-01-20", "2020-02-01", "AUTO_PARTIAL"),
    (5, "2020-02-01", "2020-02-01", "2020-02-03", "AUTO_PARTIAL"),
    (5, "2020-02-03", "2020-02-03", "2020-02-17", "AUTO_FULL"),
    (5, "2020-06-01", "2020-06-01", "2020-06-08", "AUTO_PARTIAL"),  # the 1st is the Monday of an odd week, 23
    (5, "2020-12-23", "2020-12-21", "2020-12-28", "AUTO_PARTIAL"),
    (6, "2020-01-30", "2020-01-27", "2020-02-01", "AUTO_PARTIAL"),
    (6, "2020-02-01", "2020-02-01", "2020-02-03", "AUTO_PARTIAL"),
    (6, "2020-02-04", "2020-02-03", "2020-02-10", "AUTO_FULL"),
    (6, "2020-06-01", "2020-06-01", "2020-06-08", "AUTO_FULL"),
    (6, "2020-05-31", "2020-05-25", "2020-06-01", "AUTO_FULL"),  # a week that ends with its month is whole
    (7, "2020-02-15", "2020-02-01", "2020-02-16", "AUTO_FULL"),
    (7, "2020-02-16", "2020-02-16", "2020-03-01", "AUTO_FULL"),
    (7, "2020-12-31", "2020-12-16", "2021-01-01", "AUTO_FULL"),
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Kyiv", "America/Los_Angeles", "Pacific/Kiritimati"])
@pytest.mark.parametrize(("kind", "day", "start", "end", "name"), DAYS)
def test_the_contract_s_table(kind: int, day: str, start: str, end: str, name: str, zone: str) -> None:
    noon = midnight(date.fromisoformat(day), zone) + timedelta(hours=12)
    expected = Period(*(midnight(date.fromisoformat(text), zone) for text in (start, end)))
    assert period_at(InvoicePeriod(kind), noon, zone) == expected
    assert type_of(InvoicePeriod(kind), noon, zone) is InvoiceType[name]


def test_midnights_that_do_not_exist_or_come_twice() -> None:
    # Cuba jumps from 00:00 to 01:00: the day begins at the jump.
    jump = period_at(InvoicePeriod.DAILY, datetime(2024, 3, 10, 12, tzinfo=UTC), "America/Havana")
    assert jump == Period(datetime(2024, 3, 10, 5, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC))
    # And falls back from 01:00 to 00:00: the first of the two midnights counts.
    back = period_at(InvoicePeriod.DAILY, datetime(2024, 11, 3, 12, tzinfo=UTC), "America/Havana")
    assert back == Period(datetime(2024, 11, 3, 4, tzinfo=UTC), datetime(2024, 11, 4, 5, tzinfo=UTC))
    # Samoa left out 30 December 2011: the 29th is followed by the 31st.
    around = [datetime(2011, 12, 30, hour, tzinfo=UTC) for hour in (9, 10)]
    last, first = (period_at(InvoicePeriod.DAILY, moment, "Pacific/Apia") for moment in around)
    assert last.end == first.start == datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert first.end == datetime(2011, 12, 31, 10, tzinfo=UTC)


def test_an_end_that_no_period_has_cuts_the_one_it_lies_in() -> None:
    end = datetime(2024, 5, 15, tzinfo=UTC)
    assert period_before(InvoicePeriod.MONTHLY, end, "UTC") == Period(datetime(2024, 5, 1, tzinfo=UTC), end)


def test_what_is_outside_of_time_or_the_world_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        period_at(InvoicePeriod.DAILY, FOREVER, "UTC")
    with pytest.raises(Invalid):
        period_at(InvoicePeriod.DAILY, FIRST, "Mars/Olympus")
