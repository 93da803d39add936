"""The chain over the audit trail: every committed row once, and no change to it goes unseen."""

import asyncio
import contextlib
import hashlib
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from bursar.core.caller import Caller
from bursar.core.errors import Invalid
from bursar.db import audit, seal
from bursar.db.database import Connection, Database
from tests.conftest import new_workspace
from tests.db.sealers import keep_sealing, write
from tests.postgres import fresh_database

WALL = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROWS = 12


async def _seal_all(db: Database, *, whole: bool = False) -> int:
    sealed = 0
    while True:
        async with db.transaction(None) as connection:
            more = await seal.seal(connection, whole=whole)
        if not more:
            return sealed
        sealed += more


async def _chain(connection: Connection, workspace: int) -> list[asyncpg.Record]:
    return await connection.fetch(
        "select s.number, s.hash, a.* from audit_seal s join audit a on a.key = s.audit_key "
        "where s.workspace = $1 order by s.number",
        workspace,
    )


@pytest.fixture
async def trail(database: Database, caller: Caller) -> Caller:
    """A workspace with some audit rows, all sealed."""
    async with database.transaction(caller.workspace) as connection:
        for number in range(ROWS):
            await audit.record(connection, caller, "create", "thing", f"t{number}", {"number": number})
    await _seal_all(database)
    return caller


async def _problems(connection: Connection, caller: Caller) -> list[str]:
    found = [await check.run(connection) for check in seal.CHECKS]
    return [problem for problem in itertools.chain(*found) if problem.startswith(f"workspace {caller.workspace}:")]


async def test_the_chain_is_the_one_that_its_description_gives(database: Database, trail: Caller) -> None:
    """Reckoned anew from the description: lengths of four bytes before each field, SHA-256."""
    async with database.reading(trail.workspace) as connection:
        rows = await _chain(connection, trail.workspace)
        details = await connection.fetch("select key, detail::text as detail from audit")
        assert await _problems(connection, trail) == []
    texts = {row["key"]: row["detail"] for row in details}
    before = b"\0" * 32
    assert len(rows) > ROWS  # the workspace and its token are in it too
    for number, row in enumerate(rows, start=1):
        micros = round((row["recorded_at"] - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
        fields = [before, b"%d" % number, b"%d" % row["workspace"], b"%d" % micros]
        fields += [text.encode() for text in (row["actor"], row["action"], row["kind"], row["object"])]
        fields.append(texts[row["key"]].encode())
        before = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in fields)).digest()
        assert row["number"] == number
        assert row["hash"] == before


SWAP = """
    update audit a set action = o.action, object = o.object, detail = o.detail
    from audit o, audit_seal s, audit_seal t
    where s.workspace = {w} and t.workspace = {w} and (s.number, t.number) in ((5, 6), (6, 5))
        and a.key = s.audit_key and o.key = t.audit_key"""
TAMPERINGS = {
    "a word changed": ("update audit set actor = 'nobody' where workspace = {w} and object = 't3'", "does not match"),
    "a detail changed": ("update audit set detail = '{{}}' where workspace = {w} and object = 't3'", "does not match"),
    "an instant changed": (
        "update audit set recorded_at = recorded_at + interval '1 microsecond' where workspace = {w} and object = 't3'",
        "does not match",
    ),
    "a row removed": ("delete from audit where workspace = {w} and object = 't3'", "was removed"),
    "the last row removed": ("delete from audit where workspace = {w} and object = 't11'", "was removed"),
    "two rows swapped": (SWAP, "does not match"),
    "a row and its link removed": (
        "with gone as (delete from audit where workspace = {w} and object = 't3' returning key) "
        "delete from audit_seal where audit_key in (select key from gone)",
        "are missing",
    ),
    "the end cut off": (
        "with gone as (delete from audit where workspace = {w} and object in ('t10', 't11') returning key) "
        "delete from audit_seal where audit_key in (select key from gone)",
        "the chain ends with link",
    ),
    "everything removed": (
        "with gone as (delete from audit where workspace = {w} returning key) "
        "delete from audit_seal where audit_key in (select key from gone)",
        "the chain ends with link 0",
    ),
    "the head removed": ("delete from audit_head where workspace = {w}", "its head says 0"),
    "the head set back": ("update audit_head set number = number - 1 where workspace = {w}", "its head says"),
    "a link changed": (
        "update audit_seal set hash = sha256('') where workspace = {w} and number = 4",
        "does not match",
    ),
    "a row moved to another workspace": (
        "update audit set workspace = workspace + 1000000 where workspace = {w} and object = 't3'",
        "does not match",
    ),
}


@asynccontextmanager
async def _tampering(db: Database) -> AsyncIterator[Connection]:
    """A superuser's transaction, whom no trigger stops; what it does is undone in the end."""
    with contextlib.suppress(_Undone):
        async with db.transaction(None) as connection:
            await connection.execute("set local session_replication_role = replica")
            yield connection
            raise _Undone


class _Undone(Exception):
    pass


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_what_a_superuser_changes_is_found(database: Database, trail: Caller, name: str) -> None:
    statement, expected = TAMPERINGS[name]
    async with _tampering(database) as connection:
        done = await connection.execute(statement.format(w=trail.workspace))
        assert not done.endswith(" 0") or "removed" in name
        assert expected in " ".join(await _problems(connection, trail))
    async with database.snapshot() as connection:
        assert await _problems(connection, trail) == []


