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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import msgspec

from bursar.core import crash
from bursar.db.database import Database
from bursar.runtime.import_mapping import Columns
from bursar.runtime.import_sources import Batch, Format, Source
from bursar.runtime.wall import wall
from bursar.usage.event import parse_each
from bursar.usage.flush import Receipt, Submission
from bursar.usage.import_marks import Mark, Place, drop_mark, find_mark, keep_mark
from bursar.usage.pipeline import Pipeline
from bursar.usage.states import MEANING

TOGETHER = 8000
"""Events in one transaction: nobody waits for an answer."""
IN_FLIGHT = 24
"""Batches on their way at once: two whole flushes, and one more that queues meanwhile."""
MARK_SECONDS = 1.0
"""How often it is noted how far an import came."""
_HEAD = 4096
"""Bytes of a file's beginning by which an import is known again."""


Read = Callable[[Place | None], AbstractAsyncContextManager[AsyncIterator[Batch]]]


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


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a batch."""

    batch: Batch
    known: int
    refused: list[tuple[int, str]]
    """Rows of it by their places, with why."""


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
    read: Read
    """Reads the source from a place on."""
    report: Report = field(default_factory=Report)

    _marked: float = 0.0

    async def run(self, *, resume: bool = True) -> Report:
        """Admit the rows of the file, from where an import of it was cut off, unless all are to be looked at."""
        start = await self._start() if resume else None
        running: deque[asyncio.Task[_Done]] = deque()
        try:
            async with Pipeline(self.db, wall, batch=TOGETHER) as pipeline:
                async with self.read(start) as batches:
                    async for batch in batches:
                        if len(running) == IN_FLIGHT:
                            await self._settle(await running.popleft())
                        running.append(asyncio.create_task(self._admit(pipeline, batch)))
                while running:
                    await self._settle(await running.popleft())
        finally:
            for task in running:
                task.cancel()
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

    async def _admit(self, pipeline: Pipeline, batch: Batch) -> _Done:
        """Hand a batch to the pipeline; returns once it is on disk."""
        parsed = parse_each(batch.events, sound=batch.sound)
        receipt = Receipt()
        refused = batch.refused + [(batch.places[one.index], one.message) for one in parsed.refused]
        wrong = {one.index for one in parsed.refused}
        places = [place for index, place in enumerate(batch.places) if index not in wrong] if wrong else batch.places
        if parsed.events:
            receipt = await pipeline.submit(Submission(self.workspace, None, parsed, self.backfill, skip_known=True))
        for place, _, state, reason in receipt.verdicts:
            refused.append((places[place], f"{state.name}: {reason or MEANING[state]}"))
        return _Done(batch, receipt.known, sorted(refused))

    async def _settle(self, done: _Done) -> None:
        """Tell of a batch behind all before it, and now and then note that all this is on disk."""
        batch = done.batch
        self.report.rows += len(batch.rows)
        self.report.known += done.known
        self.report.rejected += len(done.refused)
        for place, reason in done.refused:
            self.rejects.write(batch.lines[place], reason, self.source.cells(batch.rows[place]))
        self.progress(batch.size)
        if time.monotonic() - self._marked >= MARK_SECONDS:
            report = self.report
            mark = Mark(batch.end, report.rows, report.known, report.rejected, self.rejects.sync())
            async with self.db.transaction(self.workspace) as connection:
                await keep_mark(connection, self.workspace, self.name, mark, wall())
            self._marked = time.monotonic()
            crash.point("import marked")
