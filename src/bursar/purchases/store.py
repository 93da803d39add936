"""Schedules and segments as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import msgspec

from bursar.catalog.plans import change_from
from bursar.core import ids
from bursar.core.cycles import Calendar, Interval
from bursar.core.errors import NotFound
from bursar.core.period import Period
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.purchases.model import AccountFacts, NewSegment, Segment

queries = Queries("bursar.purchases")


class _Calendar(msgspec.Struct):
    """A calendar as it is stored."""

    interval: Interval
    day: str
    month: str
    zone: str


def encode_calendar(calendar: Calendar) -> str:
    """A calendar as JSON text."""
    stored = _Calendar(calendar.interval, calendar.day, calendar.month, calendar.zone)
    return msgspec.json.encode(stored).decode()


@lru_cache(maxsize=4096)
def decode_calendar(text: str) -> Calendar:
    """The calendar of a JSON text that `encode_calendar` made."""
    stored = msgspec.json.decode(text, type=_Calendar)
    return Calendar(stored.interval, stored.day, stored.month, stored.zone)


async def find_account(connection: Connection, workspace: int, togai_id: str) -> AccountFacts:
    """The account of a wire id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.find_account, workspace, togai_id)
    if row is None:
        raise NotFound("account", togai_id)
    return AccountFacts(**row)


async def segments_of(connection: Connection, workspace: int, account: int) -> list[Segment]:
    """All segments in force of an account, in the order of time."""
    return [_segment(r) for r in await connection.fetch(queries.list_segments_of_accounts, workspace, [account])]


async def segments(connection: Connection, workspace: int, keys: Sequence[int]) -> dict[int, Segment]:
    """Segments by key, superseded ones as well."""
    rows = await connection.fetch(queries.list_segments, workspace, list(set(keys)))
    return {row["key"]: _segment(row) for row in rows}


async def page(
    connection: Connection, workspace: int, account: int, period: Period, after: datetime | None, limit: int
) -> list[Segment]:
    """At most `limit` segments in force that overlap `period`, in the order of time, those after a start."""
    rows = await connection.fetch(queries.page_segments, workspace, account, period.start, period.end, after, limit)
    return [_segment(row) for row in rows]


async def insert_schedule(
    connection: Connection, workspace: int, account: int, price_plan: int, start: datetime, wall: datetime
) -> tuple[int, str]:
    """A new schedule, from `start` on; returns its key and its id on the wire."""
    wire_id = ids.draw("sch")
    key: int = await connection.fetchval(queries.insert_schedule, workspace, wire_id, account, price_plan, start, wall)
    return key, wire_id


async def insert_segments(
    connection: Connection, workspace: int, wall: datetime, segments: Sequence[NewSegment]
) -> None:
    """Plan versions hold for accounts from now on."""
    await connection.execute(
        queries.insert_segments,
        workspace,
        wall,
        [segment.schedule for segment in segments],
        [segment.account for segment in segments],
        [segment.version for segment in segments],
        [segment.period.start for segment in segments],
        [segment.period.end for segment in segments],
        [encode_calendar(segment.calendar) for segment in segments],
        [segment.grace_days for segment in segments],
    )


@dataclass(frozen=True, slots=True)
class Migrant:
    """A segment with what a migration needs to know of its account."""

    segment: Segment
    currency: str
    closed_until: datetime | None


async def segments_of_plan(
    connection: Connection, workspace: int, plan: int, versions: tuple[int, int], now: datetime
) -> list[Migrant]:
    """The parts of associations that are or will be on versions `(first, last)` of a plan, up to the last of these.

    Archived accounts are left out.
    """
    rows = await connection.fetch(queries.list_segments_of_plan, workspace, plan, *versions, now)
    return [Migrant(_segment(row), row["currency"], row["closed_until"]) for row in rows]


async def segments_of_accounts(connection: Connection, workspace: int, accounts: Sequence[int]) -> list[Segment]:
    """All segments in force of some accounts, in the order of time."""
    rows = await connection.fetch(queries.list_segments_of_accounts, workspace, list(accounts))
    return [_segment(row) for row in rows]


async def accounts_on_version(
    connection: Connection, workspace: int, plan: int, version: int, now: datetime
) -> list[str]:
    """The ids of accounts that are or will be on a version of a plan; archived ones are left out."""
    rows = await connection.fetch(queries.accounts_on_version, workspace, plan, version, now)
    return [row["togai_id"] for row in rows]


async def account_on(connection: Connection, workspace: int, plan: int, now: datetime) -> str | None:
    """The id of an account that is or will be on a plan."""
    found: str | None = await connection.fetchval(queries.account_on_plan, workspace, plan, now)
    return found


async def version_of_schedule(
    connection: Connection, workspace: int, price_plan_id: str, schedule_id: str, now: datetime
) -> int | None:
    """The key of the plan version behind a pricing schedule of a plan."""
    found: int | None = await connection.fetchval(
        queries.version_of_schedule, workspace, price_plan_id, schedule_id, now
    )
    return found


async def supersede(connection: Connection, workspace: int, keys: Sequence[int], wall: datetime) -> None:
    """Segments cease to hold."""
    await connection.execute(queries.supersede_segments, workspace, list(keys), wall)


def _segment(row: Row) -> Segment:
    return Segment(
        key=row["key"],
        schedule=row["schedule"],
        schedule_id=row["schedule_id"],
        anchor=row["anchor"],
        account=row["account"],
        price_plan_id=row["price_plan_id"],
        price_plan_name=row["price_plan_name"],
        version=row["price_plan_version"],
        version_number=row["version_number"],
        period=Period(row["starts_at"], row["ends_at"]),
        calendar=decode_calendar(row["calendar"]),
        grace_days=row["grace_days"],
        superseded=row["superseded_at"] is not None,
        opens_at=row["opens_at"],
        override=change_from(row["override"]),
    )


async def some_due(connection: Connection, workspace: int, account: int | None, now: datetime) -> bool:
    """Whether invoicing has a segment to look at."""
    return bool(await connection.fetchval(queries.some_due, workspace, account, now))


async def take_due(
    connection: Connection, workspace: int, account: int | None, now: datetime, limit: int
) -> list[Segment]:
    """Segments that invoicing must look at, held until the transaction ends; of each account in them, all such.

    The second look sees what a change of schedules committed while the first waited for it.
    """
    held = await connection.fetch(queries.lock_due, workspace, account, now, limit)
    accounts = list({row["account"] for row in held})
    return [_segment(row) for row in await connection.fetch(queries.list_due, workspace, accounts, now)]


async def set_opens_at(connection: Connection, workspace: int, changes: Sequence[tuple[int, datetime | None]]) -> None:
    """Record when invoicing looks at segments next."""
    await connection.execute(queries.set_opens_at, workspace, [key for key, _ in changes], [at for _, at in changes])
