"""How a row of a file becomes an event: which column is what."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from bursar.core.errors import Invalid
from bursar.core.period import parse_instant, show_instant


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
class _Said:
    """A text as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of the row, by its place in a list or its name in a mapping."""

    place: int | str


@dataclass(frozen=True, slots=True)
class _Made:
    """A text made of the row."""

    read: Callable[[Any], str]


_Value = _Said | _Cell | _Made
_USUAL = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
"""Instants that the decoder of events takes as they are, or refuses; further digits it would round."""


_SLOT = "\0"
"""Where a value is written in; nowhere else in JSON."""


class Translation:
    """A mapping, ready for rows of a file.

    Values are written into a text that has all else of an event: half of an encoder's time, with the object for it.
    """

    def __init__(self, mapping: Columns, value: Callable[[str, str], _Value]) -> None:
        """`value` makes a text of the mapping ready, given also what it is for. Raises as it does."""
        timestamp = value(mapping.timestamp, "timestamp")
        read: list[_Cell | _Made] = [_Made(lambda _: timestamp.text) if isinstance(timestamp, _Said) else timestamp]

        def slot(said: _Value) -> str:
            if isinstance(said, _Said):
                return _constant(said.text)
            read.append(said)
            return _SLOT

        attributes = ",".join(
            f'{{"name":{_constant(name)},"value":{slot(_stripped(value(text, f"attribute {name}")))}}}'
            for name, text in mapping.attributes.items()
        )
        self._numbers = range(1, len(read))
        """Which values are numbers: spaces beside a number are none of it."""
        keys = {
            "schemaName": (mapping.schema, "schema"),
            "id": (mapping.id, "id"),
            "accountId": (mapping.account, "account"),
        }
        fields = "".join(f'"{name}":{slot(value(text, what))},' for name, (text, what) in keys.items())
        dimensions = ",".join(
            f"{_constant(name)}:{slot(value(text, f'dimension {name}'))}" for name, text in mapping.dimensions.items()
        )
        text = f'{{"timestamp":"%s","attributes":[{attributes}],{fields}"dimensions":{{{dimensions}}}}}'
        self._text, self._plain_text = text.replace(_SLOT, "%s"), text.replace(_SLOT, '"%s"')
        self._cells = _together(read)
        self._only_cells = all(isinstance(one, _Cell) for one in read)

    def event(self, row: Any) -> bytes:
        """The event that a row is, as JSON. Raises `Invalid` or `ValueError` for one that is none."""
        timestamp, *cells = self._values(row)
        return (self._text % (timestamp, *map(encode_basestring, cells))).encode()

    def plain_event(self, row: Any) -> bytes:
        """As `event` of a row whose cells are texts that stand in JSON as they are."""
        return (self._plain_text % tuple(self._values(row))).encode() if self._only_cells else self.event(row)

    def _values(self, row: Any) -> Sequence[str]:
        """What the row has to say: the instant, the numbers, the other texts."""
        try:
            values = list(self._cells(row))
        except IndexError:
            raise Invalid("", "the row has too few columns") from None
        except KeyError as error:
            raise Invalid(str(error.args[0]), "the row has no such field") from None
        if not _USUAL.fullmatch(values[0]):
            values[0] = show_instant(parse_instant(values[0]))
        for place in self._numbers:
            values[place] = values[place].strip()
        return values


def _constant(text: str) -> str:
    """A text as JSON, in one into which values are written."""
    return encode_basestring(text).replace("%", "%%")


def _stripped(value: _Value) -> _Value:
    return _Said(value.text.strip()) if isinstance(value, _Said) else value


def _together(values: Sequence[_Cell | _Made]) -> Callable[[Any], Sequence[str]]:
    """All the values of a row at once."""
    places = [value.place for value in values if isinstance(value, _Cell)]
    if len(places) == len(values) > 1:
        return itemgetter(*places)
    each = [value.read if isinstance(value, _Made) else itemgetter(value.place) for value in values]
    return lambda row: [read(row) for read in each]


def translation(mapping: Columns, columns: Sequence[str], *, by_name: bool) -> Translation:
    """The mapping for rows that are mappings by column, or lists in the order of `columns`.

    Without `columns` any name may be one. Raises `Invalid` for a value that names no column.
    """
    return Translation(mapping, lambda text, name: _value(text, name, columns, by_name=by_name))


def _value(text: str, name: str, columns: Sequence[str], *, by_name: bool) -> _Value:
    if text.startswith("="):
        return _Said(text[1:])
    if text in columns or (not columns and "{" not in text):
        return _Cell(text if by_name else columns.index(text))
    if "{" in text:
        try:
            text.format_map(dict.fromkeys(columns, "") if columns else _Anything())
        except (KeyError, ValueError, IndexError, AttributeError):
            pass
        else:
            return _Made(
                text.format_map if by_name else lambda row: text.format_map(dict(zip(columns, row, strict=False)))
            )
    raise Invalid(name, f"{text!r} is not a column, a text with columns in braces, or =text")


class _Anything(Mapping[str, str]):
    """A row that has every field."""

    def __getitem__(self, _: str) -> str:
        return ""

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0