async def test_a_chain_made_shorter_with_its_head_is_found_by_a_head_kept_elsewhere(
    database: Database, trail: Caller
) -> None:
    async with database.snapshot() as connection:
        kept = (await seal.read_heads(connection, [trail.workspace]))[trail.workspace]
        assert await seal.unreached(connection, trail.workspace, kept) is None
    async with _tampering(database) as connection:
        w, last = trail.workspace, kept.number - 2
        await connection.execute(
            "delete from audit where key in (select audit_key from audit_seal where workspace = $1 and number > $2)",
            w,
            last,
        )
        await connection.execute("delete from audit_seal where workspace = $1 and number > $2", w, last)
        await connection.execute(
            "update audit_head h set number = s.number, hash = s.hash from audit_seal s "
            "where h.workspace = $1 and s.workspace = $1 and s.number = $2",
            w,
            last,
        )
        assert await _problems(connection, trail) == []  # inside, nothing shows it
        assert "cut off" in str(await seal.unreached(connection, w, kept))
        other = seal.Head(last - 1, kept.hash)
        assert "made anew" in str(await seal.unreached(connection, w, other))


async def test_nobody_changes_the_trail_by_the_way(database: Database, trail: Caller) -> None:
    for table in ("audit", "audit_seal"):
        for statement in (f"delete from {table}", f"update {table} set workspace = 1", f"truncate {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed or removed"):
                async with database.transaction(None) as connection:
                    await connection.execute(statement)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with database.transaction(trail.workspace) as connection:
                    await connection.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(trail.workspace) as connection:
            await connection.execute("update audit_head set number = 0")


async def test_a_transaction_that_commits_late_is_sealed_late(database: Database, caller: Caller) -> None:
    """Its rows have lower keys than rows that are sealed already, several rounds ago."""
    async with database.transaction(caller.workspace) as late:
        await audit.record(late, caller, "create", "thing", "late")
        for number in range(3):
            async with database.transaction(caller.workspace) as connection:
                await audit.record(connection, caller, "create", "thing", f"early{number}")
            await _seal_all(database)
    assert await _seal_all(database) == 1
    async with database.snapshot() as connection:
        rows = await _chain(connection, caller.workspace)
        assert [row["object"] for row in rows][-4:] == ["early0", "early1", "early2", "late"]
        assert await _problems(connection, caller) == []
        assert not await seal.waiting(connection)


async def test_the_trail_is_listed_newest_first_by_filters_and_pages(database: Database, trail: Caller) -> None:
    async with database.reading(trail.workspace) as connection:
        seen: list[str] = []
        after = None
        while True:
            page = await audit.list_entries(connection, trail, audit.Filter(kind="thing"), after, 5)
            seen += [entry.object for entry in page.items]
            assert all(entry.number and entry.hash for entry in page.items)
            after = page.after
            if after is None:
                break
        assert seen == [f"t{number}" for number in reversed(range(ROWS))]
        for wanted, count in (
            (audit.Filter(object="t3"), 1),
            (audit.Filter(actor="nobody"), 0),
            (audit.Filter(action="create", kind="thing"), ROWS),
            (audit.Filter(kind="thing", since=trail.wall), ROWS),
            (audit.Filter(kind="thing", until=trail.wall), 0),
        ):
            assert len((await audit.list_entries(connection, trail, wanted, None, 100)).items) == count
        with pytest.raises(Invalid):
            await audit.list_entries(connection, trail, audit.Filter(), "x", 5)


WRITERS, EACH, SEALERS, KILLED = 2, 500, 4, 2


def test_racing_sealers_of_which_some_are_killed_make_one_chain(dsn: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    with fresh_database(dsn) as dsn:
        caller = asyncio.run(_workspace(dsn))
        sealers = [spawn.Process(target=keep_sealing, args=(dsn,), daemon=True) for _ in range(SEALERS)]
        writers = [spawn.Process(target=write, args=(dsn, caller, f"w{n}", EACH), daemon=True) for n in range(WRITERS)]
        for process in (*sealers, *writers):
            process.start()
        for number, sealer in enumerate(sealers[:KILLED], start=1):
            _until_sealed(dsn, number * WRITERS * EACH // (KILLED + 2))
            assert sealer.pid is not None
            os.kill(sealer.pid, signal.SIGKILL)
        for writer in writers:
            writer.join(300)
            assert writer.exitcode == 0
        for sealer in sealers:
            sealer.kill()
            sealer.join(10)
        asyncio.run(_one_chain(dsn, caller))


def _until_sealed(dsn: str, count: int) -> None:
    deadline = time.monotonic() + 300
    with psycopg.connect(dsn, autocommit=True) as onlooker:
        while onlooker.execute("select count(*) >= %s from bursar.audit_seal", [count]).fetchone() != (True,):
            assert time.monotonic() < deadline, "nothing is sealed"
            time.sleep(0.02)


async def _workspace(dsn: str) -> Caller:
    db = await Database.open(dsn, size=1)
    caller, _, _ = await new_workspace(db)
    await db.close()
    return caller


async def _one_chain(dsn: str, caller: Caller) -> None:
    db = await Database.open(dsn, size=1)
    # On a busy machine a writer may stand still between drawing a row's key and its transaction's number.
    await _seal_all(db, whole=True)
    async with db.snapshot() as connection:
        rows = await _chain(connection, caller.workspace)
        things: list[Any] = [row["object"] for row in rows if row["kind"] == "thing"]
        assert len(things) == len(set(things)) == WRITERS * EACH
        assert await _problems(connection, caller) == []
    await db.close()
