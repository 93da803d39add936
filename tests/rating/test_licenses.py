"""Licences by the day, against days that are painted one by one."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.rating.licenses import Change, Cycle, Days, Stretch, by_day, in_advance, settled

DAY = timedelta(days=1)
FIRST, END = date(2024, 3, 1), date(2024, 4, 1)


def ten(number: int) -> Decimal:
    return Decimal(number)


def at(day: int, hour: int = 0, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2024, month, day, hour, minute, tzinfo=UTC)


def level(changes: list[Change], moment: datetime) -> Decimal:
    """What holds at an instant: of all updates up to it the one behind which none comes."""
    found = Decimal(0)
    for when, quantity in changes:
        if when <= moment:
            found = quantity
    return found


def painted(changes: list[Change], day: date, zone: str) -> Decimal:
    """The most on a day, looked at every quarter of an hour, at which updates come."""
    moment = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = Decimal(0)
    while moment.astimezone(ZoneInfo(zone)).date() == day:
        found = max(found, level(changes, moment))
        moment += timedelta(minutes=15)
    return found


def each_day(found: list[Days]) -> dict[date, Decimal]:
    days: dict[date, Decimal] = {}
    for one in found:
        day = one.first
        while day < one.end:
            assert day not in days
            days[day] = one.quantity
            day += DAY
    return days


moments = st.integers(-200, 4000).map(lambda quarters: at(1) + timedelta(minutes=15 * quarters))
histories = st.lists(st.tuples(moments, st.integers(0, 9).map(Decimal)), max_size=12).map(
    lambda changes: sorted(changes, key=lambda change: change[0])
)
ZONES = st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu"])


@given(histories, ZONES)
@settings(max_examples=30, deadline=None)
def test_a_day_counts_by_its_most(changes: list[Change], zone: str) -> None:
    found = by_day(changes, FIRST, END, zone)
    days = [FIRST + n * DAY for n in range((END - FIRST).days)]
    assert each_day(found) == {day: painted(changes, day, zone) for day in days}
    assert all(one.quantity != other.quantity for one, other in pairwise(found))


CYCLE = Cycle(FIRST, END, (FIRST, END), FIRST)


@given(histories, ZONES, st.integers(1, 30), st.integers(0, 9).map(Decimal))
@settings(max_examples=30, deadline=None)
def test_parts_of_a_cycle_are_settled_as_the_whole(
    changes: list[Change], zone: str, cut: int, quantity: Decimal
) -> None:
    """By the day each day once; by the whole the most of the cycle, less what was charged ahead, however it is cut."""
    ahead = [Days(FIRST, END, quantity)]
    middle = FIRST + cut * DAY
    parts = [Cycle(FIRST, middle, (FIRST, END), FIRST), Cycle(middle, END, (FIRST, END), FIRST)]
    painted_days = {FIRST + n * DAY: painted(changes, FIRST + n * DAY, zone) for n in range(31)}
    for cycles in ([CYCLE], parts):
        found: dict[date, Decimal] = {}
        for one in settled(changes, ahead, cycles, zone, prorated=True):
            assert (one.before, one.of_days) == (quantity, 31)
            found |= {one.first + n * DAY: one.quantity for n in range(one.days)}
        assert found == painted_days
        steps = settled(changes, ahead, cycles, zone, prorated=False)
        assert steps[0].before == quantity
        assert [one.before for one in steps[1:]] == [one.quantity for one in steps[:-1]]
        assert steps[-1].quantity == max([quantity, *painted_days.values()])


def test_cases_by_hand() -> None:
    changes = [(at(10, 9), ten(3)), (at(10, 12), ten(1)), (at(20), ten(5)), (at(20), ten(2))]
    assert by_day(changes, FIRST, END, "UTC") == [
        Days(FIRST, date(2024, 3, 10), ten(0)),
        Days(date(2024, 3, 10), date(2024, 3, 11), ten(3)),
        Days(date(2024, 3, 11), date(2024, 3, 20), ten(1)),
        Days(date(2024, 3, 20), END, ten(2)),
    ], "five never held: the update of the same instant came after it"
    assert by_day([(at(5), ten(4))], date(2024, 3, 5), date(2024, 3, 6), "UTC")[0].quantity == 4
    assert by_day([(at(1), ten(4)), (at(5), ten(1))], date(2024, 3, 5), date(2024, 3, 6), "UTC")[0].quantity == 1
    assert in_advance(changes, [CYCLE], "UTC", prorated=True) == [Stretch(FIRST, 31, 31, ten(0), ten(0))]
    late = Cycle(date(2024, 3, 11), END, (FIRST, END), date(2024, 3, 11))
    assert in_advance(changes, [late], "UTC", prorated=True) == [Stretch(late.first, 21, 31, ten(1), ten(0))]
    assert in_advance(changes, [late], "UTC", prorated=False) == [Stretch(late.first, 21, 31, ten(1), ten(0))]
    resumed = Cycle(date(2024, 3, 11), END, (FIRST, END), FIRST)
    assert in_advance(changes, [resumed], "UTC", prorated=False) == []
    assert settled(changes, [], [resumed], "UTC", prorated=False) == [Stretch(resumed.first, 21, 31, ten(3), ten(3))]
    assert in_advance(changes, [], "UTC", prorated=True) == []
