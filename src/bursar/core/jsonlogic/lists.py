"""Loops over lists, and membership. Every loop charges its steps before it runs."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from bursar.core.jsonlogic.terms import Build, Operator, Run, Scope, Term, eager
from bursar.core.jsonlogic.values import Steps, charge, is_list, strictly_equal, text_of, truthy

# Python's search may compare this many characters of the needle at every place.
_NEEDLE = 100
_COMPARED_PER_STEP = 256


def _loop(collect: Callable[[Sequence[Any], Run, Steps], Any]) -> Build:
    """`collect(items, body, steps left)`; what is not a list has no items."""

    def build(terms: Sequence[Term], _scope: Scope) -> Run:
        source, body = terms[0].run, terms[1].run
        weight = terms[1].cost + 1

        def run(data: Any, left: Steps) -> Any:
            items = source(data, left)
            if not is_list(items):
                items = ()
            charge(left, weight * len(items))
            return collect(items, body, left)

        return run

    return build


def _reduce(terms: Sequence[Term], _scope: Scope) -> Run:
    source, body = terms[0].run, terms[1].run
    initial: Run = terms[2].run if len(terms) > 2 else lambda _data, _left: None
    weight = terms[1].cost + 2

    def run(data: Any, left: Steps) -> Any:
        items = source(data, left)
        value = initial(data, left)
        if is_list(items):
            charge(left, weight * len(items))
            for item in items:
                value = body({"current": item, "accumulator": value}, left)
        return value

    return run


def _merge(values: list[Any], left: Steps) -> tuple[Any, ...]:
    charge(left, sum(len(value) for value in values if is_list(value)))
    merged: list[Any] = []
    for value in values:
        if is_list(value):
            merged.extend(value)
        else:
            merged.append(value)
    return tuple(merged)


def within(needle: object, haystack: object, left: Steps) -> bool:
    """Whether a list has an item strictly equal to `needle`, or a text contains it."""
    if type(haystack) is str:
        if needle is None or is_list(needle):
            return False
        part = needle if type(needle) is str else text_of("in", needle)
        charge(left, len(haystack) * min(len(part), _NEEDLE) // _COMPARED_PER_STEP)
        return part in haystack
    if not is_list(haystack):
        return False
    charge(left, len(haystack))
    return any(strictly_equal(needle, item) for item in haystack)


def _contains(values: list[Any], left: Steps) -> bool:
    whole, part = values
    # Other than `in`, it looks into numbers and dates too, by their text.
    return within(part, whole if is_list(whole) or whole is None else text_of("contains", whole), left)


def _in(terms: Sequence[Term], _scope: Scope) -> Run:
    first = terms[0].run
    if len(terms) == 2:
        second = terms[1]
        if second.constant and is_list(second.value):
            return _one_of(first, second.value)
        others = second.run
        return lambda data, left: within(first(data, left), others(data, left), left)
    if all(term.constant for term in terms[1:]):
        return _one_of(first, [term.value for term in terms[1:]])
    runs = [term.run for term in terms[1:]]
    return lambda data, left: within(first(data, left), [run(data, left) for run in runs], left)


def _one_of(run: Run, choice: Sequence[Any]) -> Run:
    # Two sets, because a number hashes like a boolean that it is not strictly equal to.
    texts = frozenset(value for value in choice if type(value) is str)
    numbers = frozenset(value for value in choice if type(value) is Decimal)

    def among(data: Any, left: Steps) -> bool:
        value = run(data, left)
        if type(value) is str:
            return value in texts
        if type(value) is Decimal:
            return value in numbers
        return any(strictly_equal(value, item) for item in choice)

    return among


OPERATORS = {
    "map": Operator(_loop(lambda items, body, left: tuple([body(item, left) for item in items])), 2, 2, body=1),
    "filter": Operator(
        _loop(lambda items, body, left: tuple([item for item in items if truthy(body(item, left))])), 2, 2, body=1
    ),
    "all": Operator(
        _loop(lambda items, body, left: bool(items) and all(truthy(body(item, left)) for item in items)), 2, 2, body=1
    ),
    "some": Operator(_loop(lambda items, body, left: any(truthy(body(item, left)) for item in items)), 2, 2, body=1),
    "none": Operator(
        _loop(lambda items, body, left: not any(truthy(body(item, left)) for item in items)), 2, 2, body=1
    ),
    "reduce": Operator(_reduce, 2, 3, body=1),
    "merge": Operator(eager(_merge), 0),
    "in": Operator(_in, 2),
    "contains": Operator(eager(_contains), 2, 2),
}
