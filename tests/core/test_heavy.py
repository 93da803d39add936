"""Heavy work of a loop: a stretch of it in every other round, what is light before it, and nobody is forgotten."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.heavy import LEAST, LONGEST, PIECE, Courtesy, Light, Line, in_turns, let_go, turn
from tests.rounds import Rounds


async def test_every_other_round_has_one_stretch_and_each_whatever_is_light() -> None:
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
    begun = sorted(worked)
    assert all(later - sooner >= 2 for sooner, later in pairwise(begun)), "what came meanwhile begins first"
    assert order == [0, *[0, 1, 2, 3, 4] * 3, 1, 2, 3, 4], "first come, first served"


async def test_what_was_begun_in_steps_goes_on_before_what_others_wait_for() -> None:
    rounds, worked, order = Rounds(), Counter[int](), list[str]()

    def steps(name: str) -> Iterator[None]:
        for number in range(4):
            if number:
                yield
            worked[rounds.number] += 1
            order.append(name)

    async def one(name: str) -> None:
        await turn()
        worked[rounds.number] += 1
        order.append(name)

    async with rounds.counted():
        await asyncio.gather(one("first"), in_turns(steps("a")), one("between"), in_turns(steps("b")), one("last"))
    assert order == ["first", *["a"] * 4, "between", *["b"] * 4, "last"]
    assert max(worked.values()) == 1
    assert all(later - sooner >= 2 for sooner, later in pairwise(sorted(worked))), "what came meanwhile begins first"


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


@pytest.mark.parametrize(
    ("worked", "waited", "light", "pause"),
    [
        (0, 0, None, 0),
        (0, 0, 0, LONGEST),
        (0, 0, LONGEST // 3, LONGEST * 2 // 3),
        (0, 0, LONGEST, 0),
        (0, 0, 9 * LONGEST, 0),
        (0, LONGEST // 3, 0, LONGEST * 2 // 3),
        (0, LONGEST, 0, 0),
        (0, 9 * LONGEST, 0, 0),
        (4 * LEAST, LONGEST, 0, 4 * LEAST),
        (9 * LONGEST, LONGEST, 0, LONGEST),
        (LEAST - 1, LONGEST, 0, 0),
    ],
)
def test_it_holds_back_for_what_is_young_as_long_as_it_has_worked(
    worked: int, waited: int, light: int | None, pause: int
) -> None:
    courtesy = Courtesy()
    courtesy.waited(waited)
    courtesy.worked(worked)
    assert courtesy.pause(light) == pause


@given(st.lists(st.integers(0, LONGEST), max_size=200))
def test_it_has_half_of_the_time_however_much_is_light(stretches: list[int]) -> None:
    courtesy, held = Courtesy(), 0
    for time in stretches:
        while pause := courtesy.pause(0):
            held += pause
            courtesy.waited(pause)
        courtesy.worked(time)
    assert held <= sum(stretches) + LONGEST


class _Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


async def _rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_nothing_heavy_begins_while_something_light_is_under_way() -> None:
    line, order = Line(asyncio.get_running_loop(), _Hand()), list[int]()

    async def heavy(number: int) -> None:
        for _ in range(2):
            await line.turn()
            order.append(number)

    line.begin("one")
    line.begin("two")
    work = [asyncio.create_task(heavy(number)) for number in range(3)]
    await _rounds(50)
    line.end("two")
    await _rounds(50)
    assert order == []
    line.end("one")
    await asyncio.wait_for(asyncio.gather(*work), 5)
    assert order == [0, 1, 2, 0, 1, 2]


async def test_what_comes_between_a_call_and_its_turn_goes_first() -> None:
    loop = asyncio.get_running_loop()
    line, order = Line(loop, _Hand()), list[str]()

    async def heavy(name: str) -> None:
        await line.turn()
        order.append(name)
        # In the round that calls the next one, after the call.
        loop.call_soon(line.begin, name)

    work = [asyncio.create_task(heavy(name)) for name in ("first", "second", "third")]
    await _rounds(50)
    assert order == ["first"]
    line.end("first")
    await _rounds(50)
    assert order == ["first", "second"]
    line.end("second")
    await asyncio.wait_for(asyncio.gather(*work), 5)
    assert order == ["first", "second", "third"]


async def test_heavy_work_goes_on_where_what_is_light_takes_long() -> None:
    clock = _Hand()
    line = Line(asyncio.get_running_loop(), clock)
    line.begin("slow")
    work = asyncio.create_task(line.turn())
    await _rounds(50)
    assert not work.done()
    clock.now += LONGEST
    await asyncio.wait_for(work, 5)
    line.begin("another")
    again = asyncio.create_task(line.turn())
    await asyncio.wait_for(again, 5)  # it has not worked since, so it holds back no more
    line.end("slow")
    line.end("another")


@pytest.mark.parametrize("lasts", [1, 2, 3, 4])
@pytest.mark.parametrize("apart", [1, 2, 3, 4])
async def test_short_ones_in_a_row_hold_it_back_no_longer_than_a_long_one(lasts: int, apart: int) -> None:
    clock, stretches = _Hand(), 0
    line = Line(asyncio.get_running_loop(), clock)

    async def heavy() -> None:
        nonlocal stretches
        while True:
            await line.turn()
            stretches += 1
            clock.now += 5 * LEAST

    work = asyncio.create_task(heavy())
    for number in range(800):  # rounds, of which each takes its time
        clock.now += LEAST
        if number % (lasts + apart) == 0:
            line.begin("light")
        elif number % (lasts + apart) == lasts:
            line.end("light")
        await asyncio.sleep(0)
    work.cancel()
    assert stretches >= 800 // (5 + 2 + lasts + apart)


async def test_what_has_taken_long_already_is_not_waited_for() -> None:
    clock = _Hand()
    line = Line(asyncio.get_running_loop(), clock)
    line.begin("old")
    clock.now += LONGEST
    line.begin("young")
    work = asyncio.create_task(line.turn())
    await _rounds(50)
    assert not work.done()
    line.end("young")
    await _rounds(50)
    assert work.done()
    line.end("old")


async def test_who_gives_up_while_work_holds_back_holds_nobody_up() -> None:
    line = Line(asyncio.get_running_loop(), _Hand())
    line.begin("light")
    waiting = [asyncio.create_task(line.turn()) for _ in range(3)]
    await _rounds(5)
    waiting[0].cancel()
    line.end("light")
    waiting[1].cancel()
    await asyncio.wait_for(waiting[2], 5)
    await asyncio.wait_for(line.turn(), 5)


async def test_a_block_is_light_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.core.heavy.LONGEST", 60 * 10**9)
    monkeypatch.setattr("bursar.core.heavy._lines", [])
    with Light():
        work = asyncio.create_task(turn())
        await _rounds(50)
        assert not work.done()
    await asyncio.wait_for(work, 5)


async def test_an_answer_goes_out_before_the_work_that_was_called_meanwhile() -> None:
    order: list[str] = []

    async def heavy() -> None:
        await turn()
        order.append("heavy")

    await turn()
    work = asyncio.create_task(heavy())
    await _rounds(2)  # now it has been called, and begins in the next round
    with Light():
        asyncio.get_running_loop().call_soon(order.append, "sent")
    await asyncio.wait_for(work, 5)
    assert order == ["sent", "heavy"]


async def test_what_is_let_go_is_freed_a_piece_at_a_turn() -> None:
    line = Line(asyncio.get_running_loop(), _Hand())
    first, second = list(range(2 * PIECE)), list(range(PIECE // 2))
    await line.turn()
    line.let_go(first)
    line.let_go(second)
    assert (len(first), len(second)) == (2 * PIECE, PIECE // 2)
    sizes = []
    for _ in range(4):
        await line.turn()
        sizes.append((len(first), len(second)))
    assert sizes == [(PIECE, PIECE // 2), (0, PIECE // 2), (0, 0), (0, 0)]


async def test_it_is_freed_where_nobody_wants_a_turn_and_not_all_of_it_in_a_round() -> None:
    rounds, things = Rounds(), list(range(5 * PIECE))
    seen = [len(things)]
    async with rounds.counted():
        let_go(things)
        while things:
            await asyncio.sleep(0)
            seen.append(len(things))
        assert rounds.number < 50
    assert max(before - after for before, after in pairwise(seen)) == PIECE
    await asyncio.wait_for(turn(), 5)


async def test_it_is_not_freed_while_something_light_is_under_way() -> None:
    line, things = Line(asyncio.get_running_loop(), _Hand()), [1, 2, 3]
    line.begin("light")
    line.let_go(things)
    await _rounds(50)
    assert things == [1, 2, 3]
    line.end("light")
    await _rounds(5)
    assert things == []
    await asyncio.wait_for(line.turn(), 5)


async def test_who_wants_a_turn_while_it_is_freed_gets_it() -> None:
    line, things = Line(asyncio.get_running_loop(), _Hand()), list(range(100 * PIECE))
    line.let_go(things)
    for _ in range(3):
        await asyncio.wait_for(line.turn(), 5)
    assert len(things) > 80 * PIECE
