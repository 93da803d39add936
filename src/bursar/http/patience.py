"""How long a request may take: every wait for PostgreSQL has a limit of its own, and their sum has this one."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request

LIMIT_SECONDS = 4.7
_KEPT = "limit"


def limited(request: Request) -> asyncio.Timeout:
    """The limit of a request until the block ends; raises `TimeoutError` where it is reached before."""
    limit = asyncio.timeout(LIMIT_SECONDS)
    request.scope.setdefault("state", {})[_KEPT] = limit
    return limit


def lift(request: Request) -> None:
    """Let a request take as long as it takes."""
    limit: asyncio.Timeout | None = request.scope["state"].pop(_KEPT, None)
    if limit is not None:
        limit.reschedule(None)


def unhurried(request: Request) -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    """What receives the parts of a request; the time that the sender takes for them does not count."""
    limit: asyncio.Timeout | None = request.scope.get("state", {}).get(_KEPT)
    until = limit.when() if limit is not None else None
    if limit is None or until is None:
        return request.receive
    loop = asyncio.get_running_loop()

    async def receive() -> MutableMapping[str, Any]:
        nonlocal until
        began = loop.time()
        limit.reschedule(None)
        message = await request.receive()
        until += loop.time() - began
        limit.reschedule(until)
        return message

    return receive
