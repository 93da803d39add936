"""The queue in front of PostgreSQL: flushers batch whatever came while their last commit ran.

A submission is answered when its transaction has committed. A flush that fails on its content is retried by halves, so
that only the request at fault fails; one that fails because PostgreSQL is away fails whole and is to be sent again.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import asyncpg
import structlog
from prometheus_client import Counter, Histogram

from bursar.core import crash
from bursar.core.errors import Unavailable
from bursar.core.heavy import let_go
from bursar.db.database import Database
from bursar.usage.allowance import Allowance
from bursar.usage.flush import Receipt, Sift, Submission
from bursar.usage.flusher import Caution, Flusher
from bursar.usage.folding import Folding
from bursar.usage.states import TERM, State

_log = structlog.get_logger()

EVENTS = Counter("bursar_events_total", "Events that got an answer, by term of the balance", ["term"])
REFUSED = Counter("bursar_events_refused_total", "Events that were refused, by the state they got", ["state"])
FLUSH_SECONDS = Histogram(
    "bursar_flush_seconds",
    "Time of one flush from its first statement to its commit",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)

BATCH = 8000
"""Events in one transaction where senders wait for their answers."""
QUEUE = 60_000
"""Events that may wait at most, however fast they go."""
QUEUE_BYTES = 96_000_000
"""Bytes of the bodies that wait: events may be a hundred times larger than most are."""
QUEUE_SECONDS = 1
"""How much work may wait. What is more would wait longer than a sender should: it is refused, to be sent again."""
QUEUE_LEAST = BATCH
"""Events that may wait however slow the last flushes were: so many that no flusher is idle."""
WORTH = BATCH
"""Events for which another flusher sets out beside one at work; fewer are as soon stored by its next flush."""
OVERDUE = 0.05
"""Seconds after which one sets out all the same: the one at work may be waiting for a lock that these need not."""
LULL = 0.001
"""Seconds for which none sets out behind a flush of many requests: who is told so sends the next ones, and a flush of
twice as many takes hardly longer."""
MANY = 4
"""Requests of such a flush. A sender who is alone waits for nobody."""
ENOUGH = 2000
"""Events that are worth a flush, whoever may come."""
FEW = 100
"""Events of a request that are freed with it; more are let go of behind it."""


@dataclass(slots=True)
class _Waiting:
    submission: Submission
    size: int
    done: asyncio.Future[Receipt]
    since: float
    """When it came, in seconds of the loop."""


class _Pace:
    """How many events a second go through, of late, while there are always more to come."""

    def __init__(self) -> None:
        self._events = 0.0
        self._seconds = 0.0
        self._last = 0.0

    def add(self, events: int, began: float, ended: float) -> None:
        """Count a flush behind which more was waiting. Flushes that overlap share their time."""
        self._events = self._events * 0.8 + events
        self._seconds = self._seconds * 0.8 + ended - max(began, self._last)
        self._last = ended

    def limit(self) -> int:
        """The events of `QUEUE_SECONDS`."""
        if self._seconds <= 0:
            return QUEUE
        return min(QUEUE, max(QUEUE_LEAST, int(QUEUE_SECONDS * self._events / self._seconds)))


class Pipeline:
    """Admission for one process. `start`, then `submit` from any task, then `stop`."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], datetime],
        *,
        flushers: int = 2,
        batch: int = BATCH,
        patience: float | None = None,
        sift: Sift | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        """`batch`: events in one transaction, unless one request alone has more.

        `patience`: seconds after which a submission is told to come again; None waits as long as it takes.

        `sift` has a say in what goes on in every flush; None lets everything. `allowance`: what may come; None: all.
        """
        self._db = db
        self._sift = sift
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        self._bytes = 0
        self._expected = 0
        self._allowance = allowance or Allowance()
        self._pace = _Pace()
        self._caution = Caution()
        self._idle: list[asyncio.Event] = []
        self._reminder: asyncio.TimerHandle | None = None
        self._lull: asyncio.TimerHandle | None = None
        """It is over then; None where there is none."""
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._folding = Folding(db)
        self._flushers = flushers
        self._batch = batch
        self._patience = patience

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to flush."""
        self._folding.start()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._flushers)]

    async def stop(self) -> None:
        """Flush what is queued, then end."""
        self._stopping = True
        while self._idle:
            self._idle.pop().set()
        await asyncio.gather(*self._tasks)
        await self._folding.stop()
        for timer in (self._reminder, self._lull):
            if timer is not None:
                timer.cancel()

    def admits(self, events: int = 0) -> None:
        """Raise `Unavailable` where more waits already than a sender should wait for, with `events` more.

        To be asked before a body is read: what would be refused need not be taken in. Whoever waits as long as it takes
        is refused only what memory would not hold.
        """
        full = self._stopping or self._bytes > QUEUE_BYTES
        if self._patience is None:
            full = full or self._queued + self._expected + events > QUEUE
        elif self._queue:
            waited = asyncio.get_running_loop().time() - self._queue[0].since
            events += self._queued + self._expected
            full = full or waited > QUEUE_SECONDS or events > self._pace.limit()
        if full:
            raise Unavailable("more events are waiting than can be stored in time; send them again shortly")
        self._allowance.check(self._expected)

    @contextmanager
    def expecting(self, events: int) -> Iterator[None]:
        """Keep room for so many, about, while they wait to be decoded. Raises `Unavailable` where there is none."""
        self.admits(events)
        self._expected += events
        try:
            yield
        finally:
            self._expected -= events

    async def submit(self, submission: Submission) -> Receipt:
        """Admit the events of one request; returns once they are on disk.

        Raises `Unavailable` when too much is waiting or PostgreSQL is away, and what `Receipt.error` names.
        """
        (outcome,) = await self.submit_all([submission])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Receipt | Exception]:
        """`submit` for many, in their order; what each would have raised is its outcome.

        Raises `Unavailable` when too much is waiting, or what they wait for takes too long.
        """
        size = sum(len(submission.parsed.events) for submission in submissions)
        self.admits(size)
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._allowance.take(size)
        waiting = [_Waiting(one, len(one.parsed.events), loop.create_future(), since) for one in submissions]
        self._queue.extend(waiting)
        self._queued += size
        self._bytes += sum(len(one.parsed.body) for one in submissions)
        self._remind()
        done = [one.done for one in waiting]
        try:
            _, late = await asyncio.wait(done, timeout=self._patience)
        except asyncio.CancelledError:
            for one in done:
                one.add_done_callback(_heard)
            raise
        if late:
            # The flush goes on: it may still be stored, and then the same ids, sent again, count once.
            for one in late:
                one.add_done_callback(_heard)
            raise Unavailable("the events could not be stored in time; send them again with the same ids")
        return [_outcome(one) for one in done]

    def _flusher(self) -> Flusher:
        return Flusher(self._db, self._clock, self._sift, self._caution)

    async def _work(self) -> None:
        flusher = self._flusher()
        loop = asyncio.get_running_loop()
        try:
            while True:
                # The others that are at work; this one is not among the idle.
                batch = self._take() if self._due(self._flushers - len(self._idle) - 1) else []
                if batch:
                    more, began = bool(self._queue), loop.time()
                    if await self._flush(batch, flusher) and more:
                        self._pace.add(sum(waiting.size for waiting in batch), began, loop.time())
                    if len(batch) >= MANY and self._lull is None:
                        self._lull = loop.call_later(LULL, self._lulled)
                elif self._stopping:
                    return
                else:
                    wake = asyncio.Event()
                    self._idle.append(wake)
                    await wake.wait()
        finally:
            await flusher.close()

    def _due(self, busy: int) -> bool:
        """Whether a flusher should set out while `busy` others are at work. Where not, it is asked again in time."""
        if not self._queue:
            return False
        if not busy and (self._lull is None or self._queued >= ENOUGH):
            return True
        if self._stopping or self._queued >= WORTH:
            return True
        loop = asyncio.get_running_loop()
        if loop.time() - self._queue[0].since >= OVERDUE:
            return True
        if self._reminder is None:
            self._reminder = loop.call_later(OVERDUE, self._remind, True)
        return False

    def _lulled(self) -> None:
        self._lull = None
        self._remind()

    def _remind(self, timed: bool = False) -> None:
        """Send an idle flusher out where it is time to."""
        if timed:
            self._reminder = None
        if self._idle and self._due(self._flushers - len(self._idle)):
            self._idle.pop().set()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and (not batch or size + self._queue[0].size <= self._batch):
            waiting = self._queue.popleft()
            size += waiting.size
            batch.append(waiting)
        self._queued -= size
        self._bytes -= sum(len(waiting.submission.parsed.body) for waiting in batch)
        return batch

    async def _flush(self, batch: list[_Waiting], flusher: Flusher) -> bool:
        """Commit a batch and answer its senders; returns whether it went through as a whole."""
        try:
            with FLUSH_SECONDS.time():
                receipts = await flusher.commit([waiting.submission for waiting in batch])
        except Unavailable as error:
            flusher.forget()
            _settle(batch, error)
        except (asyncpg.PostgresError, ValueError, OverflowError, ArithmeticError) as error:
            flusher.forget()
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._flush(batch[:middle], flusher)
                await self._flush(batch[middle:], flusher)
            else:
                _log.error("flush_failed", error=repr(error), exc_info=error)
                _settle(batch, error)
        except BaseException:
            _settle(batch, Unavailable())
            raise
        else:
            crash.point("events committed")
            self._folding.added(waiting.submission.workspace for waiting in batch)
            _count(receipts)
            for waiting, receipt in zip(batch, receipts, strict=True):
                if not waiting.done.done():
                    waiting.done.set_result(receipt)
                if waiting.size > FEW:
                    let_go(waiting.submission.parsed.events)
            return True
        return False


def _count(receipts: list[Receipt]) -> None:
    """Add to the metrics: once for a flush, as each time costs as much as to judge an event."""
    counts: dict[State, int] = defaultdict(int)
    for receipt in receipts:
        for state, count in receipt.states.items():
            counts[state] += count
    for state, count in counts.items():
        EVENTS.labels(TERM[state]).inc(count)
        if state < 0:
            REFUSED.labels(state.name).inc(count)


def _outcome(done: asyncio.Future[Receipt]) -> Receipt | Exception:
    error = done.exception()
    if error is not None:
        if not isinstance(error, Exception):
            raise error
        return error
    receipt = done.result()
    return receipt if receipt.error is None else receipt.error


def _heard(done: asyncio.Future[Receipt]) -> None:
    """Look at an outcome that nobody waits for any more, so that it is not reported as forgotten."""
    if not done.cancelled():
        done.exception()


def _settle(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
