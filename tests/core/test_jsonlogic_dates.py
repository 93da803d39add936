"""Instants and durations in rules."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.core.jsonlogic import EvaluationError
from tests.core.jsonlogic_cases import evaluate, rule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"date": "2024-05-28"}', "2024-05-28"),
        ('{"date": "2024-05-28T10:30:00+05:30"}', "2024-05-28T05:00:00"),
        ('{"date": "2024-05-28T10:30:00.1234567Z"}', "2024-05-28T10:30:00.123456"),
        ('{"date.add": ["2024-05-28T00:00:00Z", 90, "MINUTES"]}', "2024-05-28T01:30:00"),
        ('{"date_add": ["2024-05-28T00:00:00Z", 1, "day"]}', "2024-05-29"),
        ('{"date.add": ["2024-05-28T00:00:00Z", 1.5, "HOURS"]}', "2024-05-28T01:30:00"),
        ('{"date.add": ["2024-05-28", "2", "weeks"]}', "2024-06-11"),
        ('{"date.add": ["2024-01-31", 1, "MONTHS"]}', "2024-02-29"),
        ('{"date.add": ["2023-01-31", 1, "MONTHS"]}', "2023-02-28"),
        ('{"date.add": ["2024-01-31", 13, "MONTHS"]}', "2025-02-28"),
        ('{"date.add": ["2024-02-29", 1, "YEARS"]}', "2025-02-28"),
        ('{"date.add": ["2024-02-29", 4, "YEARS"]}', "2028-02-29"),
        ('{"date.add": ["2024-01-31", -2, "MONTHS"]}', "2023-11-30"),
        ('{"date.sub": ["2024-03-31", 1, "MONTHS"]}', "2024-02-29"),
        ('{"date_sub": ["2024-01-01T00:00:00Z", 1, "SECONDS"]}', "2023-12-31T23:59:59"),
        ('{"date.add": ["2024-01-01", "P1Y2M3W4DT5H6M7.5S"]}', "2025-03-26T05:06:07.500000"),
        ('{"date.add": ["2024-01-01", "PT2400H"]}', "2024-04-10"),
        ('{"date.add": ["2024-01-01", "-P1D"]}', "2023-12-31"),
        ('{"date.sub": ["2024-01-01", "PT-1H-30M"]}', "2024-01-01T01:30:00"),
        ('{"date.add": ["2024-01-01", {"duration.of": ["100", "DAYS"]}]}', "2024-04-10"),
        ('{"date.add": [{"date.add": ["2024-01-01", 1, "DAY"]}, 1, "MILLIS"]}', "2024-01-02T00:00:00.001000"),
    ],
)
def test_instants(text: str, expected: str) -> None:
    assert evaluate(text) == at(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"duration.of": [100, "SECONDS"]}', "PT1M40S"),
        ('{"duration.of": [100, "DAYS"]}', "PT2400H"),
        ('{"duration.of": [-90, "MINUTES"]}', "PT-1H-30M"),
        ('{"duration.of": [0, "DAYS"]}', "PT0S"),
        ('{"duration_of": [1.5, "SECONDS"]}', "PT1.5S"),
        ('{"duration.of": [2, "YEARS"]}', "P24M"),
        ('{"duration.between": ["2024-05-28", "2024-09-05"]}', "PT2400H"),
        ('{"duration.between": ["2024-05-28T00:00:01Z", "2024-05-28"]}', "PT-1S"),
        ('{"duration.as": ["PT100S", "SECONDS"]}', 100),
        ('{"duration.as": ["PT90M", "HOURS"]}', "1.5"),
        ('{"duration.as": ["PT100S", "MINUTES"]}', "1.666666666667"),
        ('{"duration.as": ["P1DT12H", "DAYS"]}', "1.5"),
        ('{"duration_as": ["P18M", "YEARS"]}', "1.5"),
        ('{"duration.as": [{"duration_between": ["2024-01-01", "2024-01-02T06:00:00Z"]}, "HOURS"]}', 30),
        ('{"date.year": "2024-05-28T23:30:00-02:00"}', 2024),
        ('{"date.month": "2024-05-28"}', 5),
        ('{"date.day": "2024-05-28T23:30:00-02:00"}', 29),
        ('{"date.weekday": "2024-05-26"}', 7),
        ('{"date.hour": "2024-05-28T23:30:00-02:00"}', 1),
        ('{"cat": ["on ", {"date": "2024-05-28"}]}', "on 2024-05-28T00:00:00Z"),
        ('{"contains": [{"date": "2024-05-28"}, "28"]}', True),
        ('{"==": [{"date": "2024-05-28"}, "2024-05-28T05:30:00+05:30"]}', True),
        ('{"==": [{"date": "2024-05-28"}, "no date"]}', False),
        ('{"===": [{"date": "2024-05-28"}, {"date": "2024-05-28T00:00:00Z"}]}', True),
        ('{"<": [{"date": "2024-05-28"}, "2024-05-28T00:00:00.000001Z"]}', True),
        ('{"<": ["2024-01-01", {"date": "2024-05-28"}, "2024-12-31"]}', True),
        ('{"<": [{"date": "2024-05-28"}, 5]}', False),
        ('{"<": [{"date": "2024-05-28"}, null]}', False),
    ],
)
def test_values(text: str, expected: object) -> None:
    value = evaluate(text)
    assert value == (Decimal(str(expected)) if isinstance(value, Decimal) else expected)


@pytest.mark.parametrize(
    "text",
    [
        '{"date": {"var": "x"}}',
        '{"date": [{"var": "number"}]}',
        '{"date": {"cat": ["2024-13-01", {"var": "x"}]}}',
        '{"date.add": [{"var": "day"}, 1, "FORTNIGHTS"]}',
        '{"date.add": [{"var": "day"}, 0.5, "MONTHS"]}',
        '{"date.add": [{"var": "day"}, 0.0000001, "SECONDS"]}',
        '{"date.add": [{"var": "day"}, 9999, "YEARS"]}',
        '{"date.sub": [{"var": "day"}, 9999, "YEARS"]}',
        '{"date.add": [{"var": "day"}, 1e50, "YEARS"]}',
        '{"date.add": [{"var": "day"}, 1e50, "SECONDS"]}',
        '{"date.add": [{"var": "day"}, 999999999999, "SECONDS"]}',
        '{"date.add": [{"var": "day"}, "P999999999Y"]}',
        '{"date.add": [{"var": "day"}, "P999999999W"]}',
        '{"date.add": [{"var": "day"}, "P"]}',
        '{"date.add": [{"var": "day"}, "P1DT"]}',
        '{"date.add": [{"var": "day"}, "1D"]}',
        '{"date.add": [{"var": "day"}, "P1.5D"]}',
        '{"date.add": [{"var": "day"}, 1]}',
        '{"duration.as": [{"if": [{"var": "day"}, "P1M"]}, "DAYS"]}',
        '{"duration.as": [{"if": [{"var": "day"}, "P1D"]}, "MONTHS"]}',
        '{"duration.between": [{"var": "day"}, 5]}',
    ],
)
def test_no_value(text: str) -> None:
    with pytest.raises(EvaluationError):
        evaluate(text, '{"day": "2024-05-28", "number": 20240528, "x": null}')


def test_instants_in_data() -> None:
    data = {"at": datetime(2024, 5, 28, 2, tzinfo=timezone(timedelta(hours=2)))}
    assert rule('{"date.add": [{"var": "at"}, 1, "HOUR"]}').evaluate(data) == at("2024-05-28T01:00:00")
    assert rule('{"<": [{"var": "at"}, "2024-05-28T00:00:01Z"]}').truthy(data)
    assert rule('{"var": "at"}').show(data) == "2024-05-28T00:00:00Z"


instants = st.integers(-(10**15) * 2, 4 * 10**15).map(lambda micros: at("1970-01-01") + timedelta(microseconds=micros))


@settings(max_examples=150, deadline=None)
@given(instants, instants)
def test_between_leads_from_one_to_the_other(start: datetime, end: datetime) -> None:
    data = {"start": start.isoformat(), "end": end.isoformat()}
    span = '{"duration.between": [{"var": "start"}, {"var": "end"}]}'
    assert rule(f'{{"date.add": [{{"var": "start"}}, {span}]}}').evaluate(data) == end
    assert rule(f'{{"date.sub": [{{"var": "end"}}, {span}]}}').evaluate(data) == start
    micros = (end - start) // timedelta(microseconds=1)
    assert rule(f'{{"duration.as": [{span}, "SECONDS"]}}').number(data) == Decimal(micros).scaleb(-6)


@settings(max_examples=150, deadline=None)
@given(instants, st.integers(-600, 600))
def test_months_keep_the_day_or_take_the_last(start: datetime, months: int) -> None:
    moved = rule('{"date.add": [{"var": "start"}, {"var": "months"}, "MONTHS"]}').evaluate(
        {"start": start.isoformat(), "months": Decimal(months)}
    )
    assert (moved.year - start.year) * 12 + moved.month - start.month == months
    assert moved.timetz() == start.timetz()
    assert moved.day == start.day or (moved.day < start.day and (moved + timedelta(days=1)).day == 1)
