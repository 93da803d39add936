"""The rows of a file on their way into an import; those of a large file are read by a process of their own.

Reading rows and admitting events take Python about as long as PostgreSQL takes to write them: two processes beside it
use two cores whole.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from pathlib import Path

import msgspec

from bursar.core.errors import BursarError, Invalid
from bursar.runtime import collector
from bursar.runtime.child import die_with_parent
from bursar.runtime.import_mapping import Columns
from bursar.runtime.import_sources import Batch, Format, Source, open_source
from bursar.usage.import_marks import Place

FROM = 16_000_000
"""Bytes of a file from which on a process more is worth its start."""
MEANWHILE = 12
"""Batches that are read here while it starts."""
_LENGTH = 4
_AHEAD = 1 << 22
"""Bytes that are read ahead."""


class ReadingFailed(BursarError):
    """The process that reads the file has ended before the file did; run the import again, and it goes on."""


class Reading(msgspec.Struct):
    """What is to be read, from where, by whom: the line that the process reads first."""

    parent: int
    """Pid of the process that imports."""
    path: str
    kind: Format
    mapping: Columns | None
    start: Place | None


class Told(msgspec.Struct):
    """What the process says: a batch, or what cannot be read; neither at the end of the file."""

    batch: Batch | None = None
    problem: tuple[str, str] | None = None


@asynccontextmanager
async def reading(
    source: Source, path: Path, kind: Format, mapping: Columns | None, start: Place | None
) -> AsyncIterator[AsyncIterator[Batch]]:
    """The batches of a file from a place on. Iterating raises `Invalid` and `ReadingFailed`."""
    apart = (os.cpu_count() or 1) > 1 and _large(path)
    order = Reading(os.getpid(), str(path), kind, mapping, start)
    async with aclosing(_apart(order, source) if apart else _here(source.batches(start))) as batches:
        yield batches


def _large(path: Path) -> bool:
    return path.stat().st_size >= FROM


async def _here(batches: Iterator[Batch]) -> AsyncGenerator[Batch, None]:
    for batch in batches:
        yield batch
        await asyncio.sleep(0)  # flushes go on between the batches


async def _apart(order: Reading, source: Source) -> AsyncGenerator[Batch, None]:
    # A session of its own: Ctrl-C reaches this process alone, which ends the other itself.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bursar.runtime.import_reading", stdin=PIPE, stdout=PIPE, start_new_session=True,
        limit=_AHEAD,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async for batch in _here(islice(source.batches(order.start), MEANWHILE)):
            yield batch
            order.start = batch.end
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        decode = msgspec.msgpack.Decoder(Told).decode
        while True:
            length = int.from_bytes(await process.stdout.readexactly(_LENGTH), "big")
            told = decode(await process.stdout.readexactly(length))
            if told.problem is not None:
                raise Invalid(*told.problem)
            if told.batch is None:
                return
            yield told.batch
    except asyncio.IncompleteReadError:
        raise ReadingFailed from None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _read(order: Reading) -> None:
    """Write the batches of a file to the standard output."""
    try:
        source = open_source(Path(order.path), order.kind, order.mapping)
        for batch in source.batches(order.start):
            _say(Told(batch))
        _say(Told())
    except Invalid as error:
        _say(Told(problem=(error.field, error.rule)))


def _say(told: Told) -> None:
    content = msgspec.msgpack.encode(told)
    sys.stdout.buffer.write(len(content).to_bytes(_LENGTH, "big") + content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.stdin.buffer.readline(), type=Reading)
    die_with_parent(signal.SIGKILL, wanted.parent)
    collector.settle()
    _read(wanted)
