"""Commands of many requests in one transaction: whatever came while the last one was written is the next.

A row that everybody changes is locked once for all of them, and one commit makes all of them durable. Each is answered
when its transaction has committed, as if it had been alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import asyncpg

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, Unavailable
from bursar.db.database import Connection, Database, outage

C = TypeVar("C")
R = TypeVar("R")

AT_MOST = 200
"""Commands in one transaction."""
WAITING = 5_000
"""Commands of one workspace that may wait; more are told to come again."""
HANDS = 2
"""Transactions of one workspace at a time: while one waits for the disk, the other one works."""
FEW = 8
"""Where fewer commands wait no other hand begins while one works: a transaction of their own costs more."""
LONG_SECONDS = 0.02
"""How long one hand may take for a transaction, which may wait for somebody's lock, before another one begins."""

Work = Callable[[Connection, Sequence[tuple[Caller, C]]], Awaitable[list[R | BursarError]]]
"""Carries out commands of one workspace in order; one outcome each. What it raises undoes all of them."""
First = Callable[[Sequence[tuple[Caller, C]]], str]
"""The statement without parameters by which commands take locks before all else; empty: they take none."""


@dataclass(slots=True)
class _Waiting(Generic[C, R]):
    caller: Caller
    command: C
    done: "asyncio.Future[R]"


@dataclass(slots=True)
class _Line(Generic[C, R]):
    """The commands of one workspace that wait, and those who work on them."""

    queue: deque[_Waiting[C, R]] = field(default_factory=deque)
    hands: set["asyncio.Task[None]"] = field(default_factory=set)
    taken: int = 0
    """How many commands are worked on."""
    ended: int = 0
    """How many transactions have ended."""
    look: asyncio.TimerHandle | None = None
    """When it is looked whether a hand takes long."""


class Grouped(Generic[C, R]):
    """One kind of command in one process."""

    def __init__(
        self,
        work: Work[C, R],
        *,
        first: First[C] = lambda _: "",
        at_most: int = AT_MOST,
        hands: int = HANDS,
        few: int = FEW,
    ) -> None:
        self._work = work
        self._first = first
        self._at_most = at_most
        self._hands = hands
        self._few = few
        self._lines: dict[int, _Line[C, R]] = {}

    async def submit(self, db: Database, caller: Caller, command: C) -> R:
        """The outcome of a command, once it is on disk; raises the `BursarError` that it met instead.

        Where the transactions of `db` are one of somebody else's, it is carried out in that one, alone.
        """
        if db.joined:
            return _outcome((await self._together(db, caller.workspace, [(caller, command)]))[0])
        line = self._lines.setdefault(caller.workspace, _Line())
        if len(line.queue) >= WAITING:
            raise Unavailable("more is waiting than can be stored in time; try again shortly")
        waiting = _Waiting[C, R](caller, command, asyncio.get_running_loop().create_future())
        line.queue.append(waiting)
        self._lend(db, caller.workspace, line)
        return await waiting.done

    async def _together(
        self, db: Database, workspace: int, commands: Sequence[tuple[Caller, C]]
    ) -> list[R | BursarError]:
        """The outcomes of commands in one transaction."""
        first = self._first(commands)
        return await db.run(workspace, lambda connection: self._work(connection, commands), steady=True, first=first)

    def _lend(self, db: Database, workspace: int, line: _Line[C, R], *, long: bool = False) -> None:
        """Let another hand begin, where there is one: the first at once, others where many wait, or long."""
        if line.hands and len(line.hands) == self._hands:
            return
        if not line.hands or long or len(line.queue) >= self._few:
            line.hands.add(asyncio.create_task(self._drain(db, workspace, line)))
        elif line.look is None:
            loop = asyncio.get_running_loop()
            line.look = loop.call_later(LONG_SECONDS, self._look, db, workspace, line, line.ended)

    def _look(self, db: Database, workspace: int, line: _Line[C, R], ended: int) -> None:
        line.look = None
        if line.queue:
            self._lend(db, workspace, line, long=line.ended == ended)

    def _share(self, line: _Line[C, R]) -> int:
        """How many commands one hand takes of those that wait.

        As many as it has of all that are under way when all hands have the same. One that took all that wait would soon
        have nearly all, for good: who was answered together asks again together. Then this process would have nothing
        to do while PostgreSQL works, and the other way round. A few are not worth sharing.
        """
        fair = -(-(len(line.queue) + line.taken) // self._hands)
        return min(len(line.queue), max(fair, self._few), self._at_most)

    async def _drain(self, db: Database, workspace: int, line: _Line[C, R]) -> None:
        try:
            while line.queue:
                taken = [line.queue.popleft() for _ in range(self._share(line))]
                if line.queue:
                    self._lend(db, workspace, line)
                # Who does not wait any more was told that nothing was done.
                some = [waiting for waiting in taken if not waiting.done.done()]
                if not some:
                    continue
                line.taken += len(some)
                try:
                    await self._carry_out(db, workspace, some)
                finally:
                    line.taken -= len(some)
                    line.ended += 1
        finally:
            task = asyncio.current_task()
            assert task is not None
            line.hands.discard(task)
            if not line.hands and not line.queue and self._lines.get(workspace) is line:
                del self._lines[workspace]

    async def _carry_out(self, db: Database, workspace: int, some: list[_Waiting[C, R]]) -> None:
        """Carry out commands together; where that fails on the content of one, by halves, so that it fails alone."""
        commands = [(waiting.caller, waiting.command) for waiting in some]
        try:
            outcomes = await self._together(db, workspace, commands)
        except BaseException as error:
            if len(some) > 1 and isinstance(error, (asyncpg.PostgresError, BursarError)) and not _away(error):
                middle = len(some) // 2
                await self._carry_out(db, workspace, some[:middle])
                await self._carry_out(db, workspace, some[middle:])
                return
            reason = error if isinstance(error, Exception) else Unavailable()
            for waiting in some:
                if not waiting.done.done():
                    waiting.done.set_exception(reason)
            if not isinstance(error, Exception):
                raise
            return
        crash.point("group committed")
        for waiting, outcome in zip(some, outcomes, strict=True):
            if waiting.done.done():
                continue
            if isinstance(outcome, BursarError):
                waiting.done.set_exception(outcome)
            else:
                waiting.done.set_result(outcome)


def _away(error: BaseException) -> bool:
    return isinstance(error, Unavailable) or outage(error)


def _outcome(outcome: R | BursarError) -> R:
    if isinstance(outcome, BursarError):
        raise outcome
    return outcome
