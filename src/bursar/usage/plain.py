"""What plain meters make of an event, found once for all events that look the same to them.

Most meters are plain: whether they count an event is said by some of its dimensions, and how much by a constant or by
one attribute as it is. What they say of a combination of dimensions is remembered, so that an event costs a look-up.
Whatever is not as plain as that has no answer here, and is judged by the rules themselves.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from operator import itemgetter
from typing import NamedTuple

from bursar.core.errors import BursarError
from bursar.core.jsonlogic import Rule
from bursar.core.period import FOREVER
from bursar.usage.event import Event

REMEMBERED = 10_000
"""Combinations of dimensions that are remembered of a schema before they are begun anew."""
_SHORT = 13
"""Characters of a number that is a quantity as it is: it has no more than 12 decimals, and fewer than 26 digits."""
_DIMENSIONS, _ATTRIBUTES = "dimensions.", "attributes."

Source = Decimal | str
"""A quantity, or the attribute that is one."""
Measures = tuple[tuple[int, Decimal], ...]
_Found = tuple[tuple[int, Decimal | None, str], ...]
"""By meter version, its constant quantity or the attribute that is one."""


class PlainMeter(NamedTuple):
    """A meter version that is plain."""

    version: int
    names: tuple[str, ...]
    """The dimensions that decide whether it counts an event."""
    counts: Callable[[dict[str, str]], bool]
    """Whether it does, by the dimensions. Raises `BursarError` where that cannot be said."""
    source: Source


def plain_meter(
    version: int, filters: Iterable[tuple[str, str]], matcher: Rule | None, computed: Rule | None, otherwise: Decimal
) -> PlainMeter | None:
    """A meter version by its rules; None where it is not plain. `otherwise`: its quantity where none is computed."""
    source: Source | None = otherwise if computed is None else computed.constant
    if source is None and computed is not None and (computed.copies or "").startswith(_ATTRIBUTES):
        source = (computed.copies or "").removeprefix(_ATTRIBUTES)
    wanted: dict[str, str] = {}
    for field, value in filters:
        kind, _, name = field.partition(".")
        if kind not in ("dimension", "dimensions") or not name or wanted.setdefault(name, value) != value:
            return None
    read = frozenset() if matcher is None else matcher.depends
    # A name with a dot may lead to more than one key.
    if source is None or read is None or not all(p.startswith(_DIMENSIONS) and p.count(".") == 1 for p in read):
        return None

    def counts(dimensions: dict[str, str]) -> bool:
        if any(dimensions.get(name) != value for name, value in wanted.items()):
            return False
        return matcher is None or matcher.truthy({"attributes": {}, "dimensions": dimensions})

    names = {*wanted, *(path.removeprefix(_DIMENSIONS) for path in read)}
    return PlainMeter(version, tuple(names), counts, source)


class Plain:
    """The meters of a schema, all of them plain."""

    __slots__ = ("_attributes", "_dimensions", "_known", "_meters", "_names", "_pick")

    def __init__(self, attributes: Iterable[str], dimensions: Iterable[str], meters: Iterable[PlainMeter]) -> None:
        """`attributes` and `dimensions`: what an event must carry."""
        self._meters = tuple(meters)
        sources = [meter.source for meter in self._meters if isinstance(meter.source, str)]
        self._attributes = tuple({*attributes, *sources})
        self._names = tuple({name for meter in self._meters for name in meter.names})
        self._pick: Callable[[dict[str, str]], object] = itemgetter(*self._names) if self._names else _alike
        self._dimensions = tuple(set(dimensions) - set(self._names))
        self._known: dict[object, _Found] = {}

    def measures(self, event: Event) -> Measures | None:
        """The quantities that meter versions find in an event; None where the rules themselves have to say."""
        dimensions = event.dimensions
        if event.timestamp >= FOREVER:
            return None
        try:
            key = self._pick(dimensions)
            known = self._known.get(key)
            found = known if known is not None else self._find(key, dimensions)
            for name in self._dimensions:
                dimensions[name]
            attributes = event.attributes
            if len(attributes) == 1:
                values = {attributes[0].name: attributes[0].value}
            else:
                values = {attribute.name: attribute.value for attribute in attributes}
                if len(values) != len(attributes):
                    return None
            for name in self._attributes:
                if len(values[name]) > _SHORT:
                    return None
        except (KeyError, BursarError):  # something is missing, which may be wrong or may have another value
            return None
        return tuple(
            [(version, Decimal(values[name]) if source is None else source) for version, source, name in found]
        )

    def _find(self, key: object, dimensions: dict[str, str]) -> _Found:
        deciding = {name: dimensions[name] for name in self._names}
        counting = [meter for meter in self._meters if meter.counts(deciding)]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        found = tuple([_entry(meter) for meter in counting])
        self._known[key] = found
        return found


def _alike(_: dict[str, str]) -> object:
    """Where no dimension decides, all events are alike."""
    return None


def _entry(meter: PlainMeter) -> tuple[int, Decimal | None, str]:
    return (meter.version, None, meter.source) if isinstance(meter.source, str) else (meter.version, meter.source, "")
