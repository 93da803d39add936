"""Statements of a carrier's accounts: what its own door cannot say of them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from bursar.core.errors import NotFound
from bursar.http.door import Answer, Call, Query
from bursar.http.native.door import door
from bursar.invoicing import statements, stating

TAG = "Statements"
PAGE_LIMIT = 200
_DIGITS = 18


class FailuresQuery(Query, kw_only=True):
    """Which failures to list."""

    after: Annotated[str, Meta(max_length=20)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class StatementFailure(Answer, kw_only=True):
    """An account whose next statement cannot be made as things stand."""

    account_id: str
    statement_account: int
    """The account's number at the carrier's door."""
    ends_at: datetime
    """Where the statement would end."""
    error: str
    recorded_at: datetime


class FailurePage(Answer, kw_only=True):
    """A page of failures."""

    failures: list[StatementFailure]
    next: str | None
    """Send it as `after` for the failures that follow; null where there are none."""


@door.operation(
    "POST",
    "/bursar/v1/statements/{statement_number}/approve",
    id="approveStatement",
    tag=TAG,
    summary="Approve a filled statement, named by its number at the carrier's door",
    status=204,
    scope="write",
)
async def approve_statement(call: Call) -> Response:
    """Approve a statement."""
    given = call.path["statement_number"]
    if not (given.isascii() and given.isdigit() and len(given) <= _DIGITS):
        raise NotFound("statement", given)
    async with call.db.transaction(call.caller.workspace) as connection:
        await statements.approve_statement(connection, call.caller, int(given))
    return Response(status_code=204)


@door.operation(
    "GET",
    "/bursar/v1/statements/failures",
    id="listStatementFailures",
    tag=TAG,
    summary="List accounts whose next automatic statement cannot be made, and why",
    query=FailuresQuery,
    answer=FailurePage,
)
async def list_failures(call: Call, query: FailuresQuery) -> FailurePage:
    """List failures."""
    async with call.db.reading(call.caller.workspace) as connection:
        page = await stating.list_failures(connection, call.caller.workspace, query.after, query.limit)
    return FailurePage(
        failures=[
            StatementFailure(
                account_id=failure.account,
                statement_account=failure.number,
                ends_at=failure.ends_at,
                error=failure.error,
                recorded_at=failure.recorded_at,
            )
            for failure in page.items
        ],
        next=page.after,
    )
