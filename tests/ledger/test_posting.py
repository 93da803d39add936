"""Posting into a real database, alone and at once; what the database itself refuses."""

import asyncio
import random
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal

import asyncpg
import pytest

from bursar.accounts.model import Address, NewCustomer
from bursar.accounts.service import create_customer
from bursar.core.caller import Caller
from bursar.db.database import Connection, Database
from bursar.ledger import store, verify
from bursar.ledger.model import OF_CUSTOMERS, Kind, LedgerAccount, Posting, Transaction
from bursar.ledger.service import post, post_all

DAY = date(2024, 1, 31)


async def account(db: Database, caller: Caller, identifier: str) -> int:
    async with db.transaction(caller.workspace) as connection:
        new = NewCustomer(identifier, "A Customer", "c@example.com", Address())
        return (await create_customer(connection, caller, new))[1].key


def move(amount: str | Decimal, debit: LedgerAccount, credit: LedgerAccount, key: int | None = None) -> Transaction:
    value = Decimal(amount)
    return Transaction("test", key, DAY, "a move", (Posting(debit, value), Posting(credit, -value)))


async def problems(connection: Connection) -> list[str]:
    return [text for check in verify.CHECKS for text in await check.run(connection)]


async def test_a_transaction_is_kept_as_it_was_given(database: Database, caller: Caller) -> None:
    owed = LedgerAccount(Kind.RECEIVABLE, "USD", await account(database, caller, "one"))
    sold = LedgerAccount(Kind.REVENUE, "USD", detail="pp.1/um.1")
    async with database.transaction(caller.workspace) as connection:
        key = await post(connection, caller, move("12.345678901234", owed, sold, 99))
        row = await connection.fetchrow("select * from ledger_transaction where key = $1", key)
        lines = await connection.fetch(
            "select p.*, a.kind from posting p join ledger_account a on a.key = p.ledger_account"
            " where transaction = $1 order by line",
            key,
        )
        balance = await store.balance(connection, caller.workspace, owed)
        trial = await store.trial_balance(connection, caller.workspace)
        assert await problems(connection) == []
    assert row is not None
    assert (row["cause"], row["cause_key"], row["accounting_date"], row["description"]) == ("test", 99, DAY, "a move")
    assert row["recorded_at"] == caller.wall
    assert [(r["line"], r["kind"], r["amount"]) for r in lines] == [
        (1, "receivable", Decimal("12.345678901234")),
        (2, "revenue", Decimal("-12.345678901234")),
    ]
    assert balance == Decimal("12.345678901234")
    assert [(t.kind, t.debits, t.credits) for t in trial] == [
        (Kind.RECEIVABLE, Decimal("12.345678901234"), 0),
        (Kind.REVENUE, 0, Decimal("12.345678901234")),
    ]


async def test_many_at_once_keep_their_order_and_their_balances(database: Database, caller: Caller) -> None:
    keys = [await account(database, caller, f"acc-{n}") for n in range(3)]
    names = [LedgerAccount(Kind.WALLET, "USD", key) for key in keys] + [LedgerAccount(Kind.CASH, "USD")]
    draw = random.Random(5)
    pairs = [draw.sample(names, 2) for _ in range(200)]
    moves = [move(Decimal(draw.randint(1, 999)) / 8, one, other, n) for n, (one, other) in enumerate(pairs)]
    async with database.transaction(caller.workspace) as connection:
        posted = await post_all(connection, caller, moves)
        rows = await connection.fetch(
            "select key, cause_key from ledger_transaction where key = any($1) order by key", posted
        )
        assert [(r["key"], r["cause_key"]) for r in rows] == list(zip(posted, range(200), strict=True))
        expected: defaultdict[LedgerAccount, Decimal] = defaultdict(Decimal)
        for one in moves:
            for posting in one.postings:
                expected[posting.ledger_account] += posting.amount
        for name in names[:3]:
            assert await store.balance(connection, caller.workspace, name) == expected[name]
        assert await post_all(connection, caller, []) == []
        assert await problems(connection) == []


