"""How a row of a file becomes an event: which column is what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from bursar.core.errors import Invalid
from bursar.core.period import parse_instant

Value = Callable[[Any], str]
"""Takes a row, a list of cells or a mapping by column, and gives a text."""


class Columns(msgspec.Struct, forbid_unknown_fields=True):
    """How a row becomes an event.

    Every value is the name of a column, a text with columns in braces (`gpu-{TIMESTAMP}`), or `=text` as it stands.
    """

    schema: str
    id: str
    timestamp: str
    account: str
    attributes: dict[str, str] = {}
    dimensions: dict[str, str] = {}


def read_columns(path: Path) -> Columns:
    """The mapping of a JSON file. Raises `Invalid`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Columns)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(str(path), f"is not a mapping: {error}") from None


@dataclass(frozen=True, slots=True)
class Translation:
    """A mapping, ready for rows of a file."""

    schema: Value
    id: Value
    timestamp: Value
    account: Value
    attributes: Sequence[tuple[str, Value]]
    dimensions: Sequence[tuple[str, Value]]

    def event(self, row: Any) -> dict[str, Any]:
        """The event that a row is, ready for JSON. Raises `Invalid` or `ValueError` for one that is none."""
        try:
            return {
                "schemaName": self.schema(row),
                "id": self.id(row),
                "timestamp": parse_instant(self.timestamp(row)),
                "accountId": self.account(row),
                "attributes": [{"name": name, "value": value(row).strip()} for name, value in self.attributes],
                "dimensions": {name: value(row) for name, value in self.dimensions},
            }
        except IndexError:
            raise Invalid("", "the row has too few columns") from None
        except KeyError as error:
            raise Invalid(str(error.args[0]), "the row has no such field") from None


def translation(mapping: Columns, columns: Sequence[str], *, by_name: bool) -> Translation:
    """The mapping for rows that are mappings by column, or lists in the order of `columns`.

    Without `columns` any name may be one. Raises `Invalid` for a value that names no column.
    """

    def value(text: str, name: str) -> Value:
        return _value(text, name, columns, by_name=by_name)

    return Translation(
        schema=value(mapping.schema, "schema"),
        id=value(mapping.id, "id"),
        timestamp=value(mapping.timestamp, "timestamp"),
        account=value(mapping.account, "account"),
        attributes=[(name, value(text, f"attribute {name}")) for name, text in mapping.attributes.items()],
        dimensions=[(name, value(text, f"dimension {name}")) for name, text in mapping.dimensions.items()],
    )


def _value(text: str, name: str, columns: Sequence[str], *, by_name: bool) -> Value:
    if text.startswith("="):
        said = text[1:]
        return lambda _: said
    if text in columns or (not columns and "{" not in text):
        return itemgetter(text if by_name else columns.index(text))
    if "{" in text:
        try:
            text.format_map(dict.fromkeys(columns, "") if columns else _Anything())
        except (KeyError, ValueError, IndexError, AttributeError):
            pass
        else:
            return text.format_map if by_name else lambda row: text.format_map(dict(zip(columns, row, strict=False)))
    raise Invalid(name, f"{text!r} is not a column, a text with columns in braces, or =text")


class _Anything(Mapping[str, str]):
    """A row that has every field."""

    def __getitem__(self, _: str) -> str:
        return ""

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0
