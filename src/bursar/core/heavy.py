"""Heavy work of an event loop: a stretch of it in every other round, and none while something light is under way.

What is light waits for one stretch at most, unless it takes long or so much of it comes that heavy work would starve:
`Courtesy` has the bounds.

To free is work as well: the events of eight large batches take ten milliseconds or more, at whatever moment the last
name of them goes. `let_go` has it done in pieces.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from types import TracebackType
from typing import Any

LONGEST = 30_000_000
"""Nanoseconds for which heavy work holds back at most, for one light thing or for many in a row."""
LEAST = 1_000_000
"""Nanoseconds for which holding back is worth it: timers have this grain."""
PIECE = 250
"""Things that are freed in a part of a millisecond."""


class Courtesy:
    """How long heavy work holds back for what is light: as long as it has worked before, and never for `LONGEST`.

    So it has half of the time at least, however much that is light there is. All of it in nanoseconds.
    """

    def __init__(self) -> None:
        self._credit = LONGEST

    def worked(self, time: int) -> None:
        """Heavy work was done for so long."""
        self._credit = min(LONGEST, self._credit + time)

    def waited(self, time: int) -> None:
        """It held back for so long."""
        self._credit = max(0, self._credit - time)

    def pause(self, light: int | None) -> int:
        """How long it may hold back from here on; `light`: the age of the youngest that is under way."""
        if light is None:
            return 0
        pause = min(self._credit, LONGEST - light)
        return pause if pause >= LEAST else 0


class Line:
    """Who waits, in one loop, to work for some milliseconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.loop = loop
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun = False
        """Whether somebody has had the turn of this round, or waits for it."""
        self._courtesy = Courtesy()
        self._spent: deque[list[Any]] = deque()
        self._light: dict[object, int] = {}
        """When what is light and under way began, the youngest at the end."""
        self._worked: int | None = None
        """When the stretch of this round began."""
        self._held: int | None = None
        """Up to when the time is spent for which heavy work holds back; None where it does not."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, light: object) -> None:
        """Something light begins."""
        self._light[light] = self._clock()

    def end(self, light: object) -> None:
        """It ends."""
        del self._light[light]
        if self._timer is not None and not self._pause():
            self._timer.cancel()
            self.loop.call_soon(self._next)
            self._timer = None

    async def turn(self, *, goes_on: bool = False) -> None:
        """Wait for one's turn; who goes on with what was begun is the next."""
        if not self._begun:
            self._begun = True
            self.loop.call_soon(self._rest)
        else:
            await self._wait(self._waiting.appendleft if goes_on else self._waiting.append)
        # Something light may have come since it was called.
        while self._pause():
            await self._wait(self._waiting.appendleft)
        self._held = None
        self._worked = self._clock()
        # As much as is made in a turn, so that it cannot pile up.
        self._free()

    def let_go(self, things: list[Any]) -> None:
        """Empty a list that is of no use to anybody, a piece at a turn, or when there is nothing else to do."""
        self._spent.append(things)
        if not self._begun:
            self._begun = True
            self.loop.call_soon(self._next)

    def _free(self) -> None:
        if self._spent:
            things = self._spent[0]
            del things[-PIECE:]
            if not things:
                self._spent.popleft()

    async def _wait(self, stand: Callable[[asyncio.Future[None]], None]) -> None:
        mine = self.loop.create_future()
        stand(mine)
        await mine

    def _pause(self) -> int:
        """How long to hold back from now on; the time since the last answer that was not 0 is spent."""
        now = self._clock()
        if self._held is not None:
            self._courtesy.waited(now - self._held)
        pause = self._courtesy.pause(now - self._light[next(reversed(self._light))]) if self._light else 0
        if pause or self._held is not None:
            self._held = now
        return pause

    def _next(self) -> None:
        self._timer = None
        if (self._waiting or self._spent) and (pause := self._pause()):
            self._timer = self.loop.call_later(pause / 10**9, self._next)
            return
        while self._waiting:
            theirs = self._waiting.popleft()
            if not theirs.done():
                theirs.set_result(None)
                self.loop.call_soon(self._rest)
                return
        self._held = None
        if self._spent:
            self._worked = self._clock()
            self._free()
            self._rest()
        else:
            self._begun = False

    def _rest(self) -> None:
        if self._worked is not None:
            self._courtesy.worked(self._clock() - self._worked)
            self._worked = None
        # What came during the stretch begins in the round behind it, before the one in which the next would be.
        self.loop.call_soon(self._next)


_lines: list[Line] = []
"""That of the loop which asked last; a process has one loop."""


def _line() -> Line:
    loop = asyncio.get_running_loop()
    if not _lines or _lines[0].loop is not loop:
        _lines[:] = [Line(loop)]
    return _lines[0]


async def turn() -> None:
    """Wait for one's turn to work for a few milliseconds without giving way: first come, first served."""
    await _line().turn()


async def in_turns(steps: Iterable[None]) -> None:
    """Do each of some steps in a turn; once begun they come before what others wait for, but for what is light."""
    await turn()
    for _ in steps:
        await _line().turn(goes_on=True)


def let_go(things: list[Any]) -> None:
    """Empty a long list that is of no use to anybody, without keeping others from their work."""
    _line().let_go(things)


class Light:
    """Something that should not wait for heavy work, for as long as the block takes."""

    __slots__ = ("_line",)

    def __enter__(self) -> None:
        self._line = _line()
        self._line.begin(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        # Not before its answer has gone out, for which it has asked the loop.
        self._line.loop.call_soon(self._line.end, self)
