"""Commands in groups: how many each hand takes, and that every command has its own outcome."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from bursar.core.caller import Caller
from bursar.core.errors import BursarError
from bursar.db.database import Connection, Database
from bursar.db.grouping import FEW, Grouped

CLIENTS = 24


async def test_hands_share_what_is_under_way_evenly(database: Database, caller: Caller) -> None:
    sizes: list[int] = []
    under_way: deque[asyncio.Event] = deque()

    async def work(connection: Connection, commands: Sequence[tuple[Caller, int]]) -> list[int | BursarError]:
        sizes.append(len(commands))
        under_way.append(may_end := asyncio.Event())
        await may_end.wait()
        return [10 * number for _, number in commands]

    group: Grouped[int, int] = Grouped(work)

    async def client(number: int) -> list[int]:
        return [await group.submit(database, caller, number) for _ in range(8)]

    async def end_one_after_the_other() -> None:
        """End what began first, each time once two are under way and had the time to become three."""
        while sum(sizes) < 8 * CLIENTS:
            while len(under_way) < 2:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.005)
            assert len(under_way) == 2, "two hands work at the same time, never more"
            under_way.popleft().set()
        for last in under_way:
            last.set()

    conductor = asyncio.create_task(end_one_after_the_other())
    answers = await asyncio.wait_for(asyncio.gather(conductor, *(client(number) for number in range(CLIENTS))), 30)
    assert answers[1:] == [[10 * number] * 8 for number in range(CLIENTS)]
    # All who are answered ask again at once: a hand that took all of them would leave nothing to the other.
    assert sizes == [CLIENTS // 2] * 16


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


async def test_a_few_wait_for_the_hand_that_works_but_not_for_long(database: Database, caller: Caller) -> None:
    sizes: list[int] = []
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def work(connection: Connection, commands: Sequence[tuple[Caller, int]]) -> list[int | BursarError]:
        sizes.append(len(commands))
        if 0 in [number for _, number in commands]:
            under_way.set()
            await go_on.wait()
        return [number for _, number in commands]

    group: Grouped[int, int] = Grouped(work)
    stuck = asyncio.create_task(group.submit(database, caller, 0))
    await under_way.wait()
    few = [asyncio.create_task(group.submit(database, caller, number)) for number in range(1, FEW)]
    await asyncio.sleep(0)
    assert sizes == [1], "the second hand does not begin at once"
    assert await asyncio.wait_for(asyncio.gather(*few), 2) == list(range(1, FEW)), "nor waits for one that takes long"
    many = [asyncio.create_task(group.submit(database, caller, number)) for number in range(1, FEW + 1)]
    await asyncio.gather(*many)
    assert sizes == [1, FEW - 1, FEW], "all of a few are one group"
    go_on.set()
    assert await stuck == 0
