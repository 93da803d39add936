"""Starting, stopping, killing and commanding the program."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

from bursar.runtime import postgres
from bursar.runtime.cli import MODULES, main
from bursar.runtime.cli import program as command_line
from bursar.runtime.datadir import DataDir, DataDirRefused
from bursar.runtime.postgres import Cluster
from tests.postgres import open_folder
from tests.runtime.program import BURSAR, TOKEN, Program, alive, command, outcome, postmaster, program


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


def test_a_server_through_its_life() -> None:
    with open_folder() as fresh:  # what other tests leave in theirs would be seen here
        _live(fresh)


def _live(folder: Path) -> None:
    with program(folder, "--workers", "2") as running:
        assert running.call("GET", "/livez") == {"status": "alive"}
        assert running.call("GET", "/readyz") == {"status": "ready"}
        assert "version" in running.call("GET", "/version")
        assert running.call("GET", "/customers")["data"] == []
        for name in ("togai", "native"):
            document = running.call("GET", f"/openapi/{name}.json")
            assert document["openapi"] == "3.1.0"
            assert document["paths"]
        # A second server on the same data directory says so and leaves the first alone.
        second = subprocess.run(
            [*BURSAR, "serve", "--port", "0", "--data-dir", str(folder)], capture_output=True, text=True, check=False
        )
        assert second.returncode == 2
        assert str(folder) in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        # Commands work beside it, as processes of their own.
        create = ["workspace", "create", "trial", "--sandbox", "--currency", "EUR", "--data-dir", str(folder), "--json"]
        made = json.loads(subprocess.run([*BURSAR, *create], capture_output=True, check=True).stdout)
        assert (made["name"], made["sandbox"], made["currency"]) == ("trial", True, "EUR")
        token = command("token", "create", "--workspace", "trial", "--name", "ci", "--data-dir", str(folder))["token"]
        assert running.call("GET", "/customers", token=token)["data"] == []
        assert (
            command("clock", "set", "2024-05-01T00:00:00Z", "--workspace", "trial", "--data-dir", str(folder))["now"]
            == "2024-05-01T00:00:00Z"
        )
        assert running.call("GET", "/bursar/v1/clock", token=token)["now"] == "2024-05-01T00:00:00Z"
        command("clock", "set", "2023-05-01T00:00:00Z", "--workspace", "trial", "--data-dir", str(folder), status=2)
        command("clock", "set", "2024-05-01T00:00:00Z", "--workspace", "default", "--data-dir", str(folder), status=2)
        command("token", "revoke", "ci", "--workspace", "trial", "--data-dir", str(folder))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            running.call("GET", "/customers", token=token)
        server_pids = _children(running.process.pid)
        assert running.terminate() < 10
        assert not any(alive(pid) for pid in server_pids)
    # Without a server, commands start PostgreSQL for their duration.
    assert {row["name"] for row in command("workspace", "list", "--data-dir", str(folder))} == {"default", "trial"}
    assert command("verify", "--data-dir", str(folder))["holds"] is True
    assert not (folder / "postgresql" / "postmaster.pid").exists()


def test_server_processes_share_the_port_and_count_together(folder: Path) -> None:
    sent = 12
    event = {
        "schemaName": "s",
        "timestamp": "2024-05-01T10:00:00Z",
        "accountId": "a",
        "attributes": [],
        "dimensions": {},
    }
    with program(folder, "--workers", "3", "--no-worker") as running:
        assert len(_children(running.process.pid)) == 4, "three servers and PostgreSQL"
        for number in range(sent):
            running.call("POST", "/ingest", {"event": {**event, "id": str(number)}})
        for _ in range(6):  # whoever answers
            with urllib.request.urlopen(f"{running.url}/metrics", timeout=10) as answer:
                counted = re.search(r'bursar_events_total{term="rejected"} ([0-9.]+)', answer.read().decode())
            assert counted is not None
            assert float(counted[1]) == sent


def test_a_killed_server_is_picked_up_by_the_next_start(folder: Path) -> None:
    first = Program(folder)
    first.ready()
    first.call("POST", "/customers", {"id": "kept", "name": "Kept", "primaryEmail": "k@example.com", "address": {}})
    orphan = postmaster(folder)
    first.kill()
    with program(folder) as second:
        assert second.call("GET", "/customers/kept")["id"] == "kept"
    # And where PostgreSQL itself was killed with it.
    third = Program(folder)
    third.ready()
    os.kill(postmaster(folder), signal.SIGKILL)
    third.kill()
    with program(folder) as fourth:
        assert fourth.call("GET", "/customers/kept")["id"] == "kept"
        assert postmaster(folder) != orphan


def test_what_ends_unexpectedly_is_started_again(folder: Path) -> None:
    with program(folder) as running:
        own = [pid for pid in _children(running.process.pid) if pid != postmaster(folder)]
        shown = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in own]
        assert len(shown) > 1
        assert not any(DataDir(folder).dsn() in line for line in shown), "it may hold a password"
        for victim in (*own, postmaster(folder)):
            if alive(victim):
                os.kill(victim, signal.SIGKILL)
            deadline = time.monotonic() + 100
            while True:
                try:
                    running.call("GET", "/customers")
                    break
                except (urllib.error.URLError, OSError):
                    assert time.monotonic() < deadline, "it did not recover"
                    time.sleep(0.1)


def test_an_orphaned_postgres_is_taken_over(folder: Path) -> None:
    place = DataDir(folder)
    place.prepare()
    assert place.acquire()
    first = Cluster(place, lambda _: None)
    first.start()
    place.release()
    # As if its parent were gone: a new holder of the lock ends it and starts its own.
    heir = DataDir(folder)
    assert heir.acquire()
    said: list[str] = []
    second = Cluster(heir, said.append)
    second.start()
    assert any("killed" in line for line in said)
    assert not first.alive()
    second.stop()
    heir.release()


def test_an_end_that_nobody_has_been_told_of_holds_up_no_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed PostgreSQL counts as running until its parent asks. Here that is this test, which never does."""
    monkeypatch.setattr(postgres, "_LINGER_SECONDS", 3.0)
    place = DataDir(folder)
    place.prepare()
    assert place.acquire()
    first = Cluster(place, lambda _: None)
    first.start()
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    stat = Path(f"/proc/{first.pid}/stat")
    while stat.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.01)
    second = Cluster(place, lambda _: None)
    second.start()
    assert stat.exists(), "it was there all the time"
    second.stop()
    place.release()
    assert not first.alive()


