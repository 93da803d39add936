"""Running jobs: each entry exactly once, however often workers die, and however many there are.

An entry ends in the transaction that does its work: both are there or neither is. A job that a worker left in the
middle is found again by the next.
"""

from collections.abc import Awaitable, Callable

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, Unavailable
from bursar.db import audit
from bursar.db.database import Connection, Database
from bursar.jobs.model import EntryStatus, Job, Status, outcome
from bursar.jobs.service import find, queries, settle

LOOK = 100
"""Jobs that a worker looks at in one round."""

Work = Callable[[Connection, str], Awaitable[None]]
"""What is to be done to one object, given its id, in the transaction of its connection."""


class _Refused(Exception):
    """The work on an object is not possible; nothing of it is left."""

    def __init__(self, entity: str, reason: str) -> None:
        super().__init__(reason)
        self.entity = entity
        self.reason = reason


async def open_jobs(db: Database) -> list[tuple[int, str]]:
    """Workspace and id of jobs that a worker has to do, of all workspaces, the oldest first."""
    async with db.transaction(None) as connection:
        return [(row["workspace"], row["wire_id"]) for row in await connection.fetch(queries.list_open, LOOK)]


async def begin(db: Database, caller: Caller, identifier: str) -> Job:
    """The job, in progress; as it is where it has ended meanwhile."""
    async with db.transaction(caller.workspace) as connection:
        job = await find(connection, caller.workspace, identifier)
        await connection.fetchval(
            queries.set_status, caller.workspace, job.key, Status.PENDING, Status.IN_PROGRESS, None, caller.wall
        )
        begun = await find(connection, caller.workspace, identifier)
    crash.point("job begun")
    return begun


async def run_entries(db: Database, caller: Caller, job: Job, work: Work, *, beyond: bool = False) -> None:
    """Do the work on each object of a job in a transaction of its own.

    What a business rule refuses fails with its reason, and the others go on. `beyond`: the work writes what nobody may
    who is bound to one workspace.
    """

    async def once(connection: Connection) -> bool:
        row = await connection.fetchrow(queries.take_entry, caller.workspace, job.key)
        if row is None:
            return False
        try:
            await work(connection, row["entity"])
        except Unavailable:
            raise
        except BursarError as error:
            raise _Refused(row["entity"], error.message) from error
        await settle(connection, caller, job, {row["entity"]: (EntryStatus.COMPLETED, None)})
        crash.point("job entry done")
        return True

    while True:
        try:
            if not await db.run(None if beyond else caller.workspace, once):
                return
        except _Refused as refused:
            async with db.transaction(caller.workspace) as connection:
                await settle(connection, caller, job, {refused.entity: (EntryStatus.FAILED, refused.reason)})


async def finish(db: Database, caller: Caller, job: Job) -> None:
    """End a job of which no entry is left to do; one of which another worker holds an entry is left to that one."""
    async with db.transaction(caller.workspace) as connection:
        counts = (await find(connection, caller.workspace, job.id)).counts
        if counts.pending:
            return
        status = outcome(counts)
        moved = await connection.fetchval(
            queries.set_status, caller.workspace, job.key, Status.IN_PROGRESS, status, None, caller.wall
        )
        if moved is not None:
            detail = {"status": status, "completed": counts.completed, "failed": counts.failed}
            await audit.record(connection, caller, "finish", "job", job.id, detail)
            crash.point("job finished")
