"""Kinds of attribute values: how each is read from a document and from a filter, shown, and filtered."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from bursar.core import decimals
from bursar.core.period import parse_instant, utc

BOOLEANS = ("eq", "not_eq")
WORDS = ("eq", "not_eq", "cont", "start", "end", "in", "not_in", "cont_any")
NUMBERS = ("eq", "not_eq", "gt", "gteq", "lt", "lteq", "in", "not_in")
NAMES = ("eq", "not_eq", "in", "not_in")
SEVERAL = frozenset(("in", "not_in", "cont_any"))
"""Operators that take more than one value."""

NOT_A_NUMBER = "is not a number"
_NUMERAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DIGITS_LIMIT = 400
_FALSE = frozenset((False, 0, "0", "f", "F", "false", "FALSE", "off", "OFF", "no"))
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "on", "ON", "yes"))


class Unfit(Exception):
    """A value that an attribute cannot take; carries the rule that it breaks."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(rule)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of values."""

    name: str
    operators: tuple[str, ...]
    """The suffixes of its filters."""
    read: Callable[[Any], Any]
    """From JSON to the value that a room takes. Raises `Unfit`."""
    search: Callable[[str], Any]
    """From a filter's text to the value that a room compares. Raises `ValueError`."""
    show: Callable[[Any], Any]
    """From a row's value, never None, to JSON."""
    shown: dict[str, Any]
    """JSON schema of what is shown."""
    taken: dict[str, Any]
    """JSON schema of what a sound request sends."""
    bare: bool = False
    """Whether what is shown is a text of which JSON escapes nothing."""


def _same(value: Any) -> Any:
    return value


def show_decimal(value: Decimal) -> str:
    """A decimal in the wire's notation: `"0.0"`, `"10.0"`, `"0.333"`."""
    if not value:
        return "0.0"
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    if "." not in text:
        return f"{text}.0"
    text = text.rstrip("0")
    return f"{text}0" if text[-1] == "." else text


def show_moment(value: datetime) -> str:
    """An instant in UTC with milliseconds."""
    return f"{utc(value).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def parse_number(text: str) -> Decimal:
    """The number of a text, as people and programs write it. Raises `ValueError`."""
    stripped = text.strip()
    if len(stripped) > _DIGITS_LIMIT or not _NUMERAL.fullmatch(stripped):
        raise ValueError(text[:64])
    return Decimal(stripped)


def read_decimal(raw: Any) -> Decimal | None:
    """A number or its text; "" is null."""
    value = _number(raw)
    if value is None:
        return None
    if value and abs(value.adjusted()) > 60:
        raise Unfit(NOT_A_NUMBER)
    if abs(value) >= decimals.LIMIT:
        raise Unfit(f"must be less than {decimals.LIMIT:f}")
    if not decimals.fits(value):
        raise Unfit(f"must have at most {decimals.SCALE} decimals")
    return value


def _number(raw: Any) -> Decimal | None:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    if isinstance(raw, bool) or not isinstance(raw, int | Decimal | str):
        raise Unfit(NOT_A_NUMBER)
    try:
        return parse_number(raw) if isinstance(raw, str) else Decimal(raw)
    except ValueError:
        raise Unfit(NOT_A_NUMBER) from None


def _whole(raw: Any, bits: int, *, strict: bool) -> int | None:
    value = _number(raw)
    if value is None:
        return None
    limit = 2 ** (bits - 1) - 1
    if value and value.adjusted() > 60:
        raise Unfit(f"must be {'less' if value > 0 else 'greater'} than or equal to {limit if value > 0 else -limit}")
    cut = int(value)
    if strict and cut != value:
        raise Unfit("must be an integer")
    if cut > limit:
        raise Unfit(f"must be less than or equal to {limit}")
    if cut < -limit:
        raise Unfit(f"must be greater than or equal to {-limit}")
    return cut


def read_text(raw: Any) -> str | None:
    """A text; numbers and truth values become the text of them."""
    if raw is None:
        return None
    if isinstance(raw, bool):
        return "t" if raw else "f"
    if isinstance(raw, int):
        return str(raw)
    if isinstance(raw, Decimal):
        return str(raw) if abs(raw.adjusted()) < 60 else raw.to_eng_string()
    if not isinstance(raw, str) or "\0" in raw:
        raise Unfit("is invalid")
    return raw


