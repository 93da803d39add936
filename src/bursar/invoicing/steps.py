"""How an invoice comes to what is left to pay, step by step, in the order in which the steps are taken. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bursar.invoicing.crediting import AFTER, uses_of
from bursar.invoicing.document import Document
from bursar.invoicing.ruled import ADDED
from bursar.invoicing.settlement import Paid

LINES, RULES, COMMITMENT, CREDITS, CHARGES, TAX, PAID = (
    "LINES", "PRICING_RULES", "COMMITMENT", "CREDITS", "CUSTOM_CHARGES", "TAX", "PAID",
)  # fmt: skip
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step adds, or takes away where it is below zero, and what it comes to."""

    name: str
    amount: Decimal
    result: Decimal


def steps(document: Document, paid: Sequence[Paid]) -> list[Step]:
    """The steps of an invoice: lines, rules that add, the commitment, credits, charges by hand, taxes, what was paid.

    Steps that there are not are left out, lines and what was paid excepted. The result of the one before the last is
    the invoice's total, that of the last what is open.
    """
    of = {LINES: _ZERO, RULES: _ZERO, COMMITMENT: _ZERO, CREDITS: _ZERO, CHARGES: _ZERO, TAX: _ZERO}
    seen = {LINES}
    for entry in document.lines:
        name = CHARGES if entry.type in AFTER else {ADDED: RULES, "TRUE_UP": COMMITMENT}.get(entry.type, LINES)
        of[name] += entry.amount
        seen.add(name)
    for use in uses_of(document):
        of[CREDITS] -= use.amount
        seen.add(CREDITS)
    if document.tax:
        of[TAX] = document.tax
        seen.add(TAX)
    found: list[Step] = []
    result = _ZERO
    for name, amount in [*((name, amount) for name, amount in of.items() if name in seen), (PAID, -_sum(paid))]:
        result += amount
        found.append(Step(name, amount, result))
    return found


def _sum(paid: Sequence[Paid]) -> Decimal:
    return sum((one.amount for one in paid), _ZERO)
