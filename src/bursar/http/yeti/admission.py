"""Who sends a request to the carrier's doors."""

from datetime import datetime

from starlette.requests import Request

from bursar.accounts.tokens import Access, authenticate
from bursar.core.errors import Forbidden, Unauthenticated
from bursar.db.database import Database


def presented(request: Request) -> str:
    """The token that a request carries: `token` in the query, else the last word of `Authorization`.

    Raises `Unauthenticated` where there is none.
    """
    token = request.query_params.get("token") or request.headers.get("authorization", "")
    words = token.split()
    if not words:
        raise Unauthenticated
    return words[-1]


async def admit(db: Database, request: Request, scope: str, wall: datetime) -> Access:
    """The access of a request's token, which must have `scope`. Raises `Unauthenticated` or `Forbidden`."""
    access = await authenticate(db, presented(request), wall)
    if not access.allows(scope):
        raise Forbidden(f"the token lacks the scope '{scope}'")
    return access


async def admit_customer(db: Database, request: Request, scope: str, wall: datetime) -> Access:
    """The access of a customer's login. Raises `Unauthenticated`: our own tokens are not of a single customer."""
    presented(request)
    raise Unauthenticated
