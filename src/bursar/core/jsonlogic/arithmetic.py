"""Arithmetic: exact or an error; a quotient is rounded half-even to 12 decimals."""

import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import reduce
from typing import Any

from bursar.core import decimals
from bursar.core.jsonlogic.terms import Build, Operator, Run, Scope, Term, eager
from bursar.core.jsonlogic.values import EXACT, EvaluationError, Steps, charge, is_list, operand

Step = Callable[[Decimal, Decimal], Decimal]

# ROUND_05UP keeps a quotient on its side of every tie, so that rounding it again to 12 decimals rounds it once.
_QUOTIENT = decimal.Context(
    prec=120,
    rounding=decimal.ROUND_05UP,
    Emin=-60,
    Emax=60,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)


def quotient(numerator: Decimal, denominator: Decimal) -> Decimal:
    """The quotient to 12 decimals, half-even. Raises `EvaluationError` for a zero denominator."""
    if not denominator:
        raise EvaluationError("division by zero")
    return decimals.to_scale(_QUOTIENT.divide(numerator, denominator))


def remainder(dividend: Decimal, divisor: Decimal) -> Decimal:
    """What is left of `dividend`, with its sign: -7 % 3 = -1. Raises `EvaluationError` for a zero divisor."""
    if not divisor:
        raise EvaluationError("division by zero")
    return EXACT.remainder(dividend, divisor)


def _pair(name: str, step: Step) -> Build:
    def build(terms: Sequence[Term], _scope: Scope) -> Run:
        first, second = terms[0].run, terms[1].run

        def combine(data: Any, left: Steps) -> Decimal:
            one, other = first(data, left), second(data, left)
            return step(
                one if type(one) is Decimal else operand(name, one),
                other if type(other) is Decimal else operand(name, other),
            )

        return combine

    return build


def _chain(name: str, step: Step) -> Build:
    """Any number of operands, or one list of them."""
    pair = _pair(name, step)
    every = eager(lambda values, left: reduce(step, _operands(name, values, left)))
    return lambda terms, scope: (pair if len(terms) == 2 else every)(terms, scope)


def _operands(name: str, values: list[Any], left: Steps) -> list[Decimal]:
    if len(values) == 1 and is_list(values[0]):
        values = list(values[0])
        charge(left, 4 * len(values))
        if not values:
            raise EvaluationError(f'"{name}" needs numbers, not an empty list')
    return [operand(name, value) for value in values]


def _minus(terms: Sequence[Term], scope: Scope) -> Run:
    if len(terms) == 2:
        return _pair("-", EXACT.subtract)(terms, scope)
    run = terms[0].run
    return lambda data, left: EXACT.minus(operand("-", run(data, left)))


OPERATORS = {
    "+": Operator(_chain("+", EXACT.add), 1, cost=4),
    "*": Operator(_chain("*", EXACT.multiply), 1, cost=4),
    "-": Operator(_minus, 1, 2, cost=4),
    "/": Operator(_pair("/", quotient), 2, 2, cost=6),
    "%": Operator(_pair("%", remainder), 2, 2, cost=4),
    "max": Operator(eager(lambda values, left: max(_operands("max", values, left))), 1),
    "min": Operator(eager(lambda values, left: min(_operands("min", values, left))), 1),
}
