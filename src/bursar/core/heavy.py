"""Heavy work of an event loop: one stretch of it in a round, so that what is light waits for one at most."""

import asyncio
from collections import deque


class _Line:
    """Who waits, in one loop, to work for some milliseconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun = False
        """Whether somebody has had the turn of this round."""

    async def turn(self) -> None:
        if self._begun:
            mine = self.loop.create_future()
            self._waiting.append(mine)
            await mine
        else:
            self._begun = True
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            theirs = self._waiting.popleft()
            if not theirs.done():
                theirs.set_result(None)
                self.loop.call_soon(self._next)
                return
        self._begun = False


_lines: list[_Line] = []
"""That of the loop which asked last; a process has one loop."""


async def turn() -> None:
    """Wait for one's turn to work for a few milliseconds without giving way: first come, first served."""
    loop = asyncio.get_running_loop()
    if not _lines or _lines[0].loop is not loop:
        _lines[:] = [_Line(loop)]
    await _lines[0].turn()
