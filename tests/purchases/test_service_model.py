"""When services renew, who can pay, and what variables say, against tables and another way of computing."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bursar.core.cycles import ZONES, zone_rules
from bursar.core.period import FIRST, FOREVER
from bursar.purchases.provisioning import Counter, Provisioning, counters, verified
from bursar.purchases.service_model import (
    Due,
    Limits,
    Refused,
    Renewed,
    RenewPeriod,
    enough,
    next_renewal,
    renewal,
    schedule_problems,
)

DAY, MONTH = RenewPeriod.DAY, RenewPeriod.MONTH
FREE = Provisioning.FREE_MINUTES


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("period", "zone", "now", "expected"),
    [
        (DAY, "UTC", "2024-03-15T10:30:00+00:00", "2024-03-16T00:00:00+00:00"),
        (DAY, "UTC", "2024-03-15T00:00:00+00:00", "2024-03-16T00:00:00+00:00"),
        (DAY, "UTC", "2024-02-28T23:59:59+00:00", "2024-02-29T00:00:00+00:00"),
        (DAY, "UTC", "2023-02-28T23:59:59+00:00", "2023-03-01T00:00:00+00:00"),
        (DAY, "UTC", "2024-12-31T12:00:00+00:00", "2025-01-01T00:00:00+00:00"),
        (MONTH, "UTC", "2024-01-31T12:00:00+00:00", "2024-02-01T00:00:00+00:00"),
        (MONTH, "UTC", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        (MONTH, "UTC", "2024-02-29T12:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        (MONTH, "UTC", "2024-12-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"),
        # The local date decides: it is still May in New York, already June in Kiritimati.
        (MONTH, "America/New_York", "2024-06-01T03:59:00+00:00", "2024-06-01T04:00:00+00:00"),
        (MONTH, "Pacific/Kiritimati", "2024-05-31T10:00:00+00:00", "2024-06-30T10:00:00+00:00"),
        # Summer time begins and ends at night: days of 23 and 25 hours.
        (DAY, "Europe/Kyiv", "2024-03-31T12:00:00+03:00", "2024-04-01T00:00:00+03:00"),
        (DAY, "Europe/Kyiv", "2024-03-30T12:00:00+02:00", "2024-03-31T00:00:00+02:00"),
        (DAY, "Europe/Kyiv", "2024-10-27T12:00:00+02:00", "2024-10-28T00:00:00+02:00"),
        (MONTH, "Europe/Kyiv", "2024-03-15T12:00:00+02:00", "2024-04-01T00:00:00+03:00"),
        # No midnight on that day: it begins at one.
        (DAY, "Africa/Cairo", "2024-04-25T20:00:00+02:00", "2024-04-26T01:00:00+03:00"),
        # The clock goes from midnight back to eleven: Sunday has begun, and Saturday shows again.
        (DAY, "America/Havana", "2024-11-03T00:30:00-04:00", "2024-11-04T00:00:00-05:00"),
        (DAY, "America/Asuncion", "2024-03-23T23:30:00-03:00", "2024-03-24T00:00:00-04:00"),
        (DAY, "America/Asuncion", "2024-03-23T23:30:00-04:00", "2024-03-24T00:00:00-04:00"),
        # Samoa left out the 30th of December.
        (DAY, "Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00"),
        (MONTH, "Asia/Kathmandu", "2024-05-31T18:14:59+00:00", "2024-05-31T18:15:00+00:00"),
        (MONTH, "Asia/Kathmandu", "2024-05-31T18:15:00+00:00", "2024-06-30T18:15:00+00:00"),
    ],
)
def test_renewal_is_at_the_next_start(period: RenewPeriod, zone: str, now: str, expected: str) -> None:
    assert next_renewal(period, moment(now), zone) == moment(expected)


def by_minutes(period: RenewPeriod, now: datetime, zone: str) -> datetime:
    """The first minute after `now` at which the clock in `zone` shows a date never shown before that opens a period."""
    rules = zone_rules(zone)
    latest = now.astimezone(rules).date()
    # A date that the clock showed before it was set back is not new.
    latest = max([latest, *((now - timedelta(hours=h)).astimezone(rules).date() for h in range(1, 4))])
    minute = now.replace(second=0, microsecond=0)
    while True:
        minute += timedelta(minutes=1)
        shown = minute.astimezone(rules).date()
        if shown > latest:
            if period is DAY or (shown.year, shown.month) != (latest.year, latest.month):
                return minute
            latest = shown


@given(
    period=st.sampled_from(RenewPeriod),
    zone=st.sampled_from(sorted(ZONES)),
    day=st.dates(date(1995, 1, 1), date(2035, 12, 31)),
    minutes=st.integers(0, 1439),
)
@example(DAY, "America/Havana", date(2024, 11, 3), 4 * 60 + 30)
@example(DAY, "America/Havana", date(2024, 11, 3), 5 * 60)
@example(DAY, "Pacific/Apia", date(2011, 12, 30), 5 * 60)
def test_renewal_as_a_clock_on_the_wall_shows_it(period: RenewPeriod, zone: str, day: date, minutes: int) -> None:
    now = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minutes)
    found = next_renewal(period, now, zone)
    if period is MONTH and found - now > timedelta(days=3):
        now = found - timedelta(days=2)  # no need to watch the clock for a month: the month does not change before
        assert now.astimezone(zone_rules(zone)).month != found.astimezone(zone_rules(zone)).month
    assert found == by_minutes(period, now, zone)


@given(zone=st.sampled_from(sorted(ZONES)), now=st.datetimes(FIRST.replace(tzinfo=None), FOREVER.replace(tzinfo=None)))
def test_renewal_is_always_later(zone: str, now: datetime) -> None:
    present = min(now.replace(tzinfo=UTC), FOREVER - timedelta(microseconds=1))
    assert present < next_renewal(DAY, present, zone) <= next_renewal(MONTH, present, zone) <= FOREVER


@pytest.mark.parametrize(
    ("price", "balance", "low", "high", "allowed"),
    [
        (10, 10, 0, 100, True),
        (10, "9.999999999999", 0, 100, False),
        (10, 0, -10, 100, True),
        (10, 0, "-9.99", 100, False),
        (10, 500, 0, 100, True),  # a price does not look at the maximum
        (-10, 90, 0, 100, True),
        (-10, "90.000000000001", 0, 100, False),
        (-10, -500, 0, 100, True),  # a bonus does not look at the minimum
        (0, -500, 0, 100, True),
        (0, 500, 0, 100, True),
    ],
)
def test_who_can_pay(price: Any, balance: Any, low: Any, high: Any, allowed: bool) -> None:
    limits = Limits(Decimal(low), Decimal(high))
    assert enough(Decimal(price), Decimal(balance), limits) is allowed
    for force in (False, True):
        due = Due(1, 2, Decimal(price), DAY, force, limits)
        now = moment("2024-05-31T22:10:00+00:00")
        outcome = renewal(due, Decimal(balance), now, "Europe/Kyiv")
        if allowed or force:
            assert outcome == Renewed(due, moment("2024-06-01T21:00:00+00:00"))
        else:
            assert outcome == Refused(due, moment("2024-05-31T23:10:00+00:00"))


NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "renew_at", "problems"),
    [
        (None, None, []),
        ("Day", NOW, []),
        ("Month", NOW, []),
        ("Day", None, [("renew_at", "can't be blank")]),
        (None, NOW, [("renew_at", "must be blank")]),
        ("Disabled", NOW, [("renew_period_id", "is not included in the list")]),
        ("day", None, [("renew_period_id", "is not included in the list"), ("renew_at", "can't be blank")]),
        ("Day", FOREVER, [("renew_at", "is invalid")]),
        ("Day", FIRST - timedelta(seconds=1), [("renew_at", "is invalid")]),
    ],
)
def test_schedules(period: str | None, renew_at: datetime | None, problems: list[Any]) -> None:
    assert schedule_problems(period, renew_at) == problems


def prefix(*entries: Any) -> dict[str, Any]:
    return {"prefixes": list(entries)}


@pytest.mark.parametrize(
    ("variables", "problems"),
    [
        ({}, []),
        (prefix(), []),
        (prefix({"prefix": "1", "duration": 60}), []),
        (prefix({"prefix": "1", "duration": 0, "exclude": True}), []),
        (prefix({"prefix": "", "duration": 60}), ["prefixes.0.prefix - must be filled"]),
        (prefix({"prefix": None, "duration": None}),
         ["prefixes.0.prefix - must be filled", "prefixes.0.duration - must be filled"]),
        (prefix({}), ["prefixes.0.prefix - is missing", "prefixes.0.duration - is missing"]),
        (prefix({"prefix": "1", "duration": 1}, {"prefix": 7, "duration": "60", "exclude": "yes"}),
         ["prefixes.1.prefix - must be a string", "prefixes.1.duration - must be an integer",
          "prefixes.1.exclude - must be boolean"]),
        (prefix({"prefix": "1", "duration": Decimal("1.5")}), ["prefixes.0.duration - must be an integer"]),
        (prefix({"prefix": "1", "duration": True}), ["prefixes.0.duration - must be an integer"]),
        (prefix({"prefix": "1", "duration": -1}), ["prefixes.0.duration - must be greater than or equal to 0"]),
        (prefix({"prefix": "1", "duration": 2**31}),
         ["prefixes.0.duration - must be less than or equal to 2147483647"]),
        (prefix({"prefix": "1" * 65, "duration": 1}), ["prefixes.0.prefix - size cannot be greater than 64"]),
        (prefix("1"), ["prefixes.0 - must be a hash"]),
        ({"prefixes": {}}, ["prefixes - must be an array"]),
        ({"prefixes": ["x"] * 1001}, ["prefixes - size cannot be greater than 1000"]),
        ({"ignore_prefixes": ["1", 2]}, ["ignore_prefixes.1 - must be a string"]),
        ({"ignore_prefixes": "1"}, ["ignore_prefixes - must be an array"]),
        ([], ["must be a JSON object or empty"]),
        ("text", ["must be a JSON object or empty"]),
        (5, ["must be a JSON object or empty"]),
        ({"a": "\0"}, ["must not contain NUL"]),
        ({"a": {"\0": 1}}, ["must not contain NUL"]),
        ({"a": Decimal("1e27")}, ["numbers must lie below 10^26 and have at most 12 decimals"]),
    ],
)  # fmt: skip
def test_variables_of_free_minutes(variables: Any, problems: list[str]) -> None:
    kept, found = verified(FREE, variables, of_type=False)
    assert found == problems
    assert problems or kept == variables


def test_what_is_kept_of_variables() -> None:
    given_ = {"prefixes": [{"prefix": "1", "duration": 5, "note": "x"}], "ignore_prefixes": ["2"], "more": 1}
    entry = {"prefix": "1", "duration": 5}
    assert verified(FREE, given_, of_type=False) == ({"prefixes": [entry], "ignore_prefixes": ["2"]}, [])
    assert verified(FREE, given_, of_type=True) == ({"prefixes": [entry]}, [])
    assert verified(Provisioning.LOGGING, given_, of_type=True) == (given_, [])
    assert verified(Provisioning.PHONE_SYSTEMS, {"prefixes": 1}, of_type=False) == ({"prefixes": 1}, [])
    deep: Any = {}
    for _ in range(32):
        deep = {"a": deep}
    assert verified(Provisioning.LOGGING, deep["a"], of_type=True) == (deep["a"], [])
    assert verified(Provisioning.LOGGING, deep, of_type=True) == (None, ["must not nest more than 32 brackets"])
    for nothing in (None, ""):
        assert verified(FREE, nothing, of_type=True) == (None, [])


def test_the_prefixes_of_a_service_take_the_place_of_its_type() -> None:
    of_type = prefix({"prefix": "1", "duration": 10}, {"prefix": "2", "duration": 20}, {"prefix": "3", "duration": 30})
    own = {
        **prefix({"prefix": "2", "duration": 99, "exclude": True}, {"prefix": "4", "duration": 4}),
        "ignore_prefixes": ["1", "9"],
    }
    assert counters(of_type, own) == [Counter("2", 99, True), Counter("3", 30, False), Counter("4", 4, False)]
    assert counters(of_type, None) == [Counter("1", 10, False), Counter("2", 20, False), Counter("3", 30, False)]
    assert counters(None, None) == []
    assert counters(None, prefix({"prefix": "1", "duration": 1}, {"prefix": "1", "duration": 2})) == [
        Counter("1", 2, False)
    ]
