"""How the Togai dialect writes slabs and their prices, and their translation to and from the catalogue's definition."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.catalog.definitions import CardRates, SlabDefinition, SlabRate
from bursar.core import decimals
from bursar.core.errors import Invalid
from bursar.http.door import Body
from bursar.http.encode import number
from bursar.http.togai.fee_shapes import CurrencyText

Config = Annotated[dict[Annotated[str, Meta(max_length=50)], Annotated[str, Meta(max_length=100)]], Meta(max_length=10)]

_NUMERAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class SlabShape(Body, kw_only=True, omit_defaults=True):
    """Where a slab begins and how it is priced."""

    order: Annotated[int, Meta(ge=1, le=10)]
    start_after: Decimal
    price_type: Literal["FLAT", "PER_UNIT", "PACKAGE"]
    slab_config: Config | None = None


class RatePlan(Body, kw_only=True):
    """The slabs of a rate card."""

    pricing_model: Literal["TIERED", "VOLUME"]
    slabs: Annotated[list[SlabShape], Meta(min_length=1, max_length=100)]


class SlabRateShape(Body, kw_only=True, omit_defaults=True):
    """The price of a slab."""

    order: Annotated[int, Meta(ge=1, le=10)]
    rate: Decimal
    slab_rate_config: Config | None = None


class RateValue(Body, kw_only=True, omit_defaults=True):
    """The prices of a rate card in one currency."""

    currency: CurrencyText
    slab_rates: Annotated[list[SlabRateShape], Meta(min_length=1, max_length=100)]
    rate_config: Config | None = None


class SlabDetail(Body, kw_only=True, omit_defaults=True):
    """A slab with its price."""

    start_after: Decimal
    price_type: Literal["FLAT", "PER_UNIT", "PACKAGE"]
    rate: Decimal
    slab_config: Config | None = None
    slab_rate_config: Config | None = None


def slab_details_of(details: Sequence[SlabDetail], path: str) -> tuple[list[SlabDefinition], list[SlabRateShape]]:
    """The slabs that details give, in their order, and their prices."""
    slabs = [
        _slab(
            # More of them than there can be orders are refused with the plan.
            SlabShape(order=order, start_after=one.start_after, price_type=one.price_type, slab_config=one.slab_config),
            f"{path}.slabDetails[{order - 1}]",
        )
        for order, one in enumerate(details, 1)
    ]
    prices = [
        SlabRateShape(order=order, rate=one.rate, slab_rate_config=one.slab_rate_config)
        for order, one in enumerate(details, 1)
    ]
    return slabs, prices


def slab_details_shape(slabs: Sequence[SlabDefinition], prices: CardRates) -> list[SlabDetail]:
    """Slabs with their prices as the wire shows them."""
    rates = {rate.order: rate for rate in prices.slabs}
    return [
        SlabDetail(
            start_after=number(slab.start_after),
            price_type=slab.price_type,
            rate=number(rates[slab.order].rate),
            slab_config=_slab_shape(slab).slab_config,
            slab_rate_config=_rate_shape(rates[slab.order]).slab_rate_config,
        )
        for slab in slabs
    ]


def slabs_of(plan: RatePlan, path: str) -> list[SlabDefinition]:
    """The slabs that a rate plan gives."""
    return [_slab(slab, f"{path}.ratePlan.slabs[{index}]") for index, slab in enumerate(plan.slabs)]


def rates_of(values: Sequence[RateValue], path: str) -> list[CardRates]:
    """The prices that a card gives, by currency."""
    return [
        card_rates_of(value.currency, value.slab_rates, value.rate_config, f"{path}.rateValues[{index}]")
        for index, value in enumerate(values)
    ]


def card_rates_of(
    currency: str, slab_rates: Sequence[SlabRateShape], rate_config: dict[str, str] | None, path: str
) -> CardRates:
    """The prices of a usage card in one currency."""
    low, high = _bounds(rate_config, f"{path}.rateConfig")
    slabs = [_rate(rate, f"{path}.slabRates[{index}]") for index, rate in enumerate(slab_rates)]
    return CardRates(currency, slabs, low, high)


def rate_plan_shape(model: Literal["TIERED", "VOLUME"], slabs: Sequence[SlabDefinition]) -> RatePlan:
    """Slabs as the wire shows them."""
    return RatePlan(pricing_model=model, slabs=[_slab_shape(slab) for slab in slabs])


def rate_values_shape(rates: Sequence[CardRates]) -> list[RateValue]:
    """Prices as the wire shows them."""
    return [
        RateValue(
            currency=entry.currency,
            slab_rates=[_rate_shape(rate) for rate in entry.slabs],
            rate_config=config_shape(entry.minimum_rate, entry.maximum_rate),
        )
        for entry in rates
    ]


def _slab(slab: SlabShape, path: str) -> SlabDefinition:
    config = dict(slab.slab_config or {})
    size = _config_number(config.pop("packageSize", None), f"{path}.slabConfig.packageSize")
    if config:
        raise Invalid(f"{path}.slabConfig", f"has no {min(config)!r}")
    return SlabDefinition(slab.order, slab.start_after, slab.price_type, size)


def _rate(rate: SlabRateShape, path: str) -> SlabRate:
    return SlabRate(rate.order, rate.rate, *_bounds(rate.slab_rate_config, f"{path}.slabRateConfig"))


def _bounds(given: dict[str, str] | None, path: str) -> tuple[Decimal | None, Decimal | None]:
    config = dict(given or {})
    low = _config_number(config.pop("minimumRate", None), f"{path}.minimumRate")
    high = _config_number(config.pop("maximumRate", None), f"{path}.maximumRate")
    if config:
        raise Invalid(path, f"has no {min(config)!r}")
    return low, high


def _config_number(text: str | None, path: str) -> Decimal | None:
    if text is None:
        return None
    # Python's own reader takes more: NaN, underscores, spaces, other scripts' digits.
    if not _NUMERAL.fullmatch(text):
        raise Invalid(path, "must be a number, as text")
    value = Decimal(text)
    if not decimals.fits(value):
        raise Invalid(path, "must be a number below 10^26 with at most 12 decimals, as text")
    return value


def _slab_shape(slab: SlabDefinition) -> SlabShape:
    size = slab.package_size
    return SlabShape(
        order=slab.order,
        start_after=number(slab.start_after),
        price_type=slab.price_type,
        slab_config=None if size is None else {"packageSize": decimals.show(size)},
    )


def _rate_shape(rate: SlabRate) -> SlabRateShape:
    config = config_shape(rate.minimum_rate, rate.maximum_rate)
    return SlabRateShape(order=rate.order, rate=number(rate.rate), slab_rate_config=config)


def config_shape(low: Decimal | None, high: Decimal | None) -> dict[str, str] | None:
    """The least and the most that is charged, as the wire shows them."""
    bounds = {"minimumRate": low, "maximumRate": high}
    return {name: decimals.show(value) for name, value in bounds.items() if value is not None} or None
