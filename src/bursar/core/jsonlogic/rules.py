"""A rule, compiled once when it is read and evaluated on every event."""

import decimal
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from typing import Any

from bursar.core import decimals
from bursar.core.errors import Invalid
from bursar.core.jsonlogic import arithmetic, dates, lists, logic, texts, variables
from bursar.core.jsonlogic.reading import MAX_NODES, Call, Refused, Tree, checked, read
from bursar.core.jsonlogic.terms import Operator, Run, Scope, Term, constant
from bursar.core.jsonlogic.values import STEPS, EvaluationError, Steps, kind, number_of, quoted, text_of, truthy

OPERATORS: dict[str, Operator] = {
    **variables.OPERATORS,
    **logic.OPERATORS,
    **arithmetic.OPERATORS,
    **lists.OPERATORS,
    **texts.OPERATORS,
    **dates.OPERATORS,
}

_OUT_OF_RANGE = "a number leaves the exact range: at most 120 digits, between 1E-60 and 1E+60"
# 38 digits of which 12 are decimals: quantizing signals whatever NUMERIC(38,12) cannot hold.
_STORED = decimal.Context(prec=38, rounding=decimal.ROUND_HALF_EVEN, traps=[decimal.InvalidOperation])


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule. Every evaluation is bounded and raises `EvaluationError` or gives a value; data is only read.

    Data maps `attributes` to decimals, `dimensions` to texts, `dependencies` to values, or whatever the rule reads.
    Numbers in it are finite.
    """

    text: str
    variables: frozenset[str] = field(compare=False)
    """The paths it reads, as far as they are written out, roots in the plural: `attributes.tokens`."""
    constant: Decimal | None = field(compare=False)
    """The quantity that it always gives, where it is a constant one."""
    depends: frozenset[str] | None = field(compare=False)
    """The paths that alone decide on its value; None where it may look at anything."""
    copies: str | None = field(compare=False)
    """The path whose value it gives as it is, where it does nothing else."""
    _run: Run = field(compare=False, repr=False)

    def evaluate(self, data: Any) -> Any:
        """The rule's value. Lists come as tuples, dates as aware `datetime` in UTC."""
        try:
            return self._run(data, [STEPS])
        except DecimalException as error:
            raise EvaluationError(_OUT_OF_RANGE) from error

    def truthy(self, data: Any) -> bool:
        """Whether the rule's value counts as true: not null, false, 0, empty text or the empty list."""
        try:
            value = self._run(data, [STEPS])
        except DecimalException as error:
            raise EvaluationError(_OUT_OF_RANGE) from error
        return value if value is True or value is False else truthy(value)

    def number(self, data: Any) -> Decimal:
        """The rule's value as a quantity: rounded half-even to 12 decimals, as NUMERIC(38,12) holds it.

        Text that spells a number is one; null, booleans and anything else are not.
        """
        if self.constant is not None:
            return self.constant
        try:
            value = self._run(data, [STEPS])
        except DecimalException as error:
            raise EvaluationError(_OUT_OF_RANGE) from error
        return _quantity(value)

    def show(self, data: Any) -> str:
        """The rule's value as text, as a dimension holds it: plain numbers, ISO dates, null as empty text."""
        try:
            return text_of("result", self._run(data, [STEPS]))
        except DecimalException as error:
            raise EvaluationError(_OUT_OF_RANGE) from error


def _quantity(value: object) -> Decimal:
    number = value if type(value) is Decimal else number_of(value)
    if number is None:
        raise EvaluationError(f"the result must be a number, not {kind(value)}")
    try:
        rounded = _STORED.quantize(number, decimals.UNIT)
    except DecimalException as error:
        raise EvaluationError("the result must be a number below 1E+26") from error
    if rounded == number:
        return number  # as it is, without the zeros that quantizing appends
    if rounded.is_nan():
        raise EvaluationError("the result must be a number")
    return rounded


