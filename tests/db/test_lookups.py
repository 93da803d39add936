"""Questions that many ask at once: few are put to PostgreSQL, and nobody hears what was true before they asked."""

import asyncio

import pytest

from bursar.core.errors import Unavailable
from bursar.db.database import Database, Row


class Counting(Database):
    """Counts the questions that are put."""

    asked = 0
    away = False

    async def lookup(self, statement: str, *arguments: object) -> Row | None:
        type(self).asked += 1
        if self.away:
            raise Unavailable
        return await super().lookup(statement, *arguments)


@pytest.fixture
def counting(database: Database) -> Counting:
    Counting.asked = 0
    return Counting(database._pool, database._dsn)


async def test_who_asks_at_once_shares_an_answer(counting: Counting) -> None:
    first = [asyncio.create_task(counting.shared_lookup("select $1::int as n", 1)) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(counting.shared_lookup("select $1::int as n", 1)) for _ in range(20)]
    other = counting.shared_lookup("select $1::int as n", 2)
    rows = await asyncio.gather(*first, *later, other)
    assert [row["n"] for row in rows if row is not None] == [1] * 40 + [2]
    assert counting.asked == 3


async def test_nobody_hears_what_was_true_before_they_asked(database: Database, counting: Counting) -> None:
    """A value that only grows: each answer is at least what was committed when it was asked for."""
    await database.run(None, lambda c: c.execute("create table grows (n int)"))
    await database.run(None, lambda c: c.execute("insert into grows values (0)"))
    committed = 0

    async def ask() -> None:
        for _ in range(30):
            least = committed
            row = await counting.shared_lookup("select n from bursar.grows")
            assert row is not None
            assert row["n"] >= least

    async def grow() -> None:
        nonlocal committed
        for _ in range(40):
            await database.run(None, lambda c: c.execute("update grows set n = n + 1"))
            committed += 1

    try:
        await asyncio.gather(grow(), *(ask() for _ in range(8)))
        assert counting.asked < 8 * 30
    finally:
        await database.run(None, lambda c: c.execute("drop table grows"))


async def test_a_failure_is_everybody_s_and_passes(counting: Counting) -> None:
    counting.away = True
    asked = [counting.shared_lookup("select 1 as n") for _ in range(5)]
    assert {type(one) for one in await asyncio.gather(*asked, return_exceptions=True)} == {Unavailable}
    gone = asyncio.create_task(counting.shared_lookup("select 1 as n"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    counting.away = False
    row = await counting.shared_lookup("select 1 as n")
    assert row is not None
    assert row["n"] == 1
