"""What a usage meter makes of an event: a quantity, or nothing."""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TypedDict

from bursar.catalog.snapshot import MeterView, SchemaView
from bursar.core.jsonlogic import Rule, compile_rule
from bursar.usage.event import Event

ONE = Decimal(1)


class Data(TypedDict):
    """The variables that rules read."""

    attributes: dict[str, Decimal]
    dimensions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter version with its rules compiled."""

    version: int
    """Internal key of the meter version."""
    meter: int
    """Internal key of the meter."""
    filters: tuple[tuple[str, str], ...]
    matcher: Rule | None
    computation: Rule | None
    """None counts events."""

    def quantity(self, data: Data) -> Decimal | None:
        """The quantity of one event; None where filters or matcher leave it out. Raises `EvaluationError`."""
        for field, value in self.filters:
            if not _equals(data, field, value):
                return None
        if self.matcher is not None and not self.matcher.truthy(data):
            return None
        return ONE if self.computation is None else self.computation.number(data)


@dataclass(frozen=True, slots=True)
class Schema:
    """An active schema with what admission checks and the meters that measure it."""

    version: int
    """Internal key of the schema version."""
    attributes: frozenset[str]
    dimensions: frozenset[str]
    meters: tuple[Meter, ...]


def compile_schema(view: SchemaView) -> Schema:
    """A schema of the catalogue, ready to measure."""
    return Schema(view.version, view.attributes, view.dimensions, tuple(compile_meter(meter) for meter in view.meters))


def compile_meter(view: MeterView) -> Meter:
    """A meter version of the catalogue, ready to measure."""
    return Meter(
        version=view.version,
        meter=view.meter,
        filters=view.filters,
        matcher=_rule(view.matcher) if view.matcher else None,
        computation=_rule(view.computation) if view.aggregation == "SUM" and view.computation else None,
    )


def data_of(event: Event) -> Data:
    """What rules read of an event."""
    return {
        "attributes": {attribute.name: Decimal(attribute.value) for attribute in event.attributes},
        "dimensions": event.dimensions,
    }


def _equals(data: Data, field: str, value: str) -> bool:
    kind, _, name = field.partition(".")
    if kind in ("attribute", "attributes", "dimension", "dimensions") and name:
        dimension = None if kind.startswith("attribute") else data["dimensions"].get(name)
        number = data["attributes"].get(name) if kind.startswith("attribute") else None
    else:
        dimension, number = data["dimensions"].get(field), data["attributes"].get(field)
    if dimension is not None:
        return dimension == value
    return number is not None and _number_equals(number, value)


def _number_equals(found: Decimal, value: str) -> bool:
    try:
        return found == Decimal(value)
    except ArithmeticError:
        return False


@lru_cache(maxsize=4096)
def _rule(text: str) -> Rule:
    # The rule was checked when it was saved; the limit here only has to be no smaller.
    return compile_rule(text, max_length=10_000, field="rule")
