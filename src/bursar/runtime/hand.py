"""A process that issues invoices for a bill run which another process runs; see `hands`."""

import os
import signal
import sys
from datetime import datetime

import msgspec
import uvloop

from bursar.core import crash
from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing.issuing import Issued, issue_due
from bursar.runtime import collector, logs
from bursar.runtime.child import die_with_parent

GO = b"go\n"
"""The line that has it begin, when the periods are closed."""


class Order(msgspec.Struct):
    """What is to be done: the first line that it reads."""

    parent: int
    """Pid of the process that runs the bill run."""
    dsn: str
    caller: Caller
    as_of: datetime


class Told(msgspec.Struct):
    """A line that it writes: how many invoices were issued just now; and the last one, what was issued in all."""

    count: int = 0
    whole: Issued | None = None


async def _issue(order: Order) -> None:
    db = await Database.open(order.dsn, size=2, timeout=300)
    try:
        _say(Told(whole=await issue_due(db, order.caller, order.as_of, lambda count: _say(Told(count)))))
    finally:
        await db.close()


def _say(told: Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    logs.configure()
    crash.arm(os.environ.get("BURSAR_CRASH_DIR"))
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    die_with_parent(signal.SIGKILL, order.parent)
    collector.settle()
    if sys.stdin.buffer.readline() == GO:
        uvloop.run(_issue(order))
