"""Backups of a running server, restored elsewhere; what cannot be restored; other versions of PostgreSQL."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import zstandard

from bursar.db.database import Database
from bursar.runtime.archive import check, writing
from bursar.runtime.backup import back_up
from bursar.runtime.datadir import DataDir
from bursar.runtime.due import run_everything_due
from bursar.runtime.postgres import Cluster
from bursar.runtime.restore import NotEmpty, RestoreFailed, checked, restore
from tests.postgres import fresh_database, open_folder
from tests.runtime import test_kill
from tests.runtime.program import BURSAR, Program, command, outcome, program
from tests.runtime.test_kill import Sender, books, prepare

OTHER = Path("/usr/lib/postgresql/15/bin")
"""Another major version, where the machine has one."""


class Commands:
    """The program's commands, where the environment names no database."""

    def __call__(self, *arguments: str) -> Any:
        """The JSON of a command that succeeds."""
        return command(*arguments)

    def fails(self, *arguments: str) -> str:
        """The one line of a command that refuses."""
        code, out, err = outcome(*arguments)
        assert code == 2, (arguments, code, out, err)
        lines = [line for line in err.strip().splitlines() if line.startswith("bursar: ")]
        assert len(lines) == 1, err
        assert err.strip().endswith(lines[0])
        return lines[0]


@pytest.fixture
def bursar(monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return Commands()


def contents(dsn: str) -> dict[str, Any]:
    """Everything that a database holds, by other means than a dump: rows, and what guards them."""
    facts = {
        "policies": "select tablename, policyname, roles::text, cmd, qual from pg_policies where schemaname = 'bursar'",
        "rights": "select relname, relrowsecurity, array(select x from unnest(relacl) x"
        " where x::text like 'bursar_api=%%' order by x::text)::text from pg_class"
        " where relnamespace = 'bursar'::regnamespace",
        "default rights": "select defaclobjtype, defaclacl::text from pg_default_acl",
        "constraints": "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
        " where connamespace = 'bursar'::regnamespace",
        "indexes": "select indexdef from pg_indexes where schemaname = 'bursar'",
        "triggers": "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
        "functions": "select pg_get_functiondef(oid) from pg_proc where pronamespace = 'bursar'::regnamespace"
        " and prolang <> 13 and prokind = 'f'",
        "comments": "select objoid::regclass::text, objsubid, description from pg_description"
        " where objoid in (select oid from pg_class where relnamespace = 'bursar'::regnamespace)",
        "sequences": "select sequencename, last_value from pg_sequences where schemaname = 'bursar'",
    }
    with psycopg.connect(dsn) as connection:
        found = {name: sorted(map(str, connection.execute(query))) for name, query in facts.items()}
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'bursar'::regnamespace and relkind = 'r'"
        ).fetchall()
        for (name,) in tables:
            rows = connection.execute(f"select t::text from bursar.{name} t").fetchall()
            found[f"table {name}"] = sorted(row[0] for row in rows)
    return found


@pytest.fixture(scope="module")
def source(dsn: str) -> Iterator[str]:
    """A database with something in it."""
    with fresh_database(dsn) as made:
        with psycopg.connect(made, options="-c search_path=bursar", autocommit=True) as connection:
            connection.execute(
                "insert into workspace (name, sandbox, currency, timezone, net_term_days, grace_days, seller,"
                " created_at) values ('one', false, 'USD', 'UTC', 0, 0, '{}', '2024-01-01')"
            )
            connection.execute("select bursar_create_sequence('workspace_1_customer')")
            connection.execute("select event_body_partition('2024-05-01')")
            connection.execute(
                "insert into audit (workspace, recorded_at, actor, action, kind, object, detail)"
                " select 1, '2024-01-01', 'back\\slash', 'a', E'tab\\t', E'line\\nbreak', jsonb_build_object('n', n)"
                " from generate_series(1, 5000) n"
            )
            connection.execute(
                "insert into event_body values (1, '2024-05-01 10:00Z', 1, 1, '\\x00ff'), (2, '2030-01-01', 1, 1, '')"
            )
        yield made


