"""How the Togai dialect writes entitlement rate cards, and their translation to and from the catalogue's definition."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog.definitions import EntitlementCard, FeatureConfig, OverageCard
from bursar.core.errors import Invalid
from bursar.http.door import Body
from bursar.http.encode import number
from bursar.http.togai.fee_shapes import Label, RecurrenceConfig
from bursar.http.togai.slab_shapes import (
    RatePlan,
    RateValue,
    rate_plan_shape,
    rate_values_shape,
    rates_of,
    slabs_of,
)

Duration = Annotated[str, Meta(min_length=2, max_length=50)]


class FeatureConfigShape(Body, kw_only=True, omit_defaults=True):
    """Units of a feature, and from when until when they may be used: ISO 8601 durations after they are granted."""

    effective_until: Duration
    feature_credit_limit: Decimal
    effective_from: Duration | None = None


class BillingEntitlementRateCard(Body, kw_only=True, omit_defaults=True):
    """Units of a feature that are granted, and what they cost."""

    feature_id: Annotated[str, Meta(min_length=1, max_length=50)]
    feature_configs: Annotated[list[FeatureConfigShape], Meta(min_length=1, max_length=50)]
    invoice_timing: Literal["IN_ADVANCE", "IN_ARREARS", "PREPAID"]
    rate_plan: RatePlan
    rate_values: Annotated[list[RateValue], Meta(min_length=1, max_length=50)]
    display_name: Label | None = None
    name: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    tag: Annotated[str, Meta(max_length=50)] | None = None
    recurrence_config: RecurrenceConfig | None = None


class BillingConfig(Body, kw_only=True, omit_defaults=True):
    """In which pricing cycles overage is billed."""

    interval: int | None = None
    start_offset: int | None = None


class EntitlementOverageRateCard(Body, kw_only=True, omit_defaults=True):
    """What units of a feature cost that are used beyond those that were granted."""

    feature_id: Annotated[str, Meta(min_length=1, max_length=50)]
    rate_plan: RatePlan
    rate_values: Annotated[list[RateValue], Meta(min_length=1, max_length=50)]
    max_quantity: Decimal | None = None
    display_name: Label | None = None
    name: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    tag: Annotated[str, Meta(max_length=50)] | None = None
    billing_config: BillingConfig | None = None


def overages_of(
    cards: Sequence[EntitlementOverageRateCard], features: Mapping[str, int], path: str
) -> list[OverageCard]:
    """The overages that cards give; `features` are the internal keys of those features that exist."""
    return [_overage(card, features, f"{path}[{index}]") for index, card in enumerate(cards)]


def overage_shape(card: OverageCard) -> EntitlementOverageRateCard:
    """An overage as the wire shows it."""
    return EntitlementOverageRateCard(
        feature_id=card.feature_id,
        rate_plan=rate_plan_shape(card.pricing_model, card.slabs),
        rate_values=rate_values_shape(card.rates),
        max_quantity=None if card.max_quantity is None else number(card.max_quantity),
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
    )


def _overage(card: EntitlementOverageRateCard, features: Mapping[str, int], path: str) -> OverageCard:
    if card.feature_id not in features:
        raise Invalid(f"{path}.featureId", f"there is no feature {card.feature_id!r}")
    config = card.billing_config or BillingConfig()
    if config.interval not in (None, 1) or config.start_offset not in (None, 0):
        raise Invalid(f"{path}.billingConfig", "must be every cycle (interval 1, startOffset 0), or left out")
    return OverageCard(
        name=card.name or f"overage-{card.feature_id}",
        feature=features[card.feature_id],
        feature_id=card.feature_id,
        pricing_model=card.rate_plan.pricing_model,
        slabs=slabs_of(card.rate_plan, path),
        rates=rates_of(card.rate_values, path),
        max_quantity=card.max_quantity,
        display_name=card.display_name,
        tag=card.tag,
    )


def entitlements_of(
    cards: Sequence[BillingEntitlementRateCard], features: Mapping[str, int], path: str
) -> list[EntitlementCard]:
    """The entitlements that cards give; `features` are the internal keys of those features that exist."""
    return [_entitlement(card, features, f"{path}[{index}]") for index, card in enumerate(cards)]


def entitlement_shape(card: EntitlementCard) -> BillingEntitlementRateCard:
    """An entitlement as the wire shows it."""
    recurrence = None
    if (card.interval, card.offset) != (1, 0):
        recurrence = RecurrenceConfig(interval=card.interval, offset=card.offset)
    return BillingEntitlementRateCard(
        feature_id=card.feature_id,
        feature_configs=[
            FeatureConfigShape(
                effective_from=config.start,
                effective_until=config.end,
                feature_credit_limit=number(config.limit),
            )
            for config in card.configs
        ],
        invoice_timing=card.timing,
        rate_plan=rate_plan_shape(card.pricing_model, card.slabs),
        rate_values=rate_values_shape(card.rates),
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        recurrence_config=recurrence,
    )


def _entitlement(card: BillingEntitlementRateCard, features: Mapping[str, int], path: str) -> EntitlementCard:
    if card.feature_id not in features:
        raise Invalid(f"{path}.featureId", f"there is no feature {card.feature_id!r}")
    recurrence = card.recurrence_config or RecurrenceConfig()
    return EntitlementCard(
        name=card.name or f"entitlement-{card.feature_id}",
        feature=features[card.feature_id],
        feature_id=card.feature_id,
        configs=[
            FeatureConfig(config.feature_credit_limit, config.effective_until, config.effective_from or "PT0S")
            for config in card.feature_configs
        ],
        pricing_model=card.rate_plan.pricing_model,
        slabs=slabs_of(card.rate_plan, path),
        rates=rates_of(card.rate_values, path),
        timing=card.invoice_timing,
        interval=1 if recurrence.interval is None else recurrence.interval,
        offset=0 if recurrence.offset is None else recurrence.offset,
        display_name=card.display_name,
        tag=card.tag,
    )
