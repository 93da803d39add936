"""API tokens: made, listed without their secrets, replaced, ended."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from bursar.accounts import tokens
from bursar.core.period import utc
from bursar.http.door import Answer, Body, Call, Query
from bursar.http.native.door import door

TAG = "Tokens"
PAGE_LIMIT = 100
Limit = Annotated[int, Meta(ge=0, le=tokens.RATE_LIMIT)]


class TokenAnswer(Answer, kw_only=True):
    """A token. Its text is shown once, when it is made; `prefix` is how the text begins and names the token."""

    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    token: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute."""
    rate_limit: int | None = None
    """Requests per minute; 0: no limit; left out: the server's default."""


class TokenPage(Answer, kw_only=True):
    """A page of tokens, oldest first."""

    tokens: list[TokenAnswer]
    next: str | None
    """Send it as `after` for the tokens that follow; null where there are none."""


class TokensQuery(Query, kw_only=True):
    """Which page."""

    after: Annotated[str, Meta(max_length=20)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class CreateToken(Body, kw_only=True):
    """A token to make; all scopes where none are given."""

    name: Annotated[str, Meta(min_length=1, max_length=tokens.NAME_LIMIT)]
    scopes: Annotated[list[str], Meta(min_length=1, max_length=len(tokens.SCOPES))] | None = None
    expires_at: datetime | None = None
    rate_limit: Limit | None = None


class RotateToken(Body, kw_only=True):
    """For how long the old token still works, and when the new one ends."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=int(tokens.OVERLAP.total_seconds()))] = 86_400
    expires_at: datetime | None = None


@door.operation(
    "POST", "/bursar/v1/tokens", id="createToken", tag=TAG, summary="Make a token; its text is shown only now",
    status=201, scope="admin", body=CreateToken, answer=TokenAnswer,
)  # fmt: skip
async def create_token(call: Call, body: CreateToken) -> TokenAnswer:
    """Make a token."""
    async with call.db.transaction(call.caller.workspace) as connection:
        text, token = await tokens.create_token(
            connection,
            call.caller,
            body.name,
            scopes=tokens.FULL if body.scopes is None else frozenset(body.scopes),
            expires_at=utc(body.expires_at) if body.expires_at else None,
            rate_limit=body.rate_limit,
        )
    return _shape(token, text)


@door.operation(
    "GET", "/bursar/v1/tokens", id="listTokens", tag=TAG, summary="List tokens without their secrets", scope="admin",
    query=TokensQuery, answer=TokenPage,
)  # fmt: skip
async def list_tokens(call: Call, query: TokensQuery) -> TokenPage:
    """List tokens."""
    async with call.db.reading(call.caller.workspace) as connection:
        page = await tokens.list_tokens(connection, call.caller, query.after, query.limit)
    return TokenPage(tokens=[_shape(token) for token in page.items], next=page.after)


@door.operation(
    "POST", "/bursar/v1/tokens/{token}/rotate", id="rotateToken", tag=TAG,
    summary="Replace a token by a successor, beside which it works for a while", status=201, scope="admin",
    body=RotateToken, answer=TokenAnswer,
)  # fmt: skip
async def rotate_token(call: Call, body: RotateToken) -> TokenAnswer:
    """Replace a token."""
    overlap = timedelta(seconds=body.overlap_seconds)
    until = utc(body.expires_at) if body.expires_at else None
    async with call.db.transaction(call.caller.workspace) as connection:
        text, token, _ = await tokens.rotate_token(connection, call.caller, call.path["token"], overlap, until)
    return _shape(token, text)


@door.operation(
    "DELETE", "/bursar/v1/tokens/{token}", id="revokeToken", tag=TAG, summary="End a token at once", scope="admin",
    answer=TokenAnswer,
)  # fmt: skip
async def revoke_token(call: Call) -> TokenAnswer:
    """End a token."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await tokens.revoke_token(connection, call.caller, call.path["token"]))


def _shape(token: tokens.Token, text: str | None = None) -> TokenAnswer:
    return TokenAnswer(
        name=token.name,
        prefix=token.prefix,
        scopes=list(token.scopes),
        created_at=token.created_at,
        token=text,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        rate_limit=token.rate_limit,
    )
