"""`POST /authenticate` of the Togai dialect."""

from datetime import UTC, datetime

from bursar.accounts.tokens import authenticate, issue_jwt
from bursar.http.auth import bearer
from bursar.http.door import Answer, Call
from bursar.http.togai.door import door


class TokenResponse(Answer, kw_only=True):
    """A bearer token."""

    token: str


@door.operation(
    "POST",
    "/authenticate",
    id="authenticate",
    tag="Authentication",
    summary="Get a bearer token that is valid for 24 hours",
    answer=TokenResponse,
)
async def authenticate_(call: Call) -> TokenResponse:
    """A JWT for an API token; a JWT comes back as it is."""
    presented = bearer(call.request)
    access = await authenticate(call.db, presented, datetime.now(UTC))
    return TokenResponse(token=await issue_jwt(call.db, access, presented))
