"""How the Togai dialect writes credit-grant rate cards, and their translation to and from the catalogue's."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog.add_ons import AddOn
from bursar.catalog.definitions import CreditGrantCard, CreditTerms
from bursar.core.errors import Invalid
from bursar.http.door import Body
from bursar.http.encode import number
from bursar.http.togai.fee_shapes import CurrencyText, Label, RecurrenceConfig
from bursar.http.togai.slab_shapes import (
    Config,
    SlabDetail,
    card_rates_of,
    config_shape,
    slab_details_of,
    slab_details_shape,
)


class GrantDetails(Body, kw_only=True, omit_defaults=True):
    """Which credits are granted."""

    priority: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    expiry_type: Literal["PRICING_CYCLE", "NO_EXPIRY", "CUSTOM"]
    expiry_duration: Annotated[str, Meta(max_length=50)] | None = None
    applicable_entity_ids: (
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=50)] | None
    ) = None


class CurrencySlabRateDetail(Body, kw_only=True, omit_defaults=True):
    """How much credit there is in a currency, and its price."""

    currency: CurrencyText
    credit_amount: Decimal
    slab_details: Annotated[list[SlabDetail], Meta(min_length=1, max_length=100)]
    rate_config: Config | None = None


class CreditRateDetails(Body, kw_only=True):
    """How credits are priced."""

    pricing_model: Literal["TIERED", "VOLUME"]
    currency_slab_rate_details: Annotated[list[CurrencySlabRateDetail], Meta(min_length=1, max_length=50)]


class CreditGrantRateCard(Body, kw_only=True, omit_defaults=True):
    """Credits that are granted, and what they cost. Its `id` is the add-on's."""

    id: Annotated[str, Meta(min_length=1, max_length=50)]
    grant_details: GrantDetails
    rate_details: CreditRateDetails
    display_name: Label | None = None
    name: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    tag: Annotated[str, Meta(max_length=50)] | None = None
    invoice_timing: Literal["IN_ADVANCE", "IN_ARREARS", "PREPAID"] | None = None
    type: Literal["ONE_TIME", "RECURRING"] | None = None
    recurrence_config: RecurrenceConfig | None = None


class CreditGrantRate(Body, kw_only=True):
    """How much credit an add-on's rate card grants in one more currency, and its price."""

    id: Annotated[str, Meta(min_length=1, max_length=50)]
    slab_details: Annotated[list[SlabDetail], Meta(min_length=1, max_length=100)]
    credit_amount: Decimal
    rate_config: Config | None = None


def credits_of(cards: Sequence[CreditGrantRateCard], add_ons: Mapping[str, AddOn], path: str) -> list[CreditGrantCard]:
    """The credits that cards grant; `add_ons` are those of their ids that exist."""
    return [_card(card, add_ons.get(card.id), f"{path}[{index}]") for index, card in enumerate(cards)]


def credit_rates_of(currency: str, rates: Sequence[CreditGrantRate] | None) -> dict[str, CreditTerms]:
    """Amounts and prices in one more currency, by the id of the add-on."""
    found: dict[str, CreditTerms] = {}
    for index, rate in enumerate(rates or ()):
        path = f"creditGrantRates[{index}]"
        if rate.id in found:
            raise Invalid(f"{path}.id", f"{rate.id!r} is given twice")
        found[rate.id] = _terms(currency, rate, path)
    return found


def credit_shape(card: CreditGrantCard) -> CreditGrantRateCard:
    """A credit-grant rate card as the wire shows it."""
    recurrence = None
    if (card.interval, card.offset) != (1, 0):
        recurrence = RecurrenceConfig(interval=card.interval, offset=card.offset)
    return CreditGrantRateCard(
        id=card.add_on_id,
        grant_details=GrantDetails(
            priority=card.priority,
            expiry_type=card.expiry,
            expiry_duration=card.duration,
            applicable_entity_ids=card.entities or None,
        ),
        rate_details=CreditRateDetails(
            pricing_model=card.pricing_model,
            currency_slab_rate_details=[
                CurrencySlabRateDetail(
                    currency=terms.currency,
                    credit_amount=number(terms.amount),
                    slab_details=slab_details_shape(terms.slabs, terms.prices),
                    rate_config=config_shape(terms.prices.minimum_rate, terms.prices.maximum_rate),
                )
                for terms in card.rates
            ],
        ),
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        invoice_timing=card.timing,
        type=None if card.recurring is None else "RECURRING" if card.recurring else "ONE_TIME",
        recurrence_config=recurrence,
    )


def _card(card: CreditGrantRateCard, add_on: AddOn | None, path: str) -> CreditGrantCard:
    if add_on is None or add_on.status == "ARCHIVED":
        raise Invalid(f"{path}.id", f"there is no add-on {card.id!r}")
    if add_on.type != "CREDIT_GRANT":
        rule = f"add-on {card.id!r} is of type {add_on.type}; a grant of credits needs a CREDIT_GRANT one"
        raise Invalid(f"{path}.id", rule)
    grant, rates = card.grant_details, card.rate_details
    recurrence = card.recurrence_config or RecurrenceConfig()
    return CreditGrantCard(
        name=card.name or f"credit-grant-{card.id}",
        add_on=add_on.key,
        add_on_id=card.id,
        pricing_model=rates.pricing_model,
        rates=[
            _terms(rate.currency, rate, f"{path}.rateDetails.currencySlabRateDetails[{index}]")
            for index, rate in enumerate(rates.currency_slab_rate_details)
        ],
        priority=grant.priority,
        expiry=grant.expiry_type,
        duration=grant.expiry_duration,
        entities=list(grant.applicable_entity_ids or ()),
        recurring=None if card.type is None else card.type == "RECURRING",
        timing=card.invoice_timing or "IN_ARREARS",
        interval=1 if recurrence.interval is None else recurrence.interval,
        offset=0 if recurrence.offset is None else recurrence.offset,
        display_name=card.display_name,
        tag=card.tag,
    )


def _terms(currency: str, rate: CurrencySlabRateDetail | CreditGrantRate, path: str) -> CreditTerms:
    slabs, prices = slab_details_of(rate.slab_details, path)
    return CreditTerms(rate.credit_amount, slabs, card_rates_of(currency, prices, rate.rate_config, path))
