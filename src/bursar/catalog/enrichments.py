"""What a schema adds to its events before they are measured: fields from what was sent and from settings. Pure.

Fields are computed by their order, and a rule reads only fields of a lower order, so no field can wait for itself.
"""

from collections.abc import Sequence

from bursar.accounts.setting_values import parse_reference
from bursar.catalog.definitions import EnrichedField, SchemaDefinition
from bursar.core.decimals import NUMERAL
from bursar.core.errors import Invalid
from bursar.core.jsonlogic import compile_rule

RULE_LIMIT = 1500
DIMENSION_LIMIT = 200
"""Characters of a dimension's value, sent or computed."""

_PATH = "enrichments.fields"


def sent_variables(schema: SchemaDefinition) -> set[str]:
    """What events of a schema carry, as rules write it: `attributes.tokens`."""
    attributes = {f"attributes.{attribute.name}" for attribute in schema.attributes}
    return attributes | {f"dimensions.{name}" for name in schema.dimensions}


def variables(schema: SchemaDefinition) -> set[str]:
    """What a meter may read of an event: what it carries, and what is added."""
    added = schema.enrichments.fields if schema.enrichments is not None else []
    return sent_variables(schema) | {variable_of(field) for field in added}


def variable_of(field: EnrichedField) -> str:
    """An enriched field as rules write it."""
    return f"{'attributes' if field.type == 'ATTRIBUTE' else 'dimensions'}.{field.name}"


def dependency_of(field: EnrichedField) -> str:
    """The name of the dependency that holds the field's rule: `rule`, or `dependencies.rule`."""
    root, dot, name = field.value.partition(".")
    return name if dot and root in {"dependency", "dependencies"} else field.value


def check_enrichments(schema: SchemaDefinition) -> None:
    """Raise `Invalid` for names given twice, impossible settings, and rules that do not parse or read too much."""
    if schema.enrichments is None:
        return
    names: list[str] = []
    for index, dependency in enumerate(schema.enrichments.dependencies):
        path = f"enrichments.dependencies[{index}]"
        if not dependency.name.strip():
            raise Invalid(f"{path}.name", "must not be blank")
        if dependency.name in names:
            raise Invalid(f"{path}.name", f"{dependency.name!r} is given twice")
        if parse_reference(dependency.key) is None:
            raise Invalid(
                f"{path}.key", "must be setting.<namespace>.<id>, or that with .<entity type>.<entity id> behind it"
            )
        names.append(dependency.name)
    _check_names(schema.enrichments.fields, sent_variables(schema))
    for index, field in enumerate(schema.enrichments.fields):
        _check_value(field, f"{_PATH}[{index}].value", schema, names)


def _check_names(fields: Sequence[EnrichedField], sent: set[str]) -> None:
    known = set(sent)
    for index, field in enumerate(fields):
        if not field.name.strip():
            raise Invalid(f"{_PATH}[{index}].name", "must not be blank")
        if variable_of(field) in known:
            what = "is given twice" if variable_of(field) not in sent else "is what events of the schema carry already"
            raise Invalid(f"{_PATH}[{index}].name", f"{field.type.lower()} {field.name!r} {what}")
        known.add(variable_of(field))


def _check_value(field: EnrichedField, path: str, schema: SchemaDefinition, names: list[str]) -> None:
    if field.source == "VALUE":
        if field.type == "ATTRIBUTE" and not NUMERAL.fullmatch(field.value):
            raise Invalid(path, "must be a number below 10^26 with at most 12 decimals, for an ATTRIBUTE")
        if field.type == "DIMENSION" and not 1 <= len(field.value) <= DIMENSION_LIMIT:
            raise Invalid(path, f"must have 1 to {DIMENSION_LIMIT} characters, for a DIMENSION")
    elif field.source == "JSON_LOGIC_FROM_DEPENDENCY":
        if dependency_of(field) not in names:
            raise Invalid(path, f"there is no dependency {dependency_of(field)!r}")
    else:
        rule = compile_rule(field.value, max_length=RULE_LIMIT, field=path)
        for variable in sorted(rule.variables):
            _check_variable(field, variable, path, schema, names)


def _check_variable(field: EnrichedField, variable: str, path: str, schema: SchemaDefinition, names: list[str]) -> None:
    root, _, rest = variable.partition(".")
    if root == "dependencies":
        if rest.partition(".")[0] not in names:
            raise Invalid(path, f"there is no dependency {rest!r}")
        return
    if variable in sent_variables(schema):
        return
    assert schema.enrichments is not None
    orders = {variable_of(other): other.order for other in schema.enrichments.fields}
    if variable not in orders:
        raise Invalid(path, f"the event schema has no {variable!r}")
    if variable == variable_of(field):
        raise Invalid(path, f"reads {variable!r}, which is itself")
    if orders[variable] >= field.order:
        raise Invalid(path, f"reads {variable!r}, which is not of a lower order")
