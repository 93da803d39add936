"""The rules of the catalogue: what a schema, a meter and a plan may say. Pure; errors name the field on the wire."""

from collections.abc import Sequence
from decimal import Decimal

from bursar.catalog.card_rules import check_card, check_currencies, check_licenses, check_new
from bursar.catalog.credit_rules import check_credits
from bursar.catalog.definitions import (
    Commitment,
    CycleDefinition,
    FeeCard,
    Filter,
    LicenseCard,
    MeterDefinition,
    PlanDetails,
    SchemaDefinition,
)
from bursar.catalog.enrichments import check_enrichments, variables
from bursar.catalog.entitlement_rules import check_entitlements, check_granting
from bursar.catalog.id_templates import read_template
from bursar.catalog.pricing_rules import check_rules
from bursar.core.cycles import Calendar
from bursar.core.decimals import NUMERAL
from bursar.core.errors import Invalid
from bursar.core.jsonlogic import Rule, compile_rule

MATCHER_LIMIT = 1500
COMPUTATION_LIMIT = 500
GRACE_LIMIT = 366
RECURRENCE_LIMIT = 10_000

_ROOTS = {"attribute": "attributes", "dimension": "dimensions"}


def check_schema(definition: SchemaDefinition) -> None:
    """Raise `Invalid` for names given twice, fields that the schema lacks, and unsound enrichments."""
    attributes = [attribute.name for attribute in definition.attributes]
    for field, names in (("attributes", attributes), ("dimensions", definition.dimensions)):
        for index, name in enumerate(names):
            if not name.strip():
                raise Invalid(f"{field}[{index}].name", "must not be blank")
            if name in names[:index]:
                raise Invalid(f"{field}[{index}].name", f"{name!r} is given twice")
    check_enrichments(definition)
    if definition.id_template is not None:
        read_template(definition.id_template, set(attributes), set(definition.dimensions))
    fields = [_variable(name, definition) for name in definition.filter_fields]
    for index, (name, variable) in enumerate(zip(definition.filter_fields, fields, strict=True)):
        if variable is None:
            raise Invalid(f"filterFields[{index}]", f"the schema has no attribute or dimension {name!r}")
        if variable in fields[:index]:
            raise Invalid(f"filterFields[{index}]", f"{name!r} is given twice")


def check_widened(old: SchemaDefinition, new: SchemaDefinition) -> None:
    """Raise `Invalid` where attributes or dimensions of a schema that has been active are taken away or changed."""
    attributes = {attribute.name: attribute for attribute in new.attributes}
    for attribute in old.attributes:
        if attributes.get(attribute.name) != attribute:
            verb = "changed" if attribute.name in attributes else "removed"
            raise Invalid("attributes", f"{attribute.name!r} cannot be {verb} once the schema has been active")
    for name in old.dimensions:
        if name not in new.dimensions:
            raise Invalid("dimensions", f"{name!r} cannot be removed once the schema has been active")


def check_meter(meter: MeterDefinition, schema: SchemaDefinition) -> None:
    """Raise `Invalid` for rules that do not parse, read what the schema lacks, or do not suit the aggregation."""
    _check_filters(meter.filters, schema)
    if meter.matcher is not None:
        _check_rule(meter.matcher, MATCHER_LIMIT, "computations[0].matcher", schema)
    if meter.computation is not None:
        rule = _check_rule(meter.computation, COMPUTATION_LIMIT, "computations[0].computation", schema)
        if meter.aggregation == "COUNT" and rule.constant != 1:
            raise Invalid("computations[0].computation", 'must be "1" for COUNT')
    elif meter.aggregation == "SUM":
        raise Invalid("computations", "SUM needs one computation")


def _check_filters(filters: Sequence[Filter], schema: SchemaDefinition) -> None:
    allowed = {_variable(name, schema) for name in schema.filter_fields}
    seen: set[str] = set()
    for index, entry in enumerate(filters):
        variable = _variable(entry.field, schema)
        if variable is None or variable not in allowed:
            raise Invalid(f"filters[{index}].field", f"{entry.field!r} is not a filter field of the event schema")
        if variable in seen:
            raise Invalid(f"filters[{index}].field", f"{entry.field!r} is given twice: no event could pass both")
        if variable.startswith("attributes.") and not NUMERAL.fullmatch(entry.value):
            raise Invalid(f"filters[{index}].value", f"must be a number: {entry.field!r} is an attribute")
        seen.add(variable)


def _check_rule(text: str, limit: int, field: str, schema: SchemaDefinition) -> Rule:
    rule = compile_rule(text, max_length=limit, field=field)
    for path in sorted(rule.variables):
        if path not in variables(schema):
            raise Invalid(field, f"the event schema has no {path!r}")
    return rule


def check_plan(plan: PlanDetails, kind: str) -> None:
    """Raise `Invalid` for a plan that could not be billed."""
    path = "pricePlanDetails"
    if not plan.currencies:
        raise Invalid(f"{path}.supportedCurrencies", "must name at least one currency")
    if len(set(plan.currencies)) < len(plan.currencies):
        raise Invalid(f"{path}.supportedCurrencies", "a currency is given twice")
    if kind == "PURCHASE":
        _check_purchase(plan, path)
        return
    if plan.cycle is None:
        raise Invalid(f"{path}.pricingCycleConfig", "a BILLING plan needs a pricing cycle")
    _check_cycle(plan.cycle, f"{path}.pricingCycleConfig")
    granted = (plan.entitlements, plan.overages, plan.credits)
    if not any((plan.usage, plan.fees, plan.licenses, *granted, plan.commitment)):
        raise Invalid(path, "needs at least one rate card or a minimum commitment")
    names = [card.name for card in plan.usage]
    for index, card in enumerate(plan.usage):
        field = f"{path}.usageRateCards[{index}]"
        before = [(other.meter_id, other.name) for other in plan.usage[:index]]
        check_new((card.meter_id, card.name), before, (), field, "usageMeterId")
        check_card(card, plan.currencies, field)
    _check_fees(plan.fees, names, plan.currencies, f"{path}.fixedFeeRateCards")
    names += [fee.name for fee in plan.fees]
    check_licenses(plan.licenses, names, plan.currencies, plan.cycle.interval, f"{path}.licenseRateCards")
    names += [card.name for card in plan.licenses]
    check_granting(plan, names, path)
    names += [card.name for card in plan.entitlements] + [over.name for over in plan.overages]
    check_credits(plan, kind, names, path)
    if plan.deferred_revenue:
        _check_deferred(plan.fees, f"{path}.fixedFeeRateCards")
        _check_deferred(plan.licenses, f"{path}.licenseRateCards")
    if plan.commitment is not None:
        _check_commitment(plan.commitment, plan.currencies, f"{path}.minimumCommitment")
    check_rules(plan)


