"""The lines of credits that plans grant, and where what is paid for them goes. Pure.

Credits are no revenue until they pay for something: what they cost takes back what granting them cost, and only what
is paid beyond what they are is earned.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from bursar.catalog.definitions import CreditGrantCard
from bursar.invoicing.document import Document, Line, PriceVersion
from bursar.invoicing.parts import CreditGrantTerms
from bursar.invoicing.pricing import credit_charge, slabbed_line
from bursar.ledger.model import Kind, LedgerAccount, Posting, side
from bursar.purchases.plan_credits import credit_amount

CREDIT_GRANT: Final = "CREDIT_GRANT_RATE_CARD"
"""The type of lines that charge for credits."""

_ZERO = Decimal(0)


def credit_line(
    number: int,
    card: CreditGrantCard,
    description: str,
    cycle: int,
    currency: str,
    exponent: int,
    version: PriceVersion,
) -> Line:
    """The line of credits that come with a cycle."""
    terms = CreditGrantTerms(
        add_on_id=card.add_on_id,
        invoice_timing="IN_ADVANCE" if card.in_advance else "IN_ARREARS",
        cycle=cycle,
    )
    quantity, cost = credit_amount(card, currency, exponent), credit_charge(card, currency)
    line = slabbed_line(number, CREDIT_GRANT, card, description, quantity, cost, exponent, version)
    return replace(line, credit_grant=terms)


def earned_of(currency: str, entry: Line, amount: Decimal, income: LedgerAccount) -> tuple[Posting, ...]:
    """The postings that make an amount of a line income, which is kept in `income`; of credits, what is beyond them."""
    back = min(amount, entry.quantity or _ZERO) if entry.type == CREDIT_GRANT else _ZERO
    given = LedgerAccount(Kind.DISCOUNT, currency, detail="credits")
    return (*side(given, -back), *side(income, back - amount))


def paid_for(document: Document) -> Mapping[str, Decimal]:
    """What an order charges for credits, by their cards, as far as it buys them."""
    return {
        entry.name: min(entry.amount, entry.quantity or _ZERO)
        for entry in document.lines
        if entry.type == CREDIT_GRANT and entry.order is not UNSET
    }
