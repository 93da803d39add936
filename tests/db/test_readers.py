"""Reads of one statement: each sees its own workspace, whatever became of those before it on the same connections."""

import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bursar.core.caller import Caller
from bursar.core.errors import Unavailable
from bursar.db.database import Connection, Database
from tests.conftest import new_workspace

WORKSPACES = 5
CONNECTIONS = 3


@pytest.fixture
async def narrow(dsn: str, database: Database) -> AsyncIterator[Database]:
    """A database with fewer connections than workspaces, so that they go from one to another."""
    db = await Database.open(dsn, size=CONNECTIONS)
    yield db
    await db.close()


async def visible(db: Database, workspace: int) -> list[int]:
    async def work(connection: Connection) -> list[int]:
        return [row["key"] for row in await connection.fetch("select key from workspace, pg_sleep($1)", 0.001)]

    return await db.ask(workspace, work)


async def test_many_workspaces_on_few_connections_see_their_own(narrow: Database) -> None:
    chance = random.Random(1)
    keys = [(await new_workspace(narrow))[0].workspace for _ in range(WORKSPACES)]
    for _ in range(30):
        asked = [chance.choice(keys) for _ in range(8)]
        tasks = [asyncio.create_task(visible(narrow, key)) for key in asked]
        for task in tasks:
            # Some are given up: while they wait, while the workspace is being set, while the statement runs.
            asyncio.get_running_loop().call_later(chance.random() * 0.01, task.cancel)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for key, answer in zip(asked, answers, strict=True):
            assert answer == [key] or isinstance(answer, asyncio.CancelledError), answer
    assert await asyncio.gather(*(visible(narrow, key) for key in keys)) == [[key] for key in keys]
    async with narrow.transaction(None) as connection:
        assert await connection.fetchval("select current_setting('bursar.workspace', true)") in (None, "")


async def test_a_statement_that_fails_leaves_nothing_behind(narrow: Database, caller: Caller) -> None:
    def work(statement: str) -> object:
        return narrow.ask(caller.workspace, lambda connection: connection.fetchval(statement))

    for _ in range(2 * CONNECTIONS):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await work("select 1 / 0 from workspace")  # type: ignore[misc]
    assert await work("select key from workspace") == caller.workspace  # type: ignore[misc]


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("update workspace set name = 'x'", asyncpg.ReadOnlySQLTransactionError),
        ("select from server_secret", asyncpg.InsufficientPrivilegeError),
    ],
)
async def test_it_is_in_the_role_of_requests_and_cannot_write(
    narrow: Database, caller: Caller, statement: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await narrow.ask(caller.workspace, lambda connection: connection.fetch(statement))


async def test_work_of_several_statements_is_done_again_in_one_transaction(narrow: Database, caller: Caller) -> None:
    begun: list[None] = []

    async def work(connection: Connection) -> list[object]:
        begun.append(None)
        return [await connection.fetchval("select transaction_timestamp()") for _ in range(2)]

    first, second = await narrow.ask(caller.workspace, work)
    assert first == second
    assert len(begun) == 2


async def test_connections_that_ended_are_made_anew(narrow: Database, caller: Caller) -> None:
    other, _, _ = await new_workspace(narrow)
    await asyncio.gather(*(visible(narrow, caller.workspace) for _ in range(2 * CONNECTIONS)))
    pids = [reader.get_server_pid() for _, reader in narrow._readers._idle]
    assert len(pids) == CONNECTIONS
    async with narrow.transaction(None) as connection:
        await connection.execute("select pg_terminate_backend(pid) from unnest($1::int[]) as p (pid)", pids)
    for key in (other.workspace, caller.workspace):
        for _ in range(10):
            try:
                assert await visible(narrow, key) == [key]
                break
            except Unavailable:
                await asyncio.sleep(0.01)
        else:
            pytest.fail("the connections were not made anew")
