"""Resource objects as text: what all objects of a resource have in common is put together once, not for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
from asyncpg import Record

from bursar.http.yeti.jsonapi import Attribute, Relationship, Resource, ToOne, dashed

Write = Callable[[Any], str]
"""From a value, never None, to JSON text."""

_AT = "\x01"
"""Stands for an object's own URL in a template, where nothing else can be this."""
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
    read: Callable[[Any], Any] = get(*names)
    return read if len(names) > 1 else lambda row: (read(row),)


@dataclass(frozen=True, slots=True)
class Shape:
    """How objects of a resource are written, of which fields of what rows."""

    path: str
    """Where they are, below the door; with `numbered`, what stands before the id."""
    numbered: bool
    template: str
    read: Callable[[Any], tuple[Any, ...]]
    writes: tuple[Write, ...]

    def text(self, base: str, row: Any) -> str:
        """An object as JSON; `base` is where the door is, as it stands inside of JSON."""
        written = [
            "null" if value is None else write(value) for write, value in zip(self.writes, self.read(row), strict=True)
        ]
        at = f"{base}/{self.path}{written[0]}" if self.numbered else f"{base}/{self.path}"
        return self.template.replace(_AT, at.replace("%", "%%")) % tuple(written)


def shape_of(resource: Resource, kind: type, only: frozenset[str] | None, linked: Mapping[str, Write | None]) -> Shape:
    """The shape of a resource's objects from rows of a type.

    `only` are the fields to show, None: all. `linked` are the relationships that are included: of a to-many one, what
    writes its linkage from the object's id.
    """
    sources: list[str] = ["id"]
    writes: list[Write] = [inside]
    members = [f'"id":"%s","type":{_fixed(resource.type)}']
    if resource.linked:
        members.append(f'"links":{{"self":"{_AT}"}}')

    def slot(source: str, write: Write) -> str:
        sources.append(source)
        writes.append(write)
        return "%s"

    shown = [a for a in resource.attributes if a.readable and (only is None or a.name in only)]
    attributes = [f"{_fixed(dashed(a.name))}:{slot(a.source or a.name, _writer(a))}" for a in shown]
    if attributes:
        members.append(f'"attributes":{{{",".join(attributes)}}}')
    related = [(key, one) for key, one in resource.related if only is None or one.name in only]
    relationships = [_relationship(key, one, linked, slot) for key, one in related]
    if relationships:
        members.append(f'"relationships":{{{",".join(relationships)}}}')
    path = resource.self_path or f"{resource.type}/"
    template = f"{{{','.join(members)}}}"
    return Shape(path, not resource.self_path, template, reader(tuple(sources), kind), tuple(writes))


def _relationship(
    key: str, one: Relationship, linked: Mapping[str, Write | None], slot: Callable[[str, Write], str]
) -> str:
    links = f'"self":"{_AT}/relationships/{key}",' if one.self_link else ""
    text = f'{_fixed(key)}:{{"links":{{{links}"related":"{_AT}/{key}"}}'
    if isinstance(one, ToOne):
        if one.linked or one.name in linked:
            start = f'{{"type":{text_of(one.type)},"id":"'
            text += f',"data":{slot(one.column, lambda identity: f"{start}{inside(identity)}" + chr(34) + "}")}'
    elif (write := linked.get(one.name)) is not None:
        text += f',"data":{slot("id", write)}'
    return f"{text}}}"


def _writer(attribute: Attribute) -> Write:
    show = attribute.kind.show
    if attribute.kind.bare:
        return lambda value: f'"{show(value)}"'
    return lambda value: _encoder.encode(show(value)).decode()


def _fixed(text: str) -> str:
    """A text of ours as JSON, in a template."""
    return text_of(text).replace("%", "%%")
