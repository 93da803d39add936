"""Payments by many writers in processes that are killed: balances stay exact, each threshold is told of once."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bursar.accounts.model import Address, NewCustomer
from bursar.accounts.service import create_customer
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, Rejected, Unavailable, WrongState
from bursar.db.database import Connection, Database
from bursar.db.grouping import Grouped
from bursar.invoicing.payments import Pay, Payment, Payments, pay, roll_back
from bursar.invoicing.verify import CHECKS
from bursar.ledger import verify as ledger
from bursar.ledger.watch import State, Thresholds, step

COUNT = 60
ENDLESS = 10**6
"""Payments of those who are killed: they are at it when the kill comes, however late."""
LOW, HIGH = Decimal(-30), Decimal(30)


async def account(db: Database, caller: Caller, name: str) -> tuple[int, int]:
    """Key and number of a new account with thresholds."""
    async with db.transaction(caller.workspace) as connection:
        key = (await create_customer(connection, caller, NewCustomer(name, name, "c@example.com", Address())))[1].key
        await connection.execute(
            "update account_terms set balance_low_threshold = $2, balance_high_threshold = $3 where account = $1",
            key, LOW, HIGH,
        )  # fmt: skip
        return key, await connection.fetchval("select yeti_id from account where key = $1", key)


async def payer(dsn: str, caller: Caller, seed: int, accounts: list[int], count: int) -> Process:
    arguments = [dsn, str(caller.workspace), str(seed), str(count), *map(str, accounts)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.invoicing.payer",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 120) == b"ready\n"
    return process


async def run(process: Process, kill_after: int | None) -> list[tuple[int, int, Decimal]]:
    """Let it pay, and kill it after so many payments; what it said it had done."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"go\n")
    done = []
    # A line without its end was being written when the kill came: nothing was said by it.
    while (line := await asyncio.wait_for(process.stdout.readline(), 120)).endswith(b"\n"):
        number, one, amount = line.decode().split()
        done.append((int(number), int(one), Decimal(amount)))
        if len(done) == kill_after:
            process.kill()
    await process.wait()
    return done


async def test_sixteen_writers_and_kills(dsn: str, database: Database, caller: Caller) -> None:
    hot, other = await account(database, caller, "hot"), await account(database, caller, "other")
    choice = [hot[1], hot[1], hot[1], other[1]]
    kills = [None, 10, None, 25]
    processes = await asyncio.gather(
        *(payer(dsn, caller, seed, choice, COUNT if kill is None else ENDLESS) for seed, kill in enumerate(kills))
    )
    said = [
        entry
        for done in await asyncio.gather(*(run(one, kill) for one, kill in zip(processes, kills, strict=True)))
        for entry in done
    ]
    async with database.transaction(None) as connection:
        rows = await connection.fetch("select * from payment where workspace = $1", caller.workspace)
        kept = {row["yeti_id"]: row for row in rows}
        assert {number: kept[number]["amount"] for number, _, _ in said} == {number: value for number, _, value in said}
        assert len({number for number, _, _ in said}) == len(said) >= 2 * COUNT + 10
        for key, number in (hot, other):
            paid = [row["amount"] for row in rows if row["account"] == key]
            await _replay(connection, key, sum(paid, Decimal(0)))
            assert {row["amount"] for row in rows if row["account"] == key} >= {
                v for _, one, v in said if one == number
            }
        for check in [*CHECKS, *ledger.CHECKS]:
            assert await check.run(connection) == [], check.name


async def _replay(connection: Connection, key: int, total: Decimal) -> None:
    """An account's payments one after the other lead to its balance, and to what was told of it."""
    steps = await connection.fetch(
        "select p.balance_before, p.amount from payment p join ledger_transaction t on t.cause = 'payment'"
        " and t.cause_key = p.key where p.account = $1 order by t.key", key,
    )  # fmt: skip
    state, at, expected = State.NONE, Decimal(0), []
    for row in steps:
        assert row["balance_before"] == at
        at += row["amount"]
        state, crossings = step(state, at, Thresholds(LOW, HIGH))
        expected += [(int(crossing), at) for crossing in crossings]
    assert at == total
    told = await connection.fetch(
        "select event, balance from balance_notification where account = $1 order by key", key
    )
    assert [(row["event"], row["balance"]) for row in told] == expected


async def test_a_payment_is_taken_back_once(database: Database, caller: Caller) -> None:
    _, number = await account(database, caller, "back")
    async with database.transaction(caller.workspace) as connection:
        made = await pay(connection, caller, Pay(number, Decimal("12.5"), "by wire"))
        gone = await roll_back(connection, caller, made.id)
        assert (gone.status, gone.rolledback_at, gone.amount) == ("rolled_back", caller.now, Decimal("12.5"))
        with pytest.raises(WrongState, match="Status of payment should be completed"):
            await roll_back(connection, caller, made.id)
        second = await pay(connection, caller, Pay(number, Decimal(1)))
        assert second.balance_before_payment == 0
        for check in CHECKS:
            assert await check.run(connection) == [], check.name


async def test_each_of_a_group_has_its_own_outcome(database: Database, caller: Caller) -> None:
    _, number = await account(database, caller, "grouped")
    payments = Payments()
    wanted = [Pay(number, Decimal(n - 5)) for n in range(10)] + [Pay(999_999, Decimal(1)), Pay(number, None)]
    outcomes: list[Any] = await asyncio.gather(
        *(payments.submit(database, caller, one) for one in wanted), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [*[Payment] * 5, Rejected, *[Payment] * 4, Rejected, Rejected]
    assert [o.amount for o in outcomes if isinstance(o, Payment)] == [-5, -4, -3, -2, -1, 1, 2, 3, 4]
    assert len({o.id for o in outcomes if isinstance(o, Payment)}) == 9


async def test_a_command_that_breaks_fails_alone_and_all_fail_when_nothing_can_be_stored(
    database: Database, caller: Caller
) -> None:
    sizes: list[int] = []

    async def work(connection: Connection, commands: Any) -> list[int | BursarError]:
        sizes.append(len(commands))
        if any(command == 3 for _, command in commands):
            await connection.execute("select 1 / 0")
        if any(command == "away" for _, command in commands):
            raise Unavailable
        return [int(command) for _, command in commands]

    group: Grouped[Any, int] = Grouped(work, hands=1)
    outcomes = await asyncio.gather(*(group.submit(database, caller, n) for n in range(6)), return_exceptions=True)
    assert [outcome if isinstance(outcome, int) else type(outcome).__name__ for outcome in outcomes] == [
        0, 1, 2, "DivisionByZeroError", 4, 5,
    ]  # fmt: skip
    assert max(sizes) == 6
    del sizes[:]
    found = await asyncio.gather(*(group.submit(database, caller, n) for n in (1, "away", 2)), return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable] * 3
    assert sizes == [3]


async def test_who_does_not_wait_is_carried_out_nevertheless(database: Database, caller: Caller) -> None:
    _, number = await account(database, caller, "gone")
    payments = Payments()
    waiting = asyncio.create_task(payments.submit(database, caller, Pay(number, Decimal(3))))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    second = await payments.submit(database, caller, Pay(number, Decimal(1)))
    assert second.balance_before_payment in (0, 3)
