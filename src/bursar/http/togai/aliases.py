"""Aliases in the Togai dialect."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from bursar.accounts import names
from bursar.db.database import Row
from bursar.http.door import Answer, Body, Call
from bursar.http.togai.door import PageQuery, Success, door, open_token, seal_token

TAG = "Aliases"


class CreateAliasRequest(Body, kw_only=True):
    """One alias value."""

    value: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\.{1,2}$)")]


class CreateBulkAliasRequest(Body, kw_only=True):
    """Alias values to make."""

    aliases: Annotated[list[CreateAliasRequest], Meta(min_length=1, max_length=100)]


class AliasValueShape(Answer, kw_only=True):
    """An alias value."""

    value: str
    created_at: datetime


class AliasPaginatedResponse(Answer, kw_only=True):
    """A page of alias values."""

    data: list[AliasValueShape]
    next_token: str | None


@door.operation(
    "POST",
    "/aliases",
    id="createAlias",
    tag=TAG,
    summary="Create aliases",
    status=201,
    scope="write",
    body=CreateBulkAliasRequest,
    answer=AliasPaginatedResponse,
)
async def create_alias(call: Call, body: CreateBulkAliasRequest) -> AliasPaginatedResponse:
    """Make alias values known."""
    async with call.db.transaction(call.caller.workspace) as connection:
        made = await names.make_aliases(connection, call.caller, [alias.value for alias in body.aliases])
    return AliasPaginatedResponse(data=[_shape(row) for row in made], next_token=None)


@door.operation(
    "GET",
    "/aliases",
    id="listAliases",
    tag=TAG,
    summary="List all aliases",
    query=PageQuery,
    answer=AliasPaginatedResponse,
)
async def list_aliases(call: Call, query: PageQuery) -> AliasPaginatedResponse:
    """List alias values."""
    query, after, size = open_token(query)
    async with call.db.transaction(call.caller.workspace) as connection:
        page = await names.list_aliases(connection, call.caller.workspace, after, size)
    return AliasPaginatedResponse(
        data=[_shape(row) for row in page.items], next_token=seal_token(query, page.after, size)
    )


@door.operation("GET", "/aliases/{alias}", id="getAlias", tag=TAG, summary="Get an alias", answer=AliasValueShape)
async def get_alias(call: Call) -> AliasValueShape:
    """Read an alias value."""
    async with call.db.transaction(call.caller.workspace) as connection:
        return _shape(await names.get_alias(connection, call.caller.workspace, call.path["alias"]))


@door.operation(
    "DELETE", "/aliases/{alias}", id="deleteAlias", tag=TAG, summary="Delete an alias", scope="write", answer=Success
)
async def delete_alias(call: Call) -> Success:
    """Forget an alias value."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await names.delete_alias(connection, call.caller, call.path["alias"])
    return Success(success=True)


def _shape(row: Row) -> AliasValueShape:
    return AliasValueShape(value=row["value"], created_at=row["created_at"])
