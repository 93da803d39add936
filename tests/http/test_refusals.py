"""Who finds no room is told so one after the other: told at once, all of them would come again at once."""

import asyncio
import time
import tracemalloc
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.core.errors import Unavailable
from bursar.http.refusals import EVERY, LONGEST, Spacing
from bursar.runtime.server import application
from bursar.usage.pipeline import Pipeline
from tests.conftest import Server, Tenant

ROUNDING = 1e-9
"""Seconds by which sums of floats may differ."""
BODY = b'{"events":[%b]}' % b",".join([b'{"accountId":"acme","id":"0123456789"}'] * 1000)


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return server.workspace(clock=datetime(2024, 5, 10, 12, tzinfo=UTC))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for any event; that shows once a body has been read."""

    def admits(_: Pipeline, events: int = 0) -> None:
        if events:
            raise Unavailable

    monkeypatch.setattr(Pipeline, "admits", admits)


@given(st.lists(st.floats(0, 2 * EVERY) | st.floats(0, 2 * LONGEST), min_size=1, max_size=400))
def test_they_go_out_apart_and_none_waits_for_long(pauses: list[float]) -> None:
    spacing, now, sent = Spacing(), 0.0, list[float]()
    for pause in pauses:
        now += pause
        wait = spacing.wait(now)
        assert 0 <= wait <= LONGEST + ROUNDING
        if not sent or now > sent[-1] + EVERY + ROUNDING:
            assert wait == 0, "nobody else is to be told"
        elif wait < LONGEST - ROUNDING:
            assert now + wait - sent[-1] == pytest.approx(EVERY, abs=ROUNDING)
        sent.append(now + wait)
    assert all(later > sooner - ROUNDING for sooner, later in pairwise(sent))


def test_many_at_once_are_told_one_after_the_other(tenant: Tenant, full: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.http.refusals.EVERY", 0.05)
    tenant.http.get("/customers")  # the token is known from here on
    began = time.monotonic()
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda _: (tenant.http.post("/ingestBatch", content=BODY), time.monotonic()), range(9)))
    assert {(answer.status_code, answer.headers["retry-after"]) for answer, _ in answers} == {(503, "1")}
    assert max(at for _, at in answers) - began >= 0.4, "eight of 0.05 s, in any order"


async def test_a_body_is_given_up_before_its_refusal_waits(
    dsn: str, tenant: Tenant, full: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.http.refusals.EVERY", 60)
    monkeypatch.setattr("bursar.http.refusals.LONGEST", 60)
    scope = {
        "type": "http", "method": "POST", "path": "/ingestBatch", "raw_path": b"/ingestBatch", "query_string": b"",
        "headers": [(b"authorization", f"Bearer {tenant.token}".encode())], "http_version": "1.1", "scheme": "http",
        "server": None, "client": None,
    }  # fmt: skip
    read = 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": BODY + b" " * (1_000_000 + read), "more_body": False}

    async def send(_: MutableMapping[str, Any]) -> None:
        return None

    async with application(dsn) as app:
        await app(scope.copy(), receive, send)  # the only one who does not wait
        tracemalloc.start()
        try:
            waiting = [asyncio.create_task(app(scope.copy(), receive, send)) for _ in range(20)]
            while read < 21:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            for task in waiting:
                task.cancel()
    assert not any(task.done() and not task.cancelled() for task in waiting)
    assert kept < 3_000_000, "twenty bodies are 20 MB"
