"""Processes that write the audit trail and that seal it. What they import, each of them loads anew."""

import asyncio

from bursar.core.caller import Caller
from bursar.db import audit, seal
from bursar.db.database import Database


def write(dsn: str, caller: Caller, name: str, count: int) -> None:
    """Write so many entries, each in a transaction of its own."""

    async def work() -> None:
        db = await Database.open(dsn, size=2)
        for number in range(count):
            async with db.transaction(caller.workspace) as connection:
                await audit.record(connection, caller, "create", "thing", f"{name}-{number}")
        await db.close()

    asyncio.run(work())


def keep_sealing(dsn: str) -> None:
    """Seal until killed."""

    async def work() -> None:
        db = await Database.open(dsn, size=1)
        while True:
            async with db.transaction(None) as connection:
                await seal.seal(connection)

    asyncio.run(work())
