"""Licences over whole bill runs, against days counted and priced by hand."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from itertools import groupby
from typing import Any, Literal

import pytest
from msgspec import UNSET

from bursar.catalog.definitions import CycleDefinition, LicenseCard
from bursar.core.errors import Invalid, WrongState
from bursar.db.verify import Check
from bursar.invoicing.billing import bill
from bursar.invoicing.document import Line
from bursar.invoicing.parts import LicenseTerms
from bursar.invoicing.service import Filters, Invoice, list_invoices
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from bursar.ledger.credit_store import list_credits
from bursar.purchases import verify as purchases
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at, card

SLABS = [(0, "PER_UNIT", 10), (5, "PER_UNIT", 8)]
"""Ten each for the first five, eight for every other."""
CENT, UNIT12 = Decimal("0.01"), Decimal(1).scaleb(-12)
FEBRUARY, MARCH, APRIL = date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1)


def price(quantity: int) -> Decimal:
    return Decimal(10 * min(quantity, 5) + 8 * max(quantity - 5, 0))


async def invoices(world: World) -> list[Invoice]:
    found = await list_invoices(world.db, world.caller, Filters(), None, 50)
    return sorted(found.items, key=lambda invoice: (invoice.header.period.start, invoice.header.type))


async def problems(world: World, checks: list[Check] | None = None) -> list[str]:
    return await broken(world.db, world.caller, checks or [*CHECKS, *ledger.CHECKS, *purchases.CHECKS])


def terms_of(line: Line) -> LicenseTerms:
    assert line.license is not UNSET
    return line.license


def days_of(month: date) -> list[date]:
    return [month + timedelta(days=n) for n in range(31) if (month + timedelta(days=n)).month == month.month]


@dataclass
class Licences:
    """Licences as a case gives them: from about noon of a day on there are so many."""

    changes: list[tuple[date, int]]

    def on(self, day: date) -> int:
        """The most on a day: what the day before left, or what its own changes made."""
        earlier = [quantity for when, quantity in self.changes if when < day]
        return max([*(quantity for when, quantity in self.changes if when == day), *earlier[-1:], 0])


def by_day(quantities: list[int], before: int) -> Decimal:
    """What the days of a month cost more than `before`; equal days together, rounded to 12 decimals."""
    return sum(
        (
            ((price(quantity) - price(before)) * len(list(run)) / len(quantities)).quantize(UNIT12, ROUND_HALF_EVEN)
            for quantity, run in groupby(quantities)
        ),
        Decimal(0),
    )


STEADY = Licences([(date(2024, 1, 20), 7)])
UP = Licences([(date(2024, 1, 20), 2), (date(2024, 2, 10), 6), (date(2024, 2, 20), 9)])
DOWN = Licences([(date(2024, 1, 20), 9), (date(2024, 2, 7), 3), (date(2024, 3, 20), 1)])
SPIKE = Licences([(date(2024, 1, 20), 4), (date(2024, 2, 14), 12), (date(2024, 2, 14), 4), (date(2024, 3, 3), 0)])
LATE = Licences([(date(2024, 2, 29), 1)])


@pytest.mark.parametrize("case", [STEADY, UP, DOWN, SPIKE, LATE], ids=["steady", "up", "down", "spike", "late"])
@pytest.mark.parametrize("prorated", [True, False], ids=["by day", "whole"])
@pytest.mark.parametrize("in_advance", [True, False], ids=["in advance", "in arrears"])
async def test_the_four_behaviours_equal_days_counted_by_hand(
    make_world: MakeWorld, case: Licences, prorated: bool, in_advance: bool
) -> None:
    world = await make_world(at(2024, 2, 1))
    seats = await world.license("seats", SLABS, prorated=prorated, in_advance=in_advance)
    plan = await world.plan("plan", [], licenses=[seats])
    await world.account("acme")
    await world.associate("acme", plan, FEBRUARY, date(2024, 4, 1))
    known = 0
    for month in (FEBRUARY, MARCH, APRIL):
        # What is invoiced in advance is drawn up as its month begins: changes come as they happen.
        for day, quantity in case.changes[known:]:
            if day < month:
                await world.hold("acme", seats, at(2024, day.month, day.day, 10 + known), quantity, "ABSOLUTE")
                known += 1
        await bill(world.db, world.at(at(2024, month.month, 1)))
    world.caller = world.at(at(2024, 4, 10))
    await bill(world.db, world.caller)
    expected = {}
    for month in (FEBRUARY, MARCH):
        ahead = case.on(month) if in_advance else 0
        quantities = [case.on(day) for day in days_of(month)]
        charged = price(max([ahead, *quantities])) - price(ahead)
        if prorated:
            # Days on which there are fewer than were charged give nothing back.
            charged = by_day([max(quantity, ahead) for quantity in quantities], ahead)
        expected["STANDARD_ADVANCED", month] = price(ahead) if in_advance else Decimal(0)
        expected["STANDARD", month] = charged.quantize(CENT, ROUND_DOWN)
    found = {
        (invoice.header.type, invoice.header.period.start.date()): line.amount
        for invoice in await invoices(world)
        for line in invoice.document.lines
    }
    assert {key: amount for key, amount in found.items() if amount} == {
        key: amount for key, amount in expected.items() if amount
    }
    assert await problems(world) == []


REFUNDED = [(date(2024, 1, 20), 9), (date(2024, 2, 7), 3)]


@pytest.mark.parametrize("mode", ["CREDITS", "WALLET", "PAYMENT"])
async def test_what_was_charged_ahead_goes_back(
    make_world: MakeWorld, mode: Literal["CREDITS", "WALLET", "PAYMENT"]
) -> None:
    world = await make_world(at(2024, 2, 1))
    seats = await world.license("seats", SLABS, in_advance=True, refund=mode)
    plan = await world.plan("plan", [], licenses=[seats])
    account = await world.account("acme")
    await world.associate("acme", plan, FEBRUARY, MARCH)
    await world.hold("acme", seats, at(2024, 1, 20), 9, "ABSOLUTE")
    await bill(world.db, world.caller)
    await world.hold("acme", seats, at(2024, 2, 7, 12), 3, "ABSOLUTE")
    world.caller = world.at(at(2024, 3, 4))
    await bill(world.db, world.caller)
    # 9 cost 82, 3 cost 30: 22 of 29 days 52 less.
    back = (Decimal(52) * 22 / 29).quantize(CENT, ROUND_DOWN)
    used, ahead = await invoices(world)
    assert (ahead.document.total, used.document.total, used.header.status) == (Decimal(82), Decimal(0), "PAID")
    terms = terms_of(used.document.lines[0])
    assert (terms.refund, terms.refund_mode) == (back, mode)
    assert used.document.lines[0].formula.endswith(f"which goes back ({mode})")
    async with world.db.transaction(world.caller.workspace) as connection:
        granted = (await list_credits(connection, world.caller, None, 10)).items
    rows = await world.rows(
        "select b.balance from ledger_balance b join ledger_account a on a.key = b.ledger_account"
        " where a.account = $1 and a.kind = 'wallet'", account
    )  # fmt: skip
    if mode == "CREDITS":
        assert [(credit.left, credit.effective_from) for credit in granted] == [(back, date(2024, 3, 5))]
        assert not rows or not rows[0]["balance"]
    else:
        assert not granted
        # It has paid what was open of the invoice in advance by then, or is in the wallet.
        assert -rows[0]["balance"] + ahead.header.paid_amount == back
    revenue = await world.rows(
        "select -sum(p.amount) as amount from posting p join ledger_account a on a.key = p.ledger_account"
        " where a.workspace = $1 and a.kind = 'revenue'", world.caller.workspace
    )  # fmt: skip
    assert revenue[0]["amount"] == Decimal(82) - back
    assert await problems(world) == []


async def test_a_cut_month_is_charged_once(make_world: MakeWorld) -> None:
    """A new version in the middle of a month: days are charged by their version, what was charged ahead stands."""
    world = await make_world(at(2024, 2, 15))
    ahead = await world.license("ahead", [(0, "PER_UNIT", 29)], in_advance=True)
    whole = await world.license("whole", [(0, "PER_UNIT", 10)], prorated=False)
    daily = await world.license("daily", [(0, "PER_UNIT", 29)])
    plan = await world.plan("plan", [], licenses=[ahead, whole, daily])
    await world.account("acme")
    await world.associate("acme", plan, FEBRUARY, MARCH)
    for one in (ahead, whole, daily):
        await world.hold("acme", one, at(2024, 1, 1), 2, "ABSOLUTE")
    await bill(world.db, world.at(at(2024, 2, 1)))
    for one in (ahead, whole, daily):
        await world.hold("acme", one, at(2024, 2, 11), 1, "RELATIVE")
    dearer = [(0, "PER_UNIT", 58)]
    other = await world.license("unused", dearer)
    changed = [
        LicenseCard(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "rates": other.rates})
        for one in (ahead, daily)
    ]
    await world.update(plan, "IMMEDIATE", licenses=[changed[0], whole, changed[1]])
    world.caller = world.at(at(2024, 3, 10))
    await bill(world.db, world.caller)
    found = [
        (one.header.type, one.header.period.start.day, [(line.name, int(line.amount)) for line in one.document.lines])
        for one in await invoices(world)
    ]
    assert found == [
        # One more from the 11th on, 4 days at 29 a month of 29 days; three for the month; 10 days of 2 and 4 of 3.
        ("STANDARD", 1, [("ahead", 4), ("whole", 30), ("daily", 10 * 2 + 4 * 3)]),
        ("STANDARD_ADVANCED", 1, [("ahead", 58)]),
        # 15 days: one more at 58; nothing more than the three that were charged; three at 58.
        ("STANDARD", 15, [("ahead", 30), ("whole", 0), ("daily", 90)]),
    ]
    assert await problems(world) == []


async def test_usage_cycles_inside_a_quarter(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 7, 1))
    monthly = await world.license("monthly", [(0, "PER_UNIT", 30)], usage_cycle="MONTHLY")
    most = await world.license("most", [(0, "PER_UNIT", 30)], usage_cycle="MONTHLY", prorated=False, in_advance=True)
    plan = await world.plan("plan", [], cycle=CycleDefinition("QUARTERLY", 0), licenses=[monthly, most])
    await world.account("acme")
    await world.associate("acme", plan, date(2024, 4, 11), date(2024, 7, 1))
    for one in (monthly, most):
        await world.hold("acme", one, at(2024, 1, 1), 1, "ABSOLUTE")
    await bill(world.db, world.at(at(2024, 4, 11)))
    for one in (monthly, most):
        await world.hold("acme", one, at(2024, 5, 17), 2, "ABSOLUTE")
    await bill(world.db, world.caller)
    used, ahead = await invoices(world)
    assert [(p.days, p.of_days, int(p.amount)) for p in terms_of(ahead.document.lines[0]).stretches] == [
        (20, 30, 30), (31, 31, 30), (30, 30, 30),
    ]  # fmt: skip
    by_name = {line.name: terms_of(line).stretches for line in used.document.lines}
    assert [(p.days, p.of_days, str(p.quantity), p.amount) for p in by_name["monthly"]] == [
        (20, 30, "1", Decimal(20)),
        (16, 31, "1", (Decimal(30) * 16 / 31).quantize(UNIT12)),
        (15, 31, "2", (Decimal(60) * 15 / 31).quantize(UNIT12)),
        (30, 30, "2", Decimal(60)),
    ]
    assert [(p.days, int(p.quantity), int(p.charged_before), int(p.amount)) for p in by_name["most"]] == [
        (31, 2, 1, 30),
        (30, 2, 1, 30),
    ]
    assert await problems(world) == []


async def test_the_order_of_updates_does_not_matter(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 1))
    sent: list[tuple[int, int, Any]] = [
        (1, 5, "ABSOLUTE"), (5, 3, "RELATIVE"), (9, -2, "RELATIVE"), (12, 4, "ABSOLUTE"), (15, 1, "RELATIVE"),
    ]  # fmt: skip
    histories = []
    for number, order in enumerate([(0, 1, 2, 3, 4), (0, 4, 1, 3, 2), (0, 3, 4, 1, 2), (3, 1, 4, 0, 2)]):
        seats = await world.license(f"seats-{number}", SLABS)
        await world.account(f"acme-{number}")
        for day, amount, kind in (sent[place] for place in order):
            await world.hold(f"acme-{number}", seats, at(2024, 2, day), amount, kind)
        rows = await world.rows(
            "select u.quantity from license_update u join account a on a.key = u.account"
            " where a.workspace = $1 and a.togai_id = $2 order by u.effective_from", world.caller.workspace,
            f"acme-{number}",
        )  # fmt: skip
        histories.append([int(row["quantity"]) for row in rows])
    assert histories == [[5, 8, 6, 4, 5]] * 4
    assert await problems(world) == []


async def test_what_cannot_be_is_refused(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 3, 10))
    seats = await world.license("seats", SLABS, max_quantity=Decimal(4))
    loose = await world.license("loose", SLABS, max_quantity=Decimal(4), tolerant=True)
    meter = await world.meter("units")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", 1)])], licenses=[seats, loose])
    await world.account("acme")
    await world.associate("acme", plan, FEBRUARY)
    await world.hold("acme", loose, at(2024, 2, 1), 5, "ABSOLUTE")
    await world.hold("acme", seats, at(2024, 2, 1), 4, "ABSOLUTE")
    await world.hold("acme", seats, at(2024, 2, 20), -4, "RELATIVE")
    refused: list[tuple[Any, datetime, Any, str]] = [
        (seats, at(2024, 2, 3), 1, "quantity: would be 5; price plan"),
        (seats, at(2024, 2, 3), -1, "quantity: would make a later RELATIVE update"),
        (seats, at(2024, 2, 21), -1, "quantity: takes away more than the 0"),
        (seats, at(2024, 2, 21), Decimal("1e-13"), "quantity: must be a number"),
        (seats, at(1969, 1, 1), 1, "effectiveFrom"),
    ]
    for one, moment, amount, words in refused:
        with pytest.raises(Invalid, match=words):
            await world.hold("acme", one, moment, amount, "RELATIVE")
    with pytest.raises(Invalid, match="quantity: must not be negative"):
        await world.hold("acme", seats, at(2024, 2, 21), -1, "ABSOLUTE")
    await bill(world.db, world.caller)
    with pytest.raises(WrongState, match="invoiced until 2024-03-01"):
        await world.hold("acme", loose, at(2024, 2, 29, 23), 6, "ABSOLUTE")
    await world.hold("acme", loose, at(2024, 3, 1), 6, "ABSOLUTE")
    assert await problems(world) == []
