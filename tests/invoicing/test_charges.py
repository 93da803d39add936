"""Amounts that are set by hand: their arithmetic, and how invoices take them along."""

import asyncio
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.invoicing.billing import bill
from bursar.invoicing.charge_lists import put_on_account, put_on_invoice
from bursar.invoicing.charges import Charge, Item, check_charges, check_items, of_items, shown_value, with_charges
from bursar.invoicing.document import ChargeTerms, Line
from bursar.invoicing.model import Content
from bursar.invoicing.service import get_invoice
from bursar.purchases import service as purchases
from bursar.purchases.service import Associate
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_billing import invoices, problems, shop
from tests.invoicing.world import World, at, dec

THOUSANDTHS = st.integers(-5000, 5000).map(lambda n: Decimal(n).scaleb(-3))


def charge(name: str, value: Any = None, *, rate: Any = None, quantity: Any = None, revenue: bool = False) -> Charge:
    """A charge of a value, which may be logic as Python values, or by rate and quantity."""
    text = value if isinstance(value, str) or value is None else json.dumps(value)
    return Charge(name, None if rate is None else dec(rate), None if quantity is None else dec(quantity), text, revenue)


def terms(line: Line) -> ChargeTerms:
    assert line.charge is not UNSET
    return line.charge


@given(st.lists(st.tuples(THOUSANDTHS, THOUSANDTHS), min_size=1, max_size=6), st.sampled_from([0, 2, 3]))
def test_charges_by_rate_and_quantity(pairs: Sequence[tuple[Decimal, Decimal]], exponent: int) -> None:
    charges = [Charge(f"c{n}", rate=rate, quantity=quantity) for n, (rate, quantity) in enumerate(pairs)]
    check_charges(charges, "items")
    made = with_charges(Content([], Decimal(0), Decimal(0)), charges, exponent)
    total, expected = Fraction(0), []
    for rate, quantity in pairs:
        exact = Fraction(rate) * Fraction(quantity)
        rounded = Fraction(int(exact * 10**exponent), 10**exponent)
        taken = total + rounded >= 0
        total += rounded if taken else 0
        expected.append((exact, rounded) if taken else (Fraction(0), Fraction(0)))
    assert [(Fraction(entry.unrounded), Fraction(entry.amount)) for entry in made.lines] == expected
    assert all(entry.unrounded - entry.amount == entry.rounding for entry in made.lines)
    assert [terms(entry).error is None for entry in made.lines] == [
        exact == Fraction(r) * Fraction(q) for (exact, _), (r, q) in zip(expected, pairs, strict=True)
    ]
    assert Fraction(made.total) == total
    assert made.subtotal == 0, "charges are no rate cards"


@given(st.lists(st.tuples(THOUSANDTHS, THOUSANDTHS, st.booleans()), min_size=1, max_size=6))
def test_items_of_custom_invoices(rows: Sequence[tuple[Decimal, Decimal, bool]]) -> None:
    items = [Item(each=e, quantity=q) if product else Item(value=e) for e, q, product in rows]
    check_items(items, "lineItems")
    made = of_items(items, 2)
    exact = [Fraction(e) * Fraction(q) if product else Fraction(e) for e, q, product in rows]
    assert [Fraction(entry.unrounded) for entry in made.lines] == exact
    assert Fraction(made.total) == sum(Fraction(int(value * 100), 100) for value in exact)


BAD_CHARGES: list[tuple[list[Charge], str]] = [
    ([charge(" ", "1")], "items[0].name"),
    ([charge("a", "1"), charge("a", "2")], "items[1].name"),
    ([charge("a")], "items[0].value"),
    ([charge("a", rate=1)], "items[0].quantity"),
    ([charge("a", quantity=1)], "items[0].rate"),
    ([charge("a", "3", rate=1, quantity=2)], "items[0].value"),
    ([charge("a", rate="1e20", quantity="1e20")], "items[0].rate"),
    ([charge("a", "ten")], "items[0].value"),
    ([charge("a", "null")], "items[0].value"),
    ([charge("a", "1e30")], "items[0].value"),
    ([charge("a", {"/": [1, 0]})], "items[0].value"),
    ([charge("a", {"nothing": [1, 0]})], "items[0].value"),
]


