"""Rate limits: what a token may send, in time and over the wire."""

from fractions import Fraction

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.http.limits import BURST_SECONDS, Limiter
from tests.conftest import PLAIN, Server, Tenant
from tests.http.togai.catalog import expect

EIGHTHS = 8
"""Times in eighths of a second and limits that divide a minute so: exact as binary fractions."""


class Bucket:
    """The same rule told the other way round: a bucket of tokens that fills with time."""

    def __init__(self, per_second: Fraction) -> None:
        self.per_second = per_second
        self.size = max(Fraction(BURST_SECONDS) * per_second, Fraction(1))
        self.full = self.size
        self.at = Fraction(0)

    def take(self, now: Fraction) -> bool:
        self.full = min(self.size, self.full + (now - self.at) * self.per_second)
        self.at = now
        if self.full < 1:
            return False
        self.full -= 1
        return True


@given(
    st.sampled_from([3, 6, 15, 30, 60, 120, 240, 480]),
    st.sampled_from([1, 2, 4]),
    st.lists(st.integers(0, 40), min_size=1, max_size=200),
)
def test_it_allows_what_a_bucket_allows(limit: int, processes: int, pauses: list[int]) -> None:
    limiter = Limiter(limit, processes)
    bucket = Bucket(Fraction(limit, 60 * processes))
    now = Fraction(0)
    for pause in pauses:
        now += Fraction(pause, EIGHTHS)
        standing = limiter.take(1, None, float(now))
        assert standing is not None
        assert standing.allowed is bucket.take(now)
        assert standing.remaining == int(bucket.full)
        assert standing.reset == (bucket.size - bucket.full) / bucket.per_second
        missing = 1 - bucket.full
        assert standing.allowed or standing.wait == missing / bucket.per_second


def test_tokens_are_counted_apart_and_a_limit_of_its_own_comes_first() -> None:
    limiter = Limiter(6)
    first = [limiter.take(1, None, 0.0), limiter.take(1, None, 0.0), limiter.take(2, None, 0.0)]
    assert [standing is not None and standing.allowed for standing in first] == [True, False, True]
    assert limiter.take(3, 0, 0.0) is None
    assert Limiter(0).take(3, None, 0.0) is None
    own = Limiter(0).take(3, 60, 0.0)
    assert own is not None
    assert own.headers() == {"ratelimit-policy": '"token";q=60;w=60', "ratelimit": '"token";r=9;t=1'}


@pytest.fixture
def narrow(server: Server) -> httpx.Client:
    tenant: Tenant = server.workspace()
    token = expect(tenant.http.post("/bursar/v1/tokens", json={"name": "narrow", "rateLimit": 60}), 201)["token"]
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"}, verify=PLAIN)


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/customers", {"message"}),
        ("GET", "/bursar/v1/clock", {"title", "status", "detail", "type"}),
        ("POST", "/ingest", {"success", "statusCode", "message"}),
    ],
)
def test_a_token_that_sends_too_much_is_told_when_to_come_again(
    narrow: httpx.Client, method: str, path: str, form: set[str]
) -> None:
    answers = [narrow.request(method, path) for _ in range(12)]
    assert [answer.status_code == 429 for answer in answers[:10]] == [False] * 10
    refused = answers[-1]
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) == 1
    assert refused.headers["ratelimit-policy"] == '"token";q=60;w=60'
    assert refused.headers["ratelimit"].startswith('"token";r=0;t=')
    assert refused.json().keys() <= form
    assert answers[0].headers["ratelimit"] == '"token";r=9;t=1'
