"""Lists as somebody asks for them: conditions on declared columns, an order, a page of it and how many there are.

A room names the columns that may be asked for and a statement of its `queries.sql` that ends in its `where` clause:

    ACCOUNTS = Lister(queries, "list_accounts", {"id": Column("a.yeti_id", BIGINT), "name": Column("p.name", TEXT)})
    page = await ACCOUNTS.fetch(connection, listing, workspace)

Nothing of a request becomes SQL: names are looked up among the columns, values are parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from bursar.core.errors import Invalid
from bursar.db.database import LETTERS, Connection, Row
from bursar.db.queries import Queries

queries = Queries("bursar.db")

T = TypeVar("T")

BOOLEAN, BIGINT, NUMERIC, TEXT, MOMENT, UUID, INET = (
    "boolean", "bigint", "numeric", "text", "timestamptz", "uuid", "inet",
)  # fmt: skip

OPERATORS = frozenset(
    ("eq", "not_eq", "gt", "gteq", "lt", "lteq", "in", "not_in", "cont", "start", "end", "cont_any", "null")
)
_COMPARE = {"eq": "=", "not_eq": "<>", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<="}
_OUT_OF = {"in": "= any", "not_in": "<> all"}
_PATTERNS = {"cont": "%{}%", "cont_any": "%{}%", "start": "{}%", "end": "%{}"}
_LONGEST = 2**63
FURTHEST = 2**62
"""No list is as long: an offset beyond is this one."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a row must meet. `in`, `not_in` and `cont_any` take any number of values, `null` none, the others one.

    A row without a value meets no condition but `null`. Texts are searched without regard to case.
    """

    field: str
    operator: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Sort:
    """By which field."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows, in what order, and which part of them; rows that are equal by `sort` stand in the order of `id`."""

    conditions: tuple[Condition, ...] = ()
    sort: tuple[Sort, ...] = ()
    offset: int = 0
    limit: int | None = None
    counted: bool = True
    """Whether `Slice.total` is wanted."""


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """The part that was asked for; `total` counts all rows that meet the conditions (here only: where not counted)."""

    rows: list[T]
    total: int


@dataclass(frozen=True, slots=True)
class Column:
    """An SQL expression over the statement's tables, and its type: one of the constants of this module."""

    expression: str
    type: str


class Lister:
    """A statement with the columns by which its rows may be asked for; `id` must be among them and unique."""

    def __init__(self, statements: Queries, name: str, columns: Mapping[str, Column], *, total: str = "") -> None:
        """`total` names a statement that counts all rows faster than by looking at each: for lists without conditions.

        It takes the same first parameters.
        """
        self._statements = statements
        self._name = name
        self._columns = dict(columns)
        self._total = total

    async def fetch(self, connection: Connection, listing: Listing, *arguments: object) -> Slice[Row]:
        """The rows; `arguments` are the statement's own parameters. Raises `Invalid` for an undeclared field."""
        values = list(arguments)
        text = getattr(self._statements, self._name)
        for condition in listing.conditions:
            text += f" and {self._condition(condition, values)}"
        order = ", ".join(self._order(listing.sort))
        ordered = f"{text} order by {order}"
        if listing.limit is None and not listing.offset:
            rows = await connection.fetch(ordered, *values)
            return Slice(rows, len(rows))
        count = self._count(text, listing)
        asked = len(values)
        page = _page(values, listing)
        if not listing.counted:
            rows = await connection.fetch(f"{ordered} {page}", *values)
            return Slice(rows, len(rows))
        rows = await connection.fetch(self._counted(f"{ordered} {page}", count, listing), *values)
        if rows:
            total = rows[0]["_total"]
            return Slice(rows, listing.offset + len(rows) if total is None else total)
        if listing.limit and not listing.offset:
            return Slice(rows, 0)
        # A page beyond the end: nothing on it could bring the count along.
        return Slice(rows, int(await connection.fetchval(count, *values[:asked])))

    def _counted(self, page: str, count: str, listing: Listing) -> str:
        """The statement of a page that brings the count along."""
        if self._total and not listing.conditions:
            return queries.page_totalled.format(page=page, total=count)
        return queries.page_counted.format(page=page, size=listing.limit or 0, count=count)

    def _count(self, text: str, listing: Listing) -> str:
        """The statement that counts all rows, with the parameters that come before those of the page."""
        if self._total and not listing.conditions:
            return str(getattr(self._statements, self._total))
        return queries.count_listed.replace("{listing}", text)

    def _column(self, field: str) -> Column:
        column = self._columns.get(field)
        if column is None:
            raise Invalid(field, "cannot be asked for")
        return column

    def _order(self, sort: Sequence[Sort]) -> list[str]:
        asked = [entry for entry in sort if entry.field != "id"]
        identity = next((entry for entry in sort if entry.field == "id"), Sort("id"))
        # Nothing stands behind an id that comes first: it is unique.
        entries = [identity] if sort and sort[0].field == "id" else [*asked, identity]
        return [f"{self._column(e.field).expression}{' desc' if e.descending else ''}" for e in entries]

    def _condition(self, condition: Condition, values: list[object]) -> str:
        column, operator = self._column(condition.field), condition.operator
        if operator == "null":
            return f"{column.expression} is null"
        if operator in _PATTERNS:
            patterns = [_PATTERNS[operator].format(_escaped(str(v))) for v in condition.values if "\0" not in str(v)]
            place = _place(values, patterns, "text[]")
            return f"({column.expression}) collate {LETTERS} ilike any({place})"
        expression, kind, asked = _fitting(column, condition.values)
        if operator in _OUT_OF:
            return f"{expression} {_OUT_OF[operator]}({_place(values, asked, f'{kind}[]')})"
        if not asked:
            return f"({expression} is not null and {'true' if operator == 'not_eq' else 'false'})"
        return f"{expression} {_COMPARE[operator]} {_place(values, asked[0], kind)}"


def _fitting(column: Column, values: Sequence[Any]) -> tuple[str, str, list[Any]]:
    """The expression, type and values to compare, such that PostgreSQL can read each value as that type.

    A text that no column can hold is left out: nothing is equal to it.
    """
    if column.type == TEXT:
        return column.expression, TEXT, [str(value) for value in values if "\0" not in str(value)]
    if column.type == BIGINT and not all(isinstance(v, int) and -_LONGEST <= v < _LONGEST for v in values):
        return f"({column.expression})::numeric", NUMERIC, [Decimal(value) for value in values]
    if column.type == NUMERIC:
        return column.expression, NUMERIC, [Decimal(value) for value in values]
    return column.expression, column.type, list(values)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _place(values: list[object], value: object, kind: str) -> str:
    """A parameter for `value`."""
    values.append(value)
    return f"${len(values)}::{kind}"


def _page(values: list[object], listing: Listing) -> str:
    """The clause that cuts a page out of the rows."""
    if listing.limit is not None and not listing.offset:
        # A number of ours in the text, not a parameter: so PostgreSQL knows how few rows are wanted without planning
        # the statement every time.
        return f"limit {listing.limit:d}"
    offset = min(listing.offset, FURTHEST)
    return f"limit {_place(values, listing.limit, BIGINT)} offset {_place(values, offset, BIGINT)}"
