"""Pricing rules in the Togai dialect: those of a plan over time, and what they did to an invoice."""

from decimal import Decimal

from bursar.core.decimals import show
from bursar.http.door import Answer, Call, Query
from bursar.http.encode import number
from bursar.http.togai.door import door
from bursar.http.togai.rule_shapes import PricingRuleShape, Timing, rules_shape
from bursar.invoicing import service
from bursar.invoicing.document import Document, RuleRun
from bursar.invoicing.ruled import card_names
from bursar.purchases.service import plan_of_schedule


class TimingQuery(Query, kw_only=True, rename=None):
    """For which invoice rules are to be."""

    invoice_timing: Timing | None = None


class PricingRulesPaginatedResponse(Answer, kw_only=True):
    """The rules of a plan."""

    data: list[PricingRuleShape]


class PricingRuleChangesLog(Answer, kw_only=True):
    """What a rule changed. Revenue is before rounding; where nothing changed, old and new are the same."""

    key: str
    old_revenue: Decimal
    new_revenue: Decimal
    key_name: str | None = None
    old_usage: Decimal | None = None
    new_usage: Decimal | None = None
    error_message: str | None = None


class PricingRuleInfo(Answer, kw_only=True):
    """The rule as it was when it ran."""

    id: str
    name: str
    computation: str
    condition: str | None = None


class PricingRulesValues(Answer, kw_only=True):
    """What a variable was."""

    name: str
    value: str


class PricingRulesLog(Answer, kw_only=True):
    """What became of one rule."""

    id: str
    type: str
    order: int
    changes: PricingRuleChangesLog
    rule: PricingRuleInfo
    variables_value: dict[str, PricingRulesValues]


class PricingRulesLogsPaginatedResponse(Answer, kw_only=True):
    """What pricing rules did to an invoice."""

    data: list[PricingRulesLog]


@door.operation(
    "GET",
    "/price_plans/{price_plan_id}/pricing_schedules/{pricing_schedule_id}/pricing_rules",
    id="listPricingRulesByScheduleId",
    tag="Pricing Rules",
    summary="List the pricing rules of a price plan at a pricing schedule",
    query=TimingQuery,
    answer=PricingRulesPaginatedResponse,
)
async def list_pricing_rules_by_schedule_id(call: Call, query: TimingQuery) -> PricingRulesPaginatedResponse:
    """List the rules of a version of a plan, or those that hold for an association with it."""
    async with call.db.transaction(call.caller.workspace) as connection:
        plan = await plan_of_schedule(
            connection, call.caller, call.path["price_plan_id"], call.path["pricing_schedule_id"]
        )
    return PricingRulesPaginatedResponse(data=rules_shape(plan.details.rules, query.invoice_timing))


@door.operation(
    "GET",
    "/invoice/{invoice_id}/pricing_rules_logs",
    id="listPricingRuleLogs",
    tag="Invoices",
    summary="List the log of an invoice's pricing rules",
    answer=PricingRulesLogsPaginatedResponse,
)
async def list_pricing_rule_logs(call: Call) -> PricingRulesLogsPaginatedResponse:
    """List what pricing rules did to an invoice: as it stands for a draft, else as it was issued."""
    document = (await service.get_invoice(call.db, call.caller, call.path["invoice_id"])).document
    names = card_names(document)
    return PricingRulesLogsPaginatedResponse(data=[_log(document, run, names) for run in document.rules or ()])


def _log(document: Document, run: RuleRun, names: dict[str, str]) -> PricingRulesLog:
    return PricingRulesLog(
        id=f"rule_log.{document.id.removeprefix('inv.')}.{run.order}",
        type=run.type,
        order=run.order,
        changes=PricingRuleChangesLog(
            key=run.key,
            key_name=names.get(run.key),
            old_revenue=number(run.old_revenue),
            new_revenue=number(run.new_revenue),
            old_usage=None if run.old_usage is None else number(run.old_usage),
            new_usage=None if run.new_usage is None else number(run.new_usage),
            error_message=run.error,
        ),
        rule=PricingRuleInfo(id=run.rule_id, name=run.name, condition=run.condition, computation=run.computation),
        variables_value={
            name: PricingRulesValues(name=names.get(name.partition(".")[2], name), value=show(value))
            for name, value in run.variables.items()
        },
    )
