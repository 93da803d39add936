"""Price-plan migrations: asked for as a job, done account by account."""

from dataclasses import dataclass, replace

from bursar.catalog import plans
from bursar.core.caller import Caller
from bursar.db import audit
from bursar.db.database import Connection
from bursar.jobs import service as jobs
from bursar.jobs.model import Job, Kind
from bursar.jobs.service import NewJob
from bursar.purchases import store
from bursar.purchases.model import MigrationMode, refuse_plan
from bursar.purchases.moves import Move, moved, refuse_move
from bursar.purchases.service import enter, tell_admission, write


@dataclass(frozen=True, slots=True)
class Migration:
    """Move all accounts of a plan version to another plan, or to another version of it."""

    source_id: str
    source_version: int
    target_id: str | None
    """None: the source."""
    target_version: int | None
    """None: the newest."""
    mode: MigrationMode
    retain_start_offsets: bool = False
    confirm: bool = False


async def ask_migration(connection: Connection, caller: Caller, command: Migration) -> Job:
    """A job about every account that is or will be on the source now; archived ones are left out.

    Raises `NotFound` for a plan or version, `Invalid` or `WrongState` for what is possible for no account.
    """
    source = await plans.find(connection, caller.workspace, command.source_id, command.source_version)
    target_id = command.target_id or command.source_id
    target = await plans.find(connection, caller.workspace, target_id, command.target_version)
    refuse_move(source, target, command.mode, retain=command.retain_start_offsets)
    accounts = await store.accounts_on_version(connection, caller.workspace, source.plan, source.version, caller.now)
    parameters = {
        "sourceId": source.id,
        "sourceVersion": str(source.version),
        "targetId": target.id,
        "targetVersion": str(target.version),
        "migrationMode": command.mode.value,
        "retainStartOffsets": "true" if command.retain_start_offsets else "false",
    }
    return await jobs.ask(connection, caller, NewJob(Kind.PRICE_PLAN, parameters, accounts, command.confirm))


async def migrate_account(connection: Connection, caller: Caller, job: Job, account_id: str) -> None:
    """Move one account as a job says, as of the job's moment; one that has left the source stays as it is.

    Raises `WrongState` for an archived account or plan, `Invalid` for a plan that lacks the account's currency, and
    for an override or cycles that do not fit it.
    """
    assert job.moment is not None, "a job that runs has its moment"
    said = job.parameters
    account = await enter(connection, caller, account_id)
    await plans.hold(connection, caller.workspace, said["targetId"])
    target = await plans.find(connection, caller.workspace, said["targetId"], int(said["targetVersion"]))
    refuse_plan(target, account)
    move = Move(
        source_id=said["sourceId"],
        source_version=int(said["sourceVersion"]),
        target=target,
        mode=MigrationMode(said["migrationMode"]),
        retain=said["retainStartOffsets"] == "true",
    )
    current = await store.segments_of(connection, caller.workspace, account.key)
    known = await plans.versions(connection, caller.workspace, [segment.version for segment in current])
    cycles = {key: version.details.cycle for key, version in known.items()}
    after, made = moved(account, current, move, job.moment, cycles)
    if after == current:
        return
    await write(connection, caller, current, after, made)
    await tell_admission(connection, caller, account.key)
    detail = {"job": job.id, "to": target.id, "version": target.version, "mode": move.mode}
    await audit.record(connection, caller, "migrate", "account", account_id, detail)


def as_of(caller: Caller, job: Job) -> Caller:
    """The one who carries out a job: all of it happens as of the job's moment."""
    assert job.moment is not None, "a job that runs has its moment"
    return replace(caller, now=job.moment, actor=job.id)
