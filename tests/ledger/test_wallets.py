"""Wallets under many hands: exact balances, floors that hold, and each threshold told of once."""

import asyncio
import random
from datetime import date
from decimal import Decimal

import pytest

from bursar.accounts.contractors import create_contractor
from bursar.accounts.model import AccountChange, Address, NewCustomer
from bursar.accounts.service import create_customer, update_account
from bursar.accounts.terms import THRESHOLDS, create_agreed, update_agreed
from bursar.core.caller import Caller
from bursar.core.errors import WrongState
from bursar.db.database import Database
from bursar.ledger import verify
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import Move, Moved, balance_held, move, move_all, post, reconsider
from bursar.ledger.wallets import BalanceTooLarge, InsufficientFunds
from bursar.ledger.watch import Crossing, State, Thresholds, step

DAY = date(2024, 1, 31)
CASH = LedgerAccount(Kind.CASH, "USD")


async def account(db: Database, caller: Caller, name: str, low: int | None = None, high: int | None = None) -> int:
    async with db.transaction(caller.workspace) as connection:
        key = (await create_customer(connection, caller, NewCustomer(name, name, "c@example.com", Address())))[1].key
        await connection.execute(
            "update account_terms set balance_low_threshold = $2, balance_high_threshold = $3 where account = $1",
            key, low, high,
        )  # fmt: skip
        return key


def wallet(key: int) -> LedgerAccount:
    return LedgerAccount(Kind.WALLET, "USD", key)


def give(key: int, amount: str | int | Decimal) -> Transaction:
    """More in a wallet; negative: less."""
    value = Decimal(amount)
    return Transaction("test", None, DAY, "a move", (Posting(CASH, value), Posting(wallet(key), -value)))


async def balance(db: Database, caller: Caller, key: int) -> Decimal:
    async with db.transaction(caller.workspace) as connection:
        return await balance_held(connection, caller, key, "USD")


async def told(db: Database, key: int) -> list[tuple[Crossing, Decimal]]:
    """What was told of an account, in order; each is in the outbox once."""
    async with db.transaction(None) as connection:
        rows = await connection.fetch("select * from balance_notification where account = $1 order by key", key)
        entries = await connection.fetch(
            "select (payload ->> 'notification')::bigint as key from outbox where topic = 'balance' order by key"
        )
    waiting = [entry["key"] for entry in entries]
    assert [waiting.count(row["key"]) for row in rows] == [1] * len(rows)
    return [(Crossing(row["event"]), row["balance"]) for row in rows]


async def holds(db: Database) -> None:
    async with db.transaction(None) as connection:
        for check in verify.CHECKS:
            assert await check.run(connection) == [], check.name


async def test_a_guarded_move_leaves_the_floor(database: Database, caller: Caller) -> None:
    key = await account(database, caller, "guarded")
    async with database.transaction(caller.workspace) as connection:
        moved = await move(connection, caller, give(key, "10.5"), floor=Decimal(100))
        assert moved.wallets[wallet(key)].old == 0
        assert moved.wallets[wallet(key)].new == Decimal("10.5"), "a floor is for what is taken"
        with pytest.raises(InsufficientFunds) as refused:
            await move(connection, caller, give(key, "-10.500000000001"), floor=Decimal(0))
        assert (refused.value.account, refused.value.balance, refused.value.needed, refused.value.floor) == (
            key, Decimal("10.5"), Decimal("10.500000000001"), Decimal(0),
        )  # fmt: skip
        await move(connection, caller, give(key, "-10.5"), floor=Decimal(0))
        await move(connection, caller, give(key, "-7"))
        with pytest.raises(InsufficientFunds):
            await move(connection, caller, give(key, "-0.1"), floor=Decimal(-7))
        with pytest.raises(BalanceTooLarge):
            await post(connection, caller, give(key, "-99999999999999999999999999"))
    assert await balance(database, caller, key) == -7
    await holds(database)


