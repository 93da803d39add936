"""The lines of credits that plans grant, and where what is paid for them goes. Pure.

Credits are no revenue until they pay for something: what they cost takes back what granting them cost, and only what
is paid beyond what they are is earned.
"""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import UNSET

from bursar.catalog.definitions import CreditGrantCard
from bursar.core.decimals import plain, show
from bursar.invoicing.document import Document, Line, PriceVersion
from bursar.invoicing.parts import CreditGrantTerms
from bursar.invoicing.pricing import card_bounds, credit_charge, slab_line, sum_formula
from bursar.ledger.model import Kind, LedgerAccount, Posting, side
from bursar.purchases.plan_credits import credit_amount
from bursar.rating.rate import line

CREDIT_GRANT = "CREDIT_GRANT_RATE_CARD"
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
    cost = credit_charge(card, currency)
    amount, rounding = line(cost.amount, exponent)
    slabs = [slab_line(entry) for entry in cost.slabs]
    return Line(
        number=number,
        type="CREDIT_GRANT_RATE_CARD",
        name=card.name,
        description=card.display_name or description,
        tag=card.tag,
        meter=None,
        pricing_model=card.pricing_model,
        quantity=plain(credit_amount(card, currency, exponent)),
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
        credit_grant=CreditGrantTerms(
            add_on_id=card.add_on_id,
            invoice_timing="IN_ADVANCE" if card.in_advance else "IN_ARREARS",
            cycle=cycle,
        ),
    )


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
