"""What becomes of issued invoices, against the books worked out by hand."""

from datetime import date, datetime
from decimal import Decimal
from itertools import product
from typing import Any, get_args

import pytest

from bursar.catalog.definitions import CycleDefinition
from bursar.core.errors import NotFound, WrongState
from bursar.invoicing.billing import bill
from bursar.invoicing.credit_note import from_text
from bursar.invoicing.parties import reveal
from bursar.invoicing.release import release_due
from bursar.invoicing.service import Filters, Invoice, list_invoices
from bursar.invoicing.settling import Wanted, change_status
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from tests.conftest import broken
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.world import World, at, card

Books = dict[str, Decimal]

ALLOWED: dict[tuple[str, str], Books] = {
    ("DUE", "PAID"): {"cash": Decimal("12.34"), "receivable": Decimal(0)},
    ("DUE", "UN_COLLECTIBLE"): {"write_off": Decimal("12.34"), "receivable": Decimal(0)},
    ("DUE", "VOID"): {"receivable": Decimal(0), "revenue": Decimal(0), "rounding": Decimal(0)},
    ("UN_COLLECTIBLE", "DUE"): {"write_off": Decimal(0), "receivable": Decimal("12.34")},
    ("UN_COLLECTIBLE", "PAID"): {"cash": Decimal("12.34"), "write_off": Decimal(0)},
    ("UN_COLLECTIBLE", "VOID"): {"write_off": Decimal(0), "revenue": Decimal(0), "rounding": Decimal(0)},
    ("PAID", "REFUND_INITIATED"): {"payable": Decimal("-12.34"), "revenue": Decimal(0), "rounding": Decimal(0)},
}
"""What the books show after a move, where it differs from those of the issue."""
STATES = ("DUE", "PAID", "VOID", "UN_COLLECTIBLE", "REFUND_INITIATED")


async def books(world: World) -> Books:
    rows = await world.rows(
        "select a.kind, sum(p.amount) as amount from posting p join ledger_account a on a.key = p.ledger_account"
        " where p.workspace = $1 group by a.kind",
        world.caller.workspace,
    )
    return {row["kind"]: row["amount"] for row in rows if row["amount"]}


async def problems(world: World) -> list[str]:
    return await broken(world.db, world.caller, [*CHECKS, *ledger.CHECKS])


async def move(world: World, identifier: str, wanted: Any, now: datetime | None = None) -> None:
    caller = world.caller if now is None else world.at(now)
    async with world.db.transaction(world.caller.workspace) as connection:
        await change_status(connection, caller, identifier, wanted)


async def found(world: World, status: str | None = None) -> list[Invoice]:
    return (await list_invoices(world.db, world.caller, Filters(status=status), None, 50)).items


async def issued(make_world: MakeWorld) -> tuple[World, str]:
    """A world in which one invoice of 12.34 is due: 12.345 before rounding."""
    world = await make_world(at(2024, 2, 20))
    meter = await world.meter("calls")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", "0.015")])])
    account = await world.account("one")
    await world.associate("one", plan, date(2024, 1, 1), date(2024, 2, 1))
    await world.use(account, meter, at(2024, 1, 5), 823)
    await bill(world.db, world.caller)
    (invoice,) = await found(world)
    return world, invoice.header.id


@pytest.mark.parametrize(("start", "wanted"), list(product(STATES, get_args(Wanted))))
async def test_every_move(make_world: MakeWorld, start: str, wanted: str) -> None:
    world, identifier = await issued(make_world)
    if start == "REFUND_INITIATED":
        await move(world, identifier, "PAID")
    if start != "DUE":
        await move(world, identifier, start)
    before = await books(world)
    if (start, wanted) in ALLOWED:
        await move(world, identifier, wanted)
        expected = {k: v for k, v in (before | ALLOWED[start, wanted]).items() if v}
    else:
        if start != wanted:
            with pytest.raises(WrongState, match=identifier):
                await move(world, identifier, wanted)
        else:
            await move(world, identifier, wanted)
        expected = before
        wanted = start
    assert await books(world) == expected
    (invoice,) = await found(world)
    assert invoice.header.status == wanted
    assert invoice.header.paid_amount == (Decimal("12.34") if wanted in ("PAID", "REFUND_INITIATED") else 0)
    assert (invoice.header.credit_note is not None) == (wanted in ("VOID", "REFUND_INITIATED"))
    assert invoice.document.total == Decimal("12.34"), "the document stays"
    assert await problems(world) == []


