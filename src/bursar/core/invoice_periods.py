"""Invoice periods: the seven ways in which a carrier's account cuts its calendar into invoices.

Each is told by the days on which its periods begin, at local midnight of the account's zone; a period ends where the
next one begins, so periods tile time.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from enum import IntEnum

from bursar.core.cycles import local_date, local_midnight
from bursar.core.period import FIRST, FOREVER, Period

_TICK = timedelta(microseconds=1)
_WEEK = 7
_FORTNIGHT = 14
_LONG_YEAR = 53
"""The ISO week that only some years have."""
_HALF = 16
"""The day on which the second half of a month begins."""


class InvoicePeriod(IntEnum):
    """How often an account is invoiced, by the numbers of the carrier's door."""

    DAILY = 1
    WEEKLY = 2
    BIWEEKLY = 3
    """From the Monday of an even ISO week to the next."""
    MONTHLY = 4
    BIWEEKLY_SPLIT = 5
    """As BIWEEKLY, and cut where a month begins."""
    WEEKLY_SPLIT = 6
    """As WEEKLY, and cut where a month begins."""
    SEMIMONTHLY = 7
    """The first fifteen days of a month, and its rest."""


class InvoiceType(IntEnum):
    """How a statement came about, by the numbers of the carrier's door."""

    MANUAL = 1
    AUTO_FULL = 2
    AUTO_PARTIAL = 3
    """Of a week or a fortnight that the end of a month cut."""


def period_at(kind: InvoicePeriod, instant: datetime, zone: str) -> Period:
    """The one period that holds `instant`; both ends are local midnights in `zone`, in UTC.

    Raises `ValueError` for an instant outside of FIRST and FOREVER, `Invalid` for an unknown zone.
    """
    if not FIRST <= instant < FOREVER:
        raise ValueError(f"{instant} lies outside of Bursar's time")
    first = _first_day(kind, local_date(instant, zone))
    while True:
        following = _next_day(kind, first)
        end = local_midnight(following, zone)
        # The date alone does not decide: a clock set back across midnight shows yesterday's date after today began,
        # and a day that a zone left out altogether begins when the next one does.
        if instant < end:
            return Period(local_midnight(first, zone), end)
        first = following


def period_before(kind: InvoicePeriod, end: datetime, zone: str) -> Period:
    """The period that ends at `end`. Where none does (the zone or the kind was another), the part of one up to it."""
    return Period(period_at(kind, end - _TICK, zone).start, end)


def type_of(kind: InvoicePeriod, instant: datetime, zone: str) -> InvoiceType:
    """What the automatic invoice of the period that holds `instant` is called.

    Partial where a split period is shorter than its 7 or 14 days, however it came to be.
    """
    whole = {InvoicePeriod.WEEKLY_SPLIT: _WEEK, InvoicePeriod.BIWEEKLY_SPLIT: _FORTNIGHT}.get(kind)
    if whole is None:
        return InvoiceType.AUTO_FULL
    period = period_at(kind, instant, zone)
    days = (local_date(period.end, zone) - local_date(period.start, zone)).days
    return InvoiceType.AUTO_PARTIAL if days < whole else InvoiceType.AUTO_FULL


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _month(day: date) -> date:
    return day.replace(day=1)


def _next_month(day: date) -> date:
    return _month(_month(day) + timedelta(days=31))


def _fortnight(day: date) -> date:
    """The Monday on or before `day` of an even week, or of week 53, which a fortnight of its own follows."""
    monday = _monday(day)
    week = monday.isocalendar().week
    return monday if week % 2 == 0 or week == _LONG_YEAR else monday - timedelta(days=_WEEK)


def _next_fortnight(day: date) -> date:
    """The Monday in two weeks if its week is even, else the next one: week 52 of a long year stands alone."""
    later = _monday(day) + timedelta(days=_FORTNIGHT)
    return later if later.isocalendar().week % 2 == 0 else later - timedelta(days=_WEEK)


def _first_day(kind: InvoicePeriod, day: date) -> date:
    """The last day not after `day` on which a period begins."""
    return _RULES[kind][0](day)


def _next_day(kind: InvoicePeriod, day: date) -> date:
    """The first day after `day` on which a period begins."""
    return _RULES[kind][1](day)


_Rule = Callable[[date], date]
_RULES: dict[InvoicePeriod, tuple[_Rule, _Rule]] = {
    InvoicePeriod.DAILY: (lambda day: day, lambda day: day + timedelta(days=1)),
    InvoicePeriod.WEEKLY: (_monday, lambda day: _monday(day) + timedelta(days=_WEEK)),
    InvoicePeriod.BIWEEKLY: (_fortnight, _next_fortnight),
    InvoicePeriod.MONTHLY: (_month, _next_month),
    InvoicePeriod.BIWEEKLY_SPLIT: (
        lambda day: max(_fortnight(day), _month(day)),
        lambda day: min(_next_fortnight(day), _next_month(day)),
    ),
    InvoicePeriod.WEEKLY_SPLIT: (
        lambda day: max(_monday(day), _month(day)),
        lambda day: min(_monday(day) + timedelta(days=_WEEK), _next_month(day)),
    ),
    InvoicePeriod.SEMIMONTHLY: (
        lambda day: day.replace(day=_HALF if day.day >= _HALF else 1),
        lambda day: day.replace(day=_HALF) if day.day < _HALF else _next_month(day),
    ),
}
"""Of each kind, the day on which a day's period begins, and the one on which the next does."""
