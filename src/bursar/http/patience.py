"""How long a request may take: every wait for PostgreSQL has a limit of its own, and their sum has this one.

As `asyncio.timeout`, but one timer of the loop looks at the limits of all requests: one for each, set and set anew as
its body comes, costs as much as reading the body does.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

from starlette.requests import Request

LIMIT_SECONDS = 4.7
LOOK_SECONDS = 0.05
"""How often limits are looked at, so by how much one may be passed."""
_KEPT = "limit"


class Limit:
    """The limit of a block; raises `TimeoutError` where that is reached before its end."""

    __slots__ = ("_cancelling", "_reached", "_task", "_watch", "until")

    def __init__(self, watch: "_Watch", seconds: float) -> None:
        self._watch = watch
        self._reached = False
        self.until: float | None = watch.loop.time() + seconds
        """When it is reached, by the loop's clock; None: never."""

    def __enter__(self) -> "Limit":
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._watch.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._watch.open.discard(self)
        # Whoever else cancelled the task meant more than this block.
        if self._reached and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def look(self, now: float) -> None:
        """End the block where its limit is reached."""
        if self.until is not None and self.until <= now and not self._reached:
            self._reached = True
            self._task.cancel()


class _Watch:
    """The limits of a loop that are not reached yet, looked at while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.open: set[Limit] = set()
        self._looks = False

    def add(self, limit: Limit) -> None:
        self.open.add(limit)
        if not self._looks:
            self._looks = True
            self.loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        for limit in tuple(self.open):
            limit.look(now)
        self._looks = bool(self.open)
        if self._looks:
            self.loop.call_later(LOOK_SECONDS, self._look)


_watches: list[_Watch] = []
"""That of the loop which asked last; a process has one loop."""


def _watch() -> _Watch:
    loop = asyncio.get_running_loop()
    if not _watches or _watches[0].loop is not loop:
        _watches[:] = [_Watch(loop)]
    return _watches[0]


def limited(request: Request) -> Limit:
    """The limit of a request until the block ends."""
    limit = Limit(_watch(), LIMIT_SECONDS)
    request.scope.setdefault("state", {})[_KEPT] = limit
    return limit


def lift(request: Request) -> None:
    """Let a request take as long as it takes."""
    limit: Limit | None = request.scope["state"].pop(_KEPT, None)
    if limit is not None:
        limit.until = None


def unhurried(request: Request) -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    """What receives the parts of a request; the time that the sender takes for them does not count."""
    limit: Limit | None = request.scope.get("state", {}).get(_KEPT)
    if limit is None or limit.until is None:
        return request.receive
    loop, until = asyncio.get_running_loop(), limit.until

    async def receive() -> MutableMapping[str, Any]:
        nonlocal until
        began = loop.time()
        limit.until = None
        message = await request.receive()
        until += loop.time() - began
        limit.until = until
        return message

    return receive
