"""The lines of units of features: granted with a cycle, or used beyond what was granted. Pure."""

from decimal import Decimal

from msgspec.structs import replace

from bursar.catalog.definitions import EntitlementCard, OverageCard
from bursar.invoicing.document import Line, LineType, PriceVersion
from bursar.invoicing.parts import FeatureTerms
from bursar.invoicing.pricing import charge, slabbed_line


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
    cost = charge(card, currency, quantity)
    kind: LineType = "ENTITLEMENT_OVERAGE_RATE_CARD"
    ahead, limit = False, None
    if isinstance(card, EntitlementCard):
        kind, ahead = "BILLING_ENTITLEMENT_RATE_CARD", card.in_advance
    else:
        limit = card.max_quantity
    terms = FeatureTerms(
        feature_id=card.feature_id,
        invoice_timing="IN_ADVANCE" if ahead else "IN_ARREARS",
        cycle=cycle,
        limit=limit,
    )
    return replace(slabbed_line(number, kind, card, description, quantity, cost, exponent, version), feature=terms)
