"""Pricing rules: what they make of the usage and the revenue of rate cards, one after the other. Pure.

A rule sees the figures as the rules before it left them. One that cannot be computed is recorded, and changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from bursar.core import decimals
from bursar.core.jsonlogic import EvaluationError, Rule, compile_rule

_ZERO = Decimal(0)
_LENGTH = 10_000


class Verdict(StrEnum):
    """What became of a rule."""

    TRUE = "CONDITION_TRUE"
    FALSE = "CONDITION_FALSE"
    CONDITION_ERROR = "CONDITION_ERROR"
    COMPUTATION_ERROR = "COMPUTATION_ERROR"


@dataclass(frozen=True, slots=True)
class Step:
    """A rule made ready to run."""

    target: str | None
    """The figure that it changes; None: it adds an amount."""
    condition: Rule | None
    computation: Rule
    reads: tuple[str, ...]
    """The figures that it names."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a rule read and did. Amounts have 12 decimals and are not rounded to the currency."""

    verdict: Verdict
    read: dict[str, Decimal]
    old_revenue: Decimal
    new_revenue: Decimal
    old_usage: Decimal | None
    """Of a rule about a usage rate card."""
    new_usage: Decimal | None
    error: str | None = None


def step(target: str | None, condition: str | None, computation: str) -> Step:
    """The step of a rule that was checked when it was saved."""
    ready = None if condition is None else _compiled(condition)
    computed = _compiled(computation)
    reads = computed.variables | (ready.variables if ready is not None else frozenset())
    return Step(target, ready, computed, tuple(sorted(reads)))


@lru_cache(maxsize=256)
def _compiled(text: str) -> Rule:
    return compile_rule(text, max_length=_LENGTH, field="rule")


class _Refused(Exception):
    """The number of a rule cannot be taken over."""


@dataclass(slots=True)
class _Books:
    """The figures as they stand."""

    figures: dict[str, Decimal]
    rate: Callable[[str, Decimal], Decimal]
    rounded: Callable[[Decimal], Decimal]
    total: Decimal

    def update(self, target: str, value: Decimal) -> None:
        if target not in self.figures:
            raise _Refused("the plan charges nothing that the rule could change")
        what, _, card = target.partition(".")
        revenue = f"revenue.{card}"
        amount = self.rate(revenue, value) if what == "usage" else value
        if amount < 0:
            raise _Refused(f"revenue of {decimals.show(amount)} would be below zero")
        self._charge(amount, self.figures[revenue])
        self.figures[revenue] = amount
        if what == "usage":
            self.figures[target] = value

    def add(self, value: Decimal) -> None:
        self._charge(value, _ZERO)

    def _charge(self, amount: Decimal, instead_of: Decimal) -> None:
        total = self.total + self.rounded(amount) - self.rounded(instead_of)
        if not decimals.fits(amount) or not decimals.fits(total):
            raise _Refused("the amount is not below 1E+26")
        if total < 0:
            raise _Refused(f"takes away {decimals.show(-total)} more than is charged")
        self.total = total


def run_rules(
    steps: Sequence[Step],
    figures: Mapping[str, Decimal],
    rate: Callable[[str, Decimal], Decimal],
    rounded: Callable[[Decimal], Decimal],
    uncharged: frozenset[str] = frozenset(),
) -> list[Run]:
    """What the steps make of `figures`, in their order.

    Figures are `usage.<card>` and `revenue.<card>`, of everything that is charged. `rate` gives the revenue of a card
    (`revenue.<card>`) for another usage, `rounded` what of an amount is charged: what all revenue and additions come to
    is never taken below zero. `uncharged` are figures that can be read and have nothing that could be changed.
    """
    total = sum((rounded(value) for name, value in figures.items() if name.startswith("revenue.")), _ZERO)
    books = _Books(dict(figures), rate, rounded, total)
    return [_run(entry, books, uncharged) for entry in steps]


def _run(entry: Step, books: _Books, uncharged: frozenset[str]) -> Run:
    figures = books.figures
    read = {name: figures[name] for name in entry.reads if name in figures}
    card = (entry.target or "").partition(".")[2]
    old_usage = figures.get(f"usage.{card}")
    old = figures.get(f"revenue.{card}", _ZERO)

    def unchanged(verdict: Verdict, error: str | None = None) -> Run:
        return Run(verdict, read, old, old, old_usage, old_usage, error)

    try:
        if entry.condition is not None and not entry.condition.truthy(figures):
            return unchanged(Verdict.FALSE)
    except EvaluationError as error:
        return unchanged(Verdict.CONDITION_ERROR, error.message)
    try:
        value = entry.computation.number(figures)
        if entry.target is None:
            books.add(value)
            return Run(Verdict.TRUE, read, _ZERO, value, None, None)
        if entry.target in uncharged:
            raise _Refused("nothing of it is charged in this period")
        books.update(entry.target, value)
    except EvaluationError as error:
        return unchanged(Verdict.COMPUTATION_ERROR, error.message)
    except _Refused as error:
        return unchanged(Verdict.COMPUTATION_ERROR, str(error))
    return Run(Verdict.TRUE, read, old, figures[f"revenue.{card}"], old_usage, figures.get(f"usage.{card}"))
