"""What a usage meter makes of an event: a quantity, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from bursar.catalog.snapshot import MeterView, SchemaView
from bursar.core.jsonlogic import Rule
from bursar.usage.enrichment import Data, Enrichment, compile_enrichment, rule_of
from bursar.usage.event import Event
from bursar.usage.event_ids import Template, template_of
from bursar.usage.plain import Plain, plain_meter

ONE = Decimal(1)


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
    enrichment: Enrichment | None = None
    """What it adds to an event before the meters see it."""
    template: Template | None = None
    """How an event without an id gets one."""
    licenses: Mapping[str, int] | None = None
    """Of the schema by which names get and lose licences: internal keys of add-ons by wire id."""
    plain: Plain | None = None
    """A shorter way to what the meters find, where they have one and the schema asks for nothing else."""


def compile_schema(view: SchemaView) -> Schema:
    """A schema of the catalogue, ready to measure."""
    schema = Schema(
        version=view.version,
        attributes=view.attributes,
        dimensions=view.dimensions,
        meters=tuple(compile_meter(meter) for meter in view.meters),
        enrichment=compile_enrichment(view.definition.enrichments),
        template=template_of(view.definition),
        licenses=view.licenses,
    )
    return replace(schema, plain=_plain(schema))


def _plain(schema: Schema) -> Plain | None:
    meters = [plain_meter(one.version, one.filters, one.matcher, one.computation, ONE) for one in schema.meters]
    plain = [meter for meter in meters if meter is not None]
    if schema.enrichment is not None or schema.licenses is not None or not plain or len(plain) < len(meters):
        return None
    return Plain(schema.attributes, schema.dimensions, plain)


def compile_meter(view: MeterView) -> Meter:
    """A meter version of the catalogue, ready to measure."""
    return Meter(
        version=view.version,
        meter=view.meter,
        filters=view.filters,
        matcher=rule_of(view.matcher) if view.matcher else None,
        computation=rule_of(view.computation) if view.aggregation == "SUM" and view.computation else None,
    )


def data_of(event: Event) -> Data:
    """What rules read of an event as it was sent."""
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
