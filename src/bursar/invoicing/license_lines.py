"""The lines of licences: stretches of days, priced, and what goes back of what was charged in advance. Pure."""

from collections.abc import Sequence
from decimal import Decimal

from bursar.catalog.definitions import LicenseCard
from bursar.core.decimals import plain, round_line, show
from bursar.invoicing.document import Line, PriceVersion
from bursar.invoicing.parts import LicenseStretch, LicenseTerms
from bursar.invoicing.pricing import card_bounds, charge, price_formula, slab_line
from bursar.rating.licenses import Stretch
from bursar.rating.rate import line, prorate, rounding_formula

_ZERO = Decimal(0)
_SHOWN = 3
"""Stretches whose arithmetic the formula of a line repeats."""


def license_line(
    number: int,
    card: LicenseCard,
    stretches: Sequence[Stretch],
    description: str,
    currency: str,
    exponent: int,
    version: PriceVersion,
) -> Line:
    """The line of a licence rate card.

    Where there were fewer licences than were charged in advance, that lowers the other stretches, and what is left of
    it goes back; without a refund mode, it changes nothing.
    """
    parts = [_stretch(card, stretch, currency) for stretch in stretches]
    net = sum((part.amount for part in parts), _ZERO)
    cost, refund = max(net, _ZERO), round_line(max(-net, _ZERO), exponent)
    amount, rounding = line(cost, exponent)
    return Line(
        number=number,
        type="LICENSE_RATE_CARD",
        name=card.name,
        description=card.display_name or description,
        tag=card.tag,
        meter=None,
        pricing_model=card.pricing_model,
        quantity=plain(max((part.quantity for part in parts), default=_ZERO)),
        slabs=[],
        bounds=None,
        fee=None,
        commitment=None,
        price_version=version,
        formula=_formula(parts, net, card) + rounding_formula(cost, amount, exponent),
        unrounded=plain(cost),
        amount=plain(amount),
        rounding=plain(rounding),
        tax_rate=_ZERO,
        tax=_ZERO,
        license=LicenseTerms(
            add_on_id=card.add_on_id,
            named=card.named,
            invoice_timing="IN_ADVANCE" if card.in_advance else "IN_ARREARS",
            prorated=card.prorated,
            usage_cycle=card.usage_cycle,
            stretches=parts,
            refund_mode=card.refund,
            refund=plain(refund),
        ),
    )


def _stretch(card: LicenseCard, stretch: Stretch, currency: str) -> LicenseStretch:
    cost = charge(card, currency, stretch.quantity)
    before = charge(card, currency, stretch.before).amount
    more = cost.amount - before
    text = price_formula(cost)
    if stretch.before:
        text += f", less {show(before)} for the {show(stretch.before)} charged before = {show(more)}"
    if card.prorated:
        amount = prorate(more, stretch.days, stretch.of_days)
        if stretch.days != stretch.of_days:
            text += f", x {stretch.days}/{stretch.of_days} days = {show(amount)}"
    else:
        amount = max(more, _ZERO)
    if amount < 0 and card.refund == "NONE":
        amount, text = _ZERO, f"{text}, which is not given back"
    return LicenseStretch(
        first_day=stretch.first,
        days=stretch.days,
        of_days=stretch.of_days,
        quantity=plain(stretch.quantity),
        charged_before=plain(stretch.before),
        price=plain(cost.amount),
        price_before=plain(before),
        slabs=[slab_line(entry) for entry in cost.slabs],
        bounds=card_bounds(cost),
        amount=plain(amount),
        formula=text,
    )


def _formula(parts: Sequence[LicenseStretch], net: Decimal, card: LicenseCard) -> str:
    if not parts:
        return "nothing to charge = 0"
    if len(parts) == 1:
        text = parts[0].formula
    elif len(parts) <= _SHOWN:
        text = "; ".join(part.formula for part in parts) + f"; together {show(net)}"
    else:
        text = f"{len(parts)} stretches of days, together {show(net)}"
    return text if net >= 0 else f"{text}, which goes back ({card.refund})"
