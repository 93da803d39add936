"""Billing cycles: how an account's local calendar cuts time into periods, and the days and buckets inside them.

A cycle begins at local midnight of its day and ends where the next one begins, so cycles tile time. Bursar's time runs
from `period.FIRST` to `period.FOREVER`; results are held within these two, so nothing overflows.

The rules of time zones come from the `tzdata` package alone, so that the same inputs give the same invoice on every
operating system.
"""

import re
import zoneinfo
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo

from bursar.core.errors import Invalid
from bursar.core.period import FIRST, FOREVER, Period, parse_instant

zoneinfo.reset_tzpath(to=())
ZoneInfo.clear_cache()

ZONES: frozenset[str] = frozenset(zoneinfo.available_timezones())
"""The names of all IANA time zones."""

BUCKET = timedelta(minutes=15)
"""The width of a usage bucket; the offsets of today's zones are multiples of it."""


class Interval(StrEnum):
    """How often a new cycle begins."""

    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    QUARTERLY = "QUARTERLY"
    HALF_YEARLY = "HALF_YEARLY"
    ANNUALLY = "ANNUALLY"


_MONTHS = {
    Interval.WEEKLY: 0,
    Interval.MONTHLY: 1,
    Interval.QUARTERLY: 3,
    Interval.HALF_YEARLY: 6,
    Interval.ANNUALLY: 12,
}
"""Months in one cycle; a week is not made of months."""

_OFFSET = re.compile(r"[T ].*(Z|[+-][\d:]+)$")
"""The end of a text that says of which zone its time is; a date has dashes, too."""

LAST = "LAST"
FIRST_MONTH = "FIRST"
NO_MONTH = "NIL"


@lru_cache(maxsize=1024)
def zone_rules(name: str, field_name: str = "zone") -> ZoneInfo:
    """The rules of an IANA time zone. Raises `Invalid(field_name, ...)` for a name that is not one."""
    if name not in ZONES:
        raise Invalid(field_name, f"{name[:64]!r} is not an IANA time zone")
    return ZoneInfo(name)


def local_date(instant: datetime, zone: str) -> date:
    """The date that a calendar on the wall in `zone` shows at `instant`."""
    return instant.astimezone(zone_rules(zone)).date()


def local_midnight(day: date, zone: str) -> datetime:
    """The instant (UTC) at which `day` begins in `zone`, held within FIRST and FOREVER.

    A midnight that occurs twice is the earlier one. One that the clock skips is read with the offset before the gap:
    the very instant at which the clock jumped, where the gap begins at midnight, as all of them have since 1970.
    """
    rules = zone_rules(zone)
    if day.year < FIRST.year:
        return FIRST
    return min(max(datetime(day.year, day.month, day.day, tzinfo=rules).astimezone(UTC), FIRST), FOREVER)


