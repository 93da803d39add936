"""Volume pricing: the slab that holds the whole quantity prices all of it."""

from collections.abc import Sequence
from decimal import Decimal

from bursar.rating.prices import price
from bursar.rating.slabs import Slab, SlabCharge


def rate_volume(slabs: Sequence[Slab], quantity: Decimal) -> tuple[SlabCharge, ...]:
    """The one charge of the last slab that starts below the quantity; none for zero or less."""
    if quantity <= 0:
        return ()
    index = max(i for i, slab in enumerate(slabs) if slab.start_after < quantity)
    end = slabs[index + 1].start_after if index + 1 < len(slabs) else None
    return (price(slabs[index], end, quantity),)
