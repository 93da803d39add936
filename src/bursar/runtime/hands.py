"""Further processes for a large bill run: each issues batches beside the one that runs it.

Drawing up invoices keeps one core of Python busy while PostgreSQL, which writes them, keeps another: two processes that
do both in turn use two cores whole.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from bursar.core.caller import Caller
from bursar.db.database import Database
from bursar.invoicing.billing import Hand
from bursar.invoicing.issuing import Issued
from bursar.runtime.hand import GO, Order, Told

FROM = 2_000
"""Invoices due from which on a process more is worth its start."""
_MOST = 3
"""Beyond them PostgreSQL has the work."""
_PROGRAM = (sys.executable, "-m", "bursar.runtime.hand")
_LONGEST = 64 * 2**20
"""Bytes of a line that one says: its last one names each account that could not be billed."""


@asynccontextmanager
async def hands(db: Database, caller: Caller, as_of: datetime, due: int) -> AsyncIterator[Sequence[Hand]]:
    """One process less than there are cores, where as much is due; they begin when they are called.

    They end with the block, and with this process however that ends.
    """
    count = min((os.cpu_count() or 1) - 1, _MOST) if due >= FROM else 0
    processes = [await _start(Order(os.getpid(), db.dsn, caller, as_of)) for _ in range(count)]
    try:
        yield [_hand(process) for process in processes]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _start(order: Order) -> Process:
    # A session of its own: Ctrl-C reaches this process alone, which ends its hands itself.
    process = await asyncio.create_subprocess_exec(
        *_PROGRAM, stdin=PIPE, stdout=PIPE, start_new_session=True, limit=_LONGEST
    )
    assert process.stdin is not None
    # By its input, as arguments are for all to see and the address may hold a password.
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    return process


def _hand(process: Process) -> Hand:
    async def issue(told: Callable[[int], None]) -> Issued | None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(GO)
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # killed while it wrote
            heard = msgspec.json.decode(line, type=Told)
            if heard.whole is not None:
                return heard.whole
            told(heard.count)
        return None

    return issue