async def test_a_credit_note_says_what_it_takes_back(make_world: MakeWorld) -> None:
    world, identifier = await issued(make_world)
    await move(world, identifier, "VOID", at(2024, 2, 25))
    (invoice,) = await found(world)
    (row,) = await world.rows("select * from credit_note where workspace = $1", world.caller.workspace)
    note = reveal(from_text(row["content"]), row["parties"], invoice.header.secret)
    assert (note.sequence_id, note.invoice_id, note.invoice_sequence_id) == ("CN-000001", identifier, "INV-000001")
    assert (note.total, note.currency, note.issued_at) == (Decimal("12.34"), "USD", at(2024, 2, 25))
    assert [(line.number, line.amount) for line in note.lines] == [(1, Decimal("12.34"))]
    assert (note.customer, note.account, note.seller) == (
        invoice.document.customer, invoice.document.account, invoice.document.seller,
    )  # fmt: skip
    dates = await world.rows(
        "select accounting_date from ledger_transaction where workspace = $1 and cause = 'credit_note'",
        world.caller.workspace,
    )
    assert [entry["accounting_date"] for entry in dates] == [date(2024, 2, 25)]


@pytest.mark.parametrize(
    ("voided_at", "revenue", "status"),
    [(at(2024, 1, 15), 0, "DUE"), (at(2024, 2, 10), 31, "DUE"), (at(2024, 4, 2), 91, "UN_COLLECTIBLE")],
)
async def test_fees_in_advance_are_taken_from_where_they_stand(
    make_world: MakeWorld, voided_at: datetime, revenue: int, status: str
) -> None:
    """91 for the 91 days of a quarter: a dollar a day, of which whole months have become revenue."""
    world = await make_world(at(2024, 1, 1))
    fee = await world.fee("support", 91, in_advance=True)
    plan = await world.plan("plan", [], cycle=CycleDefinition("QUARTERLY", 0), fees=[fee])
    await world.account("one")
    await world.associate("one", plan, date(2024, 1, 1))
    await bill(world.db, world.caller)
    (invoice,) = [one for one in await found(world) if one.header.type == "STANDARD_ADVANCED"]
    await release_due(world.db, world.at(voided_at), voided_at)
    expected = {"receivable": 91, "deferred": revenue - 91, "revenue": -revenue}
    assert await books(world) == {kind: amount for kind, amount in expected.items() if amount}
    if status != "DUE":
        await move(world, invoice.header.id, status)
    await move(world, invoice.header.id, "VOID", voided_at)
    assert await books(world) == {}
    assert await problems(world) == []
    await release_due(world.db, world.at(at(2024, 6, 1)), at(2024, 6, 1))
    assert await books(world) == {}, "nothing of it becomes revenue any more"


async def test_drafts_and_unknown_invoices_do_not_move(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 1, 20))
    meter = await world.meter("calls")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", 1)])])
    await world.account("one")
    await world.associate("one", plan, date(2024, 1, 1))
    (draft,) = await found(world)
    for wanted in get_args(Wanted):
        with pytest.raises(WrongState, match="draft"):
            await move(world, draft.header.id, wanted)
        with pytest.raises(NotFound):
            await move(world, "inv.unknown", wanted)


async def test_verify_sees_what_does_not_fit(make_world: MakeWorld) -> None:
    world, identifier = await issued(make_world)
    await world.rows("update invoice set status = 'PAID' where wire_id = $1 returning key", identifier)
    assert any(identifier in text and "receivable" in text for text in await problems(world))
    await world.rows("update invoice set status = 'VOID' where wire_id = $1 returning key", identifier)
    assert any(identifier in text and "credit note" in text for text in await problems(world))
    await world.rows("update invoice set status = 'DUE' where wire_id = $1 returning key", identifier)
    assert await problems(world) == []
