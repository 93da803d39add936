"""When Python looks for rubbish."""

import gc
import json
from collections.abc import Iterator

import pytest

from bursar.runtime import collector
from bursar.usage.event import BATCH_LIMIT, parse_batch
from bursar.usage.pipeline import QUEUE
from tests.http.togai.catalog import event


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("_as_it_was")
def test_events_that_wait_do_not_make_it_look() -> None:
    """It takes as long as there are of them, with everybody waiting, and finds nothing."""
    body = json.dumps({"events": [event(f"e{n}", "2024-05-10T09:01:00Z", tokens=1) for n in range(BATCH_LIMIT)]})
    gc.collect()
    collector.settle()
    looks: list[str] = []

    def heard(phase: str, _: dict[str, int]) -> None:
        looks.append(phase)

    gc.callbacks.append(heard)
    try:
        waiting = [parse_batch(body.encode()) for _ in range(QUEUE // BATCH_LIMIT)]
    finally:
        gc.callbacks.remove(heard)
    assert len(waiting) * BATCH_LIMIT == QUEUE
    assert looks == []
