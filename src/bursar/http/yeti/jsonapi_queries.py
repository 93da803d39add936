"""What a URL's query asks for: page, sort, filter, include and fields."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus

from bursar.db.listing import Condition, Listing, Sort
from bursar.http.yeti import jsonapi_errors as errors
from bursar.http.yeti.jsonapi import Resource, dashed
from bursar.http.yeti.jsonapi_errors import Errors, Refused
from bursar.http.yeti.jsonapi_kinds import SEVERAL

PAGE_SIZE = 50
PAGE_LIMIT = 1000
INCLUDE_DEPTH = 6
INCLUDES_LIMIT = 50
CARRIED = frozenset(("fields", "filter", "include", "sort"))
"""Parameters that the links to other pages carry on."""
NAME_REMEMBERED = 64
"""Characters of the longest name of which is remembered how rooms have it."""
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_CAMEL = (re.compile(r"([A-Z]+)([A-Z][a-z])"), re.compile(r"([a-z\d])([A-Z])"))
_WHOLE = re.compile(r"\s*[+-]?\d{1,400}\s*", re.ASCII)
_LONGEST = 2**63
_LEADING = re.compile(r"\s*([+-]?\d+)", re.ASCII)

Types = Mapping[str, Resource]
Tree = dict[str, "Tree"]
"""Relationships to include, each with those to include of what it leads to."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query, read."""

    include: Tree = field(default_factory=dict)
    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By type the fields to show; a type that is not named shows all."""
    listing: Listing = field(default_factory=Listing)
    number: int = 1
    size: int = PAGE_SIZE
    included: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    """Conditions on what a relationship includes."""
    kept: tuple[tuple[str, str], ...] = ()
    """Parameters that the links to other pages carry on."""


def underscored(name: str) -> str:
    """A name as rooms have it: `min-balance` and `minBalance` are `min_balance`."""
    return _underscored(name) if len(name) <= NAME_REMEMBERED else _underscored.__wrapped__(name)


@lru_cache(maxsize=2000)
def _underscored(name: str) -> str:
    for pattern in _CAMEL:
        name = pattern.sub(r"\1_\2", name)
    return name.replace("-", "_").lower()


def parameters(items: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Query parameters with their brackets read: `{"page": {"size": "5"}}`. The last of two of a name holds."""
    found: dict[str, Any] = {}
    for key, value in items:
        match = _KEY.fullmatch(key)
        if match is None:
            continue
        name, rest = match[1], re.findall(r"\[([^\[\]]*)\]", match[2])
        if not rest:
            found[name] = value
        else:
            held = found.get(name)
            inner = held if isinstance(held, dict) else {}
            found[name] = inner
            if rest[1:] == [""]:
                several = inner.get(rest[0])
                inner[rest[0]] = [*several, value] if isinstance(several, list) else [value]
            else:
                inner[rest[0]] = value if not rest[1:] else {rest[1]: value}
    return found


def read_query(
    items: Sequence[tuple[str, str]], resource: Resource, types: Types, *, listed: bool, at: Resource | None = None
) -> Wanted:
    """The query of a request for `resource`. Raises `Refused` with everything that is wrong in it.

    Page, sort and filter count where it is `listed`. `at` is where `include` starts, if elsewhere.
    """
    found = parameters(items)
    faults: Errors = []
    fields = _gather(faults, lambda: _fields(found.get("fields"), resource, types), {})
    include = _include(found.get("include"), at or resource, types, faults)
    if not listed:
        _stop(faults)
        return Wanted(include, fields)
    conditions, included = _gather(
        faults, lambda: _filters(found.get("filter"), resource, include, types, faults), ((), {})
    )
    sort = _sort(found.get("sort"), resource, faults)
    number, size = _page(found.get("page"), faults) if resource.paged else (1, 0)
    _stop(faults)
    listing = Listing(conditions, sort, (number - 1) * size, size or None)
    kept = tuple((key, value) for key, value in items if key.partition("[")[0] in CARRIED)
    return Wanted(include, fields, listing, number, size, included, kept)


def page_query(wanted: Wanted, number: int) -> str:
    """The query of a link to a page."""
    pairs = [*wanted.kept, ("page[number]", str(number)), ("page[size]", str(wanted.size))]
    return "&".join(sorted(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs))


def _gather(faults: Errors, read: Any, default: Any) -> Any:
    """What `read` answers, or a default with its refusal gathered."""
    try:
        return read()
    except Refused as error:
        faults.extend(error.errors)
        return default


def _stop(faults: Errors) -> None:
    if faults:
        raise Refused(faults)


def _line(text: str) -> list[str] | None:
    """The values of one line of CSV; None for what is none."""
    if "\0" in text or "\n" in text or "\r" in text:
        return None
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return None


