"""Graduated pricing: each slab prices only the part of the quantity inside it."""

from collections.abc import Sequence
from decimal import Decimal

from bursar.rating.prices import price
from bursar.rating.slabs import Slab, SlabCharge


def rate_graduated(slabs: Sequence[Slab], quantity: Decimal) -> tuple[SlabCharge, ...]:
    """The charges of the slabs that a quantity reaches; none for zero or less."""
    charges = []
    ends = [slab.start_after for slab in slabs[1:]] + [None]
    for slab, end in zip(slabs, ends, strict=True):
        inside = (quantity if end is None else min(quantity, end)) - slab.start_after
        if inside > 0:
            charges.append(price(slab, end, inside))
    return tuple(charges)
