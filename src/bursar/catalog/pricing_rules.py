"""What pricing rules of a plan may say. Pure; errors name the field on the wire.

A rule is for one of the two invoices of a cycle, and reads and changes what is charged by that one alone.
"""

from collections.abc import Sequence

import msgspec

from bursar.catalog.definitions import PlanDetails, PricingRule
from bursar.core import ids
from bursar.core.errors import Invalid
from bursar.core.jsonlogic import EvaluationError, Rule, compile_rule

RULES_LIMIT = 50
"""Of a plan."""
RULE_LIMIT = 5_000
"""Characters of a condition or a computation."""
RULES_LENGTH = 50_000
"""Characters of all of them together: every invoice keeps them."""
PATH = "pricingRules"


def figures(plan: PlanDetails, *, in_advance: bool) -> set[str]:
    """What rules of a timing may read and change, as they write it: `revenue.ff.<add-on id>`."""
    fees = {f"revenue.ff.{card.add_on_id}" for card in plan.fees if card.in_advance is in_advance}
    if in_advance:
        return fees
    return fees | {f"{what}.urc.{card.meter_id}" for card in plan.usage for what in ("usage", "revenue")}


def check_rules(plan: PlanDetails) -> None:
    """Raise `Invalid` for rules of one name or order, and for those that do not compile or concern no card."""
    if len(plan.rules) > RULES_LIMIT:
        raise Invalid(PATH, f"must be at most {RULES_LIMIT}")
    if sum(len(rule.condition or "") + len(rule.computation) for rule in plan.rules) > RULES_LENGTH:
        raise Invalid(PATH, f"must have at most {RULES_LENGTH} characters of logic together")
    for index, rule in enumerate(plan.rules):
        path, others = f"{PATH}[{index}]", plan.rules[:index]
        if not rule.name.strip():
            raise Invalid(f"{path}.name", "must not be blank")
        if rule.name in [other.name for other in others]:
            raise Invalid(f"{path}.name", f"{rule.name!r} is given twice")
        if rule.order < 1:
            raise Invalid(f"{path}.order", "must be at least 1")
        if rule.order in [other.order for other in others]:
            raise Invalid(f"{path}.order", f"{rule.order} is given twice")
        if rule.condition is not None:
            _check_logic(plan, rule, rule.condition, f"{path}.condition")
        computation = _check_logic(plan, rule, rule.computation, f"{path}.computation")
        if not computation.variables:
            try:
                computation.number({})
            except EvaluationError as error:
                raise Invalid(f"{path}.computation", f"always fails: {error.message}") from None
        _check_action(plan, rule, others, f"{path}.action")


def kept(plan: PlanDetails, before: PlanDetails | None = None) -> PlanDetails:
    """A plan whose rules all have ids: a rule goes on under the id of the one of its name that was there before."""
    if not plan.rules:
        return plan
    known = {rule.name: rule for rule in before.rules} if before is not None else {}
    return msgspec.structs.replace(plan, rules=[_kept(rule, known.get(rule.name)) for rule in plan.rules])


def _kept(rule: PricingRule, before: PricingRule | None) -> PricingRule:
    if rule.id:
        return rule
    if before is None:
        return msgspec.structs.replace(rule, id=ids.draw("pp_rule"))
    same = msgspec.structs.replace(rule, id=before.id, version=before.version)
    return before if same == before else msgspec.structs.replace(same, version=before.version + 1)


def _check_logic(plan: PlanDetails, rule: PricingRule, text: str, path: str) -> Rule:
    compiled = compile_rule(text, max_length=RULE_LIMIT, field=path)
    for variable in sorted(compiled.variables):
        _check_figure(plan, rule, variable, path)
    return compiled


def _check_figure(plan: PlanDetails, rule: PricingRule, variable: str, path: str) -> None:
    if variable in figures(plan, in_advance=rule.in_advance):
        return
    if variable in figures(plan, in_advance=not rule.in_advance):
        timing = "IN_ADVANCE" if rule.in_advance else "IN_ARREARS"
        raise Invalid(path, f"{variable!r} is not invoiced {timing}, as the rule is")
    raise Invalid(path, f"the plan has no {variable!r}")


def _check_action(plan: PlanDetails, rule: PricingRule, others: Sequence[PricingRule], path: str) -> None:
    action = rule.action
    if action.type == "UPDATE":
        if action.target is None:
            raise Invalid(f"{path}.target", "is required to UPDATE")
        _check_figure(plan, rule, action.target, f"{path}.target")
        return
    if action.target is not None:
        raise Invalid(f"{path}.target", "must be left out of an ADD")
    for name in ("id", "description"):
        value = getattr(action, name)
        if value is not None and not value.strip():
            raise Invalid(f"{path}.{name}", "must not be blank")
    if action.id is None and action.description is None:
        raise Invalid(path, "needs an id or a description of the line to ADD")
    if action.id is not None and action.id in [other.action.id for other in others if other.action.type == "ADD"]:
        raise Invalid(f"{path}.id", f"{action.id!r} is given twice")
