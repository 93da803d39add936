"""How the Togai dialect writes a price plan, and its translation to and from the catalogue's definition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bursar.catalog.add_ons import AddOn
from bursar.catalog.definitions import (
    Commitment,
    CurrencyRate,
    CycleDefinition,
    PlanDetails,
    PricingRule,
    UsageCard,
)
from bursar.catalog.plans import PlanChange
from bursar.core.errors import Invalid
from bursar.http.door import Answer, Body
from bursar.http.encode import number
from bursar.http.togai.entitlement_shapes import BillingEntitlementRateCard, entitlement_shape, entitlements_of
from bursar.http.togai.fee_shapes import (
    CurrencyRateValue,
    CurrencyText,
    FixedFeeRateCard,
    Label,
    fee_shape,
    fees_of,
)
from bursar.http.togai.license_shapes import LicenseRateCard, license_shape, licenses_of
from bursar.http.togai.slab_shapes import RatePlan, RateValue, rate_plan_shape, rate_values_shape, rates_of, slabs_of

PATH = "pricePlanDetails"


class StartOffset(Body, kw_only=True):
    """On which day of which month a cycle begins."""

    day_offset: Annotated[str, Meta(max_length=10)]
    month_offset: Annotated[str, Meta(max_length=10)] = "NIL"


class PricingCycleConfig(Body, kw_only=True, omit_defaults=True):
    """How the billing cycles of a plan run."""

    interval: Literal["WEEKLY", "MONTHLY", "QUARTERLY", "HALF_YEARLY", "ANNUALLY"]
    grace_period: int
    start_offset: StartOffset | None = None
    anniversary_cycle: bool = False


class UsageRateCard(Body, kw_only=True, omit_defaults=True):
    """What a meter's quantity costs."""

    usage_meter_id: Annotated[str, Meta(min_length=1, max_length=50)]
    rate_plan: RatePlan
    rate_values: Annotated[list[RateValue], Meta(min_length=1, max_length=50)]
    display_name: Label | None = None
    name: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    tag: Annotated[str, Meta(max_length=50)] | None = None


class MinimumCommitment(Body, kw_only=True):
    """What is due per cycle at the least."""

    display_name: Label
    rate_values: Annotated[list[CurrencyRateValue], Meta(min_length=1, max_length=50)]


class CreatePricePlanDetails(Body, kw_only=True):
    """What a plan to make says."""

    supported_currencies: Annotated[list[CurrencyText], Meta(max_length=50)]
    pricing_cycle_config: PricingCycleConfig | None = None
    usage_rate_cards: Annotated[list[UsageRateCard], Meta(max_length=100)] | None = None
    minimum_commitment: MinimumCommitment | None = None
    fixed_fee_rate_cards: Annotated[list[FixedFeeRateCard], Meta(max_length=100)] | None = None
    license_rate_cards: Annotated[list[LicenseRateCard], Meta(max_length=100)] | None = None
    billing_entitlement_rate_cards: Annotated[list[BillingEntitlementRateCard], Meta(max_length=100)] | None = None
    credit_grant_rate_cards: list[Any] | None = None
    entitlement_overage_rate_cards: list[Any] | None = None
    deferred_revenue: bool | None = None
    # The contract spells this one field with underscores.
    allow_ongoing_cycle_updates: bool | None = msgspec.field(default=None, name="allow_ongoing_cycle_updates")


class CreatePricePlanDetailsOverride(Body, kw_only=True):
    """What to change of what a plan says; what is left out stays."""

    supported_currencies: Annotated[list[CurrencyText], Meta(min_length=1, max_length=50)] | None = None
    pricing_cycle_config: PricingCycleConfig | None = None
    usage_rate_cards: Annotated[list[UsageRateCard], Meta(max_length=100)] | None = None
    minimum_commitment: MinimumCommitment | None = None
    fixed_fee_rate_cards: Annotated[list[FixedFeeRateCard], Meta(max_length=100)] | None = None
    license_rate_cards: Annotated[list[LicenseRateCard], Meta(max_length=100)] | None = None
    billing_entitlement_rate_cards: Annotated[list[BillingEntitlementRateCard], Meta(max_length=100)] | None = None
    credit_grant_rate_cards: list[Any] | None = None
    entitlement_overage_rate_cards: list[Any] | None = None


PlanBody = CreatePricePlanDetails | CreatePricePlanDetailsOverride


class PricePlanDetails(Answer, kw_only=True):
    """What a plan says."""

    supported_currencies: list[str]
    active_currencies: list[str]
    usage_rate_cards: list[UsageRateCard]
    fixed_fee_rate_cards: list[FixedFeeRateCard]
    type: str
    license_rate_cards: list[LicenseRateCard] | None = None
    billing_entitlement_rate_cards: list[BillingEntitlementRateCard] | None = None
    pricing_cycle_config: PricingCycleConfig | None = None
    minimum_commitment: MinimumCommitment | None = None
    deferred_revenue: bool | None = None
    allow_ongoing_cycle_updates: bool | None = msgspec.field(default=None, name="allow_ongoing_cycle_updates")


_LATER = (
    "credit_grant_rate_cards",
    "entitlement_overage_rate_cards",
)


_NEVER_DEFERRED = ("billing_entitlement_rate_cards", "credit_grant_rate_cards", "entitlement_overage_rate_cards")
"""What cannot be together with deferred revenue."""


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.title, rest))


@dataclass(frozen=True, slots=True)
class Known:
    """What exists of the things that a plan names, by wire id."""

    meters: Mapping[str, int] = field(default_factory=dict)
    """Internal keys."""
    add_ons: Mapping[str, AddOn] = field(default_factory=dict)
    features: Mapping[str, int] = field(default_factory=dict)
    """Internal keys."""


