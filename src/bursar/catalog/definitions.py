"""What versions of schemas, meters and plans say, as they are stored: append-only JSON with exact decimals."""

from decimal import Decimal
from typing import Literal, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder(decimal_format="number")


class AttributeDefinition(msgspec.Struct, omit_defaults=True):
    """A number that events of a schema carry."""

    name: str
    default_unit: str | None = None


class DependencyDefinition(msgspec.Struct):
    """A setting that rules of a schema read under a name. The key is `setting.<namespace>.<id>`."""

    key: str
    name: str


class EnrichedField(msgspec.Struct):
    """A field that is added to events: a constant, jsonLogic text, or the name of a dependency that holds it."""

    name: str
    type: Literal["ATTRIBUTE", "DIMENSION"]
    source: Literal["VALUE", "JSON_LOGIC", "JSON_LOGIC_FROM_DEPENDENCY"]
    value: str
    order: int


class EnrichmentDefinition(msgspec.Struct, omit_defaults=True):
    """What is added to events of a schema before they are measured."""

    fields: list[EnrichedField]
    dependencies: list[DependencyDefinition] = []

    def or_none(self) -> "EnrichmentDefinition | None":
        """Itself, or None where it says nothing."""
        return self if self.fields or self.dependencies else None


class SchemaDefinition(msgspec.Struct, omit_defaults=True):
    """One version of an event schema."""

    attributes: list[AttributeDefinition]
    dimensions: list[str]
    description: str | None = None
    filter_fields: list[str] = []
    enrichments: EnrichmentDefinition | None = None
    id_template: str | None = None
    """How an event without an id gets one."""


class Filter(msgspec.Struct):
    """A field that must equal a value for an event to be measured."""

    field: str
    value: str


class MeterDefinition(msgspec.Struct, omit_defaults=True):
    """One version of a usage meter. Matcher and computation are jsonLogic text."""

    aggregation: Literal["COUNT", "SUM"]
    filters: list[Filter] = []
    matcher: str | None = None
    computation: str | None = None
    computation_id: str | None = None
    computation_order: int = 1
    description: str | None = None
    billable_name: str | None = None


class CycleDefinition(msgspec.Struct, omit_defaults=True):
    """How a plan's billing cycles run; the zone is the account's. Absent offsets are the first day."""

    interval: str
    grace_days: int
    day: str | None = None
    month: str | None = None
    anniversary: bool = False


class SlabDefinition(msgspec.Struct, omit_defaults=True):
    """Quantities in `(start_after, next slab's start_after]` and the way they are priced."""

    order: int
    start_after: Decimal
    price_type: Literal["FLAT", "PER_UNIT", "PACKAGE"]
    package_size: Decimal | None = None


class SlabRate(msgspec.Struct, omit_defaults=True):
    """The price of a slab in one currency."""

    order: int
    rate: Decimal
    minimum_rate: Decimal | None = None
    maximum_rate: Decimal | None = None


class CardRates(msgspec.Struct, omit_defaults=True):
    """A card's prices in one currency."""

    currency: str
    slabs: list[SlabRate]
    minimum_rate: Decimal | None = None
    maximum_rate: Decimal | None = None
    """The least and the most that the card charges, if it charges anything."""


class UsageCard(msgspec.Struct, omit_defaults=True):
    """What the quantity of a meter costs. `TIERED` is graduated pricing."""

    name: str
    meter: int
    """Internal key of the usage meter."""
    meter_id: str
    pricing_model: Literal["TIERED", "VOLUME"]
    slabs: list[SlabDefinition]
    rates: list[CardRates]
    display_name: str | None = None
    tag: str | None = None

    def prices_in(self, currency: str) -> CardRates:
        """The prices in a currency, slabs in their order. Raises `KeyError`."""
        return _prices_in(self.rates, currency)


class FeatureConfig(msgspec.Struct):
    """Units of a feature, and from when until when they may be used, by ISO 8601 durations after they are granted."""

    limit: Decimal
    end: str
    start: str = "PT0S"


class EntitlementCard(msgspec.Struct, omit_defaults=True):
    """Units of a feature that are granted, and what they cost: the card's prices of all of them together."""

    name: str
    feature: int
    """Internal key of the feature."""
    feature_id: str
    configs: list[FeatureConfig]
    pricing_model: Literal["TIERED", "VOLUME"]
    slabs: list[SlabDefinition]
    rates: list[CardRates]
    timing: Literal["IN_ADVANCE", "IN_ARREARS", "PREPAID"]
    interval: int = 1
    """They are granted in every so many cycles,"""
    offset: int = 0
    """beginning with this one, counted from 0 at the association."""
    display_name: str | None = None
    tag: str | None = None

    def prices_in(self, currency: str) -> CardRates:
        """The prices in a currency, slabs in their order. Raises `KeyError`."""
        return _prices_in(self.rates, currency)

    @property
    def units(self) -> Decimal:
        """Units that one grant of the card has in all."""
        return sum((config.limit for config in self.configs), Decimal(0))


