"""How many requests a token may send: a rate per minute that may be used ahead by ten seconds."""

from collections import OrderedDict
from dataclasses import dataclass

from bursar.core.errors import BursarError

PER_MINUTE = 600_000
"""Requests per minute and token where nothing else is said."""
BURST_SECONDS = 10.0
TOKENS_LIMIT = 100_000


class TooMany(BursarError):
    """The token sends more requests than it may."""

    def __init__(self, retry_after: int, headers: dict[str, str]) -> None:
        self.retry_after = retry_after
        self.headers = headers
        super().__init__(f"too many requests; try again in {retry_after} seconds")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a token stands after a request."""

    allowed: bool
    limit: int
    """Requests per minute."""
    remaining: int
    """Requests that may follow at once."""
    reset: float
    """Seconds until all that may be used ahead is there again."""
    wait: float
    """Seconds until a request is allowed; 0 where this one was."""

    def headers(self) -> dict[str, str]:
        """RateLimit fields as the IETF's draft has them."""
        return {
            "ratelimit-policy": f'"token";q={self.limit};w=60',
            "ratelimit": f'"token";r={self.remaining};t={-int(-self.reset // 1)}',
        }


class Limiter:
    """Counts the requests of each token in this process, which is one of `processes` that share the limit.

    The generic cell rate algorithm: of each token only the instant is kept at which all its requests so far would have
    been sent, had they come evenly. A request is allowed while that instant is less than ten seconds ahead.
    """

    def __init__(self, per_minute: int = PER_MINUTE, processes: int = 1) -> None:
        self._per_minute = per_minute
        self._processes = processes
        self._paid: OrderedDict[int, float] = OrderedDict()

    def take(self, token: int, limit: int | None, now: float) -> Standing | None:
        """Count one request of a token at `now` (monotonic seconds); None where there is no limit.

        `limit` is the token's own, in requests per minute, where it has one; 0 means no limit.
        """
        allowed = self._per_minute if limit is None else limit
        if allowed == 0:
            return None
        interval = 60.0 * self._processes / allowed
        ahead = max(BURST_SECONDS, interval)
        paid = max(self._paid.get(token, now), now)
        if paid + interval - now > ahead:
            return Standing(False, allowed, 0, paid - now, paid + interval - now - ahead)
        self._paid[token] = paid + interval
        self._paid.move_to_end(token)
        if len(self._paid) > TOKENS_LIMIT:
            self._paid.popitem(last=False)
        left = ahead - (paid + interval - now)
        return Standing(True, allowed, int(left / interval), paid + interval - now, 0.0)
