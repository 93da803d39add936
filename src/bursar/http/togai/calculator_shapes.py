"""How the Togai dialect asks the revenue calculator, and how it answers."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

from bursar.http.door import Answer, Body
from bursar.http.togai.fee_shapes import FixedFeeRateCard
from bursar.http.togai.license_shapes import LicenseRateCard
from bursar.http.togai.plan_shapes import CreatePricePlanDetails, PricePlanDetails, UsageRateCard

Identifier = Annotated[str, Meta(min_length=1, max_length=255)]
Lookup = Literal["CUSTOM", "LOOKUP_RANGE", "LOOKUP_CYCLE"]


class CurrencyConfig(Body, kw_only=True):
    """Which currency: one that is named, or an account's."""

    mode: Literal["CUSTOM", "ACCOUNT_INVOICE"]
    currency: Annotated[str, Meta(min_length=1, max_length=10)] | None = None
    account_id: Identifier | None = None


class PricePlanDetailsConfig(Body, kw_only=True):
    """Which prices: some that are given, a plan's, or those of an account's plan."""

    mode: Literal["CUSTOM", "PRICE_PLAN", "ACCOUNT"]
    price_plan_details: CreatePricePlanDetails | None = None
    price_plan_id: Identifier | None = None
    account_id: Identifier | None = None
    effective_on: datetime | None = None
    pricing_cycle_ordinal: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class LookupRange(Body, kw_only=True):
    """Some time of an account."""

    start: datetime
    end: datetime
    account_id: Identifier


class LookupCycle(Body, kw_only=True):
    """The cycle of an account at an instant."""

    account_id: Identifier
    cycle_effective_on: datetime | None = None


class UsageConfig(Body, kw_only=True):
    """Which quantities: some that are given, or what an account used."""

    mode: Lookup
    usage_map: Annotated[dict[Identifier, Decimal], Meta(max_length=100)] | None = None
    lookup_range: LookupRange | None = None
    lookup_cycle: LookupCycle | None = None


class LicenseEntry(Body, kw_only=True):
    """So many licences from an instant on."""

    license_id: Identifier
    quantity: Decimal
    effective_from: datetime


class LicenseEntriesConfig(Body, kw_only=True):
    """How many licences: some that are given, or what an account has."""

    mode: Lookup
    custom: Annotated[list[LicenseEntry], Meta(max_length=1000)] | None = None
    lookup_range: LookupRange | None = None
    lookup_cycle: LookupCycle | None = None


class NamedLicenseEntry(Body, kw_only=True):
    """A name that has a licence."""

    license_id: Identifier
    name: int | Annotated[str, Meta(max_length=255)]
    effective_from: datetime
    effective_until: datetime | None = None


class NamedLicenseEntriesConfig(Body, kw_only=True):
    """Which names have licences: some that are given, or those of an account."""

    mode: Lookup
    custom: Annotated[list[NamedLicenseEntry], Meta(max_length=1000)] | None = None
    lookup_range: LookupRange | None = None
    lookup_cycle: LookupCycle | None = None


class EntriesConfig(Body, kw_only=True):
    """Overages; no plan has cards of them yet, so they change nothing."""

    mode: Lookup
    custom: Annotated[list[Any], Meta(max_length=1000)] | None = None
    lookup_range: dict[str, Any] | None = None
    lookup_cycle: dict[str, Any] | None = None


class ProrationCustom(Body, kw_only=True):
    """A cycle, and the day from which on it is charged."""

    cycle_start_date: datetime
    cycle_end_date: datetime
    current_date: datetime


class ProrationLookup(Body, kw_only=True):
    """The cycle of an account, and the instant from which on it is charged."""

    account_id: Identifier
    current_date_time: datetime | None = None
    cycle_effective_on: datetime | None = None


class ProrationConfig(Body, kw_only=True):
    """Which part of a cycle is charged."""

    mode: Literal["CUSTOM", "LOOKUP_CYCLE"]
    custom_config: ProrationCustom | None = None
    lookup_cycle_config: ProrationLookup | None = None


class CalculateRevenueRequest(Body, kw_only=True):
    """What to calculate."""

    currency_config: CurrencyConfig
    price_plan_details_config: PricePlanDetailsConfig
    usage_config: UsageConfig
    license_entries_config: LicenseEntriesConfig
    named_license_entries_config: NamedLicenseEntriesConfig | None = None
    proration_config: ProrationConfig | None = None
    entitlement_overage_config: EntriesConfig | None = None


class UsageLookupRange(Answer, kw_only=True):
    """The time whose usage was looked up."""

    start: datetime
    end: datetime


class SlabRevenueMetadata(Answer, kw_only=True):
    """What decided the amount."""

    minimum_rate_applied: bool | None = None
    maximum_rate_applied: bool | None = None
    package_quantity: int | None = None


class SlabRevenueSummary(Answer, kw_only=True):
    """What one slab brings. Order 0 is what the bounds of the whole card, or pricing rules, add or take away."""

    order: int
    usage: Decimal
    revenue: Decimal
    metadata: SlabRevenueMetadata | None = None


class FixedFeeRevenueSummary(Answer, kw_only=True):
    """What a fee brings."""

    revenue: Decimal


class RevenueInfo(Answer, kw_only=True):
    """What one card brings."""

    usages: dict[str, Decimal]
    usage_rate_card: UsageRateCard | None = None
    fixed_fee_rate_card: FixedFeeRateCard | None = None
    slab_revenue_summaries: list[SlabRevenueSummary] | None = None
    fixed_fee_revenue_summary: FixedFeeRevenueSummary | None = None
    license_rate_card: LicenseRateCard | None = None
    license_revenue_summary: list[SlabRevenueSummary] | None = None


class CalculateRevenueResponse(Answer, kw_only=True):
    """What the plan brings, card by card."""

    currency: str
    price_plan_details: PricePlanDetails
    revenue_info: list[RevenueInfo]
    usage_lookup_range: UsageLookupRange | None = None
