"""How charges become lines, and lines an invoice's postings. Pure: the same facts give the same lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache

from msgspec import UNSET

from bursar.catalog.definitions import Commitment, FeeCard
from bursar.catalog.plans import PlanVersion
from bursar.core import decimals
from bursar.core.decimals import plain, show
from bursar.invoicing.document import CommitmentTerms, Document, FeeTerms, Line, Meter, PriceVersion, RuleRun
from bursar.invoicing.license_lines import license_line
from bursar.invoicing.pricing import Pricing
from bursar.invoicing.ruled import ADDED, apply_rules
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.rating.fees import falls_in, fee
from bursar.rating.licenses import Stretch
from bursar.rating.rate import line, prorate, rounding_formula, true_up

SERIES = "INV"
"""The series of invoices; credit notes have their own."""
CREDIT_SERIES = "CN"
CAUSE = "invoice"
STANDARD = "STANDARD"
"""The invoice of what a period used, and of fees in arrears."""
ADVANCED = "STANDARD_ADVANCED"
"""The invoice of fees in advance, issued as their period begins."""
CUSTOM = "CUSTOM"
"""An invoice whose lines were set by hand."""
COMPOSITE = "COMPOSITE"
"""The invoice of a group, of what fell due in it on one day."""

ORDER = "ORDER"
"""The class of invoices by which purchases are paid."""
ORDER_ONCE, ORDER_ADVANCED = "AD_HOC", "ADHOC_ADVANCED"
"""Their types: of what is bought once, and of the fees in advance of an association."""

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the lines of one billing period follow from."""

    plan: PlanVersion
    currency: str
    exponent: int
    quantities: Mapping[int, Decimal]
    """By internal key of the meter; one that is missing measured nothing."""
    meters: Mapping[int, Meter]
    days: int
    of_days: int
    """Local days of the period and of the whole cycle that it is part of."""
    advance: bool = False
    """Whether this is the invoice of fees in advance; else that of everything else."""
    cycle: int = 0
    """Number of the cycle in the association, from 0."""
    opens_cycle: bool = True
    """Whether the cycle begins for the association with this period."""
    add_ons: Mapping[int, str] = field(default_factory=dict)
    """What invoices call add-ons, by their internal keys."""
    licenses: Mapping[str, Sequence[Stretch]] = field(default_factory=dict)
    """What is charged of licences, by the names of their cards; a card that is missing has no line."""


@dataclass(frozen=True, slots=True)
class Content:
    """The lines of an invoice and what they add up to."""

    lines: list[Line]
    subtotal: Decimal
    total: Decimal
    rules: Sequence[RuleRun] = ()
    """What became of each pricing rule for such an invoice."""


def draw_up(facts: Facts, pricing: Pricing | None = None) -> Content:
    """The lines: one per usage rate card in the plan's order, then fees in arrears that fall in the period, licences,
    then the true-up to the commitment, where one is due. An invoice in advance has lines of what is charged in advance
    only. Pricing rules change the lines of cards before they are summed, and what they add comes after these.

    `pricing` is that of the facts' plan, currency and meters, from a caller with many invoices.
    """
    pricing = pricing or Pricing(facts.plan, facts.currency, facts.exponent, facts.meters)
    usage = [] if facts.advance else pricing.cards
    lines = [pricing.line(place, facts.quantities.get(card.meter, _ZERO)) for place, card in enumerate(usage)]
    due = fees_due(facts.plan, facts.cycle, advance=facts.advance, opens_cycle=facts.opens_cycle)
    lines += [_fee_line(n, card, facts, pricing.version) for n, card in enumerate(due, len(lines) + 1)]
    licenses = _license_lines(len(lines) + 1, facts, pricing.version)
    added: list[Line] = []
    runs: list[RuleRun] = []
    if book := pricing.rules.get(facts.advance):
        next_number = len(lines) + len(licenses) + 1
        lines, added, runs = apply_rules(lines, book, facts.exponent, pricing.version, pricing.rated, next_number)
    lines += licenses
    subtotal = sum((entry.amount for entry in lines), _ZERO)
    lines += added
    total = sum((entry.amount for entry in added), subtotal)
    if facts.plan.details.commitment is not None and not facts.advance:
        lines += _true_up_lines(len(lines) + 1, facts.plan.details.commitment, subtotal, facts, pricing.version)
        total = sum((entry.amount for entry in lines), _ZERO)
    return Content(lines, plain(subtotal), plain(total), runs)


