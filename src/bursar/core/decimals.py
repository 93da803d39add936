"""Exact decimal arithmetic: one context, one scale, one place where a line is rounded.

Quantities and unrounded amounts have 12 decimals and at most 26 integer digits, as NUMERIC(38,12) stores them.
"""

import decimal
import math
import re
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

SCALE = 12
UNIT = Decimal(1).scaleb(-SCALE)
LIMIT = Decimal(10) ** (38 - SCALE)
"""The first magnitude that NUMERIC(38,12) cannot hold."""

NUMERAL = re.compile(r"-?\d{1,26}(\.\d{1,12})?", re.ASCII)
"""The text of a number that NUMERIC(38,12) holds exactly, to be matched in full."""

# Two 38-digit numbers multiply to 76 digits; 120 leaves room for sums of such products before they are rounded.
_CONTEXT = decimal.Context(
    prec=120,
    rounding=ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
_ZERO, _ONE = Decimal(0), Decimal(1)
_UNITS = tuple(_ONE.scaleb(-exponent) for exponent in range(SCALE + 1))
"""The smallest units of currencies by their number of decimals."""


def install() -> None:
    """Make the exact context the default of this process, so that plain operators never round silently at 28 digits."""
    decimal.DefaultContext.prec = _CONTEXT.prec
    decimal.DefaultContext.rounding = _CONTEXT.rounding
    decimal.setcontext(_CONTEXT.copy())


def to_scale(value: Decimal) -> Decimal:
    """`value` rounded half-even to 12 decimals; a zero has no sign. Meant for magnitudes below 10^100."""
    return _unsigned_zero(value.quantize(UNIT, ROUND_HALF_EVEN, _CONTEXT))


def divide(numerator: Decimal, denominator: Decimal) -> Decimal:
    """The quotient, rounded half-even to 12 decimals.

    Exact as if rounded once, for operands of up to 38 digits and products of two: the quotient's 120 digits reach past
    any distance that it can have from a tie. Raises `decimal.DivisionByZero`, or `decimal.InvalidOperation` for 0 / 0.
    """
    return to_scale(_CONTEXT.divide(numerator, denominator))


def fits(value: Decimal) -> bool:
    """Whether `value` can be stored exactly: finite, below 10^26 in magnitude, at most 12 decimals."""
    return value.is_finite() and -LIMIT < value < LIMIT and value == value.quantize(UNIT, ROUND_HALF_EVEN, _CONTEXT)


def round_line(amount: Decimal, exponent: int) -> Decimal:
    """`amount` rounded toward zero to a currency's smallest unit; `exponent` is its number of decimals (ISO 4217).

    A small negative amount becomes a zero without a sign.
    """
    return _unsigned_zero(amount.quantize(_UNITS[exponent], ROUND_DOWN, _CONTEXT))


def allocate(total: Decimal, weights: list[Decimal], exponent: int) -> list[Decimal]:
    """Split an already rounded `total` in proportion to non-negative `weights`; the parts add up to it exactly.

    Largest remainder: every part is rounded toward zero to the currency's unit, then the units left over go to the
    largest remainders, earlier parts first on a tie. All weights zero puts the whole into the first part. Raises
    `ValueError` for no weights, a negative or infinite one, or a total that is not a whole number of units.
    """
    if not weights:
        raise ValueError("nothing to allocate to")
    if not all(weight.is_finite() and weight >= 0 for weight in weights):
        raise ValueError("weights must be finite and not negative")
    if total != round_line(total, exponent):
        raise ValueError(f"{total} is not rounded to {exponent} decimals")
    # Integers throughout: a quotient of decimals could round at the last digit and hand out one unit too many.
    units = int(abs(total).scaleb(exponent))
    scaled = _integers(weights)
    base = sum(scaled) or 1
    parts = [units * weight // base for weight in scaled]
    remainders = [units * weight % base for weight in scaled]
    order = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    if not any(scaled):
        parts[0] = units
    for i in order[: units - sum(parts)]:
        parts[i] += 1
    unit = Decimal(-1 if total < 0 else 1).scaleb(-exponent)
    return [_unsigned_zero(part * unit) for part in parts]


def _unsigned_zero(value: Decimal) -> Decimal:
    return value if value else value.copy_abs()


def _integers(values: list[Decimal]) -> list[int]:
    """Integers in the same proportion as `values`."""
    ratios = [value.as_integer_ratio() for value in values]
    common = math.lcm(*(denominator for _, denominator in ratios))
    return [numerator * (common // denominator) for numerator, denominator in ratios]


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros, for answers: 1.500 -> 1.5, 1E+3 -> 1000. For text use `show`."""
    if not value:
        return _ZERO
    whole = value.to_integral_value()
    if whole != value:
        return value.normalize(_CONTEXT)
    return whole if whole.same_quantum(_ONE) else whole.quantize(_ONE, ROUND_HALF_EVEN, _CONTEXT)


def show(value: Decimal) -> str:
    """The number as people write it, without trailing zeros and never with an exponent: 0.0000001, 1000, 1.5."""
    if not value:
        return "0"
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
