"""How charges become lines, and lines an invoice's postings. Pure: the same facts give the same lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from bursar.catalog.definitions import Commitment, UsageCard
from bursar.catalog.plans import PlanVersion
from bursar.core import decimals
from bursar.core.decimals import plain, show
from bursar.invoicing.document import CommitmentTerms, Document, Line, Meter, PriceVersion, SlabLine
from bursar.ledger.model import Kind, LedgerAccount, Posting, Transaction, side
from bursar.rating.card import Card
from bursar.rating.rate import formula, line, prorate, rate, true_up
from bursar.rating.slabs import Charge, Model, PriceType, Slab, SlabCharge

SERIES = "INV"
"""The series of invoices; credit notes will have their own."""
CAUSE = "invoice"

_MODEL = {"TIERED": Model.GRADUATED, "VOLUME": Model.VOLUME}
_PRICE_TYPE = {"FLAT": PriceType.FLAT, "PER_UNIT": PriceType.PER_UNIT, "PACKAGE": PriceType.PACKAGE}
_PRICE_TYPE_NAME = {price_type: name for name, price_type in _PRICE_TYPE.items()}
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


@dataclass(frozen=True, slots=True)
class Content:
    """The lines of an invoice and what they add up to."""

    lines: list[Line]
    subtotal: Decimal
    total: Decimal


def charge(card: UsageCard, currency: str, quantity: Decimal) -> Charge:
    """What a quantity costs by a usage rate card."""
    return rate(_MODEL[card.pricing_model], _slabs(card, currency), quantity)


def _slabs(card: UsageCard, currency: str) -> list[Slab]:
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
        for slab, price in zip(card.slabs, card.rates_in(currency), strict=True)
    ]


class Pricing:
    """The usage rate cards of a plan version in one currency, made ready once for many invoices.

    A line follows from its card and quantity alone, and is remembered for as long as this lives: for a batch.
    """

    def __init__(self, plan: PlanVersion, currency: str, exponent: int, meters: Mapping[int, Meter]) -> None:
        self.cards = plan.details.usage
        self.exponent = exponent
        self.version = PriceVersion(
            price_plan_id=plan.id, price_plan_name=plan.name, version=plan.version, id=plan.version_id
        )
        self._meters = meters
        self._cards = [Card(_MODEL[card.pricing_model], _slabs(card, currency)) for card in self.cards]
        self._full = [[_slab_line(charged) for charged in card.full] for card in self._cards]
        self._shown = [[show(entry.amount) for entry in entries] for entries in self._full]
        self._lines: dict[tuple[int, Decimal], Line] = {}

    def line(self, place: int, quantity: Decimal) -> Line:
        """The line of a card, by its place in the plan."""
        known = self._lines.get((place, quantity))
        if known is None:
            known = self._lines[place, quantity] = self._rated(place, quantity)
        return known

    def _rated(self, place: int, quantity: Decimal) -> Line:
        card = self.cards[place]
        cost = self._cards[place].rate(quantity)
        amount, rounding = line(cost.amount, self.exponent)
        meter = self._meters[card.meter]
        slabs, shown = [], []
        if cost.slabs:
            used_up, last = len(cost.slabs) - 1, _slab_line(cost.slabs[-1])
            slabs = [*self._full[place][:used_up], last]
            shown = [*self._shown[place][:used_up], show(last.amount)]
        unrounded = plain(cost.amount)
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
            commitment=None,
            price_version=self.version,
            formula=_sum_formula(slabs, shown, unrounded, amount, self.exponent),
            unrounded=unrounded,
            amount=plain(amount),
            rounding=plain(rounding),
            tax_rate=_ZERO,
            tax=_ZERO,
        )


def draw_up(facts: Facts, pricing: Pricing | None = None) -> Content:
    """The lines: one per usage rate card in the plan's order, then the true-up to the commitment, where one is due.

    `pricing` is that of the facts' plan, currency and meters, from a caller with many invoices.
    """
    pricing = pricing or Pricing(facts.plan, facts.currency, facts.exponent, facts.meters)
    lines = [pricing.line(n, facts.quantities.get(card.meter, _ZERO)) for n, card in enumerate(pricing.cards)]
    subtotal = sum((entry.amount for entry in lines), _ZERO)
    total = subtotal
    if facts.plan.details.commitment is not None:
        lines += _true_up_lines(len(lines) + 1, facts.plan.details.commitment, subtotal, facts, pricing.version)
        total = sum((entry.amount for entry in lines), _ZERO)
    return Content(lines, plain(subtotal), plain(total))


def postable(content: Content) -> bool:
    """Whether every amount can be stored: below 10^26. A rounded amount is no larger than the unrounded one."""
    return decimals.fits(content.total) and all(decimals.fits(entry.unrounded) for entry in content.lines)


def status_at_issue(total: Decimal) -> str:
    """DUE, or PAID at once where there is nothing to pay."""
    return "DUE" if total > 0 else "PAID"


def issue_transaction(document: Document, invoice: int, account: int, accounting_date: date) -> Transaction | None:
    """The postings of an issue: the receivable of the total against the unrounded revenue of each line, the
    differences to rounding. None where nothing is charged.
    """
    postings: list[Posting] = [
        *side(LedgerAccount(Kind.RECEIVABLE, document.currency, account), document.total),
        *(
            posting
            for entry in document.lines
            for posting in side(_revenue(document.currency, plan_line(entry)), -entry.unrounded)
        ),
        *side(LedgerAccount(Kind.ROUNDING, document.currency), sum((e.rounding for e in document.lines), _ZERO)),
    ]
    if not postings:
        return None
    return Transaction(CAUSE, invoice, accounting_date, f"invoice {document.id}", tuple(postings))


@lru_cache(maxsize=4096)
def _revenue(currency: str, detail: str) -> LedgerAccount:
    return LedgerAccount(Kind.REVENUE, currency, detail=detail)


def plan_line(entry: Line) -> str:
    """What revenue is kept by: the plan and the line's meter, or its commitment."""
    what = "commitment" if entry.meter is None else entry.meter.id
    return f"{entry.price_version.price_plan_id}/{what}"