_IN_MEMORY = """
    select count(*) >= pg_relation_size('kept') / 8192 from pg_buffercache
    where relfilenode = pg_relation_filenode('kept') and relforknumber = 0"""


def _noted(connection: "psycopg.Connection[Any]") -> bool:
    try:
        connection.execute("select autoprewarm_dump_now()")
    except psycopg.errors.InternalError_ as error:
        if "is being used by PID" not in str(error):
            raise
        return False
    return True


def test_what_was_in_memory_is_there_again_behind_a_start(folder: Path) -> None:
    place = DataDir(folder)
    place.prepare()
    assert place.acquire()
    cluster = Cluster(place, lambda _: None)
    with psycopg.connect(cluster.start(), autocommit=True) as connection:
        connection.execute("create extension pg_buffercache")
        connection.execute("create extension pg_prewarm")
        connection.execute("create table kept as select generate_series(1, 50000)")
        # One that is stopped before it has fetched what was there before takes no note of what is there now.
        deadline = time.monotonic() + 20
        while not _noted(connection):
            assert time.monotonic() < deadline, "it fetches for ever"
            time.sleep(0.05)
    cluster.stop()
    with psycopg.connect(cluster.start(), autocommit=True) as connection:
        deadline = time.monotonic() + 20
        while connection.execute(_IN_MEMORY).fetchone() != (True,):
            assert time.monotonic() < deadline, "nobody has fetched it"
            time.sleep(0.05)
    cluster.stop()
    place.release()


