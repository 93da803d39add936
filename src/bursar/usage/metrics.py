"""Numbers over time: events by state, quantities by meter."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from bursar.core.cycles import local_date, local_midnight
from bursar.core.errors import Invalid
from bursar.db.database import Connection
from bursar.db.queries import Queries
from bursar.usage import listings
from bursar.usage.rows import micros
from bursar.usage.states import State

queries = Queries("bursar.usage")

POINTS_LIMIT = 300

Step = Literal["HOUR", "DAY", "WEEK", "MONTH"]


@dataclass(frozen=True, slots=True)
class EventCount:
    """Events of one account, schema version and state between two bounds."""

    account: int | None
    schema: int | None
    state: State
    place: int
    """Index of the lower bound."""
    events: int


def bounds(start: datetime, end: datetime, step: Step, zone: str) -> list[datetime]:
    """The instants that cut `[start, end)` at hours, or at local midnights of days, Mondays or firsts of months.

    The first is `start` and the last `end`. Raises `Invalid` for an empty range or more than 300 pieces.
    """
    if start >= end:
        raise Invalid("endTime", "must be after startTime")
    result = [start]
    while result[-1] < end:
        if len(result) > POINTS_LIMIT:
            raise Invalid("aggregationPeriod", f"gives more than {POINTS_LIMIT} data points; ask for a shorter time")
        result.append(min(_next(result[-1], step, zone), end))
    return result


def _next(moment: datetime, step: Step, zone: str) -> datetime:
    if step == "HOUR":
        return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    day = local_date(moment, zone)
    if step == "DAY":
        day += timedelta(days=1)
    elif step == "WEEK":
        day += timedelta(days=7 - day.weekday())
    else:
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    following = local_midnight(day, zone)
    # A day that the zone skipped has no midnight of its own.
    return following if following > moment else moment + timedelta(days=1)


async def event_counts(
    connection: Connection, workspace: int, cuts: Sequence[datetime], accounts: Sequence[int] | None
) -> list[EventCount]:
    """Events between consecutive cuts, by their own time."""
    span = (workspace, list(cuts), cuts[0], cuts[-1])
    if accounts is None:
        rows = await connection.fetch(queries.event_counts, *span)
    else:
        ticks = micros(cuts[0]), micros(cuts[-1])
        rows = await connection.fetch(listings.queries.event_counts_of_accounts, *span, accounts, *ticks)
    return [
        EventCount(row["account"], row["event_schema"], State(row["state"]), row["place"] - 1, row["events"])
        for row in rows
    ]


async def balance(connection: Connection, workspace: int) -> dict[str, int]:
    """received, and the terms that it is the sum of."""
    row = await connection.fetchrow(queries.balance, workspace)
    assert row is not None
    return dict(row)


def gather(points: Sequence[tuple[str | None, int, Decimal]], count: int) -> dict[str | None, list[Decimal]]:
    """`(group, place, value)` summed into one list of `count` values per group."""
    groups: dict[str | None, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * count)
    for group, place, value in points:
        groups[group][place] += value
    return dict(groups)
