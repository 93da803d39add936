"""Documents that answers carry: resource objects with their links and linkage, what is included, and lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
from asyncpg import Record
from starlette.requests import Request

from bursar.http.yeti.jsonapi import (
    Condition,
    Listing,
    Relationship,
    Resource,
    Slice,
    ToOne,
    Turn,
    dashed,
)
from bursar.http.yeti.jsonapi_queries import Tree, Types, Wanted, page_query

_readers: dict[tuple[str, type], Callable[[Any], Any]] = {}
_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(document: Mapping[str, Any]) -> bytes:
    """A document's bytes."""
    return _encoder.encode(document)


def origin(request: Request) -> str:
    """Scheme, host and port by which the client reached us."""
    return f"{request.url.scheme}://{request.headers.get('host') or request.url.netloc}"


def reader(name: str, kind: type) -> Callable[[Any], Any]:
    """How a field is read from rows of a type."""
    known = _readers.get((name, kind))
    if known is None:
        getter: Callable[[Any], Any] = itemgetter(name) if issubclass(kind, Mapping | Record) else attrgetter(name)
        known = _readers[name, kind] = getter
    return known


def _getters(resource: Resource, kind: type) -> tuple[tuple[str, str, Callable[[Any], Any], Callable[[Any], Any]], ...]:
    """Of each attribute that is shown: its key, its name, how it is read from rows of a type, and how it is shown."""
    known = resource.getters.get(kind)
    if known is None:
        known = tuple((key, name, reader(source, kind), show) for key, name, source, show in resource.shown)
        resource.getters[kind] = known
    return known


def read(row: Any, name: str) -> Any:
    """A field of a row."""
    return reader(name, type(row))(row)