@pytest.fixture
def vacant(dsn: str) -> Iterator[str]:
    """An empty database."""
    with fresh_database(dsn) as made:
        with psycopg.connect(made, autocommit=True) as connection:
            connection.execute("drop schema bursar cascade")
        yield made


def load(dsn: str, path: Path) -> None:
    with path.open("rb") as file:
        restore(dsn, file, checked(file))


def test_a_backup_brings_back_everything(source: str, vacant: str, tmp_path: Path) -> None:
    manifest = back_up(source, tmp_path / "b", datetime(2024, 5, 1, tzinfo=UTC))
    load(vacant, tmp_path / "b")
    before, after = contents(source), contents(vacant)
    assert before == after
    assert {f"table {name}": count for name, count in manifest.tables.items()} == {
        name: len(rows) for name, rows in before.items() if name.startswith("table ")
    }
    assert manifest.tables["audit"] == 5_000
    assert manifest.tables["event_body_20240501"] == 1
    with pytest.raises(NotEmpty):
        load(vacant, tmp_path / "b")
    assert contents(vacant) == after


def test_an_owner_who_is_nobody_special_may_restore(dsn: str, source: str, vacant: str, tmp_path: Path) -> None:
    back_up(source, tmp_path / "b", datetime(2024, 5, 1, tzinfo=UTC))
    name = psycopg.conninfo.conninfo_to_dict(vacant)["dbname"]
    role = f"owner_{os.getpid()}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"create role {role} login password 'of owner'")
        connection.execute(f"grant bursar_api to {role}")
        connection.execute(f"alter database {name} owner to {role}")
        owners = re.sub("//[^@]*@", f"//{role}:of%20owner@", vacant)
        try:
            load(owners, tmp_path / "b")
            assert contents(vacant)["table audit"] == contents(source)["table audit"]
            with psycopg.connect(vacant) as owned:
                row = owned.execute("select distinct tableowner from pg_tables where schemaname = 'bursar'").fetchall()
            assert row == [(role,)]
        finally:
            connection.execute(f"reassign owned by {role} to current_user")
            with psycopg.connect(vacant, autocommit=True) as owned:
                owned.execute(f"reassign owned by {role} to current_user")
                owned.execute(f"drop owned by {role}")
            connection.execute(f"revoke bursar_api from {role}")
            connection.execute(f"drop role {role}")


def test_what_cannot_be_loaded_leaves_nothing(source: str, vacant: str, tmp_path: Path) -> None:
    manifest = back_up(source, tmp_path / "b", datetime(2024, 5, 1, tzinfo=UTC))
    with (tmp_path / "b").open("rb") as file:
        backup = check(file)
        file.seek(backup.start)
        dump = zstandard.ZstdDecompressor().decompressobj().decompress(file.read(backup.size))
    lying = msgspec.structs.replace(manifest, tables={**manifest.tables, "audit": 4_999})
    half = dump.index(b"back\\\\slash") + 100
    # Sealed, and yet wrong: a count that is not that of the dump, a dump that ends early, one that is no dump, none.
    for number, (said, content) in enumerate(
        [(lying, dump), (manifest, dump[:half]), (manifest, b"no"), (manifest, b"")]
    ):
        path = tmp_path / f"b{number}"
        with writing(path, said) as stream:
            stream.write(content)
        with pytest.raises(RestoreFailed):
            load(vacant, path)
        with psycopg.connect(vacant) as connection:
            assert connection.execute("select to_regnamespace('bursar')").fetchone() == (None,), number
    load(vacant, tmp_path / "b")
    assert contents(vacant) == contents(source)