def local_instant(text: str, zone: str) -> datetime:
    """The instant (UTC) of an ISO 8601 text, read by the clock in `zone` unless the text has an offset of its own.

    A date is its midnight; of a time that occurs twice the earlier is taken, one that the clock skips is read with the
    offset before the gap. Raises `ValueError` for anything else, and for what lies outside the years 1 to 9999.
    """
    instant = parse_instant(text)
    if _OFFSET.search(text.strip()):
        return instant
    if instant.time() == time.min:
        return local_midnight(instant.date(), zone)
    try:
        return instant.replace(tzinfo=zone_rules(zone)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def add_days(instant: datetime, days: int, zone: str) -> datetime:
    """The same time of the clock in `zone` so many days later (earlier if negative), held within FIRST and FOREVER.

    The start of a local day leads to the start of a local day, also where either midnight is skipped or occurs twice.
    A time that the clock skips is read with the offset before the gap; of one that occurs twice, the earlier is taken.
    """
    if not days:
        return instant
    rules = zone_rules(zone)
    local = instant.astimezone(rules)
    try:
        moved = local.replace(tzinfo=None) + timedelta(days=days)
        if instant == local_midnight(local.date(), zone):
            return local_midnight(moved.date(), zone)
        return min(max(moved.replace(tzinfo=rules).astimezone(UTC), FIRST), FOREVER)
    except OverflowError:
        return FIRST if days < 0 else FOREVER


def grace_end(period_end: datetime, grace_days: int, zone: str) -> datetime:
    """The instant until which late usage of a period still counts in it: its end and so many local days."""
    if grace_days < 0:
        raise Invalid("grace_days", "must not be negative")
    return add_days(period_end, grace_days, zone)


def days_in(period: Period, zone: str) -> int:
    """Local dates from the one on which `period` starts to the one on which it ends: the measure of proration by day.

    The days of adjoining periods add up to the days of both together.
    """
    return (local_date(period.end, zone) - local_date(period.start, zone)).days


@dataclass(frozen=True, slots=True)
class Calendar:
    """When cycles begin: an interval, the offsets of their first day within it, and the zone whose midnight counts.

    `day` is "1" to "31" or LAST; of a week "1" (Monday) to "7" or LAST. In a month without that day the closest
    previous one is taken. `month` is "1" to the months of the interval, FIRST or LAST; weeks and months have none: NIL.
    Raises `Invalid` naming the field. Offsets are kept as they were spelled; "31" and LAST give the same cycles.
    """

    interval: Interval
    day: str
    month: str
    zone: str
    _shape: tuple[int, int, int, str] = field(init=False, repr=False, compare=False)
    """Months in a cycle (0: a week), its first day, the months before it in the interval, and the zone."""
    _rules: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.interval not in _MONTHS:
            raise Invalid("interval", f"must be one of {', '.join(Interval)}")
        months = _MONTHS[self.interval]
        day = _day_number(self.day, 31 if months else 7)
        object.__setattr__(self, "_shape", (months, day, _month_number(self.month, months) - 1, self.zone))
        object.__setattr__(self, "_rules", zone_rules(self.zone))

    @classmethod
    def parse(cls, interval: str, day: str | None, month: str | None, zone: str) -> Self:
        """The calendar of texts; an absent day is the first, an absent month the first of the interval, or NIL."""
        if interval not in _MONTHS:
            raise Invalid("interval", f"must be one of {', '.join(Interval)}")
        known = Interval(interval)
        default = NO_MONTH if _MONTHS[known] <= 1 else FIRST_MONTH
        return cls(known, "1" if day is None else day, default if month is None else month, zone)

    def cycle_at(self, instant: datetime) -> Period:
        """The one cycle that holds `instant`; the first and last are cut at FIRST and FOREVER.

        Raises `Invalid("instant", ...)` outside them. Costs 2 to 3 microseconds where the cycle was met before (16,384
        are remembered per process), 12 otherwise. A caller with many instants of one account does better to keep the
        last answer and ask `instant in cycle` first: 0.15 microseconds.
        """
        if not FIRST <= instant < FOREVER:
            raise Invalid("instant", f"must lie in [{FIRST:%Y-%m-%d}, {FOREVER:%Y-%m-%d})")
        shape = self._shape
        number = _number(*shape[:3], instant.astimezone(self._rules).date())
        cycle = _cycle(*shape, number)
        # The date alone does not decide: a clock set back across midnight shows yesterday's date after today began.
        if instant >= cycle.end:
            return _cycle(*shape, number + 1)
        if instant < cycle.start:
            return _cycle(*shape, number - 1)
        return cycle

    def number_at(self, instant: datetime) -> int:
        """The number of the cycle that holds `instant`: of the next one it is one more. Raises as `cycle_at` does."""
        start = self.cycle_at(instant).start
        number = _number(*self._shape[:3], start.astimezone(self._rules).date())
        # Where the local date does not show the cycle (a clock set back over midnight, the first of them), it is near.
        return next(n for n in (number, number + 1, number - 1) if _cycle(*self._shape, n).start == start)

    def cycles(self, period: Period) -> Iterator[Period]:
        """The cycles that tile `period`, in order; the first and the last are stubs where `period` cuts them."""
        start = period.start
        while start < period.end:
            end = min(self.cycle_at(start).end, period.end)
            yield Period(start, end)
            start = end


def anniversary(start: date, interval: Interval, zone: str) -> Calendar:
    """The calendar whose cycles begin on the anniversaries of `start`, the local date of an association.

    The 31st becomes LAST, and so does the end of February in a yearly calendar (28 February, and 29 in a leap year).
    28 February of a leap year stays the 28th, so that the first cycle is always a whole one.
    """
    if interval is Interval.WEEKLY:
        return Calendar(interval, str(start.isoweekday()), NO_MONTH, zone)
    months = _MONTHS[interval]
    month_end = start.day == monthrange(start.year, start.month)[1]
    last = start.day == 31 or (interval is Interval.ANNUALLY and start.month == 2 and month_end)
    month = NO_MONTH if months == 1 else str((start.month - 1) % months + 1)
    return Calendar(interval, LAST if last else str(start.day), month, zone)


def subdivides(interval: str, whole: str) -> bool:
    """Whether cycles of a whole interval are made of cycles of another one: the same, or of months."""
    months, of_months = _MONTHS[Interval(interval)], _MONTHS[Interval(whole)]
    return interval == whole or (bool(months) and bool(of_months) and of_months % months == 0)


def subdivided(calendar: Calendar, interval: str) -> Calendar:
    """The calendar of an interval that tiles the cycles of another one, as `subdivides` says it can."""
    months = _MONTHS[Interval(interval)]
    if interval == calendar.interval or not months:
        return calendar
    of_months = _MONTHS[calendar.interval]
    month = NO_MONTH if months == 1 else str((_month_number(calendar.month, of_months) - 1) % months + 1)
    return Calendar(Interval(interval), calendar.day, month, calendar.zone)


def _day_number(day: str, most: int) -> int:
    allowed = {LAST: most} | {str(n): n for n in range(1, most + 1)}
    if day not in allowed:
        raise Invalid("day", f'must be "1" to "{most}" or {LAST}')
    return allowed[day]


def _month_number(month: str, months: int) -> int:
    if months <= 1:
        if month != NO_MONTH:
            raise Invalid("month", f"must be {NO_MONTH} for a weekly or monthly interval")
        return 1
    allowed = {FIRST_MONTH: 1, LAST: months} | {str(n): n for n in range(1, months + 1)}
    if month not in allowed:
        raise Invalid("month", f'must be "1" to "{months}", {FIRST_MONTH} or {LAST} for this interval')
    return allowed[month]


def _number(months: int, day: int, month: int, local: date) -> int:
    """Which cycle holds a local date, counted from the year 0."""
    if not months:
        return (local.toordinal() - day) // 7
    number, into = divmod(local.year * 12 + local.month - 1 - month, months)
    if not into and local.day < day and local.day < monthrange(local.year, local.month)[1]:
        return number - 1
    return number


def _first_day(months: int, day: int, month: int, number: int) -> date | None:
    """The local date on which cycle `number` begins; None beyond the year 9999."""
    if not months:
        return date.fromordinal(7 * number + day)
    year, month = divmod(months * number + month, 12)
    if year > FOREVER.year:
        return None
    return date(year, month + 1, min(day, monthrange(year, month + 1)[1]))


@lru_cache(maxsize=16_384)
def _cycle(months: int, day: int, month: int, zone: str, number: int) -> Period:
    first, following = (_first_day(months, day, month, n) for n in (number, number + 1))
    start = FOREVER if first is None else local_midnight(first, zone)
    return Period(start, FOREVER if following is None else local_midnight(following, zone))


@dataclass(frozen=True, slots=True)
class Buckets:
    """A period as usage keeps it: a run of whole buckets and the edges that only raw events can answer for."""

    whole: Period | None
    edges: tuple[Period, ...]


def bucket_start(instant: datetime) -> datetime:
    """The start (UTC) of the 15-minute bucket that holds `instant`."""
    moment = instant.astimezone(UTC)
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def on_grid(instant: datetime) -> bool:
    """Whether `instant` is the start of a bucket. Midnights under historic local mean time are not."""
    return bucket_start(instant) == instant


def buckets(period: Period) -> Buckets:
    """`period` cut into its whole buckets and at most two edges; all together tile it."""
    start, end = bucket_start(period.start), bucket_start(period.end)
    if start < period.start:
        start += BUCKET
    if start > end:
        return Buckets(None, (period,))
    whole = Period(start, end) if start < end else None
    edges = [Period(a, b) for a, b in ((period.start, start), (end, period.end)) if a < b]
    return Buckets(whole, tuple(edges))
