"""The operations that follow from a resource's declaration."""

import dataclasses
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import Response

from bursar.core.errors import BursarError, Invalid, NotFound, Rejected, WrongState
from bursar.db.database import Connection
from bursar.db.gathering import Gathered
from bursar.http.door import Call, Door
from bursar.http.plain import PlainResponse
from bursar.http.yeti import jsonapi_documents as documents
from bursar.http.yeti import jsonapi_errors as errors
from bursar.http.yeti.jsonapi import Condition, Listing, Relationship, Resource, ToMany, ToOne, Turn, dashed
from bursar.http.yeti.jsonapi_documents import Given, check_media_types
from bursar.http.yeti.jsonapi_errors import MEDIA_TYPE, problems_of, rejections
from bursar.http.yeti.jsonapi_output import Writer, encode, fetch, identity_of, origin, read
from bursar.http.yeti.jsonapi_queries import Wanted, identifier, read_query, underscored


@dataclass(slots=True)
class ResourceDoor(Door):
    """A door of resources below a path."""

    base: str = ""
    resources: dict[str, Resource] = dataclasses.field(default_factory=dict)
    """By type."""
    made: dict[str, tuple[Resource, str, Relationship | None]] = dataclasses.field(default_factory=dict)
    """What each operation does: to which resource, which action, by which relationship."""
    queries: dict[tuple[str, bool, bytes], Wanted] = dataclasses.field(default_factory=dict)
    """Queries that were read of late, by type and whether they are of a list."""

    def add(self, resource: Resource) -> Resource:
        """Offer a resource with everything that its declaration says; returns it."""
        self.resources[resource.type] = resource
        if resource.at:
            self._add("PUT", resource.at, resource, "replace", self._change, body=bytes, scope="write")
            self._add("PATCH", resource.at, resource, "update", self._change, body=bytes, scope="write")
            return resource
        one = f"/{resource.segment}/{{{parameter(resource)}}}"
        if resource.list is not None:
            self._add("GET", f"/{resource.segment}", resource, "list", self._list)
            self._add("GET", one, resource, "show", self._show)
        if resource.create is not None:
            path = f"/{resource.segment}"
            self._add("POST", path, resource, "create", self._create, status=201, body=bytes, scope="write")
        if resource.update is not None:
            self._add("PATCH", one, resource, "update", self._change, body=bytes, scope="write")
            self._add("PUT", one, resource, "replace", self._change, body=bytes, scope="write")
        if resource.delete is not None:
            self._add("DELETE", one, resource, "delete", self._delete, status=204, scope="write")
        if resource.list is not None:
            for relationship in resource.relationships.values():
                self._relate(resource, relationship, one)
        return resource

    def _relate(self, resource: Resource, relationship: Relationship, one: str) -> None:
        name = dashed(relationship.name)
        add = partial(self._add, resource=resource, relationship=relationship)
        add("GET", f"{one}/{name}", action="showRelated", handler=self._related)
        path = f"{one}/relationships/{name}"
        add("GET", path, action="showLinkage", handler=self._linkage)
        if resource.update is None:
            return
        for method, action in (("PATCH", "updateLinkage"), ("PUT", "replaceLinkage"), ("DELETE", "deleteLinkage")):
            add(method, path, action=action, handler=self._relink, status=204, body=bytes, scope="write")
        if isinstance(relationship, ToMany):
            add("POST", path, action="addLinkage", handler=self._relink, status=204, body=bytes, scope="write")

    def _add(
        self,
        method: str,
        path: str,
        resource: Resource,
        action: str,
        handler: Callable[..., Awaitable[Response]],
        *,
        relationship: Relationship | None = None,
        status: int = 200,
        scope: str = "read",
        body: Any = None,
    ) -> None:
        of = "" if relationship is None else f"-{dashed(relationship.name)}"
        name = f"{self.name}-{action}-{resource.type}{of}"
        self.made[name] = (resource, action, relationship)
        bound = partial(handler, resource) if relationship is None else partial(handler, resource, relationship)
        self.operation(
            method, self.base + path, id=name, tag=resource.type, summary=_summary(resource, action, relationship),
            status=status, scope=scope, body=body,
        )(bound)  # fmt: skip

    # Reading --------------------------------------------------------------------------------------------------------

    async def _list(self, resource: Resource, call: Call) -> Response:
        check_media_types(call.request, body=False)
        wanted = self._asked(call, resource, listed=True)
        list_rows = resource.list
        assert list_rows is not None

        async def work(connection: Connection) -> Response:
            turn = Turn(connection, call)
            found = await list_rows(turn, wanted.listing)
            return _answer(await self._writer(turn, wanted).many(resource, found, _url(call)))

        return await _read(call, wanted, work)

    async def _show(self, resource: Resource, call: Call) -> Response:
        check_media_types(call.request, body=False)
        wanted = self._wanted(call, resource)
        identity = identifier(resource, call.path[parameter(resource)])
        if resource.alike and not wanted.include:
            row = await self._gathered(call, resource, identity)
            # Nothing is to be included, so nothing more is read.
            return _answer(await self._writer(_unconnected(call), wanted).one(resource, row))

        async def work(connection: Connection) -> Response:
            turn = Turn(connection, call)
            row = await self._row(turn, resource, identity)
            return _answer(await self._writer(turn, wanted).one(resource, row))

        return await _read(call, wanted, work)

    async def _related(self, resource: Resource, relationship: Relationship, call: Call) -> Response:
        check_media_types(call.request, body=False)
        target = self.resources.get(relationship.type)
        if target is None or target.list is None:
            raise NotFound("path", call.request.url.path)
        several = isinstance(relationship, ToMany)
        items = call.request.query_params.multi_items()
        wanted = read_query(items, target, self.resources, listed=several)
        identity = identifier(resource, call.path[parameter(resource)])
        async with call.db.reading(call.caller.workspace) as connection:
            turn = Turn(connection, call)
            row = await self._row(turn, resource, identity)
            writer = self._writer(turn, wanted)
            if isinstance(relationship, ToMany):
                condition = await _members(turn, relationship, read(row, "id"))
                listing = dataclasses.replace(wanted.listing, conditions=(condition, *wanted.listing.conditions))
                return _answer(await writer.many(target, await target.list(turn, listing), _url(call)))
            key = read(row, relationship.column)
            others = [] if key is None else await fetch(turn, target, [Condition("id", "eq", (key,))])
            return _answer(await writer.one(target, others[0] if others else None))

    async def _linkage(self, resource: Resource, relationship: Relationship, call: Call) -> Response:
        check_media_types(call.request, body=False)
        identity = identifier(resource, call.path[parameter(resource)])
        async with call.db.reading(call.caller.workspace) as connection:
            turn = Turn(connection, call)
            row = await self._row(turn, resource, identity)
            data: Any
            if isinstance(relationship, ToOne):
                data = identity_of(relationship.type, read(row, relationship.column))
            else:
                keys = await self._keys(turn, relationship, read(row, "id"))
                data = [identity_of(relationship.type, key) for key in keys]
            itself = self._writer(turn, Wanted()).link(resource, read(row, "id"))
        name = dashed(relationship.name)
        links = {"self": f"{itself}/relationships/{name}", "related": f"{itself}/{name}"}
        return _answer(encode({"data": data, "links": links}))

    # Writing --------------------------------------------------------------------------------------------------------

    async def _create(self, resource: Resource, call: Call, body: bytes) -> Response:
        check_media_types(call.request, body=True)
        document = documents.read_document(body)
        wanted = self._wanted(call, resource)
        given = documents.read_create(document, resource, self.resources)
        create, apart = resource.create, resource.create_apart
        assert create is not None

        async def work(connection: Connection) -> Response:
            turn = Turn(connection, call)
            made = await _perform(resource, given, lambda: create(turn, given.values))
            return await self._created(turn, resource, wanted, await self._found(turn, resource, made))

        if apart is None or given.problems or wanted.include:
            return await call.db.run(call.caller.workspace, work)
        row = await _perform(resource, given, lambda: apart(call, given.values))
        return await self._created(_unconnected(call), resource, wanted, row)

    async def _created(self, turn: Turn, resource: Resource, wanted: Wanted, row: Any) -> Response:
        writer = self._writer(turn, wanted)
        response = _answer(await writer.one(resource, row), 201)
        response.raw_headers.append((b"location", writer.link(resource, read(row, "id")).encode()))
        return response

    async def _change(self, resource: Resource, call: Call, body: bytes) -> Response:
        check_media_types(call.request, body=True)
        document = documents.read_document(body)
        wanted = self._wanted(call, resource)
        at = None if resource.at else call.path[parameter(resource)]
        key, given = documents.read_update(document, resource, self.resources, at)
        identity = identifier(resource, key)
        update = resource.update
        assert update is not None

        async def work(connection: Connection) -> Response:
            turn = Turn(connection, call, given.unread)
            changed = await _perform(resource, given, lambda: update(turn, identity, given.values))
            row = await self._found(turn, resource, changed)
            return _answer(await self._writer(turn, wanted).one(resource, row))

        return await call.db.run(call.caller.workspace, work)

    async def _delete(self, resource: Resource, call: Call) -> Response:
        check_media_types(call.request, body=False)
        identity = identifier(resource, call.path[parameter(resource)])
        delete = resource.delete
        assert delete is not None

        async def work(connection: Connection) -> Response:
            await _perform(resource, Given(), lambda: delete(Turn(connection, call), identity))
            return Response(status_code=204)

        return await call.db.run(call.caller.workspace, work)

    async def _relink(self, resource: Resource, relationship: Relationship, call: Call, body: bytes) -> Response:
        method = call.request.method
        check_media_types(call.request, body=method != "DELETE")
        required = method != "DELETE" or isinstance(relationship, ToMany)
        document = documents.read_document(body) if required else {}
        sent = documents.read_linkage(document, resource, relationship, self.resources, required=required)
        if isinstance(relationship, ToMany) and method in ("PATCH", "PUT"):
            raise errors.replacement_forbidden()
        identity = identifier(resource, call.path[parameter(resource)])
        update = resource.update
        assert update is not None

        async def work(connection: Connection) -> Response:
            turn = Turn(connection, call)
            value = sent
            if isinstance(relationship, ToMany):
                row = await self._row(turn, resource, identity)
                value = _members_after(method, await self._keys(turn, relationship, read(row, "id")), sent)
            await _perform(resource, Given(), lambda: update(turn, identity, {relationship.name: value}))
            return Response(status_code=204)

        return await call.db.run(call.caller.workspace, work)

    # Shared ---------------------------------------------------------------------------------------------------------

    def _wanted(self, call: Call, resource: Resource) -> Wanted:
        return self._asked(call, resource, listed=False) if call.request.scope["query_string"] else _NOTHING

    def _asked(self, call: Call, resource: Resource, *, listed: bool) -> Wanted:
        """The query of a request; those of late are remembered, unless a token is in them."""
        text: bytes = call.request.scope["query_string"]
        place = (resource.type, listed, text)
        wanted = self.queries.get(place)
        if wanted is None:
            items = call.request.query_params.multi_items()
            wanted = read_query(items, resource, self.resources, listed=listed)
            if len(text) <= QUERY_REMEMBERED and all(name != "token" for name, _ in items):
                if len(self.queries) >= QUERIES_LIMIT:
                    self.queries.clear()
                self.queries[place] = wanted
        return wanted

    async def _gathered(self, call: Call, resource: Resource, identity: Any) -> Any:
        """The row of an id, read together with those that others ask for. Raises `Refused` (404)."""

        async def rows(connection: Connection, identities: Sequence[Any]) -> Mapping[Any, Any]:
            turn = Turn(connection, call)
            found = await fetch(turn, resource, [Condition("id", "in", tuple(identities))])
            return {read(row, "id"): row for row in found}

        gathered: Gathered = call.services[Gathered]
        kind = (self.name, resource.type, call.caller.timezone)
        row = await gathered.ask(call.db, call.caller.workspace, kind, identity, rows)
        if row is None:
            raise errors.missing_record(identity)
        return row

    def _writer(self, turn: Turn, wanted: Wanted) -> Writer:
        return Writer(turn, self.resources, origin(turn.call.request) + self.base, wanted)

    async def _row(self, turn: Turn, resource: Resource, identity: Any) -> Any:
        """The row of an id. Raises `Refused` (404)."""
        if resource.show is not None:
            return await resource.show(turn, identity)
        rows = await fetch(turn, resource, [Condition("id", "eq", (identity,))])
        if not rows:
            raise errors.missing_record(identity)
        return rows[0]

    async def _found(self, turn: Turn, resource: Resource, answered: Any) -> Any:
        """The row that a command answered, itself or by its id."""
        if isinstance(answered, int | str | uuid.UUID):
            return await self._row(turn, resource, answered)
        return answered

    async def _keys(self, turn: Turn, relationship: ToMany, identity: Any) -> list[Any]:
        """The ids of all members of a to-many relationship."""
        target = self.resources[relationship.type]
        return [read(row, "id") for row in await fetch(turn, target, [await _members(turn, relationship, identity)])]


