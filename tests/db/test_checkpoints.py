"""Checkpoints come sooner where much would have to be repeated, and only where they are worth it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bursar.db import checkpoints
from bursar.db.checkpoints import MOST_RECORDS, MOST_ROWS, Log, Watch
from bursar.runtime import checkpointing
from bursar.runtime.checkpointing import keep_log_short
from tests.conftest import Server

START = datetime(2024, 5, 10, tzinfo=UTC)


def log(second: float, rows: int, records: int = 0, *, pages: int = 0, checkpoint: float = 0) -> Log:
    at, began = START + timedelta(seconds=second), START + timedelta(seconds=checkpoint)
    return Log(at, rows, max(rows, records), pages, began)


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (log(10, MOST_ROWS), True),
        (log(10, MOST_ROWS - 1), False),
        (log(10, MOST_ROWS - 1, MOST_RECORDS - 1), False),  # several records for each: they take less
        (log(10, MOST_ROWS - 1, MOST_RECORDS), True),
        (log(10, MOST_ROWS, pages=MOST_ROWS // 9), True),
        (log(10, MOST_ROWS, pages=MOST_ROWS // 8), False),
        (log(26.9, MOST_ROWS), True),
        (log(27, MOST_ROWS), False),  # PostgreSQL is about to begin one by itself
        (log(36, 2 * MOST_ROWS), False),  # and writes it now
    ],
)
def test_a_checkpoint_is_due_where_many_rows_and_few_whole_pages_lie_behind_the_last(last: Log, due: bool) -> None:
    watch = Watch()
    assert not watch.due(log(0, 0))
    assert watch.due(last) == due


def test_what_came_before_a_checkpoint_began_does_not_count() -> None:
    watch = Watch()
    assert [watch.due(log(second, second * 100_000)) for second in range(17)] == [False] * 13 + [True] * 4
    # It is finished at 19, and began at 16: three seconds lie behind it by then.
    assert [watch.due(log(second, second * 100_000, checkpoint=16)) for second in range(19, 33)] == (
        [False] * 10 + [True] * 4
    )


def test_a_postgresql_that_began_anew_counts_anew() -> None:
    watch = Watch()
    assert not watch.due(log(0, 10 * MOST_ROWS))
    assert not watch.due(log(5, MOST_ROWS // 2))
    assert not watch.due(log(6, MOST_ROWS))
    assert watch.due(log(7, 2 * MOST_ROWS))


@contextmanager
def kept_short(server: Server) -> Iterator[Any]:
    """While the log is kept short; gives how many checkpoints somebody has asked for."""
    stopping = asyncio.Event()
    with psycopg.connect(server.dsn, autocommit=True) as other:
        running = asyncio.run_coroutine_threadsafe(keep_log_short(server.dsn, stopping), server.loop)

        def asked() -> Any:
            return (other.execute("select num_requested from pg_stat_checkpointer").fetchone() or ())[0]

        try:
            yield asked
        finally:
            server.loop.call_soon_threadsafe(stopping.set)
            running.result(10)


def test_a_checkpoint_is_written_when_it_is_due(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(checkpoints, "MOST_RECORDS", 2000)
    monkeypatch.setattr(checkpoints, "WHOLE", 1.0)
    monkeypatch.setattr(checkpoints, "SOON", timedelta(days=1))
    with kept_short(server) as asked, psycopg.connect(server.dsn, autocommit=True) as other:
        before = asked()
        for _ in range(600):
            other.execute("select pg_logical_emit_message(false, 'test', n::text) from generate_series(1, 1000) n")
            other.execute("select pg_sleep(0.05), pg_stat_force_next_flush()")
            if asked() > before:
                break
        assert asked() > before


def test_who_is_told_to_stop_gives_up_a_checkpoint_that_takes_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, given_up = asyncio.Event(), []

    async def endless(_: object) -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            given_up.append(True)

    monkeypatch.setattr(checkpoints, "write", endless)
    monkeypatch.setattr(checkpoints.Watch, "due", lambda *_: True)
    with kept_short(server):
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(begun.wait(), 10), server.loop).result()
    assert given_up


def test_what_goes_wrong_is_said_and_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "EVERY_SECONDS", 0.01)
    looks, read = [], checkpoints.read

    async def failing(*arguments: Any) -> Log:
        looks.append(True)
        if len(looks) == 1:
            raise ZeroDivisionError
        return await read(*arguments)

    monkeypatch.setattr(checkpoints, "read", failing)
    with kept_short(server):
        for _ in range(1000):
            if len(looks) > 2:
                break
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), server.loop).result()
    assert len(looks) > 2
