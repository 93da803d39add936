"""The text by which an event that carries no id gets one, from what it carries alone. Pure.

`{{accountId}}-{{timestamp}}-{{dimensions.call}}`: one brace or two; a bare name is the event's own `accountId`,
`timestamp` or `schemaName`, then a dimension, then an attribute. Enriched fields are left out: they follow settings,
and an event that is sent again after a setting has changed must get the id that it had.
"""

import re
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

from bursar.core.errors import Invalid

OWN = ("accountId", "timestamp", "schemaName")
"""What every event carries beside attributes and dimensions."""
FIELD = "eventIdTemplate"

_ROOTS = {"attribute": "attributes", "dimension": "dimensions"}
_PLACE = re.compile(r"\{\{([^{}]*)\}\}|\{([^{}]*)\}")


class Part(NamedTuple):
    """A piece of an id: literal text, or what a field of the event says."""

    kind: Literal["text", "own", "attributes", "dimensions"]
    name: str


def read_template(text: str, attributes: AbstractSet[str], dimensions: AbstractSet[str]) -> tuple[Part, ...]:
    """The pieces of a template over a schema's attributes and dimensions.

    Raises `Invalid` for braces that enclose no field, and where every event would get the same id.
    """
    parts: list[Part] = []
    end = 0
    for place in _PLACE.finditer(text):
        parts.append(_literal(text[end : place.start()]))
        parts.append(_field((place[1] or place[2] or "").strip(), attributes, dimensions))
        end = place.end()
    parts.append(_literal(text[end:]))
    if all(part.kind == "text" or part.name == "schemaName" for part in parts):
        raise Invalid(FIELD, "must read a field in which events differ, such as {{timestamp}}")
    return tuple(part for part in parts if part != Part("text", ""))


def _literal(text: str) -> Part:
    if "{" in text or "}" in text:
        raise Invalid(FIELD, "has a brace that encloses no field")
    return Part("text", text)


def _field(name: str, attributes: AbstractSet[str], dimensions: AbstractSet[str]) -> Part:
    if name in OWN:
        return Part("own", name)
    root, dot, rest = name.partition(".")
    root = _ROOTS.get(root, root)
    if (root == "dimensions" and rest in dimensions) or (not dot and name in dimensions):
        return Part("dimensions", rest or name)
    if (root == "attributes" and rest in attributes) or (not dot and name in attributes):
        return Part("attributes", rest or name)
    raise Invalid(FIELD, f"events of the schema carry no {name!r}")
