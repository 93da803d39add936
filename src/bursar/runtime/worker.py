"""The worker process: what happens because time passes."""

import asyncio
import signal
import sys

import structlog
import uvloop

from bursar.core.errors import Unavailable
from bursar.db.database import Database, outage
from bursar.runtime import logs
from bursar.runtime.due import run_everything_due
from bursar.runtime.server import wall

_log = structlog.get_logger()

EVERY_SECONDS = 60.0
RETRY_SECONDS = 2.0


async def work(dsn: str) -> None:
    """Run what is due, every minute, until told to stop. While PostgreSQL is away, try again shortly."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    while not stopping.is_set():
        pause = EVERY_SECONDS
        try:
            db = await Database.open(dsn, size=2, timeout=30)
            try:
                await run_everything_due(db, wall())
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
    uvloop.run(work(sys.argv[1]))
