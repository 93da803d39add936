"""The lines of an invoice as the contract nests them: from the grand total down to the slabs."""

from decimal import Decimal
from typing import Any

from msgspec import UNSET

from bursar.http.door import Answer
from bursar.http.encode import number
from bursar.invoicing.crediting import charged, uses_of
from bursar.invoicing.document import Document, Line
from bursar.invoicing.model import in_advance
from bursar.invoicing.parts import SlabLine
from bursar.invoicing.ruled import ADDED, measured

USAGE_UNITS = "USAGE_UNITS"
BOUGHT = {
    "BILLING_ENTITLEMENT_RATE_CARD": "BILLING_ENTITLEMENT_AMOUNT",
    "WALLET_TOPUP": "WALLET_TOPUP_AMOUNT",
    "PREPAID": "PREPAID_AMOUNT",
}
"""The types of lines that orders alone have, and of their items."""


class InvoiceLineItem(Answer, kw_only=True):
    """An amount and what it is made of. A leaf has no line items."""

    description: str
    type: str
    units: str
    value: Decimal
    id: str | None = None
    value_per_quantity: Decimal | None = None
    quantity: Decimal | None = None
    metadata: dict[str, str] | None = None
    line_items: list[Any] | None = None


def usage_tree(document: Document) -> list[InvoiceLineItem]:
    """What each meter measured, whatever pricing rules made of it."""
    return [
        InvoiceLineItem(
            id=line.meter.id,
            description=line.meter.name,
            type="USAGE_METER_USAGE",
            units=USAGE_UNITS,
            value=number(quantity),
        )
        for line in document.lines
        if line.meter is not None and (quantity := measured(line)) is not None
    ]


def revenue_tree(document: Document) -> InvoiceLineItem:
    """The grand total and what it is made of. A plan with a true-up has its own amount between gross and rate cards,
    fees in advance theirs; what pricing rules added and what was charged by hand stand beside that. Net is less than
    gross by credits. A composite has the totals of its invoices.
    """
    if merged := [_merged(line, document.currency) for line in document.lines if line.type == "MERGED_INVOICE"]:
        return _amount(document, "Grand Total Amount", "GRAND_TOTAL_AMOUNT", document.total, merged)
    cards = [_card(line, document.currency) for line in document.lines if line.type == "USAGE_RATE_CARD"]
    cards += [_fee(line, document.currency) for line in document.lines if line.type == "FIXED_FEE_RATE_CARD"]
    cards += [_license(line, document) for line in document.lines if line.type == "LICENSE_RATE_CARD"]
    cards += [_bought(line, document.currency) for line in document.lines if line.type in BOUGHT]
    true_ups = [line for line in document.lines if line.type == "TRUE_UP"]
    added = [_addition(line, document.currency) for line in document.lines if line.type == ADDED]
    additions = sum((item.value for item in added), Decimal(0))
    charges = [_charge(line, document.currency) for line in document.lines if line.type in BY_HAND]
    cards += [_custom(line, document.currency) for line in document.lines if line.type == "CUSTOM_AMOUNT"]
    inner = cards
    if true_ups:
        subtotal = _amount(document, "Sub Total", "SUB_TOTAL_AMOUNT", document.subtotal, cards)
        extra = [_amount(document, line.description, "TRUE_UP_AMOUNT", line.amount, []) for line in true_ups]
        whole = document.subtotal + sum((item.value for item in extra), Decimal(0))
        name = document.price_plan_name or "Price Plan"
        inner = [_amount(document, name, "PRICE_PLAN_AMOUNT", whole, [subtotal, *extra])]
    if in_advance(document):
        inner = [_amount(document, "Advanced Fees", "TOTAL_ADVANCED_FEES", document.subtotal, cards)]
    if added:
        inner = [*inner, _amount(document, "Pricing Rules", "TOTAL_PRICING_RULE_ADDITION_AMOUNT", additions, added)]
    if charges:
        sum_of = sum((item.value for item in charges), Decimal(0))
        inner = [*inner, _amount(document, "Miscellaneous Charges", "TOTAL_MISCELLANEOUS_CHARGES", sum_of, charges)]
    net = [_amount(document, "Gross Amount", "GROSS_AMOUNT", charged(document), inner), *_credits(document)]
    inner = [_amount(document, "Net Amount", "NET_AMOUNT", document.total, net)]
    for name, kind in (("Total Amount", "TOTAL_AMOUNT"), ("Grand Total Amount", "GRAND_TOTAL_AMOUNT")):
        inner = [_amount(document, name, kind, document.total, inner)]
    return inner[0]


def _bought(line: Line, currency: str) -> InvoiceLineItem:
    assert line.order is not UNSET
    return InvoiceLineItem(
        id=line.order.billable_id,
        description=line.description,
        type=BOUGHT[line.type],
        units=currency,
        value=number(line.amount),
        value_per_quantity=number(line.order.price),
        quantity=number(line.order.times),
    )


def _credits(document: Document) -> list[InvoiceLineItem]:
    """What credits pay, below zero; nothing where none does."""
    items = [
        InvoiceLineItem(
            id=one.id, description=one.purpose, type="SUB_CREDITS", units=document.currency, value=number(-one.amount)
        )
        for one in uses_of(document)
    ]
    if not items:
        return []
    return [_amount(document, "Credits", "TOTAL_CREDITS", sum((item.value for item in items), Decimal(0)), items)]


def _amount(
    document: Document, description: str, kind: str, value: Decimal, items: list[InvoiceLineItem]
) -> InvoiceLineItem:
    return InvoiceLineItem(
        description=description, type=kind, units=document.currency, value=number(value), line_items=items or None
    )


