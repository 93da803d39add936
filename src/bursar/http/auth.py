"""Who sends a request: a bearer token, or the same token as `X-API-Key`."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request

from bursar.accounts.tokens import Access, authenticate
from bursar.core.errors import Forbidden, Unauthenticated
from bursar.db.database import Database
from bursar.http.limits import Limiter, TooMany


def bearer(request: Request) -> str:
    """The token that a request carries. Raises `Unauthenticated` where there is none."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    token = request.headers.get("x-api-key", "").strip()
    if not token:
        raise Unauthenticated
    return token


async def admit(services: Mapping[type, Any], request: Request, scope: str, wall: datetime) -> Access:
    """The access of a request's token, which must have `scope`."""
    return allowed(await authenticate(services[Database], bearer(request), wall), scope)


def allowed(access: Access, scope: str) -> Access:
    """The access, which must have `scope`. Raises `Forbidden`."""
    if not access.allows(scope):
        raise Forbidden(f"the token lacks the scope '{scope}'")
    return access


def count(limiter: Limiter, access: Access) -> dict[str, str]:
    """Count one request of a token; returns the headers that tell where it stands. Raises `TooMany`."""
    if access.token is None:
        return {}
    standing = limiter.take(access.token, access.rate_limit, time.monotonic())
    if standing is None:
        return {}
    if not standing.allowed:
        raise TooMany(max(1, -int(-standing.wait // 1)), standing.headers())
    return standing.headers()
