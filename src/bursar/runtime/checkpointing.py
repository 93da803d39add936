"""Has the server's own PostgreSQL write checkpoints as `db.checkpoints` has them."""

import asyncio
from collections.abc import Coroutine

import structlog

from bursar.core.errors import Unavailable
from bursar.db import checkpoints
from bursar.db.database import Session, outage
from bursar.runtime.wall import wall

EVERY_SECONDS = 1.0

_log = structlog.get_logger()


async def keep_log_short(dsn: str, stopping: asyncio.Event) -> None:
    """Look every second whether a checkpoint is due, and write it, until told to stop."""
    session = Session(dsn, ())
    watch = checkpoints.Watch()
    try:
        while not stopping.is_set():
            try:
                async with session.alone() as connection:
                    if watch.due(await checkpoints.read(connection, wall())):
                        await _unless(stopping, checkpoints.write(connection))
            except Exception as error:  # noqa: BLE001 - it outlives whatever one look meets, and says it
                if not isinstance(error, Unavailable) and not outage(error):
                    _log.error("checkpoint_failed", error=repr(error), exc_info=error)
            try:
                await asyncio.wait_for(stopping.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue
    finally:
        await session.close()


async def _unless(stopping: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do something that takes seconds, and give it up where it is told to stop meanwhile."""
    doing, told = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((doing, told), return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait((doing,))
    if not doing.cancelled():
        doing.result()
