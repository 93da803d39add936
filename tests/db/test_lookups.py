"""Questions that many ask at once: few are put to PostgreSQL, and nobody hears what was true before they asked."""

import asyncio
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bursar.core.errors import Unavailable
from bursar.db.database import SESSION, SOON, Database
from bursar.db.readers import Readers, Row


class Counting(Readers):
    """Counts the questions that are put."""

    asked = 0
    away = False

    async def fetch(
        self, workspace: int | None, patience: float, statement: str, *arguments: object, timeout: float | None = None
    ) -> list[Row]:
        self.asked += 1
        if self.away:
            raise OSError
        return await super().fetch(workspace, patience, statement, *arguments, timeout=timeout)


@pytest.fixture
async def questions(dsn: str) -> AsyncIterator[Counting]:
    counting = Counting(dsn, SESSION, None, size=4, timeout=4.0)
    yield counting
    await counting.close()


@pytest.fixture
def counting(database: Database, questions: Counting) -> Database:
    return Database(database._pool, database._readers, questions, database._dsn)


async def test_who_asks_at_once_shares_an_answer(counting: Database, questions: Counting) -> None:
    first = [asyncio.create_task(counting.shared_lookup("select $1::int as n", 1)) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(counting.shared_lookup("select $1::int as n", 1)) for _ in range(20)]
    other = counting.shared_lookup("select $1::int as n", 2)
    rows = await asyncio.gather(*first, *later, other)
    assert [row["n"] for row in rows if row is not None] == [1] * 40 + [2]
    assert questions.asked == 3


async def test_nobody_hears_what_was_true_before_they_asked(
    database: Database, counting: Database, questions: Counting
) -> None:
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
        assert questions.asked < 8 * 30
    finally:
        await database.run(None, lambda c: c.execute("drop table grows"))


async def test_a_failure_is_everybody_s_and_passes(counting: Database, questions: Counting) -> None:
    questions.away = True
    asked = [counting.shared_lookup("select 1 as n") for _ in range(5)]
    assert {type(one) for one in await asyncio.gather(*asked, return_exceptions=True)} == {Unavailable}
    gone = asyncio.create_task(counting.shared_lookup("select 1 as n"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    questions.away = False
    row = await counting.shared_lookup("select 1 as n")
    assert row is not None
    assert row["n"] == 1


async def test_a_question_to_all_workspaces_cannot_write_and_is_not_waited_for_long(database: Database) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await database.shared_lookup("update workspace set name = 'x'")
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await database.shared_lookup("select pg_sleep($1::int)", int(2 * SOON) + 1)
    assert asyncio.get_running_loop().time() - began < 2 * SOON
    row = await database.shared_lookup("select current_setting('bursar.workspace', true) as workspace")
    assert row is not None
    assert not row["workspace"]


async def test_who_asks_and_is_given_up_leaves_the_question_to_others(database: Database) -> None:
    first = asyncio.create_task(database.shared_lookup("select 1 as n, pg_sleep(0.05)"))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(database.shared_lookup("select 1 as n, pg_sleep(0.05)")) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    assert [row["n"] for row in await asyncio.gather(*others) if row is not None] == [1] * 3
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_server_that_takes_nobody_in_is_not_waited_for_long() -> None:
    """As one that was stopped: the system takes connections for it, and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        db = await Database.open(f"postgresql://nobody@127.0.0.1:{deaf.getsockname()[1]}/none")
        try:
            began = asyncio.get_running_loop().time()
            with pytest.raises(Unavailable):
                await db.shared_lookup("select 1")
            assert asyncio.get_running_loop().time() - began < 1.5 * SOON
        finally:
            await db.close()
