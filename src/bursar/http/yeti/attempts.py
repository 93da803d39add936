"""How often somebody may fail to log in: per address and per user name, in each process its share."""

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv6Address, ip_network

from bursar.accounts.logins import IPAddress
from bursar.http.limits import TooMany

PER_USER = 10
PER_ADDRESS = 60
"""Failures per minute; so many may also come at once."""
NAMES_LIMIT = 100_000
_MINUTE = 60.0


class Attempts:
    """The failures of the last minutes in this process, which is one of `processes` that share the limits.

    Each attempt is counted as it begins, so that many at once count too, and is given back where it succeeds: who logs
    in rightly is never held up by how often. As with requests, of each name only the instant is kept at which its
    failures would have come, had they come evenly.
    """

    def __init__(self, processes: int = 1) -> None:
        self._processes = processes
        self._paid: OrderedDict[Hashable, float] = OrderedDict()

    def begin(self, door: str, user: str, address: IPAddress | None, now: float) -> None:
        """Count an attempt at `now` (monotonic seconds). Raises `TooMany` where there were too many failures."""
        names = _names(door, user, address)
        waits = [self._wait(name, limit, now) for name, limit in names]
        if max(waits) > 0:
            raise TooMany(max(1, -int(-max(waits) // 1)), {})
        for name, limit in names:
            self._paid[name] = max(self._paid.get(name, now), now) + self._interval(limit)
            self._paid.move_to_end(name)
        while len(self._paid) > NAMES_LIMIT:
            self._paid.popitem(last=False)

    def succeed(self, door: str, user: str, address: IPAddress | None) -> None:
        """Give back what an attempt was counted for."""
        for name, limit in _names(door, user, address):
            if name in self._paid:
                self._paid[name] -= self._interval(limit)

    def _interval(self, limit: int) -> float:
        return _MINUTE * self._processes / limit

    def _wait(self, name: Hashable, limit: int, now: float) -> float:
        """Seconds until another attempt is allowed; at most 0 where one is."""
        interval = self._interval(limit)
        ahead = max(_MINUTE, interval)
        return max(self._paid.get(name, now), now) + interval - now - ahead


def _names(door: str, user: str, address: IPAddress | None) -> list[tuple[Hashable, int]]:
    # Whoever has one IPv6 address has a whole /64 of them.
    place = ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address
    return [((door, user), PER_USER), (place, PER_ADDRESS)]
