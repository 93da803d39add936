"""What pricing rules of a plan may say, and under which ids they go on."""

import json
from decimal import Decimal
from typing import Any

import pytest

from bursar.catalog.definitions import (
    CardRates,
    CurrencyRate,
    CycleDefinition,
    FeeCard,
    PlanDetails,
    PricingRule,
    RuleAction,
    SlabDefinition,
    SlabRate,
    UsageCard,
)
from bursar.catalog.model import check_plan
from bursar.catalog.pricing_rules import kept
from bursar.core.errors import Invalid

ONE = Decimal(1)
LOGIC = ("condition", "computation")
UPDATE = RuleAction("UPDATE", "revenue.ff.addon.late.1")
ADVANCE = RuleAction("UPDATE", "revenue.ff.addon.soon.1")


def rule(name: str = "r", order: int = 1, action: RuleAction = UPDATE, **parts: Any) -> PricingRule:
    parts = {name: json.dumps(part) if name in LOGIC else part for name, part in parts.items()}
    return PricingRule(name, order, action=action, **{"computation": "1", **parts})


def plan(*rules: PricingRule) -> PlanDetails:
    fees = [
        FeeCard(name, n, f"addon.{name}.1", [CurrencyRate("USD", ONE)], prorated=False, in_advance=name == "soon")
        for n, name in enumerate(("soon", "late"))
    ]
    usage = UsageCard(
        "card", 1, "um.a.1", "TIERED", [SlabDefinition(1, Decimal(0), "PER_UNIT")],
        [CardRates("USD", [SlabRate(1, ONE)])],
    )  # fmt: skip
    return PlanDetails(["USD"], CycleDefinition("MONTHLY", 3), [usage], fees=fees, rules=list(rules))


def var(name: str) -> dict[str, str]:
    return {"var": name}


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (rule("  "), "pricingRules[1].name: must not be blank"),
        (rule("first"), "pricingRules[1].name: 'first' is given twice"),
        (rule(order=0), "pricingRules[1].order: must be at least 1"),
        (rule(order=9), "pricingRules[1].order: 9 is given twice"),
        (rule(computation={"+": [1]}, condition="yes"), None),
        (PricingRule("r", 1, "{", UPDATE), "pricingRules[1].computation: "),
        (PricingRule("r", 1, "1", UPDATE, "{"), "pricingRules[1].condition: "),
        (PricingRule("r", 1, "1" * 5001, UPDATE), "pricingRules[1].computation: must have at most 5000 characters"),
        (rule(computation={"nope": 1}), "pricingRules[1].computation: operator \"nope\" is not known"),
        (rule(computation={"/": [1, 0]}), "pricingRules[1].computation: always fails"),
        (rule(computation="a"), "pricingRules[1].computation: always fails: the result must be a number"),
        (rule(computation=[1]), "pricingRules[1].computation: always fails"),
        (rule(computation=var("usage.urc.um.a.2")), "pricingRules[1].computation: the plan has no 'usage.urc.um.a.2'"),
        (rule(condition=var("attributes.x")), "pricingRules[1].condition: the plan has no 'attributes.x'"),
        (rule(computation=var("usage.ff.addon.late.1")), "pricingRules[1].computation: the plan has no"),
        (rule(condition=var("revenue.ff.addon.soon.1")), "is not invoiced IN_ARREARS, as the rule is"),
        (rule(action=ADVANCE, in_advance=True, computation=var("usage.urc.um.a.1")), "is not invoiced IN_ADVANCE"),
        (rule(action=ADVANCE), "pricingRules[1].action.target: 'revenue.ff.addon.soon.1' is not invoiced IN_ARREARS"),
        (rule(action=RuleAction("UPDATE")), "pricingRules[1].action.target: is required to UPDATE"),
        (rule(action=RuleAction("UPDATE", "revenue.ff.addon.x")), "action.target: the plan has no 'revenue.ff.addon"),
        (rule(action=RuleAction("UPDATE", "urc.um.a.1")), "pricingRules[1].action.target: the plan has no"),
        (rule(action=RuleAction("ADD")), "pricingRules[1].action: needs an id or a description"),
        (rule(action=RuleAction("ADD", id=" ")), "pricingRules[1].action.id: must not be blank"),
        (rule(action=RuleAction("ADD", description="")), "pricingRules[1].action.description: must not be blank"),
        (rule(action=RuleAction("ADD", id="one")), "pricingRules[1].action.id: 'one' is given twice"),
        (rule(action=RuleAction("ADD", UPDATE.target, "x")), "pricingRules[1].action.target: must be left out"),
        (rule(action=RuleAction("ADD", description="x")), None),
        (rule(action=RuleAction("UPDATE", UPDATE.target, "one")), None),
        (rule(action=RuleAction("UPDATE", "usage.urc.um.a.1")), None),
        (rule(action=RuleAction("UPDATE", "revenue.urc.um.a.1"), computation=var("usage.urc.um.a.1")), None),
        (rule(action=ADVANCE, in_advance=True, condition={"missing": ["revenue.ff.addon.soon.1"]}), None),
    ],
)  # fmt: skip
def test_rules_are_checked_by_field(one: PricingRule, message: str | None) -> None:
    whole = plan(rule("first", 9, RuleAction("ADD", id="one")), one)
    if message is None:
        check_plan(whole, "BILLING")
        return
    with pytest.raises(Invalid) as refused:
        check_plan(whole, "BILLING")
    assert refused.value.message.startswith("pricingRules[1].")
    assert message in refused.value.message


def test_fifty_rules_are_the_most() -> None:
    check_plan(plan(*(rule(f"r{n}", n) for n in range(1, 51))), "BILLING")
    with pytest.raises(Invalid, match="pricingRules: must be at most 50"):
        check_plan(plan(*(rule(f"r{n}", n) for n in range(1, 52))), "BILLING")


def test_all_logic_together_is_bounded() -> None:
    long = "1" + " " * 4999
    rules = [rule(f"r{n}", n) for n in range(1, 12)]
    fits = [PricingRule(one.name, one.order, long, UPDATE) for one in rules[:10]]
    check_plan(plan(*fits), "BILLING")
    with pytest.raises(Invalid, match="pricingRules: must have at most 50000 characters"):
        check_plan(plan(*fits, rules[10]), "BILLING")


def test_a_rule_goes_on_under_its_name() -> None:
    first = kept(plan(rule("same", 1), rule("changed", 2), rule("gone", 3)))
    same, changed, gone = first.rules
    assert len({one.id for one in first.rules}) == 3
    assert {one.version for one in first.rules} == {1}
    then = kept(plan(rule("changed", 2, computation=2), rule("same", 1), rule("new", 4)), first)
    assert then.rules[1] == same
    assert (then.rules[0].id, then.rules[0].version) == (changed.id, 2)
    assert then.rules[2].id not in {same.id, changed.id, gone.id}
    assert kept(then, first) == then, "what has ids keeps them"
    assert kept(plan()) == plan()
