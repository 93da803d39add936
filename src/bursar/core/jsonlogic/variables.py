"""`var`, `missing`, `missing_some`: how a rule reads its data."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from bursar.core.jsonlogic.reading import Refused
from bursar.core.jsonlogic.terms import Operator, Run, Scope, Term
from bursar.core.jsonlogic.values import EvaluationError, Steps, charge, is_list, kind, operand

MAX_PATH = 300
MAX_DOTS = 10
"""Limits of a variable's name; every dot is a place where a key may end."""

_PLURAL = {"attribute": "attributes", "dimension": "dimensions", "dependency": "dependencies"}
_GROUPS = frozenset(_PLURAL.values())
_LOOKUP_COST = 16
_ABSENT: Any = object()


def canonical(path: str) -> str:
    """`path` with its root in the plural: `attribute.x` -> `attributes.x`."""
    root, dot, rest = path.partition(".")
    return _PLURAL.get(root, root) + dot + rest


def find(data: object, path: str) -> Any:
    """What stands at the dotted `path`, longest key first, or the marker for absent; "" is `data` itself."""
    return _descend(data, path) if path else data


def _descend(data: object, path: str) -> Any:
    if isinstance(data, Mapping):
        if path in data:
            return data[path]
        end = path.rfind(".")
        while end >= 0:
            key = path[:end]
            if key in data:
                found = _descend(data[key], path[end + 1 :])
                if found is not _ABSENT:
                    return found
            end = path.rfind(".", 0, end)
    elif is_list(data):
        head, dot, rest = path.partition(".")
        if head.isascii() and head.isdigit() and len(head) <= 9 and int(head) < len(data):
            return _descend(data[int(head)], rest) if dot else data[int(head)]
    return _ABSENT


def _path_of(value: object) -> str | None:
    """The path that a name means, "" for the data itself, or None where it is no name."""
    if value is None:
        return ""
    if isinstance(value, Decimal) and value == value.to_integral_value() and 0 <= value < 10**9:
        return str(int(value))
    if isinstance(value, str) and len(value) <= MAX_PATH and value.count(".") <= MAX_DOTS:
        return value
    return None


def _path(value: object, scope: Scope) -> str:
    path = _path_of(value)
    if path is None:
        raise EvaluationError(
            f"a variable's name must be text of at most {MAX_PATH} characters and {MAX_DOTS} dots, not {kind(value)}"
        )
    return path if scope.item else canonical(path)


def _note(value: object, scope: Scope) -> str:
    """The path of a name known when the rule is saved, recorded as read. Raises `Refused`."""
    try:
        path = _path(value, scope)
    except EvaluationError as error:
        raise Refused(error.message) from error
    if path and not scope.item:
        scope.variables.add(path)
    return path


def _var(terms: Sequence[Term], scope: Scope) -> Run:
    default: Run = terms[1].run if len(terms) > 1 else lambda _data, _left: None
    if terms and not terms[0].constant:
        return _dynamic(terms[0].run, default, scope)
    path = _note(terms[0].value, scope) if terms else ""
    if not path:
        return lambda data, _left: data
    root, _, rest = path.partition(".")
    if rest and root in _GROUPS and not scope.item:
        return _member(path, root, rest, default)

    dots = path.count(".")

    def read(data: Any, left: Steps) -> Any:
        charge(left, dots)
        found = find(data, path)
        return default(data, left) if found is _ABSENT else found

    return read


def _member(path: str, root: str, rest: str, default: Run) -> Run:
    # Nearly every variable of a matcher or computation is one of these: two look-ups, and nothing else even for one
    # that is missing, unless its name could lead further down.
    nested = "." in rest

    def read(data: Any, left: Steps) -> Any:
        try:
            return data[root][rest]
        except (KeyError, TypeError, IndexError):
            found = find(data, path) if nested or type(data) is not dict or root not in data else _ABSENT
            return default(data, left) if found is _ABSENT else found

    return read


def _dynamic(name: Run, default: Run, scope: Scope) -> Run:
    def read(data: Any, left: Steps) -> Any:
        charge(left, _LOOKUP_COST)
        found = find(data, _path(name(data, left), scope))
        return default(data, left) if found is _ABSENT else found

    return read


def _lacking(data: object, names: Sequence[object], scope: Scope, left: Steps) -> tuple[object, ...]:
    """The names whose value is absent, null or empty text."""
    charge(left, _LOOKUP_COST * len(names))
    found = [(name, find(data, _path(name, scope))) for name in names]
    return tuple(name for name, value in found if value is _ABSENT or value is None or value == "")


def _note_names(terms: Sequence[Term], scope: Scope) -> None:
    for term in terms:
        if term.constant:
            for name in term.value if is_list(term.value) else (term.value,):
                _note(name, scope)


def _missing(terms: Sequence[Term], scope: Scope) -> Run:
    _note_names(terms, scope)
    runs = [term.run for term in terms]

    def missing(data: Any, left: Steps) -> tuple[object, ...]:
        names = [run(data, left) for run in runs]
        return _lacking(data, names[0] if names and is_list(names[0]) else names, scope, left)

    return missing


def _missing_some(terms: Sequence[Term], scope: Scope) -> Run:
    _note_names(terms[1:], scope)
    wanted, choice = terms[0].run, terms[1].run

    def missing_some(data: Any, left: Steps) -> tuple[object, ...]:
        need = operand("missing_some", wanted(data, left))
        names = choice(data, left)
        if not is_list(names):
            raise EvaluationError(f'"missing_some" needs a list of names, not {kind(names)}')
        lacking = _lacking(data, names, scope, left)
        return () if len(names) - len(lacking) >= need else lacking

    return missing_some


OPERATORS = {
    "var": Operator(_var, 0, 2, cost=2, reads=True),
    "missing": Operator(_missing, 0, reads=True),
    "missing_some": Operator(_missing_some, 2, 2, reads=True),
}
