"""Durations against what calendars say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.durations import parse_duration
from bursar.core.period import FIRST, FOREVER


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


CASES = [
    ("PT0S", "2024-05-10T12:00:00+00:00", "UTC", "2024-05-10T12:00:00+00:00"),
    ("P20D", "2023-07-31T15:51:34.308371+00:00", "UTC", "2023-08-20T15:51:34.308371+00:00"),
    ("P1M", "2024-01-31T10:00:00+00:00", "UTC", "2024-02-29T10:00:00+00:00"),
    ("P1Y", "2024-02-29T00:00:00+00:00", "UTC", "2025-02-28T00:00:00+00:00"),
    ("P1Y2M3W4DT5H6M7.5S", "2024-01-01T00:00:00+00:00", "UTC", "2025-03-26T05:06:07.5+00:00"),
    ("P1M", "2024-12-15T00:00:00+00:00", "UTC", "2025-01-15T00:00:00+00:00"),
    # A day over the change to summer time has 23 hours; 24 hours are 24 hours.
    ("P1D", "2024-03-30T12:00:00+01:00", "Europe/Berlin", "2024-03-31T12:00:00+02:00"),
    ("PT24H", "2024-03-30T12:00:00+01:00", "Europe/Berlin", "2024-03-31T13:00:00+02:00"),
    # Beirut's clock skips midnight: the day begins at one o'clock.
    ("P1D", "2024-03-30T00:00:00+02:00", "Asia/Beirut", "2024-03-31T01:00:00+03:00"),
    ("P1M", "2024-05-31T22:30:00+00:00", "Europe/Berlin", "2024-06-30T22:30:00+00:00"),
    ("P9999Y", "2024-01-01T00:00:00+00:00", "UTC", "9999-01-01T00:00:00+00:00"),
    ("P7974Y9999999D", "2024-01-01T00:00:00+00:00", "UTC", "9999-01-01T00:00:00+00:00"),
]


@pytest.mark.parametrize(("text", "start", "zone", "end"), CASES)
def test_a_duration_leads_to_an_instant(text: str, start: str, zone: str, end: str) -> None:
    assert parse_duration(text).after(at(start), zone) == at(end)


OTHERS = ("", "P", "PT", "P1", "1D", "-P1D", "P-1D", "P1DT", "P1H", "PT1D", "P1.5D", "p1d", "P1D\n", "P١D", "P1M1Y")


@pytest.mark.parametrize("text", OTHERS)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an ISO 8601 duration"):
        parse_duration(text)


@given(st.integers(0, 10**6), st.integers(0, 10**7), st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1)))
def test_days_and_seconds_in_utc_are_what_timedelta_says(days: int, seconds: int, moment: datetime) -> None:
    start = moment.replace(tzinfo=UTC)
    try:
        expected = min(start + timedelta(days=days, seconds=seconds), FOREVER)
    except OverflowError:
        expected = FOREVER
    assert parse_duration(f"P{days}DT{seconds}S").after(start, "UTC") == expected >= FIRST
