"""How the jsonLogic tests write rules and values: as JSON text, numbers as decimals, lists as tuples."""

import json
from decimal import Decimal
from typing import Any

from bursar.core.jsonlogic import Rule, compile_rule


def frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return value


def parsed(text: str) -> Any:
    return frozen(json.loads(text, parse_float=Decimal, parse_int=Decimal))


def rule(text: str, max_length: int = 10_000) -> Rule:
    return compile_rule(text, max_length=max_length, field="matcher")


def evaluate(text: str, data: str = "{}") -> Any:
    return rule(text).evaluate(parsed(data))


def typed(value: Any) -> Any:
    """The value with its types, so that True and 1 differ."""
    return tuple(map(typed, value)) if isinstance(value, tuple) else (type(value), value)
