"""Adding to an event what its schema computes, before meters see it.

Pure: the same rules, settings and event give the same fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TypedDict

from bursar.accounts.setting_values import Reference, Settings, Value, parse_reference
from bursar.catalog.definitions import EnrichedField, EnrichmentDefinition
from bursar.catalog.enrichments import DIMENSION_LIMIT, dependency_of
from bursar.core.errors import BursarError
from bursar.core.jsonlogic import EvaluationError, Rule, compile_rule

REASON_LIMIT = 250


class Data(TypedDict):
    """The variables that rules read."""

    attributes: dict[str, Decimal]
    dimensions: dict[str, str]


class EnrichmentFailed(BursarError):
    """An enriched field could not be computed."""


@lru_cache(maxsize=4096)
def rule_of(text: str) -> Rule:
    """A rule that was checked when it was saved, compiled."""
    # The limit here only has to be no smaller than where it was saved.
    return compile_rule(text, max_length=10_000, field="rule")


@dataclass(frozen=True, slots=True)
class Dependency:
    """A setting that the rules read under a name of their own."""

    name: str
    key: str
    """How the schema names it."""
    setting: Reference


@dataclass(frozen=True, slots=True)
class Field:
    """A field that is added: a constant, a rule, or the rule that a dependency holds."""

    name: str
    attribute: bool
    constant: Decimal | str | None = None
    rule: Rule | None = None
    dependency: str = ""

    def value(self, scope: Mapping[str, object], settings: Mapping[str, Value]) -> Decimal | str:
        """What the field is for an event. Raises `EvaluationError`."""
        if self.constant is not None:
            return self.constant
        rule = self.rule or self._from_dependency(settings)
        if self.attribute:
            return rule.number(scope)
        text = rule.show(scope)
        if not 1 <= len(text) <= DIMENSION_LIMIT or "\0" in text:
            raise EvaluationError(f"the result must be a text of 1 to {DIMENSION_LIMIT} characters without NUL")
        return text

    def _from_dependency(self, settings: Mapping[str, Value]) -> Rule:
        found = settings.get(self.dependency)
        if found is None or found.data_type != "JSON_LOGIC":
            raise EvaluationError(f"dependency {self.dependency!r} is no setting of the type JSON_LOGIC")
        return rule_of(found.text)


@dataclass(frozen=True, slots=True)
class Enrichment:
    """The fields that a schema version adds, in the order in which they are computed."""

    dependencies: tuple[Dependency, ...]
    fields: tuple[Field, ...]

    def settings(self, known: Settings, account: int, version: int) -> dict[str, Value]:
        """The dependencies that are set, by name, for an account at a version of the workspace's rules."""
        return {
            dependency.name: value
            for dependency in self.dependencies
            if (value := known.value(dependency.setting, account, version)) is not None
        }

    def apply(self, data: Data, settings: Mapping[str, Value]) -> Data:
        """The event's variables with the added ones; `data` stays as it is. Raises `EnrichmentFailed` saying why."""
        attributes, dimensions = dict(data["attributes"]), dict(data["dimensions"])
        scope = {
            "attributes": attributes,
            "dimensions": dimensions,
            "dependencies": {name: value.read() for name, value in settings.items()},
        }
        for field in self.fields:
            try:
                value = field.value(scope, settings)
            except EvaluationError as error:
                raise EnrichmentFailed(self._reason(field, error, settings)) from None
            if isinstance(value, str):
                dimensions[field.name] = value
            else:
                attributes[field.name] = value
        return {"attributes": attributes, "dimensions": dimensions}

    def _reason(self, field: Field, error: EvaluationError, settings: Mapping[str, Value]) -> str:
        unset = [dependency.key for dependency in self.dependencies if dependency.name not in settings]
        hint = f"; {unset[0][:100]} is not set" if unset else ""
        return f"{field.name}: {error.message}"[: REASON_LIMIT - len(hint)] + hint


def compile_enrichment(definition: EnrichmentDefinition | None) -> Enrichment | None:
    """The enrichment that a schema version defines, ready to be applied; None where it adds nothing."""
    if definition is None or not definition.fields:
        return None
    dependencies = []
    for dependency in definition.dependencies:
        setting = parse_reference(dependency.key)
        assert setting is not None, "checked when the schema was saved"
        dependencies.append(Dependency(dependency.name, dependency.key, setting))
    fields = sorted(definition.fields, key=lambda field: field.order)
    return Enrichment(tuple(dependencies), tuple(_field(field) for field in fields))


def _field(field: EnrichedField) -> Field:
    attribute = field.type == "ATTRIBUTE"
    if field.source == "VALUE":
        return Field(field.name, attribute, constant=Decimal(field.value) if attribute else field.value)
    if field.source == "JSON_LOGIC":
        return Field(field.name, attribute, rule=rule_of(field.value))
    return Field(field.name, attribute, dependency=dependency_of(field))
