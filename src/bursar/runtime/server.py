"""One server process: it takes requests on a socket that its parent opened."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
import uvloop

from bursar.core import crash
from bursar.db.database import Database
from bursar.http.app import Application
from bursar.http.limits import Limiter
from bursar.http.yeti.authentication import Doorkeeper
from bursar.http.yeti.lifetimes import Lifetimes
from bursar.purchases.entitled import Desk
from bursar.runtime import child, collector, logs
from bursar.runtime.due import services
from bursar.runtime.together import Protocol
from bursar.runtime.wall import wall
from bursar.usage.allowance import Allowance
from bursar.usage.pipeline import Pipeline

DRAIN_SECONDS = 5
POOL = 12
LAST_WORDS_SECONDS = 0.2
"""How long a connection that was taken just before the end has to say what it wants."""
PATIENCE_SECONDS = 4.5
"""How long events may wait for their commit before their sender is told to come again."""


@asynccontextmanager
async def application(
    dsn: str,
    limiter: Limiter | None = None,
    lifetimes: Lifetimes | None = None,
    processes: int = 1,
    allowance: Allowance | None = None,
) -> AsyncIterator[Application]:
    """The application over a database, with what it keeps running; `processes` of them share the work."""
    db = await Database.open(dsn, size=POOL)
    try:
        async with (
            Pipeline(db, wall, patience=PATIENCE_SECONDS, allowance=allowance) as pipeline,
            Desk(db, wall, patience=PATIENCE_SECONDS) as desk,
        ):
            doorkeeper = Doorkeeper(db, lifetimes, processes)
            kept = {**services(db), Limiter: limiter or Limiter(), Doorkeeper: doorkeeper, Desk: desk}
            yield Application(db, pipeline, kept)
    finally:
        await db.close()


class _Server(uvicorn.Server):
    """A server that first stops to take connections, and only then closes those on which no request has come."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await asyncio.sleep(LAST_WORDS_SECONDS)
        await super().shutdown(sockets)


async def serve(
    dsn: str,
    handle: int,
    limiter: Limiter,
    lifetimes: Lifetimes,
    processes: int,
    allowance: Allowance | None = None,
) -> None:
    """Answer requests on the listening socket `handle` until told to stop; then drain."""
    collector.settle()
    async with application(dsn, limiter, lifetimes, processes, allowance) as app:
        config = uvicorn.Config(
            app,
            fd=handle,
            http=Protocol,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False,
        )
        await _Server(config).serve()


if __name__ == "__main__":
    logs.configure()
    crash.arm(os.environ.get("BURSAR_CRASH_DIR"))
    handle, rate_limit, ingest_limit, processes, admin_life, customer_life = map(int, sys.argv[1:])
    limiter, allowance = Limiter(rate_limit, processes), Allowance(ingest_limit, processes)
    lifetimes = Lifetimes(admin_life, customer_life)
    uvloop.run(serve(child.told(), handle, limiter, lifetimes, processes, allowance))
