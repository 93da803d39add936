"""A bound on events per second: what a bucket that fills with time would let in."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Unavailable
from bursar.usage.allowance import AHEAD, SECOND, Allowance


class Bucket:
    """It holds what a second allows, and may be overdrawn by one request."""

    def __init__(self, per_second: Fraction) -> None:
        self.per_second = per_second
        self.full = self.size = Fraction(AHEAD, SECOND) * per_second
        self.at = Fraction(0)

    def wait(self, now: Fraction, coming: int) -> Fraction:
        """Seconds until it lets something in behind `coming` events."""
        self.full = min(self.size, self.full + (now - self.at) * self.per_second)
        self.at = now
        return max(Fraction(0), (coming - self.full) / self.per_second)


@given(
    st.sampled_from([1, 4, 64, 1000]),
    st.sampled_from([1, 2, 4]),
    st.lists(st.tuples(st.integers(0, 3 * SECOND), st.sampled_from([0, 1, 2, 256]), st.integers(0, 4096)), max_size=99),
)
def test_it_lets_in_what_a_bucket_lets_in(rate: int, processes: int, requests: list[tuple[int, int, int]]) -> None:
    now = 0
    allowance, bucket = Allowance(rate, processes, lambda: now), Bucket(Fraction(rate, processes))
    for pause, coming, events in requests:
        now += pause
        wait = bucket.wait(Fraction(now, SECOND), coming)
        if wait:
            with pytest.raises(Unavailable) as refused:
                allowance.check(coming)
            assert refused.value.retry_after == math.ceil(wait)
        else:
            allowance.check(coming)
            allowance.take(events)
            bucket.full -= events


def test_without_a_bound_all_come_in() -> None:
    allowance = Allowance()
    for _ in range(3):
        allowance.check(1_000_000)
        allowance.take(1_000_000)
