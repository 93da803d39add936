"""Parts of the document of an invoice that tell how a rate card came to its amount."""

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec


class Part(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Base of the document's parts: camelCase, every field written."""


class SlabLine(Part, frozen=True, kw_only=True):
    """What one slab charged."""

    order: int
    start_after: Decimal
    """Exclusive."""
    up_to: Decimal | None
    """Inclusive; none: without end."""
    price_type: Literal["FLAT", "PER_UNIT", "PACKAGE"]
    rate: Decimal
    package_size: Decimal | None
    packages: Decimal | None
    quantity: Decimal
    bound: str | None
    """`minimum` or `maximum` where that decided the amount."""
    amount: Decimal
    formula: str


class CardBounds(Part, frozen=True, kw_only=True):
    """The least and the most that a rate card charges, if anything, and what that did."""

    minimum: Decimal | None
    maximum: Decimal | None
    slabs: Decimal
    """What the slabs add up to."""
    bound: str | None
    """`minimum` or `maximum` where that decided the amount."""
    adjustment: Decimal
    """What the bound added, or took away where it is negative."""


class LicenseStretch(Part, frozen=True, kw_only=True):
    """Days of a cycle that are charged alike."""

    first_day: date
    days: int
    of_days: int
    """Of the whole cycle."""
    quantity: Decimal
    charged_before: Decimal
    """How many of them are charged already: in advance, or on earlier days of the cycle."""
    price: Decimal
    """Of the quantity, for a whole cycle."""
    price_before: Decimal
    """Of what is charged already."""
    slabs: list[SlabLine]
    bounds: CardBounds | None
    """Both of the price."""
    amount: Decimal
    """Below zero where there were fewer than were charged in advance."""
    formula: str


class LicenseTerms(Part, frozen=True, kw_only=True):
    """How the charge for licences came about."""

    add_on_id: str
    named: bool
    """Whether they are counted by the names that have them."""
    invoice_timing: Literal["IN_ADVANCE", "IN_ARREARS"]
    prorated: bool
    usage_cycle: str | None
    """The interval that the price is for; none: that of the plan."""
    stretches: list[LicenseStretch]
    refund_mode: Literal["NONE", "CREDITS", "PAYMENT", "WALLET"]
    refund: Decimal
    """What goes back of what was charged in advance, as `refundMode` says, with the decimals of the currency."""


def cost_of(terms: LicenseTerms) -> Decimal:
    """What stretches come to, before rounding; where one does not follow from its slabs, it is not a number."""
    total = Decimal(0)
    for part in terms.stretches:
        slabs = sum((slab.amount for slab in part.slabs), part.bounds.adjustment if part.bounds else Decimal(0))
        if slabs != part.price:
            return Decimal("NaN")
        total += part.amount
    return max(total, Decimal(0))
