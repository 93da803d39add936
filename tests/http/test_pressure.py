"""More than can be taken in: packed bodies, bodies without end, and a queue that does not move."""

import contextlib
import gzip
import json
import socket
import statistics
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import TooLarge
from bursar.http.decode import RATIO_LIMIT, SMALL, unpacked
from bursar.http.ingest import HELD_LIMIT
from bursar.usage.pipeline import BATCH, QUEUE, QUEUE_LEAST, _Pace
from tests.conftest import PLAIN, Server, Tenant
from tests.http.togai.catalog import customer, event, expect, meter, schema

GZIP = {"content-encoding": "gzip"}
AT = "2024-05-10T09:01:00Z"


@pytest.fixture(scope="module")
def ready(server: Server) -> Tenant:
    tenant = server.workspace(clock=datetime(2024, 5, 10, 12, tzinfo=UTC))
    customer(tenant.http)
    schema(tenant.http)
    meter(tenant.http)
    return tenant


def batch(name: str, count: int) -> bytes:
    return json.dumps({"events": [event(f"{name}-{n}", AT, tokens=1) for n in range(count)]}).encode()


def received(tenant: Tenant) -> int:
    return int(expect(tenant.http.get("/bursar/v1/ingest/balance"), 200)["metered"])


def test_texts_full_of_commas_are_no_events_too_many(ready: Tenant) -> None:
    """With one that is ill-formed, so that each is looked at for itself."""
    before = received(ready)
    events: list[dict[str, object]] = [
        {**event(f"commas-{n}", AT, tokens=1), "dimensions": {"model": ',\\",' * 50}} for n in range(999)
    ]
    told = expect(ready.http.post("/ingestBatch", json={"events": [{}, *events]}), 207)
    assert [one["index"] for one in told["details"]["rejected"]] == [0]
    assert received(ready) == before + 999


def test_packed_bodies_are_unpacked(ready: Tenant) -> None:
    before = received(ready)
    body = batch("packed", 1000)
    packed = gzip.compress(body, 9)
    assert len(body) > 20 * len(packed), "as well as events pack"
    assert ready.http.post("/ingestBatch", content=packed, headers=GZIP).status_code == 202
    assert received(ready) == before + 1000
    again = ready.http.post("/ingestBatch", content=body, headers={"content-encoding": "identity"})
    assert again.status_code == 202
    assert received(ready) == before + 1000, "they are the same events"
    named = gzip.compress(b'{"name":"packed","primaryEmail":"a@example.com","id":"packed","address":{}}')
    assert expect(ready.http.post("/customers", content=named, headers=GZIP), 201)["id"] == "packed"


def test_what_is_packed_to_hurt_is_refused_at_once(ready: Tenant) -> None:
    whole = gzip.compress(batch("never", 100))
    cases = [
        ("/ingestBatch", gzip.compress(b"[" * 7_900_000), GZIP, 422),
        ("/ingestBatch", gzip.compress(b" " * 9_000_000), GZIP, 422),
        ("/customers", gzip.compress(b" " * 9_000_000), GZIP, 413),
        ("/ingestBatch", gzip.compress(gzip.compress(b"[" * 7_900_000)), GZIP, 400),
        ("/ingestBatch", whole[:-1], GZIP, 400),
        ("/ingestBatch", whole + b"x", GZIP, 400),
        ("/ingestBatch", b"", GZIP, 400),
        ("/ingestBatch", batch("never", 1), GZIP, 400),
        ("/ingestBatch", zlib.compress(batch("never", 1)), {"content-encoding": "deflate"}, 400),
        ("/ingestBatch", b"[" * 7_900_000, {}, 400),
        ("/ingestBatch", b'{"events":[' + b"1," * 3_900_000 + b"1]}", {}, 400),
        ("/ingest", b'{"event":{"timestamp":' + b"7" * 7_900_000 + b"}}", {}, 400),
        ("/ingest", b'{"event":{"id":"' + b"x" * 7_900_000 + b'"}}', {}, 400),
        ("/ingest", b" " * 8_000_001, {}, 422),
    ]
    before = received(ready)
    for path, content, headers, status in cases:
        answer, took = _timed(ready, path, content, headers)
        assert answer.status_code == status, (content[:20], answer.text)
        if min(took) >= 0.05:
            # A busy machine takes its time for anything: what is wrong from its first byte on has to cross as well.
            _, crossing = _timed(ready, path, b"x" * len(content), {})
            assert min(took) < 0.1 + 3 * statistics.median(crossing), (content[:20], took, crossing)
    assert received(ready) == before