def meters_of(body: PlanBody) -> list[str]:
    """The meter ids that a plan names."""
    return [card.usage_meter_id for card in body.usage_rate_cards or ()]


def add_ons_of(body: PlanBody) -> list[str]:
    """The add-on ids that a plan names."""
    cards = [*(body.fixed_fee_rate_cards or ()), *(body.license_rate_cards or ())]
    return [card.id for card in cards]


def features_of(body: PlanBody) -> list[str]:
    """The feature ids that a plan names."""
    return [card.feature_id for card in body.billing_entitlement_rate_cards or ()]


def plan_of(body: CreatePricePlanDetails, known: Known, rules: list[PricingRule] | None = None) -> PlanDetails:
    """The definition that a body gives."""
    bare = PlanDetails(
        list(body.supported_currencies),
        ongoing_updates=bool(body.allow_ongoing_cycle_updates),
        deferred_revenue=bool(body.deferred_revenue),
    )
    for name in _NEVER_DEFERRED:
        if body.deferred_revenue and getattr(body, name):
            raise Invalid(f"{PATH}.{_camel(name)}", "cannot be on a plan with deferredRevenue")
    return change_of(body, known, rules=rules).applied(bare)


def change_of(
    body: PlanBody,
    known: Known,
    *,
    description: str | None = None,
    rules: list[PricingRule] | None = None,
) -> PlanChange:
    """The parts of a plan that a body gives."""
    for name in _LATER:
        if getattr(body, name):
            raise Invalid(f"{PATH}.{_camel(name)}", "are not supported yet")
    fees, commitment = body.fixed_fee_rate_cards, body.minimum_commitment
    entitlements, licenses = body.billing_entitlement_rate_cards, body.license_rate_cards
    return PlanChange(
        description=description,
        currencies=body.supported_currencies,
        cycle=None if body.pricing_cycle_config is None else _cycle(body.pricing_cycle_config),
        usage=None if body.usage_rate_cards is None else _cards(body.usage_rate_cards, known.meters),
        fees=None if fees is None else fees_of(fees, known.add_ons, f"{PATH}.fixedFeeRateCards"),
        entitlements=None
        if entitlements is None
        else entitlements_of(entitlements, known.features, f"{PATH}.billingEntitlementRateCards"),
        licenses=None if licenses is None else licenses_of(licenses, known.add_ons, f"{PATH}.licenseRateCards"),
        commitment=None
        if commitment is None
        else Commitment(commitment.display_name, [CurrencyRate(r.currency, r.rate) for r in commitment.rate_values]),
        rules=rules,
    )


def details_shape(plan: PlanDetails, kind: str, active: Sequence[str]) -> PricePlanDetails:
    """A definition as the wire shows it."""
    commitment = plan.commitment
    return PricePlanDetails(
        supported_currencies=plan.currencies,
        active_currencies=list(active),
        usage_rate_cards=[card_shape(card) for card in plan.usage],
        fixed_fee_rate_cards=[fee_shape(fee) for fee in plan.fees],
        type=kind,
        license_rate_cards=[license_shape(card) for card in plan.licenses] or None,
        billing_entitlement_rate_cards=[entitlement_shape(card) for card in plan.entitlements] or None,
        pricing_cycle_config=None if plan.cycle is None else _cycle_shape(plan.cycle),
        minimum_commitment=None
        if commitment is None
        else MinimumCommitment(
            display_name=commitment.display_name,
            rate_values=[CurrencyRateValue(currency=r.currency, rate=number(r.rate)) for r in commitment.rates],
        ),
        deferred_revenue=plan.deferred_revenue,
        allow_ongoing_cycle_updates=plan.ongoing_updates,
    )


def _cycle(config: PricingCycleConfig) -> CycleDefinition:
    offset = config.start_offset
    return CycleDefinition(
        interval=config.interval,
        grace_days=config.grace_period,
        day=None if offset is None else offset.day_offset,
        month=None if offset is None or offset.month_offset == "NIL" else offset.month_offset,
        anniversary=config.anniversary_cycle,
    )


def _cycle_shape(cycle: CycleDefinition) -> PricingCycleConfig:
    offset = None
    if not cycle.anniversary:
        # The client cannot read an offset without a month, so one is always there.
        offset = StartOffset(day_offset=cycle.day or "1", month_offset=cycle.month or "NIL")
    return PricingCycleConfig(
        interval=cycle.interval,  # type: ignore[arg-type]  # checked when the plan was made
        grace_period=cycle.grace_days,
        start_offset=offset,
        anniversary_cycle=cycle.anniversary,
    )


def _cards(cards: Sequence[UsageRateCard], meters: Mapping[str, int]) -> list[UsageCard]:
    found = []
    for index, card in enumerate(cards):
        place = f"{PATH}.usageRateCards[{index}]"
        if card.usage_meter_id not in meters:
            raise Invalid(f"{place}.usageMeterId", f"there is no usage meter {card.usage_meter_id!r}")
        found.append(_card(card, meters[card.usage_meter_id], place))
    return found


def _card(card: UsageRateCard, meter: int, path: str) -> UsageCard:
    return UsageCard(
        name=card.name or f"usage-{card.usage_meter_id}",
        meter=meter,
        meter_id=card.usage_meter_id,
        pricing_model=card.rate_plan.pricing_model,
        slabs=slabs_of(card.rate_plan, path),
        rates=rates_of(card.rate_values, path),
        display_name=card.display_name,
        tag=card.tag,
    )


def card_shape(card: UsageCard) -> UsageRateCard:
    """A usage rate card as the wire shows it."""
    return UsageRateCard(
        usage_meter_id=card.meter_id,
        rate_plan=rate_plan_shape(card.pricing_model, card.slabs),
        rate_values=rate_values_shape(card.rates),
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
    )
