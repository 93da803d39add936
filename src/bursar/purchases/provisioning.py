"""What a service gives beside its price: variables of each class of provisioning, and the free minutes that follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bursar.core import decimals

NOT_AN_OBJECT = "must be a JSON object or empty"
DEPTH_LIMIT = 32
PREFIXES_LIMIT = 1000
PREFIX_LIMIT = 64
DURATION_LIMIT = 2**31 - 1
MISSING = "is missing"
UNFILLED = "must be filled"


class Provisioning(StrEnum):
    """The classes of provisioning, by the names that a carrier knows.

    `Logging` and `PhoneSystems` keep their variables and do nothing here.
    """

    LOGGING = "Billing::Provisioning::Logging"
    FREE_MINUTES = "Billing::Provisioning::FreeMinutes"
    PHONE_SYSTEMS = "Billing::Provisioning::PhoneSystems"


@dataclass(frozen=True, slots=True)
class Counter:
    """Free seconds to numbers that begin with `prefix`; with `exclude` none, whatever shorter prefixes say."""

    prefix: str
    duration: int
    exclude: bool


def verified(
    provisioning: Provisioning, variables: object, *, of_type: bool
) -> tuple[dict[str, Any] | None, list[str]]:
    """Variables as they are kept, and the rules that they break, in order.

    `of_type`: those of a type of services, which ignore no prefixes. Of free minutes only what is known is kept.
    """
    if variables is None or variables == "":
        return None, []
    if not isinstance(variables, dict):
        return None, [NOT_AN_OBJECT]
    problem = _unstorable(variables, DEPTH_LIMIT)
    if problem:
        return None, [problem]
    if provisioning is not Provisioning.FREE_MINUTES:
        return variables, []
    return _free_minutes(variables, ignoring=not of_type)


def counters(of_type: Mapping[str, Any] | None, of_service: Mapping[str, Any] | None) -> list[Counter]:
    """The free minutes of a service, ordered by prefix.

    Its own prefixes take the place of its type's, and it may ignore some of those. Of a prefix that is given twice the
    last entry counts.
    """
    found = {entry["prefix"]: entry for entry in (of_type or {}).get("prefixes", ())}
    own = of_service or {}
    for prefix in own.get("ignore_prefixes", ()):
        found.pop(prefix, None)
    found |= {entry["prefix"]: entry for entry in own.get("prefixes", ())}
    return [Counter(p, int(e["duration"]), bool(e.get("exclude", False))) for p, e in sorted(found.items())]


def _free_minutes(variables: Mapping[str, Any], *, ignoring: bool) -> tuple[dict[str, Any], list[str]]:
    kept: dict[str, Any] = {}
    problems: list[str] = []
    if "prefixes" in variables:
        entries = _list(variables["prefixes"], "prefixes", problems)
        kept["prefixes"] = [_prefix(entry, f"prefixes.{place}", problems) for place, entry in enumerate(entries)]
    if ignoring and "ignore_prefixes" in variables:
        entries = _list(variables["ignore_prefixes"], "ignore_prefixes", problems)
        kept["ignore_prefixes"] = list(entries)
        for place, entry in enumerate(entries):
            if not isinstance(entry, str):
                problems.append(f"ignore_prefixes.{place} - must be a string")
    return kept, problems


def _list(value: Any, name: str, problems: list[str]) -> Sequence[Any]:
    if not isinstance(value, list):
        problems.append(f"{name} - must be an array")
        return ()
    if len(value) > PREFIXES_LIMIT:
        problems.append(f"{name} - size cannot be greater than {PREFIXES_LIMIT}")
        return ()
    return value


def _prefix(entry: Any, place: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(entry, dict):
        problems.append(f"{place} - must be a hash")
        return {}
    checks = (("prefix", _prefix_problem), ("duration", _duration_problem), ("exclude", _exclude_problem))
    for name, check in checks:
        problem = check(entry[name]) if name in entry else None if name == "exclude" else MISSING
        if problem:
            problems.append(f"{place}.{name} - {problem}")
    return {name: entry[name] for name, _ in checks if name in entry}


def _prefix_problem(value: Any) -> str | None:
    if value is None or value == "":
        return UNFILLED
    if not isinstance(value, str):
        return "must be a string"
    return f"size cannot be greater than {PREFIX_LIMIT}" if len(value) > PREFIX_LIMIT else None


def _duration_problem(value: Any) -> str | None:
    if value is None or value == "":
        return UNFILLED
    if isinstance(value, bool) or not isinstance(value, int):
        return "must be an integer"
    if value < 0:
        return "must be greater than or equal to 0"
    return f"must be less than or equal to {DURATION_LIMIT}" if value > DURATION_LIMIT else None


def _exclude_problem(value: Any) -> str | None:
    if value is None or value == "":
        return UNFILLED
    return None if isinstance(value, bool) else "must be boolean"


def _unstorable(value: Any, depth: int) -> str | None:
    """Why a JSON value cannot be kept exactly, if so."""
    if isinstance(value, str):
        return "must not contain NUL" if "\0" in value else None
    if isinstance(value, int | Decimal):
        return None if decimals.fits(Decimal(value)) else "numbers must lie below 10^26 and have at most 12 decimals"
    if not isinstance(value, list | dict):
        return None
    if not depth:
        return f"must not nest more than {DEPTH_LIMIT} brackets"
    parts = value if isinstance(value, list) else [*value, *value.values()]
    return next((problem for part in parts if (problem := _unstorable(part, depth - 1))), None)
