"""Exact decimal arithmetic: one context, one scale, one place where a line is rounded.

Quantities and unrounded amounts have 12 decimals and at most 26 integer digits, as NUMERIC(38,12) stores them.
"""

import decimal
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

SCALE = 12
UNIT = Decimal(1).scaleb(-SCALE)
LIMIT = Decimal(10) ** (38 - SCALE)
"""The first magnitude that NUMERIC(38,12) cannot hold."""

# Two 38-digit numbers multiply to 76 digits; 120 leaves room for sums of such products before they are rounded.
_CONTEXT = decimal.Context(
    prec=120,
    rounding=ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)


def install() -> None:
    """Make the exact context the default of this process, so that plain operators never round silently at 28 digits."""
    decimal.DefaultContext.prec = _CONTEXT.prec
    decimal.DefaultContext.rounding = _CONTEXT.rounding
    decimal.setcontext(_CONTEXT.copy())


def to_scale(value: Decimal) -> Decimal:
    """`value` rounded half-even to 12 decimals."""
    return value.quantize(UNIT, rounding=ROUND_HALF_EVEN)


def divide(numerator: Decimal, denominator: Decimal) -> Decimal:
    """The quotient, rounded half-even to 12 decimals. Raises `decimal.DivisionByZero` for a zero denominator."""
    return to_scale(numerator / denominator)


def fits(value: Decimal) -> bool:
    """Whether `value` can be stored exactly: finite, below 10^26 in magnitude, at most 12 decimals."""
    if not value.is_finite() or abs(value.adjusted()) > 60:
        return bool(value.is_finite() and not value)
    return abs(value) < LIMIT and value == to_scale(value)


def round_line(amount: Decimal, exponent: int) -> Decimal:
    """`amount` rounded toward zero to a currency's smallest unit; `exponent` is its number of decimals (ISO 4217)."""
    return amount.quantize(Decimal(1).scaleb(-exponent), rounding=ROUND_DOWN)


def allocate(total: Decimal, weights: list[Decimal], exponent: int) -> list[Decimal]:
    """Split an already rounded `total` in proportion to non-negative `weights`; the parts add up to it exactly.

    Largest remainder: every part is rounded down to the currency's unit, then the units left over go to the largest
    remainders, earlier parts first on a tie. All weights zero puts the whole into the first part.
    """
    unit = Decimal(1).scaleb(-exponent)
    whole = sum(weights, Decimal(0))
    if not weights:
        raise ValueError("nothing to allocate to")
    if not whole:
        return [total, *([Decimal(0)] * (len(weights) - 1))]
    sign = -1 if total < 0 else 1
    units = int(abs(total) / unit)
    # Integers throughout: a quotient of decimals could round at the last digit and hand out one unit too many.
    scaled = [int(weight.scaleb(SCALE)) for weight in weights]
    base = sum(scaled)
    parts = [units * weight // base for weight in scaled]
    remainders = [units * weight % base for weight in scaled]
    order = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    for i in order[: units - sum(parts)]:
        parts[i] += 1
    return [sign * part * unit for part in parts]


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros or exponent, for answers and documents: 1.500 -> 1.5, 1E+3 -> 1000."""
    if not value:
        return Decimal(0)
    trimmed = value.normalize()
    return trimmed.quantize(Decimal(1)) if trimmed.as_tuple().exponent > 0 else trimmed  # type: ignore[operator]
