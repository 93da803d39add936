"""A PostgreSQL for the tests: the one of BURSAR_TEST_DATABASE_URL, or an embedded one for the session."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bursar.db.migrate import migrate
from bursar.runtime.datadir import DataDir
from bursar.runtime.postgres import Cluster


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that any account may enter: a test's own would shut PostgreSQL's account out."""
    path = Path(tempfile.mkdtemp(prefix="bursar-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def server_dsn() -> Iterator[str]:
    """A PostgreSQL server's DSN, pointing to a database that exists."""
    given = os.environ.get("BURSAR_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with open_folder() as folder:
        data_dir = DataDir(folder)
        data_dir.prepare()
        assert data_dir.acquire()
        cluster = Cluster(data_dir, lambda _: None, {"fsync": "off", "synchronous_commit": "off"})
        try:
            yield cluster.start()
        finally:
            cluster.stop()


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The DSN of a migrated database of its own, dropped at the end."""
    name = f"bursar_test_{uuid.uuid4().hex[:12]}"
    head, _, rest = server.partition("://")
    place, _, query = rest.partition("?")
    dsn = f"{head}://{place.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    try:
        migrate(dsn)
        yield dsn
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")
