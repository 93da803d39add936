"""The worker process: what happens because time passes."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from bursar.core import crash
from bursar.core.errors import Unavailable
from bursar.db.database import Database, outage
from bursar.runtime import collector, logs
from bursar.runtime.checkpointing import keep_log_short
from bursar.runtime.child import PRIVATE_CALLBACKS, told
from bursar.runtime.deliveries import keep_delivering
from bursar.runtime.due import run_everything_due
from bursar.runtime.jobs import keep_running
from bursar.runtime.wall import wall
from bursar.runtime.witness import keep_sealing

_log = structlog.get_logger()

EVERY_SECONDS = 60.0
RETRY_SECONDS = 2.0


async def work(dsn: str, heads: Path | None = None, *, private_callbacks: bool = False) -> None:
    """Run what is due every minute, jobs and deliveries within seconds, and seal the audit trail, until told to stop.

    The heads of the trail's chains are noted in the file `heads`, beside a PostgreSQL of the server's own, whose log is
    kept short then. `private_callbacks`: requests to subscribers may go to private addresses. While PostgreSQL is away,
    it tries again shortly.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    own = [keep_log_short(dsn, stopping)] if heads is not None else []
    await asyncio.gather(
        *own,
        _run_due(dsn, stopping),
        keep_running(dsn, stopping),
        keep_sealing(dsn, heads, stopping),
        keep_delivering(dsn, stopping, private=private_callbacks),
    )


async def _run_due(dsn: str, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        pause = EVERY_SECONDS
        try:
            db = await Database.open(dsn, size=2, timeout=30)
            try:
                if not await run_everything_due(db, wall()):
                    pause = RETRY_SECONDS
            finally:
                await db.close()
        except Exception as error:  # noqa: BLE001 - the worker outlives whatever one round meets, and says it
            if not isinstance(error, Unavailable) and not outage(error):
                _log.error("worker_round_failed", error=repr(error), exc_info=error)
            pause = RETRY_SECONDS
        try:
            await asyncio.wait_for(stopping.wait(), pause)
        except TimeoutError:
            continue


if __name__ == "__main__":
    logs.configure()
    crash.arm(os.environ.get("BURSAR_CRASH_DIR"))
    collector.settle()
    options = [argument for argument in sys.argv[1:] if argument != PRIVATE_CALLBACKS]
    heads = Path(options[0]) if options else None
    uvloop.run(work(told(), heads, private_callbacks=PRIVATE_CALLBACKS in sys.argv))
