"""ISO 8601 durations: `P20D`, `P1M`, `PT0S`. Years, months and days are those of a calendar, hours are hours."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from bursar.core.cycles import local_midnight, zone_rules
from bursar.core.period import FIRST, FOREVER

_FORM = re.compile(
    r"P(?=\d|T\d)(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,6})W)?(?:(\d{1,7})D)?"
    r"(?:T(?=\d)(?:(\d{1,8})H)?(?:(\d{1,9})M)?(?:(\d{1,10})(?:[.,](\d{1,6}))?S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time, in parts whose lengths depend on where they begin."""

    months: int
    days: int
    time: timedelta

    def after(self, instant: datetime, zone: str) -> datetime:
        """The instant so much later by the calendar of `zone`, held within FIRST and FOREVER.

        Months lead to the same day of a later month, or its last; a day leads to the same time of the clock, the start
        of a day to the start of a day. A time that the clock skips is read with the offset before the gap.
        """
        if not self.months and not self.days:
            return _held(instant, self.time)
        local = instant.astimezone(zone_rules(zone))
        years, month = divmod(local.year * 12 + local.month - 1 + self.months, 12)
        if years >= FOREVER.year:
            return FOREVER
        day = min(local.day, _length(years, month + 1))
        try:
            moved = local.replace(tzinfo=None, year=years, month=month + 1, day=day) + timedelta(days=self.days)
        except OverflowError:
            return FOREVER
        if instant == local_midnight(local.date(), zone):
            return _held(local_midnight(moved.date(), zone), self.time)
        return _held(moved.replace(tzinfo=zone_rules(zone)).astimezone(UTC), self.time)


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> Duration:
    """The duration of a text such as `P1Y2M10DT2H30M`. Raises `ValueError` for any other, negative ones included."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"not an ISO 8601 duration: {text[:64]!r}")
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[:7])
    micros = int((found[8] or "").ljust(6, "0"))
    return Duration(
        years * 12 + months,
        weeks * 7 + days,
        timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros),
    )


def _held(instant: datetime, time: timedelta) -> datetime:
    try:
        return min(max(instant + time, FIRST), FOREVER)
    except OverflowError:
        return FOREVER


def _length(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - a date of no zone
    return (following - timedelta(days=1)).day
