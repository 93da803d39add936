"""The last wall around names, below every command: at no time does one lead to two accounts."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from bursar.accounts.model import Address, NewAccount, NewCustomer
from bursar.accounts.service import create_account, create_customer
from bursar.core.caller import Caller
from bursar.core.ids import draw
from bursar.db.database import Connection, Database

DAY = datetime(2026, 3, 1, tzinfo=UTC)

Given = tuple[str, int | None, int | None]
"""Whose the name is, and from which day until which."""


def day(number: int | None) -> datetime | None:
    return None if number is None else DAY + timedelta(days=number)


async def make(database: Database, caller: Caller, *identifiers: str) -> dict[str, int]:
    """Accounts of one customer; their keys by id."""
    async with database.transaction(caller.workspace) as connection:
        await create_customer(connection, caller, NewCustomer("acme", "Acme", "a@example.com", Address()))
        made = [await create_account(connection, caller, "acme", NewAccount(one, one)) for one in identifiers]
    return {account.id: account.key for account in made}


async def lead(connection: Connection, caller: Caller, value: str, *given: tuple[int, int | None, int | None]) -> None:
    """Let a value lead to accounts, by key, in one statement and without asking."""
    await connection.execute(
        "insert into account_name (workspace, value, account, kind, wire_id, effective, created_at, updated_at)"
        " select $1, $2, account, 'ALIAS', wire_id, tstzrange(starts_at, ends_at), $3, $3"
        " from unnest($4::bigint[], $5::text[], $6::timestamptz[], $7::timestamptz[])"
        " as g (account, wire_id, starts_at, ends_at)",
        caller.workspace, value, caller.wall, [account for account, _, _ in given], [draw("alias") for _ in given],
        [day(start) for _, start, _ in given], [day(end) for _, _, end in given],
    )  # fmt: skip


def meet(one: Given, other: Given) -> bool:
    """Whether two names of different accounts hold on one day, asked day by day."""
    held = [set(range(-5 if start is None else start, 20 if end is None else end)) for _, start, end in (one, other)]
    return one[0] != other[0] and bool(held[0] & held[1])


@pytest.mark.parametrize("apart", [False, True], ids=["in one statement", "one after the other"])
async def test_only_names_that_never_meet_are_taken(database: Database, caller: Caller, apart: bool) -> None:
    keys = await make(database, caller, "a", "b")
    spans = [(None, None), (None, 3), (3, None), (1, 3), (2, 4), (3, 5)]
    cases = [(("a", *one), (owner, *other)) for one in spans for owner in "ab" for other in spans]
    for number, (one, other) in enumerate(cases):
        rows = [(keys[owner], start, end) for owner, start, end in (one, other)]
        refused = False
        try:
            async with database.transaction(caller.workspace) as connection:
                for part in ([row] for row in rows) if apart else [rows]:
                    await lead(connection, caller, f"n{number}", *part)
        except asyncpg.ExclusionViolationError:
            refused = True
        assert refused is meet(one, other), (one, other)


async def test_an_id_is_a_name_like_any_other(database: Database, caller: Caller) -> None:
    keys = await make(database, caller, "a", "b")
    with pytest.raises(asyncpg.ExclusionViolationError):
        async with database.transaction(caller.workspace) as connection:
            await lead(connection, caller, "a", (keys["b"], 1, 2))
    async with database.transaction(caller.workspace) as connection:
        await lead(connection, caller, "a", (keys["a"], 1, 2))


async def test_of_two_that_take_a_name_at_once_the_second_waits_and_is_refused(
    database: Database, caller: Caller
) -> None:
    keys = await make(database, caller, "a", "b")
    waits = asyncio.Event()

    async def second() -> None:
        async with database.transaction(caller.workspace) as connection:
            waits.set()
            await lead(connection, caller, "desk", (keys["b"], 1, 3))

    async with database.transaction(caller.workspace) as connection:
        await lead(connection, caller, "desk", (keys["a"], 2, 4))
        task = asyncio.create_task(second())
        await waits.wait()
        await asyncio.sleep(0.2)
        assert not task.done()
    with pytest.raises(asyncpg.ExclusionViolationError):
        await task


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("effective = tstzrange(lower(effective), lower(effective) + interval '1 hour')", False),
        ("updated_at = updated_at + interval '1 hour'", False),
        ("effective = tstzrange(lower(effective), null)", True),
        ("effective = tstzrange(null, upper(effective))", True),
        ("value = 'other'", True),
        ("account = account - 1", True),
    ],
)
async def test_a_name_may_be_cut_short_and_nothing_else(
    database: Database, caller: Caller, change: str, kept: bool
) -> None:
    keys = await make(database, caller, "a", "b")
    refused = False
    try:
        async with database.transaction(caller.workspace) as connection:
            await lead(connection, caller, "desk", (keys["b"], 1, 3))
            statement = f"update account_name set {change} where workspace = $1 and value = 'desk'"
            assert await connection.execute(statement, caller.workspace) == "UPDATE 1"
    except asyncpg.RestrictViolationError:
        refused = True
    assert refused is kept
