"""Who admits the rows of an import: the process that runs it, and for a large file further ones beside it.

Admitting takes Python about as long as it takes PostgreSQL, and one process does it by turns with itself: two use two
cores whole, as two servers do.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from bursar.core.errors import BursarError
from bursar.db.database import Database
from bursar.runtime.import_admitting import Outcome, admit, pipeline
from bursar.runtime.import_hand import AHEAD, Order, Rows, Told, framed, read
from bursar.usage.pipeline import Pipeline

FROM = 16_000_000
"""Bytes of a file from which on a process more is worth its start."""
_MOST = 3
"""Beyond them PostgreSQL has the work."""


class HandFailed(BursarError):
    """A process that admits rows has ended before the file did; run the import again, and it goes on."""


class Admitter(Protocol):
    """Admits the events of batches, several at once."""

    @property
    def ready(self) -> asyncio.Event:
        """Set once it can begin."""

    async def admit(self, events: Sequence[bytes], *, sound: bool) -> Outcome:
        """As `import_admitting.admit`."""


def count_for(path: Path) -> int:
    """How many further processes a file is worth: one less than there are cores, where it is large."""
    return min((os.cpu_count() or 1) - 1, _MOST) if path.stat().st_size >= FROM else 0


@asynccontextmanager
async def admitters(db: Database, workspace: int, hands: int, *, backfill: bool) -> AsyncIterator[Sequence[Admitter]]:
    """This process and so many more, which come up while it works. They end with the block, and with this process."""
    async with AsyncExitStack() as stack:
        order = Order(os.getpid(), db.dsn, workspace, backfill)
        others = [await stack.enter_async_context(_hand(order)) for _ in range(hands)]
        through = await stack.enter_async_context(pipeline(db))
        yield [_Here(through, workspace, backfill=backfill), *others]


class _Here:
    """This process."""

    def __init__(self, through: Pipeline, workspace: int, *, backfill: bool) -> None:
        self.ready = asyncio.Event()
        self.ready.set()
        self._through = through
        self._workspace = workspace
        self._backfill = backfill

    async def admit(self, events: Sequence[bytes], *, sound: bool) -> Outcome:
        """As an admitter."""
        return await admit(self._through, self._workspace, events, sound=sound, backfill=self._backfill)


class _Hand:
    """A process beside this one."""

    def __init__(self, process: Process) -> None:
        self.ready = asyncio.Event()
        self.pid = process.pid
        self._process = process
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._number = 0
        self._ended = False

    async def admit(self, events: Sequence[bytes], *, sound: bool) -> Outcome:
        """As an admitter. Raises `HandFailed`."""
        if self._ended:
            raise HandFailed
        self._number += 1
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = waiting
        assert self._process.stdin is not None
        self._process.stdin.write(framed(Rows(self._number, list(events), sound)))
        return await waiting

    async def listen(self) -> None:
        """Hear what it says, until it ends."""
        assert self._process.stdout is not None
        decode = msgspec.msgpack.Decoder(Told).decode
        try:
            while True:
                told = decode(await read(self._process.stdout))
                if told.number is None:
                    self.ready.set()
                elif told.outcome is not None:
                    self._answered(told.number).set_result(told.outcome)
                else:
                    self._answered(told.number).set_exception(HandFailed(told.problem or ""))
        except asyncio.IncompleteReadError:
            self._ended = True
            self.ready.set()
            for number in list(self._waiting):
                self._answered(number).set_exception(HandFailed())

    def _answered(self, number: int) -> "asyncio.Future[Outcome]":
        waiting = self._waiting.pop(number)
        return waiting if not waiting.done() else asyncio.get_running_loop().create_future()


@asynccontextmanager
async def _hand(order: Order) -> AsyncIterator[_Hand]:
    # A session of its own: Ctrl-C reaches this process alone, which ends the other itself.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bursar.runtime.import_hand", stdin=PIPE, stdout=PIPE, start_new_session=True,
        limit=AHEAD,
    )  # fmt: skip
    assert process.stdin is not None
    # By its input, as arguments are for all to see and the address may hold a password.
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    hand = _Hand(process)
    listening = asyncio.create_task(hand.listen())
    try:
        yield hand
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening
