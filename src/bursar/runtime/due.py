"""What falls due as time passes, and what a server process keeps at hand for its requests."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import structlog

from bursar.accounts.terms import NewAccounts
from bursar.accounts.workspaces import caller_of, list_workspaces
from bursar.core.caller import Caller
from bursar.core.errors import Unavailable
from bursar.db.database import Database, outage
from bursar.db.idempotency import PURGE_BATCH, purge
from bursar.http.native.clock import AfterClock
from bursar.invoicing.billing import bill
from bursar.invoicing.expiring import expire_due
from bursar.invoicing.holds import expire_credits
from bursar.invoicing.payments import Payments
from bursar.invoicing.settlement import settle_due
from bursar.invoicing.stating import run_statements
from bursar.notify import deliveries
from bursar.purchases.holds import Closings, Placing, expire_holds
from bursar.purchases.renewals import renew_services
from bursar.runtime.hands import hands
from bursar.usage import bodies, events

_log = structlog.get_logger()

_DUE: Mapping[str, Callable[[Database, Caller], Awaitable[object]]] = {
    "holds": expire_holds,
    "renewals": renew_services,
    "invoices": partial(bill, hands=hands),
    "settlements": settle_due,
    "purchases": expire_due,
    "credits": expire_credits,
    "statements": run_statements,
}
"""What falls due in a workspace, in the order in which it is run."""


async def run_due(db: Database, caller: Caller) -> None:
    """Run what is due in one workspace at its present."""
    for work in _DUE.values():
        await work(db, caller)


async def run_everything_due(db: Database, wall: datetime) -> bool:
    """Run what is due in every workspace, and prepare the coming days; returns whether all of it could be done.

    What meets something unexpected says so and holds up nothing else. Raises `Unavailable` while PostgreSQL is away.
    """
    with suppress(asyncpg.LockNotAvailableError):
        async with db.transaction(None) as connection:
            await bodies.make_partitions(connection, wall)
    with suppress(asyncpg.LockNotAvailableError):
        async with db.transaction(None) as connection:
            await events.summarize(connection)
    async with db.transaction(None) as connection:
        workspaces = await list_workspaces(connection)
    while await _purged(db, wall) == PURGE_BATCH:
        pass
    async with db.transaction(None) as connection:
        await deliveries.purge(connection, wall)
    done = True
    for workspace in workspaces:
        for name, work in _DUE.items():
            try:
                await work(db, caller_of(workspace, wall, "worker"))
            except Exception as error:
                if isinstance(error, Unavailable) or outage(error):
                    raise
                _log.error("due_work_failed", work=name, workspace=workspace.name, error=repr(error), exc_info=error)
                done = False
    return done


async def _purged(db: Database, wall: datetime) -> int:
    async with db.transaction(None) as connection:
        return await purge(connection, wall)


def services(db: Database) -> Mapping[type, Any]:
    """Services of a process by type."""

    async def after_clock(caller: Caller) -> None:
        await run_due(db, caller)

    return {
        AfterClock: after_clock,
        NewAccounts: NewAccounts(),
        Payments: Payments(),
        Placing: Placing(),
        Closings: Closings(),
    }
