"""What a setting's value may be, what a rule reads of it, and which one holds for an account. Pure."""

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from bursar.core import decimals
from bursar.core.decimals import NUMERAL
from bursar.core.errors import Invalid
from bursar.core.jsonlogic import compile_rule

ENTITY_TYPES = ("ORGANIZATION", "CUSTOMER", "ACCOUNT")
"""Whose settings there are: the workspace's own, a customer's, an account's. The later ones go before the earlier."""
VALUE_LIMIT = 10_000
DEPTH_LIMIT = 32
"""Brackets around the innermost value of JSON."""


class Reference(NamedTuple):
    """A setting as a schema names it: by namespace and id, or, where `entity_type` is given, one setting alone."""

    namespace: str
    id: str
    entity_type: str | None = None
    entity_id: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting says, as text."""

    text: str
    data_type: str

    def read(self) -> Any:
        """What a rule reads: a decimal, text, or JSON with lists as tuples and exact decimals."""
        return _read(self.text, self.data_type)


Timeline = list[tuple[int, Value]]
"""The values of a setting, each with the version of the workspace's rules from which on it holds, ascending."""


@dataclass(slots=True)
class Settings:
    """The settings that a workspace's schemas name, each with every value that it has had."""

    shared: dict[Reference, Timeline] = field(default_factory=dict)
    """The workspace's own by namespace and id, and those that are named in full."""
    own: dict[int, dict[tuple[str, str, str], Timeline]] = field(default_factory=dict)
    """By account: its own and its customer's, by entity type, namespace and id."""

    def value(self, wanted: Reference, account: int, version: int) -> Value | None:
        """The value that holds for an account at a version of the rules: its own, its customer's or the workspace's.

        The account must be among `own`.
        """
        if wanted.entity_type is None:
            for entity_type in ("ACCOUNT", "CUSTOMER"):
                found = _at(self.own[account].get((entity_type, wanted.namespace, wanted.id)), version)
                if found is not None:
                    return found
        return _at(self.shared.get(wanted), version)


def _at(timeline: Timeline | None, version: int) -> Value | None:
    place = bisect_right(timeline, version, key=lambda entry: entry[0]) if timeline else 0
    return timeline[place - 1][1] if timeline and place else None


def parse_reference(text: str) -> Reference | None:
    """The setting that `setting.<namespace>.<id>`, or that with `.<entity type>.<entity id>`, names; None otherwise.

    Namespaces and entity types count without regard to case.
    """
    head, *parts = text.split(".", 4)
    if head != "setting" or len(parts) not in {2, 4} or not all(parts):
        return None
    if len(parts) == 2:
        return Reference(parts[0].upper(), parts[1])
    entity_type = parts[2].upper()
    return Reference(parts[0].upper(), parts[1], entity_type, parts[3]) if entity_type in ENTITY_TYPES else None


def full_id(namespace: str, identifier: str, entity_type: str, entity_id: str) -> str:
    """The path of a setting: `setting.USER.threshold.ACCOUNT.acme`."""
    return f"setting.{namespace}.{identifier}.{entity_type}.{entity_id}"


def check_value(data_type: str, value: str, path: str) -> None:
    """Raise `Invalid` for a value that is not of its data type."""
    if data_type == "NUMERIC" and not NUMERAL.fullmatch(value):
        raise Invalid(path, "must be a number below 10^26 with at most 12 decimals: dataType is NUMERIC")
    if data_type == "JSON":
        try:
            _json(value)
        except (ValueError, RecursionError) as error:
            raise Invalid(path, f"must be JSON: {_cause(error)}") from None
    if data_type == "JSON_LOGIC":
        compile_rule(value, max_length=VALUE_LIMIT, field=path)


def _cause(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    return str(error) if type(error) is ValueError else "it is nested too deeply"


@lru_cache(maxsize=4096)
def _read(text: str, data_type: str) -> Any:
    if data_type == "NUMERIC":
        return Decimal(text)
    return _json(text) if data_type == "JSON" else text


def _json(text: str) -> Any:
    return _tidied(json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_no_number), DEPTH_LIMIT)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not decimals.fits(number):
        raise ValueError("a number must lie below 10^26 and have at most 12 decimals")
    return number


def _no_number(text: str) -> Decimal:
    raise ValueError(f"{text} is not a number")


def _tidied(value: Any, depth: int) -> Any:
    """The value as rules have them: lists as tuples, texts that UTF-8 and PostgreSQL can hold."""
    if isinstance(value, str):
        return _checked(value)
    if not isinstance(value, list | dict):
        return value
    if not depth:
        raise ValueError(f"it nests more than {DEPTH_LIMIT} brackets")
    if isinstance(value, list):
        return tuple(_tidied(item, depth - 1) for item in value)
    return {_checked(key): _tidied(item, depth - 1) for key, item in value.items()}


def _checked(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a text must not contain NUL or half a surrogate pair")
    return text


def names_of(references: Iterable[Reference]) -> list[tuple[str, str]]:
    """Namespace and id of the settings that are not named in full, each once."""
    return sorted({(wanted.namespace, wanted.id) for wanted in references if wanted.entity_type is None})