_NOTHING = Wanted(listing=Listing())
QUERIES_LIMIT = 500
QUERY_REMEMBERED = 200
"""Bytes of the longest query that is remembered once it is read."""


def _unconnected(call: Call) -> Turn:
    """A turn in which nothing more is read."""
    return Turn(None, call)  # type: ignore[arg-type]


async def _read(call: Call, wanted: Wanted, work: Callable[[Connection], Awaitable[Response]]) -> Response:
    """What `work` answers; what is to be included takes statements of its own, which must see the same instant."""
    if not wanted.include:
        return await call.db.ask(call.caller.workspace, work)
    async with call.db.reading(call.caller.workspace) as connection:
        return await work(connection)


def parameter(resource: Resource) -> str:
    """The name of the id in a resource's paths."""
    return f"{underscored(resource.type)}_id"


async def _members(turn: Turn, relationship: ToMany, identity: Any) -> Condition:
    """The condition that members of a to-many relationship meet."""
    if relationship.keys is None:
        return Condition(relationship.inverse, "eq", (identity,))
    return Condition("id", "in", tuple((await relationship.keys(turn, [identity])).get(identity, ())))


def _members_after(method: str, present: list[Any], sent: list[Any]) -> list[Any]:
    """The members once `sent` are added or taken away."""
    if method == "POST":
        for key in sent:
            if key in present:
                raise errors.relation_exists(key)
        return [*present, *sent]
    for key in sent:
        if key not in present:
            raise errors.missing_record(key)
    return [key for key in present if key not in sent]


