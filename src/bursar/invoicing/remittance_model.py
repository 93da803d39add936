"""How money that has come in is divided among what it is for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from bursar.core.decimals import show
from bursar.core.errors import Invalid

Target = Literal["INVOICE", "CREDIT", "WALLET_CREDIT"]
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class WantedLine:
    """What some of a payment is for."""

    order: int
    type: Target
    id: str | None = None
    """Of the invoice, the credit or the wallet."""
    amount: Decimal | None = None
    """None: as much as is open of an invoice, or all that is left."""
    field: str = ""
    """Where it stands in the command, for messages: ends with a dot."""


@dataclass(frozen=True, slots=True)
class Share:
    """A line with its amount; below zero in a payment that goes out."""

    place: int
    line: WantedLine
    amount: Decimal


def divide(total: Decimal, lines: Sequence[WantedLine], open_of: Mapping[str, Decimal]) -> list[Share]:
    """What each line gets of a payment, by ascending order; what is left in the end goes into the wallet.

    `open_of`: what is open of invoices, by id; of one that is paid back, what is to be paid out. A payment above zero
    has lines above zero, one below zero lines below zero. Raises `Invalid` where that is not so, where two have one
    order, and for more than there is.
    """
    sign = 1 if total > 0 else -1
    left = abs(total)
    open_now = dict(open_of)
    shares: list[Share] = []
    places = sorted(range(len(lines)), key=lambda place: lines[place].order)
    for n, place in enumerate(places):
        line = lines[place]
        if n and line.order == lines[places[n - 1]].order:
            raise Invalid(f"{line.field}order", "must differ from that of the other lines")
        if line.amount is not None and (line.amount * sign <= 0 or abs(line.amount) > left):
            rule = (
                f"must be {'above' if sign > 0 else 'below'} 0, and {show(left * sign)} of totalAmount is left for it"
            )
            raise Invalid(f"{line.field}amount", rule)
        amount = left if line.amount is None else abs(line.amount)
        if line.type == "INVOICE":
            assert line.id is not None, "checked where it was looked up"
            available = open_now.get(line.id, _ZERO)
            if line.amount is not None and amount > available:
                rule = f"is more than the {show(available)} that invoice {line.id!r} has left"
                raise Invalid(f"{line.field}amount", rule)
            amount = min(amount, available)
            open_now[line.id] = available - amount
        left -= amount
        if amount:
            shares.append(Share(line.order, line, amount * sign))
    if left:
        last = max((line.order for line in lines), default=0)
        shares.append(Share(last + 1, WantedLine(last + 1, "WALLET_CREDIT"), left * sign))
    return shares
