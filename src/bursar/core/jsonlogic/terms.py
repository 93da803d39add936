"""What the compiler and the operators hand to each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bursar.core.jsonlogic.values import Steps

Run: TypeAlias = Callable[[Any, Steps], Any]
"""A compiled expression: (data, steps left) -> value."""

_UNKNOWN: Any = object()


@dataclass(frozen=True, slots=True)
class Term:
    """A compiled expression and what is known of it beforehand."""

    run: Run
    free: bool
    """Whether it reads the data that it is given."""
    cost: int
    """Steps of one run, loops apart: these charge as they go."""
    value: Any = _UNKNOWN
    """What it always gives, where that is known."""

    @property
    def constant(self) -> bool:
        """Whether `value` is known."""
        return self.value is not _UNKNOWN


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands."""

    item: bool
    """Within a loop: the data is the item, not the event."""
    variables: set[str]
    """Collects the paths that the rule reads of the event."""


Build: TypeAlias = Callable[[Sequence[Term], Scope], Run]


@dataclass(frozen=True, slots=True)
class Operator:
    """How a call is compiled."""

    build: Build
    least: int
    most: int | None = None
    """The number of arguments; None is any."""
    cost: int = 1
    reads: bool = False
    """It reads the data itself, whatever its arguments."""
    body: int | None = None
    """The argument that is run once per item, with the item as its data."""

    def accepts(self, count: int) -> bool:
        """Whether it takes `count` arguments."""
        return self.least <= count and (self.most is None or count <= self.most)

    def arity(self) -> str:
        """How many arguments it takes, in words."""
        if self.most is None:
            return f"{self.least} or more arguments"
        if self.least == self.most:
            return f"{self.least} argument{'' if self.least == 1 else 's'}"
        return f"{self.least} to {self.most} arguments"


def constant(value: object) -> Term:
    """An expression that is always `value`."""
    return Term(lambda _data, _left: value, free=False, cost=1, value=value)


def eager(function: Callable[[list[Any], Steps], object]) -> Build:
    """The plainest kind of operator: all arguments are evaluated in order, then `function(values, steps left)`."""

    def build(terms: Sequence[Term], _scope: Scope) -> Run:
        runs = [term.run for term in terms]
        return lambda data, left: function([run(data, left) for run in runs], left)

    return build
