"""What is rated: slabs in, charges out."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import msgspec


class Model(StrEnum):
    """How slabs share a quantity."""

    GRADUATED = "graduated"
    """Each slab prices the part of the quantity that lies in it."""
    VOLUME = "volume"
    """The slab that holds the whole quantity prices all of it."""


class PriceType(StrEnum):
    """How a slab prices its quantity."""

    FLAT = "flat"
    """The rate once, if any quantity falls in the slab."""
    PER_UNIT = "per_unit"
    """The rate for each unit."""
    PACKAGE = "package"
    """The rate for each begun package."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Quantities in `(start_after, next slab's start_after]` and their price."""

    order: int
    start_after: Decimal
    price_type: PriceType
    rate: Decimal
    package_size: Decimal | None = None
    minimum_rate: Decimal | None = None
    """The least that the slab charges, if any quantity falls in it."""
    maximum_rate: Decimal | None = None
    """The most that the slab charges."""


class SlabCharge(msgspec.Struct, frozen=True, gc=False):
    """What one slab charges, with 12 decimals."""

    slab: Slab
    end: Decimal | None
    """The slab's inclusive end; None for the last."""
    quantity: Decimal
    packages: Decimal | None
    amount: Decimal
    bound: str | None
    """`minimum` or `maximum` where that decided the amount."""


class Bounds(msgspec.Struct, frozen=True):
    """The least and the most that is charged, if anything is."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def apply(self, amount: Decimal) -> tuple[Decimal, str | None]:
        """The amount within the bounds; and `minimum` or `maximum` where that decided it."""
        if self.minimum is not None and amount < self.minimum:
            return self.minimum, "minimum"
        if self.maximum is not None and amount > self.maximum:
            return self.maximum, "maximum"
        return amount, None


UNBOUNDED = Bounds()


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What a quantity costs."""

    quantity: Decimal
    """As it was measured; a negative one is shown and rated as zero."""
    slabs: tuple[SlabCharge, ...]
    """Every slab that charges something or holds some of the quantity."""
    amount: Decimal
    """The sum of the slabs within the card's bounds, 12 decimals, not yet rounded to the currency."""
    bounds: Bounds
    bound: str | None
    """`minimum` or `maximum` where that decided the amount."""
    adjustment: Decimal
    """What the bound added to the sum of the slabs; negative where it took away."""
