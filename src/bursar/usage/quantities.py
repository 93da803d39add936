"""How much an account used in any period: by day, by bucket at the edges of that, from raw events within a bucket."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from bursar.core.cycles import BUCKET, bucket_start
from bursar.core.errors import Invalid
from bursar.core.page import Page
from bursar.core.period import parse_instant, show_instant
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries, numbers
from bursar.usage import bodies, listings
from bursar.usage.judged import Rules

queries = Queries("bursar.usage")

Key = tuple[int, int, datetime, datetime]
"""Account, usage meter, start and end: `[start, end)`."""

_DAY = timedelta(days=1)
_SCAN = 500
"""Raw events read at a time."""


@dataclass(frozen=True, slots=True)
class MeteredEvent:
    """An event behind a quantity."""

    id: str
    occurred_at: datetime
    quantity: Decimal
    dimensions: dict[str, str]
    """What was sent, and what its schema added."""


@dataclass(frozen=True, slots=True)
class Point:
    """A quantity of one account and meter between two bounds."""

    account: int
    meter: int
    place: int
    """Index of the lower bound."""
    quantity: Decimal


async def sums(connection: Connection, workspace: int, keys: Sequence[Key]) -> list[Decimal]:
    """The quantity of every key, in order; exact at any boundary. One statement, whatever the number of keys."""
    if not keys:
        return []
    periods = list(dict.fromkeys(key[2:] for key in keys))
    inner = [(_ceiling(start), bucket_start(end)) for start, end in periods]
    place_of = {period: place for place, period in enumerate(periods)}
    days = [_whole_days(first, last) for first, last in inner]
    rows = await connection.fetch(
        queries.quantities,
        workspace,
        numbers(key[0] for key in keys),
        numbers(key[1] for key in keys),
        numbers(place_of[key[2:]] + 1 for key in keys),
        [first for first, _ in inner],
        [first for first, _ in days],
        [last for _, last in days],
        [last for _, last in inner],
    )
    totals: list[Decimal] = [row["quantity"] for row in rows]
    # Only a boundary off the 15-minute grid has an edge: zones of today never do.
    if periods == inner:
        return totals
    for index, (account, meter, start, end) in enumerate(keys):
        first, last = inner[place_of[start, end]]
        if first >= last and (start != first or end != last):
            totals[index] = await _raw_sum(connection, workspace, account, meter, start, end)
            continue
        if start < first:
            totals[index] += await _raw_sum(connection, workspace, account, meter, start, first)
        if last < end:
            totals[index] += await _raw_sum(connection, workspace, account, meter, last, end)
    return totals


async def series(
    connection: Connection,
    workspace: int,
    bounds: Sequence[datetime],
    accounts: Sequence[int] | None = None,
    meters: Sequence[int] | None = None,
) -> list[Point]:
    """Quantities per account and meter in each `[bounds[i], bounds[i+1])`, zero ones left out.

    Bounds are taken down to the 15-minute grid.
    """
    grid = [bucket_start(bound) for bound in bounds]
    span = (workspace, grid, *_spans(grid), meters)
    if accounts is None:
        rows = await connection.fetch(queries.series, *span)
    else:
        rows = await connection.fetch(queries.series_of_accounts, *span, accounts)
    return [Point(row["account"], row["usage_meter"], row["place"] - 1, row["quantity"]) for row in rows]


async def events_of(
    connection: Connection,
    workspace: int,
    account: int,
    meter: int,
    start: datetime,
    end: datetime,
    after: str | None,
    limit: int,
) -> Page[MeteredEvent]:
    """The events that a meter measured for an account in `[start, end)`, by time, one page of them."""
    rules = await Rules.load(connection, workspace, meter=meter)
    bookmark = _open(after, start)
    found: list[MeteredEvent] = []
    seal: str | None = None
    while True:
        rows = await listings.metered(connection, workspace, account, start, end, bookmark, _SCAN)
        for row, event in zip(rows, await _measured(connection, workspace, rows, rules), strict=True):
            bookmark = (row["occurred_at"], row["chunk"], row["position"])
            if event is None:
                continue
            if len(found) == limit:
                return Page(found, seal)
            found.append(event)
            seal = f"{show_instant(bookmark[0])}|{bookmark[1]}|{bookmark[2]}"
        if len(rows) < _SCAN:
            return Page(found)


async def _raw_sum(
    connection: Connection, workspace: int, account: int, meter: int, start: datetime, end: datetime
) -> Decimal:
    rules = await Rules.load(connection, workspace, meter=meter)
    bookmark = (start, -1, -1)
    total = Decimal(0)
    while True:
        rows = await listings.metered(connection, workspace, account, start, end, bookmark, _SCAN)
        for event in await _measured(connection, workspace, rows, rules):
            total += event.quantity if event is not None else 0
        if len(rows) < _SCAN:
            return total
        bookmark = (rows[-1]["occurred_at"], rows[-1]["chunk"], rows[-1]["position"])


async def _measured(
    connection: Connection, workspace: int, rows: Sequence[Row], rules: Rules
) -> list[MeteredEvent | None]:
    chunks = await bodies.read(connection, workspace, (row["chunk"] for row in rows))
    await rules.prepare(connection, (row["account"] for row in rows))
    result: list[MeteredEvent | None] = []
    for row in rows:
        judged = rules.judged(row, chunks[row["chunk"]][row["position"]])
        event = judged.event
        quantities = [quantity for _, meter in judged.meters if (quantity := meter.quantity(judged.data)) is not None]
        total = sum(quantities, Decimal(0))
        dimensions = judged.data["dimensions"]
        result.append(MeteredEvent(event.id or "", event.timestamp, total, dimensions) if quantities else None)
    return result


def _whole_days(first: datetime, last: datetime) -> tuple[datetime, datetime]:
    """The days of UTC between two instants; the last one, twice, where there is none."""
    start = first.astimezone(UTC)
    midnight, until = start.replace(hour=0, minute=0), last.astimezone(UTC).replace(hour=0, minute=0)
    if midnight >= until:
        return last, last
    if midnight < start:
        midnight += _DAY
    return (midnight, until) if midnight < until else (last, last)


def _spans(grid: Sequence[datetime]) -> list[list[datetime]]:
    """For `series`: where the days to look up begin and end, and the buckets; those that touch each other as one."""
    days: list[list[datetime]] = []
    buckets: list[list[datetime]] = []
    for first, last in pairwise(grid):
        start, end = _whole_days(first, last)
        for spans, span in ((buckets, [first, start]), (days, [start, end]), (buckets, [end, last])):
            if spans and spans[-1][1] == span[0]:
                spans[-1][1] = span[1]
            elif span[0] < span[1]:
                spans.append(span)
    return [[span[side] for span in spans] for spans in (days, buckets) for side in (0, 1)]


def _ceiling(moment: datetime) -> datetime:
    floor = bucket_start(moment)
    return floor if floor == moment else floor + BUCKET


def _open(after: str | None, start: datetime) -> tuple[datetime, int, int]:
    if after is None:
        return (start, -1, -1)
    try:
        moment, chunk, position = after.split("|")
        return (parse_instant(moment), int(chunk[:18]), int(position[:9]))
    except ValueError:
        raise Invalid("after", "is not a bookmark of this list") from None