async def _perform(resource: Resource, given: Given, command: Callable[[], Awaitable[Any]]) -> Any:
    """What a command answers. Raises `Refused` with all that it and the reading of the values found wrong."""
    try:
        answered = await command()
    except (Rejected, Invalid, WrongState) as error:
        raise _told(resource, given, error) from error
    if given.problems:
        raise _told(resource, given, Rejected(()))
    return answered


def _told(resource: Resource, given: Given, error: BursarError) -> errors.Refused:
    problems = [*given.problems, *((name, rule) for name, rule in problems_of(error) if name not in given.unread)]
    last = len(resource.rank)
    problems.sort(key=lambda problem: resource.rank.get(problem[0], last if problem[0] else last + 1))
    return rejections(problems, frozenset(resource.relationships))


def _answer(document: bytes, status: int = 200) -> Response:
    return PlainResponse(document, status, MEDIA_TYPE)


def _url(call: Call) -> str:
    return f"{origin(call.request)}{call.request.url.path}"


_SUMMARIES = {
    "list": "List {}", "show": "Get one of {}", "create": "Create one of {}", "update": "Change one of {}",
    "replace": "Change one of {}", "delete": "Delete one of {}", "showRelated": "Get {1} of one of {0}",
    "showLinkage": "Which {1} one of {0} has", "updateLinkage": "Set {1} of one of {0}",
    "replaceLinkage": "Set {1} of one of {0}", "deleteLinkage": "Take {1} from one of {0}",
    "addLinkage": "Add {1} to one of {0}",
}  # fmt: skip


def _summary(resource: Resource, action: str, relationship: Relationship | None) -> str:
    return _SUMMARIES[action].format(resource.type, dashed(relationship.name) if relationship else "")
