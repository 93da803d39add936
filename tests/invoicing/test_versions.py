"""A plan that changes while it is used: each day is billed by exactly one version, against arithmetic day by day."""

import asyncio
from calendar import monthrange
from datetime import date, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

from bursar.catalog.definitions import Commitment, CurrencyRate, CycleDefinition
from bursar.core.errors import Invalid, WrongState
from bursar.invoicing.billing import bill
from bursar.invoicing.service import Invoice
from bursar.purchases import service as purchases
from bursar.purchases.plan_changes import archive_plan
from bursar.purchases.service import Disassociate
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_fees import invoices, problems
from tests.invoicing.world import FOREVER, World, at, card, dec

UNIT12, CENT = Decimal(1).scaleb(-12), Decimal("0.01")
OLD = {"rate": "0.10", "flat": "3", "fee": "31", "least": "50"}
NEW = {"rate": "0.25", "flat": "5", "fee": "62", "least": "90"}
USED = {date(2024, 5, day): Decimal(day) * 10 for day in (2, 9, 10, 16, 17, 18, 30)} | {date(2024, 6, 3): Decimal(400)}


def share(amount: str, days: int, of_days: int) -> Decimal:
    return (Decimal(amount) * days / of_days).quantize(UNIT12, ROUND_HALF_EVEN)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_DOWN)


def expected(start: date, switch: date | None, until: date) -> list[tuple[date, list[str]]]:
    """What the invoices that begin before `until` charge: usage, fee, true-up; slab one free to 100, then per unit."""
    found = []
    first = start
    while first < until:
        month_end = first.replace(day=1) + timedelta(days=monthrange(first.year, first.month)[1])
        for begin, end in ((first, min(month_end, switch or month_end)), (max(first, switch or month_end), month_end)):
            if begin >= end:
                continue
            prices = NEW if switch and begin >= switch else OLD
            of_days = monthrange(first.year, first.month)[1]
            days = (end - begin).days
            units = sum((n for day, n in USED.items() if begin <= day < end), Decimal(0))
            usage = Decimal(0)
            if units > 0:
                usage = Decimal(prices["flat"]) + max(units - 100, Decimal(0)) * Decimal(prices["rate"])
            amounts = [cents(usage), cents(share(prices["fee"], days, of_days))]
            missing = cents(max(share(prices["least"], days, of_days) - sum(amounts), Decimal(0)))
            found.append((begin, [str(cents(a)) for a in [*amounts, *([missing] if missing else [])]]))
        first = month_end
    return found


def versions(invoice: Invoice) -> set[int]:
    """The versions of the plan that made an invoice's lines."""
    return {line.price_version.version for line in invoice.document.lines if line.price_version is not None}


async def make(
    make_world: MakeWorld, start: date = date(2024, 5, 1), **options: Any
) -> tuple[World, Any, dict[str, Any]]:
    """An account on the old version since `start`; what makes the new one."""
    world = await make_world(at(2024, 5, 17, 9))
    meter = await world.meter("units")
    fee = await world.fee("seat", OLD["fee"])

    def parts(prices: dict[str, str]) -> dict[str, Any]:
        return {
            "usage": [card(meter, [(0, "FLAT", prices["flat"]), (100, "PER_UNIT", prices["rate"])])],
            "fees": [type(fee)(fee.name, fee.add_on, fee.add_on_id, [CurrencyRate("USD", dec(prices["fee"]))], True)],
            "commitment": Commitment("Minimum", [CurrencyRate("USD", dec(prices["least"]))]),
        }

    old = parts(OLD)
    plan = await world.plan("plan", old["usage"], fees=old["fees"], commitment=OLD["least"], **options)
    account = await world.account("acme")
    await world.associate("acme", plan, start)
    for day, units in USED.items():
        await world.use(account, meter, at(day.year, day.month, day.day, 12), units)
    return world, plan, parts(NEW)


@pytest.mark.parametrize(
    ("mode", "start", "switch"),
    [
        ("NONE", date(2024, 5, 1), None),
        ("IMMEDIATE", date(2024, 5, 1), date(2024, 5, 17)),
        ("IMMEDIATE_IGNORE_OVERRIDE", date(2024, 5, 10), date(2024, 5, 17)),
        ("NEXT_CYCLE", date(2024, 5, 1), date(2024, 6, 1)),
        ("NEXT_CYCLE_IGNORE_OVERRIDE", date(2024, 5, 9), date(2024, 6, 1)),
        ("START_OF_CURRENT_CYCLE", date(2024, 5, 1), date(2024, 5, 1)),
        ("START_OF_CURRENT_CYCLE", date(2024, 5, 9), date(2024, 5, 9)),
    ],
)
async def test_each_day_is_billed_by_one_version(
    make_world: MakeWorld, mode: str, start: date, switch: date | None
) -> None:
    world, plan, new = await make(make_world, start, ongoing_updates=True)
    drafts = [i.header.id for i in await invoices(world)]
    made = await world.update(plan, mode, **new)
    assert (made.version, made.active_currencies) == (2, ("USD",))
    assert made.version_id != plan.version_id
    world.caller = world.at(at(2024, 7, 20))
    await bill(world.db, world.caller)
    found = [i for i in await invoices(world) if i.header.status != "DRAFT"]
    shown = [
        (i.document.start_date.date(), [str(line.amount.quantize(CENT)) for line in i.document.lines]) for i in found
    ]
    assert shown == expected(start, switch, date(2024, 7, 1))
    assert drafts[0] == found[0].header.id, "the invoice of the open cycle keeps its id"
    for invoice in found:
        version = 2 if switch and invoice.document.start_date.date() >= switch else 1
        assert versions(invoice) == {version}
    assert await problems(world) == []