def _fields(raw: Any, resource: Resource, types: Types) -> dict[str, frozenset[str]]:
    if raw is None:
        return {}
    if isinstance(raw, str):
        raw = {resource.type: raw}
    chosen = {}
    for name, value in raw.items():
        of = types.get(name) if name != resource.type else resource
        if of is None:
            raise errors.invalid_resource(name)
        names = value if isinstance(value, list) else str(value).split(",") if value else []
        for entry in names:
            if entry not in of.fields:
                raise Refused([errors.invalid_field(entry, of.type)])
        chosen[of.type] = frozenset(underscored(entry) for entry in names)
    return chosen


def _include(raw: Any, resource: Resource, types: Types, faults: Errors) -> Tree:
    tree: Tree = {}
    if raw is None or raw == "":
        return tree
    paths = _line(raw) if isinstance(raw, str) else None
    if paths is None or len(paths) > INCLUDES_LIMIT:
        faults.append(errors.invalid_include(str(raw), resource.type))
        return tree
    for path in paths:
        node, of = tree, resource
        for depth, part in enumerate(path.split(".")):
            relationship = of.relationships.get(part.replace("-", "_"))
            target = None if relationship is None else types.get(relationship.type)
            if relationship is None or target is None or dashed(relationship.name) != part or depth >= INCLUDE_DEPTH:
                faults.append(errors.invalid_include(part, of.type))
                break
            node, of = node.setdefault(relationship.name, {}), target
    return tree


def _sort(raw: Any, resource: Resource, faults: Errors) -> tuple[Sort, ...]:
    if raw is None or raw == "":
        return resource.default_sort
    entries = _line(raw) if isinstance(raw, str) else None
    if entries is None:
        faults.append(errors.invalid_sort(str(raw), resource.type))
        return ()
    chosen: list[Sort] = []
    for entry in entries:
        sort = Sort(underscored(entry.removeprefix("-").strip()), entry.startswith("-"))
        if sort.field not in resource.sortable:
            faults.append(errors.invalid_sort(sort.field, resource.type))
        elif all(other.field != sort.field for other in chosen):
            chosen.append(sort)
    return tuple(chosen)


def _page(raw: Any, faults: Errors) -> tuple[int, int]:
    if raw is None:
        raw = {}
    if isinstance(raw, str):
        raw = {"number": raw}
    number, size = _number(raw.get("number"), 1), _number(raw.get("size"), PAGE_SIZE)
    if size < 1:
        faults.append(errors.invalid_page(f"{size} is not a valid value for size page parameter."))
    elif size > PAGE_LIMIT:
        faults.append(errors.invalid_page(f"size exceeds maximum page size of {PAGE_LIMIT}."))
    elif number < 1:
        faults.append(errors.invalid_page(f"{number} is not a valid value for number page parameter."))
    return number, size


def _number(raw: Any, default: int) -> int:
    """The number at the start of a text, 0 where there is none, as the original reads it."""
    if raw is None:
        return default
    match = _LEADING.match(raw) if isinstance(raw, str) else None
    return 0 if match is None else int(match[1][:19])


def _filters(
    raw: Any, resource: Resource, include: Tree, types: Types, faults: Errors
) -> tuple[tuple[Condition, ...], dict[str, tuple[Condition, ...]]]:
    if raw is None:
        return (), {}
    if not isinstance(raw, dict):
        raise errors.refuse(
            "120", "Invalid filters syntax", f"{errors.quote(raw)} is not a valid syntax for filtering."
        )
    mine: list[Condition] = []
    others: dict[str, tuple[Condition, ...]] = {}
    for key, value in raw.items():
        name = underscored(key)
        if name in resource.filters:
            mine.append(_condition(resource, name, value))
            continue
        first, _, rest = name.partition(".")
        relationship = resource.relationships.get(first) if first in include else None
        target = types.get(relationship.type) if relationship is not None else None
        if target is None or rest not in target.filters:
            faults.append(errors.filter_not_allowed(name))
        else:
            others[first] = (*others.get(first, ()), _condition(target, rest, value))
    return tuple(mine), others


def _condition(resource: Resource, name: str, raw: Any) -> Condition:
    column, operator, kind = resource.filters[name]
    texts = raw if isinstance(raw, list) else _line(raw) if isinstance(raw, str) else None
    if texts is None or (operator not in SEVERAL and len(texts) != 1):
        raise errors.invalid_filter_value(raw if isinstance(raw, str) else "", name)
    try:
        return Condition(column, operator, tuple(kind.search(text) for text in texts))
    except ValueError:
        raise errors.invalid_filter_value(raw if isinstance(raw, str) else ",".join(texts), name) from None


def identifier(resource: Resource, text: str) -> Any:
    """The id that a URL or linkage gives. Raises `Refused`: 400 for what the type cannot have as one, 404 for a number
    that is larger than any.
    """
    if resource.id.name == "reference" and not _WHOLE.fullmatch(text):
        raise errors.invalid_field_value("id", text)
    try:
        value = resource.id.search(text) if resource.id.name != "reference" else int(text)
    except ValueError:
        raise errors.invalid_field_value("id", text) from None
    if isinstance(value, int) and not -_LONGEST <= value < _LONGEST:
        raise errors.missing_record(text)
    return value