def _slab_metadata(slab: SlabLine) -> dict[str, str] | None:
    found = {} if slab.packages is None else {"packageQuantity": f"{slab.packages:f}"}
    if slab.bound is not None:
        found[f"{slab.bound}RateApplied"] = "true"
    return found or None


def _fee(line: Line, currency: str) -> InvoiceLineItem:
    assert line.fee is not None
    ahead = line.fee.invoice_timing == "IN_ADVANCE"
    return InvoiceLineItem(
        id=line.fee.add_on_id,
        description=line.description,
        type="ADVANCED_FIXED_FEE" if ahead else "FIXED_FEE_RATE_CARD_AMOUNT",
        units=currency,
        value=number(line.amount),
        line_items=_updates(line, currency) or None,
    )


def _license(line: Line, document: Document) -> InvoiceLineItem:
    assert line.license is not UNSET
    terms = line.license
    by_cycle = terms.usage_cycle is not None
    items = [
        InvoiceLineItem(
            description=f"{part.first_day}, {part.days} of {part.of_days} days",
            type="USAGE_CYCLE_AMOUNT" if by_cycle else "LICENSE_RATE_CARD_SLAB_AMOUNT",
            units=document.currency,
            value=number(part.amount),
            quantity=number(part.quantity),
        )
        for part in terms.stretches
    ]
    return InvoiceLineItem(
        id=terms.add_on_id,
        description=line.description,
        type="ADVANCED_LICENSE_RATE_CARD_AMOUNT" if in_advance(document) else "LICENSE_RATE_CARD_AMOUNT",
        units=document.currency,
        value=number(line.amount),
        quantity=None if line.quantity is None else number(line.quantity),
        line_items=items or None,
    )


def _addition(line: Line, currency: str) -> InvoiceLineItem:
    assert line.rules
    return InvoiceLineItem(
        id=line.rules[0].key,
        description=line.description,
        type="PRICING_RULE_ADDITION_AMOUNT",
        units=currency,
        value=number(line.amount),
        metadata=line.rules[0].metadata or None,
    )


BY_HAND = ("MISCELLANEOUS_CHARGE", "ADJUSTMENT")
"""Lines that the client knows as miscellaneous charges: adjustments have no name of their own there."""


def _charge(line: Line, currency: str) -> InvoiceLineItem:
    return InvoiceLineItem(
        description=line.description, type="MISCELLANEOUS_CHARGE", units=currency, value=number(line.amount),
        value_per_quantity=_rate(line), quantity=line.quantity,
    )  # fmt: skip


def _custom(line: Line, currency: str) -> InvoiceLineItem:
    assert line.charge is not UNSET
    return InvoiceLineItem(
        id=line.charge.id,
        description=line.description,
        type="CUSTOM_AMOUNT",
        units=currency,
        value=number(line.amount),
        value_per_quantity=_rate(line),
        quantity=line.quantity,
        metadata=None if line.charge.billable_id is None else {"billableId": line.charge.billable_id},
    )


def _merged(line: Line, currency: str) -> InvoiceLineItem:
    assert line.invoice is not UNSET
    return InvoiceLineItem(
        id=line.invoice.id,
        description=line.description,
        type="TOTAL_AMOUNT",
        units=currency,
        value=number(line.amount),
        metadata={"accountId": line.invoice.account_id},
    )


def _rate(line: Line) -> Decimal | None:
    return None if line.charge is UNSET else line.charge.rate


def _updates(line: Line, currency: str) -> list[InvoiceLineItem]:
    """What each rule that changed a line made more or less of its usage or revenue.

    The slabs are those of the usage that rules left: what was made of the revenue before has given way.
    """
    items: list[InvoiceLineItem] = []
    for run in line.rules or ():
        if run.target is not None and run.target.startswith("usage."):
            assert run.old_usage is not None
            assert run.new_usage is not None
            kind, units, value = "PRICING_RULE_USAGE_UPDATE_AMOUNT", USAGE_UNITS, run.new_usage - run.old_usage
            items = [item for item in items if item.units == USAGE_UNITS]
        else:
            kind, units, value = "PRICING_RULE_REVENUE_UPDATE_AMOUNT", currency, run.new_revenue - run.old_revenue
        items.append(InvoiceLineItem(id=run.rule_id, description=run.name, type=kind, units=units, value=number(value)))
    return items


def _card(line: Line, currency: str) -> InvoiceLineItem:
    assert line.meter is not None
    assert line.quantity is not None
    slabs = [
        InvoiceLineItem(
            description=f"Slab {slab.order}",
            type="USAGE_RATE_CARD_SLAB_AMOUNT",
            units=currency,
            value=number(slab.amount),
            value_per_quantity=number(slab.rate),
            quantity=number(slab.quantity),
            metadata=_slab_metadata(slab),
        )
        for slab in line.slabs
    ]
    if line.bounds is not None and line.bounds.bound is not None:
        name = f"{line.bounds.bound} of the rate card".capitalize()
        slabs.append(
            InvoiceLineItem(
                description=name,
                type="RATE_CONFIG_ADJUSTMENT_AMOUNT",
                units=currency,
                value=number(line.bounds.adjustment),
            )
        )
    return InvoiceLineItem(
        id=line.meter.id,
        description=line.description,
        type="USAGE_RATE_CARD_AMOUNT",
        units=currency,
        value=number(line.amount),
        quantity=number(line.quantity),
        line_items=[*slabs, *_updates(line, currency)] or None,
    )