async def test_writers_at_once_neither_deadlock_nor_lose(database: Database, caller: Caller) -> None:
    keys = [await account(database, caller, f"acc-{n}") for n in range(4)]
    names = [LedgerAccount(Kind.WALLET, "USD", key) for key in keys]
    names += [LedgerAccount(Kind.REVENUE, "USD", detail=str(n)) for n in range(6)]

    async def writer(seed: int) -> list[Transaction]:
        draw = random.Random(seed)
        done = []
        for _ in range(8):
            pairs = [draw.sample(names, 2) for _ in range(4)]
            some = [move(Decimal(draw.randint(1, 500)), one, other) for one, other in pairs]
            async with database.transaction(caller.workspace) as connection:
                await post_all(connection, caller, some)
            done += some
        return done

    done = [one for some in await asyncio.gather(*(writer(n) for n in range(16))) for one in some]
    async with database.transaction(caller.workspace) as connection:
        for name in names:
            expected = sum((p.amount for one in done for p in one.postings if p.ledger_account == name), Decimal(0))
            if name.kind in OF_CUSTOMERS:
                assert await store.balance(connection, caller.workspace, name) == expected
        count = await connection.fetchval("select count(*) from ledger_account where workspace = $1", caller.workspace)
        assert count == len(names), "each was made once"
        assert await problems(connection) == []


async def test_nothing_of_it_stays_if_the_cause_fails(database: Database, caller: Caller) -> None:
    owed = LedgerAccount(Kind.RECEIVABLE, "USD", await account(database, caller, "one"))

    class Failed(Exception):
        pass

    async def fail() -> None:
        async with database.transaction(caller.workspace) as connection:
            await post(connection, caller, move("1", owed, LedgerAccount(Kind.CASH, "USD")))
            raise Failed

    with pytest.raises(Failed):
        await fail()
    async with database.transaction(caller.workspace) as connection:
        assert await store.balance(connection, caller.workspace, owed) == 0
        assert await store.trial_balance(connection, caller.workspace) == []


REFUSED = [
    (
        "insert into posting (transaction, line, workspace, ledger_account, currency, amount)"
        " select transaction, 3, workspace, ledger_account, currency, 1 from posting"
        " where transaction = $1 and line = 1",
        "does not balance",
    ),
    (
        "insert into posting (transaction, line, workspace, ledger_account, currency, amount)"
        " select transaction, line + 2, workspace, ledger_account, 'EUR', amount from posting where transaction = $1",
        "no such transaction or ledger account",
    ),
    (
        "insert into posting (transaction, line, workspace, ledger_account, currency, amount)"
        " select transaction, line + 2, workspace, -1, currency, amount from posting where transaction = $1",
        "no such transaction or ledger account",
    ),
    (
        "insert into posting (transaction, line, workspace, ledger_account, currency, amount)"
        " select -1, line, workspace, ledger_account, currency, amount from posting where transaction = $1",
        "no such transaction or ledger account",
    ),
    (
        "insert into posting (transaction, line, workspace, ledger_account, currency, amount)"
        " select transaction, line + 2, workspace + 1, ledger_account, currency, amount from posting"
        " where transaction = $1",
        "no such transaction or ledger account",
    ),
    ("delete from ledger_account where key <> $1", "never changed"),
    ("update posting set amount = 2 * amount where transaction = $1", "never changed"),
    ("delete from posting where transaction = $1", "never changed"),
    ("delete from ledger_transaction where key = $1", "never changed"),
    ("update ledger_transaction set description = 'x' where key = $1", "never changed"),
]


@pytest.mark.parametrize(("statement", "message"), REFUSED)
async def test_the_database_refuses(database: Database, caller: Caller, statement: str, message: str) -> None:
    owed = LedgerAccount(Kind.RECEIVABLE, "USD", await account(database, caller, "one"))
    async with database.transaction(caller.workspace) as connection:
        key = await post(connection, caller, move("1", owed, LedgerAccount(Kind.CASH, "USD")))
    refusals = (asyncpg.CheckViolationError, asyncpg.ForeignKeyViolationError, asyncpg.InsufficientPrivilegeError)
    with pytest.raises(refusals, match=message):
        await database.run(None, lambda connection: connection.execute(statement, key))


async def test_workspaces_have_their_own_books(database: Database, caller: Caller) -> None:
    other = Caller(caller.workspace + 1_000_000, caller.now, datetime.now(UTC), "test", "UTC", "USD")
    owed = LedgerAccount(Kind.RECEIVABLE, "USD", await account(database, caller, "one"))
    async with database.transaction(caller.workspace) as connection:
        await post(connection, caller, move("1", owed, LedgerAccount(Kind.CASH, "USD")))
        assert await store.balance(connection, other.workspace, owed) == 0
        assert await store.trial_balance(connection, other.workspace) == []
