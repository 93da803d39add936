"""Associations in a real database, and changes that meet."""

import asyncio
import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bursar.accounts.model import Address, NewAccount, NewCustomer
from bursar.accounts.service import archive_account, create_account, create_customer
from bursar.catalog.definitions import Commitment, CurrencyRate, CycleDefinition, PlanDetails
from bursar.catalog.plans import NewPlan, PlanVersion, activate_plan, create_plan
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.core.period import FOREVER
from bursar.db.database import Database
from bursar.purchases import service
from bursar.purchases.service import Associate, Disassociate, Schedules

END = date(9999, 1, 1)
MONTHLY = CycleDefinition("MONTHLY", 3)


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2024, month, day, hour, tzinfo=UTC)


class Shop:
    """An account and some plans."""

    def __init__(self, db: Database, caller: Caller) -> None:
        self.db = db
        self.caller = caller

    async def open(self, zone: str | None = None) -> "Shop":
        async with self.db.transaction(self.caller.workspace) as connection:
            await create_customer(connection, self.caller, NewCustomer("c", "A Customer", "c@example.com", Address()))
            made = await create_account(connection, self.caller, "c", NewAccount("acme", "ACME"))
            if zone:
                await connection.execute("update account set timezone = $2 where key = $1", made.key, zone)
        return self

    async def plan(
        self, name: str, cycle: CycleDefinition = MONTHLY, *, currency: str = "USD", active: bool = True
    ) -> PlanVersion:
        details = PlanDetails([currency], cycle, [], Commitment("Least", [CurrencyRate(currency, Decimal(1))]))
        async with self.db.transaction(self.caller.workspace) as connection:
            made = await create_plan(connection, self.caller, NewPlan(name, "BILLING", None, details))
            return await activate_plan(connection, self.caller, made.id, [currency]) if active else made

    async def on(self, plan: PlanVersion, start: date, end: date = END, **options: Any) -> Schedules:
        async with self.db.transaction(self.caller.workspace) as connection:
            command = Associate(options.pop("account", "acme"), plan.id, start, end, **options)
            return await service.associate(connection, self.caller, command)

    async def off(self, start: date, end: date = END, plan: str | None = None) -> Schedules:
        async with self.db.transaction(self.caller.workspace) as connection:
            return await service.disassociate(connection, self.caller, Disassociate("acme", start, end, plan))

    async def rows(self, statement: str) -> list[Any]:
        async with self.db.transaction(self.caller.workspace) as connection:
            return list(await connection.fetch(statement, self.caller.workspace))


def shown(schedules: Schedules) -> list[tuple[str, datetime, datetime]]:
    return [(s.price_plan_name, s.period.start, s.period.end) for s in schedules.segments]


@pytest.fixture
async def shop(database: Database, caller: Caller) -> Shop:
    return await Shop(database, caller).open()


async def test_an_older_association_gives_way_and_goes_on(shop: Shop) -> None:
    a, b = await shop.plan("a"), await shop.plan("b")
    first = await shop.on(a, date(2024, 1, 1))
    assert shown(first) == [("a", at(1, 1), FOREVER)]
    second = await shop.on(b, date(2024, 2, 10), date(2024, 3, 1))
    assert shown(second) == [("a", at(1, 1), at(2, 10)), ("b", at(2, 10), at(3, 1)), ("a", at(3, 1), FOREVER)]
    ids = [s.schedule_id for s in second.segments]
    assert ids[0] == ids[2] == first.segments[0].schedule_id, "one association, in two parts"
    assert ids[1] != ids[0]
    third = await shop.off(date(2024, 2, 20), date(2024, 4, 1))
    assert shown(third) == [("a", at(1, 1), at(2, 10)), ("b", at(2, 10), at(2, 20)), ("a", at(4, 1), FOREVER)]
    assert shown(await shop.off(date(2024, 1, 1), END, b.id)) == [("a", at(1, 1), at(2, 10)), ("a", at(4, 1), FOREVER)]
    assert shown(await shop.off(date(2000, 1, 1))) == []
    assert shown(await shop.off(date(2000, 1, 1))) == [], "once more changes nothing"
    kept = await shop.rows("select count(*), count(superseded_at) from schedule_segment where workspace = $1")
    assert kept[0][0] == kept[0][1] == 6, "superseded segments are kept"