async def test_invoiced_time_is_not_touched(make_world: MakeWorld) -> None:
    world, plan, new = await make(
        make_world, date(2024, 4, 1), ongoing_updates=True, cycle=CycleDefinition("MONTHLY", 0)
    )
    world.caller = world.at(at(2024, 5, 17))
    await bill(world.db, world.caller)
    april = (await invoices(world))[0]
    assert april.header.status == "DUE"
    await world.update(plan, "START_OF_CURRENT_CYCLE", **new)
    assert (await invoices(world))[0].document == april.document
    assert [versions(i) for i in await invoices(world)] == [{1}, {2}]
    assert await problems(world) == []


async def test_the_current_cycle_begins_anew_though_it_is_cut(make_world: MakeWorld) -> None:
    world, plan, new = await make(make_world, ongoing_updates=True)
    least = Commitment("Minimum", [CurrencyRate("USD", Decimal(7))])
    await world.update(plan, "IMMEDIATE", now=at(2024, 5, 10), commitment=least)
    await world.update(plan, "START_OF_CURRENT_CYCLE", **new)
    world.caller = world.at(at(2024, 7, 20))
    found = [i for i in await invoices(world) if i.document.start_date < at(2024, 6, 1)]
    amounts = [
        (i.document.start_date.date(), [str(line.amount.quantize(CENT)) for line in i.document.lines]) for i in found
    ]
    assert amounts == expected(date(2024, 5, 1), date(2024, 5, 1), date(2024, 6, 1)), "as one whole cycle"
    assert set[int]().union(*map(versions, found)) == {3}
    await bill(world.db, world.caller)
    assert await problems(world) == []


async def test_whom_a_version_reaches(make_world: MakeWorld) -> None:
    world, plan, new = await make(make_world, ongoing_updates=False)
    with pytest.raises(WrongState, match="allow_ongoing_cycle_updates"):
        await world.update(plan, "START_OF_CURRENT_CYCLE", **new)
    second = await world.update(plan, **new)
    await world.account("newcomer")
    await world.associate("newcomer", second, date(2024, 5, 1))
    await world.account("leaver")
    await world.associate("leaver", second, date(2024, 4, 1), date(2024, 5, 2))

    async def versions() -> dict[str, list[int]]:
        rows = await world.rows(
            "select a.togai_id, v.version from schedule_segment s join account a on a.key = s.account"
            " join price_plan_version v on v.key = s.price_plan_version"
            " where s.workspace = $1 and s.superseded_at is null order by s.starts_at",
            world.caller.workspace,
        )
        found: dict[str, list[int]] = {}
        for row in rows:
            found.setdefault(row["togai_id"], []).append(row["version"])
        return found

    assert await versions() == {"acme": [1], "newcomer": [2], "leaver": [2]}
    same = await world.update(plan, "IMMEDIATE", **new)
    assert same.version == 2, "nothing is said anew"
    commitment = Commitment("Minimum", [CurrencyRate("USD", Decimal(1))])
    third = await world.update(plan, "IMMEDIATE", commitment=commitment)
    assert third.version == 3
    assert await versions() == {"acme": [1], "newcomer": [2, 3], "leaver": [2]}, "those on the version before"
    other = Commitment("Minimum", [CurrencyRate("USD", Decimal(2))])
    await world.update(plan, "NEXT_CYCLE", all_versions=True, commitment=other)
    assert await versions() == {"acme": [1, 4], "newcomer": [2, 3, 4], "leaver": [2]}
    last = Commitment("Minimum", [CurrencyRate("USD", Decimal(3))])
    await world.update(plan, "IMMEDIATE", now=at(2024, 5, 20), commitment=last)
    assert await versions() == {"acme": [1, 5], "newcomer": [2, 3, 5], "leaver": [2]}, (
        "who was to be on the version before follows with what is left of the present cycle"
    )
    assert await problems(world) == []


async def test_a_currency_that_a_version_lacks_keeps_its_accounts(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 5, 17))
    plan = await world.plan("plan", [], commitment=5)
    with pytest.raises(Invalid, match="'USD' is active"):
        await world.update(plan, currencies=["EUR"])


