"""A worker's round of statements in a process of its own: `python -m tests.invoicing.stater DSN WORKSPACE NOW MARKS`.

It dies once at each point of `crash` that has no mark in the folder MARKS yet.
"""

import asyncio
import sys
from datetime import datetime

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing import stating


async def main(dsn: str, workspace: int, now: datetime, marks: str) -> None:
    stating.BATCH = 3
    crash.arm(marks)
    db = await Database.open(dsn, size=2)
    await stating.run_statements(db, Caller(workspace, now, now, "test", "UTC", "USD", sandbox=True))
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), datetime.fromisoformat(sys.argv[3]), sys.argv[4]))
