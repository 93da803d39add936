"""Custom invoices: drafts that change, what their issue posts, bill runs that advance them."""

import asyncio
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from bursar.accounts.model import AccountChange
from bursar.accounts.service import update_account
from bursar.core.errors import Invalid, NotFound, WrongState
from bursar.invoicing import custom
from bursar.invoicing.bill_runs import ask_bill_run
from bursar.invoicing.billing import bill
from bursar.invoicing.charge_lists import put_on_invoice
from bursar.invoicing.charges import Charge, Item
from bursar.invoicing.custom import InvoiceChange, NewCustom
from bursar.invoicing.holds import expire_credits, get_credit, get_wallet
from bursar.invoicing.service import Filters, Invoice, get_invoice, list_invoices
from bursar.ledger.account_wallets import top_up
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_billing import problems
from tests.invoicing.test_crediting import grant
from tests.invoicing.world import World, at, dec

IMPS = [Item(description="Payout IMPS", each=dec("0.001"), quantity=dec(32109))]
JUNE = NewCustom("acme", at(2024, 6, 4, 12), at(2024, 7, 4, 12), IMPS)


async def create(world: World, new: NewCustom = JUNE, **changes: Any) -> Invoice:
    async with world.db.transaction(world.caller.workspace) as connection:
        identifier = await custom.create_custom(connection, world.caller, replace(new, **changes))
    return await get_invoice(world.db, world.caller, identifier)


async def change(world: World, invoice: Invoice, **parts: Any) -> Invoice:
    async with world.db.transaction(world.caller.workspace) as connection:
        await custom.update_invoice(connection, world.caller, invoice.header.id, InvoiceChange(**parts))
    return await get_invoice(world.db, world.caller, invoice.header.id)


async def delete(world: World, invoice: Invoice) -> None:
    async with world.db.transaction(world.caller.workspace) as connection:
        await custom.delete_custom(connection, world.caller, invoice.header.id)


async def shop(make_world: MakeWorld, now: datetime | None = None) -> tuple[World, int]:
    world = await make_world(now or at(2024, 6, 10))
    return world, await world.account("acme", net_term_days=30)


async def postings(world: World) -> list[tuple[Any, ...]]:
    rows = await world.rows(
        "select a.kind, a.detail, p.amount, t.accounting_date from posting p"
        " join ledger_account a on a.key = p.ledger_account join ledger_transaction t on t.key = p.transaction"
        " where p.workspace = $1 and t.cause = 'invoice' order by t.key, p.line",
        world.caller.workspace,
    )
    return [tuple(row) for row in rows]


