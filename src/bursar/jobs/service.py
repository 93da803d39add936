"""Asking for jobs, watching and deciding on them. Each command runs in the transaction of its connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bursar.core import ids
from bursar.core.caller import Caller
from bursar.core.errors import NotFound
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.queries import Queries
from bursar.jobs.model import Counts, Entry, EntryStatus, Job, Kind, Listed, Status, decide

queries = Queries("bursar.jobs")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be done."""

    kind: Kind
    parameters: Mapping[str, str]
    entities: Sequence[str]
    """Ids of the objects that it is about, each once."""
    confirm: bool
    """Whether it waits until somebody confirms it."""


async def ask(connection: Connection, caller: Caller, new: NewJob) -> Job:
    """A new job, with an entry for each object, for the worker to find."""
    identifier = ids.draw("job")
    status = Status.WAITING_FOR_CONFIRMATION if new.confirm else Status.PENDING
    moment = None if new.confirm else caller.now
    text = msgspec.json.encode(dict(new.parameters)).decode()
    key = await connection.fetchval(
        queries.insert_job, caller.workspace, identifier, new.kind, status, text, moment, caller.wall
    )
    await connection.execute(queries.insert_entries, key, caller.workspace, caller.wall, list(new.entities))
    detail = {"kind": new.kind, "entries": len(new.entities), **new.parameters}
    await audit.record(connection, caller, "create", "job", identifier, detail)
    return await find(connection, caller.workspace, identifier)


async def find(connection: Connection, workspace: int, identifier: str) -> Job:
    """A job by its wire id. Raises `NotFound`."""
    row = await connection.fetchrow(queries.find_job, workspace, identifier)
    if row is None:
        raise NotFound("job", identifier)
    return _job(row)


async def list_jobs(connection: Connection, workspace: int, after: str | None, limit: int) -> Page[Listed]:
    """Jobs, the newest first."""
    rows = await connection.fetch(queries.list_jobs, workspace, key_of(after) or None, limit + 1)
    items = [
        Listed(row["key"], row["wire_id"], Kind(row["kind"]), Status(row["status"]), row["updated_at"])
        for row in rows[:limit]
    ]
    return Page(items, str(items[-1].key) if len(rows) > limit else None)


async def list_entries(
    connection: Connection, workspace: int, identifier: str, after: str | None, limit: int
) -> Page[Entry]:
    """The entries of a job in its order. Raises `NotFound`."""
    job = await find(connection, workspace, identifier)
    rows = await connection.fetch(queries.list_entries, workspace, job.key, key_of(after, digits=9), limit + 1)
    items = [
        Entry(row["number"], row["entity"], EntryStatus(row["status"]), row["reason"], row["created_at"])
        for row in rows[:limit]
    ]
    return Page(items, str(items[-1].number) if len(rows) > limit else None)


async def confirm(connection: Connection, caller: Caller, identifier: str) -> Job:
    """Let a job that waits for it go ahead, as of now. Raises `NotFound`, and `WrongState` for another."""
    return await _decided(connection, caller, identifier, confirmed=True)


async def reject(connection: Connection, caller: Caller, identifier: str) -> Job:
    """Call off a job that waits for confirmation. Raises as `confirm` does."""
    return await _decided(connection, caller, identifier, confirmed=False)


async def _decided(connection: Connection, caller: Caller, identifier: str, *, confirmed: bool) -> Job:
    await connection.execute(queries.lock_job, caller.workspace, identifier)
    job = await find(connection, caller.workspace, identifier)
    status = decide(job, confirmed=confirmed)
    if not confirmed:
        rows = await connection.fetch(queries.pending_entities, caller.workspace, job.key)
        ended = {row["entity"]: (EntryStatus.CANCELLED, "the job was rejected") for row in rows}
        await settle(connection, caller, job, ended)
    moment = caller.now if confirmed else None
    await connection.fetchval(queries.set_status, caller.workspace, job.key, job.status, status, moment, caller.wall)
    await audit.record(connection, caller, "confirm" if confirmed else "reject", "job", identifier)
    return await find(connection, caller.workspace, identifier)


async def pending(connection: Connection, caller: Caller, job: Job) -> list[str]:
    """The ids of what a job has yet to do."""
    return [row["entity"] for row in await connection.fetch(queries.pending_entities, caller.workspace, job.key)]


async def settle(
    connection: Connection, caller: Caller, job: Job, ended: Mapping[str, tuple[EntryStatus, str | None]]
) -> None:
    """Record what became of entries, by their objects; what has ended before stays as it is."""
    await connection.execute(
        queries.settle_entries,
        caller.workspace,
        job.key,
        caller.wall,
        list(ended),
        [status for status, _ in ended.values()],
        [reason for _, reason in ended.values()],
    )


def _job(row: Row) -> Job:
    return Job(
        key=row["key"],
        id=row["wire_id"],
        kind=Kind(row["kind"]),
        status=Status(row["status"]),
        parameters=msgspec.json.decode(row["parameters"], type=dict[str, str]),
        moment=row["moment"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        settled_at=row["settled_at"],
        counts=Counts(row["pending"], row["completed"], row["failed"], row["cancelled"]),
    )
