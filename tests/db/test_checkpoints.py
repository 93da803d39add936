"""Checkpoints come sooner where much would have to be repeated, and only where they are worth it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bursar.db import checkpoints
from bursar.db.checkpoints import MOST, Log, Watch
from bursar.runtime import checkpointing
from bursar.runtime.checkpointing import keep_log_short
from tests.conftest import Server

START = datetime(2024, 5, 10, tzinfo=UTC)


def log(second: float, records: int, *, pages: int = 0, checkpoint: float = 0) -> Log:
    return Log(START + timedelta(seconds=second), records, pages, START + timedelta(seconds=checkpoint))


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (log(10, MOST), True),
        (log(10, MOST - 1), False),
        (log(10, MOST, pages=MOST // 9), True),
        (log(10, MOST, pages=MOST // 8), False),
        (log(26.9, MOST), True),
        (log(27, MOST), False),  # PostgreSQL is about to begin one by itself
        (log(36, 2 * MOST), False),  # and writes it now
    ],
)
def test_a_checkpoint_is_due_where_many_records_and_few_whole_pages_lie_behind_the_last(last: Log, due: bool) -> None:
    watch = Watch()
    assert not watch.due(log(0, 0))
    assert watch.due(last) == due


def test_what_came_before_a_checkpoint_began_does_not_count() -> None:
    watch = Watch()
    assert [watch.due(log(second, second * 100_000)) for second in range(17)] == [False] * 15 + [True] * 2
    # It is finished at 19, and began at 16: three seconds lie behind it by then.
    assert [watch.due(log(second, second * 100_000, checkpoint=16)) for second in range(19, 33)] == (
        [False] * 12 + [True] * 2
    )


def test_a_postgresql_that_began_anew_counts_anew() -> None:
    watch = Watch()
    assert not watch.due(log(0, 10 * MOST))
    assert not watch.due(log(5, MOST // 2))
    assert not watch.due(log(6, MOST))
    assert watch.due(log(7, 2 * MOST))


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
    monkeypatch.setattr(checkpoints, "MOST", 2000)
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