def _timed(tenant: Tenant, path: str, content: bytes, headers: dict[str, str]) -> tuple[httpx.Response, list[float]]:
    """An answer, and the seconds that three of it took."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        answer = tenant.http.post(path, content=content, headers=headers)
        took.append(time.perf_counter() - began)
    return answer, took


@given(st.binary(max_size=300), st.integers(1, 4000), st.integers(1, 400_000))
def test_unpacking_is_that_of_the_library_within_its_limits(part: bytes, times: int, limit: int) -> None:
    body = part * times
    packed = gzip.compress(body)
    fits = len(body) <= max(SMALL, RATIO_LIMIT * len(packed))
    if len(body) <= limit and fits:
        assert unpacked(packed, limit) == gzip.decompress(packed) == body
    else:
        with pytest.raises(TooLarge):
            unpacked(packed, limit)


def test_the_pace_is_that_of_the_last_full_flushes() -> None:
    pace = _Pace()
    assert pace.limit() == QUEUE, "until it is known"
    now = 0.0
    for _ in range(50):  # two flushers in turn, each flush half a second, one ending every quarter
        pace.add(BATCH, now - 0.25, now + 0.25)
        now += 0.25
    assert pace.limit() == pytest.approx(4 * BATCH, rel=0.02)
    for _ in range(50):
        pace.add(BATCH, now, now + 10)
        now += 10
    assert pace.limit() == QUEUE_LEAST
    for _ in range(50):
        pace.add(BATCH, now, now + 0.001)
        now += 0.001
    assert pace.limit() == QUEUE


@contextmanager
def standing(server: Server, tenant: Tenant) -> Iterator[None]:
    """No flush of the workspace's events gets on: somebody holds its gate."""
    with psycopg.connect(server.dsn) as holder:
        holder.execute("select pg_advisory_xact_lock(7215002, %s)", [tenant.caller.workspace])
        yield


def post(tenant: Tenant, content: bytes) -> httpx.Response:
    with httpx.Client(base_url=tenant.url, headers=tenant.http.headers, timeout=20, verify=PLAIN) as http:
        return http.post("/ingestBatch", content=content)


def test_what_cannot_be_stored_soon_is_refused_at_once(ready: Tenant, server: Server) -> None:
    before = received(ready)
    sent: list[Future[httpx.Response]] = []
    with ThreadPoolExecutor(8) as pool, standing(server, ready):
        for number in range(4):  # two flushers stand with one each, what follows waits
            sent.append(pool.submit(post, ready, batch(f"waits-{number}", 10)))
            time.sleep(0.1)
        time.sleep(1.2)
        began = time.monotonic()
        refused = ready.http.post("/ingestBatch", content=batch("refused", 10))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["success"] is False
        told = _heads_only(ready)
        assert time.monotonic() - began < 1
        assert " 503 " in told.splitlines()[0], "before its body is read"
        assert "retry-after: 1" in told.lower()
        assert ready.http.get("/customers").status_code == 200, "others are served"
    assert [one.result().status_code for one in sent] == [202] * 4
    assert received(ready) == before + 40
    assert ready.http.post("/ingestBatch", content=batch("refused", 10)).status_code == 202
    assert received(ready) == before + 50


def _heads_only(tenant: Tenant, size: int = 5_000_000) -> str:
    """What is answered to a request whose body does not come."""
    with contextlib.closing(_begin(tenant, size)) as stream:
        return stream.recv(65_536).decode()


def _begin(tenant: Tenant, size: int) -> socket.socket:
    """A request with `size` bytes, of which the first has been sent."""
    url = httpx.URL(tenant.url)
    stream = socket.create_connection((url.host, url.port or 80), timeout=10)
    head = f"POST /ingestBatch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tenant.token}\r\n"
    stream.sendall(f"{head}content-length: {size}\r\n\r\n{{".encode())
    return stream


def test_bodies_on_their_way_are_bounded(ready: Tenant) -> None:
    """Senders that announce more than fits and send nothing keep others out only while they are there."""
    streams = [_begin(ready, 8_000_000) for _ in range(HELD_LIMIT // 8_000_000 + 4)]
    try:
        told = _heads_only(ready, 8_000_000)
        assert " 503 " in told.splitlines()[0]
        assert "retry-after: 1" in told.lower()
        assert ready.http.get("/customers").status_code == 200
    finally:
        for stream in streams:
            stream.close()
    with contextlib.closing(_begin(ready, 8_000_000)) as stream:
        stream.settimeout(0.5)
        with pytest.raises(TimeoutError):
            stream.recv(1)  # it waits for the rest of the body
    assert ready.http.post("/ingestBatch", content=batch("bounded", 1)).status_code == 202
