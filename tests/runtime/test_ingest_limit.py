"""A server whose operator bounds the events per second: senders are told to come again, everybody else is served."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import PLAIN
from tests.postgres import open_folder
from tests.runtime.program import Program, program
from tests.runtime.test_faults import event
from tests.runtime.test_kill import prepare

PER_SECOND = 100
BATCH = 250
CLOUD = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture(scope="module")
def bounded() -> Iterator[tuple[Program, httpx.Client]]:
    with open_folder() as folder, program(folder, "--ingest-limit", str(PER_SECOND)) as running:
        token = prepare(running, folder)
        with httpx.Client(
            base_url=running.url, headers={"authorization": f"Bearer {token}"}, verify=PLAIN, timeout=10
        ) as client:
            yield running, client


def cloud(name: str) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": name, "type": "call", "source": "/here", "subject": "acme",
        "time": "2024-05-01T10:00:00Z", "data": {"units": 1},
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/ingest", "/ingestBatch", "/bursar/v1/events"])
def test_beyond_the_bound_senders_are_told_when_to_come_again(bounded: tuple[Program, httpx.Client], path: str) -> None:
    running, client = bounded
    sent = 0

    def received() -> int:
        return int(client.get("/bursar/v1/ingest/balance").json()["metered"])

    def send() -> httpx.Response:
        nonlocal sent
        sent += 1
        names = [f"{path}-{sent}-{number}" for number in range(BATCH)]
        if path == "/ingest":
            return client.post(path, json={"event": event(names[0])})
        if path == "/ingestBatch":
            return client.post(path, json={"events": [event(one) for one in names]})
        return client.post(path, json=[cloud(one) for one in names], headers=CLOUD)

    def refused() -> httpx.Response:
        while (answer := send()).status_code != 503:
            assert answer.is_success, answer.text
            assert sent < 100 * PER_SECOND, "a second's events come in at once, and then so many a second"
        return answer

    answer = refused()
    before = received()
    while (answer := send()).is_success:  # time has passed, and may have made room for one more
        before = received()
    assert answer.status_code == 503
    assert "to be let in" in answer.text
    wait = int(answer.headers["retry-after"])
    assert 1 <= wait <= BATCH / PER_SECOND + 1
    assert received() == before, "what is refused is not stored"
    assert client.get("/accounts/acme").status_code == 200
    time.sleep(wait)
    assert send().is_success
    assert received() > before
    assert running.failures() == []