async def test_a_draft_changes_in_everything_and_an_invoice_in_nothing(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    draft = await create(world)
    assert (draft.header.status, draft.header.type, draft.document.sequence_id) == ("DRAFT", "CUSTOM", None)
    assert (draft.document.total, draft.document.price_plan_id) == (dec("32.10"), None)
    assert draft.document.lines[0].formula == "32109 x 0.001 = 32.109, rounded toward zero to 2 decimals = 32.1"
    other = [Item("a", "One", value=dec("7.5")), Item("b", "Back", value=dec("-2.5"), billable_id="addon.x")]
    changed = await change(world, draft, items=other, starts_at=at(2024, 5, 1), ends_at=at(2024, 6, 1))
    assert [line.amount for line in changed.document.lines] == [dec("7.5"), dec("-2.5")]
    assert (changed.document.start_date, changed.document.end_date) == (at(2024, 5, 1), at(2024, 6, 1))
    issued = await change(world, draft, status="DUE")
    assert (issued.header.status, issued.document.sequence_id, issued.document.total) == ("DUE", "INV-000001", dec(5))
    assert (issued.document.invoice_date, issued.document.due_date) == (at(2024, 6, 10), at(2024, 7, 10))
    assert await postings(world) == [
        ("receivable", "", dec(5), date(2024, 5, 31)),
        ("revenue", "custom", dec("-7.5"), date(2024, 5, 31)),
        ("revenue", "custom/addon.x", dec("2.5"), date(2024, 5, 31)),
    ]
    for part in ({"items": IMPS}, {"ends_at": at(2024, 6, 2)}, {"auto_advance": True}, {}):
        with pytest.raises(Invalid):
            await change(world, issued, **part)
    with pytest.raises(WrongState, match="only custom drafts"):
        await delete(world, issued)
    assert (await change(world, issued, status="VOID")).header.status == "VOID"
    assert await problems(world) == []


@pytest.mark.parametrize("status", ["DUE", "PAID"])
async def test_issued_at_once(make_world: MakeWorld, status: str) -> None:
    world, _ = await shop(make_world)
    made = await create(world, status=status, ends_at=at(2025, 1, 1))
    assert (made.header.status, made.header.paid_amount) == (status, dec("32.10") if status == "PAID" else dec(0))
    # Its period has not ended: it is earned by the day of the invoice.
    assert {row[-1] for row in await postings(world)} == {date(2024, 6, 10)}
    nothing = await create(world, status="DUE", items=[Item(value=dec("0.009"))])
    assert (nothing.header.status, nothing.document.total) == ("PAID", dec(0))
    assert await problems(world) == []


@pytest.mark.parametrize("uses_wallet", [True, False])
async def test_the_wallet_pays_unless_it_was_said_not_to(make_world: MakeWorld, uses_wallet: bool) -> None:
    world, _ = await shop(make_world)
    async with world.db.transaction(world.caller.workspace) as connection:
        await top_up(connection, world.caller, "acme", dec(20))
    made = await create(world, status="DUE", uses_wallet=uses_wallet)
    expected = ("PARTIALLY_PAID", dec(20)) if uses_wallet else ("DUE", dec(0))
    assert (made.header.status, made.header.paid_amount) == expected
    paid = await create(world, status="PAID", uses_wallet=uses_wallet)
    assert (paid.header.status, paid.header.paid_amount) == ("PAID", dec("32.10"))
    assert await problems(world) == []


async def test_bill_runs_issue_those_that_advance_by_themselves(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    waiting, late = await create(world, auto_advance=True), await create(world, JUNE, ends_at=at(2024, 6, 9))
    still = await create(world)
    await change(world, late, auto_advance=True)
    due = [
        i.header.id
        for i in (await list_invoices(world.db, world.caller, Filters(due_by=at(2024, 6, 10)), None, 9)).items
    ]
    assert due == [late.header.id], "what has ended before is due now"
    async with world.db.transaction(world.caller.workspace) as connection:
        charges = [Charge("Rush", value="10")]
        await put_on_invoice(connection, world.caller, waiting.header.id, charges)
    assert (await bill(world.db, world.caller)).issued == 1
    world.caller = world.at(at(2024, 7, 4, 12))
    assert (await ask_bill_run(world.db, world.caller, confirm=True)).status == "WAITING_FOR_CONFIRMATION"
    reports = await asyncio.gather(*(bill(world.db, world.caller) for _ in range(3)))
    assert sum(report.issued for report in reports) == 1
    issued = await get_invoice(world.db, world.caller, waiting.header.id)
    assert (issued.document.invoice_date, issued.document.total) == (at(2024, 7, 4, 12), dec("42.10"))
    assert (await get_invoice(world.db, world.caller, still.header.id)).header.status == "DRAFT"
    assert await problems(world) == []


@pytest.mark.parametrize("advances", [True, False])
async def test_a_draft_holds_credits_and_one_that_advances_keeps_them_from_their_end(
    make_world: MakeWorld, advances: bool
) -> None:
    world, _ = await shop(make_world)
    credit = await grant(world, 20, "acme", effective_from=date(2024, 6, 1), effective_until=date(2024, 6, 20))
    async with world.db.transaction(world.caller.workspace) as connection:
        await top_up(connection, world.caller, "acme", dec(50))
    draft = await create(world, auto_advance=advances)
    # 32,109 at a thousandth are 32.10: 20 of it are the credit's, 12.10 the wallet's.
    held, _ = await get_credit(world.db, world.caller, credit.id)
    assert draft.document.total == dec("12.1")
    assert held.held == 20
    wallet = await get_wallet(world.db, world.caller, "acme")
    assert wallet.posted == 50
    assert wallet.held == dec("12.1")
    after = world.at(at(2024, 7, 10))
    assert await expire_credits(world.db, after) == (0 if advances else 1)
    assert (await bill(world.db, after)).issued == (1 if advances else 0)
    assert await expire_credits(world.db, after) == 0
    shown = await get_invoice(world.db, after, draft.header.id)
    assert (shown.header.status, shown.document.total) == (
        ("PAID", dec("12.1")) if advances else ("DRAFT", dec("32.1"))
    )
    assert await problems(world) == []


async def test_deleting_and_issuing_race(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    drafts = [await create(world) for _ in range(6)]
    outcomes = await asyncio.gather(
        *(delete(world, one) for one in drafts),
        *(change(world, one, status="DUE") for one in drafts),
        return_exceptions=True,
    )
    failed = [type(one) for one in outcomes if isinstance(one, BaseException)]
    assert len(failed) == len(drafts), "one of each two"
    assert set(failed) <= {NotFound, WrongState}
    left = (await list_invoices(world.db, world.caller, Filters(), None, 50)).items
    assert {i.header.status for i in left} <= {"DUE"}
    assert await problems(world) == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"account_id": "nobody"}, "nobody"),
    ({"ends_at": at(2024, 6, 4, 12)}, "endDate"),
    ({"items": [Item()]}, "lineItems[0].value"),
    ({"items": [Item(value=dec(1)), Item(value=dec("-1.01"))]}, "lineItems: come to less"),
    ({"items": [Item(value=Decimal(9 * 10**25))] * 2}, "lineItems: come to 10"),
]


async def test_what_is_refused_leaves_nothing(make_world: MakeWorld) -> None:
    world, _ = await shop(make_world)
    for parts, words in REFUSED:
        with pytest.raises((Invalid, NotFound)) as caught:
            await create(world, **parts)
        assert words in caught.value.message
    draft = await create(world)
    for parts, words in REFUSED[2:]:
        with pytest.raises(Invalid) as caught_again:
            await change(world, draft, **parts)
        assert words in caught_again.value.message
    for status in ("VOID", "UN_COLLECTIBLE", "REFUND_INITIATED"):
        with pytest.raises(WrongState, match="is a draft"):
            await change(world, draft, status=status)
    async with world.db.transaction(world.caller.workspace) as connection:
        with pytest.raises(WrongState, match="currency"):
            await update_account(connection, world.caller, "acme", AccountChange(currency="EUR"))
    assert [i.document for i in (await list_invoices(world.db, world.caller, Filters(), None, 9)).items] == [
        draft.document
    ]
    await delete(world, draft)
    with pytest.raises(NotFound):
        await delete(world, draft)
    assert await problems(world) == []