def _truth(raw: Any) -> bool | None:
    if raw is None or raw == "":
        return None
    if isinstance(raw, list | dict):
        raise Unfit("is invalid")
    return raw not in _FALSE


def _search_truth(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(text)


def _moment(raw: Any) -> datetime | None:
    if raw is None or raw == "":
        return None
    try:
        return parse_instant(raw)
    except (ValueError, TypeError, AttributeError):
        raise Unfit("is invalid") from None


def _uuid(raw: Any) -> uuid.UUID | None:
    if raw is None or raw == "":
        return None
    try:
        return uuid.UUID(raw)
    except (ValueError, TypeError, AttributeError):
        raise Unfit("is invalid") from None


def _several(raw: Any, one: Callable[[Any], Any]) -> list[Any] | None:
    """A list of what `one` reads; a single value is a list of one, nulls are dropped, an empty list is null."""
    found = [one(item) for item in (raw if isinstance(raw, list) else [raw])]
    return [item for item in found if item is not None and item != ""] or None


def _search_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character")
    return text


def _search_number(text: str) -> int | Decimal:
    value = parse_number(text)
    whole = value.adjusted() < 18 and value == value.to_integral_value()
    return int(value) if whole else value


def _show_rate(value: Decimal) -> Decimal:
    return Decimal(show_decimal(value))


def _object(raw: Any) -> Any:
    return raw


_STRING = {"type": "string"}
_NULL_STRING = {"type": ["string", "null"]}
_NULL_NUMBER = {"type": ["number", "string", "null"]}
_DECIMAL_TEXT = {"type": "string", "pattern": r"^-?\d+\.\d+$"}

TEXT = Kind("text", WORDS, read_text, _search_text, _same, _STRING, _NULL_STRING)
DECIMAL = Kind("decimal", NUMBERS, read_decimal, parse_number, show_decimal, _DECIMAL_TEXT, _NULL_NUMBER, bare=True)
"""An exact number, shown as a text: money, percents, rates."""
RATE = Kind("rate", NUMBERS, read_decimal, parse_number, _show_rate, {"type": "number"}, _NULL_NUMBER)
"""An exact number that the wire shows as a JSON number."""
BOOLEAN = Kind("boolean", BOOLEANS, _truth, _search_truth, _same, {"type": "boolean"}, {"type": ["boolean", "null"]})
MOMENT = Kind(
    "moment", NUMBERS, _moment, parse_instant, show_moment,
    {"type": "string", "format": "date-time"}, {"type": ["string", "null"], "format": "date-time"}, bare=True,
)  # fmt: skip
UUID = Kind(
    "uuid", NAMES, _uuid, uuid.UUID, str, {"type": "string", "format": "uuid"},
    {"type": ["string", "null"], "format": "uuid"}, bare=True,
)  # fmt: skip
JSON = Kind("json", (), _object, _same, _same, {}, {})
"""Whatever JSON can say; numbers with a fraction come as `Decimal`."""
REFERENCE = Kind(
    "reference", NAMES, lambda raw: _whole(raw, 64, strict=False), _search_number, _same, {"type": "integer"},
    {"type": ["integer", "string", "null"]},
)  # fmt: skip
"""The number of another object, kept as an attribute."""


def integer(bits: int = 64, *, strict: bool = True) -> Kind:
    """Whole numbers of so many bits. Not strict: a fraction is cut off, where strict ones refuse it."""
    return Kind(
        f"integer{bits}", NUMBERS, lambda raw: _whole(raw, bits, strict=strict), _search_number, _same,
        {"type": "integer"}, {"type": ["integer", "string", "null"]},
    )  # fmt: skip


def listed(of: Kind) -> Kind:
    """Lists of `of`. A single value is taken as a list of one; nulls and blanks are dropped; an empty list is null."""
    return Kind(
        f"{of.name}s", (), lambda raw: _several(raw, of.read), of.search,
        lambda values: [of.show(value) for value in values], {"type": "array", "items": of.shown},
        {"type": ["array", "null"], "items": of.taken},
    )  # fmt: skip


def choice(*allowed: str) -> Kind:
    """One of some names: a filter takes no others. In a document any text is read: the room says what is wrong."""

    def search(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return Kind(
        "choice", NAMES, read_text, search, _same, _STRING, {"type": ["string", "null"], "enum": [*allowed, None]}
    )


INTEGER = integer()
INTEGERS = listed(integer(strict=False))
TEXTS = listed(TEXT)
