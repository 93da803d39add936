"""The values of jsonLogic: what is true, what is a number, what is equal, what comes before what."""

import decimal
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeGuard

from bursar.core import decimals
from bursar.core.errors import BursarError
from bursar.core.period import parse_instant, show_instant, utc

STEPS = 3_000
"""What one evaluation may spend on loops and long values; a step is a quarter of a microsecond or less."""
TEXT_LIMIT = 10_000
"""Characters that an operator may put together."""

EXACT = decimal.Context(
    prec=120,
    rounding=decimal.ROUND_HALF_EVEN,
    Emin=-60,
    Emax=60,
    traps=[
        decimal.InvalidOperation,
        decimal.DivisionByZero,
        decimal.Overflow,
        decimal.Subnormal,
        decimal.Underflow,
        decimal.Inexact,
    ],
)
"""Arithmetic that is exact or raises `decimal.DecimalException`; its bounds keep every operation cheap."""

Steps = list[int]
"""One number: the steps that are left."""

_NUMERAL = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*", re.ASCII)
_NUMERAL_LENGTH = 200
_DATE_LENGTH = 64
_SCALARS = frozenset({type(None), bool, Decimal, str, datetime})
_ZERO, _ONE = Decimal(0), Decimal(1)


class EvaluationError(BursarError):
    """The rule has no value for this data."""


def charge(left: Steps, steps: int) -> None:
    """Spend `steps`. Raises `EvaluationError` when the evaluation has none left."""
    left[0] -= steps
    if left[0] < 0:
        raise EvaluationError(f"the rule needs more than {STEPS} steps")


def truthy(value: object) -> bool:
    """False for null, false, 0, empty text and the empty list; true for all else, "0" and every object included."""
    return bool(value) or isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether `value` is a list; rules make tuples, data may hold either."""
    return type(value) is tuple or type(value) is list


def number_of(value: object) -> Decimal | None:
    """The number that `value` is or that its text spells, else None. Booleans are no numbers."""
    if type(value) is Decimal:
        return value
    if type(value) is str:
        found = _NUMERAL.fullmatch(value) if len(value) <= _NUMERAL_LENGTH else None
        return Decimal(found[1]) if found else None
    return Decimal(value) if type(value) is int else None


def operand(name: str, value: object) -> Decimal:
    """`value` as a number for operator `name`. Raises `EvaluationError` where it is none."""
    number = number_of(value)
    if number is None:
        raise EvaluationError(f'"{name}" needs numbers, not {kind(value)}')
    return number


def whole(name: str, value: object) -> int:
    """`value` as an integer for operator `name`. Raises `EvaluationError` where it is none."""
    number = EXACT.plus(operand(name, value))
    if number != number.to_integral_value():
        raise EvaluationError(f'"{name}" needs a whole number, not {text_of(name, number)}')
    return int(number)


def moment_of(value: object) -> datetime | None:
    """The instant that `value` is or that its ISO 8601 text names, in UTC, else None."""
    try:
        if isinstance(value, datetime):
            return utc(value)
        return parse_instant(value) if type(value) is str and len(value) <= _DATE_LENGTH else None
    except (ValueError, OverflowError):
        return None


def text_of(name: str, value: object) -> str:
    """`value` as text for operator `name`: numbers without exponent or trailing zeros, null as nothing.

    Raises `EvaluationError` for a list or an object, `decimal.DecimalException` for a number out of range.
    """
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    number = number_of(value)
    if number is not None:
        return format(decimals.plain(EXACT.plus(number)), "f")
    moment = moment_of(value)
    if moment is None:
        raise EvaluationError(f'"{name}" cannot make text of {kind(value)}')
    return show_instant(moment)


def comparable(first: object, second: object) -> tuple[Any, Any] | None:
    """Both as texts, numbers or instants, whichever they have in common; None where they have nothing.

    Beside a number or a boolean, text counts by its numeral and a boolean as 0 or 1; beside an instant, text is a date.
    """
    if type(first) is str and type(second) is str:
        return first, second
    pair: tuple[object, object]
    if isinstance(first, datetime) or isinstance(second, datetime):
        pair = moment_of(first), moment_of(second)
    else:
        pair = _counted(first), _counted(second)
    return None if pair[0] is None or pair[1] is None else pair


def loosely_equal(first: object, second: object) -> bool:
    """`==`: equal once both are brought to one type. Null equals null alone; lists and objects equal nothing."""
    if first is None or second is None:
        return first is second
    pair = comparable(first, second)
    return pair is not None and bool(pair[0] == pair[1])


def strictly_equal(first: object, second: object) -> bool:
    """`===`: the same type and the same value. 1 and 1.00 are the same; lists and objects equal nothing."""
    return type(first) is type(second) and type(first) in _SCALARS and first == second


def kind(value: object) -> str:
    """What `value` is, in words, short enough for a message."""
    if value is None:
        return "null (is a variable missing?)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, datetime):
        return "a date"
    return "a list" if is_list(value) else "an object" if isinstance(value, Mapping) else "a value of another kind"


def quoted(text: str) -> str:
    """The beginning of `text` in quotes, in plain ASCII."""
    return '"' + (text if len(text) <= 40 else text[:40] + "...").encode("ascii", "backslashreplace").decode() + '"'


def _counted(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return _ONE if value else _ZERO
    return number_of(value)
