"""Reaching a database from a command: the user's own, a data directory's running one, or one started for a while."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg

from bursar.accounts.admins import add_admin, list_admins
from bursar.accounts.passwords import check_password, hash_password
from bursar.accounts.tokens import create_token, list_tokens
from bursar.accounts.workspaces import caller_of, create_workspace, list_workspaces
from bursar.core.caller import DEFAULT, Caller
from bursar.core.errors import BursarError, Invalid
from bursar.db.database import Connection, Database
from bursar.db.standing import ready
from bursar.runtime.datadir import DataDir, default_data_dir
from bursar.runtime.postgres import Cluster, Say

PATIENCE_SECONDS = 60


class NoDatabase(BursarError):
    """The database cannot be reached."""


def bring_up_to_date(dsn: str) -> None:
    """Migrate where the database is behind this release."""
    try:
        if not asyncio.run(ready(dsn)):
            from bursar.db.migrate import migrate  # noqa: PLC0415 - a third of a second that most commands do not need

            migrate(dsn)
    except (OSError, psycopg.OperationalError) as error:
        raise NoDatabase(f"the database cannot be reached: {str(error).strip().splitlines()[0]}") from None


async def first_start(dsn: str, wall: datetime) -> str | None:
    """Make the default live workspace, its first token and its first user where there is none yet.

    Returns a token that was drawn. A user is made where the environment names one.
    """
    db = await Database.open(dsn, size=1)
    try:
        async with db.transaction(None) as connection:
            found = {workspace.name: workspace for workspace in await list_workspaces(connection)}
            workspace = found.get(DEFAULT) or await create_workspace(
                connection, wall, "server", DEFAULT, sandbox=False, currency="USD", timezone="UTC"
            )
            caller = caller_of(workspace, wall, "server")
            await _first_admin(connection, caller)
            if (await list_tokens(connection, caller, None, 1)).items:
                return None
            given = os.environ.get("BURSAR_TOKEN")
            text, _ = await create_token(connection, caller, "first", text=given or None)
            return None if given else text
    finally:
        await db.close()


async def _first_admin(connection: Connection, caller: Caller) -> None:
    username, password = os.environ.get("BURSAR_ADMIN_USERNAME"), os.environ.get("BURSAR_ADMIN_PASSWORD")
    if not username or await list_admins(connection, caller):
        return
    if not password:
        raise Invalid("BURSAR_ADMIN_USERNAME", "needs BURSAR_ADMIN_PASSWORD beside it")
    check_password(password)
    await add_admin(connection, caller, username, await hash_password(password))


@contextmanager
def database(data_dir: Path | None, url: str | None, say: Say, wall: datetime) -> Iterator[str]:
    """The DSN of a migrated database, for the duration of a command."""
    if url:
        bring_up_to_date(url)
        asyncio.run(first_start(url, wall))
        yield url
        return
    place = DataDir(data_dir or default_data_dir())
    place.prepare()
    if not place.acquire():
        _await(place)
        yield place.dsn()
        return
    with _started(place, say) as dsn:
        bring_up_to_date(dsn)
        token = asyncio.run(first_start(dsn, wall))
        if token is not None:
            say(f"API token of the workspace '{DEFAULT}', shown only now: {token}")
        yield dsn


@contextmanager
def standing(data_dir: Path | None, url: str | None, say: Say) -> Iterator[str]:
    """The DSN of a database that is there, as it is: nothing is made or migrated. Raises `NoDatabase`."""
    if url:
        _reach(url, 0)
        yield url
        return
    place = DataDir(data_dir or default_data_dir())
    if not place.cluster.exists():
        raise NoDatabase(f"there is no database in {place.path}")
    place.prepare()
    if not place.acquire():
        _reach(place.dsn(), PATIENCE_SECONDS)
        yield place.dsn()
        return
    with _started(place, say) as dsn:
        yield dsn


@contextmanager
def empty(data_dir: Path | None, url: str | None, say: Say) -> Iterator[str]:
    """The DSN of a database to fill: nothing is made in it. Raises `DataDirBusy` for a directory that is in use."""
    if url:
        _reach(url, 0)
        yield url
        return
    place = DataDir(data_dir or default_data_dir())
    place.prepare()
    if not place.acquire():
        raise place.busy()
    with _started(place, say) as dsn:
        yield dsn


@contextmanager
def _started(place: DataDir, say: Say) -> Iterator[str]:
    """The PostgreSQL of a data directory whose lock is held, for a while."""
    cluster = Cluster(place, say)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        place.release()


def _reach(dsn: str, seconds: int) -> None:
    """Wait until a PostgreSQL takes connections. Raises `NoDatabase` where it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=10).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() >= deadline:
                raise NoDatabase(f"the database cannot be reached: {str(error).strip().splitlines()[0]}") from None
        time.sleep(0.2)


def _await(place: DataDir) -> None:
    """Wait until the server that runs on a data directory has its tables ready."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if asyncio.run(ready(place.dsn())):
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise NoDatabase(f"process {place.holder()} runs on {place.path}, but its PostgreSQL does not answer")
        time.sleep(0.2)
