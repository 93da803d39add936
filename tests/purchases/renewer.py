"""Renewals in a process of their own, begun by a line on stdin.

`python -m tests.purchases.renewer DSN WORKSPACE NOW`
"""

import asyncio
import sys
from datetime import datetime

from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.purchases.renewals import renew_services


async def main(dsn: str, workspace: int, now: datetime) -> None:
    db = await Database.open(dsn, size=2)
    caller = Caller(workspace, now, now, "test", "UTC", "USD", sandbox=True)
    print("ready", flush=True)
    sys.stdin.readline()
    print(await renew_services(db, caller, batch=7), flush=True)
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), datetime.fromisoformat(sys.argv[3])))
