"""Fixed fees: in which cycles of an association one is charged, and how much of it."""

from decimal import Decimal

from bursar.rating.rate import prorate


def falls_in(cycle: int, *, recurring: bool, interval: int, offset: int) -> bool:
    """Whether a fee is charged in a cycle, counted from 0 at the one in which the association begins.

    One that recurs is charged in cycle `offset` and every `interval` cycles from there on, any other in `offset` alone.
    """
    if not recurring:
        return cycle == offset
    return cycle >= offset and (cycle - offset) % interval == 0


def fee(rate: Decimal, days: int, of_days: int, *, prorated: bool, opens_cycle: bool) -> Decimal | None:
    """What is due of a fee for `days` of a cycle of `of_days`, 12 decimals; None where the fee is not charged.

    A prorated fee is due by the day, so that the parts of a cut cycle add up. Any other is due in full from the part
    with which the cycle begins for the association (`opens_cycle`), and from no other.
    """
    if prorated:
        return prorate(rate, days, of_days)
    return rate if opens_cycle else None