def fees_due(plan: PlanVersion, cycle: int, *, advance: bool, opens_cycle: bool) -> list[FeeCard]:
    """The fees in advance, or those in arrears, of which something is charged in a period of a cycle."""
    return [
        card
        for card in plan.details.fees
        if card.in_advance is advance
        and (card.prorated or opens_cycle)
        and falls_in(cycle, recurring=card.recurring, interval=card.interval, offset=card.offset)
    ]


def charges_ahead(plan: PlanVersion, cycle: int, *, opens_cycle: bool) -> bool:
    """Whether a period of a cycle has an invoice in advance."""
    licenses = any(card.in_advance for card in plan.details.licenses)
    return licenses or bool(fees_due(plan, cycle, advance=True, opens_cycle=opens_cycle))


def in_advance(document: Document) -> bool:
    """Whether a document charges for time to come."""
    return document.invoice_type in (ADVANCED, ORDER_ADVANCED)


def is_order(document: Document) -> bool:
    """Whether a document is to be paid for a purchase, before which nothing of it is revenue."""
    return document.invoice_class == ORDER


def postable(content: Content) -> bool:
    """Whether every amount can be stored: below 10^26. A rounded amount is no larger than the unrounded one."""
    amounts = [entry.unrounded for entry in content.lines]
    amounts += [entry.license.refund for entry in content.lines if entry.license is not UNSET]
    return decimals.fits(content.total) and all(decimals.fits(amount) for amount in amounts)


def status_at_issue(total: Decimal) -> str:
    """DUE, or PAID at once where there is nothing to pay."""
    return "DUE" if total > 0 else "PAID"


def issue_transaction(document: Document, invoice: int, account: int, accounting_date: date) -> Transaction | None:
    """The postings of an issue: the receivable of the total against the unrounded revenue of each line, the
    differences to rounding. What credits pay is taken out of them. What is charged in advance or ordered is deferred
    instead. None where nothing is charged.
    """
    defers = in_advance(document) or is_order(document)
    deferred = LedgerAccount(Kind.DEFERRED, document.currency, account) if defers else None
    postings: list[Posting] = [
        *side(LedgerAccount(Kind.RECEIVABLE, document.currency, account), document.total),
        *credit_postings(document, account),
        *(
            posting
            for entry in document.lines
            for posting in side(deferred or income(document.currency, entry), -entry.unrounded)
        ),
        *side(LedgerAccount(Kind.ROUNDING, document.currency), sum((e.rounding for e in document.lines), _ZERO)),
    ]
    if not postings:
        return None
    return Transaction(CAUSE, invoice, accounting_date, f"invoice {document.id}", tuple(postings))


def income(currency: str, entry: Line) -> LedgerAccount:
    """Where a line is earned: as revenue, or as an adjustment where it was said not to be any."""
    if entry.charge is not UNSET and not entry.charge.revenue:
        return LedgerAccount(Kind.ADJUSTMENT, currency, detail="miscellaneous")
    return _revenue(currency, plan_line(entry))


def credit_postings(document: Document, account: int) -> tuple[Posting, ...]:
    """What the issue of a document takes out of credits."""
    if document.credits is UNSET:
        return ()
    return tuple(
        Posting(LedgerAccount(Kind.CREDIT, document.currency, account, one.id), one.amount) for one in document.credits
    )


@lru_cache(maxsize=4096)
def _revenue(currency: str, detail: str) -> LedgerAccount:
    return LedgerAccount(Kind.REVENUE, currency, detail=detail)


def plan_line(entry: Line) -> str:
    """What revenue is kept by: the plan and the line's meter, add-on or commitment, or what a rule calls its line.

    Of an amount that was set by hand, by what it is about.
    """
    if entry.type == "WALLET_TOPUP" or (entry.type == "PREPAID" and entry.price_version is None):
        return entry.name.replace("-", "_")
    if entry.adjustment is not UNSET:
        plan = "adjustment" if entry.price_version is None else entry.price_version.price_plan_id
        return f"{plan}/adjustment"
    if entry.price_version is None:
        kind = "custom" if entry.type == "CUSTOM_AMOUNT" else "miscellaneous"
        about = None if entry.charge is UNSET else entry.charge.billable_id
        return kind if about is None else f"{kind}/{about}"
    what = "commitment"
    if entry.meter is not None:
        what = entry.meter.id
    elif entry.fee is not None:
        what = entry.fee.add_on_id
    elif entry.license is not UNSET:
        what = entry.license.add_on_id
    elif entry.order is not UNSET and entry.order.billable_id is not None:
        what = entry.order.billable_id
    elif entry.type == ADDED and entry.rules:
        what = f"rule/{entry.rules[0].key}"
    return f"{entry.price_version.price_plan_id}/{what}"


