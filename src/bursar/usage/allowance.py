"""How many events a second one process lets in, where whoever runs it has set a bound."""

from collections.abc import Callable
from time import monotonic_ns

from bursar.core.errors import Unavailable

SECOND = 1_000_000_000
AHEAD = SECOND
"""Nanoseconds whose events may come at once: senders send as their own work goes, not evenly."""


class Allowance:
    """Counts the events of one process, one of `processes` that share a rate.

    The generic cell rate algorithm: only the instant is kept at which all events so far would have been sent, had they
    come evenly. A request is let in while that instant is at most a second ahead, however many events it brings:
    one with more than a second's would never be, otherwise. What it brings beyond is waited for afterwards.
    """

    def __init__(self, per_second: int = 0, processes: int = 1, clock: Callable[[], int] = monotonic_ns) -> None:
        """`per_second`: events; 0: no bound. `clock`: nanoseconds."""
        self._per_second = per_second
        self._processes = processes
        self._clock = clock
        self._paid = 0

    def check(self, coming: int = 0) -> None:
        """Raise `Unavailable` where no request is let in behind `coming` events."""
        if not self._per_second:
            return
        now = self._clock()
        wait = max(self._paid, now) + self._time(coming) - now - AHEAD
        if wait > 0:
            seconds = -(-wait // SECOND)
            raise Unavailable("more events are coming than are to be let in; send them again shortly", seconds)

    def take(self, events: int) -> None:
        """Count events that are let in."""
        if self._per_second:
            self._paid = max(self._paid, self._clock()) + self._time(events)

    def _time(self, events: int) -> int:
        return events * self._processes * SECOND // self._per_second