def test_a_postgres_that_cannot_warm_its_memory_starts_without(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    assert postgres.__dict__["_warming"](programs) == {}
    (tmp_path / "lib" / "postgresql").mkdir(parents=True)
    (tmp_path / "lib" / "postgresql" / "pg_prewarm.so").touch()
    assert postgres.__dict__["_warming"](programs) == {"shared_preload_libraries": "pg_prewarm"}


def test_a_first_token_is_drawn_and_printed_once() -> None:
    with open_folder() as fresh:
        with program(fresh, token=None) as running:
            (line,) = [line for line in running.said if "API token" in line]
            token = line.rsplit(" ", 1)[1]
            assert running.call("GET", "/customers", token=token)["data"] == []
        with program(fresh, token=None) as again:
            assert not [line for line in again.said if "API token" in line]
            assert again.call("GET", "/customers", token=token)["data"] == []


def test_refusals_of_a_data_directory() -> None:
    with open_folder() as path:
        (path / "postgresql").mkdir()
        (path / "postgresql" / "PG_VERSION").write_text("14\n")
        done = subprocess.run(
            [*BURSAR, "serve", "--port", "0", "--data-dir", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "PostgreSQL 14" in done.stderr
        assert f"`bursar backup {path}-14.bursar --data-dir {path}`" in done.stderr
        if os.geteuid() == 0:
            closed = path / "closed"
            closed.mkdir(mode=0o700)
            with pytest.raises(DataDirRefused, match="cannot enter"):
                DataDir(closed / "data").prepare()


def test_a_long_path_gets_its_socket_elsewhere() -> None:
    with open_folder() as path:
        deep = path / ("d" * 100)
        place = DataDir(deep)
        place.prepare()
        assert place.socket_dir.parent != deep
        assert place.socket_dir.stat().st_mode & 0o077 == 0
        assert DataDir(deep).socket_dir == place.socket_dir
        place.socket_dir.rmdir()


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("frobnicate",), ("serve", "--port", "x"), ("serve", "--port", "70000"), ("token",),
        ("token", "revoke"), ("clock", "set", "tomorrow"), ("import", "events", "/nowhere.csv"),
        ("bill", "--as-of", "soon"), ("demo", "--events", "5"),
        ("backup",), ("restore", "/nowhere.bursar"), ("audit",), ("audit", "list", "--limit", "0"),
        ("erase", "customer"),
        ("token", "rotate"), ("token", "rotate", "x", "--overlap-hours", "-1"), ("verify", "--audit-head", "/nowhere"),
    ],
)  # fmt: skip
def test_bad_arguments_are_one_line(arguments: tuple[str, ...]) -> None:
    code, _, err = outcome(*arguments)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("bursar: ")


def test_bad_arguments_of_a_process_are_one_line() -> None:
    done = subprocess.run([*BURSAR, "serve", "--port", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("bursar: ")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the program, as its arguments: none can be left out by forgetting it here."""
    for name, entry in group.commands.items():
        if hasattr(entry, "commands"):
            yield from commands(entry, (*path, name))
        else:
            yield (*path, name)


COMMANDS = sorted(commands(typer.main.get_command(command_line())))


def test_the_commands_are_found() -> None:
    assert {("serve",), ("token", "rotate"), ("audit", "head"), ("erase", "customer"), ("restore",)} <= {*COMMANDS}


def test_a_command_is_found_without_the_modules_of_others() -> None:
    for name, words in MODULES.items():
        for word in words:
            found = {path[0] for path in commands(typer.main.get_command(command_line(word)))}
            assert found == {*words, "version"}, name
    assert {path[0] for path in COMMANDS} == {"version", *(word for words in MODULES.values() for word in words)}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_and_json(arguments: tuple[str, ...]) -> None:
    code, out, _ = outcome(*arguments, "--help")
    assert code == 0
    assert "Example: bursar" in out
    assert "--json" in out


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_what_a_command_does_not_take_is_one_line(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (["--nonsense"], ["a"] * 6):
        monkeypatch.setattr("sys.argv", ["bursar", *arguments, *wrong])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("bursar: ")
        assert " ".join(arguments) in line


def test_a_taken_port_is_one_line(folder: Path) -> None:
    with program(folder) as running:
        port = running.url.rsplit(":", 1)[1]
        with open_folder() as other:
            done = subprocess.run(
                [*BURSAR, "serve", "--port", port, "--data-dir", str(other)],
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 2
        assert port in done.stderr
        assert running.call("GET", "/customers", token=TOKEN)


def _children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]
