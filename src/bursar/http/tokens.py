"""Tokens looked up once for some seconds, where the requests that carry them see for themselves whether they ended."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from bursar.accounts.tokens import Access, authenticate
from bursar.db.database import Database
from bursar.http.auth import allowed, bearer
from bursar.http.repeat import HEADER

REMEMBER = timedelta(seconds=10)
"""How long the look-up of a token serves requests that are only done where it still opens what they need."""
TOKENS_LIMIT = 10_000


class Tokens:
    """What tokens opened a moment ago: for requests whose own transaction sees that one was revoked or has expired."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[datetime, Access]] = {}

    def kept(self, request: Request) -> Access | None:
        """What the token of a request opened; None for one with a key, which may be answered without a transaction."""
        if HEADER in request.headers:
            return None
        kept = self._kept.get(bearer(request))
        return kept[1] if kept is not None and datetime.now(UTC) - kept[0] < REMEMBER else None

    async def looked_up(self, db: Database, request: Request) -> Access:
        """What the token of a request opens now. Raises `Unauthenticated`."""
        text, wall = bearer(request), datetime.now(UTC)
        access = await authenticate(db, text, wall)
        if len(self._kept) >= TOKENS_LIMIT:
            self._kept.clear()
        self._kept[text] = (wall, access)
        return access


async def admit_kept(services: Mapping[type, Any], request: Request, scope: str) -> Access:
    """As `auth.admit`, for a request whose own transaction sees that its token has ended.

    The times of the caller are of some seconds ago.
    """
    tokens: Tokens = services[Tokens]
    return allowed(tokens.kept(request) or await tokens.looked_up(services[Database], request), scope)
