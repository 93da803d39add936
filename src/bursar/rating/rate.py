"""From a quantity and its slabs to a charge, and what follows from charges."""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

from bursar.core.decimals import SCALE, round_line, show, to_scale
from bursar.rating.graduated import rate_graduated
from bursar.rating.slabs import UNBOUNDED, Bounds, Charge, Model, PriceType, Slab, SlabCharge
from bursar.rating.volume import rate_volume

_MODELS = {Model.GRADUATED: rate_graduated, Model.VOLUME: rate_volume}

ZERO = Decimal(0)
_FLAT, _PER_UNIT = PriceType.FLAT, PriceType.PER_UNIT
_shown = lru_cache(maxsize=4096)(show)
"""For rates, of which there are few."""


def rate(model: Model, slabs: Sequence[Slab], quantity: Decimal, bounds: Bounds = UNBOUNDED) -> Charge:
    """What `quantity` costs. Slabs start at 0 and rise; nothing used charges nothing, flat and minimum included."""
    assert slabs[0].start_after == 0, "the first slab starts after 0"
    charges = _MODELS[model](slabs, quantity)
    return bounded(quantity, charges, sum((charge.amount for charge in charges), ZERO), bounds)


def bounded(quantity: Decimal, charges: tuple[SlabCharge, ...], total: Decimal, bounds: Bounds) -> Charge:
    """What a quantity costs whose slabs charge `total` together; where none charges, bounds do not either."""
    amount, bound = bounds.apply(total) if charges else (total, None)
    return Charge(quantity, charges, amount, bounds, bound, amount - total)


def line(amount: Decimal, exponent: int) -> tuple[Decimal, Decimal]:
    """`amount` rounded once, toward zero, to the currency's decimals; and what the rounding took away."""
    rounded = round_line(amount, exponent)
    return rounded, amount - rounded


def rounding_formula(unrounded: Decimal, amount: Decimal, exponent: int) -> str:
    """The rounding of a line in words; empty where it took nothing away."""
    if unrounded == amount:
        return ""
    return f", rounded toward zero to {exponent} decimals = {show(amount)}"


def true_up(subtotal: Decimal, commitment: Decimal) -> Decimal:
    """What is missing from `subtotal` to the commitment; zero where nothing is."""
    return max(commitment - subtotal, ZERO)


def prorate(amount: Decimal, days: int, of_days: int) -> Decimal:
    """The share of `amount` for `days` of a cycle of `of_days`, half-even at 12 decimals."""
    return amount if days == of_days else to_scale(amount * days / of_days)


def formula(charge: SlabCharge) -> str:
    """The arithmetic of one slab in words, `3 packages of 100 x 2.5 = 7.5`; says so where 12 decimals cut it short."""
    slab = charge.slab
    rate_text, amount = _shown(slab.rate), show(charge.amount)
    if slab.price_type is _FLAT:
        text = f"flat {rate_text}"
    elif slab.price_type is _PER_UNIT:
        text = f"{show(charge.quantity)} x {rate_text}"
        if charge.bound is None and charge.amount != charge.quantity * slab.rate:
            amount += f" (rounded to {SCALE} decimals)"
    else:
        assert charge.packages is not None
        assert slab.package_size is not None
        unit = "package" if charge.packages == 1 else "packages"
        text = f"{show(charge.packages)} {unit} of {show(slab.package_size)} x {rate_text}"
    if charge.bound is not None:
        text += f", {charge.bound} applies"
    return f"{text} = {amount}"
