"""Choices, conjunctions and comparisons."""

import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from bursar.core.jsonlogic.terms import Build, Operator, Run, Scope, Term, eager
from bursar.core.jsonlogic.values import Steps, comparable, loosely_equal, strictly_equal, truthy


def _if(terms: Sequence[Term], _scope: Scope) -> Run:
    runs = [term.run for term in terms]
    otherwise: Run = runs[-1] if len(runs) % 2 else lambda _data, _left: None
    cases = list(zip(runs[:-1:2], runs[1::2], strict=False))

    def choose(data: Any, left: Steps) -> Any:
        for condition, value in cases:
            if truthy(condition(data, left)):
                return value(data, left)
        return otherwise(data, left)

    return choose


def _until(stop: bool) -> Build:
    """`and` stops at the first value that is false, `or` at the first that is true; both give that value."""

    def build(terms: Sequence[Term], _scope: Scope) -> Run:
        runs = [term.run for term in terms]
        go_on = not stop

        def decide(data: Any, left: Steps) -> Any:
            value = None
            for run in runs:
                value = run(data, left)
                # Most are booleans already, and need no call to find out.
                if value is stop or (value is not go_on and truthy(value) is stop):
                    return value
            return value

        return decide

    return build


def _truth(wanted: bool) -> Build:
    def build(terms: Sequence[Term], _scope: Scope) -> Run:
        run = terms[0].run
        return lambda data, left: truthy(run(data, left)) is wanted

    return build


def _equality(same: Callable[[object, object], bool], wanted: bool) -> Build:
    def build(terms: Sequence[Term], _scope: Scope) -> Run:
        # Equality is symmetric; a constant goes to the right, where its type is known beforehand.
        first, second = terms if not terms[0].constant else (terms[1], terms[0])
        left_run, right_run = first.run, second.run
        known, expected = type(second.value), second.value
        if known is str or known is Decimal:

            def equals_constant(data: Any, left: Steps) -> bool:
                value = left_run(data, left)
                if type(value) is known:
                    return (value == expected) is wanted
                return same(value, expected) is wanted

            return equals_constant
        return lambda data, left: same(left_run(data, left), right_run(data, left)) is wanted

    return build


def _ordered(test: Callable[[Any, Any], bool], first: object, second: object) -> bool:
    pair = comparable(first, second)
    return pair is not None and test(*pair)


def _order(test: Callable[[Any, Any], bool]) -> Build:
    def build(terms: Sequence[Term], _scope: Scope) -> Run:
        if len(terms) > 2:
            return _chain(test, [term.run for term in terms])
        first, second = terms[0].run, terms[1].run
        if type(terms[1].value) is Decimal:
            return _against(test, first, terms[1].value)

        def compare(data: Any, left: Steps) -> bool:
            one, other = first(data, left), second(data, left)
            if type(one) is Decimal and type(other) is Decimal:
                return test(one, other)
            return _ordered(test, one, other)

        return compare

    return build


def _against(test: Callable[[Any, Any], bool], run: Run, bound: Decimal) -> Run:
    def compare(data: Any, left: Steps) -> bool:
        value = run(data, left)
        return test(value, bound) if type(value) is Decimal else _ordered(test, value, bound)

    return compare


def _chain(test: Callable[[Any, Any], bool], runs: list[Run]) -> Run:
    def compare(data: Any, left: Steps) -> bool:
        values = [run(data, left) for run in runs]
        return all(_ordered(test, one, other) for one, other in pairwise(values))

    return compare


OPERATORS = {
    "if": Operator(_if, 0),
    "?:": Operator(_if, 3, 3),
    "and": Operator(_until(False), 1),
    "or": Operator(_until(True), 1),
    "!": Operator(_truth(False), 1, 1),
    "!!": Operator(_truth(True), 1, 1),
    "==": Operator(_equality(loosely_equal, True), 2, 2, cost=4),
    "!=": Operator(_equality(loosely_equal, False), 2, 2, cost=4),
    "===": Operator(_equality(strictly_equal, True), 2, 2),
    "!==": Operator(_equality(strictly_equal, False), 2, 2),
    "<": Operator(_order(operator.lt), 2, 3, cost=4),
    "<=": Operator(_order(operator.le), 2, 3, cost=4),
    ">": Operator(_order(operator.gt), 2, 3, cost=4),
    ">=": Operator(_order(operator.ge), 2, 3, cost=4),
    "log": Operator(eager(lambda values, _left: values[0]), 1, 1),
}
