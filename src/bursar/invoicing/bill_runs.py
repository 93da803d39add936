"""Bill runs that are asked for: a job about the invoices that are due, which the ordinary run issues."""

from bursar.core.caller import Caller
from bursar.db.database import Connection, Database
from bursar.invoicing.billing import Hands, bill, no_hands
from bursar.invoicing.opening import open_cycles
from bursar.invoicing.store import queries
from bursar.jobs import service as jobs
from bursar.jobs.model import EntryStatus, Job, Kind
from bursar.jobs.service import NewJob

_WITHDRAWN = "its cycle no longer exists: the schedules of the account have changed"
_TOO_LARGE = "an amount is too large to be posted"
_WAITS = "an earlier invoice of the account is not issued"


async def ask_bill_run(db: Database, caller: Caller, *, confirm: bool) -> Job:
    """A job about every invoice that is due now."""
    await open_cycles(db, caller, caller.now)
    async with db.transaction(caller.workspace) as connection:
        due = [row["wire_id"] for row in await connection.fetch(queries.list_due, caller.workspace, caller.now)]
        return await jobs.ask(connection, caller, NewJob(Kind.BILL_RUN, {}, due, confirm))


async def run_bill_run(db: Database, caller: Caller, job: Job, hands: Hands = no_hands) -> None:
    """Issue what is due at the caller's present, and record what became of the job's invoices.

    Those that another run issues at the same time are waited for. Safe to kill and to repeat.
    """
    left: int | None = None
    while True:
        report = await bill(db, caller, hands=hands)
        async with db.transaction(caller.workspace) as connection:
            waiting = await _settle(connection, caller, job, set(report.failed), last=left)
        if not waiting or waiting == left:
            return
        left = waiting


async def _settle(connection: Connection, caller: Caller, job: Job, failed: set[str], *, last: int | None) -> int:
    """Record what became of invoices; returns how many are neither issued nor refused. Twice as many are given up."""
    entities = await jobs.pending(connection, caller, job)
    rows = await connection.fetch(queries.hold_statuses, caller.workspace, entities)
    statuses = {row["wire_id"]: row["status"] for row in rows}
    waiting = [one for one in entities if statuses.get(one) == "DRAFT" and one not in failed]
    ended: dict[str, tuple[EntryStatus, str | None]] = {}
    for one in entities:
        if one not in statuses:
            ended[one] = (EntryStatus.CANCELLED, _WITHDRAWN)
        elif statuses[one] != "DRAFT":
            ended[one] = (EntryStatus.COMPLETED, None)
        elif one in failed:
            ended[one] = (EntryStatus.FAILED, _TOO_LARGE)
        elif len(waiting) == last:
            ended[one] = (EntryStatus.FAILED, _WAITS)
    await jobs.settle(connection, caller, job, ended)
    return len(waiting)