@dataclass(slots=True)
class Writer:
    """Makes the document of one answer."""

    turn: Turn
    types: Types
    base: str
    """Where the door is: scheme, host and its path."""
    wanted: Wanted
    _linked: dict[tuple[str, Any, str], list[tuple[str, Any]]] = field(default_factory=dict)
    """Linkage of to-many relationships that are included, by type, id and relationship."""

    async def one(self, resource: Resource, row: Any) -> dict[str, Any]:
        """The document of one object, or of none."""
        if row is None:
            return {"data": None}
        included = await self._include(resource, [row])
        document: dict[str, Any] = {"data": self.object(resource, row, self.wanted.include)}
        return {**document, "included": included} if self.wanted.include else document

    async def many(self, resource: Resource, found: Slice[Any], url: str) -> dict[str, Any]:
        """The document of a list; `url` is its own without a query."""
        included = await self._include(resource, found.rows)
        document: dict[str, Any] = {"data": [self.object(resource, row, self.wanted.include) for row in found.rows]}
        if self.wanted.include:
            document["included"] = included
        document["meta"] = {"total-count": found.total}
        if resource.paged:
            document["links"] = self._pages(found.total, url)
        return document

    def object(self, resource: Resource, row: Any, include: Tree) -> dict[str, Any]:
        """A resource object."""
        kind = type(row)
        identity = reader("id", kind)(row)
        itself = self.link(resource, identity)
        shown: dict[str, Any] = {"id": str(identity), "type": resource.type}
        if resource.linked:
            shown["links"] = {"self": itself}
        only = self.wanted.fields.get(resource.type)
        attributes = {}
        for key, name, get, show in _getters(resource, kind):
            if only is None or name in only:
                value = get(row)
                attributes[key] = None if value is None else show(value)
        if attributes:
            shown["attributes"] = attributes
        relationships = {
            dashed(name): self._relationship(resource, relationship, row, identity, itself, name in include)
            for name, relationship in resource.relationships.items()
            if relationship.readable and (only is None or name in only)
        }
        if relationships:
            shown["relationships"] = relationships
        return shown

    def link(self, resource: Resource, identity: Any) -> str:
        """An object's own URL."""
        return f"{self.base}/{resource.self_path}" if resource.self_path else f"{self.base}/{resource.type}/{identity}"

    def _relationship(
        self, resource: Resource, relationship: Relationship, row: Any, identity: Any, itself: str, included: bool
    ) -> dict[str, Any]:
        name = dashed(relationship.name)
        links = {"self": f"{itself}/relationships/{name}"} if relationship.self_link else {}
        links["related"] = f"{itself}/{name}"
        shown: dict[str, Any] = {"links": links}
        if isinstance(relationship, ToOne):
            if relationship.linked or included:
                shown["data"] = identity_of(relationship.type, read(row, relationship.column))
        elif included:
            found = self._linked.get((resource.type, identity, relationship.name), [])
            shown["data"] = [identity_of(kind, key) for kind, key in dict.fromkeys(found)]
        return shown

    def _pages(self, total: int, url: str) -> dict[str, str]:
        last = max(1, -(-total // self.wanted.size))
        number = self.wanted.number
        pages = {"first": 1}
        if number > 1:
            pages["prev"] = number - 1
        if number < last:
            pages["next"] = number + 1
        pages["last"] = last
        return {name: f"{url}?{page_query(self.wanted, page)}" for name, page in pages.items()}

    async def _include(self, resource: Resource, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """All that is to be included, each object once, none that is primary data; one list for each relationship."""
        found: dict[tuple[str, Any], dict[str, Any]] = {}
        if rows:
            await self._walk(resource, rows, self.wanted.include, found, self.wanted.included)
        for row in rows:
            found.pop((resource.type, read(row, "id")), None)
        return list(found.values())

    async def _walk(
        self,
        resource: Resource,
        rows: Sequence[Any],
        include: Tree,
        found: dict[tuple[str, Any], dict[str, Any]],
        conditions: Mapping[str, tuple[Condition, ...]],
    ) -> None:
        for name, inner in include.items():
            relationship = resource.relationships[name]
            target = self.types[relationship.type]
            others = await self._others(resource, relationship, target, rows, conditions.get(name, ()))
            # What they lead to comes first: only then is the linkage known that they show.
            deeper: dict[tuple[str, Any], dict[str, Any]] = {}
            await self._walk(target, others, inner, deeper, {})
            for row in others:
                found.setdefault((target.type, read(row, "id")), self.object(target, row, inner))
            for key, shown in deeper.items():
                found.setdefault(key, shown)

    async def _others(
        self,
        resource: Resource,
        relationship: Relationship,
        target: Resource,
        rows: Sequence[Any],
        conditions: tuple[Condition, ...],
    ) -> list[Any]:
        """The objects to which a relationship leads from rows, read at once."""
        if isinstance(relationship, ToOne):
            keys = {read(row, relationship.column) for row in rows} - {None}
            return (
                await fetch(self.turn, target, [Condition("id", "in", tuple(sorted(keys))), *conditions])
                if keys
                else []
            )
        mine = [read(row, "id") for row in rows]
        if relationship.keys is not None:
            known = await relationship.keys(self.turn, mine)
            every = tuple(dict.fromkeys(key for keys in known.values() for key in keys))
            others = await fetch(self.turn, target, [Condition("id", "in", every), *conditions]) if every else []
            there = {read(row, "id") for row in others}
            for identity in mine:
                linked = [(target.type, key) for key in known.get(identity, ()) if key in there]
                self._linked[resource.type, identity, relationship.name] = linked
            return others
        others = await fetch(self.turn, target, [Condition(relationship.inverse, "in", tuple(mine)), *conditions])
        for row in others:
            place = (resource.type, read(row, relationship.inverse), relationship.name)
            self._linked.setdefault(place, []).append((target.type, read(row, "id")))
        return others


async def fetch(turn: Turn, resource: Resource, conditions: Sequence[Condition]) -> list[Any]:
    """All rows of a resource that meet conditions."""
    assert resource.list is not None, f"{resource.type} has no `list`"
    listing = Listing(tuple(conditions), resource.default_sort, counted=False)
    return (await resource.list(turn, listing)).rows


def identity_of(kind: str, identity: Any) -> dict[str, str] | None:
    """A resource identifier, or None."""
    return None if identity is None else {"type": kind, "id": str(identity)}
