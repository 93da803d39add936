"""Documents that answers carry: resource objects with their links and linkage, what is included, and lists."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from bursar.http.yeti.jsonapi import (
    Condition,
    Listing,
    Relationship,
    Resource,
    Shapes,
    Slice,
    ToOne,
    Turn,
)
from bursar.http.yeti.jsonapi_queries import Tree, Types, Wanted, page_query
from bursar.http.yeti.jsonapi_shapes import Shape, Write, inside, reader, shape_of, text_of

_readers: dict[tuple[str, type], Callable[[Any], tuple[Any, ...]]] = {}


def encode(document: object) -> bytes:
    """A document's bytes."""
    return text_of(document).encode()


def origin(request: Request) -> str:
    """Scheme, host and port by which the client reached us."""
    return f"{request.scope['scheme']}://{request.headers.get('host') or request.url.netloc}"


def read(row: Any, name: str) -> Any:
    """A field of a row."""
    place = (name, type(row))
    known = _readers.get(place)
    if known is None:
        known = _readers[place] = reader((name,), type(row))
    return known(row)[0]


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
    _shapes: Shapes = field(default_factory=dict)
    """Shapes for this answer alone: with other fields than all, or with something included."""
    _at: str = field(init=False)

    def __post_init__(self) -> None:
        self._at = inside(self.base)

    async def one(self, resource: Resource, row: Any) -> bytes:
        """The document of one object, or of none."""
        if row is None:
            return b'{"data":null}'
        included = await self._include(resource, [row])
        parts = [f'{{"data":{self.object(resource, row, self.wanted.include)}']
        if self.wanted.include:
            parts.append(f',"included":[{",".join(included)}]')
        return "".join((*parts, "}")).encode()

    async def many(self, resource: Resource, found: Slice[Any], url: str) -> bytes:
        """The document of a list; `url` is its own without a query."""
        included = await self._include(resource, found.rows)
        objects = self._objects(resource, found.rows)
        parts = [f'{{"data":[{",".join(objects)}]']
        if self.wanted.include:
            parts.append(f',"included":[{",".join(included)}]')
        parts.append(f',"meta":{{"total-count":{found.total}}}')
        if resource.paged:
            parts.append(f',"links":{text_of(self._pages(found.total, url))}')
        return "".join((*parts, "}")).encode()

    def object(self, resource: Resource, row: Any, include: Tree) -> str:
        """A resource object as JSON."""
        return self._shape(resource, type(row), include).text(self._at, row)

    def _objects(self, resource: Resource, rows: Sequence[Any]) -> list[str]:
        """The resource objects of a list, whose rows are of one type."""
        return self._shape(resource, type(rows[0]), self.wanted.include).texts(self._at, rows) if rows else []

    def link(self, resource: Resource, identity: Any) -> str:
        """An object's own URL."""
        return f"{self.base}/{resource.self_path}" if resource.self_path else f"{self.base}/{resource.type}/{identity}"

    def _shape(self, resource: Resource, kind: type, include: Tree) -> Shape:
        only = self.wanted.fields.get(resource.type)
        plain = only is None and not include
        shapes = resource.shapes if plain else self._shapes
        place: Hashable = kind if plain else (resource.type, kind, tuple(include))
        shape: Shape | None = shapes.get(place)
        if shape is None:
            linked = {name: self._linkage(resource, name) for name in include}
            shape = shapes[place] = shape_of(resource, kind, only, linked)
        return shape

    def _linkage(self, resource: Resource, name: str) -> Write | None:
        """What writes the linkage of a to-many relationship that is included, from the object's id."""
        if isinstance(resource.relationships[name], ToOne):
            return None

        def write(identity: Any) -> str:
            found = self._linked.get((resource.type, identity, name), [])
            return text_of([identity_of(kind, key) for kind, key in dict.fromkeys(found)])

        return write

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

    async def _include(self, resource: Resource, rows: Sequence[Any]) -> list[str]:
        """All that is to be included, each object once, none that is primary data; one list for each relationship."""
        if not self.wanted.include:
            return []
        found: dict[tuple[str, Any], str] = {}
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
        found: dict[tuple[str, Any], str],
        conditions: Mapping[str, tuple[Condition, ...]],
    ) -> None:
        for name, inner in include.items():
            relationship = resource.relationships[name]
            target = self.types[relationship.type]
            others = await self._others(resource, relationship, target, rows, conditions.get(name, ()))
            # What they lead to comes first: only then is the linkage known that they show.
            deeper: dict[tuple[str, Any], str] = {}
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
