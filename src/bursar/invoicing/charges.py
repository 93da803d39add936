"""Amounts that are set by hand: miscellaneous charges behind the lines of a draft, and the lines of custom invoices.

Pure: the same facts give the same lines.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Literal

import msgspec

from bursar.core import decimals
from bursar.core.decimals import plain, show, to_scale
from bursar.core.errors import Invalid
from bursar.core.jsonlogic import EvaluationError, Rule, compile_rule
from bursar.invoicing.document import ChargeTerms, Line
from bursar.invoicing.model import Content
from bursar.rating.rate import line, rounding_formula

CHARGES_LIMIT = 50
"""Of one list."""
LOGIC_LIMIT = 5_000
"""Characters of a value."""

_ZERO = Decimal(0)


class Charge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A miscellaneous charge: rate times quantity, or a value, which is a number or jsonLogic over other lines."""

    name: str
    rate: Decimal | None = None
    quantity: Decimal | None = None
    value: str | None = None
    revenue: bool = False
    """Whether it counts as revenue."""


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of a custom invoice: a value, or a quantity at a price each."""

    id: str | None = None
    description: str | None = None
    each: Decimal | None = None
    quantity: Decimal | None = None
    value: Decimal | None = None
    billable_id: str | None = None


def check_charges(charges: Sequence[Charge], path: str) -> None:
    """Raise `Invalid` for charges of one name, with neither or both kinds of value, or whose logic is none."""
    for place, charge in enumerate(charges):
        field = f"{path}[{place}]"
        if not charge.name.strip():
            raise Invalid(f"{field}.name", "must not be blank")
        if charge.name in [other.name for other in charges[:place]]:
            raise Invalid(f"{field}.name", f"{charge.name!r} is given twice")
        if (charge.rate is None) != (charge.quantity is None):
            missing = "rate" if charge.rate is None else "quantity"
            raise Invalid(f"{field}.{missing}", "is required: a charge has both rate and quantity, or a value")
        if (charge.rate is None) == (charge.value is None):
            raise Invalid(f"{field}.value", "give either a value or both rate and quantity")
        if charge.value is not None:
            _check_logic(charge.value, f"{field}.value")
        elif charge.rate is not None and charge.quantity is not None:
            _check_product(charge.rate, charge.quantity, f"{field}.rate")


def check_items(items: Sequence[Item], path: str) -> None:
    """Raise `Invalid` for lines of one id, without a value, or with a value that is not what it should be."""
    for place, item in enumerate(items):
        field = f"{path}[{place}]"
        if item.id is not None and item.id in [other.id for other in items[:place]]:
            raise Invalid(f"{field}.id", f"{item.id!r} is given twice")
        if (item.each is None) != (item.quantity is None):
            missing = "valuePerQuantity" if item.each is None else "quantity"
            raise Invalid(f"{field}.{missing}", "is required: quantity and valuePerQuantity go together")
        if item.each is not None and item.quantity is not None:
            product = _check_product(item.each, item.quantity, f"{field}.quantity")
            if item.value is not None and item.value != product:
                raise Invalid(f"{field}.value", f"is not quantity x valuePerQuantity, which is {show(product)}")
        elif item.value is None:
            raise Invalid(f"{field}.value", "give either a value or both quantity and valuePerQuantity")


def shown_value(charge: Charge) -> str:
    """The value of a charge as text: its own, or rate times quantity."""
    if charge.value is not None:
        return charge.value
    assert charge.rate is not None
    assert charge.quantity is not None
    return show(to_scale(charge.rate * charge.quantity))


def with_charges(content: Content, charges: Iterable[Charge], exponent: int) -> Content:
    """Content with a line for each charge, in their order, each on what those before it left.

    One that cannot be computed, or would take away more than is charged, is a line of zero that says why.
    """
    lines, total = list(content.lines), content.total
    for charge in charges:
        made = _charge_line(len(lines) + 1, charge, lines, total, exponent)
        lines.append(made)
        total += made.amount
    return replace(content, lines=lines, total=plain(total))


def of_items(items: Sequence[Item], exponent: int) -> Content:
    """The content of a custom invoice."""
    lines = [_item_line(number, item, exponent) for number, item in enumerate(items, 1)]
    total = plain(sum((entry.amount for entry in lines), _ZERO))
    return Content(lines, total, total)


def _check_product(one: Decimal, other: Decimal, field: str) -> Decimal:
    product = to_scale(one * other)
    if not decimals.fits(product):
        raise Invalid(field, "the product must be a number below 10^26")
    return product


def _check_logic(text: str, field: str) -> None:
    rule = compile_rule(text, max_length=LOGIC_LIMIT, field=field)
    if not rule.variables:
        try:
            rule.number({})
        except EvaluationError as error:
            raise Invalid(field, f"must be a number or logic that gives one: {error.message}") from None


@lru_cache(maxsize=256)
def _compiled(text: str) -> Rule:
    return compile_rule(text, max_length=LOGIC_LIMIT, field="value")


def _amounts(lines: Sequence[Line]) -> dict[str, Decimal]:
    """What lines come to, by the ids under which an invoice shows them."""
    found: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in lines:
        name = None
        if entry.meter is not None:
            name = entry.meter.id
        elif entry.fee is not None:
            name = entry.fee.add_on_id
        elif entry.license is not msgspec.UNSET:
            name = entry.license.add_on_id
        elif entry.rules is not msgspec.UNSET:
            name = entry.rules[0].key
        elif entry.charge is not msgspec.UNSET:
            name = entry.charge.id
        if name is not None:
            found[name] += entry.amount
    return dict(found)


def _charge_line(number: int, charge: Charge, lines: Sequence[Line], total: Decimal, exponent: int) -> Line:
    read: dict[str, Decimal] = {}
    error = None
    if charge.value is None:
        assert charge.rate is not None
        assert charge.quantity is not None
        value = to_scale(charge.rate * charge.quantity)
        text = f"{show(charge.quantity)} x {show(charge.rate)} = {show(value)}"
    else:
        rule, amounts = _compiled(charge.value), _amounts(lines)
        read = {name: plain(amounts[name]) for name in sorted(rule.variables) if name in amounts}
        try:
            value = rule.number(amounts)
        except EvaluationError as failure:
            value, error = _ZERO, failure.message
        text = f"{charge.value} = {show(value)}" if rule.variables else f"set to {show(value)}"
    after = total + line(value, exponent)[0]
    if after < 0:
        error = f"takes away {show(-after)} more than is charged"
    elif not decimals.fits(value) or not decimals.fits(after):
        error = "the amount is not below 1E+26"
    if error is not None:
        value, text = _ZERO, f"nothing, because it could not be charged: {error}"
    terms = ChargeTerms(
        id=None,
        billable_id=None,
        rate=charge.rate,
        quantity=charge.quantity,
        value=charge.value,
        variables=read,
        revenue=charge.revenue,
        error=error,
    )
    return _line(number, "MISCELLANEOUS_CHARGE", charge.name, value, text, terms, exponent)


def _item_line(number: int, item: Item, exponent: int) -> Line:
    if item.each is not None and item.quantity is not None:
        value = to_scale(item.quantity * item.each)
        text = f"{show(item.quantity)} x {show(item.each)} = {show(value)}"
    else:
        assert item.value is not None
        value, text = item.value, f"set to {show(item.value)}"
    terms = ChargeTerms(
        id=item.id,
        billable_id=item.billable_id,
        rate=item.each,
        quantity=item.quantity,
        value=None if item.value is None else show(item.value),
        variables={},
        revenue=True,
        error=None,
    )
    name = item.description or item.id or item.billable_id or "Custom amount"
    return _line(number, "CUSTOM_AMOUNT", name, value, text, terms, exponent)


def _line(
    number: int,
    kind: Literal["MISCELLANEOUS_CHARGE", "CUSTOM_AMOUNT"],
    name: str,
    value: Decimal,
    formula: str,
    terms: ChargeTerms,
    exponent: int,
) -> Line:
    amount, rounding = line(value, exponent)
    return Line(
        number=number,
        type=kind,
        name=name,
        description=name,
        tag=None,
        meter=None,
        pricing_model=None,
        quantity=terms.quantity,
        slabs=[],
        bounds=None,
        fee=None,
        commitment=None,
        charge=terms,
        price_version=None,
        formula=formula + rounding_formula(value, amount, exponent),
        unrounded=plain(value),
        amount=plain(amount),
        rounding=plain(rounding),
        tax_rate=_ZERO,
        tax=_ZERO,
    )