async def test_admission_learns_the_calendar(shop: Shop) -> None:
    a = await shop.plan("a")
    b = await shop.plan("b", CycleDefinition("WEEKLY", 7, day="3"))
    await shop.on(a, date(2024, 1, 1))
    await shop.on(b, date(2024, 2, 1))
    rows = await shop.rows("select * from account_calendar where workspace = $1 order by starts_at")
    assert [(r["starts_at"], r["ends_at"], r["grace_days"]) for r in rows] == [
        (at(1, 1), at(2, 1), 3),
        (at(2, 1), FOREVER, 7),
    ]
    calendars = [msgspec.json.decode(r["calendar"]) for r in rows]
    assert [(c["interval"], c["day"], c["zone"]) for c in calendars] == [
        ("MONTHLY", "1", "UTC"),
        ("WEEKLY", "3", "UTC"),
    ]
    changes = await shop.rows("select count(*) from change_log where workspace = $1 and kind = 'account'")
    assert changes[0][0] >= 2


async def test_the_zone_of_the_account_counts(database: Database, caller: Caller) -> None:
    shop = await Shop(database, caller).open("Asia/Kolkata")
    anniversary = await shop.plan("a", CycleDefinition("MONTHLY", 0, anniversary=True))
    made = await shop.on(anniversary, date(2024, 3, 31), date(2024, 6, 1))
    (one,) = made.segments
    assert one.period.start == datetime(2024, 3, 30, 18, 30, tzinfo=UTC)
    assert (one.calendar.day, one.calendar.zone) == ("LAST", "Asia/Kolkata")


async def test_retained_offsets(shop: Shop) -> None:
    a = await shop.plan("a", CycleDefinition("MONTHLY", 3, day="10"))
    b = await shop.plan("b", CycleDefinition("MONTHLY", 5, day="1"))
    await shop.on(a, date(2024, 1, 10))
    made = await shop.on(b, date(2024, 2, 20), retain_start_offsets=True)
    assert [(s.price_plan_name, s.calendar.day, s.grace_days) for s in made.segments] == [
        ("a", "10", 3),
        ("b", "10", 5),
    ]
    weekly = await shop.plan("w", CycleDefinition("WEEKLY", 5))
    with pytest.raises(Invalid, match="retainStartOffsets"):
        await shop.on(weekly, date(2024, 3, 20), retain_start_offsets=True)


async def test_what_cannot_be_associated(shop: Shop) -> None:
    a = await shop.plan("a")
    draft = await shop.plan("draft", active=False)
    euro = await shop.plan("euro", currency="EUR")
    day = date(2024, 1, 1)
    with pytest.raises(WrongState, match="DRAFT"):
        await shop.on(draft, day)
    with pytest.raises(Invalid, match="not active in USD"):
        await shop.on(euro, day)
    with pytest.raises(NotFound):
        await shop.on(a, day, account="nobody")
    with pytest.raises(NotFound):
        await shop.off(day, END, "pp.unknown")
    await shop.on(a, day)
    async with shop.db.transaction(shop.caller.workspace) as connection:
        await archive_account(connection, shop.caller, "acme")
    with pytest.raises(WrongState, match="archived"):
        await shop.on(a, date(2024, 5, 1))
    with pytest.raises(WrongState, match="archived"):
        await shop.off(date(2024, 5, 1))


async def test_changes_at_once_come_one_after_the_other(shop: Shop) -> None:
    plans = [await shop.plan(f"p{n}") for n in range(5)]
    spans = [(n, date(2024, 1, 1 + 3 * n), date(2024, 1, 8 + 4 * n)) for n in range(5)]
    await asyncio.gather(*(shop.on(plans[n], start, end) for n, start, end in spans * 2))
    rows = await shop.rows(
        "select starts_at, ends_at from schedule_segment where workspace = $1 and superseded_at is null order by 1"
    )
    assert rows[0]["starts_at"] == at(1, 1)
    assert rows[-1]["ends_at"] == at(1, 24)
    for one, following in itertools.pairwise(rows):
        assert one["ends_at"] == following["starts_at"]


async def test_lists_by_time_and_page(shop: Shop) -> None:
    plan = await shop.plan("a")
    for month in range(1, 7):
        await shop.on(plan, date(2024, month, 1), date(2024, month, 20))

    async def months(start: datetime | None, end: datetime | None, after: str | None, limit: int) -> Any:
        async with shop.db.transaction(shop.caller.workspace) as connection:
            page = await service.list_segments(connection, shop.caller, "acme", start, end, after, limit)
        return [s.period.start.month for s in page.items], page.after

    assert (await months(None, None, None, 100))[0] == [1, 2, 3, 4, 5, 6]
    assert (await months(at(2, 20), at(5, 1), None, 100))[0] == [3, 4]
    assert (await months(at(2, 19), at(5, 1, 1), None, 100))[0] == [2, 3, 4, 5]
    first, after = await months(None, None, None, 4)
    second, end = await months(None, None, after, 4)
    assert (first, second, end) == ([1, 2, 3, 4], [5, 6], None)
    with pytest.raises(Invalid):
        await months(at(3, 1), at(2, 1), None, 4)
    with pytest.raises(Invalid):
        await months(None, None, "yesterday", 4)