async def test_many_in_one_go_are_as_many_one_after_the_other(database: Database, caller: Caller) -> None:
    together = await account(database, caller, "together", 10, 50)
    alone = await account(database, caller, "alone", 10, 50)
    draw = random.Random(3)
    moves = [(Decimal(draw.randint(-40, 40) or 1), draw.choice([None, Decimal(0), Decimal(20)])) for _ in range(80)]
    async with database.transaction(caller.workspace) as connection:
        at_once = await move_all(connection, caller, [Move(give(together, a), floor) for a, floor in moves])
    one_by_one = []
    for amount, floor in moves:
        async with database.transaction(caller.workspace) as connection:
            one_by_one += await move_all(connection, caller, [Move(give(alone, amount), floor)])

    def outcomes(found: list[object]) -> list[object]:
        return [next(iter(one.wallets.values())) if isinstance(one, Moved) else type(one) for one in found]

    assert outcomes([*at_once]) == outcomes([*one_by_one])
    assert InsufficientFunds in outcomes([*at_once])
    assert await told(database, together) == await told(database, alone) != []
    assert await balance(database, caller, together) == await balance(database, caller, alone)
    await holds(database)


async def test_sixteen_writers_on_one_wallet(database: Database, caller: Caller) -> None:
    """Some take with a floor, some without, some give; the books say what their successes sum to."""
    key = await account(database, caller, "hot", -40, 60)

    async def writer(seed: int) -> Decimal:
        draw, done = random.Random(seed), Decimal(0)
        for _ in range(12):
            amount = Decimal(draw.randint(-30, 30) or 1) / 4
            floor = Decimal(-20) if draw.random() < 0.5 else None

            async with database.transaction(caller.workspace) as connection:
                (outcome,) = await move_all(connection, caller, [Move(give(key, amount), floor)])
            if isinstance(outcome, Moved):
                done += amount
        return done

    sums = await asyncio.gather(*(writer(n) for n in range(16)))
    assert await balance(database, caller, key) == sum(sums)
    async with database.transaction(None) as connection:
        rows = await connection.fetch(
            "select -p.amount as amount from posting p join ledger_account a on a.key = p.ledger_account"
            " where a.account = $1 and a.kind = 'wallet' order by p.transaction", key,
        )  # fmt: skip
    # The order of postings is that of the moves: the row is held from before a number is drawn until the commit.
    state, expected, at = State.NONE, [], Decimal(0)
    for row in rows:
        at += row["amount"]
        state, crossings = step(state, at, Thresholds(Decimal(-40), Decimal(60)))
        expected += [(crossing, at) for crossing in crossings]
    assert await told(database, key) == expected
    await holds(database)


async def test_writers_on_many_wallets_at_once_neither_deadlock_nor_lose(database: Database, caller: Caller) -> None:
    keys = [await account(database, caller, f"of many {n}", 0, 100) for n in range(5)]

    async def writer(seed: int) -> list[tuple[int, Decimal]]:
        draw, done = random.Random(seed), []
        for _ in range(8):
            some = [(draw.choice(keys), Decimal(draw.randint(-50, 80) or 1)) for _ in range(4)]
            async with database.transaction(caller.workspace) as connection:
                outcomes = await move_all(
                    connection, caller, [Move(give(key, amount), Decimal(0)) for key, amount in some]
                )
            done += [entry for entry, outcome in zip(some, outcomes, strict=True) if isinstance(outcome, Moved)]
        return done

    done = [entry for some in await asyncio.gather(*(writer(n) for n in range(16))) for entry in some]
    for key in keys:
        assert await balance(database, caller, key) == sum(amount for one, amount in done if one == key) >= 0
    await holds(database)


