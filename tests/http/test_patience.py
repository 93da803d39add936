"""The limit of a request: what counts against it, and what does not."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.requests import Request

from bursar.http import patience
from bursar.http.decode import read_body
from bursar.http.patience import lift, limited


def request(slow: float) -> Request:
    """A request whose body comes in three parts, `slow` seconds apart."""
    parts = [b"a", b"b", b"c"]

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.sleep(slow)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LIMIT_SECONDS", 0.1)
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.005)


async def work(sent: Request, before: float, after: float) -> bytes:
    """Read a body between two waits of these lengths, in seconds, within the request's limit."""
    with limited(sent):
        await asyncio.sleep(before)
        content = await read_body(sent)
        await asyncio.sleep(after)
    return content


async def test_work_counts() -> None:
    with pytest.raises(TimeoutError):
        await work(request(0), 0.2, 0)


async def test_a_slow_sender_does_not() -> None:
    assert await work(request(0.08), 0.02, 0.02) == b"abc"


async def test_work_beside_a_slow_sender_does() -> None:
    with pytest.raises(TimeoutError):
        await work(request(0.08), 0.06, 0.06)


async def test_a_limit_that_is_lifted_is_none() -> None:
    sent = request(0.08)
    with limited(sent):
        lift(sent)
        assert await read_body(sent) == b"abc"
        await asyncio.sleep(0.2)


async def test_a_task_goes_on_after_its_limit() -> None:
    with pytest.raises(TimeoutError):
        await work(request(0), 0.2, 0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await work(request(0), 0.02, 0.02) == b"abc"


async def test_who_is_cancelled_by_others_is_not_told_of_a_limit() -> None:
    task = asyncio.create_task(work(request(0), 0.2, 0))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_of_many_requests_has_its_own_limit() -> None:
    ended = await asyncio.gather(
        *(work(request(0), 0.02 if number % 2 else 0.2, 0) for number in range(10)), return_exceptions=True
    )
    assert [isinstance(one, TimeoutError) for one in ended] == [number % 2 == 0 for number in range(10)]