def test_a_restore_that_is_killed_leaves_nothing(source: str, vacant: str, tmp_path: Path) -> None:
    back_up(source, tmp_path / "b", datetime(2024, 5, 1, tzinfo=UTC))
    with psycopg.connect(vacant) as holder:
        # Whoever makes the schema now waits for us to make up our mind: the restore stands in the middle.
        holder.execute("create schema bursar")
        running = subprocess.Popen(
            [*BURSAR, "restore", str(tmp_path / "b"), "--database-url", vacant],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        waiting = (
            "select count(*) from pg_stat_activity where query like 'create schema%%' and wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 100
        with psycopg.connect(vacant, autocommit=True) as onlooker:
            while onlooker.execute(waiting).fetchone() != (1,):
                assert time.monotonic() < deadline
                assert running.poll() is None, running.communicate()
                time.sleep(0.02)
            os.kill(running.pid, signal.SIGKILL)
            running.communicate()
            holder.rollback()
            while onlooker.execute(
                "select count(*) from pg_stat_activity where application_name = 'psql'"
            ).fetchone() != (0,):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert onlooker.execute("select to_regnamespace('bursar')").fetchone() == (None,)
    load(vacant, tmp_path / "b")
    assert contents(vacant) == contents(source)


async def test_a_dump_does_not_hold_up_the_worker(source: str) -> None:
    db = await Database.open(source, size=2, timeout=20)
    try:
        with psycopg.connect(source) as dump:
            dump.execute("select count(*) from bursar.event_body_default")
            dump.execute("lock table bursar.event_body_default in access share mode")
            began = time.monotonic()
            # A month that has no partitions yet.
            await run_everything_due(db, datetime(2031, 3, 1, tzinfo=UTC))
            assert time.monotonic() - began < 5
        made = "select count(*) from pg_class where relname like 'event_body_203103%' and relkind = 'r'"
        async with db.transaction(None) as connection:
            assert await connection.fetchval(made) == 0
        await run_everything_due(db, datetime(2031, 3, 1, tzinfo=UTC) + timedelta(minutes=1))
        async with db.transaction(None) as connection:
            assert await connection.fetchval(made) == 8
    finally:
        await db.close()


def test_online_backup_is_one_instant(bursar: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_kill, "ACCOUNTS", 8)
    with open_folder() as folder, open_folder() as elsewhere:
        running = Program(folder, "--workers", "1")
        running.ready()
        target: dict[str, Any] = {"program": running, "token": prepare(running, folder), "stop": False}
        token = books(running, folder)
        running.call("POST", "/bursar/v1/clock", {"now": "2024-06-10T00:00:00Z"}, token=token)
        senders = [Sender(number, target) for number in range(2)]
        for sender in senders:
            sender.start()
        try:
            while sum(sender.acknowledged for sender in senders) < 1_000:
                time.sleep(0.02)
            before = sum(sender.acknowledged for sender in senders)
            made = bursar("backup", str(folder / "b"), "--data-dir", str(folder))
            after = sum(sender.acknowledged for sender in senders) + 100 * len(senders)
        finally:
            target["stop"] = True
            for sender in senders:
                sender.join(30)
        owed = money(DataDir(folder).dsn())
        again = bursar.fails("backup", str(folder / "b"), "--data-dir", str(folder))
        assert "exists" in again
        running.terminate()

        restored = bursar("restore", str(folder / "b"), "--verify", "--data-dir", str(elsewhere))
        assert restored["holds"] is True
        assert restored["tables"] == made["tables"]
        assert before <= made["tables"]["event_key"] < after, "while events came in"
        with program(elsewhere, "--workers", "1", "--no-worker") as second:
            balance = second.call("GET", "/bursar/v1/ingest/balance", token=target["token"])
            assert balance["metered"] == balance["received"] - balance["duplicate"] == made["tables"]["event_key"]
            assert money(DataDir(elsewhere).dsn()) == owed
            assert "in use" in bursar.fails("restore", str(folder / "b"), "--database-url", DataDir(elsewhere).dsn())
            assert "process" in bursar.fails("restore", str(folder / "b"), "--data-dir", str(elsewhere))
            # It goes on from there: ids drawn from sequences are new ones.
            second.call(
                "POST", "/customers", {"id": "later", "name": "Later", "primaryEmail": "n@example.com", "address": {}}
            )


def money(dsn: str) -> list[Any]:
    """Every balance of a customer's account."""
    with psycopg.connect(dsn, options="-c search_path=bursar") as connection:
        return connection.execute("select ledger_account, balance from ledger_balance order by 1").fetchall()


def test_refusals(bursar: Commands, source: str, tmp_path: Path) -> None:
    path = tmp_path / "b"
    back_up(source, path, datetime(2024, 5, 1, tzinfo=UTC))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    (tmp_path / "flipped").write_bytes(content)
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-700])
    for name in ("flipped", "cut"):
        assert "damaged" in bursar.fails("restore", str(tmp_path / name), "--data-dir", str(tmp_path / "d"))
    with path.open("rb") as file:
        newer = msgspec.structs.replace(check(file).manifest, migration="9999_later")
    with writing(tmp_path / "newer", newer) as stream:
        stream.write(b"x")
    assert "newer release" in bursar.fails("restore", str(tmp_path / "newer"), "--data-dir", str(tmp_path / "d"))
    assert "no database" in bursar.fails("backup", str(tmp_path / "c"), "--data-dir", str(tmp_path / "d"))
    assert "cannot be written" in bursar.fails("backup", str(tmp_path / "no" / "c"), "--database-url", source)
    assert "cannot be reached" in bursar.fails(
        "backup", str(tmp_path / "c"), "--database-url", "postgresql://127.0.0.1:1/x"
    )
    with psycopg.connect(source) as connection:
        (name,) = connection.execute("select current_database()").fetchone() or ("",)
    assert "nothing" in bursar.fails("backup", str(tmp_path / "c"), "--database-url", source.replace(name, "postgres"))
    assert not (tmp_path / "d").exists()
    assert not (tmp_path / "c").exists()


