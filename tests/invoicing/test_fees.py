"""Fixed fees over whole bill runs, against months counted day by day."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from typing import Any

import pytest

from bursar.catalog.definitions import CycleDefinition
from bursar.core.period import Period
from bursar.db.verify import Check
from bursar.invoicing.billing import bill
from bursar.invoicing.release import release_points
from bursar.invoicing.service import Filters, Invoice, list_invoices
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from bursar.purchases import service as purchases
from bursar.purchases.service import Disassociate
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import FOREVER, World, at, card

UNIT12 = Decimal(1).scaleb(-12)
CENT = Decimal("0.01")


async def invoices(world: World) -> list[Invoice]:
    found = await list_invoices(world.db, world.caller, Filters(), None, 50)
    return sorted(found.items, key=lambda invoice: (invoice.header.period.start, invoice.header.type))


async def problems(world: World, checks: list[Check] | None = None) -> list[str]:
    return await broken(world.db, world.caller, checks or [*CHECKS, *ledger.CHECKS])


@dataclass
class Fee:
    """A fee of 30 as a case gives it."""

    prorated: bool
    recurring: bool = True
    in_advance: bool = False
    interval: int = 1
    offset: int = 0


def months_of(start: date, end: date) -> list[tuple[date, date]]:
    """Calendar months that `[start, end)` touches."""
    found = []
    first = start.replace(day=1)
    while first < end:
        following = first + timedelta(days=monthrange(first.year, first.month)[1])
        found.append((first, following))
        first = following
    return found


def expected(fee: Fee, parts: list[tuple[date, date]], last: date) -> list[tuple[date, str]]:
    """`(first day of the part, amount)` of each charge up to `last`, painted day by day; parts of one association."""
    charges = []
    months = months_of(parts[0][0], min(parts[-1][1], last + timedelta(days=1)))
    for number, (first, following) in enumerate(months):
        due = (number - fee.offset) % fee.interval == 0 and number >= fee.offset
        if not (due if fee.recurring else number == fee.offset):
            continue
        days = [first + timedelta(days=n) for n in range((following - first).days)]
        held = [[day for day in days if start <= day < end] for start, end in parts]
        for mine in held:
            if not mine:
                continue
            if fee.prorated:
                amount = (Decimal(30) * len(mine) / len(days)).quantize(UNIT12, ROUND_HALF_EVEN)
            elif mine[0] in {first, parts[0][0]}:
                amount = Decimal(30)
            else:
                continue
            charges.append((mine[0], str(amount.quantize(CENT, ROUND_DOWN))))
    return charges


ALWAYS = [(date(2024, 1, 1), FOREVER)]
FROM_10 = [(date(2024, 1, 10), FOREVER)]
TO_10_MARCH = [(date(2024, 1, 1), date(2024, 3, 10))]
INSIDE = [(date(2024, 2, 5), date(2024, 2, 20))]
GAP = [(date(2024, 1, 10), date(2024, 2, 8)), (date(2024, 2, 20), FOREVER)]
OVER = [(date(2024, 1, 10), date(2024, 1, 20)), (date(2024, 2, 20), FOREVER)]
LEAP = [(date(2024, 2, 29), FOREVER)]


@pytest.mark.parametrize("in_advance", [False, True], ids=["in arrears", "in advance"])
@pytest.mark.parametrize("prorated", [False, True], ids=["whole", "by day"])
@pytest.mark.parametrize(
    ("recurrence", "parts"),
    [
        ({}, ALWAYS),
        ({}, FROM_10),
        ({}, TO_10_MARCH),
        ({}, INSIDE),
        ({}, GAP),
        ({}, OVER),
        ({}, LEAP),
        ({"interval": 2}, FROM_10),
        ({"interval": 2, "offset": 1}, GAP),
        ({"interval": 3, "offset": 1}, ALWAYS),
        ({"recurring": False}, FROM_10),
        ({"recurring": False}, GAP),
        ({"recurring": False, "offset": 2}, TO_10_MARCH),
    ],
)
async def test_fees_equal_days_counted_by_hand(
    make_world: MakeWorld, recurrence: dict[str, Any], parts: list[tuple[date, date]], prorated: bool, in_advance: bool
) -> None:
    case = Fee(prorated, in_advance=in_advance, **recurrence)
    world = await make_world(at(2024, 4, 20))
    fee = await world.fee("seat", 30, prorated=prorated, in_advance=in_advance, **recurrence)
    plan = await world.plan("plan", [], fees=[fee])
    await world.account("acme")
    await world.associate("acme", plan, parts[0][0], parts[-1][1])
    async with world.db.transaction(world.caller.workspace) as connection:
        for (_, gap), (until, _) in pairwise(parts):
            await purchases.disassociate(connection, world.caller, Disassociate("acme", gap, until))
    await bill(world.db, world.caller)
    found = [
        (invoice.document.start_date.date(), str(line.amount.quantize(CENT)))
        for invoice in await invoices(world)
        for line in invoice.document.lines
    ]
    assert found == expected(case, parts, date(2024, 4, 20))
    kinds = {i.header.type for i in await invoices(world) if i.document.lines}
    assert kinds <= {"STANDARD_ADVANCED" if in_advance else "STANDARD"}
    assert await problems(world) == []


async def test_an_invoice_in_advance_is_issued_as_its_cycle_begins(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 1))
    meter = await world.meter("units")
    fees = [await world.fee("base", 99, in_advance=True), await world.fee("report", "12.345")]
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", "0.10")])], fees=fees, commitment=20)
    account = await world.account("acme", net_term_days=10)
    await world.associate("acme", plan, date(2024, 2, 1))
    await world.use(account, meter, at(2024, 2, 5, 10), 5)
    report = await bill(world.db, world.caller)
    assert report.issued == 2, "both fees in advance; the usage of February has grace until the 4th"
    feb, feb_ahead, march, march_ahead = await invoices(world)
    assert [(i.header.type, i.header.status) for i in (feb, feb_ahead, march, march_ahead)] == [
        ("STANDARD", "DRAFT"),
        ("STANDARD_ADVANCED", "DUE"),
        ("STANDARD", "DRAFT"),
        ("STANDARD_ADVANCED", "DUE"),
    ]
    assert (feb_ahead.document.invoice_date, feb_ahead.document.due_date) == (at(2024, 2, 1), at(2024, 2, 11))
    assert feb_ahead.document.total == 99
    assert [(line.type, line.amount) for line in feb.document.lines] == [
        ("USAGE_RATE_CARD", Decimal("0.5")),
        ("FIXED_FEE_RATE_CARD", Decimal("12.34")),
        ("TRUE_UP", Decimal("7.16")),
    ], "a commitment counts the lines of its own invoice"
    assert feb.document.lines[1].formula == "fee 12.345 = 12.345, rounded toward zero to 2 decimals = 12.34"
    assert feb.document.lines[1].description == "report"
    await bill(world.db, world.at(at(2024, 3, 4)))
    assert (await invoices(world))[0].header.status == "DUE"
    assert await problems(world) == []


async def postings(world: World) -> list[tuple[Any, ...]]:
    rows = await world.rows(
        "select t.accounting_date, t.cause, a.kind, p.amount from posting p"
        " join ledger_account a on a.key = p.ledger_account join ledger_transaction t on t.key = p.transaction"
        " where p.workspace = $1 order by t.accounting_date, t.key, p.line",
        world.caller.workspace,
    )
    return [
        (f"{row['accounting_date']:%m-%d}", row["cause"], row["kind"], str(row["amount"].normalize())) for row in rows
    ]


async def test_what_is_charged_in_advance_is_earned_by_the_day(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 5, 20), timezone="America/New_York")
    fee = await world.fee("yearly", "91.005", in_advance=True)
    plan = await world.plan("plan", [], cycle=CycleDefinition("QUARTERLY", 0), fees=[fee])
    await world.account("acme")
    await world.associate("acme", plan, date(2024, 4, 1), date(2024, 7, 1))
    await bill(world.db, world.at(at(2024, 4, 2)))
    assert await problems(world) == []
    issued = [
        ("04-01", "invoice", "receivable", "91"),
        ("04-01", "invoice", "deferred", "-91.005"),
        ("04-01", "invoice", "rounding", "0.005"),
    ]
    assert await postings(world) == issued
    await bill(world.db, world.caller)
    assert await problems(world) == []
    # 30 of 91 days: 91.005 x 30 / 91 = 30.00164835164835...
    april = [("04-30", "release", "deferred", "30.001648351648"), ("04-30", "release", "revenue", "-30.001648351648")]
    assert await postings(world) == issued + april
    await bill(world.db, world.at(at(2024, 7, 1, 4)))
    # 61 of 91 days: 61.00335164835..., less April's; and all that is left
    may = [("05-31", "release", "deferred", "31.001703296704"), ("05-31", "release", "revenue", "-31.001703296704")]
    june = [("06-30", "release", "deferred", "30.001648351648"), ("06-30", "release", "revenue", "-30.001648351648")]
    assert await postings(world) == issued + april + may + june
    await bill(world.db, world.at(at(2024, 9, 1)))
    assert len(await postings(world)) == 9, "what is earned is earned once"
    assert await problems(world) == []


@pytest.mark.parametrize(
    ("start", "end", "points"),
    [
        (at(2024, 1, 1), at(2024, 2, 1), [at(2024, 2, 1)]),
        (at(2024, 1, 10), at(2024, 2, 10), [at(2024, 2, 1), at(2024, 2, 10)]),
        (at(2024, 1, 31), at(2024, 2, 1), [at(2024, 2, 1)]),
        (at(2023, 11, 15), at(2024, 2, 15), [at(2023, 12, 1), at(2024, 1, 1), at(2024, 2, 1), at(2024, 2, 15)]),
    ],
)
def test_points_of_release(start: datetime, end: datetime, points: list[datetime]) -> None:
    assert list(release_points(Period(start, end), "UTC")) == points


async def test_what_is_invoiced_in_advance_stands_and_is_not_charged_again(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 3))
    fee = await world.fee("seat", 29, in_advance=True)
    plan = await world.plan("plan", [], fees=[fee])
    await world.account("acme")
    await world.associate("acme", plan, date(2024, 2, 1))
    await bill(world.db, world.caller)
    async with world.db.transaction(world.caller.workspace) as connection:
        gap = Disassociate("acme", date(2024, 2, 10), date(2024, 2, 20))
        await purchases.disassociate(connection, world.caller, gap)
    later = world.at(at(2024, 3, 1))
    await bill(world.db, later)
    world.caller = later
    ahead = [i for i in await invoices(world) if i.header.type == "STANDARD_ADVANCED"]
    assert [(i.document.start_date, i.document.end_date, i.document.total) for i in ahead] == [
        (at(2024, 2, 1), at(2024, 3, 1), Decimal(29)),
        (at(2024, 3, 1), at(2024, 4, 1), Decimal(29)),
    ]
    assert await problems(world) == []


async def test_a_draft_in_advance_follows_the_schedule(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 2, 3))
    fee = await world.fee("seat", 29, in_advance=True)
    plan = await world.plan("plan", [], fees=[fee])
    await world.account("acme")
    await world.associate("acme", plan, date(2024, 2, 1))
    drawn = [i for i in await invoices(world) if i.header.type == "STANDARD_ADVANCED"]
    assert [i.document.total for i in drawn] == [29]
    async with world.db.transaction(world.caller.workspace) as connection:
        await purchases.disassociate(connection, world.caller, Disassociate("acme", date(2024, 2, 11), FOREVER))
    (cut,) = [i for i in await invoices(world) if i.header.type == "STANDARD_ADVANCED"]
    assert (cut.header.id, cut.document.end_date) == (drawn[0].header.id, at(2024, 2, 11))
    assert cut.document.total == 10
    async with world.db.transaction(world.caller.workspace) as connection:
        await purchases.disassociate(connection, world.caller, Disassociate("acme", date(2024, 2, 1), FOREVER))
    assert await invoices(world) == []
