"""The rules of cards with slabs and of their prices. Pure; errors name the field on the wire."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from bursar.catalog.definitions import CardRates, LicenseCard, SlabDefinition, SlabRate
from bursar.core import decimals
from bursar.core.cycles import subdivides
from bursar.core.errors import Invalid

SLABS_LIMIT = 10


class SlabCard(Protocol):
    """A card with slabs."""

    @property
    def slabs(self) -> list[SlabDefinition]:
        """Where they begin."""

    @property
    def rates(self) -> list[CardRates]:
        """Their prices."""


def check_new(
    card: tuple[str, str], before: Sequence[tuple[str, str]], names: Sequence[str], path: str, field: str
) -> None:
    """Raise `Invalid` for a second card of one thing, or of one name.

    Cards are pairs: the id of what they are of, which is told in `field`, and their name. `before` are those that come
    before it in its list, `names` are those of the plan's other lists.
    """
    identifier, name = card
    if identifier in [other for other, _ in before]:
        raise Invalid(f"{path}.{field}", f"{identifier!r} has a rate card already")
    if name in names or name in [other for _, other in before]:
        raise Invalid(f"{path}.name", f"{name!r} is given twice")


def check_licenses(
    cards: Sequence[LicenseCard], names: Sequence[str], currencies: Sequence[str], interval: str, path: str
) -> None:
    """Raise `Invalid` for licences that could not be charged; `names` are those of the plan's other cards."""
    for index, card in enumerate(cards):
        field = f"{path}[{index}]"
        before = [(other.add_on_id, other.name) for other in cards[:index]]
        check_new((card.add_on_id, card.name), before, names, field, "id")
        if card.usage_cycle is not None and not subdivides(card.usage_cycle, interval):
            raise Invalid(f"{field}.usageCycle", f"must be {interval}, or months that it is made of")
        if card.max_quantity is not None and (card.max_quantity < 0 or not decimals.fits(card.max_quantity)):
            raise Invalid(f"{field}.config.maxQuantity", "must not be negative, and below 10^26")
        if card.max_quantity is None and card.tolerant:
            raise Invalid(f"{field}.config.maxQuantityBreachAction", "needs a maxQuantity")
        if card.refund != "NONE" and not (card.in_advance and card.prorated):
            raise Invalid(f"{field}.proratedRefundMode", "needs enableProration and the invoiceTiming IN_ADVANCE")
        check_card(card, currencies, field)


def check_card(card: SlabCard, currencies: Sequence[str], path: str) -> None:
    """Raise `Invalid` for slabs with gaps, and for prices that are missing or superfluous."""
    _check_slabs(card.slabs, f"{path}.ratePlan.slabs")
    check_currencies([rates.currency for rates in card.rates], currencies, f"{path}.rateValues")
    for index, rates in enumerate(card.rates):
        _check_rates(rates.slabs, len(card.slabs), f"{path}.rateValues[{index}].slabRates")
        _check_bounds(rates.minimum_rate, rates.maximum_rate, f"{path}.rateValues[{index}].rateConfig")


def check_slab_details(slabs: Sequence[SlabDefinition], prices: CardRates, path: str) -> None:
    """Raise `Invalid` for slabs with gaps and for prices that cannot be, where each slab has its price beside it."""
    _check_slabs(slabs, f"{path}.slabDetails")
    _check_rates(prices.slabs, len(slabs), f"{path}.slabDetails")
    _check_bounds(prices.minimum_rate, prices.maximum_rate, f"{path}.rateConfig")


def _check_slabs(slabs: Sequence[SlabDefinition], path: str) -> None:
    if not 1 <= len(slabs) <= SLABS_LIMIT:
        raise Invalid(path, f"must be 1 to {SLABS_LIMIT} slabs")
    for index, slab in enumerate(slabs):
        field = f"{path}[{index}]"
        if slab.order != index + 1:
            raise Invalid(f"{field}.order", f"must be {index + 1}: orders count from 1 without gaps")
        if index == 0 and slab.start_after != 0:
            raise Invalid(f"{field}.startAfter", "the first slab must start after 0")
        if index > 0 and slab.start_after <= slabs[index - 1].start_after:
            raise Invalid(f"{field}.startAfter", "must be above the previous slab's")
        if slab.price_type == "PACKAGE":
            if slab.package_size is None:
                raise Invalid(f"{field}.slabConfig", "PACKAGE needs a packageSize")
            if slab.package_size <= 0:
                raise Invalid(f"{field}.slabConfig.packageSize", "must be above 0")
        elif slab.package_size is not None:
            raise Invalid(f"{field}.slabConfig", f"{slab.price_type} has no packageSize")


def _check_rates(rates: Sequence[SlabRate], slabs: int, path: str) -> None:
    if sorted(rate.order for rate in rates) != list(range(1, slabs + 1)):
        raise Invalid(path, f"must give one rate for each slab order 1 to {slabs}")
    for index, rate in enumerate(rates):
        if rate.rate < 0:
            raise Invalid(f"{path}[{index}].rate", "must not be negative")
        _check_bounds(rate.minimum_rate, rate.maximum_rate, f"{path}[{index}].slabRateConfig")


def _check_bounds(low: Decimal | None, high: Decimal | None, path: str) -> None:
    for name, bound in (("minimumRate", low), ("maximumRate", high)):
        if bound is not None and bound < 0:
            raise Invalid(f"{path}.{name}", "must not be negative")
    if low is not None and high is not None and low > high:
        raise Invalid(path, "minimumRate must not be above maximumRate")


def check_currencies(given: Sequence[str], wanted: Sequence[str], path: str) -> None:
    """Raise `Invalid` where rates are missing in a currency, or superfluous."""
    for index, currency in enumerate(given):
        if currency not in wanted or currency in given[:index]:
            raise Invalid(f"{path}[{index}].currency", f"{currency!r} is not supported by the plan or is given twice")
    for currency in wanted:
        if currency not in given:
            raise Invalid(path, f"has no rates in {currency}")
