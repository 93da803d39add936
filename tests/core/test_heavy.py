"""Heavy work of a loop: a stretch of it in a round, and nobody is forgotten."""

import asyncio
from collections import Counter

from bursar.core.heavy import turn
from tests.rounds import Rounds


async def test_each_round_has_one_stretch_and_whatever_is_light() -> None:
    rounds, worked, order = Rounds(), Counter[int](), list[int]()

    async def heavy(number: int) -> None:
        for _ in range(4):
            await turn()
            worked[rounds.number] += 1
            order.append(number)

    async with rounds.counted():
        await asyncio.gather(*(heavy(number) for number in range(5)))
    assert worked.total() == 20
    assert max(worked.values()) == 1
    assert order == [0, *[0, 1, 2, 3, 4] * 3, 1, 2, 3, 4], "first come, first served"


async def test_who_gives_up_holds_nobody_up() -> None:
    await turn()
    waiting = [asyncio.create_task(turn()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait_for(waiting[2], 5)
    for _ in range(3):
        await asyncio.wait_for(turn(), 5)


def test_each_loop_has_rounds_of_its_own() -> None:
    async def twice() -> None:
        await turn()
        await asyncio.wait_for(turn(), 5)

    asyncio.run(twice())
    asyncio.run(twice())
