"""A rate card made ready for many quantities: what a slab charges when it is used up is worked out once."""

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal

from bursar.rating.prices import price
from bursar.rating.rate import ZERO, bounded, rate
from bursar.rating.slabs import UNBOUNDED, Bounds, Charge, Model, Slab, SlabCharge


class Card:
    """Slabs, how they share a quantity, and the bounds of what they charge together."""

    def __init__(self, model: Model, slabs: Sequence[Slab], bounds: Bounds = UNBOUNDED) -> None:
        self._model = model
        self._graduated = model is Model.GRADUATED
        self._slabs = slabs
        self._bounds = bounds
        self._starts = [slab.start_after for slab in slabs]
        self.full: list[SlabCharge] = []
        """Graduated: the charge of each slab but the last, used up."""
        self._sums = [ZERO]
        if self._graduated:
            for slab, end in zip(slabs, self._starts[1:], strict=False):
                self.full.append(price(slab, end, end - slab.start_after))
                self._sums.append(self._sums[-1] + self.full[-1].amount)

    def rate(self, quantity: Decimal) -> Charge:
        """What `quantity` costs: the same as `rate` says, sooner."""
        if not self._graduated or quantity <= 0:
            return rate(self._model, self._slabs, quantity, self._bounds)
        place = bisect_left(self._starts, quantity) - 1
        slab = self._slabs[place]
        end = self._starts[place + 1] if place + 1 < len(self._starts) else None
        last = price(slab, end, quantity - slab.start_after)
        return bounded(quantity, (*self.full[:place], last), self._sums[place] + last.amount, self._bounds)