class LicenseCard(msgspec.Struct, omit_defaults=True):
    """What it costs to have licences of an add-on for a cycle, by how many there are on each of its days."""

    name: str
    add_on: int
    """Internal key of the add-on."""
    add_on_id: str
    pricing_model: Literal["TIERED", "VOLUME"]
    slabs: list[SlabDefinition]
    rates: list[CardRates]
    prorated: bool
    """Whether each day is charged by what there is on it; else each cycle by the most that there is in it."""
    named: bool = False
    """Whether licences are counted by the names that have them."""
    in_advance: bool = False
    """Whether what there is as the cycle begins is invoiced then; else all of it with the usage of the cycle."""
    usage_cycle: str | None = None
    """The interval that the price is for, where that is a part of the plan's."""
    max_quantity: Decimal | None = None
    tolerant: bool = False
    """Whether there may be more than `max_quantity`."""
    refund: Literal["NONE", "CREDITS", "PAYMENT", "WALLET"] = "NONE"
    """Where money goes that was charged in advance for days on which there were fewer."""
    display_name: str | None = None
    tag: str | None = None

    def prices_in(self, currency: str) -> CardRates:
        """The prices in a currency, slabs in their order. Raises `KeyError`."""
        return _prices_in(self.rates, currency)


class CurrencyRate(msgspec.Struct):
    """An amount in one currency."""

    currency: str
    rate: Decimal


class Commitment(msgspec.Struct):
    """What is due per cycle even where usage comes to less."""

    display_name: str
    rates: list[CurrencyRate]

    def in_currency(self, currency: str) -> Decimal:
        """The amount in a currency."""
        return next(rate.rate for rate in self.rates if rate.currency == currency)


class FeeCard(msgspec.Struct, omit_defaults=True):
    """What is charged for an add-on, whatever is used."""

    name: str
    add_on: int
    """Internal key of the add-on."""
    add_on_id: str
    rates: list[CurrencyRate]
    prorated: bool
    """Whether a part of a cycle is charged by the day; else each begun cycle is charged in full."""
    recurring: bool = True
    in_advance: bool = False
    """Whether it is invoiced as its cycle begins; else with the usage of the cycle."""
    interval: int = 1
    """It is charged in every so many cycles,"""
    offset: int = 0
    """beginning with this one, counted from 0 at the association."""
    display_name: str | None = None
    tag: str | None = None

    def in_currency(self, currency: str) -> Decimal:
        """The fee in a currency."""
        return next(rate.rate for rate in self.rates if rate.currency == currency)


class RuleAction(msgspec.Struct, omit_defaults=True):
    """What a pricing rule does with its number: ADD a line of so much, or UPDATE what a target says."""

    type: Literal["ADD", "UPDATE"]
    target: str | None = None
    """Of UPDATE: `revenue.urc.<meter>`, `usage.urc.<meter>` or `revenue.ff.<add-on>`."""
    id: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}


class PricingRule(msgspec.Struct, omit_defaults=True):
    """A rule that runs when the rate cards of an invoice are rated. Condition and computation are jsonLogic text."""

    name: str
    order: int
    computation: str
    action: RuleAction
    condition: str | None = None
    in_advance: bool = False
    """Whether it is for the invoice of fees in advance; else for that of everything else."""
    id: str = ""
    """On the wire; empty until it is kept."""
    version: int = 1
    """Counts what the rule has said under its name."""

    @property
    def key(self) -> str:
        """What it changes: `urc.<meter>`, `ff.<add-on>`, or the id of the line that it adds."""
        if self.action.target is not None:
            return self.action.target.partition(".")[2]
        return self.action.id or self.id


class PlanDetails(msgspec.Struct, omit_defaults=True):
    """One version of a price plan."""

    currencies: list[str]
    cycle: CycleDefinition | None = None
    usage: list[UsageCard] = []
    commitment: Commitment | None = None
    ongoing_updates: bool = False
    """Whether the plan asks for `reopens` by itself."""
    fees: list[FeeCard] = []
    rules: list[PricingRule] = []
    entitlements: list[EntitlementCard] = []
    licenses: list[LicenseCard] = []
    deferred_revenue: bool = False
    """Whether nothing is told of what a cycle brings before its grace has ended: it may still be priced anew."""

    @property
    def reopens(self) -> bool:
        """Whether a new version may take effect from the beginning of the cycle that is open."""
        return self.ongoing_updates or self.deferred_revenue


def _prices_in(rates: list[CardRates], currency: str) -> CardRates:
    for entry in rates:
        if entry.currency == currency:
            slabs = sorted(entry.slabs, key=lambda rate: rate.order)
            return CardRates(currency, slabs, entry.minimum_rate, entry.maximum_rate)
    raise KeyError(currency)


def to_text(definition: msgspec.Struct) -> str:
    """A definition as the JSON text of a jsonb column."""
    return _encoder.encode(definition).decode()


def from_text(text: str, kind: type[S]) -> S:
    """The definition of a jsonb column."""
    return msgspec.json.decode(text, type=kind)
