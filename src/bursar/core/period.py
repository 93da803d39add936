"""Instants and half-open periods. Every instant is an aware datetime in UTC; every period is `[start, end)`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""The start of an open-ended range."""
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of an open-ended range."""


# Python's own reader takes more (week dates, any separator, a point without digits), and not the same in each version.
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d+)?)?(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)?)?",
    re.ASCII,
)


def utc(moment: datetime) -> datetime:
    """`moment` in UTC; a naive one is taken as UTC."""
    zone = moment.tzinfo
    if zone is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if zone is None else moment.astimezone(UTC)


def parse_instant(text: str) -> datetime:
    """The instant of an ISO 8601 text (`2023-11-16T18:15:46.6805900Z`, an offset, or none for UTC; a date is midnight).

    Digits beyond microseconds are cut. Raises `ValueError` for anything else, a leap second (`:60`) included, and for
    what lies outside the years 1 to 9999.
    """
    stripped = text.strip()
    if not _INSTANT.fullmatch(stripped):
        raise ValueError(f"not an ISO 8601 date and time: {text[:64]!r}")
    try:
        return utc(datetime.fromisoformat(stripped))
    except OverflowError as error:
        raise ValueError(str(error)) from error


def show_instant(moment: datetime) -> str:
    """ISO 8601 in UTC with a `Z`, without a fraction where it is zero."""
    return utc(moment).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A span of time `[start, end)`; never empty."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ValueError(f"a period must end after it starts: [{self.start}, {self.end})")

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def overlap(self, other: "Period") -> "Period | None":
        """The common part, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None
