"""Reads of single rows for many requests in one statement: what is asked for while one is answered is the next.

A statement costs the same round trip and the same start whether it finds one row or thirty. Nobody gets an answer that
was begun before they asked, so what was committed by then is in it; and nobody waits where nothing is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bursar.core.errors import Unavailable
from bursar.db.database import Connection, Database

AT_MOST = 100
"""Keys in one statement."""
HANDS = 2
"""Statements of one kind at a time: while PostgreSQL works on one, the answers of the other are written."""

Read = Callable[[Connection, Sequence[Any]], Awaitable[Mapping[Any, Any]]]
"""Finds rows by their keys."""


@dataclass(slots=True)
class _Line:
    """The keys that wait, each with who asked for it, and how many statements are under way."""

    workspace: int
    read: Read
    wanted: dict[Hashable, "list[asyncio.Future[Any]]"] = field(default_factory=dict)
    hands: "set[asyncio.Task[None]]" = field(default_factory=set)


class Gathered:
    """The reads of one process."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, _Line] = {}

    async def ask(self, db: Database, workspace: int, kind: Hashable, key: Hashable, read: Read) -> Any:
        """The row of a key as that workspace sees it, None where there is none.

        All who ask for the same `kind` in a workspace must give a `read` that answers everybody alike: that of one of
        them is called, as `Database.ask` calls it. Raises what it raises.
        """
        place = (workspace, kind)
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = _Line(workspace, read)
        waiting = asyncio.get_running_loop().create_future()
        line.wanted.setdefault(key, []).append(waiting)
        if len(line.hands) < HANDS:
            line.hands.add(asyncio.create_task(self._drain(db, place, line)))
        return await waiting

    async def _drain(self, db: Database, place: Hashable, line: _Line) -> None:
        try:
            while line.wanted:
                some = line.wanted
                line.wanted = {key: some.pop(key) for key in list(some)[AT_MOST:]}
                await _answer(db, line, some)
        finally:
            task = asyncio.current_task()
            assert task is not None
            line.hands.discard(task)
            if not line.hands and not line.wanted and self._lines.get(place) is line:
                del self._lines[place]


async def _answer(db: Database, line: _Line, some: "Mapping[Hashable, list[asyncio.Future[Any]]]") -> None:
    try:
        rows = await db.ask(line.workspace, lambda connection: line.read(connection, list(some)))
    except BaseException as error:
        reason = error if isinstance(error, Exception) else Unavailable()
        for waiting in (waiting for several in some.values() for waiting in several):
            if not waiting.done():
                waiting.set_exception(reason)
        if not isinstance(error, Exception):
            raise
        return
    for key, several in some.items():
        for waiting in several:
            if not waiting.done():
                waiting.set_result(rows.get(key))
