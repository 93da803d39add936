"""The shape of an invariant's check. Each room lists its own; adding one is one line there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bursar.db.database import Connection


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must always hold."""

    invariant: str
    """Its number in the catalogue of invariants, `I3`."""
    name: str
    """What must hold, as a short sentence."""
    run: Callable[[Connection], Awaitable[list[str]]]
    """Looks at every workspace and returns what does not hold, one sentence each, at most twenty."""
