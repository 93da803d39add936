"""Instants as text, and half-open periods."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.period import FIRST, FOREVER, Period, parse_instant, show_instant, utc
from tests.core.clock_oracle import moments


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2023-11-16T18:15:46.6805900Z", "2023-11-16T18:15:46.680590Z"),
        ("2023-11-16 18:15:46.6805900", "2023-11-16T18:15:46.680590Z"),
        ("2023-11-16T18:15:46.123456789012Z", "2023-11-16T18:15:46.123456Z"),
        ("2023-11-16T18:15:46.9999999Z", "2023-11-16T18:15:46.999999Z"),
        ("2023-11-16T18:15:46,5Z", "2023-11-16T18:15:46.500000Z"),
        ("2023-11-16T18:15:46.5+02:00", "2023-11-16T16:15:46.500000Z"),
        ("2023-11-16T18:15:46+0530", "2023-11-16T12:45:46Z"),
        ("2023-11-16T18:15:46-07", "2023-11-17T01:15:46Z"),
        ("2023-11-16T18:15:46-00:00", "2023-11-16T18:15:46Z"),
        ("2024-01-01T03:04:05.000000", "2024-01-01T03:04:05Z"),
        ("2023-11-16T18:15", "2023-11-16T18:15:00Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        (" 2024-02-29\n", "2024-02-29T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("9999-01-01T00:00:00Z", "9999-01-01T00:00:00Z"),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
    ],
)
def test_instants(text: str, shown: str) -> None:
    assert show_instant(parse_instant(text)) == shown
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "20231116",
        "1700000000",
        "2023-W46-4",
        "2023-320",
        "2023-11",
        "2023-02-29",
        "2023-13-01",
        "0000-01-01",
        "10000-01-01",
        "-2023-01-01",
        "2023-11-16T18",
        "2023-11-16T24:00",
        "2023-11-16T18:60",
        "2016-12-31T23:59:60Z",  # a leap second has no place on this clock
        "2023-11-16x18:15",
        "2023-11-16T18:15:46.",
        "2023-11-16T18:15:46.Z",
        "2023-11-16T18:15:46 Z",
        "2023-11-16T18:15:46 +02:00",
        "2023-11-16T18:15:46+24:00",
        "2023-11-16T18:15:46+00:00:30",
        "2023-11-16T18:15:46z",
        "2023-11-16Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:00:00-05:00",
        "2023-11-16T18:15:46.\u0661Z",
        "2023-11-1\uff16",
        "2023-11-16\x00",
        "\ud800",
        "9" * 100_000,
        "2023-11-16T18:15:46." + "9" * 100_000 + "x",
    ],
)
def test_what_is_not_an_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_instant(text)
    assert len(str(caught.value)) < 500


@settings(deadline=None)
@given(moments(1, 9999))
def test_what_is_shown_reads_back(moment: datetime) -> None:
    assert parse_instant(show_instant(moment)) == moment


@settings(deadline=None)
@given(moments(1900, 2100), st.integers(-1439, 1439))
def test_an_offset_does_not_move_the_instant(moment: datetime, minutes: int) -> None:
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_instant(there.isoformat()) == moment
    assert utc(there) == moment
    assert utc(there).tzinfo is UTC
    assert utc(moment.replace(tzinfo=None)) == moment


def hour(number: int) -> datetime:
    return datetime(2024, 2, 29, number, tzinfo=UTC)


def test_a_period_is_half_open_and_never_empty() -> None:
    period = Period(hour(1), hour(3))
    assert [hour(n) in period for n in range(5)] == [False, True, True, False, False]
    assert hour(3) - timedelta(microseconds=1) in period
    assert FIRST in Period(FIRST, FOREVER)
    assert FOREVER not in Period(FIRST, FOREVER)
    for end in (hour(1), hour(0)):
        with pytest.raises(ValueError, match="must end after it starts"):
            Period(hour(1), end)


hours = st.integers(0, 23)


@settings(deadline=None)
@given(st.tuples(hours, hours).filter(lambda x: x[0] < x[1]), st.tuples(hours, hours).filter(lambda x: x[0] < x[1]))
def test_the_overlap_is_what_lies_in_both(one: tuple[int, int], other: tuple[int, int]) -> None:
    a, b = (Period(hour(start), hour(end)) for start, end in (one, other))
    both = [n for n in range(24) if hour(n) in a and hour(n) in b]
    found = a.overlap(b)
    assert found == b.overlap(a)
    assert [n for n in range(24) if found and hour(n) in found] == both