async def test_an_interval_that_changes_inside_a_cycle(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 5, 17))
    plan = await world.plan("plan", [], commitment=31)
    await world.account("acme")
    await world.associate("acme", plan, date(2024, 5, 1))
    await world.update(plan, "IMMEDIATE", cycle=CycleDefinition("WEEKLY", 0))
    world.caller = world.at(at(2024, 6, 1))
    found = await invoices(world)
    # 16 of 31 days; Friday to Sunday are 3 of 7; then whole weeks from Monday on
    assert [(i.document.start_date.day, i.document.total) for i in found] == [
        (1, Decimal(16)),
        (17, Decimal("13.28")),
        (20, Decimal(31)),
        (27, Decimal(31)),
    ]
    assert await problems(world) == []


async def test_fees_in_advance_when_the_version_changes(make_world: MakeWorld) -> None:
    """What is invoiced in advance stands; the new version charges from the next cycle on."""
    world = await make_world(at(2024, 5, 17))
    fee = await world.fee("seat", 31, in_advance=True)
    plan = await world.plan("plan", [], fees=[fee])
    await world.account("acme")
    await world.associate("acme", plan, date(2024, 5, 1))
    await bill(world.db, world.caller)
    dearer = type(fee)(fee.name, fee.add_on, fee.add_on_id, [CurrencyRate("USD", Decimal(62))], True, in_advance=True)
    await world.update(plan, "IMMEDIATE", fees=[dearer])
    world.caller = world.at(at(2024, 6, 10))
    await bill(world.db, world.caller)
    ahead = [i for i in await invoices(world) if i.header.type == "STANDARD_ADVANCED"]
    assert [(i.document.start_date, i.document.total) for i in ahead] == [
        (at(2024, 5, 1), Decimal(31)),
        (at(2024, 6, 1), Decimal(62)),
    ]
    assert await problems(world) == []


async def test_a_plan_is_archived_when_nobody_is_on_it(make_world: MakeWorld) -> None:
    world, plan, new = await make(make_world)

    async def archive() -> None:
        async with world.db.transaction(world.caller.workspace) as connection:
            await archive_plan(connection, world.caller, plan.id)

    with pytest.raises(WrongState, match="account 'acme' is associated"):
        await archive()
    async with world.db.transaction(world.caller.workspace) as connection:
        await purchases.disassociate(connection, world.caller, Disassociate("acme", date(2024, 5, 18), FOREVER))
    with pytest.raises(WrongState, match="account 'acme' is associated"):
        await archive()
    world.caller = world.at(at(2024, 5, 18))
    await archive()
    for call in (archive(), world.update(plan, **new), world.associate("acme", plan, date(2024, 6, 1))):
        with pytest.raises(WrongState, match=r"(?i)archived"):
            await call
    assert [i.document.end_date for i in await invoices(world)] == [at(2024, 5, 18)], "what was used is still billed"
    assert await problems(world) == []


async def test_changes_and_bill_runs_at_once(make_world: MakeWorld) -> None:
    """Versions come, accounts leave and return, while three bill runs and readers are at it."""
    world = await make_world(at(2024, 5, 17, 9))
    meter = await world.meter("units")
    ahead, behind = await world.fee("ahead", 31, in_advance=True), await world.fee("behind", 62)
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", "0.10")])], fees=[ahead, behind], commitment=9)
    for n in range(8):
        account = await world.account(f"a{n}")
        await world.associate(f"a{n}", plan, date(2024, 3 + n % 3, 1 + n))
        await world.use(account, meter, at(2024, 5, 16, n), 10 + n)

    async def edit() -> None:
        for n in range(6):
            least = Commitment("Minimum", [CurrencyRate("USD", Decimal(10 + n))])
            mode = ("IMMEDIATE", "NEXT_CYCLE")[n % 2]
            await world.update(plan, mode, all_versions=True, now=at(2024, 5, 17 + n, 9), commitment=least)

    async def leave_and_return() -> None:
        for n in range(8):
            async with world.db.transaction(world.caller.workspace) as connection:
                gap = Disassociate(f"a{n}", date(2024, 5, 20), date(2024, 5, 20 + 1 + n))
                await purchases.disassociate(connection, world.caller, gap)

    async def run() -> None:
        for day in (17, 20, 25):
            await bill(world.db, world.at(at(2024, 5, day)), batch=2)

    async def read() -> None:
        for _ in range(4):
            await invoices(world)

    await asyncio.gather(edit(), leave_and_return(), run(), run(), run(), read())
    assert await problems(world) == []
    world.caller = world.at(at(2024, 8, 10))
    await bill(world.db, world.caller)
    assert await problems(world) == []
    rows = await world.rows(
        "select i.wire_id from invoice i where i.workspace = $1 and i.status = 'DRAFT' and i.ends_at <= '2024-08-01'",
        world.caller.workspace,
    )
    assert rows == [], "nothing is left behind"
