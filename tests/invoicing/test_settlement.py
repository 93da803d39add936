"""Money for invoices: in parts, from wallets, given back; against books worked out by hand."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from bursar.core.errors import WrongState
from bursar.invoicing import refunds, settlement
from bursar.invoicing.billing import bill
from bursar.invoicing.settlement import Paying, Source, settle_due
from bursar.ledger.account_wallets import top_up, update_wallet
from tests.invoicing.conftest import MakeWorld
from tests.invoicing.test_settling import books, found, issued, move, problems
from tests.invoicing.world import World, at, card

D = Decimal


async def pay(world: World, key: int, *amounts: Any, source: Source = Source.PAYMENT) -> None:
    async with world.db.transaction(world.caller.workspace) as connection:
        await settlement.pay(connection, world.caller, [Paying(key, D(str(amount)), source) for amount in amounts])


async def put(world: World, amount: Any, account: str = "one") -> None:
    async with world.db.transaction(world.caller.workspace) as connection:
        await top_up(connection, world.caller, account, D(str(amount)))


async def key_of(world: World, identifier: str) -> int:
    (row,) = await world.rows("select key from invoice where wire_id = $1", identifier)
    return int(row["key"])


async def state(world: World, identifier: str) -> tuple[str, Any]:
    (row,) = await world.rows("select status, paid_amount from invoice where wire_id = $1", identifier)
    return row["status"], row["paid_amount"]


async def unbilled(make_world: MakeWorld, accounts: int = 1) -> World:
    """January is used and its grace over, nothing issued yet: 12.34 for each account."""
    world = await make_world(at(2024, 2, 20))
    meter = await world.meter("calls")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", "0.015")])])
    for name in ["one", *(f"more-{n}" for n in range(accounts - 1))]:
        account = await world.account(name)
        await world.associate(name, plan, date(2024, 1, 1), date(2024, 2, 1))
        await world.use(account, meter, at(2024, 1, 5), 823)
    return world


@pytest.mark.parametrize(
    ("amounts", "status", "paid"),
    [(["12.34"], "PAID", "12.34"), (["0.01"], "PARTIALLY_PAID", "0.01"), ([2, "10.34"], "PAID", "12.34"),
     ([5, 5], "PARTIALLY_PAID", 10)],
)  # fmt: skip
async def test_parts_of_an_invoice(make_world: MakeWorld, amounts: list[Any], status: str, paid: Any) -> None:
    world, identifier = await issued(make_world)
    before = await books(world)
    await pay(world, await key_of(world, identifier), *amounts)
    assert await state(world, identifier) == (status, D(str(paid)))
    expected = before | {"cash": D(str(paid)), "receivable": D("12.34") - D(str(paid))}
    assert await books(world) == {kind: amount for kind, amount in expected.items() if amount}
    assert await problems(world) == []


@pytest.mark.parametrize("amounts", [["12.35"], [12, "0.35"], [0], [-1]])
async def test_more_than_is_open_is_refused_and_nothing_stays(make_world: MakeWorld, amounts: list[Any]) -> None:
    world, identifier = await issued(make_world)
    before = await books(world)
    with pytest.raises(WrongState, match="left to pay"):
        await pay(world, await key_of(world, identifier), *amounts)
    assert (await books(world), await state(world, identifier)) == (before, ("DUE", 0))


async def test_what_is_written_off_is_paid_in_parts(make_world: MakeWorld) -> None:
    world, identifier = await issued(make_world)
    key = await key_of(world, identifier)
    await pay(world, key, 2)
    await move(world, identifier, "UN_COLLECTIBLE")
    assert (await books(world))["write_off"] == D("10.34")
    await pay(world, key, 3)
    assert await state(world, identifier) == ("UN_COLLECTIBLE", 5)
    await move(world, identifier, "DUE")
    assert await state(world, identifier) == ("PARTIALLY_PAID", 5)
    assert (await books(world))["receivable"] == D("7.34")
    with pytest.raises(WrongState, match="REFUND_INITIATED"):
        await move(world, identifier, "VOID")
    await move(world, identifier, "UN_COLLECTIBLE")
    await pay(world, key, "7.34")
    assert await state(world, identifier) == ("PAID", D("12.34"))
    assert (await books(world)).keys() == {"cash", "revenue", "rounding"}
    assert await problems(world) == []


@pytest.mark.parametrize(("funds", "status", "paid"), [(50, "PAID", "12.34"), (5, "PARTIALLY_PAID", 5)])
async def test_the_wallet_pays_as_the_invoice_is_issued(
    make_world: MakeWorld, funds: int, status: str, paid: Any
) -> None:
    world = await unbilled(make_world, 2)
    await put(world, funds)
    await bill(world.db, world.caller)
    of = {one.document.account.id: (one.header.status, one.header.paid_amount) for one in await found(world)}
    assert of == {"one": (status, D(str(paid))), "more-0": ("DUE", D(0))}
    assert (await books(world)).get("wallet", D(0)) == D(str(paid)) - funds
    assert await problems(world) == []


@pytest.mark.parametrize("terms", [{"status": "INACTIVE"}, {"effective_from": at(2024, 2, 21)}])
async def test_a_wallet_that_cannot_be_used_pays_nothing(make_world: MakeWorld, terms: dict[str, Any]) -> None:
    world = await unbilled(make_world)
    await put(world, 50)
    async with world.db.transaction(world.caller.workspace) as connection:
        await update_wallet(connection, world.caller, "one", **terms)
    await bill(world.db, world.caller)
    assert await settle_due(world.db, world.caller) == 0
    (invoice,) = await found(world)
    assert (invoice.header.status, invoice.header.paid_amount) == ("DUE", D(0))
    assert await settle_due(world.db, world.at(at(2024, 2, 22))) == (1 if "effective_from" in terms else 0)


async def test_money_that_comes_later_pays_the_oldest_first(make_world: MakeWorld) -> None:
    world = await make_world(at(2024, 4, 20))
    meter = await world.meter("calls")
    plan = await world.plan("plan", [card(meter, [(0, "PER_UNIT", 1)])])
    account = await world.account("one")
    await world.associate("one", plan, date(2024, 1, 1), date(2024, 4, 1))
    for month in (1, 2, 3):
        await world.use(account, meter, at(2024, month, 5), 10)
    await bill(world.db, world.caller)
    assert await settle_due(world.db, world.caller) == 0
    await put(world, 15)
    assert await settle_due(world.db, world.caller) == 2
    assert await settle_due(world.db, world.caller) == 0
    states = [(one.header.status, one.header.paid_amount) for one in await found(world)]
    assert states == [("DUE", D(0)), ("PARTIALLY_PAID", D(5)), ("PAID", D(10))]
    assert (await books(world)).get("wallet") is None
    assert await problems(world) == []


async def test_a_refund_goes_back_the_ways_it_came(make_world: MakeWorld) -> None:
    world = await unbilled(make_world)
    await put(world, 5)
    await bill(world.db, world.caller)
    (invoice,) = await found(world)
    key, identifier = invoice.header.key, invoice.header.id
    await pay(world, key, 4)
    await move(world, identifier, "REFUND_INITIATED")
    assert await state(world, identifier) == ("REFUND_INITIATED", 4)
    assert await books(world) == {"cash": 9, "wallet": -5, "payable": -4}
    assert await problems(world) == []
    for amount, status in ((1, "REFUND_INITIATED"), (3, "REFUND_COMPLETED")):
        async with world.db.transaction(world.caller.workspace) as connection:
            one = (await settlement.hold(connection, world.caller.workspace, [key]))[key]
            await refunds.pay_out(connection, world.caller, one, D(amount))
        assert (await state(world, identifier))[0] == status
    assert await books(world) == {"cash": 5, "wallet": -5}
    async with world.db.transaction(world.caller.workspace) as connection:
        one = (await settlement.hold(connection, world.caller.workspace, [key]))[key]
        with pytest.raises(WrongState, match="paid out"):
            await refunds.pay_out(connection, world.caller, one, D(1))
    assert await problems(world) == []


async def test_what_only_the_wallet_paid_is_given_back_at_once(make_world: MakeWorld) -> None:
    world = await unbilled(make_world)
    await put(world, "12.34")
    await bill(world.db, world.caller)
    (invoice,) = await found(world, "PAID")
    await move(world, invoice.header.id, "REFUND_INITIATED")
    assert await state(world, invoice.header.id) == ("REFUND_COMPLETED", 0)
    assert await books(world) == {"cash": D("12.34"), "wallet": D("-12.34")}
    assert await settle_due(world.db, world.caller) == 0
    assert await problems(world) == []


async def test_sixty_four_at_once_never_pay_too_much(make_world: MakeWorld) -> None:
    world, identifier = await issued(make_world)
    key = await key_of(world, identifier)
    await put(world, 4)

    async def one(n: int) -> bool:
        try:
            if n % 8:
                await pay(world, key, "0.5")
            else:
                async with world.db.transaction(world.caller.workspace) as connection:
                    assert await settlement.pay_from_wallets(connection, world.caller, [key])
        except (WrongState, AssertionError):
            return False
        return True

    outcomes = await asyncio.gather(*(one(n) for n in range(64)))
    assert 10 < sum(outcomes) < 40
    status, paid = await state(world, identifier)
    assert paid <= D("12.34")
    assert status == ("PAID" if paid == D("12.34") else "PARTIALLY_PAID")
    assert D("12.34") - paid < D("0.5"), "as much as fits was taken"
    assert await problems(world) == []


async def test_verify_sees_paid_amounts_that_were_not_posted(make_world: MakeWorld) -> None:
    world, identifier = await issued(make_world)
    await pay(world, await key_of(world, identifier), 5)
    for paid, status in ((6, "PARTIALLY_PAID"), (5, "DUE"), (5, "PAID")):
        await world.rows(
            "update invoice set paid_amount = $2, status = $3 where wire_id = $1 returning key",
            identifier,
            paid,
            status,
        )
        assert any(identifier in text and "movements" in text for text in await problems(world))
    await world.rows(
        "update invoice set paid_amount = 5, status = 'PARTIALLY_PAID' where wire_id = $1 returning key", identifier
    )
    assert await problems(world) == []
