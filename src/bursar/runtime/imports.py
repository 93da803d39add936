"""Events from a file: rows become the same events that the API takes, through the same pipeline.

What is there already adds nothing, so that an import may be run again. One that was cut off goes on behind the rows of
which it had noted that they are on disk.
"""

import asyncio
import csv
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import msgspec

from bursar.core import crash
from bursar.db.database import Database
from bursar.runtime.import_admitting import Outcome
from bursar.runtime.import_hands import Admitter, admitters
from bursar.runtime.import_lines import Batch
from bursar.runtime.import_mapping import Columns
from bursar.runtime.import_sources import Format, Source
from bursar.runtime.wall import wall
from bursar.usage.import_marks import Mark, Place, drop_mark, find_mark, keep_mark

IN_FLIGHT = 24
"""Batches on their way at once through one process: two whole flushes, and one more that queues meanwhile."""
MARK_SECONDS = 1.0
"""How often it is noted how far an import came."""
_HEAD = 4096
"""Bytes of a file's beginning by which an import is known again."""


@dataclass(slots=True)
class Report:
    """What became of a file's rows."""

    rows: int = 0
    known: int = 0
    """Rows that were there already, with the same content."""
    rejected: int = 0
    resumed: int = 0
    """Rows before the place from which it went on; they count as they did then."""

    @property
    def accepted(self) -> int:
        """Rows that are events now and were not before."""
        return self.rows - self.known - self.rejected


def identity(path: Path, kind: Format, mapping: Columns | None, *, backfill: bool) -> bytes:
    """What stands for an import of a file: run again, it is the same one."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as handle:
        for part in (kind.encode(), msgspec.json.encode((mapping, backfill)), handle.read(_HEAD)):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


class Rejects:
    """The file of refused rows: line, reason, then the row as it was. It is made with the first of them."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = columns
        self._handle: TextIO | None = None

    def resume(self, size: int) -> None:
        """Keep its first bytes, and write on behind them."""
        if size and self.path.exists() and self.path.stat().st_size >= size:
            os.truncate(self.path, size)
            self._handle = self.path.open("a", newline="", encoding="utf-8")

    def write(self, line: int, reason: str, cells: Sequence[str]) -> None:
        """Another row."""
        if self._handle is None:
            self._handle = self.path.open("w", newline="", encoding="utf-8")
            csv.writer(self._handle).writerow(["line", "reason", *self._columns])
        csv.writer(self._handle).writerow([line, reason, *cells])

    def sync(self) -> int:
        """Bring it to disk; returns its size, 0 where there is none."""
        if self._handle is None:
            return 0
        self._handle.flush()
        os.fsync(self._handle.fileno())
        return self._handle.tell()

    def close(self) -> None:
        """Close it."""
        if self._handle is not None:
            self._handle.close()


@dataclass(slots=True)
class Import:
    """One import of a file into a workspace."""

    db: Database
    workspace: int
    source: Source
    name: bytes
    """What stands for it: `identity`."""
    rejects: Rejects
    backfill: bool
    progress: Callable[[int], None]
    """Told how much more of the source is done."""
    hands: int = 0
    """Processes beside this one that admit rows too."""
    report: Report = field(default_factory=Report)

    _marked: float = 0.0

    async def run(self, *, resume: bool = True) -> Report:
        """Admit the rows of the file, from where an import of it was cut off, unless all are to be looked at."""
        start = await self._start() if resume else None
        running: deque[tuple[Batch, asyncio.Task[Outcome]]] = deque()
        try:
            async with admitters(self.db, self.workspace, self.hands, backfill=self.backfill) as found:
                turns = _Turns(found)
                for batch in self.source.batches(start):
                    while (task := turns.begin(batch)) is None:
                        await self._settle(*running.popleft())
                    running.append((batch, task))
                    await asyncio.sleep(0)  # flushes go on between the batches
                while running:
                    await self._settle(*running.popleft())
        finally:
            for _, task in running:
                task.cancel()
            await asyncio.gather(*(task for _, task in running), return_exceptions=True)
            self.rejects.close()
        async with self.db.transaction(self.workspace) as connection:
            await drop_mark(connection, self.workspace, self.name)
        return self.report

    async def _start(self) -> Place | None:
        """The place behind which to go on, with the report as it stood there."""
        async with self.db.transaction(self.workspace) as connection:
            mark = await find_mark(connection, self.workspace, self.name)
        if mark is None or not self.source.has(mark.place):
            return None
        self.rejects.resume(mark.rejects_size)
        self.report = Report(mark.rows, mark.known, mark.rejected, resumed=mark.rows)
        self.progress(mark.place.position)
        return mark.place

    async def _settle(self, batch: Batch, task: asyncio.Task[Outcome]) -> None:
        """Tell of a batch behind all before it, and now and then note that all this is on disk."""
        outcome = await task
        refused = sorted(batch.refused + [(batch.places[place], reason) for place, reason in outcome.refused])
        self.report.rows += len(batch.rows)
        self.report.known += outcome.known
        self.report.rejected += len(refused)
        for place, reason in refused:
            self.rejects.write(batch.lines[place], reason, self.source.cells(batch.rows[place]))
        self.progress(batch.size)
        if time.monotonic() - self._marked >= MARK_SECONDS:
            report = self.report
            mark = Mark(batch.end, report.rows, report.known, report.rejected, self.rejects.sync())
            async with self.db.transaction(self.workspace) as connection:
                await keep_mark(connection, self.workspace, self.name, mark, wall())
            self._marked = time.monotonic()
            crash.point("import marked")


class _Turns:
    """Whose turn it is: of those who are ready the one with the fewest batches."""

    def __init__(self, admitters: Sequence[Admitter]) -> None:
        self._running: list[tuple[Admitter, set[asyncio.Task[Outcome]]]] = [(one, set()) for one in admitters]

    def begin(self, batch: Batch) -> "asyncio.Task[Outcome] | None":
        """Have a batch admitted; None where all have as many as they may."""
        free = [(len(tasks), n) for n, (one, tasks) in enumerate(self._running) if one.ready.is_set()]
        fewest, chosen = min(free, default=(IN_FLIGHT, 0))
        if fewest >= IN_FLIGHT:
            return None
        admitter, tasks = self._running[chosen]
        task = asyncio.create_task(admitter.admit(batch.events, sound=batch.sound))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task
