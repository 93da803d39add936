"""How the Togai dialect writes pricing rules, and their translation to and from the catalogue's definition."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog.definitions import PricingRule, RuleAction
from bursar.http.door import Answer, Body

Timing = Literal["IN_ADVANCE", "IN_ARREARS"]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=50)], Annotated[str, Meta(max_length=200)]], Meta(max_length=10)
]


class PricingRuleAction(Body, kw_only=True, omit_defaults=True):
    """What a rule does with the number that it computes."""

    type: Literal["ADD", "UPDATE"]
    target: Annotated[str, Meta(max_length=100)] | None = None
    id: Annotated[str, Meta(max_length=50)] | None = None
    description: Annotated[str, Meta(max_length=255)] | None = None
    metadata: Metadata | None = None


class CreatePricingRule(Body, kw_only=True):
    """A rule to make."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    order: Annotated[int, Meta(ge=1, le=2_147_483_647)]
    computation: str
    action: PricingRuleAction
    invoice_timing: Timing | None = None
    condition: str | None = None


class PricingRuleShape(Answer, kw_only=True):
    """A rule of a plan."""

    id: str
    name: str
    version: int
    order: int
    computation: str
    action: PricingRuleAction
    invoice_timing: str
    condition: str | None = None


RuleList = Annotated[list[CreatePricingRule], Meta(max_length=100)]


def rules_of(rules: Sequence[CreatePricingRule] | None) -> list[PricingRule] | None:
    """The rules that a body gives; None where it says nothing of them."""
    return None if rules is None else [_rule(rule) for rule in rules]


def rules_shape(rules: Sequence[PricingRule], timing: str | None = None) -> list[PricingRuleShape]:
    """Rules as the wire shows them, in the order in which they run; with `timing` only those of one."""
    shapes = [_shape(rule) for rule in sorted(rules, key=lambda rule: rule.order)]
    return [shape for shape in shapes if timing in (None, shape.invoice_timing)]


def _rule(rule: CreatePricingRule) -> PricingRule:
    action = rule.action
    return PricingRule(
        name=rule.name,
        order=rule.order,
        computation=rule.computation,
        action=RuleAction(action.type, action.target, action.id, action.description, action.metadata or {}),
        condition=rule.condition,
        in_advance=rule.invoice_timing == "IN_ADVANCE",
    )


def _shape(rule: PricingRule) -> PricingRuleShape:
    action = rule.action
    return PricingRuleShape(
        id=rule.id or "pp_rule.dry-run",
        name=rule.name,
        version=rule.version,
        order=rule.order,
        computation=rule.computation,
        action=PricingRuleAction(
            type=action.type,
            target=action.target,
            id=action.id,
            description=action.description,
            metadata=action.metadata or None,
        ),
        invoice_timing="IN_ADVANCE" if rule.in_advance else "IN_ARREARS",
        condition=rule.condition,
    )