def sequence_id(number: int) -> str:
    """A number of the series as invoices show it."""
    return f"{SERIES}-{number:06d}"


def same_charges(one: Sequence[Line], other: Sequence[Line]) -> bool:
    """Whether lines charge the same for the same reasons, whatever their meters have been named since."""
    return [_charged(entry) for entry in one] == [_charged(entry) for entry in other]


def _charged(entry: Line) -> tuple[object, ...]:
    meter = entry.meter and entry.meter.id
    return (entry.number, entry.type, meter, entry.quantity, entry.slabs, entry.commitment, entry.price_version,
            entry.formula, entry.unrounded, entry.amount, entry.rounding, entry.tax_rate, entry.tax)  # fmt: skip


def _slab_line(entry: SlabCharge) -> SlabLine:
    slab = entry.slab
    return SlabLine(
        order=slab.order,
        start_after=plain(slab.start_after),
        up_to=_plain(entry.end),
        price_type=_PRICE_TYPE_NAME[slab.price_type],  # type: ignore[arg-type]  # the keys are its three names
        rate=plain(slab.rate),
        package_size=_plain(slab.package_size),
        packages=_plain(entry.packages),
        quantity=plain(entry.quantity),
        bound=entry.bound,
        amount=plain(entry.amount),
        formula=formula(entry),
    )


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
            commitment=CommitmentTerms(
                rate=plain(whole),
                days=facts.days,
                of_days=facts.of_days,
                prorated=plain(prorated),
                subtotal=plain(subtotal),
            ),
            price_version=version,
            formula=f"commitment {show(whole)}{share}, less {show(subtotal)} = {show(missing)}"
            + _rounding_formula(missing, amount, facts.exponent),
            unrounded=plain(missing),
            amount=plain(amount),
            rounding=plain(rounding),
            tax_rate=_ZERO,
            tax=_ZERO,
        )
    ]


def _sum_formula(
    slabs: Sequence[SlabLine], shown: Sequence[str], unrounded: Decimal, amount: Decimal, exponent: int
) -> str:
    """The arithmetic of a line; `shown` are the amounts of its slabs as text."""
    if not slabs:
        return "nothing to charge = 0"
    text = slabs[0].formula if len(slabs) == 1 else f"{' + '.join(shown)} = {show(unrounded)}"
    return text + _rounding_formula(unrounded, amount, exponent)


def _rounding_formula(unrounded: Decimal, amount: Decimal, exponent: int) -> str:
    if unrounded == amount:
        return ""
    return f", rounded toward zero to {exponent} decimals = {show(amount)}"


def _plain(value: Decimal | None) -> Decimal | None:
    return None if value is None else plain(value)
