"""Rating by counting: one unit after the other is put into its slab. Slow, obvious, in fractions; no code shared."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass
class Shelf:
    """A slab as the oracle sees it."""

    start_after: Fraction
    price: str
    rate: Fraction
    size: Fraction | None = None
    least: Fraction | None = None
    most: Fraction | None = None


def twelve(value: Fraction) -> Fraction:
    """Rounded to 12 decimals; Python rounds fractions half to even."""
    return Fraction(round(value * 10**12), 10**12)


def shelf_of(unit_end: Fraction, shelves: list[Shelf]) -> int:
    """Where the unit that ends at a quantity belongs: the last slab that begins before its end."""
    found = 0
    for number, shelf in enumerate(shelves):
        if shelf.start_after < unit_end:
            found = number
    return found


def count(model: str, shelves: list[Shelf], quantity: Fraction, grain: Fraction) -> list[Fraction]:
    """How much lands in each slab, laying the quantity down grain by grain."""
    heaps = [Fraction(0)] * len(shelves)
    laid = Fraction(0)
    while laid < quantity:
        laid += grain
        heaps[shelf_of(laid if model == "graduated" else quantity, shelves)] += grain
    return heaps


def price(shelf: Shelf, heap: Fraction, grain: Fraction) -> Fraction:
    """What a heap costs, opening one package whenever the last one is full."""
    if heap <= 0:
        return Fraction(0)
    total = Fraction(0)
    if shelf.price == "flat":
        total = shelf.rate
    elif shelf.price == "per_unit":
        total = shelf.rate * heap
    else:
        assert shelf.size is not None
        room, left = Fraction(0), heap
        while left > 0:
            if room <= 0:
                room += shelf.size
                total += shelf.rate
            step = min(grain, left, room)
            room -= step
            left -= step
    total = twelve(total)
    if shelf.least is not None:
        total = max(total, shelf.least)
    if shelf.most is not None:
        total = min(total, shelf.most)
    return total


def charge(model: str, shelves: list[Shelf], quantity: Fraction, grain: Fraction) -> list[Fraction]:
    """The amount of every slab, 12 decimals."""
    heaps = count(model, shelves, max(quantity, Fraction(0)), grain)
    return [price(shelf, heap, grain) for shelf, heap in zip(shelves, heaps, strict=True)]
