"""How a period is taken apart: whole days of UTC, and quarters of an hour around them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.usage import quantities

QUARTER = timedelta(minutes=15)
START = datetime(2024, 2, 27, tzinfo=UTC)
whole_days, spans = (quantities.__dict__[name] for name in ("_whole_days", "_spans"))


@given(st.lists(st.integers(0, 6 * 96), min_size=2, max_size=9).map(sorted))
def test_every_quarter_of_an_hour_is_counted_once_and_for_the_right_interval(places: list[int]) -> None:
    grid = [START + place * QUARTER for place in places]
    first_days, last_days, first_buckets, last_buckets = spans(grid)
    counted = [0] * (6 * 96)
    for first, last in zip(first_days, last_days, strict=True):
        assert first < last
        day = first
        while day < last:
            assert (day.hour, day.minute) == (0, 0)
            holding = [n for n, (low, high) in enumerate(pairwise(grid)) if low <= day < high]
            assert holding == [n for n, (low, high) in enumerate(pairwise(grid)) if low < day + timedelta(1) <= high]
            for quarter in range(96):
                counted[(day - START) // QUARTER + quarter] += 1
            day += timedelta(days=1)
    for first, last in zip(first_buckets, last_buckets, strict=True):
        assert first < last
        for quarter in range((first - START) // QUARTER, (last - START) // QUARTER):
            counted[quarter] += 1
    assert counted == [int(places[0] <= quarter < places[-1]) for quarter in range(6 * 96)]


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2024-02-01T00:00Z", "2024-03-01T00:00Z", ("2024-02-01T00:00Z", "2024-03-01T00:00Z")),
        ("2024-02-01T05:00Z", "2024-03-01T05:00Z", ("2024-02-02T00:00Z", "2024-03-01T00:00Z")),
        ("2024-02-01T00:15Z", "2024-02-02T23:45Z", None),
        ("2024-02-01T00:15Z", "2024-02-02T00:00Z", None),
        ("2024-02-01T00:00Z", "2024-02-02T00:00Z", ("2024-02-01T00:00Z", "2024-02-02T00:00Z")),
        ("2024-02-01T00:00+05:30", "2024-02-03T00:00+05:30", ("2024-02-01T00:00Z", "2024-02-02T00:00Z")),
        ("2024-02-01T00:00Z", "2024-02-01T00:00Z", None),
        ("0001-01-01T00:15Z", "9999-12-31T23:45Z", ("0001-01-02T00:00Z", "9999-12-31T00:00Z")),
        ("9999-12-31T00:15Z", "9999-12-31T23:45Z", None),
    ],
)
def test_days_are_those_of_utc(first: str, last: str, days: tuple[str, str] | None) -> None:
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    expected = (end, end) if days is None else tuple(map(datetime.fromisoformat, days))
    assert whole_days(start, end) == expected