def sequence_id(number: int, series: str = SERIES) -> str:
    """A number of a series as documents show it."""
    return f"{series}-{number:06d}"


def same_charges(one: Sequence[Line], other: Sequence[Line]) -> bool:
    """Whether lines charge the same for the same reasons, whatever their meters have been named since."""
    return [_charged(entry) for entry in one] == [_charged(entry) for entry in other]


def _charged(entry: Line) -> tuple[object, ...]:
    meter = entry.meter and entry.meter.id
    return (entry.number, entry.type, meter, entry.quantity, entry.slabs, entry.bounds, entry.fee, entry.commitment,
            entry.price_version, entry.formula, entry.unrounded, entry.amount, entry.rounding, entry.tax_rate,
             entry.tax, entry.rules, entry.order, entry.charge, entry.license, entry.adjustment)  # fmt: skip


def _fee_line(number: int, card: FeeCard, facts: Facts, version: PriceVersion) -> Line:
    rate = card.in_currency(facts.currency)
    cost = fee(rate, facts.days, facts.of_days, prorated=card.prorated, opens_cycle=facts.opens_cycle)
    assert cost is not None, "only fees that are due have a line"
    amount, rounding = line(cost, facts.exponent)
    share = f" x {facts.days}/{facts.of_days} days" if card.prorated and facts.days != facts.of_days else ""
    return Line(
        number=number,
        type="FIXED_FEE_RATE_CARD",
        name=card.name,
        description=card.display_name or facts.add_ons[card.add_on],
        tag=card.tag,
        meter=None,
        pricing_model=None,
        quantity=None,
        slabs=[],
        bounds=None,
        fee=FeeTerms(
            add_on_id=card.add_on_id,
            type="RECURRING" if card.recurring else "ONE_TIME",
            invoice_timing="IN_ADVANCE" if card.in_advance else "IN_ARREARS",
            rate=plain(rate),
            prorated=card.prorated,
            cycle=facts.cycle,
            days=facts.days,
            of_days=facts.of_days,
        ),
        commitment=None,
        price_version=version,
        formula=f"fee {show(rate)}{share} = {show(cost)}" + rounding_formula(cost, amount, facts.exponent),
        unrounded=plain(cost),
        amount=plain(amount),
        rounding=plain(rounding),
        tax_rate=_ZERO,
        tax=_ZERO,
    )


def _license_lines(number: int, facts: Facts, version: PriceVersion) -> list[Line]:
    cards = [card for card in facts.plan.details.licenses if card.name in facts.licenses]
    return [
        license_line(
            place, card, facts.licenses[card.name], facts.add_ons[card.add_on], facts.currency, facts.exponent, version
        )
        for place, card in enumerate(cards, number)
    ]


def _true_up_lines(
    number: int, commitment: Commitment, subtotal: Decimal, facts: Facts, version: PriceVersion
) -> list[Line]:
    whole = commitment.in_currency(facts.currency)
    prorated = prorate(whole, facts.days, facts.of_days)
    missing = true_up(subtotal, prorated)
    amount, rounding = line(missing, facts.exponent)
    if not amount:
        return []
    share = "" if facts.days == facts.of_days else f" x {facts.days}/{facts.of_days} days = {show(prorated)}"
    return [
        Line(
            number=number,
            type="TRUE_UP",
            name="minimum-commitment",
            description=commitment.display_name,
            tag=None,
            meter=None,
            pricing_model=None,
            quantity=None,
            slabs=[],
            bounds=None,
            fee=None,
            commitment=CommitmentTerms(
                rate=plain(whole),
                days=facts.days,
                of_days=facts.of_days,
                prorated=plain(prorated),
                subtotal=plain(subtotal),
            ),
            price_version=version,
            formula=f"commitment {show(whole)}{share}, less {show(subtotal)} = {show(missing)}"
            + rounding_formula(missing, amount, facts.exponent),
            unrounded=plain(missing),
            amount=plain(amount),
            rounding=plain(rounding),
            tax_rate=_ZERO,
            tax=_ZERO,
        )
    ]
