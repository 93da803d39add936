"""Licences over the days of a cycle: which stretches of days are charged, for how many, less how many charged before.

A day counts by the most licences that there are at any moment of it. Dates are those of the account's zone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, groupby, pairwise
from operator import itemgetter

from bursar.core.cycles import local_date, local_midnight

_DAY = timedelta(days=1)
_ZERO = Decimal(0)

Change = tuple[datetime, Decimal]
"""How many licences there are from an instant on."""


@dataclass(frozen=True, slots=True)
class Days:
    """So many licences on each day of `[first, end)`."""

    first: date
    end: date
    quantity: Decimal

    @property
    def length(self) -> int:
        """How many days."""
        return (self.end - self.first).days


@dataclass(frozen=True, slots=True)
class Cycle:
    """The days of a usage cycle that an invoice is about."""

    first: date
    end: date
    whole: tuple[date, date]
    """The whole cycle `[first, end)`."""
    since: date
    """The first day of the cycle on which the association has begun."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days of a cycle that are charged alike."""

    first: date
    days: int
    of_days: int
    """Of the whole cycle."""
    quantity: Decimal
    before: Decimal
    """How many of them are charged already: in advance, or on earlier days of the cycle."""


def by_day(changes: Sequence[Change], first: date, end: date, zone: str) -> list[Days]:
    """How many licences there are on each day of `[first, end)`. `changes` are in the order of their instants."""
    start, until = local_midnight(first, zone), local_midnight(end, zone)
    # Of changes of one instant the last one holds; the others never did.
    levels = dict(changes)
    level = next((levels[moment] for moment in reversed(levels) if moment <= start), _ZERO)
    inside = [moment for moment in levels if start < moment < until]
    # A clock that is set back over midnight shows yesterday's date once more: days never go back.
    days = accumulate((min(max(local_date(moment, zone), first), end - _DAY) for moment in inside), max)
    found: list[Days] = []
    position = first
    for day, moments in _by(days, inside):
        _extend(found, position, day, level)
        opening = [] if moments[0] == local_midnight(day, zone) else [level]
        _extend(found, day, day + _DAY, max([*opening, *(levels[moment] for moment in moments)]))
        position, level = day + _DAY, levels[moments[-1]]
    _extend(found, position, end, level)
    return found


def in_advance(changes: Sequence[Change], cycles: Sequence[Cycle], zone: str, *, prorated: bool) -> list[Stretch]:
    """What is charged as the first of some cycles begins: for all days of them, what there is on the first.

    Without proration each cycle is charged as a whole, where it begins for the association, and not by other parts.
    """
    if not cycles:
        return []
    first = cycles[0].first
    (day,) = by_day(changes, first, first + _DAY, zone)
    return [
        Stretch(cycle.first, (cycle.end - cycle.first).days, _length(cycle), day.quantity, _ZERO)
        for cycle in cycles
        if prorated or cycle.first == cycle.since
    ]


def settled(
    changes: Sequence[Change], ahead: Sequence[Days], cycles: Sequence[Cycle], zone: str, *, prorated: bool
) -> list[Stretch]:
    """What is charged when the days of cycles have passed; `ahead` is what was charged of them in advance.

    With proration, each day for what there was on it. Without, each cycle for the most that there was on any day of it,
    less the most of its earlier days for which it was charged before.
    """
    return [
        stretch
        for cycle in cycles
        for stretch in (
            _by_day_settled(changes, ahead, cycle, zone) if prorated else [_whole(changes, ahead, cycle, zone)]
        )
    ]


def _by_day_settled(changes: Sequence[Change], ahead: Sequence[Days], cycle: Cycle, zone: str) -> Iterator[Stretch]:
    held = by_day(changes, cycle.first, cycle.end, zone)
    cuts = {cycle.first, cycle.end, *(days.first for days in held)}
    cuts |= {day for days in ahead for day in (days.first, days.end) if cycle.first < day < cycle.end}
    for first, end in pairwise(sorted(cuts)):
        quantity = next(days.quantity for days in held if days.first <= first < days.end)
        before = sum((days.quantity for days in ahead if days.first <= first < days.end), _ZERO)
        yield Stretch(first, (end - first).days, _length(cycle), quantity, before)


def _whole(changes: Sequence[Change], ahead: Sequence[Days], cycle: Cycle, zone: str) -> Stretch:
    held = by_day(changes, cycle.since, cycle.end, zone)
    charged = [days.quantity for days in ahead if days.first < cycle.whole[1] and days.end > cycle.since]
    before = max([_ZERO, *charged, *(days.quantity for days in held if days.first < cycle.first)])
    most = max([before, *(days.quantity for days in held)])
    return Stretch(cycle.first, (cycle.end - cycle.first).days, _length(cycle), most, before)


def _length(cycle: Cycle) -> int:
    first, end = cycle.whole
    return (end - first).days


def _by(days: Iterable[date], moments: Sequence[datetime]) -> Iterator[tuple[date, list[datetime]]]:
    for day, pairs in groupby(zip(days, moments, strict=True), key=itemgetter(0)):
        yield day, [moment for _, moment in pairs]


def _extend(found: list[Days], first: date, end: date, quantity: Decimal) -> None:
    """Add days, to those before where there are as many."""
    if first >= end:
        return
    if found and found[-1].quantity == quantity:
        found[-1] = replace(found[-1], end=end)
    else:
        found.append(Days(first, end, quantity))
