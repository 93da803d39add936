"""Restoring a backup: all of it or nothing, in one transaction."""

import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import psycopg

from bursar.core.errors import BursarError
from bursar.db.database import API_ROLE, SCHEMA
from bursar.db.standing import migrations
from bursar.runtime.archive import BLOCK, Backup, BackupRefused, Manifest, Progress, blocks, check, decompress
from bursar.runtime.backup import client, last_words

_OF_THIS_RELEASE = b"SET transaction_timeout = 0;\n"
"""PostgreSQL 17 and later say it at the start of every script; 15 and 16 do not know the setting."""


class RestoreFailed(BursarError):
    """The backup could not be restored; nothing was written."""


class NotEmpty(BursarError):
    """The database is in use: a backup is restored into an empty one."""


def checked(file: IO[bytes], progress: Progress = lambda _done: None) -> Backup:
    """A backup that this release can restore, read to its end. Raises `BackupRefused`."""
    backup = check(file, progress)
    if backup.manifest.migration not in migrations():
        raise BackupRefused("the backup was made by a newer release of Bursar: restore it with that one")
    return backup


def refuse_used(dsn: str) -> None:
    """Raise `NotEmpty` where the database holds tables of Bursar's."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select 1 from pg_class where relnamespace = to_regnamespace(%s) limit 1", (SCHEMA,)
        ).fetchone()
    if found is not None:
        raise NotEmpty


def restore(dsn: str, file: IO[bytes], backup: Backup, progress: Progress = lambda _done: None) -> None:
    """Load a checked backup into an empty database. `progress` is told bytes of the file.

    Raises `NotEmpty`, `RestoreFailed`, `BackupRefused`. Then, and where it is killed, the database stays empty.
    """
    refuse_used(dsn)
    from bursar.db.migrate import make_surroundings  # noqa: PLC0415 - loads slowly, and few commands need it

    make_surroundings(dsn)
    with tempfile.TemporaryDirectory(prefix="bursar-restore-") as folder, tempfile.TemporaryFile() as said:
        chosen = Path(folder) / "contents"
        chosen.write_bytes(_contents(file, backup))
        reader = client(
            "pg_restore", ["--no-owner", f"--use-list={chosen}", "--file=-"], None, said,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        # Without --single-transaction, which would commit what has arrived when its input ends early.
        writer = client(
            "psql", ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"], dsn, said, stdin=subprocess.PIPE
        )
        feeder = _Feeder(file, backup, reader, progress)
        complete = False
        try:
            feeder.start()
            with suppress(BrokenPipeError):  # psql has met an error, and says which
                complete = _pump(reader, writer, feeder, backup.manifest)
        finally:
            ended = _end(reader, writer)
            feeder.join()
        if feeder.failure is not None and not isinstance(feeder.failure, OSError):
            raise feeder.failure
        if not (complete and ended):
            raise RestoreFailed(f"the backup could not be restored, nothing was written: {last_words(said)}")
    _analyze(dsn, backup.manifest)


def _pump(
    reader: "subprocess.Popen[bytes]", writer: "subprocess.Popen[bytes]", feeder: "_Feeder", manifest: Manifest
) -> bool:
    """Send what pg_restore makes of the dump to psql in a transaction; it is committed only where all has come."""
    assert reader.stdout is not None
    assert writer.stdin is not None
    writer.stdin.write(f"begin;\ncreate schema if not exists {SCHEMA};\n".encode())
    writer.stdin.write(reader.stdout.read(BLOCK).replace(_OF_THIS_RELEASE, b"", 1))
    while block := reader.stdout.read(BLOCK):
        writer.stdin.write(block)
    feeder.join()
    if reader.wait() or feeder.failure is not None:
        return False
    writer.stdin.write(_ending(manifest).encode())
    return True


def _end(reader: "subprocess.Popen[bytes]", writer: "subprocess.Popen[bytes]") -> bool:
    """End both programs; whether both did their work."""
    assert reader.stdout is not None
    assert writer.stdin is not None
    reader.stdout.close()  # where it was not read to its end, pg_restore stops, and the feeder with it
    with suppress(BrokenPipeError):
        writer.stdin.close()
    return writer.wait() == 0 and reader.wait() == 0


class _Feeder(threading.Thread):
    """Writes the dump to pg_restore, which answers meanwhile."""

    def __init__(self, file: IO[bytes], backup: Backup, reader: "subprocess.Popen[bytes]", progress: Progress) -> None:
        super().__init__(daemon=True)
        self._file = file
        self._backup = backup
        self._reader = reader
        self._progress = progress
        self.failure: BaseException | None = None

    def run(self) -> None:
        assert self._reader.stdin is not None
        try:
            decompress(self._file, self._backup, self._reader.stdin, self._progress)
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits for the thread
            self.failure = error
        finally:
            try:
                self._reader.stdin.close()
            except BrokenPipeError as error:
                self.failure = self.failure or error


def _contents(file: IO[bytes], backup: Backup) -> bytes:
    """The dump's list of contents without what only its old owner could say.

    Default privileges name that owner; the comment of an extension is its installer's to make; the schema may be there.
    """
    with tempfile.TemporaryFile() as said:
        process = client("pg_restore", ["--list"], None, said, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        feeder = _Feeder(file, backup, process, lambda _done: None)
        feeder.start()
        assert process.stdout is not None
        listing = b"".join(blocks(process.stdout, 1 << 30))
        process.stdout.close()
        code = process.wait()
        feeder.join()
        if code:
            raise RestoreFailed(f"the backup could not be restored, nothing was written: {last_words(said)}")
    unwanted = (b" DEFAULT ACL ", b" COMMENT - EXTENSION ", b" SCHEMA - ")
    kept = [line for line in listing.splitlines() if not any(word in line for word in unwanted)]
    return b"\n".join(kept) + b"\n"


def _ending(manifest: Manifest) -> str:
    """The end of the transaction: what was left out of the dump, a count of all rows, the commit."""
    rows = ", ".join(f"('{name}', {count})" for name, count in manifest.tables.items())
    return f"""
alter default privileges in schema {SCHEMA} grant usage on sequences to {API_ROLE};
do $$
declare
    expected record;
    found bigint;
begin
    for expected in select * from (values {rows}) as t (name, rows) loop
        execute format('select count(*) from {SCHEMA}.%I', expected.name) into found;
        if found <> expected.rows then
            raise exception 'table % has % rows where the backup had %', expected.name, found, expected.rows;
        end if;
    end loop;
end $$;
commit;
"""


def _analyze(dsn: str, manifest: Manifest) -> None:
    """Gather the statistics that plans rest on: a dump has none."""
    with psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=0") as connection:
        for name in manifest.tables:
            connection.execute(psycopg.sql.SQL("analyze {}").format(psycopg.sql.Identifier(SCHEMA, name)))