def _check_purchase(plan: PlanDetails, path: str) -> None:
    """Raise `Invalid` for a plan that could not be bought once: it has no cycle, and nothing that recurs."""
    for name, given in (
        ("pricingCycleConfig", plan.cycle),
        ("usageRateCards", plan.usage),
        ("licenseRateCards", plan.licenses),
        ("entitlementOverageRateCards", plan.overages),
        ("minimumCommitment", plan.commitment),
        ("deferredRevenue", plan.deferred_revenue),
    ):
        if given:
            raise Invalid(f"{path}.{name}", "must be left out of a PURCHASE plan")
    if plan.rules:
        raise Invalid("pricingRules", "must be left out of a PURCHASE plan")
    if not (plan.fees or plan.entitlements or plan.credits):
        raise Invalid(path, "needs at least one rate card")
    names = [fee.name for fee in plan.fees]
    _check_fees(plan.fees, [], plan.currencies, f"{path}.fixedFeeRateCards")
    for index, fee in enumerate(plan.fees):
        if fee.recurring or fee.offset:
            raise Invalid(f"{path}.fixedFeeRateCards[{index}].type", "must be ONE_TIME on a PURCHASE plan")
    check_entitlements(plan.entitlements, names, plan.currencies, f"{path}.billingEntitlementRateCards")
    for index, card in enumerate(plan.entitlements):
        if (card.interval, card.offset) != (1, 0):
            rule = "must be left out of a PURCHASE plan"
            raise Invalid(f"{path}.billingEntitlementRateCards[{index}].recurrenceConfig", rule)
    check_credits(plan, "PURCHASE", [*names, *(card.name for card in plan.entitlements)], path)


def _check_fees(fees: Sequence[FeeCard], names: Sequence[str], currencies: Sequence[str], path: str) -> None:
    """Raise `Invalid` for fees that could not be charged; `names` are those of the plan's other cards."""
    for index, fee in enumerate(fees):
        field = f"{path}[{index}]"
        before = [(other.add_on_id, other.name) for other in fees[:index]]
        check_new((fee.add_on_id, fee.name), before, names, field, "id")
        check_currencies([rate.currency for rate in fee.rates], currencies, f"{field}.rateValues")
        for place, rate in enumerate(fee.rates):
            if rate.rate < 0:
                raise Invalid(f"{field}.rateValues[{place}].rate", "must not be negative")
        if not 1 <= fee.interval <= RECURRENCE_LIMIT:
            raise Invalid(f"{field}.recurrenceConfig.interval", f"must be 1 to {RECURRENCE_LIMIT} cycles")
        if not fee.recurring and fee.interval != 1:
            raise Invalid(f"{field}.recurrenceConfig.interval", "must be left out of a ONE_TIME fee")
        if not 0 <= fee.offset <= RECURRENCE_LIMIT:
            raise Invalid(f"{field}.recurrenceConfig.offset", f"must be 0 to {RECURRENCE_LIMIT} cycles")


def _check_deferred(fees: Sequence[FeeCard | LicenseCard], path: str) -> None:
    for index, fee in enumerate(fees):
        if fee.in_advance:
            raise Invalid(f"{path}[{index}].invoiceTiming", "must be IN_ARREARS on a plan with deferredRevenue")


def _check_commitment(commitment: Commitment, currencies: Sequence[str], path: str) -> None:
    check_currencies([rate.currency for rate in commitment.rates], currencies, f"{path}.rateValues")
    for index, rate in enumerate(commitment.rates):
        if rate.rate < Decimal(0):
            raise Invalid(f"{path}.rateValues[{index}].rate", "must not be negative")


def _check_cycle(cycle: CycleDefinition, path: str) -> None:
    if not 0 <= cycle.grace_days <= GRACE_LIMIT:
        raise Invalid(f"{path}.gracePeriod", f"must be 0 to {GRACE_LIMIT} days")
    if cycle.anniversary and (cycle.day is not None or cycle.month is not None):
        raise Invalid(f"{path}.startOffset", "must be left out with anniversaryCycle")
    try:
        Calendar.parse(cycle.interval, cycle.day, cycle.month, "UTC")
    except Invalid as error:
        field = {"day": "startOffset.dayOffset", "month": "startOffset.monthOffset"}.get(error.field, error.field)
        raise Invalid(f"{path}.{field}", error.rule) from None


def _variable(field: str, schema: SchemaDefinition) -> str | None:
    """The variable that a filter field means, or None. A bare name is the dimension, before the attribute."""
    root, dot, name = field.partition(".")
    choices = (_ROOTS.get(root, root) + dot + name,) if dot else (f"dimensions.{field}", f"attributes.{field}")
    known = variables(schema)
    return next((choice for choice in choices if choice in known), None)
