"""A bill run in a process of its own, begun by a line on stdin.

`python -m tests.invoicing.biller DSN WORKSPACE NOW BATCH STAND`: from STAND invoices on it says `stands` and goes on
with the next line, while its other batches stand where they are; 0: nowhere.
"""

import asyncio
import sys
from datetime import datetime

from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing.billing import bill


async def main(dsn: str, workspace: int, now: datetime, batch: int, stand: int) -> None:
    def progress(issued: int, _due: int) -> None:
        if stand and issued >= stand:
            print("stands", flush=True)
            sys.stdin.readline()

    db = await Database.open(dsn, size=2)
    caller = Caller(workspace, now, now, "test", "UTC", "USD", sandbox=True)
    print("ready", flush=True)
    sys.stdin.readline()
    report = await bill(db, caller, progress=progress, batch=batch)
    print(report.issued, flush=True)
    await db.close()


if __name__ == "__main__":
    dsn, workspace, now, batch, stand = sys.argv[1:]
    asyncio.run(main(dsn, int(workspace), datetime.fromisoformat(now), int(batch), int(stand)))
