"""The rules of cards that grant units of features, and of those that price what is used beyond. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bursar.catalog.card_rules import check_card, check_new
from bursar.catalog.definitions import EntitlementCard, FeatureConfig, PlanDetails
from bursar.core import decimals
from bursar.core.durations import parse_duration
from bursar.core.errors import Invalid

RECURRENCE_LIMIT = 10_000

_SOME_DAY = datetime(2001, 1, 1, tzinfo=UTC)
"""From which durations are compared: of no leap year, before a long month."""


def check_granting(plan: PlanDetails, names: Sequence[str], path: str) -> None:
    """Raise `Invalid` for what a BILLING plan cannot grant; `names` are those of the plan's other cards."""
    field = f"{path}.billingEntitlementRateCards"
    check_entitlements(plan.entitlements, names, plan.currencies, field)
    for index, card in enumerate(plan.entitlements):
        if card.timing == "PREPAID":
            raise Invalid(f"{field}[{index}].invoiceTiming", "must be IN_ADVANCE or IN_ARREARS on a BILLING plan")
        if not 1 <= card.interval <= RECURRENCE_LIMIT:
            rule = f"must be 1 to {RECURRENCE_LIMIT} cycles"
            raise Invalid(f"{field}[{index}].recurrenceConfig.interval", rule)
        if not 0 <= card.offset <= RECURRENCE_LIMIT:
            rule = f"must be 0 to {RECURRENCE_LIMIT} cycles"
            raise Invalid(f"{field}[{index}].recurrenceConfig.offset", rule)
    if plan.deferred_revenue and plan.entitlements:
        raise Invalid(field, "cannot be on a plan with deferredRevenue")
    _check_overages(plan, [*names, *(card.name for card in plan.entitlements)], path)


def _check_overages(plan: PlanDetails, names: Sequence[str], path: str) -> None:
    cards, field = plan.overages, f"{path}.entitlementOverageRateCards"
    if plan.deferred_revenue and cards:
        raise Invalid(field, "cannot be on a plan with deferredRevenue")
    for index, card in enumerate(cards):
        place = f"{field}[{index}]"
        before = [(other.feature_id, other.name) for other in cards[:index]]
        check_new((card.feature_id, card.name), before, names, place, "featureId")
        if card.max_quantity is not None and (card.max_quantity < 0 or not decimals.fits(card.max_quantity)):
            raise Invalid(f"{place}.maxQuantity", "must not be negative, and below 10^26")
        check_card(card, plan.currencies, place)


def check_entitlements(
    cards: Sequence[EntitlementCard], names: Sequence[str], currencies: Sequence[str], path: str
) -> None:
    """Raise `Invalid` for entitlements that could not be granted; `names` are those of the plan's other cards."""
    for index, card in enumerate(cards):
        field = f"{path}[{index}]"
        before = [(other.feature_id, other.name) for other in cards[:index]]
        check_new((card.feature_id, card.name), before, names, field, "featureId")
        for place, config in enumerate(card.configs):
            _check_config(config, f"{field}.featureConfigs[{place}]")
        if not decimals.fits(card.units):
            raise Invalid(f"{field}.featureConfigs", "must come to less than 10^26 units in all")
        check_card(card, currencies, field)


def _check_config(config: FeatureConfig, path: str) -> None:
    if config.limit < 0:
        raise Invalid(f"{path}.featureCreditLimit", "must not be negative")
    ends = []
    for name, text in (("effectiveFrom", config.start), ("effectiveUntil", config.end)):
        try:
            ends.append(parse_duration(text).after(_SOME_DAY, "UTC"))
        except ValueError:
            raise Invalid(f"{path}.{name}", "must be an ISO 8601 duration, as P20D or PT0S") from None
    if ends[0] >= ends[1]:
        raise Invalid(f"{path}.effectiveUntil", "must be longer than effectiveFrom")
