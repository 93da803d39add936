"""Usage rate cards of a plan version, made ready to rate the quantities of many invoices. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from bursar.catalog.definitions import (
    CreditGrantCard,
    EntitlementCard,
    LicenseCard,
    OverageCard,
    SlabDefinition,
    SlabRate,
    UsageCard,
)
from bursar.catalog.plans import PlanVersion
from bursar.core.decimals import plain, show
from bursar.invoicing.document import Line, LineType, Meter, PriceVersion
from bursar.invoicing.parts import CardBounds, SlabLine
from bursar.invoicing.ruled import books_of
from bursar.rating.card import Card
from bursar.rating.rate import formula, line, rate, rounding_formula
from bursar.rating.slabs import UNBOUNDED, Bounds, Charge, Model, PriceType, Slab, SlabCharge

SlabbedCard = UsageCard | EntitlementCard | LicenseCard | OverageCard

_MODEL = {"TIERED": Model.GRADUATED, "VOLUME": Model.VOLUME}
_PRICE_TYPE = {"FLAT": PriceType.FLAT, "PER_UNIT": PriceType.PER_UNIT, "PACKAGE": PriceType.PACKAGE}
_PRICE_TYPE_NAME = {price_type: name for name, price_type in _PRICE_TYPE.items()}
_ZERO = Decimal(0)
_known = lru_cache(maxsize=4096)(plain)
"""For what stands in price plans, of which there is little."""


def charge(card: SlabbedCard, currency: str, quantity: Decimal) -> Charge:
    """What a quantity costs by a rate card with slabs."""
    return rate(_MODEL[card.pricing_model], _slabs(card, currency), quantity, _bounds(card, currency))


def credit_charge(card: CreditGrantCard, currency: str) -> Charge:
    """What the credits of a card cost."""
    terms = card.terms_in(currency)
    prices = terms.prices
    bounds = Bounds(prices.minimum_rate, prices.maximum_rate)
    return rate(_MODEL[card.pricing_model], _priced(terms.slabs, prices.slabs), terms.amount, bounds)


def _slabs(card: SlabbedCard, currency: str) -> list[Slab]:
    return _priced(card.slabs, card.prices_in(currency).slabs)


def _priced(slabs: Sequence[SlabDefinition], prices: Sequence[SlabRate]) -> list[Slab]:
    return [
        Slab(
            order=slab.order,
            start_after=slab.start_after,
            price_type=_PRICE_TYPE[slab.price_type],
            rate=price.rate,
            package_size=slab.package_size,
            minimum_rate=price.minimum_rate,
            maximum_rate=price.maximum_rate,
        )
        for slab, price in zip(slabs, prices, strict=True)
    ]


def _bounds(card: SlabbedCard, currency: str) -> Bounds:
    prices = card.prices_in(currency)
    return Bounds(prices.minimum_rate, prices.maximum_rate)


class Pricing:
    """The usage rate cards of a plan version in one currency, made ready once for many invoices.

    A line follows from its card and quantity alone, and is remembered for as long as this lives: for a batch.
    """

    def __init__(self, plan: PlanVersion, currency: str, exponent: int, meters: Mapping[int, Meter]) -> None:
        self.cards = plan.details.usage
        self.rules = books_of(plan.details)
        self.exponent = exponent
        self.version = PriceVersion(
            price_plan_id=plan.id, price_plan_name=plan.name, version=plan.version, id=plan.version_id
        )
        self._meters = meters
        self._cards = [
            Card(_MODEL[card.pricing_model], _slabs(card, currency), _bounds(card, currency)) for card in self.cards
        ]
        self._full = [[slab_line(charged) for charged in card.full] for card in self._cards]
        self._shown = [[show(entry.amount) for entry in entries] for entries in self._full]
        self._lines: dict[tuple[int, Decimal], Line] = {}

    def line(self, place: int, quantity: Decimal) -> Line:
        """The line of a card, by its place in the plan."""
        known = self._lines.get((place, quantity))
        if known is None:
            known = self._lines[place, quantity] = self._rated(place, quantity)
        return known

    def rated(self, meter_id: str, quantity: Decimal) -> Line:
        """The line of the card of a meter."""
        return self.line(next(n for n, card in enumerate(self.cards) if card.meter_id == meter_id), quantity)

    def _rated(self, place: int, quantity: Decimal) -> Line:
        card = self.cards[place]
        cost = self._cards[place].rate(quantity)
        amount, rounding = line(cost.amount, self.exponent)
        meter = self._meters[card.meter]
        slabs, shown = [], []
        if cost.slabs:
            used_up, last = len(cost.slabs) - 1, slab_line(cost.slabs[-1])
            slabs = [*self._full[place][:used_up], last]
            shown = [*self._shown[place][:used_up], show(last.amount)]
        return Line(
            number=place + 1,
            type="USAGE_RATE_CARD",
            name=card.name,
            description=card.display_name or meter.name,
            tag=card.tag,
            meter=meter,
            pricing_model=card.pricing_model,
            quantity=plain(quantity),
            slabs=slabs,
            bounds=card_bounds(cost),
            fee=None,
            commitment=None,
            price_version=self.version,
            formula=sum_formula(slabs, shown, cost, amount, self.exponent),
            unrounded=plain(cost.amount),
            amount=plain(amount),
            rounding=plain(rounding),
            tax_rate=_ZERO,
            tax=_ZERO,
        )


def slab_line(entry: SlabCharge) -> SlabLine:
    """What a slab charges, as documents show it."""
    slab = entry.slab
    return SlabLine(
        order=slab.order,
        start_after=_known(slab.start_after),
        up_to=None if entry.end is None else _known(entry.end),
        price_type=_PRICE_TYPE_NAME[slab.price_type],  # type: ignore[arg-type]  # the keys are its three names
        rate=_known(slab.rate),
        package_size=_plain(slab.package_size),
        packages=_plain(entry.packages),
        quantity=plain(entry.quantity),
        bound=entry.bound,
        amount=plain(entry.amount),
        formula=formula(entry),
    )


def card_bounds(cost: Charge) -> CardBounds | None:
    """The least and the most that a card charges, and what that did; None where it has neither."""
    if cost.bounds == UNBOUNDED:
        return None
    return CardBounds(
        minimum=_plain(cost.bounds.minimum),
        maximum=_plain(cost.bounds.maximum),
        slabs=plain(cost.amount - cost.adjustment),
        bound=cost.bound,
        adjustment=plain(cost.adjustment),
    )


def sum_formula(slabs: Sequence[SlabLine], shown: Sequence[str], cost: Charge, amount: Decimal, exponent: int) -> str:
    """The arithmetic of a line; `shown` are the amounts of its slabs as text."""
    return _sum(slabs, shown, cost) + (rounding_formula(cost.amount, amount, exponent) if slabs else "")


def price_formula(cost: Charge) -> str:
    """The arithmetic of what a quantity costs."""
    slabs = [slab_line(entry) for entry in cost.slabs]
    return _sum(slabs, [show(entry.amount) for entry in slabs], cost)


def slabbed_line(
    number: int,
    kind: LineType,
    card: EntitlementCard | OverageCard | CreditGrantCard,
    description: str,
    quantity: Decimal,
    cost: Charge,
    exponent: int,
    version: PriceVersion,
) -> Line:
    """The line of a card whose slabs price one quantity, without the terms of its kind."""
    amount, rounding = line(cost.amount, exponent)
    slabs = [slab_line(entry) for entry in cost.slabs]
    return Line(
        number=number,
        type=kind,
        name=card.name,
        description=card.display_name or description,
        tag=card.tag,
        meter=None,
        pricing_model=card.pricing_model,
        quantity=plain(quantity),
        slabs=slabs,
        bounds=card_bounds(cost),
        fee=None,
        commitment=None,
        price_version=version,
        formula=sum_formula(slabs, [show(entry.amount) for entry in slabs], cost, amount, exponent),
        unrounded=plain(cost.amount),
        amount=plain(amount),
        rounding=plain(rounding),
        tax_rate=_ZERO,
        tax=_ZERO,
    )


def _sum(slabs: Sequence[SlabLine], shown: Sequence[str], cost: Charge) -> str:
    if not slabs:
        return "nothing to charge = 0"
    total = show(cost.amount - cost.adjustment)
    text = slabs[0].formula if len(slabs) == 1 else f"{' + '.join(shown)} = {total}"
    if cost.bound is not None:
        text += f", {cost.bound} of the rate card applies = {show(cost.amount)}"
    return text


def _plain(value: Decimal | None) -> Decimal | None:
    return None if value is None else plain(value)
