"""Taking a backup: one snapshot of the database, dumped by PostgreSQL's own program while everything goes on."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bursar import __version__
from bursar.core.errors import BursarError
from bursar.db.database import EXTENSIONS, SCHEMA
from bursar.runtime.archive import BLOCK, FORMAT, Manifest, Progress, writing
from bursar.runtime.postgres import PostgresFailed, client_programs

# A snapshot is held for as long as it takes to dump it, whatever limits the server has for sessions.
_PATIENT = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"


class BackupFailed(BursarError):
    """The backup could not be taken."""


class NothingToBackUp(BursarError):
    """The database holds nothing of Bursar's."""


def back_up(dsn: str, path: Path, made_at: datetime, progress: Progress = lambda _done: None) -> Manifest:
    """Write a backup to a new file. `progress` is told bytes of the dump before compression.

    What was committed when it began is in it, and nothing later. Raises `BackupFailed`, `NothingToBackUp`.
    """
    if path.exists():
        raise BackupFailed(f"{path} exists already; a backup overwrites nothing")
    try:
        with psycopg.connect(dsn, options=f"-c search_path={SCHEMA} {_PATIENT}") as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            manifest = _manifest(connection, made_at)
            (snapshot,) = _row(connection, "select pg_export_snapshot()")
            with writing(path, manifest) as stream:
                _dump(dsn, str(snapshot), stream, progress)
            return manifest
    except OSError as error:
        raise BackupFailed(f"{path} cannot be written: {error.strerror}") from None
    except psycopg.Error as error:
        raise BackupFailed(f"the backup could not be taken: {str(error).strip().splitlines()[0]}") from None


def _manifest(connection: "psycopg.Connection[Any]", made_at: datetime) -> Manifest:
    if _row(connection, f"select to_regclass('{SCHEMA}.alembic_version')") == (None,):
        raise NothingToBackUp
    names = connection.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace and relkind = 'r' order by relname",
        (SCHEMA,),
    ).fetchall()
    return Manifest(
        format=FORMAT,
        release=__version__,
        migration=_row(connection, "select version_num from alembic_version")[0],
        postgres=connection.info.server_version // 10_000,
        made_at=made_at,
        tables={
            name: _row(connection, sql.SQL("select count(*) from {}").format(sql.Identifier(name)))[0]
            for (name,) in names
        },
    )


def _row(connection: "psycopg.Connection[Any]", statement: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] = connection.execute(statement).fetchone() or ()
    return found


def _dump(dsn: str, snapshot: str, target: IO[bytes], progress: Progress) -> None:
    options = ["--format=custom", "--compress=0", "--no-owner", f"--schema={SCHEMA}", f"--snapshot={snapshot}"]
    options += [f"--extension={name}" for name in EXTENSIONS]
    with tempfile.TemporaryFile() as said:
        process = client("pg_dump", options, dsn, said, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            while block := process.stdout.read(BLOCK):
                target.write(block)
                progress(len(block))
            if process.wait():
                raise BackupFailed(f"the backup could not be taken: {last_words(said)}")
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.kill()
                process.wait()


def client(
    program: str,
    options: Sequence[str],
    dsn: str | None,
    said: IO[bytes],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> "subprocess.Popen[bytes]":
    """Start a client program of PostgreSQL on a database; what it complains of goes to `said`."""
    environment = {**os.environ, "LC_ALL": "C"}
    where = []
    if dsn is not None:
        parameters = conninfo_to_dict(dsn)
        # A list of processes shows arguments to everyone.
        if password := parameters.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        where = ["--no-password", "--dbname", make_conninfo("", **parameters)]
    path = client_programs() / program
    try:
        return subprocess.Popen([str(path), *options, *where], stdin=stdin, stdout=stdout, stderr=said, env=environment)
    except OSError as error:
        raise PostgresFailed(f"{path} cannot be run: {error.strerror}") from None


def last_words(said: IO[bytes]) -> str:
    """The first error that a program wrote, else its last line."""
    said.seek(0)
    lines = [line.strip() for line in said.read(BLOCK).decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    return (errors or lines[-1:] or ["it said nothing"])[0]
