"""A door is a dialect's table of operations: what each takes, what it answers, which scope it needs.

The table is the single source for routing, decoding and the OpenAPI document.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import Any, TypeVar, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bursar.accounts.tokens import Access
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.http import auth

Handler = Callable[..., Awaitable[object]]
H = TypeVar("H", bound=Handler)


class Query(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of query parameter declarations: every field is optional text, number, boolean or instant."""


class Body(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of request bodies: camelCase on the wire, unknown fields refused."""


class Answer(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """Base of answers: camelCase on the wire; an optional field that is None is left out."""


class Call(msgspec.Struct, frozen=True):
    """One request, authenticated and decoded."""

    db: Database
    caller: Caller
    scopes: frozenset[str]
    token: int | None
    """Key of the token; None where the operation is open to everyone."""
    path: Mapping[str, str]
    """Path parameters, percent-decoded."""
    request: Request
    services: Mapping[type, Any]
    """What the process keeps running for its requests (the ingest pipeline ...), by type."""
    access: Access | None = None
    """What the request's token opens; None where the operation is open to everyone."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of a door's table. A body of type `bytes` is handed over as it came."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    status: int
    scope: str | None
    body: Any
    answer: Any
    query: type[Query] | None
    handler: Handler
    repeatable: bool
    """Whether doing it twice is as doing it once, so that it may have transactions of its own under one key."""
    media: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What bodies may be, by media type, where the handler reads them itself."""
    sees_tokens_end: bool = False
    """Whether what it does is only done where the token is still in force then: it need not be looked up before."""

    @property
    def may_be_empty(self) -> bool:
        """Whether a request without a body is as good as one with `null`."""
        return NoneType in get_args(self.body)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, ready to be put into a dialect's form."""

    status: int
    message: str
    field: str | None = None
    retry_after: int | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(slots=True)
class Door:
    """A dialect: its operations, its form of an error, and how strict it is about query parameters."""

    name: str
    title: str
    description: str
    failure: Callable[[Failure], Response]
    error: type[msgspec.Struct]
    """The body of an error answer, for the OpenAPI document."""
    error_type: str = "application/json"
    """The media type of an error answer."""
    refuse_unknown_query: bool = False
    hide_methods: bool = False
    """Whether a method that a path does not have is answered as an unknown path."""
    admit: Callable[[Mapping[type, Any], Request, str, datetime], Awaitable[Access]] = auth.admit
    """The access of a request, which must have a scope, at a wall time; from what the process keeps, by type."""
    refuse: Callable[[Exception], Response | None] = lambda _: None
    """The answer for errors that the dialect has forms of its own for; None: `failure` answers."""
    finish: Callable[[Request, Response, float], Response] = lambda _, response, __: response
    """Puts the last touch on each answer, headers for instance; the third is when the request came (`perf_counter`)."""
    document: Callable[["Door"], dict[str, Any]] | None = None
    """Makes the OpenAPI document where the types of bodies and answers do not tell it."""
    operations: list[Operation] = dataclasses.field(default_factory=list)

    def operation(
        self,
        method: str,
        path: str,
        *,
        id: str,  # noqa: A002 - OpenAPI calls it so
        tag: str,
        summary: str,
        status: int = 200,
        scope: str | None = "read",
        body: Any = None,
        answer: Any = None,
        query: type[Query] | None = None,
        repeatable: bool = False,
        media: Mapping[str, Any] | None = None,
        sees_tokens_end: bool = False,
    ) -> Callable[[H], H]:
        """Add a handler to the table.

        The handler is called with the `Call`, then `body=` and `query=` where declared, and returns an answer to
        encode as JSON, or a Starlette response. `scope` None leaves the operation open to everyone. Under an
        idempotency key all its transactions by `call.db` are one, unless it is `repeatable`. One that
        `sees_tokens_end` makes sure of that itself; the caller's times may be of some seconds ago.
        """

        def add(handler: H) -> H:
            row = Operation(
                method, path, id, tag, summary, status, scope, body, answer, query, handler, repeatable, media or {},
                sees_tokens_end,
            )  # fmt: skip
            self.operations.append(row)
            return handler

        return add
