"""The courier of a worker: takes deliveries that are due to their receivers, several at once, each a bounded time."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

import structlog
from prometheus_client import Counter

from bursar.core import crash
from bursar.db.database import Database
from bursar.notify import deliveries
from bursar.notify.model import LEASE, PATIENCE, Channel, Delivery, Failed, Sender, Status, judge

_log = structlog.get_logger()

DELIVERIES = Counter("bursar_deliveries_total", "Attempts to deliver, by channel and what became of them",
                     ["channel", "outcome"])  # fmt: skip
AT_ONCE = 16


class Courier:
    """Deliveries under way in one process."""

    def __init__(
        self, db: Database, clock: Callable[[], datetime], senders: Mapping[Channel, Sender], *, at_once: int = AT_ONCE
    ) -> None:
        self._db = db
        self._clock = clock
        self._senders = senders
        self._at_once = at_once
        self._running: dict[asyncio.Task[None], int] = {}
        self._renewed_at = clock()
        self.returned = asyncio.Event()
        """Set when a delivery has ended: there may be a next one to the same receiver."""

    async def send(self) -> int:
        """Start what is due, as far as hands are free; returns how many were started. Call it every few seconds.

        So it also keeps what is under way from being taken for lost.
        """
        wall = self._clock()
        free = self._at_once - len(self._running)
        renewing = bool(self._running) and wall - self._renewed_at > LEASE / 4
        if free <= 0 and not renewing:
            return 0
        async with self._db.transaction(None) as connection:
            running = list(self._running.values())
            if renewing:
                await deliveries.renew(connection, wall, running)
            claimed = await deliveries.claim(connection, wall, free, running)
        if renewing or not running:
            self._renewed_at = wall
        if claimed:
            crash.point("delivery taken")
        for delivery in claimed:
            task = asyncio.create_task(self._carry(delivery))
            self._running[task] = delivery.key
            task.add_done_callback(self._ended)
        return len(claimed)

    async def finish(self, seconds: int | None = None) -> None:
        """Wait for what is under way; what has not ended after so many seconds is left to be tried again."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _carry(self, delivery: Delivery) -> None:
        channel = delivery.message.channel
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                outcome = await self._senders[channel](delivery, self._clock())
        except TimeoutError:
            outcome = Failed(f"not done within {PATIENCE.total_seconds():g} seconds")
        crash.point("delivery sent")
        wall = self._clock()
        verdict = judge(delivery.attempts, outcome, wall)
        async with self._db.transaction(None) as connection:
            await deliveries.settle(connection, delivery, verdict, wall)
        DELIVERIES.labels(channel, verdict.status if verdict.status is not Status.PENDING else "FAILED").inc()
        if verdict.status is Status.GIVEN_UP:
            _log.error("delivery_given_up", delivery=delivery.id, reason=verdict.reason, attempts=delivery.attempts)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self.returned.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Its lease runs out, and it is tried again.
            _log.error("delivery_failed", error=repr(error), exc_info=error)
