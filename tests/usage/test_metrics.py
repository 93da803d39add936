"""How time is cut for metrics."""

from datetime import UTC, datetime, timedelta

import pytest

from bursar.core.errors import Invalid
from bursar.usage.metrics import Step, bounds


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "step", "zone", "cuts"),
    [
        ("2024-05-01T10:30", "2024-05-01T12:10", "HOUR", "UTC", ["10:30", "11:00", "12:00", "12:10"]),
        ("2024-05-01", "2024-05-03", "DAY", "UTC", ["05-01", "05-02", "05-03"]),
        ("2024-05-01", "2024-05-15", "WEEK", "UTC", ["05-01", "05-06", "05-13", "05-15"]),
        ("2023-12-15", "2024-02-10", "MONTH", "UTC", ["12-15", "01-01", "02-01", "02-10"]),
        (
            "2024-03-30T23:00",
            "2024-04-01T22:00",
            "DAY",
            "Europe/Kyiv",
            ["03-30T23:00", "03-31T21:00", "04-01T21:00", "04-01T22:00"],
        ),
    ],
)
def test_cuts(start: str, end: str, step: Step, zone: str, cuts: list[str]) -> None:
    found = bounds(at(start), at(end), step, zone)
    assert len(found) == len(cuts)
    for moment, text in zip(found, cuts, strict=True):
        assert text in moment.isoformat()
    assert found == sorted(set(found))


def test_too_many_points_and_empty_times_are_refused() -> None:
    start = at("2024-01-01")
    assert len(bounds(start, start + timedelta(hours=300), "HOUR", "UTC")) == 301
    with pytest.raises(Invalid, match="300"):
        bounds(start, start + timedelta(hours=301), "HOUR", "UTC")
    with pytest.raises(Invalid, match="endTime"):
        bounds(start, start, "DAY", "UTC")
