"""What is due in many workspaces: the trouble of one is not another's."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from bursar.core.caller import Caller
from bursar.core.errors import Unavailable
from bursar.db.database import Database
from bursar.runtime import due
from bursar.usage import events
from tests.conftest import new_workspace

WALL = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "outcome"), [(ZeroDivisionError("odd"), "the others are run"), (Unavailable("away"), "raised")]
)
async def test_one_workspace_s_trouble(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str
) -> None:
    troubled, _, _ = await new_workspace(database)
    other, _, _ = await new_workspace(database)
    ran: list[tuple[str, int]] = []

    def named(name: str) -> Any:
        async def work(_: Database, caller: Caller) -> None:
            ran.append((name, caller.workspace))
            if (name, caller.workspace) == ("renewals", troubled.workspace):
                raise error

        return work

    monkeypatch.setattr(due, "_DUE", {name: named(name) for name in ("renewals", "invoices")})
    if outcome == "raised":
        with pytest.raises(Unavailable):
            await due.run_everything_due(database, WALL)
        assert ("invoices", troubled.workspace) not in ran
        return
    assert not await due.run_everything_due(database, WALL)
    assert {("invoices", troubled.workspace), ("renewals", other.workspace), ("invoices", other.workspace)} <= {*ran}


async def test_new_events_are_noted_by_their_chunks(database: Database, caller: Caller) -> None:
    """The index by chunk covers ranges of pages, and reads those that nobody has noted yet."""

    class Undo(Exception): ...

    with suppress(Undo):
        async with database.transaction(None) as connection:
            # Nobody clears the table up meanwhile, nor does the worker of another test get in between.
            await connection.execute("lock table event_key in share update exclusive mode")
            await events.summarize(connection)
            # Rows go into pages that others were taken back from, first: only then does the table grow.
            pages = "select pg_relation_size('event_key') / current_setting('block_size')::int"
            before = await connection.fetchval(pages)
            while await connection.fetchval(pages) - before < 4 * 16:
                await connection.execute(
                    "insert into event_key (id_hash, body_hash, account, catalog_version, occurred_at, received_at,"
                    " chunk, workspace, position, state)"
                    " select gen_random_uuid(), 1, 1, 1, $2, $2, 2^60, $1, n, 2 from generate_series(1, 5000) n",
                    caller.workspace,
                    WALL,
                )
            # Sixteen pages are a range.
            assert await events.summarize(connection) >= 3
            assert await events.summarize(connection) == 0
            raise Undo


async def test_the_worker_notes_them_unless_the_table_is_being_cleared_up(
    database: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[int] = []
    summarize = events.summarize

    async def watched(connection: Any) -> int:
        noted.append(await summarize(connection))
        return noted[-1]

    monkeypatch.setattr(events, "summarize", watched)
    monkeypatch.setattr(due, "_DUE", {})
    for _ in range(100):
        assert await due.run_everything_due(database, WALL)
        if noted:  # the table may be cleared up just then
            break
    assert len(noted) == 1
    with psycopg.connect(dsn, options="-c search_path=bursar") as other:
        other.execute("lock table event_key in share update exclusive mode")
        assert await due.run_everything_due(database, WALL)
    assert len(noted) == 1
