"""Declaring a resource of the JSON:API doors.

A resource is a declaration. All that JSON:API asks for (routes, media types, links, paging, filters, sorts, includes,
sparse fieldsets, relationship endpoints, error objects, the OpenAPI document) follows from it:

    async def _list(turn: Turn, listing: Listing) -> Slice[Any]:
        return await carriers.list_contacts(turn.connection, turn.caller.workspace, listing)

    async def _create(turn: Turn, values: Values) -> int:
        return await carriers.create_contact(turn.connection, turn.caller, values)

    contacts = door.add(
        Resource(
            "contacts",
            attributes=(
                Attribute("email", TEXT, "CU", filters=True),
                Attribute("notes", TEXT, "CU", filters=True),
            ),
            to_one=(ToOne("contractor", "contractors", "CU", linked=True),),
            plain_filters=("email",),
            list=_list, create=_create, update=_update, delete=_delete,
        )
    )

Put it into a module of this package: all of them are imported when the server starts. Names are given with underscores
as rooms use them; the wire's dashes are made from them.

**Rows.** `list` answers a `Slice` of rows, which are mappings (an asyncpg `Record`) or objects. Each must have `id`
(the number that the wire shows), each attribute under its name or `source`, and each to-one relationship's id under
`<name>_id` or its `source`. Reads of one object, and of those to include, are lists too, with a condition on `id`
(`eq` or `in`), so a resource is readable with `list` alone; `show` may be given where one object is found faster.

**Listing.** The fields that `list` must know as columns (`db.listing.Lister`): `id`; every attribute that is sortable
or has `filters`; `plain_filters`; the names of `extra_filters`; `<name>_id` of to-one relationships with
`filter=True`; and for a to-many relationship of another resource its `inverse`.

**Writing.** `create` and `update` get the values that were sent and only those, coerced by kind: of a to-one
relationship under its name the id or None, of a to-many one a list of ids. They answer the object's id (the layer
reads it back) or a row as `list` has it. They run in one transaction with the answer, and raise `core.errors`:
`Rejected([(field, rule), ...])` or `Invalid(field, rule)` become 422 error objects (a field of the resource, or "" for
the whole), `NotFound` 404, `WrongState` a 422 about the whole. A value that cannot be coerced is left out, the command
runs nevertheless to learn what else is wrong, and everything is told at once: first the fields named in `first`, then
in the order of the declaration, then what is about the whole. A rule about a field that was left out is dropped: its
own error tells more.

**Actions** are those that have a function. `path` where the URL has another name than the type. `at` for a singleton
below another path, as `PUT accounts/{account_id}/balance`: only `update` then, whose `data.id` is not compared with
the URL; `turn.path` has what the URL says.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from bursar.core.caller import Caller
from bursar.db.database import Connection
from bursar.db.listing import Condition, Listing, Slice, Sort
from bursar.http.door import Call
from bursar.http.yeti.jsonapi_kinds import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    INTEGERS,
    JSON,
    MOMENT,
    RATE,
    REFERENCE,
    TEXT,
    TEXTS,
    UUID,
    Kind,
    choice,
    integer,
    listed,
)

__all__ = [
    "BOOLEAN", "DECIMAL", "INTEGER", "INTEGERS", "JSON", "MOMENT", "RATE", "REFERENCE", "TEXT", "TEXTS", "UUID",
    "Attribute", "Condition", "Kind", "Listing", "Resource", "Slice", "Sort", "ToMany", "ToOne", "Turn", "Values",
    "choice", "integer", "listed",
]  # fmt: skip

Values = Mapping[str, Any]
"""What was sent, by name with underscores."""


class Turn(msgspec.Struct, frozen=True):
    """One request's turn at a room."""

    connection: Connection
    call: Call
    """The request: `call.access` is what its token opens, a customer's accounts for instance."""
    unread: frozenset[str] = frozenset()
    """Fields that were sent with values that cannot be read: that is told anyway."""

    @property
    def caller(self) -> Caller:
        """Who asks, in which workspace, and what time it is there."""
        return self.call.caller

    @property
    def path(self) -> Mapping[str, str]:
        """What the URL says, by the names in the path."""
        return self.call.path


