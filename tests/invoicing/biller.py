"""A bill run in a process of its own, begun by a line on stdin.

`python -m tests.invoicing.biller DSN WORKSPACE NOW BATCH`
"""

import asyncio
import sys
from datetime import datetime

from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing.billing import bill


async def main(dsn: str, workspace: int, now: datetime, batch: int) -> None:
    db = await Database.open(dsn, size=2)
    caller = Caller(workspace, now, now, "test", "UTC", "USD", sandbox=True)
    print("ready", flush=True)
    sys.stdin.readline()
    report = await bill(db, caller, batch=batch)
    print(report.issued, flush=True)
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), datetime.fromisoformat(sys.argv[3]), int(sys.argv[4])))
