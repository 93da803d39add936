"""The Togai door: its table, its one form of an error, its pages."""

import base64
import binascii
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.responses import Response

from bursar.core.errors import Invalid
from bursar.http.door import Answer, Door, Failure, Query
from bursar.http.encode import answer

MESSAGE_LIMIT = 500
TOKEN_LIMIT = 500

S = TypeVar("S", bound=Query)


class ErrorResponse(Answer):
    """What went wrong, in one sentence."""

    message: str


class Success(Answer):
    """The answer of commands that have nothing else to say."""

    success: bool


class PaginationOptions(Answer):
    """How a list was cut."""

    page_size: int
    sort_order: str


class PageQuery(Query):
    """How to cut a list."""

    next_token: Annotated[str, msgspec.Meta(max_length=TOKEN_LIMIT)] | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None


class MixedPageQuery(Query, kw_only=True, rename=None):
    """How to cut a list whose other parameters are in snake_case on the wire."""

    nextToken: Annotated[str, msgspec.Meta(max_length=TOKEN_LIMIT)] | None = None  # noqa: N815 - as the wire has it
    pageSize: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None  # noqa: N815 - as the wire has it

    @property
    def next_token(self) -> str | None:
        """The bookmark, by the name that lists use."""
        return self.nextToken

    @property
    def page_size(self) -> int | None:
        """The size, by the name that lists use."""
        return self.pageSize


def _failure(reason: Failure) -> Response:
    return answer(ErrorResponse(message=reason.message[:MESSAGE_LIMIT]), reason.status)


door = Door(
    name="togai",
    title="Bursar: Togai API",
    description="The Togai billing API, served by Bursar.",
    failure=_failure,
    error=ErrorResponse,
)


def open_token(query: S, *, default: int = 20) -> tuple[S, str | None, int]:
    """The query of a list, the bookmark to continue after, and the page size.

    A `nextToken` carries the query that it was made for, so other parameters need not be repeated with it.
    """
    token = getattr(query, "next_token", None)
    if token is None:
        return query, None, getattr(query, "page_size", None) or default
    try:
        content = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        after, fields = content["after"], content["query"]
        stored = msgspec.convert(fields, type(query))
    except (binascii.Error, ValueError, KeyError, TypeError, msgspec.MsgspecError):
        raise Invalid("nextToken", "is not a token of this list") from None
    if not isinstance(after, str) or "\x00" in token or "\x00" in after:
        raise Invalid("nextToken", "is not a token of this list")
    size = getattr(query, "page_size", None) or getattr(stored, "page_size", None) or default
    return stored, after, size


def seal_token(query: Query, after: str | None, size: int) -> str | None:
    """The `nextToken` that continues `query` after a bookmark; None at the end of the list."""
    if after is None:
        return None
    fields: dict[str, Any] = {
        key: value
        for key, value in msgspec.to_builtins(query).items()
        if value is not None and key not in {"nextToken", "pageSize"}
    } | {"pageSize": size}
    content = msgspec.json.encode({"after": after, "query": fields})
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
