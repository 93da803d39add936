"""Resource objects as text: what all objects of a resource have in common is put together once, not for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
from asyncpg import Record

from bursar.http.yeti.jsonapi import Attribute, Relationship, Resource, ToOne, dashed

Write = Callable[[Any], str]
"""From a value, never None, to JSON text."""

_AT = "\x01"
"""Stands for the place of the door in a template, where nothing else can be this."""
_encoder = msgspec.json.Encoder(decimal_format="number")


def text_of(value: object) -> str:
    """A value as JSON text. Decimals become numbers."""
    return _encoder.encode(value).decode()


def inside(value: object) -> str:
    """The text of a value as it stands inside of a JSON text."""
    return str(value) if type(value) is int else text_of(str(value))[1:-1]


def reader(names: tuple[str, ...], kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """How fields are read from rows of a type, all at once."""
    get: Callable[[Any], Any] = itemgetter if issubclass(kind, Mapping | Record) else attrgetter
    return _all(get, names)


def _all(get: Callable[..., Any], names: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    read: Callable[[Any], Any] = get(*names)
    return read if len(names) > 1 else lambda row: (read(row),)


@dataclass(frozen=True, slots=True)
class Shape:
    """How objects of a resource are written, of which fields of what rows."""

    template: str
    read: Callable[[Any], tuple[Any, ...]]
    writes: tuple[Write, ...]
    arrange: Callable[[Any], tuple[Any, ...]]
    """From what was written of the fields to what the template asks for: the id comes several times."""

    def texts(self, base: str, rows: Sequence[Any]) -> list[str]:
        """Objects as JSON, of rows of one type; `base` is where the door is, as it stands inside of JSON."""
        template = self.template.replace(_AT, base.replace("%", "%%"))
        # Column by column: what is to be known of a field is looked up once for all of them.
        fields = zip(*map(self.read, rows), strict=True)
        columns = [_column(write, values) for write, values in zip(self.writes, fields, strict=True)]
        return [template % texts for texts in zip(*self.arrange(columns), strict=True)]

    def text(self, base: str, row: Any) -> str:
        """One object as JSON."""
        written = [
            "null" if value is None else write(value) for write, value in zip(self.writes, self.read(row), strict=True)
        ]
        return self.template.replace(_AT, base.replace("%", "%%")) % self.arrange(written)


def _column(write: Write, values: Sequence[Any]) -> Sequence[str]:
    if values[0] is None and values.count(None) == len(values):
        return ("null",) * len(values)
    return ["null" if value is None else write(value) for value in values]


def shape_of(resource: Resource, kind: type, only: frozenset[str] | None, linked: Mapping[str, Write | None]) -> Shape:
    """The shape of a resource's objects from rows of a type.

    `only` are the fields to show, None: all. `linked` are the relationships that are included: of a to-many one, what
    writes its linkage from the object's id.
    """
    parts = _Parts(resource)
    members = [f'"id":"{parts.identity()}","type":{_fixed(resource.type)}']
    if resource.linked:
        members.append(f'"links":{{"self":"{parts.place()}"}}')
    shown = [a for a in resource.attributes if a.readable and (only is None or a.name in only)]
    attributes = [f"{_fixed(dashed(a.name))}:{parts.slot(a.source or a.name, _writer(a))}" for a in shown]
    if attributes:
        members.append(f'"attributes":{{{",".join(attributes)}}}')
    related = [(key, one) for key, one in resource.related if only is None or one.name in only]
    relationships = [_relationship(key, one, linked, parts) for key, one in related]
    if relationships:
        members.append(f'"relationships":{{{",".join(relationships)}}}')
    return Shape(
        template=f"{{{','.join(members)}}}",
        read=reader(tuple(parts.sources), kind),
        writes=tuple(parts.writes),
        arrange=_all(itemgetter, parts.order),
    )


class _Parts:
    """What is put into a template, in the order of its text."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.sources = ["id"]
        self.writes: list[Write] = [inside]
        self.order: list[int] = []

    def identity(self) -> str:
        """Where the object's id stands."""
        self.order.append(0)
        return "%s"

    def place(self) -> str:
        """Where the object's own URL stands."""
        own = self._resource.self_path
        return f"{_AT}/{own}" if own else f"{_AT}/{self._resource.type}/{self.identity()}"

    def slot(self, source: str, write: Write) -> str:
        """Where a field stands."""
        self.order.append(len(self.sources))
        self.sources.append(source)
        self.writes.append(write)
        return "%s"


def _relationship(key: str, one: Relationship, linked: Mapping[str, Write | None], parts: _Parts) -> str:
    links = f'"self":"{parts.place()}/relationships/{key}",' if one.self_link else ""
    text = f'{_fixed(key)}:{{"links":{{{links}"related":"{parts.place()}/{key}"}}'
    if isinstance(one, ToOne):
        if one.linked or one.name in linked:
            start = f'{{"type":{text_of(one.type)},"id":"'
            text += f',"data":{parts.slot(one.column, lambda identity: f"{start}{inside(identity)}" + chr(34) + "}")}'
    elif (write := linked.get(one.name)) is not None:
        text += f',"data":{parts.slot("id", write)}'
    return f"{text}}}"


def _writer(attribute: Attribute) -> Write:
    show = attribute.kind.show
    if attribute.kind.bare:
        return lambda value: f'"{show(value)}"'
    return lambda value: _encoder.encode(show(value)).decode()


def _fixed(text: str) -> str:
    """A text of ours as JSON, in a template."""
    return text_of(text).replace("%", "%%")
