"""From JSON text to a tree of calls and constants, within limits that hold before anything is built."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import NoReturn, TypeAlias

from bursar.core.jsonlogic.values import EXACT, quoted

MAX_DEPTH = 64
"""Brackets around the innermost value; an operator with its list of arguments makes two."""
MAX_NODES = 1_000
"""Constants, lists and operators in one rule."""

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(r"[\[\]{}]")


class Refused(ValueError):
    """The rule cannot be saved; the message says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operator and its arguments as written; a single argument may have stood without a list."""

    name: str
    arguments: "list[Tree]"


Tree: TypeAlias = "bool | Decimal | str | list[Tree] | Call | None"


def read(text: str, max_length: int) -> Tree:
    """The tree that `text` spells. Raises `Refused`."""
    if len(text) > max_length:
        raise Refused(f"must have at most {max_length} characters")
    if _depth(text) > MAX_DEPTH:
        raise Refused(f"must not nest more than {MAX_DEPTH} brackets")
    try:
        tree: Tree = json.loads(
            text,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_no_number,
            object_pairs_hook=_call,
        )
    except json.JSONDecodeError as error:
        raise Refused(f"must be JSON: {error.msg} at character {error.pos + 1}") from error
    return tree


def checked(text: str) -> str:
    """`text` itself, where PostgreSQL and UTF-8 can hold it. Raises `Refused`."""
    if "\0" in text or (not text.isascii() and _HALF_PAIR.search(text)):
        raise Refused("must not contain NUL or half a surrogate pair")
    return text


def _depth(text: str) -> int:
    # Counted before parsing: the parser recurses once per bracket.
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _number(text: str) -> Decimal:
    try:
        return EXACT.plus(Decimal(text))
    except DecimalException as error:
        raise Refused(
            f"the number {quoted(text)} must have at most 120 digits and lie between 1E-60 and 1E+60"
        ) from error


def _no_number(text: str) -> NoReturn:
    raise Refused(f"{text} is not a number")


def _call(pairs: "list[tuple[str, Tree]]") -> Call:
    if len(pairs) != 1:
        names = ", ".join(quoted(name) for name, _ in pairs[:3])
        raise Refused(
            f"an object must have exactly one key, the operator, not {len(pairs)}" + f" ({names})" * bool(pairs)
        )
    name, arguments = pairs[0]
    return Call(name, arguments if isinstance(arguments, list) else [arguments])
