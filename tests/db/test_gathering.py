"""Reads of single rows that many ask for at once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bursar.db.database import Connection, Database
from bursar.db.gathering import AT_MOST, Gathered


class _Doubles:
    """Reads that answer twice a number, from the database, for all but those that are divided by ten."""

    def __init__(self) -> None:
        self.statements: list[list[int]] = []

    async def __call__(self, connection: Connection, keys: Sequence[int]) -> Mapping[Any, Any]:
        self.statements.append(list(keys))
        rows = await connection.fetch(
            "select k, 2 * k as twice from unnest($1::bigint[]) as u (k) where k % 10 <> 0", list(keys)
        )
        return {row["k"]: row["twice"] for row in rows}


async def test_everybody_gets_its_own_row_and_few_statements_are_made(database: Database) -> None:
    read, gathered = _Doubles(), Gathered()
    keys = [number % 150 for number in range(600)]
    found = await asyncio.gather(*(gathered.ask(database, 1, "doubles", key, read) for key in keys))
    assert found == [None if key % 10 == 0 else 2 * key for key in keys]
    assert sorted(key for some in read.statements for key in some) == list(range(150))
    assert max(map(len, read.statements)) == AT_MOST
    assert await gathered.ask(database, 1, "doubles", 7, read) == 14
    assert read.statements[-1] == [7]


async def test_nobody_gets_an_answer_that_was_begun_before(database: Database) -> None:
    gathered = Gathered()
    present, going = 1, asyncio.Event()

    async def read(connection: Connection, keys: Sequence[int]) -> Mapping[Any, Any]:
        seen = present
        going.set()
        await connection.fetchval("select pg_sleep(0.05)")
        return dict.fromkeys(keys, seen)

    first = asyncio.create_task(gathered.ask(database, 1, "present", 5, read))
    await going.wait()
    present = 2
    assert await gathered.ask(database, 1, "present", 5, read) == 2
    assert await first == 1


async def test_a_failure_and_somebody_who_left_are_nobody_elses(database: Database) -> None:
    read, gathered = _Doubles(), Gathered()

    async def wrong(connection: Connection, keys: Sequence[int]) -> Mapping[Any, Any]:
        return {key: await connection.fetchval("select 1 / 0") for key in keys}

    failed = [gathered.ask(database, 1, "wrong", key, wrong) for key in range(3)]
    outcomes = await asyncio.gather(*failed, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["DivisionByZeroError"] * 3
    leaving = asyncio.create_task(gathered.ask(database, 1, "doubles", 4, read))
    staying = asyncio.create_task(gathered.ask(database, 1, "doubles", 4, read))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 8
    with pytest.raises(asyncio.CancelledError):
        await leaving
