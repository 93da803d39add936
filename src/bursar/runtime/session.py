"""Running a command's coroutine on a database, in a workspace."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import uvloop

from bursar.accounts.workspaces import caller_of, find_workspace
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.runtime.connect import database
from bursar.runtime.output import remark
from bursar.runtime.wall import wall

T = TypeVar("T")


def on_database(data_dir: Path | None, url: str | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """The result of `work` on the database that the options name."""
    with database(data_dir, url, remark, wall()) as dsn:

        async def run() -> T:
            db = await Database.open(dsn, size=4, timeout=300)
            try:
                return await work(db)
            finally:
                await db.close()

        return uvloop.run(run())


async def caller_in(db: Database, workspace: str) -> Caller:
    """The context of a command line in the workspace of a name. Raises `NotFound`."""
    async with db.transaction(None) as connection:
        return caller_of(await find_workspace(connection, workspace), wall(), "cli")
