"""Which version of a plan holds on which day, against days painted one by one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.catalog.definitions import CycleDefinition
from bursar.core.cycles import Calendar, Interval
from bursar.core.errors import WrongState
from bursar.core.period import FOREVER, Period
from bursar.purchases.model import MigrationMode, NewSegment, Segment, joined, may_migrate, take_over
from tests.purchases.test_model import segment

MONTHLY = CycleDefinition("MONTHLY", 3)
NY = Calendar(Interval.MONTHLY, "1", "NIL", "America/New_York")


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2024, month, day, hour, tzinfo=UTC)


YEAR = segment(at(1, 10), FOREVER)


@pytest.mark.parametrize(
    ("mode", "now", "closed", "start"),
    [
        ("NONE", at(5, 17, 9), None, None),
        ("IMMEDIATE", at(5, 17, 9), None, at(5, 17)),
        ("IMMEDIATE", at(5, 17), None, at(5, 17)),
        ("IMMEDIATE_IGNORE_OVERRIDE", at(5, 17, 9), None, at(5, 17)),
        ("NEXT_CYCLE", at(5, 17, 9), None, at(6, 1)),
        ("NEXT_CYCLE", at(6, 1), None, at(7, 1)),
        ("NEXT_CYCLE_IGNORE_OVERRIDE", at(5, 17, 9), None, at(6, 1)),
        ("START_OF_CURRENT_CYCLE", at(5, 17, 9), None, at(5, 1)),
        ("START_OF_CURRENT_CYCLE", at(1, 17, 9), None, at(1, 10)),
        ("START_OF_CURRENT_CYCLE", at(5, 17, 9), at(5, 10), at(5, 10)),
        ("IMMEDIATE", at(1, 10, 5), None, at(1, 10)),
        # An association that is yet to begin has the new version from its beginning.
        ("IMMEDIATE", at(1, 2), None, at(1, 10)),
        ("NEXT_CYCLE", at(1, 2), None, at(1, 10)),
        ("START_OF_CURRENT_CYCLE", at(1, 2), None, at(1, 10)),
    ],
)
def test_from_when_a_version_holds(mode: str, now: datetime, closed: datetime | None, start: datetime | None) -> None:
    taken = take_over(YEAR, MigrationMode(mode), now, closed, MONTHLY, MONTHLY)
    assert (taken and taken.after.start) == start
    if taken is not None:
        assert taken.calendar == YEAR.calendar
        assert taken.grace_days == 3
        whole = taken.after if taken.before is None else Period(taken.before.start, taken.after.end)
        assert whole == YEAR.period


def test_the_day_is_that_of_the_account() -> None:
    there = segment(at(1, 1, 5), FOREVER, calendar=NY)
    taken = take_over(there, MigrationMode.IMMEDIATE, at(5, 17, 2), None, MONTHLY, MONTHLY)
    assert taken is not None
    assert taken.after.start == at(5, 16, 4)


def test_parts_that_have_ended() -> None:
    """Only who begins the present cycle anew reaches back to them."""
    ended = segment(at(4, 10), at(5, 9))
    for mode in MigrationMode:
        taken = take_over(ended, mode, at(5, 17), None, MONTHLY, MONTHLY)
        if mode is MigrationMode.START_OF_CURRENT_CYCLE:
            assert taken is not None
            assert taken.after == Period(at(5, 1), at(5, 9))
        else:
            assert taken is None
    assert take_over(ended, MigrationMode.START_OF_CURRENT_CYCLE, at(6, 17), None, MONTHLY, MONTHLY) is None


def test_the_next_cycle_may_never_come() -> None:
    short = segment(at(5, 1), at(5, 25))
    assert take_over(short, MigrationMode.NEXT_CYCLE, at(5, 17), None, MONTHLY, MONTHLY) is None
    assert take_over(short, MigrationMode.IMMEDIATE, at(5, 17), None, MONTHLY, MONTHLY) is not None


@pytest.mark.parametrize(
    ("new", "calendar"),
    [
        (CycleDefinition("MONTHLY", 9), YEAR.calendar),
        (CycleDefinition("MONTHLY", 9, day="15"), Calendar(Interval.MONTHLY, "15", "NIL", "UTC")),
        (CycleDefinition("WEEKLY", 9), Calendar(Interval.WEEKLY, "1", "NIL", "UTC")),
        (CycleDefinition("MONTHLY", 9, anniversary=True), Calendar(Interval.MONTHLY, "17", "NIL", "UTC")),
    ],
)
def test_cycles_run_anew_only_where_the_version_says_so(new: CycleDefinition, calendar: Calendar) -> None:
    taken = take_over(YEAR, MigrationMode.IMMEDIATE, at(5, 17), None, MONTHLY, new)
    assert taken is not None
    assert (taken.calendar, taken.grace_days) == (calendar, 9)


def test_retained_cycles_are_retained_again() -> None:
    odd = replace(YEAR, calendar=Calendar(Interval.MONTHLY, "20", "NIL", "UTC"))
    taken = take_over(odd, MigrationMode.NEXT_CYCLE, at(5, 17), None, MONTHLY, MONTHLY)
    assert taken is not None
    assert (taken.after.start, taken.calendar) == (at(5, 20), odd.calendar)


def test_the_current_cycle_needs_leave() -> None:
    for mode in MigrationMode:
        may_migrate(mode, reopens=True)
        if mode is MigrationMode.START_OF_CURRENT_CYCLE:
            with pytest.raises(WrongState, match="allow_ongoing_cycle_updates"):
                may_migrate(mode, reopens=False)
        else:
            may_migrate(mode, reopens=False)


FIRST_DAY = date(2024, 1, 1)
_day = st.integers(0, 200).map(lambda n: FIRST_DAY + timedelta(days=n))
_modes = st.sampled_from([mode for mode in MigrationMode if mode is not MigrationMode.NONE])


def paint(days: dict[date, int], version: int, mode: MigrationMode, now: date, start: date) -> dict[date, int]:
    """The version of each day after a migration, month by month, in the simplest words."""
    if now < start:
        first = start
    elif mode is MigrationMode.START_OF_CURRENT_CYCLE:
        first = now.replace(day=1)
    elif "NEXT_CYCLE" in mode:
        first = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    else:
        first = now
    return {day: version if day >= first else old for day, old in days.items()}


@given(_day, st.lists(st.tuples(_day, _modes), max_size=4))
def test_every_day_has_exactly_one_version(start: date, changes: list[tuple[date, MigrationMode]]) -> None:
    end = FIRST_DAY + timedelta(days=300)
    painted = {start + timedelta(days=n): 1 for n in range((end - start).days)}

    def instant(day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)

    held: list[tuple[int, Segment]] = [(1, segment(instant(start), instant(end)))]
    # Versions follow one another in time, and each migration moves all older ones.
    for version, (now, mode) in enumerate(sorted(changes, key=lambda change: change[0]), 2):
        painted = paint(painted, version, mode, now, start)
        after: list[tuple[int, Segment]] = []
        for number, part in held:
            taken = take_over(part, mode, instant(now) + timedelta(hours=7), None, MONTHLY, MONTHLY)
            if taken is None:
                after.append((number, part))
                continue
            if taken.before is not None:
                after.append((number, replace(part, period=taken.before)))
            after.append((version, replace(part, period=taken.after)))
        held = after
    found = {day: [number for number, part in held if instant(day) in part.period] for day in painted}
    assert {day: numbers[0] for day, numbers in found.items()} == painted
    assert all(len(numbers) == 1 for numbers in found.values())


def test_parts_under_the_same_terms_are_one() -> None:
    def part(start: datetime, end: datetime, version: int = 1, grace: int = 3, schedule: int = 1) -> NewSegment:
        return NewSegment(schedule, 9, version, Period(start, end), YEAR.calendar, grace)

    given_parts = [
        part(at(3, 1), at(4, 1)),
        part(at(1, 1), at(2, 1)),
        part(at(2, 1), at(3, 1)),
        part(at(4, 1), at(5, 1), version=2),
        part(at(6, 1), at(7, 1), version=2),
        part(at(7, 1), at(8, 1), version=2, grace=4),
        part(at(4, 1), at(5, 1), schedule=2),
    ]
    assert joined(given_parts) == [part(at(1, 1), at(4, 1)), *given_parts[3:]]
