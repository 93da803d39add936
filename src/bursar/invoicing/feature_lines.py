"""The lines of units of features: granted with a cycle, or used beyond what was granted. Pure."""

from decimal import Decimal

from bursar.catalog.definitions import EntitlementCard, OverageCard
from bursar.core.decimals import plain, show
from bursar.invoicing.document import Line, PriceVersion
from bursar.invoicing.parts import FeatureTerms
from bursar.invoicing.pricing import card_bounds, charge, slab_line, sum_formula
from bursar.rating.rate import line

_ZERO = Decimal(0)


def feature_line(
    number: int,
    card: EntitlementCard | OverageCard,
    quantity: Decimal,
    description: str,
    cycle: int,
    currency: str,
    exponent: int,
    version: PriceVersion,
) -> Line:
    """The line of so many units."""
    granted = isinstance(card, EntitlementCard)
    cost = charge(card, currency, quantity)
    amount, rounding = line(cost.amount, exponent)
    slabs = [slab_line(entry) for entry in cost.slabs]
    ahead = isinstance(card, EntitlementCard) and card.timing == "IN_ADVANCE"
    return Line(
        number=number,
        type="BILLING_ENTITLEMENT_RATE_CARD" if granted else "ENTITLEMENT_OVERAGE_RATE_CARD",
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
        feature=FeatureTerms(
            feature_id=card.feature_id,
            invoice_timing="IN_ADVANCE" if ahead else "IN_ARREARS",
            cycle=cycle,
            limit=card.max_quantity if isinstance(card, OverageCard) else None,
        ),
    )
