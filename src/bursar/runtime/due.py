"""What falls due as time passes, and what a server process keeps at hand for its requests."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import asyncpg

from bursar.accounts.workspaces import caller_of, list_workspaces
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.db.idempotency import PURGE_BATCH, purge
from bursar.http.native.clock import AfterClock
from bursar.invoicing.billing import bill
from bursar.invoicing.payments import Payments
from bursar.invoicing.stating import run_statements
from bursar.notify import deliveries
from bursar.purchases.renewals import renew_services
from bursar.usage import bodies


async def run_due(db: Database, caller: Caller) -> None:
    """Run what is due in one workspace at its present."""
    await renew_services(db, caller)
    await bill(db, caller)
    await run_statements(db, caller)


async def run_everything_due(db: Database, wall: datetime) -> None:
    """Run what is due in every workspace, and prepare the coming days."""
    with suppress(asyncpg.LockNotAvailableError):
        async with db.transaction(None) as connection:
            await bodies.make_partitions(connection, wall)
    async with db.transaction(None) as connection:
        workspaces = await list_workspaces(connection)
    while await _purged(db, wall) == PURGE_BATCH:
        pass
    async with db.transaction(None) as connection:
        await deliveries.purge(connection, wall)
    for workspace in workspaces:
        await run_due(db, caller_of(workspace, wall, "worker"))


async def _purged(db: Database, wall: datetime) -> int:
    async with db.transaction(None) as connection:
        return await purge(connection, wall)


def services(db: Database) -> Mapping[type, Any]:
    """Services of a process by type."""

    async def after_clock(caller: Caller) -> None:
        await run_due(db, caller)

    return {AfterClock: after_clock, Payments: Payments()}