@pytest.mark.parametrize(("charges", "field"), BAD_CHARGES)
def test_what_charges_refuse(charges: list[Charge], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_charges(charges, "items")
    assert caught.value.field == field


BAD_ITEMS: list[tuple[list[Item], str]] = [
    ([Item()], "lineItems[0].value"),
    ([Item(each=dec(1))], "lineItems[0].quantity"),
    ([Item(quantity=dec(1), value=dec(2))], "lineItems[0].valuePerQuantity"),
    ([Item(each=dec(2), quantity=dec(3), value=dec(5))], "lineItems[0].value"),
    ([Item(each=dec("1e20"), quantity=dec("1e20"))], "lineItems[0].quantity"),
    ([Item("x", value=dec(1)), Item("x", value=dec(1))], "lineItems[1].id"),
]


@pytest.mark.parametrize(("items", "field"), BAD_ITEMS)
def test_what_items_refuse(items: list[Item], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_items(items, "lineItems")
    assert caught.value.field == field


def test_the_value_that_is_shown() -> None:
    assert shown_value(charge("a", rate=20, quantity="1.5")) == "30"
    assert shown_value(charge("a", "100.50")) == "100.50"


async def put(world: World, *charges: Charge, account: str = "acme", invoice: str | None = None) -> None:
    async with world.db.transaction(world.caller.workspace) as connection:
        if invoice is None:
            await put_on_account(connection, world.caller, account, charges)
        else:
            await put_on_invoice(connection, world.caller, invoice, charges)


async def test_charges_of_a_draft_come_last_and_are_frozen(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world, commitment=20)
    january, _ = await invoices(world)
    meter = january.document.lines[0].meter
    assert meter is not None
    given_charges = [
        charge("Setup", rate="2.5", quantity=3, revenue=True),
        charge("A tenth", {"*": [{"var": meter.id}, "-0.1"]}),
        charge("Of nothing", {"*": [{"var": "um.unknown"}, 2]}),
        charge("Too much", "-100"),
    ]
    await put(world, charge("Replaced", "1"), invoice=january.header.id)
    await put(world, *given_charges, invoice=january.header.id)
    draft = await get_invoice(world.db, world.caller, january.header.id)
    # 123.45 units at 0.10 are 12.34; 7.66 are missing to the commitment; 7.50, and a tenth of 12.34 back.
    lines = draft.document.lines
    assert [(line.type, line.amount) for line in lines] == [
        ("USAGE_RATE_CARD", dec("12.34")),
        ("TRUE_UP", dec("7.66")),
        ("MISCELLANEOUS_CHARGE", dec("7.5")),
        ("MISCELLANEOUS_CHARGE", dec("-1.23")),
        ("MISCELLANEOUS_CHARGE", dec(0)),
        ("MISCELLANEOUS_CHARGE", dec(0)),
    ]
    assert (draft.document.subtotal, draft.document.total) == (dec("12.34"), dec("26.27"))
    assert lines[2].formula == "3 x 2.5 = 7.5"
    assert terms(lines[3]).variables == {meter.id: dec("12.34")}
    assert lines[3].formula.endswith("= -1.234, rounded toward zero to 2 decimals = -1.23")
    assert [terms(line).error is not None for line in lines[2:]] == [False, False, True, True]
    assert "takes away 73.73 more than is charged" in lines[5].formula
    await bill(world.db, world.caller)
    issued = await get_invoice(world.db, world.caller, january.header.id)
    assert issued.document.lines == lines
    rows = await world.rows(
        "select a.kind, a.detail, a.account, sum(p.amount) as amount from posting p"
        " join ledger_account a on a.key = p.ledger_account where p.workspace = $1 group by 1, 2, 3 order by 1, 2",
        world.caller.workspace,
    )
    posted = {(row["kind"], row["detail"].rpartition("/")[2]): row["amount"] for row in rows}
    assert posted == {
        ("adjustment", "miscellaneous"): dec("1.234"),
        ("receivable", ""): dec("26.27"),
        ("revenue", "commitment"): dec("-7.66"),
        ("revenue", "miscellaneous"): dec("-7.5"),
        ("revenue", meter.id): dec("-12.345"),
        ("rounding", ""): dec("0.001"),
    }
    with pytest.raises(WrongState, match="only a draft"):
        await put(world, invoice=january.header.id)
    with pytest.raises(NotFound):
        await put(world, invoice="inv.unknown")
    assert await problems(world) == []


async def test_charges_of_an_account_go_along_once_with_the_next_invoice(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    with pytest.raises(NotFound):
        await put(world, account="nobody")
    await put(world, charge("Gone", "1"))
    await put(world)
    assert [i.document.total for i in await invoices(world)] == [dec("12.34"), 0]
    await put(world, charge("Visit", "80"))
    assert [i.document.total for i in await invoices(world)] == [dec("92.34"), 0], "January is issued next"
    own = (await invoices(world))[0].header.id
    await put(world, charge("Visit", "5"), invoice=own)
    await bill(world.db, world.caller)
    assert [i.document.total for i in await invoices(world)] == [dec("97.34"), 0]
    assert [line.formula for line in (await invoices(world))[0].document.lines[1:]] == ["set to 80", "set to 5"]
    await put(world, charge("Another visit", "7"))
    assert [i.document.total for i in await invoices(world)] == [dec("97.34"), 7]
    world.caller = world.at(at(2024, 3, 4))
    assert (await bill(world.db, world.caller)).issued == 1
    assert [i.document.total for i in await invoices(world)] == [dec("97.34"), 7, 0]
    assert await problems(world) == []


async def test_a_charge_that_changes_while_bill_runs_race_is_charged_once(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    plan = (await invoices(world))[0].document.price_plan_id
    for n in range(8):
        await world.account(f"b{n}")
    async with world.db.transaction(world.caller.workspace) as connection:
        for n in range(8):
            command = Associate(f"b{n}", str(plan), date(2024, 1, 1), date(2024, 3, 1))
            await purchases.associate(connection, world.caller, command)
    names = [f"b{n}" for n in range(8)]
    for name in names:
        await put(world, charge("First", "10"), account=name)

    async def change(name: str) -> None:
        await put(world, charge("Second", "20"), account=name)

    await asyncio.gather(*(bill(world.db, world.caller, batch=2) for _ in range(3)), *map(change, names))
    world.caller = world.at(at(2024, 3, 10))
    await bill(world.db, world.caller)
    totals: dict[str, list[Decimal]] = {name: [] for name in names}
    for invoice in await invoices(world):
        if invoice.document.account.id in totals:
            totals[invoice.document.account.id].append(invoice.document.total)
    assert all(amounts in ([20, 0], [10, 20]) for amounts in totals.values()), totals
    assert await problems(world) == []
