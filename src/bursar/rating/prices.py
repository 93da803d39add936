"""The price of a quantity inside one slab."""

from decimal import ROUND_CEILING, Decimal

from bursar.core.decimals import to_scale
from bursar.rating.slabs import Bounds, PriceType, Slab, SlabCharge

# A member of an enumeration takes longer to look up than a name of the module.
_FLAT, _PER_UNIT = PriceType.FLAT, PriceType.PER_UNIT


def price(slab: Slab, end: Decimal | None, quantity: Decimal) -> SlabCharge:
    """What `slab` charges for a positive `quantity` that falls in it."""
    packages: Decimal | None = None
    if slab.price_type is _FLAT:
        amount = slab.rate
    elif slab.price_type is _PER_UNIT:
        amount = quantity * slab.rate
    else:
        assert slab.package_size is not None, "a package has a size"
        # Whole packages by remainder: a quotient could be rounded onto a whole number and lose the begun package.
        whole, rest = divmod(quantity, slab.package_size)
        packages = (whole + (1 if rest else 0)).to_integral_value(rounding=ROUND_CEILING)
        amount = packages * slab.rate
    bound = None
    if slab.minimum_rate is not None or slab.maximum_rate is not None:
        amount, bound = Bounds(slab.minimum_rate, slab.maximum_rate).apply(amount)
    return SlabCharge(slab, end, quantity, packages, to_scale(amount), bound)
