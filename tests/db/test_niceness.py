"""What can wait gives way to other processes, and nobody else is touched."""

import os
import sys
from pathlib import Path

import asyncpg
import pytest

from bursar.db import database
from bursar.db.database import Database
from bursar.db.niceness import NICE, give_way
from tests.conftest import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux says who is whose child, and takes weights")


def niceness(process: int) -> list[int]:
    """Of a process, and of its session where Linux weighs those; of the one that Linux began in it shows nothing."""
    session = Path(f"/proc/{process}/autogroup")
    shown = session.read_text().split() if session.exists() else []
    return [os.getpriority(os.PRIO_PROCESS, process), *map(int, shown[-1:])]


def test_of_any_process_niceness_is_known() -> None:
    for process in (1, os.getpid()):  # the first one is in the session that Linux began in
        assert niceness(process)[0] == os.getpriority(os.PRIO_PROCESS, process)


@pytest.mark.parametrize("gentle", [True, False])
def test_a_gentle_session_gives_way(server: Server, gentle: bool) -> None:
    async def work(db: Database) -> None:
        session = db.session("set jit = off", gentle=gentle)
        try:
            async with session.transaction() as connection:
                found = niceness(await connection.fetchval("select pg_backend_pid()"))
            assert set(found) == {NICE if gentle else 0}
        finally:
            await session.close()

    server.run(work)


def test_only_a_backend_of_that_postgresql_is_made_to_give_way(server: Server, tmp_path: Path) -> None:
    async def work(db: Database) -> None:
        connection = await asyncpg.connect(db.dsn)
        try:
            backend = connection.get_server_pid()
            own = niceness(os.getpid())
            elsewhere = tmp_path / ".s.PGSQL.5432.lock"
            for dsn, process, lock in [
                (db.dsn, os.getpid(), ""),  # a process, but none of its children
                (db.dsn, 2**22 + 1, ""),  # no process
                ("postgresql://bursar@127.0.0.1/bursar", backend, ""),
                (f"postgresql://bursar@:6543/bursar?host={tmp_path}", backend, ""),
                (f"postgresql://bursar@/bursar?host={tmp_path}", backend, str(os.getpid())),  # another PostgreSQL
                (f"postgresql://bursar@/bursar?host={tmp_path}", backend, "no number"),
            ]:
                elsewhere.write_text(f"{lock}\n/somewhere\n")
                assert not give_way(dsn, process)
                assert set(niceness(backend)) == {0}
                assert niceness(os.getpid()) == own
            assert not give_way(db.dsn, backend)
            assert set(niceness(backend)) == {NICE}
        finally:
            await connection.close()

    server.run(work)


def test_it_is_said_again_where_linux_was_told_of_another_one_just_now(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[int] = []

    def busy(_: str, backend: int) -> bool:
        said.append(backend)
        return len(said) < 3

    monkeypatch.setattr(database, "give_way", busy)
    monkeypatch.setattr(database, "GENTLE_PAUSE", 0.001)

    async def work(db: Database) -> None:
        session = db.session(gentle=True)
        try:
            for _ in range(2):
                async with session.transaction() as connection:
                    backend = await connection.fetchval("select pg_backend_pid()")
            assert said == [backend] * 3
        finally:
            await session.close()

    server.run(work)


def test_linux_that_was_told_of_another_one_just_now_is_to_be_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise BlockingIOError

    async def work(db: Database) -> None:
        connection = await asyncpg.connect(db.dsn)
        try:
            with monkeypatch.context() as told:
                told.setattr(os, "setpriority", busy)
                assert give_way(db.dsn, connection.get_server_pid())
        finally:
            await connection.close()

    server.run(work)