async def test_thresholds_that_are_set_are_looked_at(database: Database, caller: Caller) -> None:
    key = await account(database, caller, "watched")

    async def bound(low: int | None, high: int | None) -> None:
        async with database.transaction(caller.workspace) as connection:
            await connection.execute(
                "update account_terms set balance_low_threshold = $2, balance_high_threshold = $3 where account = $1",
                key, low, high,
            )  # fmt: skip
        async with database.transaction(caller.workspace) as connection:
            await reconsider(connection, caller, key)
            await reconsider(connection, caller, key)
            await reconsider(connection, caller, -1)

    await bound(10, 20)
    await bound(-10, -5)
    await bound(None, None)
    assert [crossing.name for crossing, _ in await told(database, key)] == [
        "LOW_REACHED", "LOW_CLEARED", "HIGH_REACHED", "HIGH_CLEARED",
    ]  # fmt: skip
    await holds(database)


async def test_thresholds_that_are_set_while_a_wallet_is_waited_for_count(database: Database, caller: Caller) -> None:
    """Who waits for a wallet is watched by the thresholds that are in force once it is held."""
    keys = [await account(database, caller, f"waited for {n}", low) for n, low in enumerate((None, None, 90))]
    async with database.transaction(caller.workspace) as connection:
        for key in keys:
            await post(connection, caller, give(key, 100))

    async def pay() -> None:
        async with database.transaction(caller.workspace) as connection:
            await move_all(connection, caller, [Move(give(key, -30)) for key in reversed(keys)])

    async with database.transaction(caller.workspace) as holder:
        await post(holder, caller, give(keys[1], -20))
        paying = asyncio.create_task(pay())
        async with database.transaction(None) as connection:
            while not await connection.fetchval("select count(*) from pg_locks where not granted"):
                await asyncio.sleep(0.01)
            await connection.execute(
                "update account_terms set balance_low_threshold = 60 where account = any($1::bigint[])", keys[1:]
            )
    await paying
    assert [await told(database, key) for key in keys] == [[], [(Crossing.LOW_REACHED, Decimal(50))], []]
    await holds(database)


async def test_verify_sees_a_state_that_does_not_follow(database: Database, caller: Caller) -> None:
    key = await account(database, caller, "tampered", 10)

    class Seen(Exception):
        pass

    async def tamper() -> None:
        async with database.transaction(None) as connection:
            await post(connection, caller, give(key, 50))
            await connection.execute("update account_terms set balance_low_threshold = 60 where account = $1", key)
            assert [p for check in verify.CHECKS for p in await check.run(connection)] == [
                f"the wallet of account {key} is watched as NONE at 50.000000000000 where its thresholds are"
                " 60.000000000000 and None"
            ]
            raise Seen

    with pytest.raises(Seen):
        await tamper()
    await holds(database)


async def test_money_fixes_the_currency(database: Database, caller: Caller) -> None:
    key = await account(database, caller, "euro")
    change = AccountChange(currency="EUR")
    async with database.transaction(caller.workspace) as connection:
        await update_account(connection, caller, "euro", change)
        with pytest.raises(WrongState, match="meanwhile"):
            await post(connection, caller, give(key, 1))
    async with database.transaction(caller.workspace) as connection:
        await update_account(connection, caller, "euro", AccountChange(currency="USD"))
        await post(connection, caller, give(key, 1))
        with pytest.raises(WrongState, match="fixed"):
            await update_account(connection, caller, "euro", change)


async def test_setting_thresholds_leaves_word(database: Database, caller: Caller) -> None:
    """Made and changed at the carrier's door, an account's thresholds are looked at soon."""
    async with database.transaction(caller.workspace) as connection:
        flags = {"name": "c", "enabled": True, "vendor": True, "customer": True}
        owner = await create_contractor(connection, caller, flags)
        made = await create_agreed(
            connection, caller, {"name": "a", "contractor": owner, "balance_low_threshold": Decimal(5)}
        )
        await update_agreed(connection, caller, made["id"], {"vat": Decimal(5)})
        await update_agreed(connection, caller, made["id"], {"balance_low_threshold": Decimal(6)})
        waiting = await connection.fetchval(
            "select count(*) from outbox where workspace = $1 and topic = $2 and (payload ->> 'account')::bigint = $3",
            caller.workspace, THRESHOLDS, made["key"],
        )  # fmt: skip
        assert waiting == 2
