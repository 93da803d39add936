"""Commands in groups: how many each hand takes, and that every command has its own outcome."""

import asyncio
from collections.abc import Sequence
from typing import Any

from bursar.core.caller import Caller
from bursar.core.errors import BursarError
from bursar.db.database import Connection, Database
from bursar.db.grouping import Grouped

CLIENTS = 24


async def test_hands_share_what_is_under_way_evenly(database: Database, caller: Caller) -> None:
    sizes: list[int] = []
    at_once = 0
    together: list[int] = []

    async def work(connection: Connection, commands: Sequence[tuple[Caller, int]]) -> list[int | BursarError]:
        nonlocal at_once
        at_once += 1
        together.append(at_once)
        sizes.append(len(commands))
        await connection.fetchval("select pg_sleep(0.005)")
        at_once -= 1
        return [10 * number for _, number in commands]

    group: Grouped[int, int] = Grouped(work)

    async def client(number: int) -> list[int]:
        return [await group.submit(database, caller, number) for _ in range(8)]

    answers = await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    assert answers == [[10 * number] * 8 for number in range(CLIENTS)]
    assert sum(sizes) == 8 * CLIENTS
    assert set(together) == {1, 2}, "two hands work at the same time, never more"
    # All who are answered ask again at once: a hand that took all of them would leave nothing to the other.
    assert max(sizes) == CLIENTS // 2
    assert sum(size == CLIENTS // 2 for size in sizes) >= 10, sizes


async def test_a_hand_takes_no_more_than_it_may_and_the_rest_is_not_forgotten(
    database: Database, caller: Caller
) -> None:
    sizes: list[int] = []

    async def work(connection: Connection, commands: Sequence[tuple[Caller, Any]]) -> list[int | BursarError]:
        sizes.append(len(commands))
        return [number for _, number in commands]

    group: Grouped[int, int] = Grouped(work, at_most=3)
    answers = await asyncio.gather(*(group.submit(database, caller, number) for number in range(10)))
    assert answers == list(range(10))
    assert max(sizes) == 3


async def test_what_nobody_waits_for_any_more_is_not_done(database: Database, caller: Caller) -> None:
    done: list[int] = []
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def work(connection: Connection, commands: Sequence[tuple[Caller, int]]) -> list[int | BursarError]:
        under_way.set()
        await go_on.wait()
        done.extend(number for _, number in commands)
        return [number for _, number in commands]

    group: Grouped[int, int] = Grouped(work, hands=1)
    first = asyncio.create_task(group.submit(database, caller, 1))
    await under_way.wait()
    given_up, kept = (asyncio.create_task(group.submit(database, caller, number)) for number in (2, 3))
    await asyncio.sleep(0)
    given_up.cancel()
    go_on.set()
    assert [await first, await kept] == [1, 3]
    assert done == [1, 3]