def compile_rule(text: str, *, max_length: int, field: str) -> Rule:
    """The rule that `text` spells in JSON; a bare constant such as `1` is one too.

    Raises `Invalid` naming `field` and what is wrong: not JSON, more than `max_length` characters, too deep, too many
    nodes, an unknown operator, a wrong number of arguments, a number out of range, a constant rule that always fails.
    """
    compiler = _Compiler()
    try:
        tree = read(text, max_length)
        term = compiler.term(tree, item=False)
        if not term.free and not term.constant:
            _always_fails(term)
    except Refused as error:
        raise Invalid(field, str(error)) from error
    return Rule(text, frozenset(compiler.variables), _known_quantity(term), _depends(tree), _variable(tree), term.run)


def _variable(tree: Tree) -> str | None:
    """The path that a tree reads where it does nothing else, with neither default nor computed name."""
    if isinstance(tree, Call) and tree.name == "var" and len(tree.arguments) == 1:
        name = tree.arguments[0]
        return variables.canonical(name) if isinstance(name, str) and name else None
    return None


def _depends(tree: Tree) -> frozenset[str] | None:
    """`Rule.depends` of a tree that compiles. Loops, computed names and what reads all the data count as anything."""
    path = _variable(tree)
    if path is not None:
        return frozenset({path})
    if isinstance(tree, Call):
        operator = OPERATORS[tree.name]
        return None if operator.reads or operator.body is not None else _depends(tree.arguments)
    found: set[str] = set()
    for part in tree if isinstance(tree, list) else ():
        depends = _depends(part)
        if depends is None:
            return None
        found |= depends
    return frozenset(found)


def _known_quantity(term: Term) -> Decimal | None:
    try:
        return _quantity(term.value) if term.constant else None
    except EvaluationError:
        return None


def _always_fails(term: Term) -> None:
    try:
        term.run({}, [STEPS])
    except EvaluationError as error:
        raise Refused(f"always fails: {error.message}") from error
    except DecimalException as error:
        raise Refused(f"always fails: {_OUT_OF_RANGE}") from error


class _Compiler:
    """Turns a tree into closures, folding what does not depend on data."""

    def __init__(self) -> None:
        self.variables: set[str] = set()
        self.nodes = 0
        self.steps: Steps = [STEPS]  # for all folding together: saving a rule is as bounded as evaluating one

    def term(self, tree: Tree, *, item: bool) -> Term:
        """The compiled `tree`; within a loop's body `item` is set."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Refused(f"must have at most {MAX_NODES} constants, lists and operators")
        if isinstance(tree, Call):
            return self._call(tree, item)
        if isinstance(tree, list):
            return self._list([self.term(part, item=item) for part in tree])
        return constant(checked(tree) if isinstance(tree, str) else tree)

    def _list(self, terms: list[Term]) -> Term:
        if all(term.constant for term in terms):
            return constant(tuple(term.value for term in terms))
        runs = [term.run for term in terms]
        return Term(
            lambda data, left: tuple([run(data, left) for run in runs]),
            free=any(term.free for term in terms),
            cost=1 + sum(term.cost for term in terms),
        )

    def _call(self, call: Call, item: bool) -> Term:
        operator = OPERATORS.get(call.name)
        if operator is None:
            raise Refused(f"operator {quoted(call.name)} is not known")
        count = len(call.arguments)
        if not operator.accepts(count):
            raise Refused(f"operator {quoted(call.name)} takes {operator.arity()}, not {count}")
        terms = [self.term(tree, item=item or place == operator.body) for place, tree in enumerate(call.arguments)]
        run = operator.build(terms, Scope(item, self.variables))
        outer = [term for place, term in enumerate(terms) if place != operator.body]
        free = operator.reads or any(term.free for term in outer)
        return self._folded(Term(run, free, operator.cost + sum(term.cost for term in outer)))

    def _folded(self, term: Term) -> Term:
        if term.free:
            return term
        try:
            return constant(term.run(None, self.steps))
        except (EvaluationError, DecimalException):
            # It fails only if it is reached, so it stays for the evaluation to say.
            return term