ListRows = Callable[[Turn, Listing], Awaitable[Slice[Any]]]
ShowRow = Callable[[Turn, Any], Awaitable[Any]]
Create = Callable[[Turn, Values], Awaitable[Any]]
CreateApart = Callable[[Call, Values], Awaitable[Any]]
Update = Callable[[Turn, Any, Values], Awaitable[Any]]
Delete = Callable[[Turn, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value of a resource."""

    name: str
    kind: Kind
    writes: str = ""
    """`C`: may be sent with POST; `U`: with PATCH and PUT."""
    readable: bool = True
    """False: only taken, never shown (a password)."""
    sortable: bool = True
    filters: bool = False
    """Whether it has the filters of its kind: `name_eq`, `name_cont` ..."""
    source: str = ""
    """Its name in rows, where that is another."""


@dataclass(frozen=True, slots=True)
class ToOne:
    """A relationship to one other object, or none."""

    name: str
    type: str
    writes: str = ""
    linked: bool = False
    """Whether linkage is always shown, not only where it is included."""
    filter: bool = False
    """Whether there is `filter[name.id]`, a condition `in` on `<name>_id`."""
    source: str = ""
    """Where rows have the other's id; `<name>_id` unless given."""
    self_link: bool = True
    """Whether `links.self` is shown."""
    readable: bool = True
    """False: only taken, never shown."""

    @property
    def column(self) -> str:
        """Where rows have the other's id."""
        return self.source or f"{self.name}_id"


@dataclass(frozen=True, slots=True)
class ToMany:
    """A relationship to any number of other objects: those whose field `inverse` is this one's id.

    Where the others do not know this one, `keys` answers their ids for each of this resource's ids.
    """

    name: str
    type: str
    inverse: str = ""
    writes: str = ""
    self_link: bool = True
    keys: Callable[[Turn, list[Any]], Awaitable[Mapping[Any, list[Any]]]] | None = None
    readable: bool = True


Relationship = ToOne | ToMany
Shapes = dict[Hashable, Any]


@dataclass(frozen=True, kw_only=False)
class Resource:
    """A type of objects at a door."""

    type: str
    attributes: tuple[Attribute, ...]
    to_one: tuple[ToOne, ...] = ()
    to_many: tuple[ToMany, ...] = ()
    plain_filters: tuple[str, ...] = ()
    """`filter[name]=a,b`: a condition `in`."""
    extra_filters: Mapping[str, Kind] = field(default_factory=dict)
    """Fields that are no attributes, with the filters of their kind."""
    sorts: tuple[str, ...] = ()
    """Fields beside the attributes by which it may be sorted."""
    default_sort: tuple[Sort, ...] = (Sort("id"),)
    first: tuple[str, ...] = ()
    """Fields whose errors come before all others."""
    id: Kind = REFERENCE
    """How ids are read: numbers, unless it is TEXT or UUID."""
    path: str = ""
    at: str = ""
    linked: bool = True
    """Whether objects have `links` at all."""
    paged: bool = True
    self_path: str = ""
    """`links.self` where it is not `<type>/<id>`: a path below the door's."""
    alike: bool = False
    """Whether `list` shows all of a workspace the same: then what several requests ask for at once is read at once."""
    list: ListRows | None = None
    show: ShowRow | None = None
    create: Create | None = None
    create_apart: CreateApart | None = None
    """As `create`, with transactions of its own, for what many requests write together; it answers a row. `create` is
    needed beside it: it takes what cannot be read whole."""
    update: Update | None = None
    delete: Delete | None = None

    @property
    def segment(self) -> str:
        """Its name in URLs."""
        return self.path or self.type

    @cached_property
    def relationships(self) -> dict[str, Relationship]:
        """All of them by name, in order."""
        every: tuple[Relationship, ...] = (*self.to_one, *self.to_many)
        return {relationship.name: relationship for relationship in every}

    @cached_property
    def related(self) -> tuple[tuple[str, Relationship], ...]:
        """The relationships that are shown, each with its key."""
        return tuple((dashed(one.name), one) for one in self.relationships.values() if one.readable)

    @cached_property
    def by_name(self) -> dict[str, Attribute]:
        """Attributes by name."""
        return {attribute.name: attribute for attribute in self.attributes}

    @cached_property
    def by_key(self) -> dict[str, Attribute]:
        """Attributes by their names on the wire; none that is called as a relationship is."""
        return {dashed(one.name): one for one in self.attributes if one.name not in self.relationships}

    @cached_property
    def relationships_by_key(self) -> dict[str, Relationship]:
        """Relationships by their names on the wire."""
        return {dashed(name): one for name, one in self.relationships.items()}

    @cached_property
    def shapes(self) -> Shapes:
        """How objects are written, by type of row: filled as types of rows are met."""
        return {}

    @cached_property
    def fields(self) -> frozenset[str]:
        """What `fields[type]` may name: id, attributes and relationships, as the wire has them."""
        shown = [a.name for a in self.attributes if a.readable]
        return frozenset(dashed(name) for name in ("id", *shown, *self.relationships))

    @cached_property
    def sortable(self) -> frozenset[str]:
        """What `sort` may name."""
        return frozenset(("id", *self.sorts, *(a.name for a in self.attributes if a.sortable and a.readable)))

    @cached_property
    def filters(self) -> dict[str, tuple[str, str, Kind]]:
        """Every filter by its key: the field, the operator and the kind of its values."""
        found: dict[str, tuple[str, str, Kind]] = {}
        families = {a.name: a.kind for a in self.attributes if a.filters} | dict(self.extra_filters)
        for name, kind in families.items():
            found |= {f"{name}_{operator}": (name, operator, kind) for operator in kind.operators}
        kinds = {a.name: a.kind for a in self.attributes} | dict(self.extra_filters) | {"id": self.id}
        found |= {name: (name, "in", kinds[name]) for name in self.plain_filters}
        return found | {f"{r.name}.id": (f"{r.name}_id", "in", REFERENCE) for r in self.to_one if r.filter}

    def writable(self, action: str) -> frozenset[str]:
        """The fields that may be sent with `C` or `U`, as the wire has them."""
        return self._writable[action]

    @cached_property
    def _writable(self) -> dict[str, frozenset[str]]:
        every: tuple[Attribute | Relationship, ...] = (*self.attributes, *self.to_one, *self.to_many)
        return {action: frozenset(dashed(one.name) for one in every if action in one.writes) for action in "CU"}

    @cached_property
    def rank(self) -> dict[str, int]:
        """The order in which errors about fields are told."""
        names = dict.fromkeys((*self.first, *self.by_name, *self.relationships))
        return {name: place for place, name in enumerate(names)}


def dashed(name: str) -> str:
    """A name as the wire has it."""
    return name.replace("_", "-")