@pytest.mark.skipif(not (OTHER / "initdb").exists(), reason="no other PostgreSQL on this machine")
def test_another_version_is_refused_with_commands_that_upgrade(
    bursar: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_folder() as folder:
        old = folder / "da ta"
        with monkeypatch.context() as patched:
            patched.setenv("BURSAR_PG_BIN", str(OTHER))
            bursar("workspace", "create", "kept", "--data-dir", str(old))
        line = bursar.fails("token", "list", "--data-dir", str(old))
        assert "PostgreSQL 15" in line
        backup, back = re.findall(r"`bursar ([^`]*)`", line)
        with monkeypatch.context() as patched:
            patched.setenv("BURSAR_PG_BIN", str(OTHER))  # as the release that made it
            bursar(*shlex.split(backup))
        done = bursar(*shlex.split(back), "--verify")
        assert (done["holds"], done["postgres"]) == (True, 15)
        new = shlex.split(back)[-1]
        assert {row["name"] for row in bursar("workspace", "list", "--data-dir", new)} == {"default", "kept"}
        # And from 18 to a 15 that somebody keeps.
        bursar("backup", str(folder / "b18"), "--data-dir", new)
        with monkeypatch.context() as patched:
            patched.setenv("BURSAR_PG_BIN", str(OTHER))
            place = DataDir(folder / "fifteen")
            place.prepare()
            assert place.acquire()
            cluster = Cluster(place, lambda _text: None)
            dsn = cluster.start()
        try:
            assert bursar("restore", str(folder / "b18"), "--verify", "--database-url", dsn)["holds"] is True
            bursar("backup", str(folder / "b15"), "--database-url", dsn)
        finally:
            cluster.stop()
            place.release()


def test_programs_that_are_missing_are_named(
    bursar: Commands, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURSAR_PG_BIN", str(tmp_path))
    assert "pg_dump cannot be run" in bursar.fails("backup", str(tmp_path / "b"), "--database-url", source)
    assert list(tmp_path.iterdir()) == []
